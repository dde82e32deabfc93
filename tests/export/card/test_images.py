"""The images of a model card, such as a map of two latents and histograms of a table."""

import io

import numpy as np
import pytest
from PIL import Image

import vaedge
from vaedge.detection import Calibration
from vaedge_export import ExportError, export_run, export_vae
from vaedge_export.card.images import detection_png
from vaedge_export.card.plots import histograms_png, round_step, scatter_png, scores_png
from vaedge_train import TrainConfig, train
from vaedge_train.build import build_vae

EXAMPLES = np.random.default_rng(0).random((30, 1, 4, 4), np.float32)
LABELS = ["cat", "dog", "bird"] * 10


def pixels(content):
    image = Image.open(io.BytesIO(content) if isinstance(content, bytes) else content)
    return np.asarray(image.convert("RGB")).astype(int)


def export(out, latent=2, input_shape=(1, 4, 4), likelihood="bernoulli", **arguments):
    vae = build_vae(TrainConfig(hidden=(8,), latent=latent, likelihood=likelihood), input_shape).eval()
    shapes = {"input_shape": input_shape, "latent_shape": (latent,), "likelihood": likelihood}
    return export_vae(vae.encoder, vae.decoder, out, **shapes, **arguments)


def test_two_latents_are_shown_as_a_manifold_and_as_posterior_means(tmp_path):
    bundle = export(tmp_path / "two", examples=EXAMPLES, labels=LABELS)
    card = (bundle / "README.md").read_text()
    assert "![manifold](manifold.png)" in card
    assert "![posterior means](latents.png)" in card
    # In the top left corner, z consists of the 0.5 % quantile of latent 0 and the 99.5 % quantile of latent 1.
    vae = vaedge.load(bundle)
    corner = vae.decode(np.array([[-2.5758293, 2.5758293]], np.float32))[0, 0]
    shown = pixels(bundle / "manifold.png")[2:6, 2:6, 0]
    np.testing.assert_allclose(shown, corner * 255, atol=1)


@pytest.mark.parametrize(
    ("arguments", "images"),
    [
        ({"latent": 3, "examples": EXAMPLES, "labels": LABELS}, {"samples", "reconstructions", "traverse"}),
        ({"latent": 2, "examples": EXAMPLES}, {"samples", "reconstructions", "traverse", "manifold"}),
        ({"latent": 2}, {"samples", "manifold"}),
    ],
    ids=["three latents", "no labels", "no examples"],
)
def test_other_models_have_only_the_images_that_fit(tmp_path, arguments, images):
    bundle = export(tmp_path / "bundle", **arguments)
    assert {path.stem for path in bundle.glob("*.png")} == images
    card = (bundle / "README.md").read_text()
    assert all(f"]({name}.png)" in card for name in images)
    assert card.count("![") == len(images)


def test_table_is_shown_as_histograms(tmp_path):
    x = np.random.default_rng(0).standard_normal((50, 5)).astype(np.float32)
    names = ("a", "b", "c", "a name that is longer than its panel", "été")
    arguments = {"likelihood": "gaussian", "input_shape": (5,), "features": names}
    bundle = export(tmp_path / "table", examples=x, **arguments)
    assert {path.name for path in bundle.glob("*.png")} == {"histograms.png"}
    assert vaedge.load(bundle).manifest.features == names
    assert "samples (draws from p(x|z)), seed 0" in (bundle / "README.md").read_text()
    assert not list(export(tmp_path / "empty", **arguments).glob("*.png"))  # a histogram needs data


