"""Components whose covariances are loadings and variances, Σ = W Wᵀ + Ψ: passes by products.

No d × d matrix is ever formed. With inverse deviations s = Ψ^(-½), whitened loadings L = Ψ^(-½) W
and M = I + LᵀL = C Cᵀ, the identities of Woodbury and Sylvester make of a Gaussian one with the
variances Ψ alone, and a correction from r numbers:

log N(x; μ, Σ) = log N(x; μ, Ψ) + ½ ‖t‖² - log det C,   t = Vᵀ (x - μ),   V = Ψ^(-½) L C⁻ᵀ

The t of all components are one product of points and matrices; what its rounding would show in is
done again by difference, without a term that cancels.

References
----------
Ghahramani and Hinton, The EM algorithm for mixtures of factor analyzers, technical report
CRG-TR-96-1, University of Toronto (1996).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from fastgmm._contract import are_far, far_responsibilities, farthest
from fastgmm._records import FloatArray, Statistics
from fastgmm.kernels.layouts import Mixture
from fastgmm.kernels.prediction import model_of, normalized, predict
from fastgmm.system.threads import blas_on_one_thread, n_threads

# Numbers of points that are looked at together, and rows of a product.
NUMBERS, ROWS = 2**22, 512
# Parts of a squared distance by which rounding may change it, by the size of a number.
TOLERANCE = {4: 2.0**-18, 8: 2.0**-40}
# Responsibilities that change no sum.
NOTHING = 1e-17


class Components(NamedTuple):
    """A mixture, in float64, as products take it."""

    weights: FloatArray  # (K,)
    means: FloatArray  # (K, d)
    loadings: FloatArray  # L, (K, d, r)
    inverse_deviations: FloatArray  # s, (K, d)
    inverse_factors: FloatArray  # C⁻¹, (K, r, r)
    directions: FloatArray  # V, (K, d, r)
    log_constants: FloatArray | None

    @property
    def log_determinants(self) -> FloatArray:
        """Log det C, (K,), with the sign of a log-density."""
        return np.asarray(np.log(np.diagonal(self.inverse_factors, axis1=1, axis2=2)).sum(axis=1))


def components_of(mixture: Mixture) -> Components:
    """Factorize what is small: an r × r matrix for each component."""
    weights, means, factors = (np.asarray(array, np.float64) for array in mixture[:3])
    loadings, inverse_deviations = factors[..., :-1], factors[..., -1]
    rank = loadings.shape[-1]
    inner = np.eye(rank) + loadings.swapaxes(1, 2) @ loadings
    inverses = np.linalg.inv(np.linalg.cholesky(inner))
    directions = inverse_deviations[..., None] * (loadings @ inverses.swapaxes(1, 2))
    return Components(
        weights, means, loadings, inverse_deviations, inverses, directions, mixture.log_constants
    )


def component_log_density(X: FloatArray, components: Components) -> FloatArray:
    """Log N(xᵢ; μₖ, Σₖ), (n, K) in float64, by products in the precision of the points."""
    means, s = components.means, components.inverse_deviations
    K, d, rank = components.directions.shape
    by_variances = np.empty((len(X), K), X.dtype)
    diagonal = Mixture(np.ones(K), means, s, "diag")
    predict(X, model_of(diagonal, X.dtype), log_density=by_variances)
    constants = np.log(s).sum(axis=1) - 0.5 * d * math.log(2 * math.pi)
    explained, apart = _explained(X, components)
    with np.errstate(over="ignore", invalid="ignore"):  # an infinite square is done again, too
        squares = 2 * (constants - by_variances.astype(np.float64))  # ‖z‖², z = s (x - μ)
        distances = squares - explained
        # Rounding of ‖z‖² and, beside the distance of the mean from the centre, of t.
        lengths = np.sqrt(np.maximum(squares, 0.0))
        rounding = squares + 2 * math.sqrt(rank) * lengths * (lengths + apart)
        tolerance = TOLERANCE[X.itemsize] / np.finfo(X.dtype).eps
        visible = ~(rounding <= tolerance * (distances + d))

    def do_again(k: int) -> None:
        rows = np.flatnonzero(visible[:, k])
        distances[rows, k] = _by_difference(X[rows], components, k)

    _side_by_side(do_again, np.flatnonzero(visible.any(axis=0)).tolist())
    return constants + components.log_determinants - 0.5 * distances


def _explained(X: FloatArray, components: Components) -> tuple[FloatArray, FloatArray]:
    """‖t‖² by a product, (n, K), and how far means are from the centre of all, (K,)."""
    K, d, rank = components.directions.shape
    centre = components.means.mean(axis=0).astype(X.dtype)
    offsets = components.means - centre
    directions = components.directions.swapaxes(0, 1).reshape(d, K * rank).astype(X.dtype)
    at_means = np.einsum("kd,kdr->kr", offsets, components.directions).ravel().astype(X.dtype)
    explained = np.empty((len(X), K), X.dtype)

    def of_rows(start: int) -> None:
        part = X[start : start + ROWS]
        with np.errstate(over="ignore", invalid="ignore"):  # of each thread
            t = (part - centre) @ directions
            t -= at_means
            t *= t
            t = t.reshape(len(part), K, rank)
            np.add.reduce(t, axis=2, out=explained[start : start + ROWS])

    _side_by_side(of_rows, range(0, len(X), ROWS))
    apart = np.linalg.norm(offsets * components.inverse_deviations, axis=1)
    return explained.astype(np.float64), apart


def _by_difference(X: FloatArray, components: Components, k: int) -> FloatArray:
    """‖z - L y‖² + ‖y‖² with y = M⁻¹ Lᵀ z, which is ‖z‖² - ‖t‖², and nothing cancels."""
    parts = components.means, components.inverse_deviations, components.loadings
    mean, inverse_deviations, loadings = (part[k].astype(X.dtype) for part in parts)
    to_factors = (components.inverse_factors[k].T @ components.inverse_factors[k]).astype(X.dtype)
    with np.errstate(over="ignore", invalid="ignore"):
        z = (X - mean) * inverse_deviations
        y = z @ loadings @ to_factors
        return np.asarray(np.sum((z - y @ loadings.T) ** 2, axis=1) + np.sum(y**2, axis=1))


# --- what passes ask for --------------------------------------------------------------------
def log_gaussian_density(X: FloatArray, mixture: Mixture) -> FloatArray:
    """Log-density (n, K) of every point under every component, of X's dtype."""
    components, density = components_of(mixture), np.empty((len(X), len(mixture.means)), X.dtype)
    for rows, part in _chunks(X):
        density[rows] = _bounded(component_log_density(part, components), X.dtype)
    return density


