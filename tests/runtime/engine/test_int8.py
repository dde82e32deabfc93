"""8-bit products are exact on every CPU.

If the default kernels saturate, they are replaced by slower kernels that do not saturate.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import vaedge
from vaedge.engine import device, int8
from vaedge.engine.onnxruntime import import_onnxruntime

RUNTIME = Path(vaedge.__file__).parents[1]
ENTRY = "session.x64quantprecision"


def kernel_option(graph):
    """Return the value of the session option that selects the kernels for a graph; None if the option is not set."""
    options = device._session_options(import_onnxruntime(), graph, 1)
    try:
        return options.get_session_config_entry(ENTRY)
    except RuntimeError:  # the option was not set
        return None


@pytest.fixture
def graphs(bundle):
    return (bundle / "decoder.onnx").read_bytes(), (bundle / "decoder.int8.onnx").read_bytes()


@pytest.mark.parametrize(("exact", "expected"), [(True, None), (False, "1")])
def test_precise_kernels_are_used_only_where_default_kernels_saturate(graphs, monkeypatch, exact, expected):
    monkeypatch.setattr(device, "default_kernels_are_exact", lambda: exact)
    fp32, quantized = graphs
    assert kernel_option(quantized) == expected
    assert kernel_option(fp32) is None


def test_fp32_does_not_run_the_probe(bundle, monkeypatch):
    monkeypatch.setattr(device, "default_kernels_are_exact", lambda: pytest.fail("the probe ran"))
    vaedge.load(bundle).sample(1)


def test_probe_runs_once_per_process(bundle, monkeypatch):
    int8.default_kernels_are_exact.cache_clear()
    probes = []
    original = int8._probe
    monkeypatch.setattr(int8, "_probe", lambda: probes.append(1) or original())
    for _ in range(3):
        vaedge.load(bundle, variant="int8").reconstruct(np.zeros((1, 1, 28, 28), np.float32))
    assert len(probes) == 1


def test_probe_finds_saturating_products(monkeypatch):
    """The check refuses kernels that clip the sum of two products to 16 bits."""

    class Saturating:
        def __init__(self, *_, **__):
            pass

        def run(self, _, inputs):
            (rows, depth) = inputs["a"].shape
            return [np.full((rows, 32), depth // 2 * 32767, np.int32)]

    int8.default_kernels_are_exact.cache_clear()
    monkeypatch.setattr(import_onnxruntime(), "InferenceSession", Saturating)
    try:
        assert not int8.default_kernels_are_exact()
        assert int8.int8_kernels() == "x64quantprecision"
    finally:
        int8.default_kernels_are_exact.cache_clear()


@pytest.mark.parametrize("exact", [pytest.param(True, id="default"), pytest.param(False, id="precise")])
def test_exact_kernels_reproduce_the_reference(bundle, monkeypatch, exact):
    """The exact kernels pass the check on every CPU. The default kernels pass the check only on some CPUs."""
    if exact and not int8.default_kernels_are_exact():
        pytest.skip("the default kernels of this CPU saturate")
    monkeypatch.setattr(device, "default_kernels_are_exact", lambda: exact)
    assert vaedge.check(bundle, variant="int8").passed


EMULATED = """
import sys
import vaedge
from vaedge.engine import device, int8
print(int8.int8_kernels())
print(vaedge.check(sys.argv[1], variant="int8").passed)
device.default_kernels_are_exact = lambda: True
print(vaedge.check(sys.argv[1], variant="int8").passed)
"""


@pytest.mark.skipif(not shutil.which("qemu-x86_64"), reason="qemu-x86_64 (Debian's qemu-user) is not installed")
@pytest.mark.parametrize("model", ["article", "mnist", "mnist-conv"])
@pytest.mark.heavy
def test_check_fails_if_kernels_saturate(bundle, model):
    """On an emulated Haswell CPU, which has no VNNI, the default kernels saturate, and `vaedge.check` reports this."""
    words = ["qemu-x86_64", "-cpu", "Haswell", sys.executable, "-c", EMULATED, str(bundle.parent / model)]
    result = subprocess.run(words, capture_output=True, text=True, cwd=RUNTIME)
    assert result.stdout.split() == ["x64quantprecision", "True", "False"], result.stderr
