"""A conditional model is trained, exported, and used with the argument `conditions`."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import vaedge
from vaedge.cli.main import main
from vaedge.files.images import grid_png
from vaedge_export import ExportError, export_run, export_vae
from vaedge_train import TrainConfig, train

DIGITS = tuple("0123456789")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    config = TrainConfig(condition="label", hidden=(32,), latent=4, epochs=2)
    return train(config, tmp_path_factory.mktemp("runs") / "conditional", progress=False)


@pytest.fixture(scope="module")
def bundle(run, tmp_path_factory):
    return export_run(run.path, tmp_path_factory.mktemp("models") / "conditional")


@pytest.fixture(scope="module")
def vae(bundle):
    return vaedge.load(bundle)


def test_manifest_names_the_condition_and_its_classes(vae, bundle):
    assert vae.manifest.conditions == {"y": vaedge.Condition("int64", (), DIGITS)}
    assert vaedge.check(bundle).passed


def test_card_shows_a_call_with_the_condition(bundle):
    assert 'conditions={"y": 0})' in (bundle / "README.md").read_text()


def test_every_method_computes_what_torch_computes(run, vae):
    x, y = run.examples["x"], run.examples["y"]
    x_tensor, y_tensor = torch.from_numpy(x), torch.from_numpy(y)
    conditions, every_digit = {"y": y}, {"y": range(10)}
    z = np.random.default_rng(0).standard_normal((10, 4)).astype(np.float32)
    with torch.no_grad():
        mean, log_var = run.vae.inference(x_tensor, y_tensor)
        reconstruction = run.vae.reconstruct(x_tensor, y_tensor)
        logits = run.vae.generative(torch.from_numpy(z), torch.arange(10))[0]
    posterior = vae.encode(x, conditions=conditions)
    np.testing.assert_allclose(posterior.mean, mean, atol=1e-5)
    np.testing.assert_allclose(posterior.log_var, log_var, atol=1e-5)
    np.testing.assert_allclose(vae.reconstruct(x, conditions=conditions), reconstruction, atol=1e-5)
    np.testing.assert_allclose(vae.decode(z, conditions=every_digit), torch.sigmoid(logits), atol=1e-5)
    np.testing.assert_allclose(vae.parameters(z, conditions=every_digit)["logits"], logits, atol=1e-4)


def test_keyword_y_is_a_shorthand_for_the_condition_y(run, vae):
    x, y = run.examples["x"], run.examples["y"]
    z = vae.encode(x, conditions={"y": y}).mean
    np.testing.assert_array_equal(vae.encode(x, y=y).mean, z)
    for operation, argument, options in (
        (vae.decode, z, {}),
        (vae.reconstruct, x, {}),
        (vae.reconstruct, x, {"sample": True, "seed": 1}),
        (vae.sample, len(x), {"seed": 2}),
        (vae.log_prob, np.round(x), {"k": 2, "seed": 3})
        if vae.manifest.likelihood == "bernoulli"
        else (vae.decode, z, {}),
    ):
        np.testing.assert_array_equal(
            operation(argument, y=y, **options), operation(argument, conditions={"y": y}, **options)
        )


def test_another_label_gives_another_digit_at_the_same_z(vae):
    images = [vae.sample(1, seed=0, y=y)[0] for y in range(10)]
    assert np.abs(images[0] - images[1]).max() > 0.1
    np.testing.assert_allclose(vae.sample(10, seed=0, y=3)[0], images[3], atol=1e-6)


def test_chunks_of_a_large_batch_keep_their_labels(vae):
    y = np.arange(1200) % 10
    samples = vae.sample(1200, seed=1, y=y)
    z = np.random.default_rng(1).standard_normal((1200, 4)).astype(np.float32)
    np.testing.assert_allclose(samples[1100:], vae.decode(z[1100:], y=y[1100:]), atol=1e-6)
    x = np.random.default_rng(2).random((1200, 1, 28, 28), np.float32)
    np.testing.assert_allclose(vae.encode(x, y=y).mean[700:], vae.encode(x[700:], y=y[700:]).mean, atol=1e-5)
    np.testing.assert_allclose(vae.reconstruct(x, y=y)[700:], vae.reconstruct(x[700:], y=y[700:]), atol=1e-5)
    assert vae.reconstruct(x, y=y, sample=True, seed=3).shape == x.shape


def test_interpolate_takes_one_label_or_one_per_step(vae, run):
    a, b = run.examples["x"][:2]
    path = vae.interpolate(a, b, 4, y=[1, 2, 3, 4])
    np.testing.assert_allclose(path[0], vae.reconstruct(a[None], y=1)[0], atol=1e-6)
    np.testing.assert_allclose(path[-1], vae.reconstruct(b[None], y=4)[0], atol=1e-6)
    assert vae.interpolate(a, b, 4, y=7).shape == path.shape


@pytest.mark.parametrize(
    ("conditions", "message"),
    [
        (None, "conditions given: none; this model takes: y"),
        ({}, "conditions given: none; this model takes: y"),
        ({"label": 1}, "conditions given: label; this model takes: y"),
        ({"y": 1, "label": 1}, "conditions given: y, label; this model takes: y"),
        ([("y", 1)], "conditions is a list; expected a mapping"),
        ({"y": 10}, "from 10 to 10; expected integers from 0 to 9, or the names '0', '1', '2'"),
        ({"y": -1}, "from -1 to -1; expected"),
        ({"y": 1.0}, "float64"),
        ({"y": "three"}, "y: 'three' is not a class of this model; expected one of '0', '1', '2'"),
        ({"y": [1, 2]}, r"y has shape \(2,\); expected \(3,\), or one value of shape \(\) for all examples"),
        ({"y": None}, "expected integers"),
    ],
)
def test_sample_rejects_invalid_conditions(vae, conditions, message):
    with pytest.raises(vaedge.InputError, match=message):
        vae.sample(3, conditions=conditions)


def test_sample_rejects_a_condition_that_is_given_twice(vae):
    with pytest.raises(vaedge.InputError, match="y was given twice"):
        vae.sample(3, conditions={"y": 1}, y=1)


def test_unconditional_model_rejects_conditions():
    unconditional = vaedge.load(Path(__file__).parents[2] / "models" / "article")
    with pytest.raises(vaedge.InputError, match="conditions given: y; this model has no conditions"):
        unconditional.sample(3, y=1)


def test_commands_take_conditions(vae, bundle, run, tmp_path, capsys):
    model, out = str(bundle), tmp_path / "x.npy"
    assert main(["sample", model, "-n", "3", "--seed", "0", "--condition", "y=1,2,3", "--out", str(out)]) == 0
    np.testing.assert_array_equal(np.load(out), vae.sample(3, seed=0, y=[1, 2, 3]))
    np.save(tmp_path / "y.npy", run.examples["y"])
    condition = ["--condition", f"y={tmp_path / 'y.npy'}"]
    assert main(["reconstruct", model, str(run.path / "examples.npz"), *condition, "--out", str(out)]) == 0
    np.testing.assert_array_equal(np.load(out), vae.reconstruct(run.examples["x"], y=run.examples["y"]))
    assert main(["info", model]) == 0
    assert "condition, () int64, 0 to 9: 0, 1, 2" in capsys.readouterr().out


@pytest.mark.parametrize("condition", ["z=1", "y=a", "y=", "y=1,2,3,4", "y=10", "y=1.5"])
def test_commands_reject_invalid_conditions(bundle, tmp_path, capsys, condition):
    out = tmp_path / "x.npy"
    assert main(["sample", str(bundle), "-n", "3", "--condition", condition, "--out", str(out)]) == 1
    assert capsys.readouterr().err.startswith("vaedge: ")
    assert not out.exists()


@pytest.mark.parametrize("name", ["x", "z", "decoded", "logits", "mean", "Y", "a-b"])
def test_load_rejects_a_condition_with_a_reserved_name(bundle, tmp_path, name):
    changed = shutil.copytree(bundle, tmp_path / "changed")
    manifest = json.loads((changed / "manifest.json").read_text())
    manifest["conditions"] = {name: manifest["conditions"]["y"]}
    (changed / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(vaedge.BundleError, match=f"'{name}' cannot be the name of a condition"):
        vaedge.load(changed)


class AttributeNetwork(torch.nn.Module):
    """An encoder or a decoder with two conditions: a vector of three floating-point attributes, and a class."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.linear = torch.nn.Linear(inputs + 3, 2 * outputs)
        self.embedding = torch.nn.Embedding(2, inputs + 3)

    def forward(self, x, attributes, kind):
        both = self.linear(torch.cat([x, attributes], 1) + self.embedding(kind))
        return both.chunk(2, 1)


