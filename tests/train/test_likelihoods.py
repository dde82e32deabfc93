"""Every p(x|z) against quadrature, sums and torch.distributions."""

import math

import pytest
import torch
from torch import distributions

from vaedge_train.model.likelihoods import LIKELIHOODS

PARAMETERS = {
    "bernoulli": [(-3.0,), (0.0,), (1.5,)],
    "bce_surrogate": [(-3.0,), (0.7,)],
    "continuous_bernoulli": [(-40.0,), (-3.0,), (-0.05,), (0.0,), (1e-4,), (0.0999,), (0.1001,), (2.0,), (40.0,)],
    "gaussian": [(0.3, 0.0), (-2.0, -1.5), (5.0, 1.0)],
    "discretized_logistic": [(0.4, -2.0), (0.0, -5.0), (1.2, -1.0), (0.5, -7.5), (-0.5, 1.0)],
}
CASES = [(name, values) for name, cases in PARAMETERS.items() for values in cases]
EXTREMES = (-1e4, -100.0, -1e-8, 0.0, 1e-8, 100.0, 1e4)
NORMALISED = [case for case in CASES if case[0] != "bce_surrogate"]


def support(name, values):
    """All of x that matters, (m, 1) float64, and the weight of each point in a sum over it."""
    if name == "bernoulli":
        points, weights = torch.tensor([0.0, 1.0]), torch.ones(2)
    elif name == "discretized_logistic":
        points, weights = torch.arange(256).double() / 255, torch.ones(256)
    else:
        low, high = (values[0] - 60, values[0] + 60) if name == "gaussian" else (0.0, 1.0)
        points = torch.linspace(low, high, 200_001, dtype=torch.float64)
        weights = torch.full_like(points, (high - low) / 200_000)
        weights[[0, -1]] /= 2
    return points.double()[:, None], weights.double()


def probabilities(name, values):
    x, weights = support(name, values)
    parameters = [torch.full_like(x, value) for value in values]
    return x[:, 0], LIKELIHOODS[name].log_prob(x, *parameters).exp() * weights


def tensors(values, n=1):
    return [torch.full((n, 1), value, dtype=torch.float64) for value in values]


@pytest.mark.parametrize(("name", "values"), NORMALISED)
def test_it_sums_to_one(name, values):
    assert probabilities(name, values)[1].sum().item() == pytest.approx(1, abs=1e-6)


def test_the_surrogate_does_not():
    assert probabilities("bce_surrogate", (0.7,))[1].sum().item() < 0.9


@pytest.mark.parametrize(("name", "values"), NORMALISED)
def test_the_mean_is_the_mean(name, values):
    x, p = probabilities(name, values)
    tolerance = 1e-4 if name == "discretized_logistic" else 1e-7
    assert LIKELIHOODS[name].mean(*tensors(values)).item() == pytest.approx(
        (x * p).sum().item(), abs=tolerance, rel=1e-6
    )


@pytest.mark.parametrize(("name", "values"), NORMALISED)
def test_draws_have_its_mean_and_variance(name, values):
    x, p = probabilities(name, values)
    mean = (x * p).sum()
    deviation = ((x - mean).square() * p).sum().sqrt().item()
    drawn = LIKELIHOODS[name].sample(*tensors(values, 50_000), generator=torch.Generator().manual_seed(0))
    assert drawn.mean().item() == pytest.approx(mean.item(), abs=5 * deviation / 50_000**0.5 + 1e-6)
    assert drawn.std().item() == pytest.approx(deviation, rel=0.05, abs=1e-4)
    assert LIKELIHOODS[name].refusal(drawn.float()) is None


ORACLES = {
    "bernoulli": lambda logits: distributions.Bernoulli(logits=logits),
    "continuous_bernoulli": lambda logits: distributions.ContinuousBernoulli(logits=logits),
    "gaussian": lambda loc, log_scale: distributions.Normal(loc, log_scale.exp()),
}


