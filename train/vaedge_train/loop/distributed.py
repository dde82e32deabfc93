"""Several processes that train one model: what each takes of a batch, and how they add up. One is the usual case."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed


@dataclass(frozen=True)
class Workers:
    """The processes that `torchrun` started.

    Attributes:
        rank: which one this is; 0 is the one that writes.
        count: how many there are.
    """

    rank: int = 0
    count: int = 1

    def share(self, items: int) -> slice:
        """Return this worker's part of a batch; a batch smaller than the workers is everybody's."""
        return slice(self.rank, None, self.count) if items >= self.count else slice(None)

    def weight(self, items: int) -> float:
        """Return the factor of this worker's mean loss whose average over the workers is the batch's mean loss."""
        return len(range(items)[self.share(items)]) * self.count / items if items >= self.count else 1.0

    def total(self, values: Tensor, items: int) -> Tensor:
        """Add up values summed over each worker's part of a batch."""
        if self.count > 1 and items >= self.count:
            distributed.all_reduce(values)
        return values

    def wait(self) -> None:
        """Go on when all workers have come here."""
        if self.count > 1:
            distributed.barrier()


@contextmanager
def joined() -> Iterator[Workers]:
    """Join the other workers, where `torchrun` (or anything that sets WORLD_SIZE) started more than one."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Workers()
        return
    distributed.init_process_group("gloo")
    try:
        yield Workers(distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()


def distribute(objective: torch.nn.Module, workers: Workers) -> torch.nn.Module:
    """Have the workers average their gradients."""
    if workers.count == 1:
        return objective
    return torch.nn.parallel.DistributedDataParallel(objective)
