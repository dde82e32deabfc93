"""The README's code runs as it stands."""

import re
from pathlib import Path

import pytest

from vaedge.cli.main import COMMANDS
from vaedge_train import TrainConfig
from vaedge_train.build import build_vae
from vaedge_train.config import flag

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_embedding_the_runtime(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    names = {}
    exec(blocks("python")[0], names)
    assert names["path"].shape == (8, 1, 28, 28)
    assert capsys.readouterr().out.startswith("x has shape (1, 28, 28); expected (n, 1, 28, 28); for a single")


def test_exporting_modules(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    vae = build_vae(TrainConfig(hidden=(8,)), (1, 28, 28)).eval()
    exec(blocks("python")[2], {"encoder": vae.encoder, "decoder": vae.decoder})
    assert (tmp_path / "models" / "theirs" / "manifest.json").exists()


def test_every_command_and_every_flag_of_train_exists():
    shell = "".join(blocks("sh"))
    assert set(re.findall(r"^vaedge (\w+)", shell, re.MULTILINE)) == set(COMMANDS)
    flags = {flag(name) for name in TrainConfig.__dataclass_fields__} | {"--out"}
    used = set(re.findall(r"--[\w-]+", "".join(re.findall(r"^vaedge train.*", shell, re.MULTILINE))))
    assert used <= flags


@pytest.mark.parametrize("target", ["demo", "test", "lint", "bench", "models"])
def test_make_has_the_targets_that_it_names(target):
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert f"make {target}" in README.replace("\n", " ")


def test_ci_runs_the_readme_s_own_test_command():
    assert "make test" in blocks("sh")[0]
    assert "make lint test" in (ROOT / ".ci" / "run").read_text()
