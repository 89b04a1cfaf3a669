"""What `kernels` and `reference` both hold to: covariance types, upper factors, distant points.

A point is distant when all its squared distances overflow. Those squares are cut to the largest
number of the type, so that densities stay finite, but do not tell the components apart. There is
nearly never such a point; here is what becomes of one.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, get_args

import numpy as np
from numpy.typing import DTypeLike

from fastgmm._records import CovarianceType, FloatArray

# Up to how many features the places of a triangle are remembered.
FEW_FEATURES = 256


def check_covariance_type(
    covariance_type: CovarianceType, known: tuple[CovarianceType, ...] = get_args(CovarianceType)
) -> None:
    """Raise ValueError if there is no such type."""
    if covariance_type not in known:
        raise ValueError(f"Unknown covariance_type {covariance_type!r}; choose one of {known}.")


def check_upper_factors(factors: FloatArray, covariance_type: CovarianceType) -> None:
    """Refuse covariances, and other matrices, in the place of upper triangular factors.

    ValueError is raised if a number below a diagonal is not as small as rounding.
    """
    if covariance_type not in ("full", "tied") or not any_below_diagonal(factors):
        return
    if np.any(np.tril(are_large(factors), -1)):
        raise ValueError(
            "precisions_cholesky is not upper triangular. It should hold factors U of the "
            "precisions, Σ⁻¹ = U Uᵀ, rather than covariances or lower factors. Make them with "
            f"fastgmm.precisions_cholesky(covariances, {covariance_type!r})."
        )


def any_below_diagonal(factors: FloatArray) -> bool:
    """Whether any number below a diagonal is not zero; the first thing of every pass, so quick."""
    d = factors.shape[-1]
    if d <= FEW_FEATURES:
        return bool(np.any(factors.reshape(-1, d * d).take(_places_below_diagonal(d), axis=1)))
    return any(np.count_nonzero(factors[..., i, :i]) for i in range(1, d))


@lru_cache
def _places_below_diagonal(n_features: int) -> np.ndarray:
    return np.flatnonzero(np.tri(n_features, k=-1, dtype=bool))


def are_large(factors: FloatArray) -> np.ndarray:
    """Which numbers of matrices are beyond rounding, beside the largest of their row."""
    eps = float(np.finfo(np.float32 if factors.dtype == np.float32 else np.float64).eps)
    sizes = np.abs(factors.astype(np.float64))
    return np.asarray(sizes > np.sqrt(eps) * sizes.max(axis=-1, keepdims=True))


# --- distant points
@lru_cache
def farthest(dtype: Any) -> float:
    """The largest squared distance of a type."""
    return float(np.finfo(dtype).max)


def are_far(log_density: FloatArray) -> np.ndarray:
    """Which of the points, whose log-densities under the mixture these are, are so far."""
    return log_density <= -0.5 * farthest(log_density.dtype)


def may_be_far(mean_log_likelihood: float, dtype: DTypeLike) -> bool:
    """Whether one of the points of a mean may be, unless it has next to no weight in it."""
    return not mean_log_likelihood > -(farthest(np.dtype(dtype)) ** 0.25)


def far_responsibilities(X: FloatArray, *mixture: Any) -> FloatArray:
    """Responsibilities (n, K) of points that are far, in float64: all to the nearest component.

    Densities differ by so much that weights and determinants count only between components of
    the same distance.
    """
    weights, means, factors, covariance_type, log_constants = (*mixture, None)[:5]
    d, U = X.shape[1], factors.astype(np.float64)
    distances = _distances(X.astype(np.float64), means.astype(np.float64), U, covariance_type)
    with np.errstate(divide="ignore"):
        match covariance_type:
            case "full":
                log_determinants = np.log(np.diagonal(U, axis1=1, axis2=2)).sum(axis=1)
            case "tied":
                log_determinants = np.zeros(len(means))
            case "diag":
                log_determinants = np.log(U).sum(axis=1)
            case "spherical":
                log_determinants = d * np.log(U)
            case "low_rank":
                log_determinants = np.log(U[..., -1]).sum(axis=1)
                log_determinants -= 0.5 * np.linalg.slogdet(_inner(U[..., :-1]))[1]
        scores = np.log(weights.astype(np.float64)) + log_determinants
        if log_constants is not None:
            scores = scores + np.asarray(log_constants, np.float64)
    distances[:, np.isneginf(scores)] = np.inf
    nearest = distances == distances.min(axis=1, keepdims=True)
    scores = np.where(nearest, scores - scores.max(), -np.inf)
    shares = np.where(nearest, np.exp(scores - scores.max(axis=1, keepdims=True)), 0.0)
    return shares / shares.sum(axis=1, keepdims=True)


def _distances(
    X: FloatArray, means: FloatArray, U: FloatArray, covariance_type: CovarianceType
) -> FloatArray:
    """‖Uₖᵀ(xᵢ - μₖ)‖, (n, K), each row divided by a number that keeps all of it from overflowing.

    Infinite where a point is not finite.
    """
    scale = np.maximum(np.abs(X).max(axis=1), np.abs(means).max())[:, None]
    low_rank = covariance_type == "low_rank"
    largest = np.abs(U[..., -1] if low_rank else U).max()
    distances = np.empty((len(X), len(means)))
    with np.errstate(over="ignore", invalid="ignore"):
        for k in range(len(means)):
            centred = X / scale - means[k] / scale
            factor = U if covariance_type == "tied" else U[k]
            if low_rank:
                product = _apart_from_loadings(centred * (factor[:, -1] / largest), factor[:, :-1])
            elif covariance_type in ("full", "tied"):
                product = centred @ (factor / largest)
            else:
                product = centred * (factor / largest)
            extent = np.abs(product).max(axis=1, keepdims=True)
            safe = np.where(extent > 0, extent, 1.0)
            distances[:, k] = extent[:, 0] * np.sqrt(np.sum((product / safe) ** 2, axis=1))
    return np.where(np.isnan(distances), np.inf, distances)


def _inner(loadings: FloatArray) -> FloatArray:
    """I + LᵀL, (..., r, r)."""
    return np.asarray(np.eye(loadings.shape[-1]) + loadings.swapaxes(-2, -1) @ loadings)


def _apart_from_loadings(z: FloatArray, loadings: FloatArray) -> FloatArray:
    """Rows whose lengths are those of z under the covariance I + L Lᵀ: z - L y, and y."""
    y = np.linalg.solve(_inner(loadings), loadings.T @ z.T).T
    return np.concatenate([z - y @ loadings.T, y], axis=1)
