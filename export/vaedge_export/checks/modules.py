"""Checks on the encoder and the decoder modules before they are traced.

An error of these checks describes a module. Errors of later checks describe a graph, and are harder to understand.
"""

import itertools
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from vaedge.bundle.reference import Inputs
from vaedge_export.errors import (
    DependenceError,
    ExportError,
    FiniteError,
    MeaningError,
    SignatureError,
    SizeError,
    TrainingModeError,
)
from vaedge_export.networks import Array, Shapes, as_tensors, call
from vaedge_export.spec import Spec
from vaedge_train.model.adapters import Labeled
from vaedge_train.model.conv import ConvEncoder
from vaedge_train.model.gaussian import LOG_VAR_RANGE
from vaedge_train.model.likelihoods import Likelihood
from vaedge_train.model.mlp import Encoder
from vaedge_train.model.priors import StandardNormal
from vaedge_train.model.vae import VAE

_MAX_BYTES = 2**31 - 2**20  # the limit of protobuf, minus a megabyte for the structure of the graph
# An encoder is refused if its negative ELBO is more than this factor times the negative ELBO of the swapped outputs.
_SWAP_FACTOR = 1.1
# An encoder is refused if another reading of its second output improves the ELBO by more than both limits. One limit
# is a fraction of the new ELBO, and one is a number of nats. A correct model, trained with beta = 4,
# reaches half of these limits.
_SCALE_FRACTION, _SCALE_NATS = 0.06, 2.0


def check_modules(spec: Spec, examples: Inputs, *, real: bool) -> None:
    """Run all checks on the modules, the cheapest ones first.

    Args:
        spec: The specification of the export.
        examples: At least 3 examples.
        real: Whether the examples are real data. If not, the check of the meaning of the outputs is omitted.

    Raises:
        ExportError: A module raises an exception.
        VerificationError: A module fails a check. Each check has its own subclass.
    """
    for name, module in (("encoder", spec.encoder), ("decoder", spec.decoder)):
        check_training_mode(name, module)
        check_size(name, module)
    encoder, decoder = spec.networks
    parameters = {name: decoder.outputs[name] for name in spec.likelihood.parameters}
    check_outputs("encoder", encoder.module, encoder.inputs(examples), encoder.outputs)
    check_outputs("decoder", spec.decoder, decoder.inputs(examples), parameters)
    computed = {network.name: network.compute(network.inputs(examples)) for network in spec.networks}
    for network in spec.networks:
        check_finite(network.name, computed[network.name])
        first = next(iter(computed[network.name].values()))
        check_dependence(network.name, first, network.main_input, network.inputs(examples)[network.main_input])
    check_logits(spec.likelihood, computed["decoder"])
    # check_meaning could refuse a model with a poor ELBO. The encoders of vaedge_train always return (mean, log_var).
    if real and not isinstance(spec.encoder, Encoder | ConvEncoder | Labeled):
        check_meaning(spec, examples)


def check_training_mode(name: str, module: nn.Module) -> None:
    """Refuse a module if it or any of its submodules is in training mode.

    Raises:
        TrainingModeError: A module or submodule is in training mode. The message names the submodule.
    """
    for part, submodule in module.named_modules():
        if submodule.training:
            where = f" (its submodule {part!r}, a {type(submodule).__name__})" if part else ""
            raise TrainingModeError(f"the {name} is in training mode{where}: call .eval() on the {name} first")


def check_size(name: str, module: nn.Module) -> None:
    """Refuse a module whose weights do not fit in one file.

    Raises:
        SizeError: The weights do not fit in one file.
    """
    tensors = itertools.chain(module.parameters(), module.buffers())
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    if size > _MAX_BYTES:
        raise SizeError(
            f"the weights of the {name} take {size:,} bytes; a graph without further files can hold at most "
            f"{_MAX_BYTES:,} bytes: export a smaller model"
        )


def check_outputs(name: str, module: nn.Module, inputs: Mapping[str, Array], outputs: Shapes) -> None:
    """Call a module on batches of 2 and 3 examples, and check the number and the shapes of its outputs.

    Args:
        name: "encoder" or "decoder".
        module: The module as the caller gave it.
        inputs: Dict from the name of each input to an (n, ...) array, n >= 3.
        outputs: Dict from the name of each output to the expected shape of one example, in order.

    Raises:
        ExportError: The module raises an exception.
        SignatureError: The outputs differ from the expected ones.
    """
    for batch_size in (2, 3):
        batch = {tensor: array[:batch_size] for tensor, array in inputs.items()}
        shapes = ", ".join(f"{tensor} {array.shape}" for tensor, array in batch.items())
        try:
            found = call(module, batch)
        except Exception as error:
            reason = (str(error) or repr(error)).splitlines()[0]
            raise ExportError(f"the {name} fails on a batch of shape {shapes}: {reason}") from error
        tensors = [found] if isinstance(found, Tensor) else found
        if not isinstance(tensors, tuple | list) or not all(isinstance(part, Tensor) for part in tensors):
            raise SignatureError(f"the {name} returns a {type(found).__name__}; expected {' and '.join(outputs)}")
        if len(tensors) != len(outputs):
            hint = "; split the tensor, for example h.chunk(2, dim=1)" if len(tensors) == 1 else ""
            raise SignatureError(
                f"the {name} returns {len(tensors)} tensors; expected {len(outputs)}: {', '.join(outputs)}{hint}"
            )
        for (output, shape), tensor in zip(outputs.items(), tensors, strict=True):
            if tuple(tensor.shape) != (batch_size, *shape):
                raise SignatureError(
                    f"the {name}'s {output} has shape {tuple(tensor.shape)} for a batch of {batch_size}; "
                    f"expected {(batch_size, *shape)}"
                )


