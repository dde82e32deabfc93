"""The specification of an export: its arguments, validated once and then frozen."""

import operator
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

import vaedge
from vaedge.bundle.manifest import may_name_condition
from vaedge.bundle.optional_fields import ENCODINGS, may_name_features
from vaedge.distributions.prior import Prior, StandardNormal, read_prior
from vaedge_export.errors import ExportError
from vaedge_export.networks import Array, DecoderWithMean, Network, StandardizedEncoder
from vaedge_export.variants.quantize import QUANTIZERS
from vaedge_train.model.likelihoods import LIKELIHOODS, Likelihood
from vaedge_train.model.standardization import Moments, Standardization


@dataclass(frozen=True, kw_only=True)
class Spec:
    """The validated arguments of `export_vae`.

    Attributes:
        encoder: The encoder as the caller gave it.
        decoder: The decoder as the caller gave it. It returns only the parameters of p(x|z).
        input_shape: Shape of one example of x.
        latent_shape: Shape of one z.
        likelihood: p(x|z).
        prior: p(z).
        conditions: Dict from the name of each further input of both networks to its description, in order.
        variants: Names of the variants to write in addition to fp32.
        allow_loss: Maximum loss of a variant, a decrease of the ELBO in nats per example. None means the larger
            one of 0.3 and a thousandth of |ELBO|.
        fixed_batch: Batch size of the additional copies of the float32 graphs; None writes no copies.
        standardization: The map from the units of the data to those of the networks. None if the units are the same.
        encoding: "uint8" if x may also be given as uint8, which is divided by 255; otherwise None.
        features: Names of the elements of x, for tables; empty if they have no names.
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
    standardization: Standardization | None = None
    encoding: str | None = None
    features: tuple[str, ...] = ()

    @property
    def input_range(self) -> tuple[float, float] | None:
        """Minimum and maximum of the values of x: the range of the likelihood, or [0, 1] for 8-bit data.

        None means that every value is allowed.
        """
        return self.likelihood.support if self.encoding is None else (0.0, 1.0)

    @cached_property
    def prior_constants(self) -> bytes | None:
        """The content of the prior's file, or None if the prior has no constants."""
        return self.prior.to_npz()

    @cached_property
    def networks(self) -> tuple[Network, Network]:
        """The encoder and the decoder as they are traced. The first output of the decoder is the mean of p(x|z)."""
        encoder, standardization = self.encoder, self.standardization
        units: dict[str, Array] = {}
        if standardization is not None:
            encoder = StandardizedEncoder(encoder, standardization)
            units = dict.fromkeys(("x", "loc"), standardization.std.numpy())
        decoder = DecoderWithMean(self.decoder, self.likelihood, standardization)
        decoded = dict.fromkeys(("x", *self.likelihood.parameters), self.input_shape)
        return (
            Network("encoder", encoder, "x", dict.fromkeys(("mean", "log_var"), self.latent_shape)),
            Network("decoder", decoder, "z", decoded, units),
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
    input_mean: npt.ArrayLike | None = None,
    input_std: npt.ArrayLike | None = None,
    encoding: str | None = None,
    features: Sequence[str] = (),
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
    if encoding is not None and encoding not in ENCODINGS:
        raise ExportError(f"encoding is {encoding!r}; expected {' or '.join(map(repr, ENCODINGS))}, or None")
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
        standardization=_as_standardization(input_mean, input_std, input_shape, LIKELIHOODS[likelihood]),
        encoding=encoding,
        features=_validated_features(features, input_shape),
    )


def _validated_features(names: Sequence[str], input_shape: tuple[int, ...]) -> tuple[str, ...]:
    features = tuple(names)
    if features and not (all(map(_is_name, features)) and may_name_features(features, input_shape)):
        raise ExportError(
            f"features is {names!r}; expected one distinct name of printable characters for each element of x. The "
            f"names need an input_shape with one axis, got {input_shape}"
        )
    return features


def _is_name(name: object) -> bool:
    return isinstance(name, str) and name.isprintable()


def _as_standardization(
    mean: npt.ArrayLike | None, std: npt.ArrayLike | None, input_shape: tuple[int, ...], likelihood: Likelihood
) -> Standardization | None:
    """Return the map to standardized units, or None if neither mean nor std is given."""
    if mean is None and std is None:
        return None
    if likelihood.support is not None:
        raise ExportError(
            f"input_mean and input_std need likelihood 'gaussian', whose values have no limits; {likelihood.name} "
            "takes values from 0 to 1: omit input_mean and input_std, or change the likelihood"
        )
    moments = Moments(
        _as_moment("input_mean", 0.0 if mean is None else mean, input_shape),
        _as_moment("input_std", 1.0 if std is None else std, input_shape),
    )
    if not bool((moments.std >= torch.finfo(torch.float32).tiny).all()):
        raise ExportError(
            f"the minimum of input_std is {float(moments.std.min()):g}; expected at least 1.2e-38. If a feature is "
            "constant, use 1 for this feature"
        )
    return Standardization(moments)


def _as_moment(name: str, values: npt.ArrayLike, input_shape: tuple[int, ...]) -> Tensor:
    try:
        with np.errstate(over="ignore"):  # numbers too large for float32 become infinity, which is refused below
            array = np.asarray(values, np.float64).astype(np.float32)
    except (TypeError, ValueError) as error:
        raise ExportError(f"{name} is not an array of numbers: {error}") from error
    try:
        fits = np.broadcast_shapes(array.shape, input_shape) == input_shape
    except ValueError:
        fits = False
    if not fits:
        raise ExportError(f"{name} has shape {array.shape}; expected a shape that broadcasts to {input_shape}")
    if not np.isfinite(array).all():
        raise ExportError(f"{name} has NaN or infinity; expected finite float32 numbers")
    return torch.from_numpy(array)


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
                f"{name!r} cannot be the name of a condition; expected an identifier in lower case that differs from "
                "the names of the other inputs and outputs, such as 'y'"
            )
        if not isinstance(condition, vaedge.Condition) or condition.dtype not in ("int64", "float32"):
            raise ExportError(f"condition {name} is {condition!r}; expected a vaedge.Condition of int64 or float32")
        if (condition.dtype == "int64") != bool(condition.classes):
            raise ExportError(
                f"condition {name} is {condition!r}; expected a condition of int64 with names of classes, or of "
                "float32 without classes"
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
