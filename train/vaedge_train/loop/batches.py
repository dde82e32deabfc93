"""Prepare batches in a background thread, while the training step computes."""

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import torch
from torch import Tensor

from vaedge_train.data.examples import Examples
from vaedge_train.loop.distributed import Workers

_AHEAD = 3  # number of batches that are prepared while a step computes


@dataclass(frozen=True)
class Batch:
    """The part of a batch that one process computes, on the device of this process.

    Attributes:
        x: (n, *input_shape) uint8 or floating-point values, as the data set stores them.
        y: (n,) int64, the class of each example, or None.
        size: Number of examples in the whole batch, including the parts of other processes.
    """

    x: Tensor
    y: Tensor | None
    size: int


def prepare_batches(
    examples: Examples, batches: Iterable[Tensor], workers: Workers, device: torch.device
) -> Generator[Batch, None, None]:
    """Yield the batches in order. A background thread reads them and copies them to the device in advance.

    Args:
        examples: The training examples.
        batches: For each batch, (batch_size,) indices of its examples.
        workers: The processes that train together. Each process reads only its share of a batch.
        device: The device of the model.
    """

    def prepare(rows: Tensor) -> Batch:
        share = examples[rows[workers.share(len(rows))]]
        x, y = (None if values is None else _on_device(values, device) for values in (share.x, share.y))
        assert x is not None
        return Batch(x, y, len(rows))

    # With more than one OpenMP thread, the background thread would slow the training step down.
    thread = ThreadPoolExecutor(1, "batches", initializer=torch.set_num_threads, initargs=(1,))
    try:
        pending = deque[Future[Batch]]()
        for rows in batches:
            pending.append(thread.submit(prepare, rows))
            if len(pending) > _AHEAD:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        thread.shutdown(cancel_futures=True)


def _on_device(values: Tensor, device: torch.device) -> Tensor:
    """Return the values on the device. The copy to a GPU is asynchronous, which needs pinned memory."""
    return values if device.type == "cpu" else values.pin_memory().to(device, non_blocking=True)
