"""The likelihoods p(x|z) agree with numerical integrals, sums, and torch.distributions."""

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
NORMALIZED = [case for case in CASES if case[0] != "bce_surrogate"]


def support(name, values):
    """Return values of x, float64 of shape (m, 1), and the weight of each value in a sum or an integral."""
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


@pytest.mark.parametrize(("name", "values"), NORMALIZED)
def test_density_integrates_to_one(name, values):
    assert probabilities(name, values)[1].sum().item() == pytest.approx(1, abs=1e-6)


def test_surrogate_does_not_integrate_to_one():
    assert probabilities("bce_surrogate", (0.7,))[1].sum().item() < 0.9


@pytest.mark.parametrize(("name", "values"), NORMALIZED)
def test_mean_is_that_of_the_density(name, values):
    x, p = probabilities(name, values)
    tolerance = 1e-4 if name == "discretized_logistic" else 1e-7
    assert LIKELIHOODS[name].mean(*tensors(values)).item() == pytest.approx(
        (x * p).sum().item(), abs=tolerance, rel=1e-6
    )


ORACLES = {
    "bernoulli": lambda logits: distributions.Bernoulli(logits=logits),
    "continuous_bernoulli": lambda logits: distributions.ContinuousBernoulli(logits=logits),
    "gaussian": lambda loc, log_scale: distributions.Normal(loc, log_scale.exp()),
}


@pytest.mark.parametrize(("name", "values"), [case for case in CASES if case[0] in ORACLES and abs(case[1][0]) < 30])
def test_log_prob_is_that_of_torch_distributions(name, values):
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
def test_initial_parameters_have_about_the_mean(name):
    mean = torch.tensor([0.1, 0.4, 0.8])
    found = LIKELIHOODS[name].mean(*LIKELIHOODS[name].at_mean(mean))
    torch.testing.assert_close(found, mean, atol=0.1, rtol=0)


def test_uniform_bits_have_log_two_nats_each():
    x = torch.rand(2, 1, 28, 28).round()
    nats = -LIKELIHOODS["bernoulli"].log_prob(x, torch.zeros_like(x))
    assert nats.tolist() == pytest.approx([784 * math.log(2)] * 2)


def test_gaussian_of_scale_one_includes_its_constant():
    x = torch.rand(1, 1, 28, 28)
    nats = -LIKELIHOODS["gaussian"].log_prob(x, x, torch.zeros_like(x))
    assert nats.item() == pytest.approx(784 * 0.5 * math.log(2 * math.pi), rel=1e-6)


def test_mean_of_a_continuous_bernoulli_is_not_the_sigmoid():
    logits = torch.tensor([3.0])
    assert (LIKELIHOODS["continuous_bernoulli"].mean(logits) - torch.sigmoid(logits)).abs() > 0.1


@pytest.mark.parametrize("name", PARAMETERS)
def test_log_prob_sums_over_elements_and_keeps_leading_axes(name):
    likelihood = LIKELIHOODS[name]
    x = torch.rand(2, 3, 4).round()
    parameters = [torch.zeros(5, 2, 3, 4) for _ in likelihood.parameters]
    assert likelihood.log_prob(x, *parameters).shape == (5, 2)
    twice = likelihood.log_prob(x.repeat(1, 2, 1), *(parameter.repeat(1, 1, 2, 1) for parameter in parameters))
    torch.testing.assert_close(twice, 2 * likelihood.log_prob(x, *parameters))


@pytest.mark.parametrize("name", PARAMETERS)
def test_different_shapes_are_an_error(name):
    with pytest.raises(ValueError, match="expected it to end with the shape of x"):
        LIKELIHOODS[name].log_prob(torch.zeros(2, 16), *(torch.zeros(2, 1, 4, 4) for _ in LIKELIHOODS[name].parameters))


