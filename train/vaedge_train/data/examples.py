"""What a data set is made of: items, each with the number of its class where there are classes."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from torch import Tensor

_SPLIT_SEED = 0  # fixed, so that runs with different seeds hold out the same items
_TEST_SHARE = 10


@dataclass(frozen=True)
class Items:
    """Items that fit in memory, pictures as 8-bit numbers; `scale` makes a batch of them floating.

    Attributes:
        x: (n, channels, height, width) uint8, or (n, *item) float32.
        y: (n,) int64, the number of each item's class, or None.
    """

    x: Tensor
    y: Tensor | None = None

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: Tensor | slice) -> Self:
        return type(self)(self.x[rows], None if self.y is None else self.y[rows])

    def split(self, size: int) -> Iterator[Self]:
        """Yield all items, so many at a time."""
        return (self[start : start + size] for start in range(0, len(self), size))

    def sha256(self) -> str:
        """Return what tells these items, and their classes, from any others."""
        digest = hashlib.sha256(np.ascontiguousarray(self.x.numpy()).data)
        if self.y is not None:
            digest.update(np.ascontiguousarray(self.y.numpy()).data)
        return digest.hexdigest()

    def hold_out(self, count: int) -> tuple[Self, Self]:
        """Return all items but `count`, and those: the same ones in every run, both in their order."""
        if not count:
            return self, self[:0]
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(_SPLIT_SEED))
        return self[order[count:].sort().values], self[order[:count].sort().values]


@dataclass(frozen=True)
class Source:
    """A data set as it was read.

    Attributes:
        train: to train on, and to hold a validation part out of.
        test: which no choice ever sees.
        classes: names of the values of y; empty where there are no labels.
    """

    train: Items
    test: Items
    classes: tuple[str, ...] = ()


def without_test_part(items: Items, classes: tuple[str, ...] = ()) -> Source:
    """Make a source of items that come without a test part: one in ten is held out, the same ones in every run."""
    return Source(*items.hold_out(max(1, len(items) // _TEST_SHARE)), classes)


def scale(pixels: Tensor) -> Tensor:
    """Turn uint8 of 0..255 into float32 of 0..1; floating items are taken as they are."""
    return pixels.float().div_(255) if pixels.dtype == torch.uint8 else pixels
