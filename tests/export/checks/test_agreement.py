"""Comparison of PyTorch with ONNX Runtime. Differences are divided by max(1, |value|)."""

import numpy as np
import pytest
import torch

import vaedge
from vaedge_export import AgreementError, FiniteError
from vaedge_export.checks import agreement
from vaedge_export.checks.agreement import Difference, check_agreement, compare, compare_arrays
from vaedge_export.examples import random_examples
from vaedge_export.graphs import Graphs


def arrays(*values):
    return np.array(values, np.float64)


def test_difference_is_scaled_by_the_larger_of_1_and_the_value():
    difference = Difference.between(arrays(0.5, -4, 2), arrays(0.25, -5, 2))
    assert (difference.absolute, difference.scaled, difference.magnitude) == (1, 0.25, 4)
    difference = Difference.between(arrays(-0.25, 1), arrays(0.25, 1))
    assert (difference.absolute, difference.scaled, difference.magnitude) == (0.5, 0.5, 1)


def test_difference_of_standardized_data_is_scaled_by_the_standard_deviations():
    """A difference is divided by the standard deviation of its column, or by |value| if this is larger."""
    expected, found = arrays([0.002, 5, 0.001], [0.0, -3, 0]), arrays([0.004, 6, 0.001], [0.0, -3, 0])
    difference = Difference.between(expected, found, arrays(0.01, 100, 1))
    assert difference.scaled == pytest.approx(0.2)
    compare_arrays("here", "x", expected, found, 0.21, arrays(0.01, 100, 1))
    with pytest.raises(AgreementError, match=r"expected at most 2e-01 times max\(standard deviation, \|value\|\)"):
        compare_arrays("here", "x", expected, found, 0.19, arrays(0.01, 100, 1))


def test_merged_differences_have_the_maximum_of_each_attribute():
    assert Difference(1, 5, 3).merged(Difference(4, 2, 6)) == Difference(4, 5, 6)


def test_difference_equal_to_the_tolerance_passes():
    assert compare_arrays("here", "mean", arrays(0, 8), arrays(0.25, 10), 0.25) == Difference(2, 0.25, 8)


@pytest.mark.parametrize(("expected", "found"), [((0, 8), (0.2501, 8)), ((0, 8), (0, 10.001)), ((0, 8), (0, 5.999))])
def test_difference_above_the_tolerance_is_refused(expected, found):
    with pytest.raises(AgreementError, match=r"here: mean differs from torch by .*expected at most 2e-01"):
        compare_arrays("here", "mean", arrays(*expected), arrays(*found), 0.25)


def test_nan_and_infinity_are_refused_on_both_sides():
    with pytest.raises(FiniteError, match="here: the graph yields NaN or infinity in mean"):
        compare_arrays("here", "mean", arrays(0, 1), arrays(0, np.nan), 1.0)
    with pytest.raises(FiniteError, match="here: the torch module yields NaN or infinity in mean"):
        compare_arrays("here", "mean", arrays(0, np.inf), arrays(0, 1), 1.0)


def test_other_shapes_are_refused():
    with pytest.raises(AgreementError, match=r"mean has shape \(3,\); expected \(2,\), as in torch"):
        compare_arrays("here", "mean", arrays(0, 1), arrays(0, 1, 2), 1.0)


@pytest.fixture
def loaded(bundle):
    return vaedge.load(bundle)


def test_graph_that_differs_from_its_module_is_refused(loaded, vae, make_spec):
    spec = make_spec(vae.encoder, vae.decoder)
    inputs = random_examples(64, spec)
    found = check_agreement(spec.networks[0], loaded, inputs, 1e-5)
    assert found.keys() == {"mean", "log_var"}
    with torch.no_grad():
        vae.encoder.output.bias[:3] += 1e-3
    with pytest.raises(AgreementError, match=r"the encoder at batch size 1: mean differs from torch by 1\.0e-03"):
        check_agreement(spec.networks[0], loaded, inputs, 1e-5)


def test_only_the_last_batch_size_reaches_the_last_example(loaded, vae, make_spec):
    spec = make_spec(vae.encoder, vae.decoder)
    inputs = random_examples(64, spec)
    inputs.z[63] = 1000
    found = check_agreement(spec.networks[1], loaded, inputs, 1e-2)
    whole = Difference.between(
        spec.networks[1].compute(spec.networks[1].inputs(inputs))["logits"], loaded.parameters(inputs.z)["logits"]
    )
    assert found["logits"].magnitude == whole.magnitude > 10
    assert agreement.BATCH_SIZES == (1, 2, 7, 64)


@pytest.mark.parametrize(
    ("convolves", "has_real", "tolerance", "description", "sources"),
    [
        (False, False, 1e-5, "random examples", ["random"]),
        (False, True, 1e-5, "examples", ["real"]),
        (True, False, 1e-4, "random examples", ["random"]),
        (True, True, 1e-4, "examples and random examples", ["random", "real"]),
    ],
)
def test_comparison_uses_real_examples_and_for_convolutions_random_ones_too(
    vae, make_spec, monkeypatch, convolves, has_real, tolerance, description, sources
):
    calls = []

    def check(network, vae, examples, tolerance):
        calls.append((network.name, examples, tolerance))
        return {f"{network.name}'s output": Difference(len(calls), 0, 9 - len(calls))}

    monkeypatch.setattr(agreement, "check_agreement", check)
    monkeypatch.setattr(agreement, "has_convolutions", lambda content: convolves and content == b"decoder")
    spec = make_spec(vae.encoder, vae.decoder)
    report = compare(spec, None, Graphs(b"encoder", b"decoder"), "random", "real" if has_real else None, 7)
    assert calls == [(name, source, tolerance) for source in sources for name in ("encoder", "decoder")]
    last = len(calls)
    assert report == {
        "tolerance": tolerance,
        "batches": [1, 2, 7, 64],
        "inputs": description,
        "denormal_weights_set_to_zero": 7,
        "differences": {
            "encoder's output": {"absolute": last - 1, "scaled": 0, "magnitude": 8},
            "decoder's output": {"absolute": last, "scaled": 0, "magnitude": 7},
        },
    }
