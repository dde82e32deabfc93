"""A conditional model along the whole line: trained, exported, and asked for by name."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import vaedge
from vaedge.cli.main import main
from vaedge_export import ExportError, export_vae
from vaedge_export.from_run import export_run
from vaedge_train import TrainConfig, train


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    config = TrainConfig(condition="label", hidden=(32,), latent=4, epochs=2)
    return train(config, tmp_path_factory.mktemp("runs") / "told", progress=False)


@pytest.fixture(scope="module")
def bundle(run, tmp_path_factory):
    return export_run(run.path, tmp_path_factory.mktemp("models") / "told")


@pytest.fixture(scope="module")
def vae(bundle):
    return vaedge.load(bundle)


def test_the_manifest_names_the_condition_and_its_classes(vae, bundle):
    assert vae.manifest.conditions == {"y": vaedge.Condition("int64", (), tuple("0123456789"))}
    assert vaedge.check(bundle).passed
    assert "y=0)" in (bundle / "README.md").read_text()


def test_every_call_gives_what_torch_gives(run, vae):
    x, y = run.examples["x"], run.examples["y"]
    tx, ty = torch.from_numpy(x), torch.from_numpy(y)
    with torch.no_grad():
        mean, log_var = run.vae.inference(tx, ty)
        np.testing.assert_allclose(vae.encode(x, y=y).mean, mean, atol=1e-5)
        np.testing.assert_allclose(vae.encode(x, y=y).log_var, log_var, atol=1e-5)
        np.testing.assert_allclose(vae.reconstruct(x, y=y), run.vae.reconstruct(tx, ty), atol=1e-5)
        z = np.random.default_rng(0).standard_normal((10, 4)).astype(np.float32)
        logits = run.vae.generative(torch.from_numpy(z), torch.arange(10))[0]
    np.testing.assert_allclose(vae.decode(z, y=range(10)), torch.sigmoid(logits), atol=1e-5)
    np.testing.assert_allclose(vae.parameters(z, y=range(10))["logits"], logits, atol=1e-4)


def test_the_same_z_under_another_label_is_another_digit(vae):
    pictures = [vae.sample(1, seed=0, y=y)[0] for y in range(10)]
    assert np.abs(pictures[0] - pictures[1]).max() > 0.1
    np.testing.assert_allclose(vae.sample(10, seed=0, y=3)[0], pictures[3], atol=1e-6)


def test_labels_are_cut_with_their_items(vae):
    y = np.arange(1200) % 10
    whole = vae.sample(1200, seed=1, y=y)
    z = np.random.default_rng(1).standard_normal((1200, 4)).astype(np.float32)
    np.testing.assert_allclose(whole[1100:], vae.decode(z[1100:], y=y[1100:]), atol=1e-6)
    x = np.random.default_rng(2).random((1200, 1, 28, 28), np.float32)
    np.testing.assert_allclose(vae.encode(x, y=y).mean[700:], vae.encode(x[700:], y=y[700:]).mean, atol=1e-5)
    np.testing.assert_allclose(vae.reconstruct(x, y=y)[700:], vae.reconstruct(x[700:], y=y[700:]), atol=1e-5)
    assert vae.reconstruct(x, y=y, sample=True, seed=3).shape == x.shape


def test_interpolation_takes_one_label_or_one_for_each_step(vae, run):
    a, b = run.examples["x"][:2]
    path = vae.interpolate(a, b, 4, y=[1, 2, 3, 4])
    np.testing.assert_allclose(path[0], vae.reconstruct(a[None], y=1)[0], atol=1e-6)
    np.testing.assert_allclose(path[-1], vae.reconstruct(b[None], y=4)[0], atol=1e-6)
    assert vae.interpolate(a, b, 4, y=7).shape == path.shape


@pytest.mark.parametrize(
    ("conditions", "complaint"),
    [
        ({}, "beyond .* nothing was given; this model.s conditions are: y"),
        ({"label": 1}, "label was given; this model.s conditions are: y"),
        ({"y": 10}, "from 10 to 10; expected whole numbers from 0 to 9: 0, 1, 2"),
        ({"y": -1}, "from -1 to -1; expected"),
        ({"y": 1.0}, "float64"),
        ({"y": "three"}, "expected whole numbers"),
        ({"y": [1, 2]}, r"y has shape \(2,\); expected \(3,\), or \(\) for all items"),
        ({"y": None}, "expected whole numbers"),
    ],
)
def test_conditions_that_cannot_be_used(vae, conditions, complaint):
    with pytest.raises(vaedge.InputError, match=complaint):
        vae.sample(3, **conditions)


def test_a_model_without_conditions_takes_none():
    plain = vaedge.load(Path(__file__).parents[2] / "models" / "article")
    with pytest.raises(vaedge.InputError, match="y was given; this model.s conditions are: none"):
        plain.sample(3, y=1)


def test_the_command_line(vae, bundle, run, tmp_path, capsys):
    model, out = str(bundle), tmp_path / "x.npy"
    assert main(["sample", model, "-n", "3", "--seed", "0", "--condition", "y=1,2,3", "--out", str(out)]) == 0
    np.testing.assert_array_equal(np.load(out), vae.sample(3, seed=0, y=[1, 2, 3]))
    np.save(tmp_path / "y.npy", run.examples["y"])
    told = ["--condition", f"y={tmp_path / 'y.npy'}"]
    assert main(["reconstruct", model, str(run.path / "examples.npz"), *told, "--out", str(out)]) == 0
    np.testing.assert_array_equal(np.load(out), vae.reconstruct(run.examples["x"], y=run.examples["y"]))
    assert main(["info", model]) == 0
    assert "condition, () int64, 0 to 9: 0, 1, 2" in capsys.readouterr().out
    for wrong in ("z=1", "y=a", "y=", "y=1,2", "y=1.5"):
        assert main(["sample", model, "-n", "3", "--condition", wrong, "--out", str(out)]) == 1
        assert capsys.readouterr().err.startswith("vaedge: ")


@pytest.mark.parametrize("name", ["x", "seed", "logits", "Y", "mean", "a-b"])
def test_a_manifest_cannot_name_a_condition_like_an_argument(bundle, tmp_path, name):
    copied = shutil.copytree(bundle, tmp_path / "copied")
    tree = json.loads((copied / "manifest.json").read_text())
    tree["conditions"] = {name: tree["conditions"]["y"]}
    (copied / "manifest.json").write_text(json.dumps(tree))
    with pytest.raises(vaedge.BundleError, match=f"'{name}' cannot be the name of a condition"):
        vaedge.load(copied)


class Attributes(torch.nn.Module):
    """A pair of modules that take three floating attributes and a class."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.linear = torch.nn.Linear(inputs + 3, 2 * outputs)
        self.embedding = torch.nn.Embedding(2, inputs + 3)

    def forward(self, x, attributes, kind):
        both = self.linear(torch.cat([x, attributes], 1) + self.embedding(kind))
        return both.chunk(2, 1)


