import numpy as np
import pytest
from hostile.archives import archive, npy

from vaedge.detection.calibration import MIN_EXAMPLES, Calibration, divide
from vaedge.detection.score import MAX_POINTS
from vaedge.detection.terms import Terms
from vaedge.errors import BundleError, InputError

MODEL = "ab" * 32


def normal_terms(n, seed=0):
    rng = np.random.default_rng(seed)
    return Terms(rng.gamma(4, 20, n), rng.normal(30, 5, n))


def fit(terms, seed=0):
    maps = np.random.default_rng(seed).random((len(divide(len(terms.rate), seed)[0]), 1, 2, 2), np.float32)
    return Calibration.fit(terms, maps, MODEL, seed)


@pytest.fixture(scope="module")
def calibration():
    return fit(normal_terms(2000), 0)


def test_parts_have_the_documented_sizes(calibration):
    assert len(calibration.score.points) == 400
    assert len(calibration.scores) == len(calibration.evaluation) == 800
    large = fit(normal_terms(9001), 0)
    assert len(large.score.points) == MAX_POINTS
    assert (len(large.scores), len(large.evaluation)) == (4000, 4001)


def test_parts_are_disjoint_and_complete():
    terms = normal_terms(100)
    found = fit(terms, 3)
    scores = found.score(terms)
    fitted = np.isin(terms.distortion.astype(np.float32), found.score.points[:, 0])
    assert fitted.sum() == 20
    np.testing.assert_array_equal(np.sort(scores[~fitted]), np.sort(np.concatenate([found.scores, found.evaluation])))


def test_p_value_counts_scores_that_are_at_least_as_large(calibration):
    n, largest = len(calibration.scores), calibration.scores[-1]
    found = calibration.p_values(np.float32([0, largest, np.nextafter(largest, np.float32(np.inf)), np.inf]))
    np.testing.assert_array_equal(found, np.array([n + 1, 2, 1, 1]) / (n + 1))


@pytest.mark.parametrize("rate", [0.1, 0.01])
def test_false_alarm_rate_holds_on_average(rate):
    """The mean share of false alarms over 50 independent data sets is within four standard errors of the exact rate."""
    found = [fit(normal_terms(1000, seed), seed).false_alarms(rate) for seed in range(50)]
    shares, errors = np.transpose(found)
    assert errors[0] == pytest.approx(np.sqrt(rate * (1 - rate) * (2 / 400)))
    # With n calibration scores, P(p-value <= rate) = floor(rate (n + 1)) / (n + 1).
    exact = np.floor(rate * 401) / 401
    assert abs(shares.mean() - exact) < 4 * errors[0] / np.sqrt(50)


def test_file_has_the_same_bytes_and_round_trips(calibration):
    content = calibration.to_npz()
    assert content == fit(normal_terms(2000), 0).to_npz()
    found = Calibration.from_npz(content, MODEL)
    for name in ("scores", "evaluation", "map_range"):
        np.testing.assert_array_equal(getattr(found, name), getattr(calibration, name))
    terms = normal_terms(50, seed=9)
    np.testing.assert_array_equal(found.score(terms), calibration.score(terms))


def test_save_replaces_the_file(calibration, tmp_path):
    path = tmp_path / "calibration.npz"
    path.write_bytes(b"old")
    calibration.save(path)
    assert path.read_bytes() == calibration.to_npz()
    assert [file.name for file in tmp_path.iterdir()] == ["calibration.npz"]


def test_save_into_a_missing_folder_is_refused(calibration, tmp_path):
    with pytest.raises(InputError, match="absent is not a folder; create it first"):
        calibration.save(tmp_path / "absent" / "calibration.npz")


def test_calibration_of_another_model_is_refused(calibration):
    with pytest.raises(BundleError, match="another bundle or to another variant"):
        Calibration.from_npz(calibration.to_npz(), "cd" * 32)


