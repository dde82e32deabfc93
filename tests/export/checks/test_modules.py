"""Modules that do not meet the requirements of `export_vae` are refused before they are traced."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import vaedge
from vaedge.bundle.reference import Inputs
from vaedge_export import (
    DependenceError,
    ExportError,
    FiniteError,
    MeaningError,
    SignatureError,
    SizeError,
    TrainingModeError,
    export_vae,
)
from vaedge_export.checks import modules
from vaedge_export.checks.modules import (
    check_dependence,
    check_logits,
    check_meaning,
    check_modules,
    check_size,
    check_training_mode,
)
from vaedge_export.examples import random_examples, validate_examples
from vaedge_train.model.likelihoods import LIKELIHOODS
from vaedge_train.model.priors import StandardNormal
from vaedge_train.model.vae import VAE


@pytest.fixture
def check(make_spec):
    """Return a function that runs all checks on random examples."""

    def run(encoder, decoder, **arguments):
        spec = make_spec(encoder.eval(), decoder.eval(), **arguments)
        check_modules(spec, random_examples(64, spec), real=False)

    return run


ENCODERS = {
    "it returns one draw": (lambda q: q[0], SignatureError, "returns 1 tensors; expected 2: mean, log_var.*chunk"),
    "it returns three tensors": (
        lambda q: (*q, q[0]),
        SignatureError,
        r"returns 3 tensors; expected 2: mean, log_var$",
    ),
    "it returns a mapping": (lambda q: {"mean": q[0]}, SignatureError, "returns a dict; expected mean and log_var"),
    "it returns numbers": (lambda q: (1.0, q[1]), SignatureError, "returns a tuple"),
    "a latent too many": (
        lambda q: (q[0].repeat(1, 2), q[1]),
        SignatureError,
        r"mean has shape \(2, 6\) for a batch of 2; expected \(2, 3\)",
    ),
    "a fixed number of rows": (
        lambda q: (q[0], q[1][:2]),
        SignatureError,
        r"log_var has shape \(2, 3\) for a batch of 3",
    ),
    "NaN": (
        lambda q: (q[0] / 0 * 0, q[1]),
        FiniteError,
        "the encoder: the torch module yields NaN or infinity in mean",
    ),
    "infinity": (lambda q: (q[0], q[1] + torch.inf), FiniteError, "infinity in log_var"),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_encoder_with_wrong_outputs_is_refused(vae, check, wrap, name):
    change, error, message = ENCODERS[name]
    with pytest.raises(error, match=message):
        check(wrap(vae.encoder, change), vae.decoder)


def test_modules_that_meet_the_requirements_pass(vae, check, wrap):
    check(vae.encoder, vae.decoder)
    check(wrap(vae.encoder, list), wrap(vae.decoder, lambda parameters: parameters[0]))


def test_decoder_with_a_fixed_batch_size_is_refused(vae, check, wrap):
    fixed = wrap(vae.decoder, lambda parameters: parameters[0].view(3, 1, 4, 4))
    with pytest.raises(ExportError, match=r"the decoder fails on a batch of shape z \(2, 3\): .*(view|invalid)"):
        check(vae.encoder, fixed)


def test_decoder_with_nan_weights_is_refused(vae, check):
    with torch.no_grad():
        vae.decoder.output.bias[0] = float("nan")
    with pytest.raises(FiniteError, match="decoder: the torch module yields NaN or infinity in x"):
        check(vae.encoder, vae.decoder)


@pytest.mark.parametrize("part", ["encoder", "decoder"])
def test_module_in_training_mode_is_refused(vae, shapes, tmp_path, part):
    getattr(vae, part).train()
    with pytest.raises(TrainingModeError, match=rf"the {part} is in training mode: call \.eval\(\)"):
        export_vae(vae.encoder, vae.decoder, tmp_path / "b", **shapes)
    assert not (tmp_path / "b").exists()


def test_part_in_training_mode_is_named(vae):
    vae.encoder.hidden.append(nn.Dropout(0.5))
    vae.encoder.hidden[-1].train()
    with pytest.raises(TrainingModeError, match=r"encoder is in training mode \(its submodule 'hidden.3', a Dropout\)"):
        check_training_mode("encoder", vae.encoder)


def test_size_counts_the_bytes_of_parameters_and_buffers(monkeypatch):
    module = nn.BatchNorm1d(8)  # 4 float32 tensors of 8 elements, and one int64 counter
    monkeypatch.setattr(modules, "_MAX_BYTES", 4 * 8 * 4 + 8)
    check_size("encoder", module)
    monkeypatch.setattr(modules, "_MAX_BYTES", 4 * 8 * 4 + 7)
    with pytest.raises(
        SizeError, match="the weights of the encoder take 136 bytes; a graph without further files can hold at most 135"
    ):
        check_size("encoder", module)


def test_module_that_does_not_fit_in_one_file_is_refused():
    module = nn.Module()
    module.weight = nn.Parameter(torch.zeros(1).expand(2**29 - 2**18), requires_grad=False)
    check_size("encoder", module)
    module.weight = nn.Parameter(torch.zeros(1).expand(2**29 - 2**18 + 1), requires_grad=False)
    with pytest.raises(SizeError, match="the weights of the encoder take 2,146,435,076 bytes"):
        check_size("encoder", module)


class Constant(nn.Module):
    """A module whose outputs do not depend on its input."""

    def __init__(self, *shapes):
        super().__init__()
        self.shapes = shapes

    def forward(self, value):
        outputs = tuple(torch.full((len(value), *shape), 0.5) + 0 * value.flatten(1).sum() for shape in self.shapes)
        return outputs if len(outputs) > 1 else outputs[0]


def test_module_that_ignores_its_input_is_refused(vae, check):
    with pytest.raises(DependenceError, match="the encoder returns the same output for 64 different x"):
        check(Constant((3,), (3,)), vae.decoder)
    with pytest.raises(DependenceError, match="the decoder returns the same output for 64 different z"):
        check(vae.encoder, Constant((1, 4, 4)))


def test_dependence_is_checked_only_where_the_inputs_differ():
    same, different = np.ones((4, 2), np.float32), np.ones((4, 2), np.float32)
    different[3, 1] = np.nextafter(np.float32(1), np.float32(2))
    check_dependence("encoder", same, "x", same)
    check_dependence("encoder", different, "x", different)
    check_dependence("encoder", different, "x", same)
    with pytest.raises(DependenceError, match="the encoder returns the same output for 4 different x"):
        check_dependence("encoder", same, "x", different)


def test_decoder_that_ends_in_a_sigmoid_is_refused(vae, check, wrap):
    with pytest.raises(MeaningError, match="remove the sigmoid at the end of the decoder"):
        check(vae.encoder, wrap(vae.decoder, lambda parameters: torch.sigmoid(parameters[0])))


@pytest.mark.parametrize("logits", [[0, 1], [0, 0.5], [0.5, 1]])
def test_logits_between_0_and_1_are_refused(logits):
    outputs = {"logits": np.array(logits, np.float32)}
    with pytest.raises(MeaningError, match=r"logits are all in \[0, 1\].*because bernoulli takes logits"):
        check_logits(LIKELIHOODS["bernoulli"], outputs)


@pytest.mark.parametrize("logits", [[-0.001, 1], [0, 1.001], [-3, 3]])
def test_logits_outside_of_0_to_1_pass(logits):
    check_logits(LIKELIHOODS["bernoulli"], {"logits": np.array(logits, np.float32)})


def test_parameters_other_than_logits_may_be_between_0_and_1():
    check_logits(LIKELIHOODS["gaussian"], dict.fromkeys(("loc", "log_scale"), np.array([0.5], np.float32)))


class Outputs(nn.Module):
    """An encoder that returns two constants, which may be (mean, log_var) or (log_var, mean)."""

    def __init__(self, first, second):
        super().__init__()
        self.values = first, second

    def forward(self, x, *conditions):
        return tuple(torch.full((len(x), 2, 3), value) for value in self.values)


class Zeros(nn.Module):
    """A decoder that returns loc = 0 and a constant log_scale."""

    def __init__(self, log_scale):
        super().__init__()
        self.log_scale = log_scale

    def forward(self, z, *conditions):
        loc = 0 * z.flatten(1)[:, :4]
        return loc, loc + self.log_scale


def losses(mean, log_var, log_scale):
    """Return two negative ELBOs for x = 0 and the prior N(0, I).

    The first value is for the given outputs. The second value is for exchanged mean and log_var.
    """
    reconstruction = 4 * (log_scale + 0.5 * np.log(2 * np.pi))
    given, swapped = (6 * 0.5 * (m**2 + np.exp(v) - v - 1) for m, v in ((mean, log_var), (log_var, mean)))
    return given + reconstruction, swapped + reconstruction


def swap_inputs(make_spec, mean, log_var, log_scale):
    spec = make_spec(
        Outputs(mean, log_var).eval(),
        Zeros(log_scale).eval(),
        input_shape=(4,),
        latent_shape=(2, 3),
        likelihood="gaussian",
        conditions={"angle": vaedge.Condition("float32")},
    )
    x, z = np.zeros((5, 4), np.float32), np.zeros((5, 2, 3), np.float32)
    return spec, Inputs(x, z, {"angle": np.zeros(5, np.float32)})


@pytest.mark.parametrize("latents", [(1.0, 0.5), (0.5, -0.5)])
def test_outputs_that_are_worse_by_a_tenth_than_in_the_other_order_are_refused(make_spec, latents):
    mean, log_var = latents
    difference = np.subtract(*losses(mean, log_var, 0.0))
    if difference < 0:
        mean, log_var = log_var, mean
    given, swapped = losses(mean, log_var, 0.0)
    # At log_scale = limit, given is exactly 1.1 * swapped. The test uses a larger and a smaller log_scale.
    limit = ((given - swapped) / 0.1 - swapped) / 4
    check_meaning(*swap_inputs(make_spec, mean, log_var, limit + 0.02))
    given, swapped = losses(mean, log_var, limit - 0.02)
    with pytest.raises(MeaningError, match=rf"is {given:.1f} nats per example, but only {swapped:.1f} if the outputs"):
        check_meaning(*swap_inputs(make_spec, mean, log_var, limit - 0.02))


def test_outputs_are_not_judged_where_the_bound_is_positive(make_spec):
    assert losses(1.0, 0.5, -3.0)[1] < 0
    check_meaning(*swap_inputs(make_spec, 1.0, 0.5, -3.0))


def test_outputs_are_judged_where_the_bound_is_just_below_zero(make_spec):
    log_scale = (0.5 - losses(1.0, 0.5, 0.0)[1]) / 4  # with exchanged outputs, the loss is 0.5 nats
    with pytest.raises(MeaningError, match=r"is 1\.0 nats per example, but only 0\.5 if"):
        check_meaning(*swap_inputs(make_spec, 1.0, 0.5, log_scale))


def test_swapped_outputs_of_a_trained_model_are_refused(run, make_spec, wrap):
    shapes = {"input_shape": (1, 28, 28), "latent_shape": (8,)}
    spec = make_spec(run.vae.encoder, run.vae.decoder, **shapes)
    check_modules(spec, validate_examples(run.examples["x"], spec), real=True)
    spec = make_spec(wrap(run.vae.encoder, lambda q: (q[1], q[0])), run.vae.decoder, **shapes)
    inputs = validate_examples(run.examples["x"], spec)
    with pytest.raises(MeaningError, match=r"outputs seem to be swapped: .*must return \(mean, log_var\)"):
        check_modules(spec, inputs, real=True)
    check_modules(spec, inputs, real=False)


def test_poor_encoder_of_vaedge_train_is_not_taken_for_swapped(run, make_spec):
    """An encoder of vaedge_train always returns (mean, log_var), so its outputs are not checked for a swap."""
    encoder = copy.deepcopy(run.vae.encoder)
    with torch.no_grad():
        for parameter in (encoder.output.weight, encoder.output.bias):
            parameter.copy_(parameter.roll(8, 0))  # exchange the rows of mean with the rows of log_var
    spec = make_spec(encoder, run.vae.decoder, input_shape=(1, 28, 28), latent_shape=(8,))
    inputs = validate_examples(run.examples["x"], spec)
    with pytest.raises(MeaningError, match="swapped"):
        check_meaning(spec, inputs)
    check_modules(spec, inputs, real=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda log_var: log_var / 2, r"second output seems to be log sigma: .* if the output is read as log sigma"),
        (lambda log_var: torch.exp(log_var / 2), r"seems to be the standard deviation sigma: .* log_var = 2 log sigma"),
    ],
)
def test_scale_in_the_place_of_log_var_is_refused(factors, make_spec, wrap, change, message):
    vae, x = factors
    shapes = {"input_shape": (6,), "latent_shape": (2,), "likelihood": "gaussian"}
    right = make_spec(vae.encoder, vae.decoder, **shapes)
    check_modules(right, validate_examples(x, right), real=True)
    wrong = make_spec(wrap(vae.encoder, lambda q: (q[0], change(q[1]))), vae.decoder, **shapes)
    inputs = validate_examples(x, wrong)
    with pytest.raises(MeaningError, match=message):
        check_modules(wrong, inputs, real=True)
    check_modules(wrong, inputs, real=False)


@pytest.mark.parametrize("scale", [1e-4, 1e4])
def test_scale_is_found_in_standardized_units(factors, make_spec, wrap, scale):
    vae, x = factors
    shapes = {"input_shape": (6,), "latent_shape": (2,), "likelihood": "gaussian", "input_std": scale}
    wrong = make_spec(wrap(vae.encoder, lambda q: (q[0], q[1] / 2)), vae.decoder, **shapes)
    with pytest.raises(MeaningError, match="second output seems to be log sigma"):
        check_modules(wrong, validate_examples(x * np.float32(scale), wrong), real=True)


class Posterior(nn.Module):
    """An encoder that returns the exact posterior of a linear model, with the variance multiplied by a factor.

    The six elements of x are three noisy copies of the two latents.
    """

    def __init__(self, factor=1.0):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        precision = 1 + 3 / NOISE**2
        mean = x.unflatten(1, (3, 2)).sum(1) / NOISE**2 / precision
        return mean, torch.full_like(mean, np.log(self.factor / precision))


class Repeats(nn.Module):
    def forward(self, z):
        loc = torch.cat([z, z, z], 1)
        return loc, torch.full_like(loc, np.log(NOISE))


NOISE = 0.1


@pytest.fixture
def factors():
    """Return (vae, x): a VAE with the exact posterior, and a table whose columns are noisy copies of two factors."""
    rng = np.random.default_rng(0)
    x = np.tile(rng.standard_normal((64, 2)), 3) + NOISE * rng.standard_normal((64, 6))
    vae = VAE(Posterior(), Repeats(), LIKELIHOODS["gaussian"], StandardNormal(2)).eval()
    return vae, x.astype(np.float32)


@pytest.mark.parametrize("factor", [0.1, 0.5, 2, 4])
def test_posteriors_that_are_too_narrow_or_too_wide_pass(factors, make_spec, factor):
    """Training with beta != 1 makes posteriors narrower or wider, but the second output is still log_var."""
    vae, x = factors
    shapes = {"input_shape": (6,), "latent_shape": (2,), "likelihood": "gaussian"}
    spec = make_spec(Posterior(factor).eval(), vae.decoder, **shapes)
    check_modules(spec, validate_examples(x, spec), real=True)
