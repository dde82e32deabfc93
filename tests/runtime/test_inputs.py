"""Wrong calls: one clear error each."""

import numpy as np
import pytest

import vaedge

GOOD = np.zeros((2, 1, 28, 28), np.float32)


def spoilt(value, at=(1, 0, 3, 3)):
    x = GOOD.copy()
    x[at] = value
    return x


@pytest.mark.parametrize(
    ("x", "says"),
    [
        (GOOD[0], r"shape \(1, 28, 28\).*expected \(n, 1, 28, 28\).*x\[None\]"),
        (GOOD.reshape(2, 784), r"shape \(2, 784\).*expected \(n, 1, 28, 28\)"),
        (GOOD[:, :, :27], "shape"),
        (np.float32(0), "shape"),
        (GOOD.astype(np.uint8), "uint8.*x / np.float32"),
        (GOOD.astype(bool), "bool"),
        (GOOD.astype(complex), "complex"),
        (np.array(["digit"]), "expected float32"),
        (None, "object"),
        (GOOD[:0], "empty batch"),
        (spoilt(np.nan), "NaN or infinity in item 1"),
        (spoilt(np.inf), "NaN or infinity in item 1"),
        (spoilt(-0.5), r"-0.5 to 0, first in item 1.*0 to 1"),
        (spoilt(255), "0 to 255"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_arrays_that_are_no_items(vae, x, says):
    for call in (vae.encode, vae.reconstruct):
        with pytest.raises(vaedge.InputError, match=says):
            call(x)


@pytest.mark.parametrize(
    "z", [np.zeros(20, np.float32), np.zeros((2, 19), np.float32), np.full((1, 20), np.nan), np.zeros((0, 20))]
)
def test_arrays_that_are_no_latents(vae, z):
    for call in (vae.decode, vae.parameters):
        with pytest.raises(vaedge.InputError, match="z "):
            call(z)


@pytest.mark.parametrize("n", [0, -1, 1.5, "8", None, True, 2**40])
def test_numbers_of_samples(vae, n):
    with pytest.raises(vaedge.InputError, match="n is .*expected a whole number from 1"):
        vae.sample(n)


@pytest.mark.parametrize("seed", [-1, 0.5, "zero"])
def test_seeds(vae, seed):
    with pytest.raises(vaedge.InputError, match="seed is"):
        vae.sample(1, seed=seed)


def test_a_seed_that_would_do_nothing(vae):
    with pytest.raises(vaedge.InputError, match="sample=True"):
        vae.reconstruct(GOOD, seed=0)


@pytest.mark.parametrize(
    "out",
    [np.zeros((3, 1, 28, 28), np.float32), np.zeros(GOOD.shape, np.float64), [0.0]],
    ids=["shape", "type", "list"],
)
def test_outputs(vae, out):
    with pytest.raises(vaedge.InputError, match="out is"):
        vae.reconstruct(GOOD, out=out)


def test_read_only_output(vae):
    out = np.zeros_like(GOOD)
    out.flags.writeable = False
    with pytest.raises(vaedge.InputError, match="writeable"):
        vae.reconstruct(GOOD, out=out)


def test_interpolation(vae):
    with pytest.raises(vaedge.InputError, match="steps is 1"):
        vae.interpolate(GOOD[0], GOOD[1], steps=1)
    with pytest.raises(vaedge.InputError, match="b has shape"):
        vae.interpolate(GOOD[0], GOOD[:1])


def test_errors_are_also_the_builtins_that_a_caller_expects(vae):
    for error, builtin in (
        (vaedge.InputError, ValueError),
        (vaedge.BundleError, ValueError),
        (vaedge.errors.BundleNotFoundError, FileNotFoundError),
        (vaedge.DeviceError, RuntimeError),
        (vaedge.DependencyError, ImportError),
        (vaedge.InferenceError, RuntimeError),
    ):
        assert issubclass(error, builtin)
        assert issubclass(error, vaedge.VaedgeError)
