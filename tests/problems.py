"""Real and random data with fixed starts, shared by the tests against scikit-learn."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
from registry import COVARIANCE_TYPES
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.decomposition import PCA

__all__ = [
    "ARRAYS", "COVARIANCE_TYPES", "INIT_PARAMS", "RANDOM",
    "assert_close", "assert_same_arrays", "assert_same_fit",
    "fixed_start", "load", "random_mixture",
]  # fmt: skip

INIT_PARAMS = ["kmeans", "k-means++", "random", "random_from_data"]
ARRAYS = ["weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"]
RANDOM = [f"random {seed}" for seed in range(5)]


@cache
def load(name: str) -> tuple[np.ndarray, int]:
    """Return read-only data and a number of components."""
    match name.split():
        case ["iris"]:
            X, K = load_iris().data, 3
        case ["wine"]:
            X, K = load_wine().data, 3
        case ["digits"]:
            X, K = PCA(10, random_state=0).fit_transform(load_digits().data), 10
        case ["random", seed]:
            X, K = random_mixture(np.random.default_rng(int(seed)))
    X.setflags(write=False)
    return X, K


def random_mixture(rng: np.random.Generator) -> tuple[np.ndarray, int]:
    """Return points of overlapping Gaussians with correlated features, off the origin."""
    K, d = int(rng.integers(2, 6)), int(rng.integers(1, 7))
    means = rng.normal(scale=3, size=(K, d)) + rng.normal(scale=20, size=d)
    labels = rng.integers(K, size=400)
    factors = rng.normal(size=(K, d, d))
    noise = rng.normal(scale=0.5, size=(400, d))  # beneath it scikit-learn itself loses digits
    spread = np.einsum("nij,nj->ni", factors[labels], rng.normal(size=(400, d)))
    return means[labels] + spread + noise, K


def fixed_start(X: np.ndarray, K: int, covariance_type: str, seed: int = 0) -> dict[str, Any]:
    """Return weights_init, means_init and precisions_init: unequal shares, single points."""
    rng = np.random.default_rng(seed)
    d = X.shape[1]
    variances = X.var(axis=0)
    precision = np.linalg.inv(np.cov(X.T, bias=True).reshape(d, d))
    return {
        "weights_init": np.arange(1, K + 1) / (K * (K + 1) / 2),
        "means_init": X[rng.choice(len(X), K, replace=False)],
        "precisions_init": {
            "full": np.stack([precision] * K),
            "tied": precision,
            "diag": np.stack([1 / variances] * K),
            "spherical": np.full(K, 1 / variances.mean()),
        }[covariance_type],
    }


def assert_close(actual: Any, expected: Any, rtol: float) -> None:
    """Compare elements relative to the largest of the array."""
    expected = np.asarray(expected)
    assert_allclose(actual, expected, rtol=rtol, atol=rtol * np.abs(expected).max())


def assert_same_arrays(actual: Any, expected: Any) -> None:
    """Compare the parameters of two fitted mixtures to the last bit."""
    for name in ARRAYS:
        assert_array_equal(getattr(actual, name), getattr(expected, name))


def assert_same_fit(actual: Any, expected: Any, rtol: float = 1e-8) -> None:
    """Compare two fitted mixtures: the path, the result, and the dtypes."""
    assert actual.n_iter_ == expected.n_iter_
    assert actual.converged_ == expected.converged_
    if expected.n_iter_:
        assert_close(actual.lower_bounds_, expected.lower_bounds_, rtol)
        assert_close(actual.lower_bound_, expected.lower_bound_, rtol)
    else:
        assert actual.lower_bounds_ == expected.lower_bounds_ == []
        assert actual.lower_bound_ == expected.lower_bound_ == -np.inf
    for name in ARRAYS:
        array, other = getattr(actual, name), getattr(expected, name)
        assert array.dtype == other.dtype, name
        assert array.shape == other.shape, name
        assert_close(array, other, rtol)
