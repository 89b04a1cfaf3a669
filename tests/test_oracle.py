"""The arithmetic of a fit against fifty digits of mpmath, with bounds for its rounding errors.

What the reference has of it is in `test_reference.py`; here are the kernels and the M step, and
numbers that leave little to spare: covariances near to singular, offsets, shares of almost nothing.
"""

from __future__ import annotations

from typing import NamedTuple

import mpmath
import numpy as np
import pytest
from axes import each_covariance_type
from hypothesis import given, settings
from hypothesis import strategies as st
from registry import Case, full_covariances

from fastgmm import kernels
from fastgmm.model.factors import precisions_cholesky_from_covariances
from fastgmm.model.maximization import MaximumLikelihood

# The problems are small; the drivers are to solve them, too.
pytestmark = pytest.mark.usefixtures("both_ways")

EPS = np.finfo(np.float64).eps


@pytest.fixture(autouse=True)
def fifty_digits():
    with mpmath.workdps(50):
        yield


# --- the oracle: arrays of mpmath's numbers ---------------------------------------------------
exact = np.vectorize(lambda number: mpmath.mpf(float(number)), otypes=[object])
exp = np.vectorize(mpmath.exp, otypes=[object])
log = np.vectorize(mpmath.log, otypes=[object])


def error(actual: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Absolute differences of floats from exact values."""
    return np.asarray(np.abs(exact(actual) - expected)).astype(float)


def exact_densities(X: np.ndarray, means: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Log N(xᵢ; μₖ, Σₖ), (n, K), by elimination: Σ = L D Lᵀ and y = L⁻¹ (x - μ)."""
    d = X.shape[1]
    columns = []
    for mean, matrix in zip(means, matrices, strict=True):
        rest, y = exact(matrix), (exact(X) - exact(mean)).T
        result = -d * mpmath.log(2 * mpmath.pi) / 2
        for i in range(d):
            pivot = rest[i, i]
            result = result - mpmath.log(pivot) / 2 - y[i] ** 2 / (2 * pivot)
            factor = rest[i + 1 :, i] / pivot
            y[i + 1 :] -= factor[:, None] * y[i]
            rest[i + 1 :, i + 1 :] -= factor[:, None] * rest[i, i + 1 :]
        columns.append(result)
    return np.stack(columns, axis=1)


def exact_densities_from_factors(
    X: np.ndarray, means: np.ndarray, factors: np.ndarray
) -> np.ndarray:
    """The same from the kernels' own U of Σ⁻¹ = U Uᵀ."""
    columns = []
    for mean, U in zip(means, exact(factors), strict=True):
        y = (exact(X) - exact(mean)) @ U
        constant = log(np.diagonal(U)).sum() - X.shape[1] * mpmath.log(2 * mpmath.pi) / 2
        columns.append(constant - (y**2).sum(axis=1) / 2)
    return np.stack(columns, axis=1)


def exact_shares(a: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log Σₖ exp aₖ (n,) and exp aₖ over that sum (n, K)."""
    terms = exp(a - a.max(axis=1, keepdims=True))
    totals = terms.sum(axis=1, keepdims=True)
    return a.max(axis=1) + log(totals[:, 0]), terms / totals


def exact_moments(
    X: np.ndarray, shares: np.ndarray, covariance_type: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Counts, means and covariances under shares of the points."""
    X, counts = exact(X), shares.sum(axis=0)
    means = (shares.T @ X) / counts[:, None]
    full = np.stack(
        [((X - m) * r[:, None]).T @ (X - m) for m, r in zip(means, shares.T, strict=True)]
    )
    diagonals = np.stack([np.diagonal(matrix) for matrix in full])
    covariances = {
        "full": full / counts[:, None, None],
        "tied": full.sum(axis=0) / counts.sum(),
        "diag": diagonals / counts[:, None],
        "spherical": diagonals.sum(axis=1) / (counts * X.shape[1]),
    }
    return counts, means, covariances[covariance_type]


# --- log-densities ----------------------------------------------------------------------------
class Gaussians(NamedTuple):
    """Two components and points about them.

    `far` (n, K) is the larger squared distance of a point, in units of the covariance, from the
    component and, in 'tied', where points are whitened once for all, from the others.
    """

    X: np.ndarray
    means: np.ndarray
    covariances: np.ndarray
    matrices: np.ndarray
    condition: float
    far: np.ndarray


def gaussians(covariance_type: str, d: int, condition: float, spread: float, seed: int):
    rng = np.random.default_rng(seed)
    K = 2

    def eigenvalues() -> np.ndarray:
        exponents = rng.permutation(np.linspace(0, 1, d)) if d > 1 else np.zeros(1)
        return 10.0 ** rng.uniform(-6, 6) * condition**exponents

    def matrix() -> np.ndarray:
        Q = np.linalg.qr(rng.standard_normal((d, d)))[0]
        product = (Q * eigenvalues()) @ Q.T
        return (product + product.T) / 2

    match covariance_type:
        case "full":
            covariances = np.stack([matrix() for _ in range(K)])
        case "tied":
            covariances = matrix()
        case "diag":
            covariances = np.stack([eigenvalues() for _ in range(K)])
        case "spherical":
            covariances = 10.0 ** rng.uniform(-6, 6, K)
    matrices = full_covariances(covariances, covariance_type, K, d)
    roots = [_root(matrix) for matrix in matrices]
    noise = rng.standard_normal((2 * K, d)) * 10.0 ** rng.uniform(-3, 1, (2 * K, 1))
    means = rng.standard_normal((K, d)) @ roots[0] * spread
    X = np.stack([means[i % K] + noise[i] @ roots[i % K] for i in range(2 * K)])
    distances = np.stack(
        [
            np.sum(np.linalg.solve(root.T, (X - mean).T) ** 2, axis=0)
            for mean, root in zip(means, roots, strict=True)
        ],
        axis=1,
    )
    if covariance_type == "tied":
        distances = np.max(distances, axis=1, keepdims=True) * np.ones(K)
    return Gaussians(X, means, covariances, matrices, condition if d > 1 else 1.0, distances)


def _root(matrix: np.ndarray) -> np.ndarray:
    """R with RᵀR = `matrix`, roughly, for matrices that are hardly positive definite too."""
    values, vectors = np.linalg.eigh(matrix)
    return np.sqrt(np.maximum(values, 1e-13 * values.max()))[:, None] * vectors.T


cases = given(
    d=st.sampled_from([*range(1, 7)] * 4 + [20]),
    condition=st.floats(0, 12).map(lambda exponent: 10.0**exponent),
    spread=st.sampled_from([0.0, 1.0, 1000.0]),
    seed=st.integers(0, 2**32),
)
many = settings(max_examples=500, deadline=None, derandomize=True)


@each_covariance_type
@many
@cases
def test_log_gaussian_density_of_covariances(covariance_type, d, condition, spread, seed):
    """Factors and kernels together lose no more than the condition of the covariance explains."""
    g = gaussians(covariance_type, d, condition, spread, seed)
    U = precisions_cholesky_from_covariances(g.covariances, covariance_type)
    actual = kernels.log_gaussian_density(g.X, g.means, U, covariance_type)
    expected = exact_densities(g.X, g.means, g.matrices)
    assert np.all(error(actual, expected) <= 100 * EPS * g.condition * (d + g.far))


@each_covariance_type
@many
@cases
def test_log_gaussian_density_of_factors(covariance_type, d, condition, spread, seed):
    """The kernels alone lose what a product with a triangle of rounded numbers may lose.

    That is y = Uᵀc to d eps |U|ᵀ|c|, and so its square to twice that times |y|.
    """
    g = gaussians(covariance_type, d, condition, spread, seed)
    U = precisions_cholesky_from_covariances(g.covariances, covariance_type)
    factors = full_covariances(U, covariance_type, 2, d)
    actual = kernels.log_gaussian_density(g.X, g.means, U, covariance_type)
    expected = exact_densities_from_factors(g.X, g.means, factors)
    away = np.abs(g.X[:, None] - g.means)  # (n, K, d)
    if covariance_type == "tied":
        away = away + away[:, ::-1]
    longest = np.linalg.norm(np.einsum("nki,kij->nkj", away, np.abs(factors)), axis=2)
    length = np.sqrt(g.far)
    logarithms = np.abs(np.log(np.einsum("kii->ki", factors))).sum(axis=1)
    bound = 4 * EPS * (d + logarithms + d * longest * length + (d * EPS * longest) * longest)
    assert np.all(error(actual, expected) <= bound)


# --- log-sum-exp ------------------------------------------------------------------------------
@pytest.mark.parametrize("n_components", [1, 2, 7, 40])
def test_shares_over_a_wide_range(n_components: int):
    """Every share is right to its own size, down to the smallest normal number."""
    rng = np.random.default_rng(n_components)
    level = rng.choice([-1e300, -1e6, -700.0, 0.0, 700.0, 1e6], (200, 1))
    below = 10.0 ** rng.uniform(-17, 3.5, (200, n_components))
    a = level - below * (rng.random((200, n_components)) < 0.8)
    a[::10, 0] = -np.inf if n_components > 1 else 0
    log_p, r = kernels.normalize_responsibilities(a)
    finite = np.where(np.isneginf(a), -1e308, a)
    expected_log_p, expected_r = exact_shares(exact(finite))
    assert np.all(error(log_p, expected_log_p) <= 4 * EPS * (1 + np.abs(log_p)))
    off, size = error(r, expected_r), expected_r.astype(float)
    depth = a.max(axis=1, keepdims=True) - a
    nothing = size < 2 * np.finfo(np.float64).smallest_normal
    with np.errstate(invalid="ignore"):  # inf · 0
        assert np.all(nothing | (off <= EPS * (8 + 2 * depth) * size))
    assert np.all(r[nothing] <= 2 * np.finfo(np.float64).smallest_normal)
    assert np.all(error(r.sum(axis=1), exact(np.ones(200))) <= (4 + n_components) * EPS)


# --- a step of EM, and the covariances that a start has ------------------------------------------
@each_covariance_type
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("d", [1, 3, 20])
def test_a_step_of_em(covariance_type: str, weighted: bool, offset: float, d: int):
    X, *mixture, w = Case(covariance_type, "float64", 40, d, 3, weighted=weighted).make()
    weights, means, U = mixture
    X, means = X + offset, means + offset
    w = np.ones(len(X)) if w is None else w
    statistics = kernels.expectation(X, weights, means, U, covariance_type, w if weighted else None)
    actual = MaximumLikelihood(covariance_type).maximize(statistics)

    factors = full_covariances(U, covariance_type, 3, d)
    a = exact_densities_from_factors(X, means, factors) + log(exact(weights))
    log_p, r = exact_shares(a)
    counts, new_means, covariances = exact_moments(X, exact(w)[:, None] * r, covariance_type)
    log_likelihood, scale = exact(w) @ log_p, w @ np.abs(log_p).astype(float)
    assert error(statistics.log_likelihood, log_likelihood) <= 1e-14 * scale
    assert error(actual.weights, counts / counts.sum()).max() <= 1e-13
    assert error(actual.means, new_means).max() <= 1e-13 + EPS * offset
    scale = float(np.abs(covariances).max())
    assert error(actual.covariances, covariances).max() <= 1e-13 * scale


@each_covariance_type
@pytest.mark.parametrize("offset", [0.0, 1e6])
@pytest.mark.parametrize("d", [1, 3, 20])
def test_weighted_covariances(covariance_type: str, offset: float, d: int):
    X = Case(covariance_type, "float64", 40, d, 3).make().X + offset
    shares = np.random.default_rng(0).dirichlet(np.ones(3), 40) * np.arange(40)[:, None]
    counts, means, covariances = kernels.weighted_covariances(X, shares, covariance_type)
    expected = exact_moments(X, exact(shares), covariance_type)
    assert error(counts, expected[0]).max() <= 1e-14 * counts.max()
    assert error(means, expected[1]).max() <= 1e-14 + EPS * offset
    scale = float(np.abs(expected[2]).max())
    assert error(covariances, expected[2]).max() <= 1e-14 * scale
