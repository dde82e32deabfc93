"""Examples, and their division into parts."""

import numpy as np
import pytest
import torch

import vaedge_train.data.examples
from vaedge_train.data.examples import Examples, numbered_classes, scale, with_test_part


@pytest.fixture
def examples():
    return Examples(torch.arange(50, dtype=torch.uint8)[:, None], torch.arange(50) % 5)


@pytest.fixture(params=["memory", "file"])
def chosen(request, examples, tmp_path):
    """Twenty of the fifty examples in random order, in memory or in a memory-mapped file."""
    stored = examples.stored
    if request.param == "file":
        np.save(tmp_path / "x.npy", stored.numpy())
        stored = torch.from_numpy(np.load(tmp_path / "x.npy", mmap_mode="c"))
    rows = torch.randperm(50, generator=torch.Generator().manual_seed(0))[:20].int()
    return Examples(stored, examples.classes, rows)


def gathered(chosen):
    """Return a copy that stores only the chosen examples. It needs no list of rows, so its `rows` is None."""
    rows = chosen.rows.long()
    return Examples(chosen.stored[rows].clone(), chosen.classes[rows].clone())


def test_scale_maps_bytes_to_the_unit_interval():
    x = scale(torch.tensor([0, 51, 255], dtype=torch.uint8))
    assert x.dtype == torch.float32
    assert x.tolist() == pytest.approx([0, 0.2, 1])


def test_scale_returns_other_types_unchanged():
    x = torch.tensor([-3.0, 7.0])
    assert scale(x) is x


def test_held_out_examples_keep_their_order_and_classes(examples):
    rest, held_out = examples.hold_out(20)
    assert (len(rest), len(held_out)) == (30, 20)
    assert sorted(rest.x.flatten().tolist() + held_out.x.flatten().tolist()) == list(range(50))
    for part in (rest, held_out):
        values = part.x.flatten().tolist()
        assert values == sorted(values)
        assert part.y.tolist() == [value % 5 for value in values]
    assert values != list(range(30, 50))  # the examples are chosen at random
    assert torch.equal(examples.hold_out(20)[1].x, held_out.x)


def test_nothing_is_held_out_on_demand(examples):
    rest, held_out = examples.hold_out(0)
    assert (len(rest), len(held_out)) == (50, 0)


@pytest.mark.parametrize(("count", "expected"), [(2, 1), (9, 1), (19, 1), (20, 2), (50, 5)])
def test_a_tenth_is_held_out_for_testing(examples, count, expected):
    source = with_test_part(examples[:count], ("a",))
    assert (len(source.train), len(source.test)) == (count - expected, expected)
    assert source.classes == ("a",)


def test_split_covers_all_examples_in_order(examples):
    chunks = list(examples.split(20))
    assert [len(chunk) for chunk in chunks] == [20, 20, 10]
    assert torch.equal(torch.cat([chunk.x for chunk in chunks]), examples.x)
    assert torch.equal(torch.cat([chunk.y for chunk in chunks]), examples.y)


@pytest.mark.parametrize("index", [slice(3, 9), slice(18, 30), torch.tensor([7, 0, 7]), torch.tensor([2]).int()])
def test_rows_choose_the_same_examples_as_a_copy(chosen, index):
    copy = gathered(chosen)
    assert len(chosen) == len(copy) == 20
    assert chosen.shape == copy.shape == (1,)
    assert torch.equal(chosen.x, copy.x)
    assert torch.equal(chosen.y, copy.y)
    assert torch.equal(chosen[index].x, copy.x[index])
    assert torch.equal(chosen[index].y, copy.y[index])
    assert chosen[index].rows is None
    assert chosen.without_classes().y is None
    assert torch.equal(chosen.without_classes().x, copy.x)


@pytest.mark.parametrize("size", [1, 7, 20, 100])
def test_split_of_rows_is_the_split_of_a_copy(chosen, size):
    for found, expected in zip(chosen.split(size), gathered(chosen).split(size), strict=True):
        assert torch.equal(found.x, expected.x)
        assert torch.equal(found.y, expected.y)


def test_parts_share_the_memory_of_the_whole(chosen, examples):
    """The parts of a data set must not copy its data, because the data may be larger than memory."""
    for whole in (chosen, examples):
        parts = whole.hold_out(5)
        parts += parts[0].hold_out(4)
        for part in (*parts, whole.without_classes()):
            assert part.stored.data_ptr() == whole.stored.data_ptr()
            assert part.stored.shape == whole.stored.shape
    assert chosen[torch.arange(3)].stored.data_ptr() != chosen.stored.data_ptr()


def test_parts_of_parts_are_those_of_a_copy(chosen):
    found, expected = (part.hold_out(8)[0].hold_out(3) for part in (chosen, gathered(chosen)))
    for part, other in zip(found, expected, strict=True):
        assert torch.equal(part.x, other.x)
        assert torch.equal(part.y, other.y)


def test_rows_need_at_most_four_bytes_per_example(examples):
    for part in examples.hold_out(20):
        assert part.rows.dtype == torch.int32


def test_digest_of_rows_is_that_of_a_copy(chosen, monkeypatch):
    expected = gathered(chosen).sha256()
    for size in (2**24, 3):
        monkeypatch.setattr(vaedge_train.data.examples, "_CHUNK_BYTES", size)
        assert chosen.sha256() == expected
    assert Examples(chosen.stored, chosen.classes, chosen.rows.flip(0)).sha256() != expected


def test_chunks_have_a_limited_size(chosen, monkeypatch):
    monkeypatch.setattr(vaedge_train.data.examples, "_CHUNK_BYTES", 6)  # an example has one byte
    chunks = list(chosen.chunks("testing"))
    assert [len(chunk) for chunk in chunks] == [6, 6, 6, 2]
    assert torch.equal(torch.cat([chunk.x for chunk in chunks]), chosen.x)


def test_digest_depends_on_examples_and_classes(examples):
    same = Examples(examples.x.clone(), examples.y.clone())
    assert same.sha256() == examples.sha256()
    others = {Examples(examples.x).sha256(), Examples(examples.x.flip(0), examples.y).sha256()}
    others.add(Examples(examples.x, examples.y.flip(0)).sha256())
    assert len(others | {same.sha256()}) == 4


def test_classes_are_numbered_up_to_the_largest(examples):
    assert numbered_classes(examples, Examples(examples.x, examples.y + 1)) == ("0", "1", "2", "3", "4", "5")
    assert numbered_classes(examples, Examples(examples.x)) == ()
