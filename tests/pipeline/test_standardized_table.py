"""The defaults of `vaedge train` give a good model of a table whose columns have scales from 0.006 to 12,791."""

import numpy as np
import pytest

import vaedge
from vaedge.cli.main import main

ROWS, OUTLIERS = 5000, 50
CONSTANT = 5
SCALES = np.geomspace(0.006, 12_791, 12)
VIOLATED = (1, 4, 8)  # columns in which the outliers have values of other rows

pytestmark = pytest.mark.slow


def correlated_table():
    """A table of twelve columns, one of which is constant.

    In all other columns, a combination of three factors makes up 95 % of the variance.
    """
    rng = np.random.default_rng(0)
    weights = np.random.default_rng(99).standard_normal((3, 12))
    weights /= np.linalg.norm(weights, axis=0)
    x = np.sqrt(0.95) * rng.standard_normal((ROWS, 3)) @ weights + np.sqrt(0.05) * rng.standard_normal((ROWS, 12))
    x = x * SCALES + SCALES * np.linspace(-3, 8, 12)
    x[:, CONSTANT] = 3.25
    return x.astype(np.float32)


def plant_outliers(x):
    """Turn 50 rows of a table into outliers: replace their values in three columns by values of other rows.

    Each single value stays usual. Only the correlations between columns are violated.

    Returns:
        The changed table, and a bool array that marks the outliers.
    """
    rng = np.random.default_rng(1)
    x, is_outlier = x.copy(), np.zeros(ROWS, bool)
    rows = rng.choice(ROWS, OUTLIERS, replace=False)
    for column in VIOLATED:
        x[rows, column] = x[rng.choice(ROWS, OUTLIERS, replace=False), column]
    is_outlier[rows] = True
    return x, is_outlier


def auroc(scores, is_positive):
    ranks = np.argsort(np.argsort(scores)) + 1
    positives = is_positive.sum()
    return (ranks[is_positive].sum() - positives * (positives + 1) / 2) / (positives * (~is_positive).sum())


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The bundle of a model that was trained with default settings on the table with outliers."""
    folder = tmp_path_factory.mktemp("table")
    clean = correlated_table()
    x, is_outlier = plant_outliers(clean)
    np.save(folder / "table.npy", x)
    words = ["--dataset", str(folder / "table.npy"), "--likelihood", "gaussian"]
    assert main(["train", *words, "--out", str(folder / "run")]) == 0
    words = ["--variants", "int8", "--out", str(folder / "bundle")]
    assert main(["export", str(folder / "run"), *words]) == 0
    return folder / "bundle", clean, x, is_outlier


def test_draws_have_the_moments_of_the_data(trained):
    bundle, clean, _, _ = trained
    draws = vaedge.load(bundle).sample(20_000, seed=0, draw=True).astype(np.float64)
    std = clean.std(0, dtype=np.float64)
    std[CONSTANT] = 1
    difference = np.abs(draws.mean(0) - clean.mean(0, dtype=np.float64)) / std
    ratio = np.delete(draws.std(0) / std, CONSTANT)
    print(f"means differ by at most {difference.max():.3f} std; std ratios from {ratio.min():.3f} to {ratio.max():.3f}")
    assert difference.max() <= 0.1
    assert np.abs(ratio - 1).max() <= 0.1
    assert draws[:, CONSTANT].std() < 0.01


def test_log_prob_finds_outliers_that_violate_only_the_correlations(trained):
    bundle, _, x, is_outlier = trained
    for variant in ("fp32", "int8"):
        found = auroc(-vaedge.load(bundle, variant=variant).log_prob(x, k=50, seed=0), is_outlier)
        print(f"AUROC of {variant}: {found:.4f}")
        assert found >= 0.95


def test_int8_is_measured_in_nats(trained):
    measured = vaedge.load(trained[0]).manifest.variants["int8"].measured
    print(f"int8 changes the ELBO by {measured['elbo_change']:.3f} nats; layers kept in float32: {measured['kept']}")
    assert measured["elbo_change"] >= -0.3
    assert vaedge.check(trained[0]).passed
