"""The specification of an export: its arguments, validated once and then frozen."""

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import nn

import vaedge
from vaedge.bundle.manifest import may_name_condition
from vaedge.distributions.prior import Prior, StandardNormal, read_prior
from vaedge_export.errors import ExportError
from vaedge_export.networks import DecoderWithMean, Network
from vaedge_export.variants.quantize import QUANTIZERS
from vaedge_train.model.likelihoods import LIKELIHOODS, Likelihood


@dataclass(frozen=True, kw_only=True)
class Spec:
    """The validated arguments of `export_vae`.

    Attributes:
        encoder: The encoder as the caller gave it.
        decoder: The decoder as the caller gave it. It returns the parameters of p(x|z), but not the mean.
        input_shape: Shape of one example of x.
        latent_shape: Shape of one z.
        likelihood: p(x|z).
        prior: p(z).
        conditions: Dict from the name of each further input of both networks to its description, in order.
        variants: Names of the variants to write in addition to fp32.
        allow_loss: Maximum loss of ELBO of a variant, in nats per example. None means the default budget.
        fixed_batch: Batch size of the additional copies of the float32 graphs. None means no copies.
    """

    encoder: nn.Module
    decoder: nn.Module
    input_shape: tuple[int, ...]
    latent_shape: tuple[int, ...]
    likelihood: Likelihood
    prior: Prior
    conditions: Mapping[str, vaedge.Condition]
    variants: tuple[str, ...]
    allow_loss: float | None
    fixed_batch: int | None

    @cached_property
    def prior_constants(self) -> bytes | None:
        """The content of the prior's file, or None if the prior has no constants."""
        return self.prior.to_npz()

    @cached_property
    def networks(self) -> tuple[Network, Network]:
        """The encoder and the decoder in the form that is traced. This decoder returns the mean of p(x|z) first."""
        decoder = DecoderWithMean(self.decoder, self.likelihood)
        return (
            Network("encoder", self.encoder, "x", dict.fromkeys(("mean", "log_var"), self.latent_shape)),
            Network("decoder", decoder, "z", dict.fromkeys(("x", *self.likelihood.parameters), self.input_shape)),
        )


def validate_arguments(
    encoder: nn.Module,
    decoder: nn.Module,
    *,
    input_shape: Sequence[int],
    latent_shape: Sequence[int],
    likelihood: str,
    prior: Prior | None,
    conditions: Mapping[str, vaedge.Condition],
    variants: Sequence[str],
    allow_loss: float | None,
    fixed_batch: int | None,
) -> Spec:
    """Validate the arguments without running a module. `export_vae` describes the arguments.

    Raises:
        ExportError: An argument is invalid.
    """
    input_shape, latent_shape = _as_shape("input_shape", input_shape), _as_shape("latent_shape", latent_shape)
    if likelihood not in LIKELIHOODS:
        raise ExportError(f"likelihood is {likelihood!r}; expected one of {', '.join(LIKELIHOODS)}")
    for name, module in (("encoder", encoder), ("decoder", decoder)):
        if not isinstance(module, nn.Module):
            raise ExportError(f"the {name} is a {type(module).__name__}; expected a torch.nn.Module")
    _validate_conditions(conditions, LIKELIHOODS[likelihood])
    if allow_loss is not None and not allow_loss >= 0:
        raise ExportError(f"allow_loss is {allow_loss}; expected at least 0")
    if fixed_batch is not None and fixed_batch < 1:
        raise ExportError(f"fixed_batch is {fixed_batch}; expected at least 1")
    return Spec(
        encoder=encoder,
        decoder=decoder,
        input_shape=input_shape,
        latent_shape=latent_shape,
        likelihood=LIKELIHOODS[likelihood],
        prior=_validated_prior(prior or StandardNormal(latent_shape), latent_shape),
        conditions=conditions,
        variants=_additional_variants(variants),
        allow_loss=allow_loss,
        fixed_batch=fixed_batch,
    )


def _as_shape(name: str, sizes: Sequence[int]) -> tuple[int, ...]:
    try:
        shape = tuple(operator.index(size) for size in sizes)
    except TypeError as error:
        raise ExportError(f"{name} is {sizes!r}; expected the sizes of one example, such as (1, 28, 28)") from error
    if not shape or min(shape) < 1:
        raise ExportError(f"{name} is {sizes!r}; expected sizes of at least 1")
    return shape


def _validate_conditions(conditions: Mapping[str, vaedge.Condition], likelihood: Likelihood) -> None:
    for name, condition in conditions.items():
        if not may_name_condition(name, likelihood.parameters):
            raise ExportError(
                f"{name!r} cannot be the name of a condition; expected an identifier in lower case that is not the "
                "name of a tensor of the graphs"
            )
        if not isinstance(condition, vaedge.Condition) or condition.dtype not in ("int64", "float32"):
            raise ExportError(f"condition {name} is {condition!r}; expected a vaedge.Condition of int64 or float32")
        if (condition.dtype == "int64") != bool(condition.classes):
            raise ExportError(
                f"condition {name} is {condition!r}; expected names of classes for int64, and no classes for float32"
            )


def _validated_prior(prior: Prior, latent_shape: tuple[int, ...]) -> Prior:
    try:
        return read_prior(prior.name, prior.to_npz(), latent_shape)
    except vaedge.BundleError as error:
        raise ExportError(f"the prior does not fit latent_shape {latent_shape}: {error}") from error


def _additional_variants(names: Sequence[str]) -> tuple[str, ...]:
    if isinstance(names, str):
        raise ExportError(f"variants is {names!r}; expected a list of names, such as ['int8']")
    known = ("fp32", *QUANTIZERS)
    for name in names:
        if name not in known:
            raise ExportError(f"variant is {name!r}; expected one of {', '.join(known)}")
    return tuple(name for name in dict.fromkeys(names) if name != "fp32")
