"""The background thread that prepares batches."""

import threading

import pytest
import torch

from vaedge_train import TrainConfig, train
from vaedge_train.data.examples import Examples
from vaedge_train.loop.batches import prepare_batches
from vaedge_train.loop.distributed import Workers

CPU = torch.device("cpu")


@pytest.fixture
def examples():
    """Every second example of a hundred: fifty examples."""
    rows = torch.arange(0, 100, 2, dtype=torch.int32)
    return Examples(torch.arange(100, dtype=torch.uint8)[:, None], torch.arange(100) % 7, rows)


def background_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("batches")]


def test_batches_have_the_order_and_the_content_of_the_indices(examples):
    order = torch.randperm(50, generator=torch.Generator().manual_seed(0)).int()
    batches = list(prepare_batches(examples, order.split(8), Workers(), CPU))
    assert [batch.size for batch in batches] == [8] * 6 + [2]
    assert torch.equal(torch.cat([batch.x for batch in batches]), examples[order].x)
    assert torch.equal(torch.cat([batch.y for batch in batches]), examples[order].y)
    assert not background_threads()


def test_each_process_reads_its_share(examples):
    rows = torch.arange(7, dtype=torch.int32)
    shares = [next(prepare_batches(examples, [rows], Workers(rank, 2), CPU)) for rank in range(2)]
    assert [batch.x[:, 0].tolist() for batch in shares] == [[0, 4, 8, 12], [2, 6, 10]]
    assert [batch.size for batch in shares] == [7, 7]


def test_error_of_the_thread_is_raised_by_the_loop(examples):
    batches = prepare_batches(examples, [torch.tensor([0]), torch.tensor([50])], Workers(), CPU)
    next(batches)
    with pytest.raises(IndexError):
        next(batches)
    assert not background_threads()


def test_loop_that_ends_early_ends_the_thread(examples):
    batches = prepare_batches(examples, torch.arange(50).split(1), Workers(), CPU)
    next(batches)
    assert background_threads()
    batches.close()
    assert not background_threads()


def test_training_reads_every_batch_in_the_background(image_folder, tmp_path, monkeypatch):
    readers, honest = [], Examples.__getitem__

    def read(self, chosen):
        if isinstance(chosen, torch.Tensor):
            readers.append((threading.current_thread().name, len(chosen)))
        return honest(self, chosen)

    monkeypatch.setattr(Examples, "__getitem__", read)
    config = TrainConfig(dataset=image_folder, hidden=(4,), latent=2, epochs=2, batch_size=8)
    train(config, tmp_path / "run", progress=False)
    assert readers == [("batches_0", size) for size in [8, 8, 8, 8, 4] * 2]
    assert not background_threads()
