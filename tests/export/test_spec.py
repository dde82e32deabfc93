"""Validation of the arguments of an export."""

import numpy as np
import pytest

import vaedge
from vaedge.distributions.prior import Mixture, StandardNormal
from vaedge_export import ExportError, export_vae
from vaedge_export.examples import random_examples, validate_examples

CONDITIONS = {"y": vaedge.Condition("int64", (), ("a", "b")), "angle": vaedge.Condition("float32", (2,))}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"encoder": lambda x: x}, "the encoder is a function; expected a torch.nn.Module"),
        ({"input_shape": 784}, "input_shape is 784; expected the sizes of one example"),
        ({"latent_shape": (3.5,)}, "latent_shape is"),
        ({"latent_shape": ()}, "sizes of at least 1"),
        ({"latent_shape": (0,)}, "sizes of at least 1"),
        ({"input_shape": (1, 5, 5)}, "the encoder fails on a batch of shape"),
        ({"likelihood": "poisson"}, "likelihood is 'poisson'; expected one of bernoulli"),
        ({"fixed_batch": 0}, "fixed_batch is 0; expected at least 1"),
        ({"allow_loss": -1}, "allow_loss is -1; expected at least 0"),
        ({"allow_loss": float("nan")}, "allow_loss is nan"),
        ({"variants": "int8"}, "variants is 'int8'; expected a list"),
        ({"variants": ["int2"]}, "variant is 'int2'; expected one of fp32, fp16, int8, int4"),
        ({"variants": ["int8"]}, "variants int8 need examples, to measure the loss on them"),
        ({"conditions": {"X": CONDITIONS["y"]}}, "'X' cannot be the name of a condition"),
        ({"conditions": {"logits": CONDITIONS["y"]}}, "'logits' cannot be the name of a condition"),
        ({"conditions": {"y": vaedge.Condition("int32")}}, "expected a vaedge.Condition of int64 or float32"),
        ({"conditions": {"y": "label"}}, "expected a vaedge.Condition"),
        (
            {"conditions": {"y": vaedge.Condition("int64")}},
            "expected a condition of int64 with names of classes, or of float32 without classes",
        ),
        ({"conditions": {"y": vaedge.Condition("float32", (), ("a",))}}, "or of float32 without classes"),
    ],
)
def test_export_rejects_invalid_arguments(vae, shapes, tmp_path, change, message):
    arguments = {"encoder": vae.encoder, "decoder": vae.decoder, **shapes, **change}
    with pytest.raises(ExportError, match=message):
        export_vae(out=tmp_path / "b", **arguments)
    assert not (tmp_path / "b").exists()


def test_smallest_valid_numbers_are_accepted(vae, make_spec):
    spec = make_spec(vae.encoder, vae.decoder, fixed_batch=1, allow_loss=0, input_shape=[1, 4, 4])
    assert (spec.fixed_batch, spec.allow_loss, spec.input_shape) == (1, 0, (1, 4, 4))


def test_variants_are_listed_once_and_without_fp32(vae, make_spec):
    spec = make_spec(vae.encoder, vae.decoder, variants=["int8", "fp32", "fp16", "int8"])
    assert spec.variants == ("int8", "fp16")


def test_prior_is_standard_normal_unless_given(vae, make_spec):
    assert make_spec(vae.encoder, vae.decoder).prior == StandardNormal((3,))
    assert make_spec(vae.encoder, vae.decoder).prior_constants is None
    mixture = Mixture.from_parameters(*(np.zeros(shape, np.float32) for shape in ((1,), (1, 3), (1, 3))))
    assert make_spec(vae.encoder, vae.decoder, prior=mixture).prior_constants == mixture.to_npz()


def test_prior_of_another_latent_shape_is_rejected(vae, make_spec):
    mixture = Mixture.from_parameters(*(np.zeros(shape, np.float32) for shape in ((1,), (1, 4), (1, 4))))
    with pytest.raises(ExportError, match=r"the prior does not fit latent_shape \(3,\)"):
        make_spec(vae.encoder, vae.decoder, prior=mixture)


def test_random_examples_are_in_the_support_and_always_the_same(vae, make_spec):
    spec = make_spec(vae.encoder, vae.decoder, conditions=CONDITIONS)
    inputs, again = random_examples(500, spec), random_examples(500, spec)
    assert inputs.x.shape == (500, 1, 4, 4)
    assert inputs.x.dtype == inputs.z.dtype == np.float32
    assert 0 <= inputs.x.min() < 0.01
    assert 0.99 < inputs.x.max() <= 1
    assert set(inputs.conditions["y"]) == {0, 1}
    assert inputs.conditions["angle"].shape == (500, 2)
    np.testing.assert_array_equal(inputs.x, again.x)
    np.testing.assert_array_equal(inputs.z, again.z)


def test_random_examples_of_a_likelihood_without_limits_are_normal(vae, make_spec):
    x = random_examples(500, make_spec(vae.encoder, vae.decoder, likelihood="gaussian")).x
    assert abs(float(x.mean())) < 0.05
    assert float(x.std()) == pytest.approx(1, abs=0.05)


def test_random_examples_of_standardized_data_have_its_moments(vae, make_spec):
    moments = {"input_mean": np.float32([[[7.0]]]), "input_std": np.float32([[[20.0]]])}
    x = random_examples(500, make_spec(vae.encoder, vae.decoder, likelihood="gaussian", **moments)).x
    assert float(x.mean()) == pytest.approx(7, abs=1)
    assert float(x.std()) == pytest.approx(20, abs=1)


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        (np.zeros((3, 16), np.float32), "examples has shape"),
        (np.full((3, 1, 4, 4), 1.5, np.float32), "examples holds values from 1.5"),
        ({"x": np.zeros((3, 1, 4, 4), np.float32), "y": [0, 1, 0]}, "examples has the arrays x, y; expected x"),
        ({"y": [0]}, "examples has the arrays y; expected x"),
    ],
)
def test_invalid_examples_are_rejected(vae, make_spec, examples, message):
    with pytest.raises(ValueError, match=message):
        validate_examples(examples, make_spec(vae.encoder, vae.decoder))


def test_examples_of_a_conditional_model_need_each_condition(vae, make_spec):
    spec = make_spec(vae.encoder, vae.decoder, conditions=CONDITIONS)
    x = np.zeros((3, 1, 4, 4), np.float32)
    with pytest.raises(ExportError, match="examples has the arrays x, y; expected x, y, angle"):
        validate_examples({"x": x, "y": 0}, spec)
    inputs = validate_examples({"x": x, "y": 1, "angle": np.ones((3, 2), np.float32)}, spec)
    assert inputs.conditions["y"].tolist() == [1, 1, 1]
    assert list(inputs.conditions) == ["y", "angle"]


def test_variants_need_examples_that_the_likelihood_can_score(vae, make_spec, examples):
    with pytest.raises(ExportError, match="variants cannot be measured on these examples: a Bernoulli"):
        validate_examples(examples, make_spec(vae.encoder, vae.decoder, variants=["int8"]))
    validate_examples(examples, make_spec(vae.encoder, vae.decoder))
