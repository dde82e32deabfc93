"""Anomaly scores, p-values and calibrations in JavaScript."""

import numpy as np
import pytest
from web.mathematics.helpers import npz

from vaedge.detection.calibration import Calibration, divide
from vaedge.detection.terms import Terms
from vaedge.errors import BundleError, InputError

MODEL = "ab" * 32


def normal_terms(n, seed=0):
    rng = np.random.default_rng(seed)
    return Terms(rng.gamma(4, 20, n), rng.normal(30, 5, n))


def calibrated(terms):
    maps = np.random.default_rng(0).random((len(divide(len(terms.rate), 0)[0]), 2, 2), np.float32)
    return Calibration.fit(terms, maps, MODEL, 0)


def calibration_arrays(calibration):
    return {
        "points": calibration.score.points,
        "scores": calibration.scores,
        "evaluation": calibration.evaluation,
        "map_range": calibration.map_range,
        "model": np.frombuffer(bytes.fromhex(calibration.model), np.uint8).astype(np.int64),
    }


CALIBRATIONS = {
    "usual": normal_terms(2000),
    "smallest": normal_terms(20),
    "constant distortion": Terms(np.full(200, 5.0), normal_terms(200).rate),
    "constant rate": Terms(normal_terms(200).distortion, np.full(200, 7.0)),
    "linear rate": Terms(normal_terms(200).distortion, 30 + 10 * normal_terms(200).distortion),
}


@pytest.mark.parametrize("name", CALIBRATIONS)
def test_scores_and_p_values_agree(calculate, name):
    calibration = calibrated(CALIBRATIONS[name])
    terms = normal_terms(300, seed=1)
    extreme = [np.nan, np.inf, -np.inf, 1e30, 1e300, -1e6]
    terms = Terms(np.append(terms.distortion, extreme), np.append(terms.rate, extreme[::-1]))
    expected = calibration.score(terms)
    arrays = calibration_arrays(calibration) | {"distortion": terms.distortion, "rate": terms.rate}
    found = calculate("scores", arrays, model=MODEL)
    np.testing.assert_allclose(found["scores"], expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(found["pValues"], calibration.p_values(found["scores"]))
    np.testing.assert_array_equal(found["mapRange"], calibration.map_range)
    assert found["smallestRate"] == calibration.smallest_rate


def test_p_value_counts_scores_that_are_at_least_as_large(calculate):
    """The p-value of a score also counts calibration scores that are equal to this score."""
    calibration = calibrated(normal_terms(200))
    terms = normal_terms(1)
    own = calculate("scores", calibration_arrays(calibration) | terms._asdict(), model=MODEL)["scores"][0]
    scores = np.sort(np.float32([0, own, own, np.nextafter(own, np.float32(np.inf)), np.inf]))
    found = calculate("scores", calibration_arrays(calibration) | {"scores": scores} | terms._asdict(), model=MODEL)[
        "pValues"
    ]
    assert found == [(1 + 4) / 6]


INVALID_CALIBRATIONS = {
    "missing array": {"evaluation": None},
    "other array": {"further": np.float32([1])},
    "another model": {"model": np.full(32, 7)},
    "short model": {"model": np.full(31, 0xAB)},
    "large byte": {"model": np.full(32, 256)},
    "float model": {"model": np.full(32, 7, np.float32)},
    "integer points": {"points": np.ones((3, 2), np.int64)},
    "one point": {"points": np.ones((1, 2), np.float32)},
    "1001 points": {"points": np.ones((1001, 2), np.float32)},
    "three terms": {"points": np.ones((5, 3), np.float32)},
    "flat points": {"points": np.ones(6, np.float32)},
    "NaN points": {"points": np.float32([[1, 2], [np.nan, 3]])},
    "infinite points": {"points": np.float32([[1, 2], [np.inf, 3]])},
    "no scores": {"scores": np.ones(0, np.float32)},
    "integer scores": {"scores": np.ones(4, np.int64)},
    "scores with two axes": {"scores": np.ones((4, 1), np.float32)},
    "descending scores": {"scores": np.float32([2, 1])},
    "negative scores": {"scores": np.float32([-1, 1])},
    "NaN scores": {"scores": np.float32([1, np.nan])},
    "NaN evaluation": {"evaluation": np.float32([np.nan])},
    "infinite map_range": {"map_range": np.float32([0, np.inf])},
    "equal map_range": {"map_range": np.float32([1, 1])},
    "long map_range": {"map_range": np.float32([0, 1, 2])},
    "integer map_range": {"map_range": np.int64([0, 1])},
}


def test_invalid_calibrations_are_refused_with_the_messages_of_python(calculate_all):
    valid = calibration_arrays(calibrated(normal_terms(40)))
    cases = [
        {name: array for name, array in (valid | case).items() if array is not None}
        for case in INVALID_CALIBRATIONS.values()
    ]
    found = calculate_all("calibration", [(case, {"model": MODEL, "rate": 0.5}) for case in cases])
    for name, case, result in zip(INVALID_CALIBRATIONS, cases, found, strict=True):
        with pytest.raises(BundleError) as expected:
            Calibration.from_npz(npz(case), MODEL)
        assert result == {"error": "BundleError", "message": str(expected.value)}, name


def test_invalid_false_alarm_rates_are_refused_with_the_messages_of_python(calculate_all):
    calibration = calibrated(normal_terms(40))
    rates = [0, 1, -0.1, 1.5, 0.001, 1e-7]
    arrays = calibration_arrays(calibration)
    found = calculate_all("calibration", [(arrays, {"model": MODEL, "rate": rate}) for rate in rates])
    for rate, result in zip(rates, found, strict=True):
        with pytest.raises(InputError) as expected:
            calibration.require_rate(rate)
        message = str(expected.value).replace("false_alarm_rate", "falseAlarmRate")
        assert result == {"error": "InputError", "message": message}


def test_false_alarm_rate_must_be_a_number(calculate_all):
    arrays = calibration_arrays(calibrated(normal_terms(40)))
    found = calculate_all("calibration", [(arrays, {"model": MODEL, "rate": rate}) for rate in ("0.1", True, None)])
    for result in found:
        assert result["error"] == "InputError"
        assert "expected a number above 0 and below 1" in result["message"]


def test_smallest_false_alarm_rate_is_accepted(calculate):
    calibration = calibrated(normal_terms(40))
    arrays = calibration_arrays(calibration)
    assert calculate("calibration", arrays, model=MODEL, rate=calibration.smallest_rate) == {}
