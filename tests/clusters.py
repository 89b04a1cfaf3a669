"""Points of clusters that lie apart or upon each other, and how kernels are checked on them."""

from __future__ import annotations

import numpy as np
from registry import assert_statistics_agree

from fastgmm import kernels, reference

FAR, NEAR = 3.0, 0.3  # clusters whose points belong to one component, and to nearly all


def clusters(n: int, d: int, K: int, apart: float, dtype: str, kind: str = "full") -> tuple:
    """Points of K clusters, and the model that they are drawn from (roughly)."""
    rng = np.random.default_rng(d * K)
    means = apart * rng.standard_normal((K, d))
    X = means[rng.integers(K, size=n)] + rng.standard_normal((n, d))
    factors = np.eye(d) + 0.2 / np.sqrt(d) * np.triu(rng.standard_normal((K, d, d)), 1)
    weights = rng.dirichlet(np.full(K, 5.0))
    if kind == "tied":
        factors = factors[0]
    elif kind != "full":
        factors = 1 + 0.1 * rng.random(K) if kind == "spherical" else 1 + 0.1 * rng.random((K, d))
    return X.astype(dtype), weights, means.astype(dtype), factors, kind


def assert_an_empty_component_counts_nothing() -> None:
    """Check a component that is far from all points."""
    X, weights, means, factors, kind = clusters(600, 20, 6, FAR, "float64")
    means[3] = 1e6
    statistics = kernels.expectation(X, weights, means, factors, kind)
    assert statistics.counts[3] == 0
    assert not statistics.second[3].any()
    assert_agrees((X, weights, means, factors, kind), "float64")


def assert_agrees(problem: tuple, dtype: str, sample_weight: np.ndarray | None = None) -> None:
    X, weights, means, factors, kind = problem
    actual = kernels.expectation(*problem, sample_weight)
    expected = reference.expectation(*problem, sample_weight)
    log_densities = reference.log_density(X, weights, means, factors, kind)
    if sample_weight is not None:
        log_densities = sample_weight * log_densities
    assert_statistics_agree(actual, expected, log_densities, dtype)
