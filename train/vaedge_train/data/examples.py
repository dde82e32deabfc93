"""The examples of a data set, with their classes, and the split of a data set into parts."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

from vaedge.cli.progress import progress_bar

_SPLIT_SEED = 0  # constant, so that runs with different seeds hold out the same examples
_TEST_DIVISOR = 10
_CHUNK_BYTES = 2**24


@dataclass(frozen=True)
class Examples:
    """Examples of a data set. They may be in a memory-mapped file that is larger than memory.

    Indexing copies the chosen examples into memory, with one exception: if `rows` is None, a slice is a view.

    Attributes:
        stored: (N, *input_shape) uint8 or floating-point numbers, in memory or memory-mapped. `scale` converts a batch
            to float32.
        classes: (N,) int64, the class of each example, or None if the examples have no classes.
        rows: (n,) int32, the indices of the examples in `stored`; None for all N examples in order.
    """

    stored: Tensor
    classes: Tensor | None = None
    rows: Tensor | None = None

    def __len__(self) -> int:
        return len(self.stored if self.rows is None else self.rows)

    def __getitem__(self, chosen: Tensor | slice) -> Self:
        rows = chosen if self.rows is None else self.rows[chosen]
        return type(self)(_take(self.stored, rows), None if self.classes is None else _take(self.classes, rows))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one example."""
        return tuple(self.stored.shape[1:])

    @property
    def is_8_bit(self) -> bool:
        """Whether the examples are stored as integers from 0 to 255."""
        return self.stored.dtype == torch.uint8

    @property
    def x(self) -> Tensor:
        """The values of all examples, (n, *input_shape). If `rows` is not None, they are a copy in memory."""
        return self.stored if self.rows is None else self[:].stored

    @property
    def y(self) -> Tensor | None:
        """(n,) int64: the classes of all examples, or None."""
        return self.classes if self.rows is None or self.classes is None else _take(self.classes, self.rows)

    def without_classes(self) -> Self:
        """Return the same examples without their classes."""
        return type(self)(self.stored, None, self.rows)

    def split(self, size: int) -> Iterator[Self]:
        """Yield the examples in order, in chunks of at most the given size."""
        return (self[start : start + size] for start in range(0, len(self), size))

    def chunks(self, purpose: str) -> Iterator[Self]:
        """Yield the examples in order, in chunks of about 16 MiB, and show a progress bar if reading takes long.

        Args:
            purpose: Label of the progress bar, such as "hashing data".
        """
        size = max(1, _CHUNK_BYTES // max(1, self.stored[:1].nbytes))
        with progress_bar(len(self), purpose, "examples") as progress:
            for chunk in self.split(size):
                yield chunk
                progress(len(chunk))

    def sha256(self) -> str:
        """Return a digest of the examples and their classes, as hexadecimal digits."""
        digest = hashlib.sha256()
        for chunk in self.chunks("hashing data"):
            digest.update(np.ascontiguousarray(chunk.stored.numpy()).data)
        if (y := self.y) is not None:
            digest.update(np.ascontiguousarray(y.numpy()).data)
        return digest.hexdigest()

    def hold_out(self, count: int) -> tuple[Self, Self]:
        """Split the examples at random, into the same two parts in every run. The examples are not copied.

        Args:
            count: Number of examples in the second part.

        Returns:
            The remaining examples, and the `count` examples. Each part keeps the original order.
        """
        if not count:
            return self, self[:0]
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(_SPLIT_SEED)).int()
        parts = order[count:].sort().values, order[:count].sort().values
        first, second = (part if self.rows is None else self.rows[part] for part in parts)
        return type(self)(self.stored, self.classes, first), type(self)(self.stored, self.classes, second)


@dataclass(frozen=True)
class Source:
    """A data set as it is in its files, before a validation part is held out.

    Attributes:
        train: Examples for training, of which a validation part may be held out.
        test: Test examples, which are never used for training or model selection.
        classes: Names of the classes 0, 1, ...; empty if there are no classes.
        features: Names of the columns of a table; empty if the columns have no names.
    """

    train: Examples
    test: Examples
    classes: tuple[str, ...] = ()
    features: tuple[str, ...] = ()


def with_test_part(examples: Examples, classes: tuple[str, ...] = (), features: tuple[str, ...] = ()) -> Source:
    """Hold out a tenth of the examples for testing, the same ones in every run.

    Args:
        examples: All examples of a data set that has no test part.
        classes: Names of the classes 0, 1, ...; empty if there are no classes.
        features: Names of the columns of a table; empty if the columns have no names.
    """
    return Source(*examples.hold_out(max(1, len(examples) // _TEST_DIVISOR)), classes, features)


def numbered_classes(*parts: Examples) -> tuple[str, ...]:
    """Return the names "0", "1", ... up to the largest class. Return () if a part of the data has no classes."""
    largest = [int(part.y.max()) for part in parts if part.y is not None]
    return tuple(map(str, range(max(largest) + 1))) if len(largest) == len(parts) else ()


def scale(pixels: Tensor) -> Tensor:
    """Convert uint8 values from 0 to 255 to float32 values from 0 to 1. Convert other values to float32 unscaled."""
    return pixels.float().div_(255) if pixels.dtype == torch.uint8 else pixels.float()


def _take(values: Tensor, rows: Tensor | slice) -> Tensor:
    """Return the chosen rows: a view for a slice, or a copy in memory for indices.

    numpy copies the rows in one thread. torch would use more threads, which would compete with the training step.
    """
    return values[rows] if isinstance(rows, slice) else torch.from_numpy(values.numpy()[rows.numpy()])
