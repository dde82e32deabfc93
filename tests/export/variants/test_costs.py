"""The export prints the loss and the size of a variant, and whether the variant is slower than fp32."""

import pytest

from vaedge.cli.main import main
from vaedge_export.variants.measure import Comparison, Measurements, describe_costs


def measurements(change, microseconds):
    return Measurements(
        bytes=1234567,
        elbo_change=change,
        elbo_change_standard_error=0.01,
        bound_change=change,
        psnr=40.0,
        microseconds=microseconds,
        kept=[],
        examples=100,
        k=16,
        cpu="a CPU",
        int8_kernels="default",
        threads=1,
    )


@pytest.mark.parametrize(("change", "text"), [(-0.2541, "0.254 nats"), (0.1, "0.000 nats"), (-1234.5, "1234.500 nats")])
def test_cost_is_a_positive_number_of_nats_lost(change, text):
    times = {"1": 10.0, "64": 20.0}
    lines = describe_costs({"fp32": measurements(0, times), "int8": measurements(change, times)})
    assert lines == [f"int8: {text} of the ELBO lost per example, 1,234,567 bytes"]


def test_slower_variant_is_announced_with_both_times():
    fp32 = measurements(0, {"1": 10.0, "64": 100.0})
    found = {"fp32": fp32, "int8": measurements(-0.1, {"1": 9.0, "64": 160.4})}
    assert describe_costs(found)[1:] == [
        "int8 is slower than fp32 on this machine: 160 us instead of 100 us for a batch of 64; choose it only for its "
        "size"
    ]
    found["int8"] = measurements(-0.1, {"1": 10.2, "64": 102.0})  # differences of 2 % are noise, and are not announced
    assert len(describe_costs(found)) == 1


def test_command_announces_a_slower_variant(run, tmp_path, monkeypatch, capsys):
    def stand_in(_, variants):
        return {name: {"1": 10.0, "64": 50.0 if name == "fp32" else 80.0} for name in variants}

    monkeypatch.setattr(Comparison, "time", stand_in)
    argv = ["export", str(run.path), "--out", str(tmp_path / "bundle"), "--variants", "int8", "--allow-loss", "10"]
    assert main(argv) == 0
    out = capsys.readouterr().out
    assert "nats of the ELBO lost per example" in out
    assert "int8 is slower than fp32 on this machine: 80 us instead of 50 us for a batch of 64" in out