def posterior(X: FloatArray, mixture: Mixture) -> tuple[FloatArray, FloatArray]:
    """Log-density (n,) and responsibilities (n, K), of X's dtype."""
    components = components_of(mixture)
    density, shares = np.empty(len(X), X.dtype), np.empty((len(X), len(mixture.means)), X.dtype)
    for rows, part in _chunks(X):
        density[rows], shares[rows] = _posterior(part, components, mixture, X.dtype)
    return density, shares


def log_density(X: FloatArray, mixture: Mixture) -> FloatArray:
    """Log p(xᵢ), (n,) of X's dtype."""
    components, density = components_of(mixture), np.empty(len(X), X.dtype)
    for rows, part in _chunks(X):
        density[rows] = _posterior(part, components, mixture, X.dtype)[0]
    return density


def assign(X: FloatArray, mixture: Mixture) -> np.ndarray:
    """Index of the most probable component, (n,)."""
    components, labels = components_of(mixture), np.empty(len(X), np.intp)
    for rows, part in _chunks(X):
        labels[rows] = _posterior(part, components, mixture, X.dtype)[1].argmax(axis=1)
    return labels


def log_likelihood(X: FloatArray, weight: FloatArray, mixture: Mixture) -> float:
    """Σᵢ wᵢ log p(xᵢ); an empty array for no weights."""
    components, total = components_of(mixture), 0.0
    for rows, part in _chunks(X):
        total += _weighted(_posterior(part, components, mixture, X.dtype)[0], weight[rows])
    return max(total, -farthest(np.float64))


