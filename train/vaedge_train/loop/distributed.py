"""Training in several processes: the share of each process in a batch, and the sums over all processes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed


@dataclass(frozen=True)
class Workers:
    """The processes that train one model together. By default, this process is the only one.

    Attributes:
        rank: Index of this process; the process of rank 0 writes the run folder.
        count: Number of processes.
    """

    rank: int = 0
    count: int = 1

    def share(self, batch_size: int) -> slice:
        """Return the rows of a batch that this process computes, as a slice.

        If the batch has fewer rows than there are processes, every process computes all rows.
        """
        return slice(self.rank, None, self.count) if batch_size >= self.count else slice(None)

    def weight(self, batch_size: int) -> float:
        """Return the factor by which this process must multiply the mean loss of its share.

        The average of the multiplied losses over the processes is then the mean loss of the batch.
        """
        if batch_size < self.count:
            return 1.0
        return len(range(batch_size)[self.share(batch_size)]) * self.count / batch_size

    def total(self, values: Tensor, batch_size: int) -> Tensor:
        """Return the sum of `values` over all processes.

        Args:
            values: Sums over the share of this process. They may be changed in place.
            batch_size: Number of examples in the whole batch. If it is below the number of processes, each process has
                computed the whole batch, and the sums are already complete.
        """
        if self.count > 1 and batch_size >= self.count:
            distributed.all_reduce(values)
        return values

    def wait(self) -> None:
        """Wait until all processes have called this method."""
        if self.count > 1:
            distributed.barrier()

    @contextmanager
    def first_alone(self) -> Iterator[None]:
        """Run a `with` block in the process of rank 0 first, and then in the other processes.

        The other processes can therefore use the files that rank 0 wrote in the block.
        """
        if self.rank:
            self.wait()
        try:
            yield
        finally:
            if not self.rank:
                self.wait()

    def distribute(self, objective: torch.nn.Module) -> torch.nn.Module:
        """Wrap the module that computes the loss, so that its gradients are averaged over the processes."""
        return objective if self.count == 1 else torch.nn.parallel.DistributedDataParallel(objective)


@contextmanager
def joined_workers(device: torch.device) -> Iterator[Workers]:
    """Connect this process to the other processes of the run, if the environment variable WORLD_SIZE is above 1.

    `torchrun` sets this variable. The processes communicate with NCCL if each has its own GPU, otherwise with gloo.

    Args:
        device: The device of this process.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Workers()
        return
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", os.environ["WORLD_SIZE"]))
    has_own_gpu = device.type == "cuda" and processes <= torch.cuda.device_count()
    if has_own_gpu:
        torch.cuda.set_device(device)  # NCCL uses the current device
    distributed.init_process_group("nccl" if has_own_gpu else "gloo")
    try:
        yield Workers(distributed.get_rank(), distributed.get_world_size())
    finally:
        distributed.destroy_process_group()
