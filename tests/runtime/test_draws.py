"""Draws from p(x|z) do not depend on batches and chunks. A likelihood that is not a distribution is refused."""

import math

import numpy as np
import pytest

import vaedge
import vaedge.engine.chunks
import vaedge.files.shards
from vaedge.cli.main import main
from vaedge.distributions import draws
from vaedge.distributions.draws import Draws

NAMES = ("bernoulli", "continuous_bernoulli", "gaussian", "discretized_logistic")
RNG = np.random.default_rng(0)
PARAMETERS = [RNG.standard_normal((700, 2, 5)).astype(np.float32) for _ in range(2)]


@pytest.fixture(scope="module")
def binary(bundle):
    """A model of binary digits with a Bernoulli likelihood, from which x can be drawn."""
    return vaedge.load(bundle.parent / "mnist")


def parameters_of(name):
    return PARAMETERS[: 2 if name in ("gaussian", "discretized_logistic") else 1]


@pytest.mark.parametrize("name", NAMES)
def test_first_rows_do_not_depend_on_the_number_of_rows_or_calls(name, monkeypatch):
    parameters = parameters_of(name)
    whole = Draws(name, 7).next(parameters)
    np.testing.assert_array_equal(Draws(name, 7).next([array[:11] for array in parameters]), whole[:11])
    stream = Draws(name, 7)
    parts = [stream.next([array[start : start + 130] for array in parameters]) for start in range(0, 700, 130)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    monkeypatch.setattr(draws, "_BLOCK", 17)
    np.testing.assert_array_equal(Draws(name, 7).next(parameters), whole)
    stream = Draws(name, 7)
    stream.skip(300 * 10)
    np.testing.assert_array_equal(stream.next([array[300:] for array in parameters]), whole[300:])


@pytest.mark.parametrize("name", NAMES)
def test_noise_is_the_documented_third_stream(name):
    rng = np.random.default_rng((5, 2))
    u = (rng.standard_normal if name == "gaussian" else rng.random)((700, 2, 5))
    parameters = [array.astype(np.float64) for array in parameters_of(name)]
    expected = {
        "bernoulli": lambda logits: u < 1 / (1 + np.exp(-logits)),
        "continuous_bernoulli": lambda logits: np.log1p(u * np.expm1(logits)) / logits,
        "gaussian": lambda loc, log_scale: loc + np.exp(log_scale) * u,
        "discretized_logistic": lambda loc, log_scale: (
            np.rint(255 * np.clip(loc + np.exp(log_scale) * np.log(u / (1 - u)), 0, 1)) / 255
        ),
    }[name](*parameters)
    np.testing.assert_allclose(Draws(name, 5).next(parameters_of(name)), expected, atol=1e-5)


def test_extreme_parameters_give_finite_draws_in_the_range_and_no_warning():
    extreme = np.array([[-1e30, -1e3, -700, -1e-30, 0, 1e-30, 700, 1e3, 1e30]], np.float32).repeat(1000, 0)
    for name in ("bernoulli", "continuous_bernoulli"):
        found = Draws(name, 0).next([extreme])
        assert found.min() >= 0
        assert found.max() <= 1
    found = Draws("discretized_logistic", 0).next([extreme, np.clip(extreme, -90, 80)])
    assert found.min() >= 0
    assert found.max() <= 1


def test_samples_are_drawn_around_their_means(binary):
    drawn, mean = binary.sample(2000, seed=1, draw=True), binary.sample(2000, seed=1)
    assert set(np.unique(drawn)) == {0, 1}
    error = (drawn - mean).mean((0, 1))
    assert np.abs(error).max() < 5 * 0.5 / math.sqrt(2000)
    np.testing.assert_array_equal(binary.sample(2000, seed=1, draw=True), drawn)
    assert not np.array_equal(binary.sample(2000, seed=2, draw=True), drawn)
    assert not np.array_equal(binary.sample(9, draw=True), binary.sample(9, draw=True))


def test_first_samples_do_not_depend_on_their_number_or_on_chunks(binary, monkeypatch):
    whole = binary.sample(1300, seed=4, draw=True)
    np.testing.assert_array_equal(binary.sample(600, seed=4, draw=True), whole[:600])
    np.testing.assert_array_equal(binary.sample(1, seed=4, draw=True), whole[:1])
    monkeypatch.setattr(vaedge.engine.chunks, "CHUNK", 37)
    np.testing.assert_array_equal(binary.sample(1300, seed=4, draw=True), whole)


def test_reconstructions_are_drawn_at_the_mean_or_at_a_draw_of_z(binary, digits):
    x = (digits > 0.5).astype(np.float32)
    q = binary.encode(x)
    for z, options in ((q.mean, {}), (q.sample(3), {"sample": True})):
        p = 1 / (1 + np.exp(-binary.parameters(z)["logits"].astype(np.float64)))
        expected = np.random.default_rng((3, 2)).random(p.shape) < p
        np.testing.assert_array_equal(binary.reconstruct(x, draw=True, seed=3, **options), expected)


def test_draws_are_written_to_out(binary, digits):
    x = np.ascontiguousarray((digits > 0.5).astype(np.float32))
    expected = binary.reconstruct(x, draw=True, seed=3)
    assert binary.reconstruct(x, draw=True, seed=3, out=x) is x  # `out` may be the input
    np.testing.assert_array_equal(x, expected)
    with pytest.raises(vaedge.InputError, match="expected a writeable float32 array"):
        binary.sample(2, draw=True, out=np.empty((3, 1, 28, 28), np.float32))


@pytest.mark.parametrize("seed", [-1, 1.5, True, "0"])
def test_invalid_seed_of_a_draw_is_refused(binary, seed):
    with pytest.raises(vaedge.InputError, match="non-negative integer"):
        binary.sample(2, seed=seed, draw=True)


def test_surrogate_cannot_be_drawn_from(vae, digits):
    for call in (lambda: vae.sample(2, seed=0, draw=True), lambda: vae.reconstruct(digits, seed=0, draw=True)):
        with pytest.raises(vaedge.InputError, match="bce_surrogate, which is not a distribution of x") as caught:
            call()
        assert "\n" not in str(caught.value)


def test_unknown_likelihood_cannot_be_drawn_from():
    with pytest.raises(vaedge.InputError, match="cannot draw from the likelihood 'poisson'; expected one of bernoulli"):
        Draws("poisson", 0)


@pytest.mark.parametrize("command", ["sample", "reconstruct"])
@pytest.mark.parametrize("out", ["x.npy", "x.png"])
def test_commands_refuse_to_draw_from_the_surrogate(bundle, digits, tmp_path, capsys, command, out):
    np.save(tmp_path / "digits.npy", digits)
    inputs = [str(tmp_path / "digits.npy")] if command == "reconstruct" else []
    argv = [command, str(bundle), *inputs, "--draw", "--seed", "0", "--out", str(tmp_path / out)]
    assert main(argv) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "bce_surrogate, which is not a distribution" in error
    assert not (tmp_path / out).exists()


def test_streamed_samples_are_those_of_one_call(binary, bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(vaedge.files.shards, "_SHARD_BYTES", 600 * 4 * 784)  # 512 rows of this model
    expected = binary.sample(1300, seed=3, draw=True)
    argv = ["sample", str(bundle.parent / "mnist"), "-n", "1300", "--seed", "3", "--draw", "--out"]
    assert main([*argv, str(tmp_path / "x.npy")]) == 0
    np.testing.assert_array_equal(np.load(tmp_path / "x.npy"), expected)
    assert main([*argv, str(tmp_path / "s")]) == 0
    (tmp_path / "s" / "000001.npy").unlink()
    (tmp_path / "s" / "000002.npy").unlink()
    assert main([*argv, str(tmp_path / "s")]) == 0  # the existing first shard is skipped
    found = np.concatenate([np.load(path) for path in sorted((tmp_path / "s").glob("0*.npy"))])
    np.testing.assert_array_equal(found, expected)
    argv.remove("--draw")
    assert main([*argv, str(tmp_path / "s")]) == 1  # a job of draws cannot resume as a job of means


def test_reconstruct_draws_from_the_command_line(binary, bundle, digits, tmp_path, capsys):
    x = (digits > 0.5).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    argv = ["reconstruct", str(bundle.parent / "mnist"), str(tmp_path / "x.npy"), "--draw", "--seed", "6", "--out"]
    assert main([*argv, str(tmp_path / "y.npy")]) == 0
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), binary.reconstruct(x, draw=True, seed=6))
    assert main([*argv, str(tmp_path / "shards")]) == 1
    assert "--draw cannot write a folder of shards" in capsys.readouterr().err
