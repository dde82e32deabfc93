"""The rows that an export is verified and measured on: the caller's examples, or random ones."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

import vaedge
from vaedge.distributions.random import standard_normal
from vaedge.validation import as_batch, as_condition
from vaedge_export.errors import ExportError

Array = npt.NDArray[Any]
ExamplesLike = npt.ArrayLike | Mapping[str, npt.ArrayLike]

_SEED = 0


@dataclass(frozen=True)
class Rows:
    """Rows of every input, as many of each.

    Attributes:
        x: (n, *input_shape) float32.
        z: (n, *latent_shape) float32, draws of N(0, I).
        told: the conditions' values, by name.
    """

    x: Array
    z: Array
    told: Mapping[str, Any]

    @property
    def to_encoder(self) -> dict[str, Array]:
        """What the encoder takes, by name, in order."""
        return {"x": self.x, **self.told}

    @property
    def to_decoder(self) -> dict[str, Array]:
        """What the decoder takes, by name, in order."""
        return {"z": self.z, **self.told}

    def resized(self, count: int) -> Self:
        """Return so many rows: the first ones, repeated where they are too few."""
        x, z, *values = (np.resize(a, (count, *a.shape[1:])) for a in (self.x, self.z, *self.told.values()))
        return type(self)(x, z, dict(zip(self.told, values, strict=True)))


def given_rows(
    examples: ExamplesLike,
    input_shape: tuple[int, ...],
    latent_shape: tuple[int, ...],
    value_range: tuple[float, float] | None,
    conditions: Mapping[str, vaedge.Condition],
) -> Rows:
    """Check the caller's examples.

    Raises:
        ExportError: a condition's examples are missing, or there are some of none.
        vaedge.InputError: they are no items, or no values of the condition.
    """
    given = dict(examples) if isinstance(examples, Mapping) else {"x": examples}
    if given.keys() != {"x", *conditions}:
        raise ExportError(f"the examples are {', '.join(given)}; expected {', '.join(['x', *conditions])}")
    x = as_batch(given["x"], "examples", input_shape, value_range)
    told = {name: as_condition(given[name], name, condition, len(x)) for name, condition in conditions.items()}
    return Rows(x, standard_normal((len(x), *latent_shape), _SEED), told)


def random_rows(
    count: int,
    input_shape: tuple[int, ...],
    latent_shape: tuple[int, ...],
    value_range: tuple[float, float] | None,
    conditions: Mapping[str, vaedge.Condition],
) -> Rows:
    """Draw rows: x uniform in its range or, without one, N(0, 1); the same ones every time."""
    rng = np.random.default_rng(_SEED)
    if value_range is None:
        x = rng.standard_normal((count, *input_shape), np.float32)
    else:
        x = rng.uniform(*value_range, (count, *input_shape)).astype(np.float32)
    told = {
        name: rng.integers(len(condition.classes), size=(count, *condition.shape))
        if condition.classes
        else rng.standard_normal((count, *condition.shape), np.float32)
        for name, condition in conditions.items()
    }
    return Rows(x, standard_normal((count, *latent_shape), _SEED), told)
