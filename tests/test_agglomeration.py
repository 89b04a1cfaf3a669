"""Agglomeration: greedy by the criterion itself, multiplicities, and the start of a fit."""

from __future__ import annotations

import json

import numpy as np
import pytest
from axes import each_dtype
from processes import TESTS
from sklearn.datasets import load_iris
from sklearn.metrics import adjusted_rand_score

from fastgmm import BayesianGaussianMixture, GaussianMixture
from fastgmm.em.agglomeration import agglomerated

REFERENCE = json.loads((TESTS / "data" / "mclust.json").read_text())["partitions"]
DATA = {
    "iris": load_iris().data,
    **{
        name: np.loadtxt(TESTS / "data" / f"{name}.csv", delimiter=",", skiprows=1)
        for name in ("faithful", "diabetes")
    },
}


def clouds(n, d, K=3, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) + 4 * rng.normal(size=(K, d))[rng.integers(K, size=n)]


def criterion(X, labels):
    """Σ n log(|W / n| + (tr W + α) / n), as Fraley (1998) has it."""
    n, d = X.shape
    alpha, total = np.sum((X - X.mean(axis=0)) ** 2) / (n * d), 0.0
    for label in np.unique(labels):
        rows = X[labels == label]
        apart = rows - rows.mean(axis=0)
        m, W = len(rows), apart.T @ apart
        determinant = np.linalg.det(W / m) if m > d else 0.0
        total += m * np.log(determinant + (np.trace(W) + alpha) / m)
    return total


def greedy(X, n_clusters):
    """Labels, by trying each pair each time."""
    labels = np.arange(len(X))
    while len(np.unique(labels)) > n_clusters:
        pairs = [(a, b) for a in np.unique(labels) for b in np.unique(labels) if a < b]
        a, b = min(pairs, key=lambda pair: criterion(X, merged(labels, *pair)))
        labels = merged(labels, a, b)
    return labels


def merged(labels, a, b):
    return np.where(labels == b, a, labels)


@pytest.mark.parametrize("d", [1, 2, 3, 30])
@pytest.mark.parametrize("seed", range(2))
def test_it_merges_what_the_criterion_says(d, seed):
    X = clouds(24, d, seed=seed)
    for n_clusters in (12, 5, 3, 2):
        actual = agglomerated((X, None), n_clusters)
        assert len(np.unique(actual)) == n_clusters
        assert adjusted_rand_score(actual, greedy(X, n_clusters)) == 1.0


@pytest.mark.parametrize("case", REFERENCE)
def test_beside_mclust(case):
    """Its partitions of iris; elsewhere others, whose criterion is hardly worse, mostly better."""
    name, K = case.split()
    X, theirs = DATA[name], np.array([int(label) for label in REFERENCE[case]])
    ours = agglomerated((X, None), int(K))
    if name == "iris" and int(K) < 4:
        assert adjusted_rand_score(ours, theirs) == 1.0
    mine, reference = criterion(X, ours), criterion(X, theirs)
    assert mine <= reference + 0.01 * abs(reference)


@pytest.mark.parametrize("d", [1, 2])
def test_weights_are_multiplicities(d):
    X = clouds(60, d)
    weight = np.random.default_rng(0).integers(1, 4, size=60)
    repeated = agglomerated((np.repeat(X, weight, axis=0), None), 4)
    actual = agglomerated((X, weight.astype(float)), 4)
    assert adjusted_rand_score(np.repeat(actual, weight), repeated) == 1.0


@pytest.mark.parametrize("scale", [1e-3, 1e-9])
def test_small_weights_are_proportions(scale):
    X, weight = clouds(60, 2), np.random.default_rng(0).uniform(0.5, 1.5, size=60)
    one = agglomerated((X, weight / weight.mean()), 3)
    np.testing.assert_array_equal(agglomerated((X, scale * weight), 3), one)


def test_wide_rows_take_no_matrices():
    X = clouds(30, 5000)
    assert len(np.unique(agglomerated((X, None), 3))) == 3


def test_several_starts_are_one(monkeypatch):
    calls = []

    def counted(*given):
        calls.append(given)
        return agglomerated(*given)

    monkeypatch.setattr("fastgmm.em.initialization.agglomerated", counted)
    GaussianMixture(3, init_params="hierarchical", n_init=10).fit(clouds(100, 2))
    assert len(calls) == 1


@pytest.mark.parametrize("K", [1, 2, 9, 10])
def test_equal_rows(K):
    labels = agglomerated((np.ones((10, 3)), None), K)
    np.testing.assert_array_equal(np.unique(labels), np.arange(K))


# --- as a start -----------------------------------------------------------------------------
@each_dtype
@pytest.mark.parametrize("name", ["full", "tied", "diag"])
def test_neither_units_nor_offsets_matter(name, dtype):
    X = clouds(300, 3)
    options = {"covariance_type": name, "init_params": "hierarchical", "reg_covar": 0}
    one = GaussianMixture(3, **options).fit(X.astype(dtype))
    other = GaussianMixture(3, **options).fit((X * [1e-3, 1.0, 1e3] + 50).astype(dtype))
    np.testing.assert_allclose(one.weights_, other.weights_, rtol=1e-3)


def test_the_labels_are_those_of_standardized_features():
    X = DATA["diabetes"]
    standardized = (X - X.mean(axis=0)) / X.std(axis=0)
    labels = agglomerated((standardized, None), 3)
    one = GaussianMixture(3, init_params="hierarchical").fit(X)
    other = GaussianMixture(3, init_params=labels).fit(X)
    np.testing.assert_allclose(one.covariances_, other.covariances_, rtol=1e-6)
    white = GaussianMixture(3, init_params="hierarchical", init_whiten=True).fit(X)
    assert not np.allclose(white.weights_, one.weights_)


def test_of_many_rows_a_subset():
    X = clouds(5000, 2)
    options = {"init_params": "hierarchical", "max_iter": 0}
    one, two, other = (
        GaussianMixture(3, random_state=seed, **options).fit(X) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one.means_, two.means_)
    assert not np.array_equal(one.means_, other.means_)
    np.testing.assert_allclose(np.sort(one.weights_), np.sort(other.weights_), atol=0.05)


def test_a_constant_feature():
    X = np.column_stack([clouds(200, 2), np.ones(200)])
    assert GaussianMixture(3, init_params="hierarchical").fit(X).converged_


def test_variational_bayes_starts_from_it():
    mixture = BayesianGaussianMixture(n_components=3, init_params="hierarchical", max_iter=500)
    assert mixture.fit(clouds(200, 2)).converged_


def test_memory_that_is_not_there(monkeypatch):
    monkeypatch.setattr("fastgmm.system.memory.available_bytes", lambda: 10**6)
    with pytest.raises(MemoryError, match="use init_params='kmeans', or fewer features"):
        agglomerated((np.zeros((2000, 300)), None), 3)
