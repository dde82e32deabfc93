"""A run folder can be read, and an incomplete or damaged run folder raises RunError."""

import json
import shutil

import pytest
import torch

from vaedge_train import RunError, TrainConfig, load_run, train
from vaedge_train.run_folder import Description, append_metrics, create_run, read_config, read_metrics, truncate_metrics

FILES = ("config.json", "model.safetensors", "metrics.jsonl", "examples.npz")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished") / "run"
    return train(TrainConfig(hidden=(4,), latent=2, epochs=1, batch_size=2000), folder, progress=False)


@pytest.fixture
def folder(finished, tmp_path):
    """A copy of the folder of a finished run. A test may damage the copy."""
    return shutil.copytree(finished.path, tmp_path / "run")


def test_run_is_read_back(finished):
    again = load_run(finished.path)
    assert again.config == finished.config
    assert again.input_shape == (1, 28, 28)
    assert again.classes == ()
    assert again.examples["x"].shape == (500, 1, 28, 28)
    assert not again.vae.training
    for name, weight in finished.vae.state_dict().items():
        assert torch.equal(weight, again.vae.state_dict()[name])


def test_metrics_are_those_of_the_last_epoch_that_was_kept(folder):
    rows = [{"epoch": 2, "kept": True, "a": 1}, {"epoch": 3, "kept": False, "a": 2}]
    for row in rows:
        append_metrics(folder, row)
    assert load_run(folder).metrics == rows[0]
    assert read_metrics(folder)[1:] == rows


@pytest.mark.parametrize("epochs", [0, 1, 2, 5])
def test_truncated_metrics_keep_the_first_epochs(tmp_path, epochs):
    for epoch in range(3):
        append_metrics(tmp_path, {"epoch": epoch})
    truncate_metrics(tmp_path, epochs)
    assert [row["epoch"] for row in read_metrics(tmp_path)] == list(range(3))[:epochs]


def test_metrics_that_do_not_exist_are_not_created(tmp_path):
    truncate_metrics(tmp_path, 3)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", FILES)
def test_missing_file_is_an_error(folder, name):
    (folder / name).unlink()
    with pytest.raises(RunError, match=f"{name} is missing; expected .* to be a run of `vaedge train`"):
        load_run(folder)


@pytest.mark.parametrize("name", [*FILES, "evaluation.json"])
@pytest.mark.parametrize("content", [b"", b"nothing", b"PK\x03\x04", b"[]"])
def test_damaged_file_is_an_error(folder, name, content):
    (folder / name).write_bytes(content)
    if (name, content) == ("evaluation.json", b"[]"):
        assert load_run(folder).evaluations == []
        return
    with pytest.raises(RunError, match="damaged"):
        load_run(folder)


def test_weights_of_another_shape_are_an_error(folder):
    tree = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**tree, "latent": 3}))
    with pytest.raises(RunError, match="model.safetensors is damaged, or does not fit config.json"):
        load_run(folder)


def test_config_of_an_older_version_is_read(folder):
    """The first version of vaedge wrote no keys such as "classes". If they are missing, they get default values."""
    tree = json.loads((folder / "config.json").read_text())
    for key in ("classes", "encoding", "features", "label_column", "background"):
        del tree[key]
    (folder / "config.json").write_text(json.dumps(tree))
    assert read_config(folder)[1] == Description((1, 28, 28))


def test_existing_folder_is_not_created_again(tmp_path):
    assert create_run(tmp_path / "a" / "b").is_dir()
    with pytest.raises(RunError, match="b exists already; name another folder, or remove it first"):
        create_run(tmp_path / "a" / "b")
