"""A batch of any size runs in chunks, and the chunks do not change the results."""

import numpy as np
import pytest

import vaedge
from vaedge.engine import chunks


class FakeGraph:
    """A graph that doubles its input, and records the batch size of each run."""

    def __init__(self, elements=1):
        self.example_elements = elements
        self.shapes = {"double": (2,), "sum": ()}
        self.batch_sizes = []

    def run(self, inputs, outputs):
        x = inputs["x"]
        self.batch_sizes.append(len(x))
        results = {"double": 2 * x, "sum": x.sum(1)}
        return [results[name] for name in outputs]


def batch(n):
    return np.arange(2 * n, dtype=np.float32).reshape(n, 2)


@pytest.mark.parametrize(
    ("n", "expected"), [(1, [1]), (511, [511]), (512, [512]), (513, [512, 1]), (1024, [512] * 2), (1025, [512, 512, 1])]
)
def test_chunks_have_at_most_512_examples(n, expected):
    graph = FakeGraph()
    double, total = chunks.run(graph, {"x": batch(n)}, ("double", "sum"))
    assert graph.batch_sizes == expected
    np.testing.assert_array_equal(double, 2 * batch(n))
    np.testing.assert_array_equal(total, batch(n).sum(1))


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        (2**13, [512, 88]),
        (2**13 + 1, [511, 89]),
        (2**21, [2] * 300),
        (2**21 + 1, [1] * 600),
        (2**22, [1] * 600),
        (2**23, [1] * 600),
    ],
)
def test_chunks_of_large_examples_are_smaller(elements, expected):
    graph = FakeGraph(elements)
    (double,) = chunks.run(graph, {"x": batch(600)}, ("double",))
    assert graph.batch_sizes == expected
    np.testing.assert_array_equal(double, 2 * batch(600))


@pytest.mark.parametrize("n", [3, 700])
def test_results_are_written_into_the_array_of_the_caller(n):
    out = np.full((n, 2), np.nan, np.float32)
    double, total = chunks.run(FakeGraph(), {"x": batch(n)}, ("double", "sum"), out)
    assert double is out
    np.testing.assert_array_equal(out, 2 * batch(n))
    np.testing.assert_array_equal(total, batch(n).sum(1))


@pytest.mark.parametrize("shift", [-100, -1, 0, 1, 600])
def test_array_of_the_caller_may_overlap_the_input(shift):
    buffer = np.random.default_rng(0).random((2000, 2), np.float32)
    x, out = buffer[200:1300], buffer[200 + shift : 1300 + shift]
    expected = 2 * x.copy()
    np.testing.assert_array_equal(chunks.run(FakeGraph(), {"x": x}, ("double",), out)[0], expected)


@pytest.mark.parametrize(
    "out",
    [np.zeros((3, 2)), np.zeros((4, 2), np.float32), [0.0], np.ma.masked_array(np.zeros((3, 2), np.float32))],
    ids=["float64", "shape", "list", "masked"],
)
def test_invalid_array_of_the_caller_is_refused(out):
    with pytest.raises(vaedge.InputError, match=r"out is .*; expected a writeable float32 array of shape \(3, 2\)"):
        chunks.run(FakeGraph(), {"x": batch(3)}, ("double",), out)


def test_read_only_array_of_the_caller_is_refused():
    out = np.zeros((3, 2), np.float32)
    out.flags.writeable = False
    with pytest.raises(vaedge.InputError, match="out is float32"):
        chunks.run(FakeGraph(), {"x": batch(3)}, ("double",), out)


def test_largest_tensor_of_a_graph_decides_its_chunks(vae):
    assert vae._sessions.encoder.example_elements == 784
    assert vae._sessions.decoder.example_elements == 784


@pytest.mark.parametrize("chunk", [5, 7, 24])
def test_chunks_of_a_model_give_the_same_results(vae, digits, monkeypatch, chunk):
    x = np.concatenate([digits] * 3)

    def results():
        posterior = vae.encode(x)
        logits = vae.parameters(posterior.mean)["logits"]
        return posterior.mean, posterior.log_var, vae.reconstruct(x), vae.sample(len(x), seed=0), logits

    expected = results()
    monkeypatch.setattr(chunks, "CHUNK", chunk)
    for found, whole in zip(results(), expected, strict=True):
        np.testing.assert_array_equal(found, whole)


def test_large_batch_of_a_model_gives_the_same_results(vae):
    n = 2 * chunks.CHUNK + 3
    samples = vae.sample(n, seed=0)
    assert samples.shape == (n, 1, 28, 28)
    np.testing.assert_array_equal(samples[:8], vae.sample(8, seed=0))
    assert vae.reconstruct(samples).shape == samples.shape
