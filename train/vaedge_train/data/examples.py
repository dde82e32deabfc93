"""Examples in memory with their classes, and the split of a data set into parts."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

_SPLIT_SEED = 0  # a constant: runs with different seeds hold out the same examples
_TEST_DIVISOR = 10  # one example in ten is held out for testing


@dataclass(frozen=True)
class Examples:
    """Examples in memory. 8-bit images stay uint8; `scale` converts a batch of them to float32.

    Attributes:
        x: (n, *input_shape), uint8 or float32. Images are (n, channels, height, width).
        y: (n,) int64, the class of each example, or None if the examples have no classes.
    """

    x: Tensor
    y: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: Tensor | slice) -> Self:
        return type(self)(self.x[rows], None if self.y is None else self.y[rows])

    def split(self, size: int) -> Iterator[Self]:
        """Yield the examples in order, in chunks of at most the given size."""
        return (self[start : start + size] for start in range(0, len(self), size))

    def sha256(self) -> str:
        """Return a digest of the examples and their classes, as hexadecimal digits."""
        digest = hashlib.sha256(np.ascontiguousarray(self.x.numpy()).data)
        if self.y is not None:
            digest.update(np.ascontiguousarray(self.y.numpy()).data)
        return digest.hexdigest()

    def hold_out(self, count: int) -> tuple[Self, Self]:
        """Split the examples at random into two parts, which are the same in every run.

        Args:
            count: Number of examples in the second part.

        Returns:
            The remaining examples, and the `count` examples that are held out. Each part keeps the original order.
        """
        if not count:
            return self, self[:0]
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(_SPLIT_SEED))
        return self[order[count:].sort().values], self[order[:count].sort().values]


@dataclass(frozen=True)
class Source:
    """A data set as a reader returns it.

    Attributes:
        train: Examples for training and validation.
        test: Examples that are never used for training or model selection.
        classes: Names of the classes 0, 1, ...; empty if there are no classes.
        features: Names of the columns of a table; empty if they have no names.
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
        features: Names of the columns of a table; empty if they have no names.
    """
    return Source(*examples.hold_out(max(1, len(examples) // _TEST_DIVISOR)), classes, features)


def numbered_classes(*parts: Examples) -> tuple[str, ...]:
    """Return "0", "1", ... up to the largest class of the parts, or () if a part has no classes."""
    largest = [int(part.y.max()) for part in parts if part.y is not None]
    return tuple(map(str, range(max(largest) + 1))) if len(largest) == len(parts) else ()


def scale(pixels: Tensor) -> Tensor:
    """Divide uint8 values by 255, which gives float32 values from 0 to 1. Return other tensors unchanged."""
    return pixels.float().div_(255) if pixels.dtype == torch.uint8 else pixels