@pytest.mark.parametrize("rate", [0, 1, -0.1, 1.5, float("nan"), float("inf"), True, "0.1", None])
def test_invalid_rate_is_refused(calibration, rate):
    with pytest.raises(InputError, match="false_alarm_rate is .*; expected a number above 0 and below 1"):
        calibration.require_rate(rate)


def test_rate_below_the_smallest_p_value_states_the_needed_number_of_examples(calibration):
    assert calibration.require_rate(1 / 801) == 1 / 801
    with pytest.raises(InputError, match=r"800 calibration examples do not allow rates below 1/801; .* at least 999 "):
        calibration.require_rate(0.001)
    assert calibration.require_rate(np.float32(0.01)) == pytest.approx(0.01)


def test_fit_refuses_terms_that_are_not_finite():
    terms = normal_terms(MIN_EXAMPLES)
    terms.rate[:] = np.nan
    with pytest.raises(InputError, match="NaN or infinity"):
        fit(terms, 0)


def floats(*values):
    return npy(shape=f"({len(values)},)", data=np.array(values, "<f4").tobytes())


def arrays(**changes):
    two = "(2, 2)"
    valid = {
        "points": npy(shape=two, data=np.eye(2, dtype="<f4").tobytes()),
        "scores": npy(shape="(2,)"),
        "evaluation": npy(shape="(2,)"),
        "map_range": floats(0, 1),
        "model": npy("'<i8'", "(32,)", np.full(32, 0xAB, "<i8").tobytes()),
    }
    return archive(**{name: part for name, part in {**valid, **changes}.items() if part is not None})


def test_hand_written_file_is_read():
    assert len(Calibration.from_npz(arrays(), MODEL).scores) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scores": None}, "expected points, scores, evaluation, map_range, model"),
        ({"more": npy()}, "expected points, scores, evaluation, map_range, model"),
        ({"scores": floats()}, "scores is float32 of shape"),
        ({"scores": npy("'<i8'", "(1,)")}, "scores is int64"),
        ({"scores": npy(shape="(1, 2)")}, "scores is float32 of shape"),
        ({"scores": floats(2, 1)}, "ascending order"),
        ({"scores": floats(-1, 1)}, "non-negative"),
        ({"evaluation": floats(1, float("nan"))}, "non-negative numbers in ascending order"),
        ({"scores": floats(1, float("nan"))}, "non-negative numbers in ascending order"),
        ({"points": npy(shape="(2, 1)")}, "points"),
        ({"map_range": floats(1, 1)}, "map_range"),
        ({"map_range": floats(0, float("inf"))}, "map_range"),
        ({"map_range": floats(float("nan"), 1)}, "map_range"),
        ({"map_range": floats(1)}, "map_range"),
        ({"map_range": npy("'<i8'", "(2,)", np.arange(2, dtype="<i8").tobytes())}, "map_range"),
        ({"model": npy("'<i8'", "(1,)")}, "bytes of a SHA-256"),
        ({"model": npy("'<i8'", "(32,)", np.full(32, 256, "<i8").tobytes())}, "bytes of a SHA-256"),
        ({"model": npy(shape="(32,)", data=bytes(128))}, "bytes of a SHA-256"),
    ],
)
def test_invalid_file_is_refused(changes, message):
    with pytest.raises(BundleError, match=message):
        Calibration.from_npz(arrays(**changes), MODEL)


def test_map_range_covers_normal_examples():
    terms = normal_terms(1000)
    maps = np.random.default_rng(0).exponential(size=(200, 1, 10, 10)).astype(np.float32)
    low, high = Calibration.fit(terms, maps, MODEL, 0).map_range
    assert low == np.median(maps)
    assert 0.005 < (maps.max((1, 2, 3)) > high).mean() < 0.02


def test_map_range_of_constant_maps_is_not_empty():
    low, high = Calibration.fit(normal_terms(20), np.full((4, 3), 5, np.float32), MODEL, 0).map_range
    assert low == 5 < high


def test_representation_is_short(calibration):
    assert repr(calibration) == "<vaedge.detection.Calibration, 800 calibration examples, model abababab>"
