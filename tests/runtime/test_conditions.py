"""Conditional models take one value of each condition for each example."""

import struct

import numpy as np
import pytest
from hostile.graphs import graph, model, node, tensor, value

import vaedge
from vaedge.bundle.entries import Variant
from vaedge.bundle.manifest import Manifest
from vaedge.bundle.protobuf import bytes_field
from vaedge.bundle.reader import ModelFiles

X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)
Y = np.array([0, 1, 2, 3], np.float32)


def sigmoid(array):
    return 1 / (1 + np.exp(-np.asarray(array, np.float64)))


def serialized(nodes, tensors, inputs, outputs):
    fields = [bytes_field(11, value(name, (None, *shape))) for name, shape in inputs]
    fields += [bytes_field(12, value(name, (None, 3))) for name in outputs]
    return model(graph(nodes, tensors, b"".join(fields)))


@pytest.fixture(scope="module")
def conditional():
    """A model whose encoder gives mean = x + y and log_var = -4, and whose decoder gives logits = z + y."""
    axis = tensor(b"axis", (1,), 7, struct.pack("<q", 1))
    constants = [tensor(name, (), 1, struct.pack("<f", number)) for name, number in ((b"zero", 0), (b"four", 4))]
    column = node(b"Unsqueeze", (b"y", b"axis"), (b"column",))
    encoder = [
        column,
        node(b"Add", (b"x", b"column"), (b"mean",)),
        node(b"Mul", (b"x", b"zero"), (b"zeros",)),
        node(b"Sub", (b"zeros", b"four"), (b"log_var",)),
    ]
    decoder = [column, node(b"Add", (b"z", b"column"), (b"logits",)), node(b"Sigmoid", (b"logits",), (b"x",))]
    manifest = Manifest(
        name="conditional",
        input_shape=(3,),
        input_range=None,
        latent_shape=(3,),
        likelihood="continuous_bernoulli",
        parameters=("logits",),
        prior="standard_normal",
        prior_file=None,
        conditions={"y": vaedge.Condition("float32")},
        variants={"fp32": Variant("encoder.onnx", "decoder.onnx", 20, 10)},
        files={},
        minimum_onnxruntime="1.24",
    )
    encoder = serialized(encoder, [axis, *constants], ((b"x", (3,)), (b"y", ())), (b"mean", b"log_var"))
    decoder = serialized(decoder, [axis], ((b"z", (3,)), (b"y", ())), (b"x", b"logits"))
    return vaedge.VAE(ModelFiles(manifest, "fp32", encoder, decoder, None), threads=1)


@pytest.mark.parametrize(
    "options", [{"conditions": {"y": Y}}, {"y": Y}, {"y": Y.tolist()}], ids=["mapping", "y", "list"]
)
def test_condition_is_given_as_a_mapping_or_as_y(conditional, options):
    np.testing.assert_allclose(conditional.encode(X, **options).mean, X + Y[:, None], rtol=1e-6)
    np.testing.assert_allclose(conditional.decode(X, **options), sigmoid(X + Y[:, None]), rtol=1e-5)
    np.testing.assert_allclose(conditional.parameters(X, **options)["logits"], X + Y[:, None], rtol=1e-6)
    np.testing.assert_allclose(conditional.reconstruct(X, **options), sigmoid(X + 2 * Y[:, None]), rtol=1e-5)
    z = np.random.default_rng(5).standard_normal((4, 3))
    np.testing.assert_allclose(conditional.sample(4, seed=5, **options), sigmoid(z + Y[:, None]), rtol=1e-5)
    drawn = conditional.decode(conditional.encode(X, **options).sample(3), **options)
    np.testing.assert_array_equal(conditional.reconstruct(X, sample=True, seed=3, **options), drawn)


def test_one_value_is_used_for_all_examples(conditional):
    np.testing.assert_allclose(conditional.decode(X, y=2.0), sigmoid(X + 2), rtol=1e-5)