def check_finite(name: str, outputs: Mapping[str, Array]) -> None:
    """Refuse a module that returns NaN or infinity.

    Raises:
        FiniteError: An output contains NaN or infinity. The message names the output.
    """
    for output, array in outputs.items():
        if not np.isfinite(array).all():
            raise FiniteError(f"the {name}: the torch module yields NaN or infinity in {output}")


def check_dependence(name: str, output: Array, input_name: str, given: Array) -> None:
    """Refuse a network whose first output is the same for different inputs.

    The first output is the encoder's mean or the decoder's x. Other outputs may be constant, such as the log_var of a
    posterior with a fixed variance.

    Args:
        name: "encoder" or "decoder".
        output: (n, ...), the first output.
        input_name: "x" or "z".
        given: (n, ...), the input.

    Raises:
        DependenceError: All rows of the output are equal, although the rows of the input differ.
    """
    if (output == output[:1]).all() and not (given == given[:1]).all():
        raise DependenceError(
            f"the {name} returns the same output for {len(output)} different {input_name}: the {name} ignores its "
            "input, or the posterior has collapsed completely"
        )


def check_logits(likelihood: Likelihood, outputs: Mapping[str, Array]) -> None:
    """Refuse logits that are all in [0, 1]. They are probably means, from a decoder that ends in a sigmoid.

    Args:
        likelihood: p(x|z).
        outputs: Dict from the name of each output of the decoder to an array.

    Raises:
        MeaningError: All logits are in [0, 1].
    """
    if likelihood.parameters == ("logits",):
        logits = outputs["logits"]
        if float(logits.min()) >= 0 and float(logits.max()) <= 1:
            raise MeaningError(
                "the decoder's logits are all in [0, 1], like means: remove the sigmoid at the end of the decoder, "
                f"because {likelihood.name} takes logits and applies the sigmoid itself"
            )


def check_meaning(spec: Spec, examples: Inputs) -> None:
    """Refuse an encoder if its outputs give a much better ELBO when they are not read as (mean, log_var).

    The check tries three other readings: (log_var, mean), (mean, sigma) and (mean, log sigma). It computes the ELBO in
    standardized units, with the prior N(0, I) and the noise `examples.z`. A model passes if all readings give about the
    same ELBO. This is the case for an untrained model.

    For the reading (mean, log sigma), log_var is 2 times the second output. If a factor of 1.5 or 3 gives an even
    better ELBO than the factor 2, the check ignores this reading. In this case, the order of the outputs is correct,
    but the posterior is too wide because the training was too short.

    Args:
        spec: The specification of the export.
        examples: Real examples.

    Raises:
        MeaningError: The outputs do not seem to be (mean, log_var).
    """
    conditions = [torch.from_numpy(values) for values in examples.conditions.values()]
    x, eps = torch.from_numpy(examples.x), torch.from_numpy(examples.z).flatten(1)
    if spec.standardization is not None:
        x = spec.standardization(x)
    with torch.no_grad():
        first, second = (output.flatten(1) for output in spec.encoder(x, *conditions))
    decoder = _FlatDecoder(spec.decoder, spec.latent_shape, conditions)

    def loss(mean: Tensor, log_var: Tensor) -> float:
        encoder = _Constant(mean, log_var.clamp(*LOG_VAR_RANGE))
        with torch.no_grad():
            terms = VAE(encoder, decoder, spec.likelihood, StandardNormal(eps.shape[1]))(x, eps[None])
        return float(-terms.elbo.mean())

    given, swapped = loss(first, second), loss(second, first)
    better = {}
    if 0 < swapped * _SWAP_FACTOR < given:
        better[swapped] = (
            f"the encoder's outputs seem to be swapped: the negative ELBO is {given:.1f} nats per example, but only "
            f"{swapped:.1f} if the outputs are read as (log_var, mean). The encoder must return (mean, log_var)"
        )
    scales = {}
    if bool((second > 0).all()):
        scales["the standard deviation sigma"] = loss(first, 2 * second.log())
    less, doubled, more = (loss(first, factor * second) for factor in (1.5, 2, 3))
    if doubled < min(less, more):
        scales["log sigma"] = doubled
    for name, other in scales.items():
        if given - other > max(_SCALE_NATS, _SCALE_FRACTION * abs(other)):
            better[other] = (
                f"the encoder's second output seems to be {name}: the negative ELBO is {given:.1f} nats per example, "
                f"but only {other:.1f} if the output is read as {name}. The encoder must return log_var = 2 log sigma"
            )
    if better:
        raise MeaningError(better[min(better)])


class _Constant(nn.Module):
    """An encoder that returns the same mean and log_var for every x."""

    def __init__(self, mean: Tensor, log_var: Tensor) -> None:
        super().__init__()
        self.outputs = mean, log_var

    def forward(self, _: Tensor) -> tuple[Tensor, Tensor]:
        return self.outputs


class _FlatDecoder(nn.Module):
    """A wrapper of a decoder. It takes z as an (n, latents) tensor, and passes fixed conditions to the decoder."""

    def __init__(self, decoder: nn.Module, latent_shape: tuple[int, ...], conditions: list[Tensor]) -> None:
        super().__init__()
        self.decoder, self.latent_shape, self.conditions = decoder, latent_shape, conditions

    def forward(self, z: Tensor) -> tuple[Tensor, ...]:
        return as_tensors(self.decoder(z.unflatten(1, self.latent_shape), *self.conditions))
