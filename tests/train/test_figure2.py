"""The script examples/kingma_welling_figure2.py trains models, resumes training, and plots metrics."""

import importlib.util
import sys
from pathlib import Path

import pytest
from PIL import Image

SCRIPT = Path(__file__).parents[2] / "examples" / "kingma_welling_figure2.py"


@pytest.fixture
def figure2(tmp_path, monkeypatch):
    """Return a function that runs the script on the digits that ship with vaedge."""
    spec = importlib.util.spec_from_file_location(SCRIPT.stem, SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run(*latents):
        words = ["--dataset", "mnist-sample", "--epochs", "1", "--out", tmp_path, "--latents", *latents]
        monkeypatch.setattr(sys, "argv", [str(SCRIPT), *map(str, words)])
        module.main()

    return run


def test_script_repeats_no_finished_run_and_draws_one_panel_for_each_latent_size(figure2, tmp_path, capsys):
    figure2(2)
    metrics = (tmp_path / "latent-2" / "metrics.jsonl").read_bytes()
    with Image.open(tmp_path / "figure2.png") as image:
        width = image.width
    figure2(2, 3)
    assert (tmp_path / "latent-2" / "metrics.jsonl").read_bytes() == metrics  # the first run was not repeated
    with Image.open(tmp_path / "figure2.png") as image:
        assert image.width > width
    assert [line.split(":")[0] for line in capsys.readouterr().out.splitlines() if line.startswith("latent size")] == [
        *("latent size 2", "latent size 2", "latent size 3")
    ]
