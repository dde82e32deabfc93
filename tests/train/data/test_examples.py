"""Examples and their splits."""

import pytest
import torch

from vaedge_train.data.examples import Examples, numbered_classes, scale, with_test_part


@pytest.fixture
def examples():
    return Examples(torch.arange(50, dtype=torch.uint8)[:, None], torch.arange(50) % 5)


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
    assert values != list(range(30, 50))  # a random choice
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


def test_digest_depends_on_examples_and_classes(examples):
    same = Examples(examples.x.clone(), examples.y.clone())
    assert same.sha256() == examples.sha256()
    others = {Examples(examples.x).sha256(), Examples(examples.x.flip(0), examples.y).sha256()}
    others.add(Examples(examples.x, examples.y.flip(0)).sha256())
    assert len(others | {same.sha256()}) == 4


def test_classes_are_numbered_up_to_the_largest(examples):
    assert numbered_classes(examples, Examples(examples.x, examples.y + 1)) == ("0", "1", "2", "3", "4", "5")
    assert numbered_classes(examples, Examples(examples.x)) == ()