def test_several_conditions_of_any_kind(tmp_path):
    torch.manual_seed(0)
    conditions = {
        "attributes": vaedge.Condition("float32", (3,)),
        "kind": vaedge.Condition("int64", (), ("left", "right")),
    }
    pair = Attributes(5, 2).eval(), Attributes(2, 5).eval()
    shapes = {"input_shape": (5,), "latent_shape": (2,), "likelihood": "gaussian", "conditions": conditions}
    vae = vaedge.load(export_vae(*pair, tmp_path / "bundle", **shapes))
    x, attributes, kind = torch.randn(7, 5), torch.randn(7, 3), torch.tensor([0, 1, 1, 0, 0, 1, 0])
    found = vae.encode(x.numpy(), attributes=attributes.numpy(), kind=kind.numpy())
    np.testing.assert_allclose(found.mean, pair[0](x, attributes, kind)[0].detach(), atol=1e-5)
    with pytest.raises(vaedge.InputError, match="NaN"):
        vae.sample(1, attributes=[0.0, np.nan, 0.0], kind=0)
    with pytest.raises(ExportError, match="the examples are x; expected x, attributes, kind"):
        export_vae(*pair, tmp_path / "other", **shapes, examples=x.numpy())
    with pytest.raises(ExportError, match="fails on a batch of shape"):
        export_vae(*pair, tmp_path / "other", **{**shapes, "conditions": {}})
    assert not (tmp_path / "other").exists()


def test_pictures_of_a_conditional_model_have_a_column_for_each_class(run):
    with Image.open(run.path / "samples.png") as picture:
        assert picture.width > picture.height  # ten columns, eight rows


@pytest.mark.parametrize(
    "conditions",
    [
        {"n": vaedge.Condition("float32", (3,))},
        {"seed": vaedge.Condition("float32", (3,))},
        {"loc": vaedge.Condition("float32", (3,))},
        {"y": vaedge.Condition("int32", (), ("a",))},
        {"y": vaedge.Condition("int64")},
        {"y": 3},
    ],
)
def test_conditions_that_cannot_be_exported(tmp_path, conditions):
    pair = Attributes(5, 2).eval(), Attributes(2, 5).eval()
    with pytest.raises(ExportError, match="condition"):
        export_vae(
            *pair,
            tmp_path / "b",
            input_shape=(5,),
            latent_shape=(2,),
            likelihood="gaussian",
            conditions=conditions,
        )
