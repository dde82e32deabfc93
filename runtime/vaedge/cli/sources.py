"""Sources of the rows that a command writes: samples of a model, and results of an operation on an array's rows."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from vaedge import VAE, InputError
from vaedge._types import FloatArray
from vaedge.cli.conditions import condition_columns
from vaedge.distributions.draws import Draws
from vaedge.files.shards import Arrays


class Buffers:
    """Two arrays that are used in turn: one is written to disk while the other is computed.

    A new array for each call would take longer than the computation, because the system fills new memory with zeros.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        """Store the shape of one row."""
        self._shape = shape
        self._arrays: list[FloatArray] = []

    def next(self, rows: int) -> FloatArray:
        """Return an array with `rows` rows. Calls alternate between two pieces of memory."""
        if len(self._arrays) < 2 or len(self._arrays[0]) < rows:
            self._arrays.append(np.empty((rows, *self._shape), np.float32))
        else:
            self._arrays.append(self._arrays[0])
        del self._arrays[:-2]
        return self._arrays[-1][:rows]


class Mapped:
    """A source of rows: the results of an operation on the rows of an array."""

    def __init__(
        self, rows: npt.NDArray[Any], conditions: Arrays, operation: Callable[..., Arrays], row_bytes: int
    ) -> None:
        """Store the arguments. No rows are read yet.

        Args:
            rows: Array of n rows, the first argument of the operation.
            conditions: Dict from the name of each condition to an array of n values.
            operation: Function that takes some rows and the keyword `conditions`, and returns a dict of result arrays.
            row_bytes: Number of bytes that the results of one row occupy.

        Raises:
            InputError: `rows` is empty.
        """
        if not len(rows):
            raise InputError(f"the input is empty, shape {rows.shape}; give at least one example")
        self._rows, self._conditions, self._operation = rows, conditions, operation
        self._next = 0
        self.n, self.row_bytes = len(rows), row_bytes

    def take(self, count: int) -> Arrays:
        """Compute the results of the next `count` rows."""
        rows = slice(self._next, self._next + count)
        self.skip(count)
        conditions = {name: values[rows] for name, values in self._conditions.items()}
        try:
            return self._operation(self._rows[rows], conditions=conditions)
        except InputError as error:
            last = min(rows.stop, self.n) - 1
            counted = f", counted as examples 0 to {last - rows.start}" if rows.start else ""
            raise InputError(f"in rows {rows.start} to {last}{counted}: {error}") from error

    def skip(self, count: int) -> None:
        """Skip the next `count` rows."""
        self._next += count


class Sampled:
    """Decoded draws from the prior: the rows of `vae.sample(n, seed=seed, draw=draw)`."""

    def __init__(
        self, vae: VAE, n: int, seed: int, conditions: Arrays, *, draw: bool = False, with_conditions: bool = False
    ) -> None:
        """Start the random number streams of z and x at the first row.

        Args:
            vae: The model.
            n: Number of rows.
            seed: Seed of the draws.
            conditions: Dict from the name of each condition to an array of n values.
            draw: Whether to draw x from p(x|z) instead of taking its mean.
            with_conditions: Whether the results also hold the conditions, with class names instead of numbers.

        Raises:
            InputError: `draw` is True, but the model's likelihood is not a distribution from which x can be drawn.
        """
        self._vae, self._conditions, self._with_conditions = vae, conditions, with_conditions
        self._draw = vae.prior.stream(seed)
        self._draws = Draws(vae.manifest.likelihood, seed, vae.manifest.log_scale_range) if draw else None
        self._next = 0
        self._buffers = Buffers(vae.input_shape)
        self.n, self.row_bytes = n, 4 * math.prod(vae.input_shape)

    def take(self, count: int) -> Arrays:
        """Draw and decode the next `count` rows."""
        conditions = {name: values[self._next : self._next + count] for name, values in self._conditions.items()}
        self._next += count
        z, out = self._draw(count), self._buffers.next(count)
        if self._draws is None:
            x = self._vae.decode(z, conditions=conditions, out=out)
        else:
            x = self._draws.next([*self._vae.parameters(z, conditions=conditions).values()], out)
        if not self._with_conditions:
            return {"x": x}
        return {"x": x, **condition_columns(conditions, self._vae.manifest)}

    def skip(self, count: int) -> None:
        """Draw the latents of the next `count` rows and discard them, so that later rows do not get these latents."""
        self._draw(count)
        if self._draws is not None:
            self._draws.skip(count * math.prod(self._vae.input_shape))
        self._next += count
