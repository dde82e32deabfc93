"""The methods of a loaded VAE."""

import numpy as np

import vaedge


def test_results_have_the_documented_shapes_and_types(vae, digits):
    posterior = vae.encode(digits)
    for array in (posterior.mean, posterior.log_var, posterior.sample(seed=0)):
        assert array.shape == (len(digits), 20)
        assert array.dtype == np.float32
    for images in (vae.decode(posterior.mean), vae.reconstruct(digits), vae.sample(len(digits))):
        assert images.shape == digits.shape == (len(digits), 1, 28, 28)
        assert images.dtype == np.float32
        assert 0 <= images.min() <= images.max() <= 1


def test_attributes_describe_the_bundle(vae):
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


def test_decode_returns_the_sigmoid_of_the_logits(vae):
    z = np.random.default_rng(0).standard_normal((5, 20), np.float32)
    logits = vae.parameters(z)["logits"].astype(np.float64)
    np.testing.assert_allclose(vae.decode(z), 1 / (1 + np.exp(-logits)), atol=1e-6)


def test_same_seed_gives_the_same_samples(vae):
    np.testing.assert_array_equal(vae.sample(5, seed=1), vae.sample(5, seed=1))
    assert not np.array_equal(vae.sample(5, seed=1), vae.sample(5, seed=2))
    assert not np.array_equal(vae.sample(5), vae.sample(5))


def test_samples_decode_the_documented_noise(vae):
    z = np.random.default_rng(7).standard_normal((4, 20)).astype(np.float32)
    np.testing.assert_array_equal(vae.sample(4, seed=7), vae.decode(z))


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


def test_number_of_threads_does_not_change_results(bundle, vae, digits):
    np.testing.assert_allclose(vaedge.load(bundle, threads=1).reconstruct(digits), vae.reconstruct(digits), atol=1e-6)
