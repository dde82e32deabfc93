"""Fixtures for the tests of vaedge_train."""

import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.distributions import MultivariateNormal

from vaedge_train.model.likelihoods import LIKELIHOODS
from vaedge_train.model.priors import StandardNormal
from vaedge_train.model.vae import VAE

SIZE, LATENT, SCALE = 5, 2, 0.7


@pytest.fixture
def image_folder(tmp_path):
    """A folder of 40 gray images of 6 x 5 pixels. Half of the images are dark, and half are bright."""
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(40):
        pixels = rng.integers(0, 60, (5, 6)) + (180 if index % 2 else 0)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{index:02}.png")
    return folder


class LinearDecoder(nn.Module):
    def __init__(self, weight):
        super().__init__()
        self.weight = nn.Parameter(weight.clone())

    def forward(self, z):
        loc = z @ self.weight.T
        return loc, torch.full_like(loc, math.log(SCALE))


class LinearEncoder(nn.Module):
    """An encoder that returns the exact posterior of a linear-Gaussian model.

    `shift` and `log_factor` add errors to the mean and to log_var.
    """

    def __init__(self, weight, shift=0.0, log_factor=0.0):
        super().__init__()
        precision = torch.eye(LATENT) + weight.T @ weight / SCALE**2
        self.matrix = nn.Parameter(torch.linalg.solve(precision, weight.T / SCALE**2))
        self.log_var = nn.Parameter(torch.linalg.inv(precision).diagonal().log() + log_factor)
        self.shift = nn.Parameter(torch.tensor(shift))

    def forward(self, x):
        mean = x @ self.matrix.T + self.shift
        return mean, self.log_var.expand_as(mean)


@pytest.fixture
def weight():
    """Weights with orthogonal columns, so that the exact posterior is a diagonal Gaussian."""
    return torch.linalg.qr(torch.randn(SIZE, LATENT, generator=torch.Generator().manual_seed(0)))[0] * 1.5


@pytest.fixture
def linear_vae(weight):
    """Return a function that builds a linear-Gaussian VAE, whose log p(x) is known exactly."""

    def build(prior=None, **encoder):
        return VAE(
            LinearEncoder(weight, **encoder),
            LinearDecoder(weight),
            LIKELIHOODS["gaussian"],
            prior or StandardNormal(LATENT),
        )

    return build


@pytest.fixture
def x():
    """Six examples for the linear-Gaussian VAE."""
    return torch.randn(6, SIZE, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def log_evidence(weight, x):
    """The exact log p(x) of the linear-Gaussian VAE."""
    return MultivariateNormal(torch.zeros(SIZE), weight @ weight.T + SCALE**2 * torch.eye(SIZE)).log_prob(x)


@pytest.fixture
def bits():
    """Twenty examples, each with six bits."""
    return (torch.rand(20, 6, generator=torch.Generator().manual_seed(3)) < 0.4).float()
