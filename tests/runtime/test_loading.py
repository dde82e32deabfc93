"""variant="fastest": what this machine runs fastest, by a short measurement."""

import logging

import vaedge.benchmark.fastest

import vaedge


def test_it_takes_the_fastest_and_says_so(bundle, monkeypatch, caplog):
    durations = {"fp32": [[4000], [4000]], "int8": [[3000], [3000]]}
    monkeypatch.setattr(vaedge.benchmark.fastest, "time_in_turn", lambda calls, seconds: durations)
    with caplog.at_level(logging.INFO, "vaedge"):
        vae = vaedge.load(bundle, variant="fastest")
    assert vae.variant == "int8"
    assert "variant='fastest' chose int8 (fp32 4 us, int8 3 us)" in caplog.text


def test_for_real(bundle, digits):
    vae = vaedge.load(bundle, variant="fastest", threads=1)
    assert vae.variant in vae.manifest.variants
    assert vae.reconstruct(digits).shape == digits.shape
