"""The state of a run, and the update of the moving average of the weights."""

import copy

import pytest
import torch

from vaedge_train import TrainConfig
from vaedge_train.build import build_vae
from vaedge_train.data.examples import Examples
from vaedge_train.loop.state import TrainingState, update_moving_average


def make(n=10, **fields):
    config = TrainConfig(hidden=(4,), latent=2, batch_size=4, **fields)
    train = Examples(torch.arange(n * 6, dtype=torch.uint8).reshape(n, 6))
    return TrainingState(build_vae(config, (6,)), config, train)


@pytest.mark.parametrize("decay", [0.05, 0.5, 0.99])
def test_moving_average_follows_its_recurrence(decay):
    """The n-th update is average <- d * average + (1 - d) * weight, where n starts at 0.

    Here, d is 0 for n = 0, and min(decay, (1 + n) / (10 + n)) for all other n.
    """
    average, weight = torch.zeros(3, dtype=torch.float64), torch.arange(3, dtype=torch.float64)
    expected = average.clone()
    for n in range(200):
        weight = weight + 1.0
        rate = min(decay, (1 + n) / (10 + n)) if n else 0.0
        expected = rate * expected + (1 - rate) * weight
        update_moving_average([average], [weight], decay, n)
        torch.testing.assert_close(average, expected)


def test_moving_average_of_constant_weights_stays_constant():
    average = torch.full((2,), 3.0)
    for n in range(5):
        update_moving_average([average], [torch.full((2,), 3.0)], 0.9, n)
    assert average.tolist() == [3.0, 3.0]


def test_averaged_model_starts_at_the_weights_and_lags_behind():
    state = make(average=0.99)
    with torch.no_grad():
        for n, value in enumerate((1.0, 2.0, 4.0)):
            for weight in state.vae.parameters():
                weight.fill_(value)
            state.update_average(n)
    expected = 1.0
    for n, value in ((1, 2.0), (2, 4.0)):
        rate = (1 + n) / (10 + n)
        expected = rate * expected + (1 - rate) * value
    for weight in state.trained.parameters():
        torch.testing.assert_close(weight.detach(), torch.full_like(weight, expected))


def test_trained_model_is_the_average_if_there_is_one():
    state = make(average=0.9)
    assert state.trained is state.average
    assert state.trained is not state.vae
    plain = make()
    assert plain.trained is plain.vae


def test_batches_of_an_epoch_cover_every_example_once():
    state = make()
    batches = list(state.begin_epoch())
    assert [len(rows) for rows in batches] == [4, 4, 2]
    assert sorted(torch.cat(batches).tolist()) == list(range(10))
    state.end_epoch()
    assert (state.epoch, state.step) == (1, 0)
    assert not torch.equal(torch.cat(list(state.begin_epoch())), torch.cat(batches))


def test_remaining_batches_of_an_interrupted_epoch_keep_their_order():
    state = make()
    batches = list(state.begin_epoch())
    state.step = 1
    state.totals += 3.0
    rest = state.begin_epoch()
    assert [rows.tolist() for rows in rest] == [rows.tolist() for rows in batches[1:]]
    assert state.totals.tolist() == [3.0, 3.0]


def test_new_epoch_resets_the_totals():
    state = make()
    state.totals += 3.0
    state.begin_epoch()
    assert state.totals.tolist() == [0.0, 0.0]


def test_restored_state_equals_the_saved_one(tmp_path):
    state = make(average=0.9)
    state.begin_epoch()
    loss = state.vae(torch.rand(4, 6), torch.randn(1, 4, 2)).elbo.sum()
    loss.backward()
    state.optimizer.step()
    state.update_average(0)
    state.epoch, state.step, state.seconds, state.best, state.best_epoch = 3, 2, 1.5, -7.0, 2
    state.totals += 2.0
    state.save(tmp_path)
    expected = copy.deepcopy(state)
    restored = make(average=0.9)
    restored.load(tmp_path)
    for name in ("epoch", "step", "seconds", "best", "best_epoch", "data"):
        assert getattr(restored, name) == getattr(expected, name)
    assert torch.equal(restored.totals, expected.totals)
    for rows, others in zip(restored.begin_epoch(), expected.begin_epoch(), strict=True):
        assert torch.equal(rows, others)
    assert torch.equal(restored.generator.get_state(), expected.generator.get_state())
    for part in ("vae", "average"):
        for key, value in getattr(expected, part).state_dict().items():
            assert torch.equal(getattr(restored, part).state_dict()[key], value)
    for key, moments in expected.optimizer.state_dict()["state"].items():
        for name, value in moments.items():
            assert torch.equal(restored.optimizer.state_dict()["state"][key][name], value)
