"""Checks on the two modules before anything is traced: errors in the terms of whoever wrote them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from vaedge_export.errors import (
    DependenceError,
    ExportError,
    FiniteError,
    MeaningError,
    SignatureError,
    SizeError,
    TrainingModeError,
)
from vaedge_export.examples import Array, Rows
from vaedge_train.model.likelihoods import Likelihood

_MOST_BYTES = 2**31 - 2**20  # what protobuf holds, less a megabyte for the graph itself
_SWAP_FACTOR = 1.1

Compute = Callable[[Mapping[str, Array]], tuple[Array, ...]]


def check_training_mode(name: str, module: nn.Module) -> None:
    """Refuse a module that is in training mode, as a whole or in a part.

    Raises:
        TrainingModeError: it is; the message names the part.
    """
    for part, submodule in module.named_modules():
        if submodule.training:
            where = f" (its part {part!r}, a {type(submodule).__name__})" if part else ""
            raise TrainingModeError(f"the {name} is in training mode{where}: call .eval() on it first")


def check_size(name: str, module: nn.Module) -> None:
    """Refuse a module whose weights do not fit in one file.

    Raises:
        SizeError: they do not.
    """
    tensors = [*module.parameters(), *module.buffers()]
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    if size > _MOST_BYTES:
        raise SizeError(
            f"the {name}'s weights take {size:,} bytes, and one self-contained graph can hold {_MOST_BYTES:,}: "
            "bundles are made for smaller models"
        )


def check_outputs(
    name: str, module: nn.Module, inputs: Mapping[str, Array], outputs: Mapping[str, tuple[int, ...]]
) -> None:
    """Call a module as it is on batches of 2 and 3, and check what comes back.

    Args:
        name: "encoder" or "decoder".
        module: of these inputs.
        inputs: at least 3 rows of each, by name.
        outputs: the expected outputs' names and item shapes, in order.

    Raises:
        ExportError: the module fails.
        SignatureError: what it returns is not what the contract says.
    """
    for batch in (2, 3):
        rows = {tensor: array[:batch] for tensor, array in inputs.items()}
        shapes = ", ".join(f"{tensor} {array.shape}" for tensor, array in rows.items())
        try:
            found = call(module, rows)
        except Exception as error:
            said = (str(error) or repr(error)).splitlines()[0]
            raise ExportError(f"the {name} fails on a batch of shape {shapes}: {said}") from error
        tensors = (found,) if isinstance(found, torch.Tensor) else found
        if not isinstance(tensors, tuple | list) or not all(isinstance(part, torch.Tensor) for part in tensors):
            raise SignatureError(f"the {name} returns a {type(found).__name__}; expected {' and '.join(outputs)}")
        if len(tensors) != len(outputs):
            hint = "; split it, for example h.chunk(2, dim=1)" if len(tensors) == 1 else ""
            raise SignatureError(
                f"the {name} returns {len(tensors)} tensors; expected {len(outputs)}: {', '.join(outputs)}{hint}"
            )
        for (output, shape), tensor in zip(outputs.items(), tensors, strict=True):
            if tuple(tensor.shape) != (batch, *shape):
                raise SignatureError(
                    f"the {name}'s {output} has shape {tuple(tensor.shape)} for a batch of {batch}; "
                    f"expected {(batch, *shape)}"
                )


def check_finite(name: str, outputs: Sequence[str], compute: Compute, inputs: Mapping[str, Array]) -> None:
    """Refuse a module that yields NaN or infinity.

    Raises:
        FiniteError: it does; the message names the output.
    """
    for output, array in zip(outputs, compute(inputs), strict=True):
        if not np.isfinite(array).all():
            raise FiniteError(f"the {name}: the torch module yields NaN or infinity in {output}")


def check_dependence(name: str, compute: Compute, inputs: Mapping[str, Array]) -> None:
    """Refuse a first output (the encoder's mean, the decoder's x) that is the same for every row.

    Other outputs may be constant: a posterior of fixed width, a scale that all elements share.

    Raises:
        DependenceError: it is the same, to the last bit.
    """
    first, main = compute(inputs)[0], next(iter(inputs))
    if (first == first[:1]).all() and not (inputs[main] == inputs[main][:1]).all():
        raise DependenceError(
            f"the {name} returns the same for {len(first)} different {main}: it ignores its input, or its posterior "
            "has collapsed altogether"
        )


def check_logits(likelihood: Likelihood, parameters: Sequence[Array]) -> None:
    """Refuse logits that all lie in [0, 1]: a decoder that ends in a sigmoid returns means, not logits.

    Raises:
        MeaningError: they do. (Logits that merely look like logits cannot be told from wrong ones.)
    """
    if likelihood.parameters == ("logits",):
        (logits,) = parameters
        if float(logits.min()) >= 0 and float(logits.max()) <= 1:
            raise MeaningError(
                f"the decoder's logits all lie in [0, 1], as means do: remove its last sigmoid, for {likelihood.name} "
                "takes logits and applies it itself"
            )


def check_not_swapped(encoder: nn.Module, decoder: nn.Module, likelihood: Likelihood, rows: Rows) -> None:
    """Refuse an encoder whose two outputs make a much better ELBO of real items the other way round.

    An untrained model, or one whose outputs happen to do as well either way, passes: swapped outputs of such a model
    cannot be told from right ones.

    Raises:
        MeaningError: log_var and mean look swapped.
    """
    with torch.no_grad():
        outputs = call(encoder, rows.to_encoder)
        told = [torch.from_numpy(values) for values in rows.told.values()]
        x, eps = torch.from_numpy(rows.x), torch.from_numpy(rows.z)
        losses = []
        for mean, log_var in (outputs, outputs[::-1]):
            log_var = log_var.clamp(-30, 20)
            found = decoder(mean + eps * torch.exp(0.5 * log_var), *told)
            parameters = (found,) if isinstance(found, torch.Tensor) else found
            rate = 0.5 * (mean.square() + torch.exp(log_var) - log_var - 1).flatten(1).sum(1)
            losses.append(float((rate - likelihood.log_prob(x, *parameters)).mean()))
    given, swapped = losses
    if 0 < swapped * _SWAP_FACTOR < given:
        raise MeaningError(
            f"the encoder's outputs look swapped: as (mean, log_var) the examples cost {given:.1f} nats each, and "
            f"{swapped:.1f} the other way round; it must return mean first"
        )


def call(module: nn.Module, inputs: Mapping[str, Array]) -> Any:
    """Call a module on arrays, without gradients, and return what it returns."""
    with torch.no_grad():
        return module(*map(torch.from_numpy, inputs.values()))


def torch_function(module: nn.Module) -> Compute:
    """Return the module as a function of arrays: named ones in, a tuple out."""

    def compute(inputs: Mapping[str, Array]) -> tuple[Array, ...]:
        return tuple(output.detach().numpy() for output in call(module, inputs))

    return compute
