"""`vaedge.load` opens the requested variant, or the fastest one."""

import hashlib
import logging

import pytest

import vaedge
import vaedge.benchmark.timing


@pytest.mark.parametrize("variant", ["fp32", "int8"])
def test_load_opens_the_requested_variant(bundle, variant):
    assert vaedge.load(bundle, variant=variant).variant == variant


def test_load_accepts_the_sha256_of_the_manifest(bundle):
    sha256 = hashlib.sha256((bundle / "manifest.json").read_bytes()).hexdigest()
    for variant in ("fp32", "fastest"):
        vae = vaedge.load(bundle, variant=variant, sha256=sha256.upper())
        assert vae.sha256 == sha256


def test_load_rejects_onnxruntime_that_is_too_old(edit_manifest):
    with pytest.raises(vaedge.DependencyError, match=r"needs onnxruntime >= 99.0"):
        vaedge.load(edit_manifest(lambda tree: tree.update(minimum_onnxruntime="99.0")))


@pytest.mark.parametrize(
    ("installed", "minimum", "accepted"),
    [
        ("1.24.0", "1.24", True),
        ("1.24.1", "1.24", True),
        ("1.9.0", "1.10", False),
        ("1.23.9", "1.24", False),
        ("2.0.0", "1.24", True),
        ("1.24.0+cu12", "1.24.0", True),
    ],
)
def test_releases_of_onnxruntime_are_compared_as_numbers(edit_manifest, monkeypatch, installed, minimum, accepted):
    import onnxruntime

    folder = edit_manifest(lambda tree: tree.update(minimum_onnxruntime=minimum))
    monkeypatch.setattr(onnxruntime, "__version__", installed)
    if accepted:
        vaedge.load(folder)
    else:
        with pytest.raises(vaedge.DependencyError, match=f"needs onnxruntime >= {minimum}, but {installed}"):
            vaedge.load(folder)


@pytest.mark.parametrize("fastest", ["fp32", "int8"])
def test_fastest_variant_is_chosen_and_logged(bundle, monkeypatch, caplog, fastest):
    durations = {name: [[3000], [3000]] if name == fastest else [[4000], [4000]] for name in ("fp32", "int8")}
    monkeypatch.setattr(vaedge.benchmark.timing, "time_in_turn", lambda calls, seconds: durations)
    with caplog.at_level(logging.INFO, "vaedge"):
        vae = vaedge.load(bundle, variant="fastest")
    assert vae.variant == fastest
    times = {"fp32": "fp32 3 us, int8 4 us", "int8": "fp32 4 us, int8 3 us"}[fastest]
    assert f"variant='fastest' chose {fastest} ({times})" in caplog.text


def test_other_variants_are_closed(bundle, monkeypatch):
    opened = []

    class Recorded(vaedge.VAE):
        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            opened.append(self)

    monkeypatch.setattr("vaedge.loading.VAE", Recorded)
    vae = vaedge.load(bundle, variant="fastest")
    (other,) = (found for found in opened if found is not vae)
    vae.sample(1)
    with pytest.raises(vaedge.ClosedError):
        other.sample(1)


def test_fastest_variant_is_measured(bundle, digits):
    vae = vaedge.load(bundle, variant="fastest", threads=1)
    assert vae.variant in vae.manifest.variants
    assert vae.reconstruct(digits).shape == digits.shape
