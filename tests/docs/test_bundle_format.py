"""The runtime follows the specification in docs/bundle-format.md.

This module implements the algorithms of the section "Sampling" in plain Python, and compares them with the runtime.
"""

import math
import re

import mpmath
import numpy as np

from docs.blocks import ROOT
from vaedge.bundle import graph_checks
from vaedge.distributions.draws import Draws
from vaedge.distributions.posterior import Posterior
from vaedge.distributions.prior import Mixture
from vaedge.distributions.random import standard_normal

PAGE = (ROOT / "docs" / "bundle-format.md").read_text("utf-8")
MASK_32, MASK_64, MASK_128 = 2**32 - 1, 2**64 - 1, 2**128 - 1
SEEDS = (0, 1, 123, 2**32, 2**64 + 5, 2**200 + 7)
R, INVERSE_R = 3.6541528853610088, 0.27366123732975828


def words(seed):
    found = [seed & MASK_32]
    while seed := seed >> 32:
        found.append(seed & MASK_32)
    return found


def seed_sequence(entropy):
    constant = 0x43B0D7E5

    def hashmix(value):
        nonlocal constant
        value ^= constant
        constant = constant * 0x931E8875 & MASK_32
        value = value * constant & MASK_32
        return value ^ value >> 16

    def mix(a, b):
        result = (0xCA01F9DD * a - 0x4973F715 * b) & MASK_32
        return result ^ result >> 16

    pool = [hashmix(entropy[i] if i < len(entropy) else 0) for i in range(4)]
    for i in range(4):
        for j in range(4):
            if i != j:
                pool[j] = mix(pool[j], hashmix(pool[i]))
    for word in entropy[4:]:
        for j in range(4):
            pool[j] = mix(pool[j], hashmix(word))
    constant = 0x8B51F9DD
    out = []
    for i in range(8):
        value = pool[i % 4] ^ constant
        constant = constant * 0x58F38DED & MASK_32
        value = value * constant & MASK_32
        out.append(value ^ value >> 16)
    return [out[i] | out[i + 1] << 32 for i in range(0, 8, 2)]


class Pcg64:
    MULTIPLIER = 0x2360ED051FC65DA44385DF649FCCF645

    def __init__(self, entropy):
        s0, s1, s2, s3 = seed_sequence(entropy)
        self.increment = ((s2 << 64 | s3) << 1 | 1) & MASK_128
        self.state = ((self.increment + (s0 << 64 | s1)) * self.MULTIPLIER + self.increment) & MASK_128

    def next_uint64(self):
        self.state = (self.state * self.MULTIPLIER + self.increment) & MASK_128
        value, turn = self.state >> 64 ^ self.state & MASK_64, self.state >> 122
        return (value >> turn | value << 64 - turn) & MASK_64

    def next_double(self):
        return (self.next_uint64() >> 11) * 2.0**-53


def ziggurat_tables():
    """Compute the tables k, w and f of the ziggurat algorithm for normal numbers in high precision.

    The tables in numpy were computed in float64, and differ from these by about 1e-14.
    """
    with mpmath.workdps(40):
        r = mpmath.mpf(R)
        density = lambda x: mpmath.exp(-x * x / 2)  # noqa: E731
        area = r * density(r) + mpmath.sqrt(mpmath.pi / 2) * mpmath.erfc(r / mpmath.sqrt(2))
        edges = {0: area / density(r), 255: r}
        for i in range(254, 0, -1):
            edges[i] = mpmath.sqrt(-2 * mpmath.log(area / edges[i + 1] + density(edges[i + 1])))
        k = [int(r / edges[0] * 2**52), 0, *(int(edges[i - 1] / edges[i] * 2**52) for i in range(2, 256))]
        w = [float(edges[i] / 2**52) for i in range(256)]
        f = [1.0, *(float(density(edges[i])) for i in range(1, 256))]
    return k, w, f


def draw_normal(rng, k, w, f):
    while True:
        u = rng.next_uint64()
        i, negative, m = u % 256, (u >> 8) % 2, (u >> 9) % 2**52
        x = -m * w[i] if negative else m * w[i]
        if m < k[i]:
            return x
        if i == 0:
            while True:
                a = -INVERSE_R * math.log1p(-rng.next_double())
                b = -math.log1p(-rng.next_double())
                if b + b > a * a:
                    return -(R + a) if (m >> 8) % 2 else R + a
        if (f[i - 1] - f[i]) * rng.next_double() + f[i] < math.exp(-0.5 * x * x):
            return x