def test_histograms_show_the_data_as_bars_and_the_samples_as_a_line(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr("vaedge_export.card.images.histograms_png", lambda *parts: drawn.append(parts) or b"")
    x = np.random.default_rng(0).standard_normal((50, 3)).astype(np.float32)
    bundle = export(tmp_path / "table", examples=x, likelihood="gaussian", input_shape=(3,))
    ((data, samples, names),) = drawn
    np.testing.assert_array_equal(data, x)
    assert len(samples) > len(x)
    np.testing.assert_array_equal(samples, vaedge.load(bundle).sample(len(samples), seed=0, draw=True))
    assert names == ("x0", "x1", "x2")


def test_table_with_a_surrogate_shows_means(tmp_path):
    x = np.random.default_rng(0).random((50, 20)).astype(np.float32)
    bundle = export(tmp_path / "table", examples=x, likelihood="bce_surrogate", input_shape=(20,))
    card = (bundle / "README.md").read_text()
    assert "means of p(x|z) at samples" in card
    assert "only the first 16 features are shown" in card
    assert "this model has no draws" in card


def test_run_keeps_the_classes_of_its_test_examples(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.random((200, 6)).astype(np.float32), rng.integers(0, 3, 200)
    np.savez(tmp_path / "x.npz", x=x, y=y)
    config = TrainConfig(dataset=str(tmp_path / "x.npz"), latent=2, hidden=(8,), epochs=1, likelihood="gaussian")
    run = train(config, tmp_path / "run", progress=False)
    assert run.classes == ()
    assert len(run.labels) == len(run.examples["x"]) == 20
    assert set(run.labels) <= {"0", "1", "2"}
    for label, example in zip(run.labels, run.examples["x"], strict=True):
        assert str(y[np.flatnonzero((x == example).all(1))[0]]) == label
    assert (export_run(run.path, tmp_path / "bundle") / "latents.png").is_file()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": LABELS[:3]}, "labels has 3 names; expected one for each"),
        ({"labels": LABELS, "examples": None}, "labels has 30 names; expected one for each"),
        ({"features": ("a",)}, "features is .*; expected one distinct name of printable"),
        ({"features": ("a", "\n")}, "expected one distinct name of printable characters"),
        ({"encoding": "int8"}, "encoding is 'int8'; expected 'uint8', or None"),
    ],
)
def test_invalid_description_of_the_data_is_refused(tmp_path, change, message):
    with pytest.raises(ExportError, match=message):
        export(tmp_path / "bundle", **{"examples": EXAMPLES, **change})


def test_histogram_has_the_shares_of_its_bins():
    """The bars of uniform data are equally high. The curve of the samples is visible outside the range of the data."""
    data = np.linspace(0, 1, 3000, dtype=np.float32)[:, None]
    image = pixels(histograms_png(data, data + 5, ["x"]))
    bars = (np.abs(image - (166, 196, 226)).sum(-1) < 10)[40:]
    line = (np.abs(image - (200, 80, 30)).sum(-1) < 60)[40:]
    columns = np.flatnonzero(bars.any(0))
    inner = bars.sum(0)[columns][8:-8]  # the first and the last bin extend beyond the data
    assert inner.max() - inner.min() <= 3
    assert columns.max() < np.flatnonzero(line[:100].any(0)).min()


def test_numbers_of_an_axis_are_below_the_ends_of_their_panel():
    """The left number begins at the left end of a panel, and the right number ends at the right end of the panel."""
    data = np.linspace(0, 1, 300, dtype=np.float32)[:, None].repeat(2, 1)
    image = pixels(histograms_png(data, data, ["x", "y"]))
    dark = (np.abs(image - 40).max(2) < 60)[30 + 14 + 130 + 2 :]  # below the panels: legend, name and panel
    columns = np.flatnonzero(dark.any(0))
    for left in (20, 240):  # the panels are 200 pixels wide
        inside = columns[(columns >= left - 5) & (columns <= left + 205)] - left
        assert inside.min() <= 3
        assert 190 <= inside.max() <= 200
        assert not ((inside > 60) & (inside < 140)).any()
    assert len(columns) == sum(((columns >= left) & (columns <= left + 200)).sum() for left in (20, 240))


@pytest.mark.parametrize("value", [0.0, 7.0, -1e30])
def test_histogram_of_a_constant_is_one_bar(value):
    image = pixels(histograms_png(np.full((9, 1), value, np.float32), np.full((9, 1), value, np.float32), ["x"]))
    bars = (np.abs(image - (166, 196, 226)).sum(-1) < 10)[40:]
    assert 3 < len(np.flatnonzero(bars.any(0))) < 12


