"""What the loaded VAE computes."""

import numpy as np
import pytest

import vaedge
import vaedge.engine.chunks
import vaedge.vae


def test_shapes_and_types(vae, digits):
    posterior = vae.encode(digits)
    for array in (posterior.mean, posterior.log_var, posterior.sample(seed=0)):
        assert array.shape == (len(digits), 20)
        assert array.dtype == np.float32
    for pictures in (vae.decode(posterior.mean), vae.reconstruct(digits), vae.sample(len(digits))):
        assert pictures.shape == digits.shape == (len(digits), 1, 28, 28)
        assert pictures.dtype == np.float32
        assert 0 <= pictures.min() <= pictures.max() <= 1


def test_knows_what_it_is(vae):
    assert (vae.input_shape, vae.latent_shape, vae.device, vae.variant) == ((1, 28, 28), (20,), "cpu", "fp32")
    assert repr(vae) == "<vaedge.VAE article (1, 28, 28) -> (20,) fp32 on cpu>"


def test_reconstruct_goes_through_the_posterior_mean(vae, digits):
    np.testing.assert_array_equal(vae.reconstruct(digits), vae.decode(vae.encode(digits).mean))


def test_reconstruct_can_go_through_a_draw(vae, digits):
    expected = vae.decode(vae.encode(digits).sample(seed=3))
    np.testing.assert_array_equal(vae.reconstruct(digits, sample=True, seed=3), expected)
    assert not np.array_equal(expected, vae.reconstruct(digits))


def test_reconstructions_resemble_their_originals(vae, digits):
    errors = np.square(vae.reconstruct(digits)[:, None] - digits[None]).mean((2, 3, 4))
    np.testing.assert_array_equal(errors.argmin(1), np.arange(len(digits)))


def test_the_mean_is_the_sigmoid_of_the_logits(vae):
    z = np.random.default_rng(0).standard_normal((5, 20), np.float32)
    logits = vae.parameters(z)["logits"].astype(np.float64)
    np.testing.assert_allclose(vae.decode(z), 1 / (1 + np.exp(-logits)), atol=1e-6)


def test_posterior_draws_have_its_mean_and_variance():
    mean, log_var = np.array([[1.0, -2.0]], np.float32), np.array([[0.5, -1.0]], np.float32)
    n = 100_000
    draws = vaedge.Posterior(np.repeat(mean, n, 0), np.repeat(log_var, n, 0)).sample(seed=0)
    np.testing.assert_allclose(draws.mean(0), mean[0], atol=0.02)
    np.testing.assert_allclose(draws.var(0), np.exp(log_var[0]), rtol=0.02)


def test_the_same_seed_gives_the_same_samples(vae):
    np.testing.assert_array_equal(vae.sample(5, seed=1), vae.sample(5, seed=1))
    assert not np.array_equal(vae.sample(5, seed=1), vae.sample(5, seed=2))
    assert not np.array_equal(vae.sample(5), vae.sample(5))


def test_samples_decode_the_documented_noise(vae):
    z = np.random.default_rng(7).standard_normal((4, 20)).astype(np.float32)
    np.testing.assert_array_equal(vae.sample(4, seed=7), vae.decode(z))


def test_the_noise_stream_is_frozen():
    z = vaedge.distributions.random.standard_normal((2, 3), seed=0)
    frozen = np.array(
        [
            [0.1257302165031433, -0.13210485875606537, 0.6404226422309875],
            [0.10490011423826218, -0.5356693863868713, 0.3615950644016266],
        ],
        np.float32,
    )
    np.testing.assert_array_equal(z, np.array(frozen, np.float32))


def test_chunks_do_not_show(vae, digits, monkeypatch):
    x = np.concatenate([digits] * 3)
    whole = vae.encode(x), vae.reconstruct(x), vae.sample(len(x), seed=0), vae.parameters(vae.encode(x).mean)["logits"]
    monkeypatch.setattr(vaedge.engine.chunks, "CHUNK", 5)
    pieces = vae.encode(x), vae.reconstruct(x), vae.sample(len(x), seed=0), vae.parameters(vae.encode(x).mean)["logits"]
    np.testing.assert_allclose(pieces[0].mean, whole[0].mean, atol=1e-5)
    np.testing.assert_allclose(pieces[0].log_var, whole[0].log_var, atol=1e-5)
    for piece, expected in zip(pieces[1:], whole[1:], strict=True):
        np.testing.assert_allclose(piece, expected, atol=1e-4)


def test_large_items_are_run_fewer_at_a_time(vae, digits, monkeypatch):
    sizes, honest = [], vaedge.engine.chunks.Graph.run

    def run(self, inputs, outputs):
        sizes.append(len(next(iter(inputs.values()))))
        return honest(self, inputs, outputs)

    monkeypatch.setattr(vaedge.engine.chunks, "_ELEMENTS", 3 * 784 + 1)
    monkeypatch.setattr(vaedge.engine.chunks.Graph, "run", run)
    vae.reconstruct(digits)
    assert sizes == [3, 3, 2]
    monkeypatch.setattr(vaedge.engine.chunks, "_ELEMENTS", 1)
    assert vae.encode(digits).mean.shape == (8, 20)


def test_a_batch_larger_than_a_chunk(vae):
    n = 2 * vaedge.engine.chunks.CHUNK + 3
    samples = vae.sample(n, seed=0)
    assert samples.shape == (n, 1, 28, 28)
    np.testing.assert_allclose(samples[:8], vae.sample(8, seed=0), atol=1e-5)
    assert vae.reconstruct(samples).shape == samples.shape


def test_interpolation_runs_from_one_reconstruction_to_the_other(vae, digits):
    path = vae.interpolate(digits[0], digits[1], steps=5)
    assert path.shape == (5, 1, 28, 28)
    np.testing.assert_allclose(path[[0, -1]], vae.reconstruct(digits[:2]), atol=1e-5)
    middle = vae.encode(digits[:2]).mean.mean(0, keepdims=True)
    np.testing.assert_allclose(path[2:3], vae.decode(middle), atol=1e-5)


def test_out_is_written_and_returned(vae, digits):
    for call in (vae.reconstruct, lambda x, out: vae.sample(len(x), seed=0, out=out)):
        out = np.full_like(digits, np.nan)
        assert call(digits, out=out) is out
        assert np.isfinite(out).all()
    z = vae.encode(digits).mean
    np.testing.assert_array_equal(vae.decode(z, out=out), vae.decode(z))
    np.testing.assert_array_equal(vae.reconstruct(inplace := digits.copy(), out=inplace), vae.reconstruct(digits))


def test_float32_that_is_contiguous_is_not_copied(digits):
    assert np.shares_memory(vaedge.validation.as_batch(digits, "x", (1, 28, 28)), digits)


@pytest.mark.parametrize(
    "variation",
    [
        lambda x: x.astype(np.float64),
        lambda x: x.astype(">f4"),
        np.asfortranarray,
        lambda x: np.concatenate([x, x], 1)[:, :1],
        lambda x: x.tolist(),
    ],
    ids=["float64", "big-endian", "fortran", "strided", "list"],
)
def test_other_floating_layouts_give_the_same(vae, digits, variation):
    np.testing.assert_array_equal(vae.reconstruct(variation(digits)), vae.reconstruct(digits))


def test_threads_do_not_show(bundle, vae, digits):
    np.testing.assert_allclose(vaedge.load(bundle, threads=1).reconstruct(digits), vae.reconstruct(digits), atol=1e-6)