def test_specified_generator_gives_the_bits_of_numpy():
    for seed in SEEDS:
        normals, uniforms = Pcg64(words(seed)), Pcg64([*words(seed), 1])
        raw = np.random.default_rng(seed).bit_generator.random_raw(8)
        assert [normals.next_uint64() for _ in range(8)] == raw.tolist()
        assert [uniforms.next_double() for _ in range(8)] == np.random.default_rng((seed, 1)).random(8).tolist()


def test_specified_ziggurat_gives_the_normals_of_the_runtime():
    tables = ziggurat_tables()
    rng = Pcg64(words(7))
    found = np.array([draw_normal(rng, *tables) for _ in range(30_000)]).astype(np.float32)
    expected = standard_normal((30_000,), 7)
    assert (np.abs(expected) > R).any()  # the tail is tested, too
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_specified_mixture_gives_the_latents_of_the_runtime():
    rng = np.random.default_rng(0)
    mean, std = rng.normal(size=(3, 2)).astype("f4"), rng.random((3, 2)).astype("f4") + np.float32(0.1)
    cumulative = np.array([2**51, 2**52, 2**53])
    uniforms, eps = Pcg64([*words(5), 1]), standard_normal((50, 2), 5)
    found = []
    for row in eps:
        position = int(uniforms.next_double() * 2**53)
        c = next(index for index, limit in enumerate(cumulative) if limit > position)
        found.append(mean[c] + std[c] * row)
    np.testing.assert_array_equal(np.array(found), Mixture(mean, std, cumulative).sample(50, 5))


def test_specified_posterior_gives_the_latents_of_the_runtime():
    rng = np.random.default_rng(0)
    mean, log_var = rng.normal(size=(2, 9, 4)).astype("f4")
    std = np.exp(log_var.astype("f8") / 2).astype("f4")
    expected = Posterior(mean, log_var).sample(3)
    np.testing.assert_array_equal(mean + std * standard_normal((9, 4), 3), expected)


def test_specified_draws_are_those_of_the_runtime():
    rng = np.random.default_rng(0)
    loc, log_scale = rng.random((2, 40, 3)).astype("f4")
    logits = (8 * rng.standard_normal((40, 3))).astype("f4")
    logits[0] = 0
    uniforms, normals = (Pcg64([*words(5), 2]) for _ in range(2))
    u = np.array([uniforms.next_double() for _ in range(120)]).reshape(40, 3)
    tables = ziggurat_tables()
    e = np.array([draw_normal(normals, *tables) for _ in range(120)]).reshape(40, 3)
    expected = {
        "bernoulli": (u < 1 / (1 + np.exp(-logits.astype("f8"))), [logits]),
        "continuous_bernoulli": (np.vectorize(inverse_of_continuous_bernoulli)(u, logits.astype("f8")), [logits]),
        "gaussian": (loc + np.exp(log_scale.astype("f8")) * e, [loc, log_scale]),
        "discretized_logistic": (
            np.rint(255 * np.clip(loc + np.exp(log_scale.astype("f8")) * (np.log(u) - np.log1p(-u)), 0, 1)) / 255,
            [loc, log_scale],
        ),
    }
    for name, (values, parameters) in expected.items():
        np.testing.assert_allclose(Draws(name, 5).next(parameters), values, rtol=1e-6, atol=1e-12, err_msg=name)


def inverse_of_continuous_bernoulli(u, logits):
    if logits == 0:
        return u
    if logits > 0:
        return 1 - math.log1p((1 - u) * math.expm1(-logits)) / -logits
    return math.log1p(u * math.expm1(logits)) / logits


def listed(marker):
    quote = re.search(rf"<!-- {marker} -->\n((?:> .*\n)+)", PAGE)[1]
    return set(re.findall(r"\w+", quote))


def test_specified_operators_are_those_of_the_graph_checks():
    assert listed("operators") == set(graph_checks._OPERATORS)
    assert listed("contrib operators") == set(graph_checks._CONTRIB_OPERATORS)