def test_scatter_draws_each_class_in_its_color_and_far_points_at_the_edge():
    points = np.array([[0, 0], [2, 2], [-900, 0]], np.float32)
    image = pixels(scatter_png(points, ["10", "9", "other"], 3.0, 300))
    colors = {"9": (31, 119, 180), "10": (255, 127, 14), "other": (44, 160, 44)}  # sorted: numbers, then names
    for name, (row, column) in {"10": (184, 184), "9": (84, 284), "other": (184, 35)}.items():
        assert np.abs(image[row, column] - colors[name]).max() < 40, name


def test_scatter_names_the_classes_in_its_legend():
    """If only the names of the classes change, only the legend of a scatter plot changes."""
    points = np.array([[0, 0], [2, 2]], np.float32)
    first, second = (pixels(scatter_png(points, names, 3.0, 300)) for names in (["ax", "b"], ["ay", "b"]))
    assert first.shape == second.shape
    different = np.argwhere((first != second).any(-1))
    assert len(different)
    assert different[:, 1].min() > 300  # the legend is beside the plot


def test_scores_are_shown_with_a_line_at_each_threshold():
    scores = np.arange(1000, dtype=np.float32) / 100
    shown = pixels(scores_png(scores, scores, {"10 %": 5.0, "1 %": 8.0}))
    panel = shown[60:200]
    lines = np.flatnonzero((np.abs(panel - 40).max(2) < 30).all(0))
    assert len(lines) == 2
    # The axis shows the middle 99.8 % of the scores, with a margin of 2 % on each side; it is 640 pixels wide.
    low, high = 0.01 - 0.2, 9.98 + 0.2
    np.testing.assert_allclose((lines - 20) / 640 * (high - low) + low, [5, 8], atol=0.03)
    dark = np.flatnonzero((np.abs(shown - 40).max(2) < 60)[-12:].any(0))  # the name of the axis, in the middle
    assert abs((dark.min() + dark.max()) / 2 - (20 + 640 / 2)) < 5
    outlier = pixels(scores_png(scores[:10], scores[:10], {"1 %": 50.0}))[60:200]
    assert (np.abs(outlier - 40).max(2) < 30).all(0).sum() == 1  # the axis extends to every threshold


class FixedScores(Calibration):
    """A calibration that is made of given scores, without a fitted score function."""

    def __init__(self, scores, evaluation):
        object.__setattr__(self, "scores", np.float32(scores))
        object.__setattr__(self, "evaluation", np.float32(evaluation))


def test_thresholds_are_the_largest_scores_that_are_not_anomalies(monkeypatch):
    drawn = []
    monkeypatch.setattr("vaedge_export.card.images.scores_png", lambda *parts: drawn.append(parts) or b"")
    calibration = FixedScores(np.arange(199), np.arange(100))
    detection_png(calibration)
    detection_png(FixedScores(np.arange(8), np.arange(8)))
    (_, _, thresholds), (_, _, none) = drawn
    for label, rate in (("10 %", 0.1), ("1 %", 0.01)):
        found = np.float32(thresholds[label])
        p_values = calibration.p_values(np.float32([found, np.nextafter(found, np.float32(np.inf))]))
        assert p_values[0] > rate >= p_values[1]
    assert none == {}


def test_infinite_scores_can_be_drawn():
    detection_png(FixedScores([*range(150), *[np.inf] * 50], [0.0, np.inf]))
    detection_png(FixedScores([1.0] * 20, [1.0] * 20))


@pytest.mark.parametrize(
    ("length", "step"), [(1, 0.1), (1.5, 0.2), (7.2, 1), (10, 1), (11, 2), (35, 5), (0.03, 0.005), (99.9, 10)]
)
def test_axis_has_round_steps(length, step):
    assert round_step(length) == pytest.approx(step)


def test_scores_of_the_calibration_are_the_bars():
    calibration = np.linspace(0, 1, 300, dtype=np.float32)
    image = pixels(scores_png(calibration, calibration + 2, {}))[30 + 14 :]  # below the legend
    bars = np.flatnonzero((np.abs(image - (166, 196, 226)).sum(-1) < 10).any(0))
    assert bars.max() < image.shape[1] / 2