SHAPES = {"input_shape": (5,), "latent_shape": (2,), "likelihood": "gaussian"}


def attribute_networks():
    torch.manual_seed(0)
    return AttributeNetwork(5, 2).eval(), AttributeNetwork(2, 5).eval()


def test_conditions_may_have_any_dtype_and_the_names_of_keywords(tmp_path):
    encoder, decoder = attribute_networks()
    conditions = {
        "attributes": vaedge.Condition("float32", (3,)),
        "seed": vaedge.Condition("int64", (), ("left", "right")),
    }
    vae = vaedge.load(export_vae(encoder, decoder, tmp_path / "bundle", **SHAPES, conditions=conditions))
    x, attributes, kind = torch.randn(7, 5), torch.randn(7, 3), torch.tensor([0, 1, 1, 0, 0, 1, 0])
    values = {"attributes": attributes.numpy(), "seed": kind.numpy()}
    expected = encoder(x, attributes, kind)[0].detach()
    np.testing.assert_allclose(vae.encode(x.numpy(), conditions=values).mean, expected, atol=1e-5)
    with pytest.raises(vaedge.InputError, match="NaN"):
        vae.sample(1, seed=0, conditions={"attributes": [0.0, np.nan, 0.0], "seed": 0})


def test_export_rejects_examples_without_conditions(tmp_path):
    conditions = {"attributes": vaedge.Condition("float32", (3,)), "kind": vaedge.Condition("int64", (), ("a", "b"))}
    with pytest.raises(ExportError, match="examples .* x.* expected x, attributes, kind"):
        export_vae(
            *attribute_networks(),
            tmp_path / "bundle",
            **SHAPES,
            conditions=conditions,
            examples=np.zeros((7, 5), np.float32),
        )
    with pytest.raises(ExportError, match="fails on a batch of shape"):
        export_vae(*attribute_networks(), tmp_path / "bundle", **SHAPES)
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(
    "conditions",
    [
        {"z": vaedge.Condition("float32", (3,))},
        {"loc": vaedge.Condition("float32", (3,))},
        {"a-b": vaedge.Condition("float32", (3,))},
        {"y": vaedge.Condition("int32", (), ("a",))},
        {"y": vaedge.Condition("int64")},
        {"y": 3},
    ],
)
def test_export_rejects_invalid_conditions(tmp_path, conditions):
    with pytest.raises(ExportError, match="condition"):
        export_vae(*attribute_networks(), tmp_path / "bundle", **SHAPES, conditions=conditions)


def test_samples_of_a_conditional_run_have_a_column_for_each_class(run):
    with Image.open(run.path / "samples.png") as image:
        assert image.width == 10 * (28 + 2) + 2


def test_decoded_images_have_the_names_of_their_classes_as_captions(bundle, vae, tmp_path):
    z = np.zeros((6, 4), np.float32)
    np.save(tmp_path / "z.npy", z)
    words = [
        "decode",
        str(bundle),
        str(tmp_path / "z.npy"),
        "--condition",
        "y=3,5,3,5,3,5",
        "--out",
        str(tmp_path / "z.png"),
    ]
    assert main(words) == 0
    captions = ["3", "5"] * 3
    expected = grid_png(vae.decode(z, conditions={"y": [3, 5] * 3}), captions=captions)
    assert (tmp_path / "z.png").read_bytes() == expected