@pytest.mark.parametrize(("name", "values"), [case for case in CASES if case[0] in ORACLES and abs(case[1][0]) < 30])
def test_torch_distributions_agrees(name, values):
    x = torch.tensor([[0.0], [1.0]] if name == "bernoulli" else [[0.0], [0.3], [1.0]], dtype=torch.float64)
    parameters = tensors(values, len(x))
    expected = ORACLES[name](*parameters).log_prob(x)[:, 0]
    torch.testing.assert_close(LIKELIHOODS[name].log_prob(x, *parameters), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("second", EXTREMES)
def test_extreme_parameters_give_finite_values_and_gradients(name, second):
    likelihood = LIKELIHOODS[name]
    x = torch.tensor([[0.0], [1.0]]).repeat(1, len(EXTREMES))
    parameters = [torch.tensor([EXTREMES] * 2, requires_grad=True)]
    if len(likelihood.parameters) == 2:
        parameters.append(torch.full_like(x, second, requires_grad=True))
    log_prob, mean = likelihood.log_prob(x, *parameters), likelihood.mean(*parameters)
    (log_prob.sum() + mean.sum()).backward()
    assert log_prob.isfinite().all()
    assert mean.isfinite().all()
    for parameter in parameters:
        assert parameter.grad.isfinite().all()


@pytest.mark.parametrize("name", PARAMETERS)
def test_training_starts_around_the_mean(name):
    mean = torch.tensor([0.1, 0.4, 0.8])
    found = LIKELIHOODS[name].mean(*LIKELIHOODS[name].at_mean(mean))
    torch.testing.assert_close(found, mean, atol=0.1, rtol=0)


def test_uniform_logits_cost_784_bits():
    x = torch.rand(2, 1, 28, 28).round()
    nats = -LIKELIHOODS["bernoulli"].log_prob(x, torch.zeros_like(x))
    assert nats.tolist() == pytest.approx([784 * math.log(2)] * 2)


def test_a_gaussian_of_scale_one_costs_720_nats():
    x = torch.rand(1, 1, 28, 28)
    nats = -LIKELIHOODS["gaussian"].log_prob(x, x, torch.zeros_like(x))
    assert nats.item() == pytest.approx(784 * 0.5 * math.log(2 * math.pi), rel=1e-6)


def test_the_mean_of_a_continuous_bernoulli_is_not_the_sigmoid():
    logits = torch.tensor([3.0])
    assert (LIKELIHOODS["continuous_bernoulli"].mean(logits) - torch.sigmoid(logits)).abs() > 0.1


@pytest.mark.parametrize("name", PARAMETERS)
def test_it_sums_over_the_item_and_keeps_the_leading_axes(name):
    likelihood = LIKELIHOODS[name]
    x = torch.rand(2, 3, 4).round()
    parameters = [torch.zeros(5, 2, 3, 4) for _ in likelihood.parameters]
    assert likelihood.log_prob(x, *parameters).shape == (5, 2)
    twice = likelihood.log_prob(x.repeat(1, 2, 1), *(parameter.repeat(1, 1, 2, 1) for parameter in parameters))
    torch.testing.assert_close(twice, 2 * likelihood.log_prob(x, *parameters))


@pytest.mark.parametrize("name", PARAMETERS)
def test_shapes_that_differ_do_not_broadcast(name):
    with pytest.raises(ValueError, match="shape"):
        LIKELIHOODS[name].log_prob(torch.zeros(2, 16), *(torch.zeros(2, 1, 4, 4) for _ in LIKELIHOODS[name].parameters))


@pytest.mark.parametrize(
    ("name", "x", "says"),
    [
        ("bernoulli", [0.0, 1.0], None),
        ("bernoulli", [0.0, 0.5], "bce_surrogate"),
        ("bce_surrogate", [0.0, 0.5], None),
        ("bce_surrogate", [1.5], "from 0 to 1"),
        ("continuous_bernoulli", [-0.1], "from 0 to 1"),
        ("gaussian", [-1e6], None),
        ("gaussian", [math.nan], "NaN"),
        ("discretized_logistic", [0.0, 1.0, 77 / 255], None),
        ("discretized_logistic", [0.5], "256 levels"),
    ],
)
def test_the_support_is_checked(name, x, says):
    refused = LIKELIHOODS[name].refusal(torch.tensor(x))
    assert refused is None if says is None else says in refused