@pytest.mark.parametrize(
    ("name", "x", "reason"),
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
def test_refusal_names_the_reason(name, x, reason):
    found = LIKELIHOODS[name].refusal(torch.tensor(x))
    assert found is None if reason is None else reason in found


@pytest.mark.parametrize("log_scale", [-100.0, -6.0, 10.0, 50.0])
def test_log_scale_of_a_gaussian_is_clamped(log_scale):
    scale = math.exp(min(max(log_scale, -6.0), 10.0))
    x, loc = torch.tensor([[0.501]], dtype=torch.float64), torch.tensor([[0.5]], dtype=torch.float64)
    found = LIKELIHOODS["gaussian"].log_prob(x, loc, torch.full_like(x, log_scale))
    torch.testing.assert_close(found, distributions.Normal(loc, scale).log_prob(x)[:, 0])


@pytest.mark.parametrize("log_scale", [-100.0, -8.0, -3.0, 0.0, 8.0, 50.0])
def test_discretized_logistic_is_the_mass_of_each_bin(log_scale):
    """The mass of a bin is a difference of logistic distribution functions. The outer bins extend to infinity."""
    scale = math.exp(min(max(log_scale, -8.0), 8.0))
    levels = (torch.arange(256, dtype=torch.float64) / 255)[:, None]
    loc = torch.full_like(levels, 0.503)
    upper = torch.sigmoid((levels + 0.5 / 255 - loc) / scale)
    lower = torch.sigmoid((levels - 0.5 / 255 - loc) / scale)
    upper[-1], lower[0] = 1.0, 0.0
    found = LIKELIHOODS["discretized_logistic"].log_prob(levels, loc, torch.full_like(levels, log_scale)).exp()
    torch.testing.assert_close(found, (upper - lower)[:, 0], rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("log_scale", [-100.0, -8.0, -3.0, 0.0, 8.0, 50.0])
def test_mean_of_a_discretized_logistic_is_clamped_like_its_density(log_scale):
    levels = (torch.arange(256, dtype=torch.float64) / 255)[:, None]
    parameters = torch.full_like(levels, 0.6), torch.full_like(levels, log_scale)
    likelihood = LIKELIHOODS["discretized_logistic"]
    expected = (likelihood.log_prob(levels, *parameters).exp() * levels[:, 0]).sum()
    assert likelihood.mean(*parameters)[0].item() == pytest.approx(expected.item(), abs=2e-3)


@pytest.mark.parametrize("logits", [0.0, 1e-8, -1e-8, 0.0999, -0.0999, 100.0, -100.0])
def test_gradients_of_a_continuous_bernoulli_are_finite(logits):
    parameter = torch.full((1, 2), logits, requires_grad=True)
    likelihood = LIKELIHOODS["continuous_bernoulli"]
    (likelihood.log_prob(torch.tensor([[0.3, 0.9]]), parameter).sum() + likelihood.mean(parameter).sum()).backward()
    assert parameter.grad.isfinite().all()


@pytest.mark.parametrize("logits", [-0.0999, -0.03, 0.0, 1e-3, 0.03, 0.0999])
def test_series_of_a_continuous_bernoulli_is_exact_near_zero(logits):
    """The error of the series is not much larger than the first omitted term. The exact values have 50 digits."""
    from decimal import Decimal, localcontext

    with localcontext() as context:
        context.prec = 50
        value = Decimal(logits)
        exp = value.exp()
        constant = (value * (exp + 1) / (exp - 1)).ln() if logits else Decimal(2).ln()
        mean = exp / (exp - 1) - 1 / value if logits else Decimal("0.5")
    likelihood, parameter = LIKELIHOODS["continuous_bernoulli"], torch.tensor([[logits]], dtype=torch.float64)
    x = torch.zeros_like(parameter)
    found = likelihood.log_prob(x, parameter) - LIKELIHOODS["bernoulli"].log_prob(x, parameter)
    assert found.item() == pytest.approx(float(constant), rel=0, abs=max(4e-4 * logits**6, 1e-14))
    assert likelihood.mean(parameter).item() == pytest.approx(
        float(mean), rel=0, abs=max(abs(logits) ** 5 / 2e4, 1e-14)
    )


@pytest.mark.parametrize(
    ("name", "mean", "expected"),
    [
        ("bernoulli", [0.0, 0.5, 0.9, 1.0], [[math.log(1e-3 / 0.999), 0.0, math.log(9), math.log(0.999 / 1e-3)]]),
        ("continuous_bernoulli", [0.0, 0.1, 0.5, 0.75, 1.0], [[-48.0, -8.0, 0.0, 2.0, 48.0]]),
        ("gaussian", [-3.0, 0.5], [[-3.0, 0.5], [0.0, 0.0]]),
        ("discretized_logistic", [0.0, 0.5], [[0.0, 0.5], [-2.5, -2.5]]),
    ],
)
def test_initial_parameters(name, mean, expected):
    found = LIKELIHOODS[name].at_mean(torch.tensor(mean, dtype=torch.float64))
    for parameter, values in zip(found, expected, strict=True):
        torch.testing.assert_close(parameter, torch.tensor(values, dtype=torch.float64), rtol=1e-4, atol=1e-9)


def test_gaussian_mean_is_a_copy_of_loc():
    loc = torch.ones(2, 3)
    mean = LIKELIHOODS["gaussian"].mean(loc, loc)
    assert torch.equal(mean, loc)
    assert mean.data_ptr() != loc.data_ptr()


@pytest.mark.parametrize("name", LIKELIHOODS)
def test_names_and_parameters_are_those_of_the_runtime(name):
    from vaedge.distributions.likelihoods import LIKELIHOODS as RUNTIME

    assert LIKELIHOODS[name].name == name
    assert list(LIKELIHOODS) == list(RUNTIME)
