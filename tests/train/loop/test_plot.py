"""The plot of the metrics in the run folder."""

import io
import sys

import numpy as np
import pytest
from PIL import Image

from vaedge_train import TrainConfig, train
from vaedge_train.loop.plot import metrics_png

TRAIN, MONITORED = (213, 94, 0), (0, 114, 178)  # the colors of the two curves


def rows(elbos, monitored="test"):
    """Return one row of metrics.jsonl for each of `elbos`.

    `elbos` are the ELBOs of the monitored part. The ELBOs of the training part are one nat lower.
    """
    parts = {"train": 1.0, monitored: 0.0}  # nats by which the ELBO is lower
    return [
        {"epoch": epoch}
        | {f"{part}_elbo": elbo - loss for part, loss in parts.items()}
        | {f"{part}_distortion": loss - elbo - 5 for part, loss in parts.items()}
        | {f"{part}_rate": 5 + loss for part, loss in parts.items()}
        for epoch, elbo in enumerate(elbos, start=1)
    ]


def shows(png, color):
    """Return a (height, width) mask of the pixels with the given color."""
    with Image.open(io.BytesIO(png)) as image:
        return (np.asarray(image.convert("RGB")) == color).all(-1)


@pytest.mark.parametrize("monitored", ["test", "validation"])
@pytest.mark.parametrize("epochs", [1, 2, 50])
def test_three_panels_show_the_training_part_and_the_monitored_part(monitored, epochs):
    png = metrics_png(rows(np.linspace(-100, -80, epochs), monitored), monitored)
    for color in (TRAIN, MONITORED):
        for panel in np.array_split(shows(png, color), 3, axis=1):
            assert panel.sum() > 20


def test_bad_first_epochs_do_not_hide_later_improvements():
    png = metrics_png(rows([-1e6, -1e5, *np.linspace(-100, -80, 18)]), "test")
    elbo = np.array_split(shows(png, MONITORED), 3, axis=1)[0]
    later = elbo[:, elbo.shape[1] // 2 :]
    assert later.any(axis=1).sum() > 100  # the curve covers many rows of pixels


def test_constant_metrics_are_drawn():
    assert shows(metrics_png(rows([-3.0] * 12), "test"), MONITORED).any()


@pytest.mark.parametrize("validation", [0.0, 0.2])
def test_training_draws_the_plot_at_its_end(image_folder, tmp_path, validation):
    config = TrainConfig(dataset=str(image_folder), hidden=(8,), latent=2, epochs=2, validation=validation)
    train(config, tmp_path / "run", progress=False)
    with Image.open(tmp_path / "run" / "metrics.png") as image:
        assert image.format == "PNG"
        assert image.width > 1000


def test_training_works_without_matplotlib(image_folder, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # importing it fails
    config = TrainConfig(dataset=str(image_folder), hidden=(8,), latent=2, epochs=1)
    run = train(config, tmp_path / "run", progress=False)
    assert not (run.path / "metrics.png").exists()
    assert (run.path / "samples.png").exists()