def expectation(X: FloatArray, weight: FloatArray, mixture: Mixture) -> Statistics:
    """Expected statistics: of second moments, the variances and those along the directions."""
    components, total = components_of(mixture), 0.0
    K, d, rank = components.directions.shape
    counts, first, second = np.zeros(K), np.zeros((K, d)), np.zeros((K, d, rank + 1))
    for rows, part in _chunks(X):
        density, shares = _posterior(part, components, mixture, X.dtype)
        total += _weighted(density, weight[rows])
        if len(weight):
            shares *= weight[rows, None]
        counts += shares.sum(axis=0)

        # Called within this turn of the loop.
        def add(k: int, part: FloatArray = part, shares: FloatArray = shares) -> None:
            own = np.flatnonzero(shares[:, k] > NOTHING * shares[:, k].max())
            with np.errstate(over="ignore", invalid="ignore"):
                c = part[own] - components.means[k]
                t = c @ components.directions[k]
                weighted = c * shares[own, k, None]
                first[k] += weighted.sum(axis=0)
                second[k, :, :rank] += weighted.T @ t
                second[k, :, rank] += np.einsum("nd,nd->d", weighted, c)

        _side_by_side(add, range(K))
    total = max(total, -farthest(np.float64))
    return Statistics(
        total, counts, first, second, components.means, "low_rank", components.directions
    )


def _posterior(
    X: FloatArray, components: Components, mixture: Mixture, dtype: np.dtype
) -> tuple[FloatArray, FloatArray]:
    """Log-density and responsibilities in float64, those of far points too."""
    with np.errstate(divide="ignore"):
        log_weights = np.log(components.weights)
    if components.log_constants is not None:
        log_weights = log_weights + np.asarray(components.log_constants, np.float64)
    joint = _bounded(component_log_density(X, components), dtype) + log_weights
    density, shares = normalized(joint)
    far = are_far(density.astype(dtype))
    if np.any(far):
        shares[far] = far_responsibilities(X[far], *mixture)
    return density, shares


def _bounded(log_density: FloatArray, dtype: np.dtype) -> FloatArray:
    """Log-densities that a type can hold."""
    return np.fmax(log_density, -0.5 * farthest(dtype))


def _weighted(density: FloatArray, weight: FloatArray) -> float:
    with np.errstate(over="ignore"):
        return float(weight.astype(np.float64) @ density if len(weight) else density.sum())


def bytes_of_pass(n_components: int, n_features: int, rank: int) -> int:
    """Memory that a pass takes beside the points: chunks of them, products, and statistics."""
    rows = max(ROWS, NUMBERS // n_features)
    products = n_threads() * ROWS * n_components * rank
    statistics = 2 * n_components * n_features * (rank + 2)
    return 8 * (3 * rows * n_features + 4 * rows * n_components + products + statistics)


def _chunks(X: FloatArray) -> Iterator[tuple[slice, FloatArray]]:
    """Parts of the points, each in one piece."""
    length = max(ROWS, NUMBERS // X.shape[1])
    for start in range(0, len(X), length):
        rows = slice(start, start + length)
        yield rows, np.ascontiguousarray(X[rows])


def _side_by_side(function: Callable[[int], Any], items: Iterable[int]) -> None:
    """Call a function for each item, on as many threads as the kernels have."""
    todo = list(items)
    with blas_on_one_thread():
        if len(todo) <= 1 or n_threads() == 1:
            for item in todo:
                function(item)
            return
        with ThreadPoolExecutor(n_threads()) as pool:
            for _ in pool.map(function, todo):
                pass