def test_conditions_are_split_with_the_batch(conditional):
    x, y = np.tile(X, (200, 1)), np.arange(800, dtype=np.float32) % 7
    np.testing.assert_allclose(conditional.encode(x, y=y).mean, x + y[:, None], rtol=1e-5)


@pytest.mark.parametrize("y", [2.0, [0.0, 1.0, 2.0, 3.0, 4.0]], ids=["one", "per step"])
def test_interpolation_takes_conditions_for_its_steps(conditional, y):
    values = np.broadcast_to(np.float32(y), 5)
    ends = X[0] + values[0], X[1] + values[-1]
    line = [(1 - step / 4) * ends[0] + step / 4 * ends[1] + values[step] for step in range(5)]
    np.testing.assert_allclose(conditional.interpolate(X[0], X[1], steps=5, y=y), sigmoid(line), rtol=1e-5)


def test_classes_are_given_by_name(table_bundle):
    vae = vaedge.load(table_bundle)
    names, numbers = ["green", "blue", "red, dark", "green"], [2, 1, 0, 2]
    np.testing.assert_array_equal(vae.sample(3, seed=0, y="blue"), vae.sample(3, seed=0, y=1))
    x = vae.sample(4, seed=0, conditions={"y": names})
    np.testing.assert_array_equal(x, vae.sample(4, seed=0, y=numbers))
    np.testing.assert_array_equal(vae.encode(x, y=np.array(names, object)).mean, vae.encode(x, y=numbers).mean)
    batch = vaedge.Batch(table_bundle, "decode")({"z": x, "y": np.array(names)})
    np.testing.assert_array_equal(batch["x"], vae.decode(x, y=numbers))
    with pytest.raises(vaedge.InputError, match="y: 'pink' is not a class .* one of 'red, dark', 'blue', 'green', or"):
        vae.sample(3, y=["blue", "pink", "green"])


@pytest.mark.parametrize("k", [1, 3, 2500])
def test_bounds_use_the_conditions_of_each_example(conditional, k):
    """All bounds agree with a formula that uses the same noise.

    The bound of the first example is the same if the batch has only this example.
    """
    x = sigmoid(X).astype(np.float32)
    bounds = conditional.bounds(x, k=k, seed=0, y=Y)
    np.testing.assert_array_equal(bounds.importance_weighted, conditional.log_prob(x, k=k, seed=0, y=Y))
    alone = conditional.bounds(x[:1], k=k, seed=0, y=Y[:1])
    np.testing.assert_allclose(bounds.elbo[0], alone.elbo[0], rtol=1e-6)
    eps = np.random.default_rng(0).standard_normal((4 * k, 3)).reshape(4, k, 3) if k < 2049 else None
    if eps is None:
        return
    mean = (x + Y[:, None])[:, None].astype(float)
    z = mean + np.exp(-2) * eps
    logits = z + Y[:, None, None]
    log_likelihood = x[:, None] * logits - np.log(np.expm1(logits) / logits)
    weights = (log_likelihood - 0.5 * z**2 + 0.5 * eps**2 - 2).sum(2)
    np.testing.assert_allclose(bounds.elbo, weights.mean(1), rtol=1e-4)
    np.testing.assert_allclose(bounds.importance_weighted, np.log(np.exp(weights).mean(1)), rtol=1e-4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "conditions given: none; this model takes: y"),
        ({"conditions": {"y": Y, "other": Y}}, "conditions given: y, other; this model takes: y"),
        ({"conditions": {"other": Y}, "y": Y}, "conditions given: other, y; this model takes: y"),
        ({"conditions": {"y": Y}, "y": Y}, "y was given twice"),
        ({"y": Y[:3]}, r"y has shape \(3,\); expected \(4,\), or one value of shape \(\) for all examples"),
        ({"y": [0, 1, 2, 3]}, "y is an array of int64; expected float32"),
    ],
)
def test_wrong_conditions_are_refused(conditional, options, message):
    with pytest.raises(vaedge.InputError, match=message):
        conditional.encode(X, **options)
    with pytest.raises(vaedge.InputError, match=message):
        conditional.sample(4, **options)
