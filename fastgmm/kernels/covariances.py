"""Means and covariances under given responsibilities: the M step of those who have these."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fastgmm._contract import check_covariance_type
from fastgmm._records import COVARIANCE_TYPES, CovarianceType, FloatArray, Statistics
from fastgmm.kernels.accumulation import Accumulator, as_points
from fastgmm.kernels.layouts import moments_model
from fastgmm.kernels.small_problems import SmallProblem, is_small


def weighted_covariances(
    X: FloatArray,
    responsibilities: FloatArray,
    covariance_type: CovarianceType,
    reg_covar: float = 0.0,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Maximum-likelihood means and covariances under given responsibilities.

    Nₖ = Σᵢ rᵢₖ,   μₖ = Σᵢ rᵢₖ xᵢ / Nₖ,   Σₖ = Σᵢ rᵢₖ (xᵢ - μₖ)(xᵢ - μₖ)ᵀ / Nₖ

    ``'tied'`` averages Σₖ with weights Nₖ, ``'diag'`` keeps the diagonals, ``'spherical'`` their
    mean. A component without points gets the mean of all the points and zero covariance (plus
    `reg_covar`).

    Parameters
    ----------
    X : (n, d) array of float32 or float64
    responsibilities : (n, K) array
    covariance_type : {'full', 'tied', 'diag', 'spherical'}
    reg_covar : float
        Added to the variances.

    Returns
    -------
    counts : (K,) array
    means : (K, d) array
    covariances : array
        ``'full'`` (K, d, d), ``'tied'`` (d, d), ``'diag'`` (K, d), ``'spherical'`` (K,). All
        three have X's dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgmm import kernels
    >>> X = np.array([[0.0], [2.0]])
    >>> kernels.weighted_covariances(X, np.ones((2, 1)), 'diag')
    (array([2.]), array([[1.]]), array([[1.]]))
    """
    X = as_points(X)
    counts, means, covariances = weighted_moments(X, responsibilities, covariance_type)
    if covariance_type in ("full", "tied"):
        np.einsum("...ii->...i", covariances)[...] += reg_covar
    else:
        covariances += reg_covar
    return counts.astype(X.dtype), means.astype(X.dtype), covariances.astype(X.dtype)


def weighted_moments(
    X: FloatArray, responsibilities: FloatArray, covariance_type: CovarianceType
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return counts, means and covariances as `weighted_covariances` does, but in float64."""
    X = as_points(X)
    n, d = X.shape
    r = np.asarray(responsibilities, X.dtype)
    if r.ndim != 2 or len(r) != n:
        raise ValueError(f"responsibilities have shape {r.shape}; expected ({n}, n_components).")
    check_covariance_type(covariance_type, COVARIANCE_TYPES)
    # Moments are taken about means that are nearly right: nothing cancels.
    small = is_small(n, r.shape[1], d, covariance_type)
    moments_about = _moments(X, r, covariance_type, small)
    if small:
        exact = moments_about(_means_by_product(X, r))
    else:
        about = moments_about(np.tile(X.mean(axis=0, dtype=np.float64), (r.shape[1], 1)))
        exact = moments_about(about.reference + _per_count(about.first, about.counts))
    means = exact.reference + _per_count(exact.first, exact.counts)
    counts, second = exact.counts, exact.second
    shift = _per_count(exact.first, counts)
    weighted = counts[:, None] * shift
    match covariance_type:
        case "full":
            if small:
                second -= weighted[:, :, None] * shift[:, None, :]
            else:
                for matrix, one, other in zip(second, weighted, shift, strict=True):
                    matrix -= one[:, None] * other
            covariances = _per_count(second, counts)
        case "tied":
            corrections = weighted.T @ shift
            total = counts.sum(keepdims=True)
            covariances = _per_count((second - corrections)[None], total)[0]
        case "diag":
            covariances = _per_count(second - weighted * shift, counts)
        case "spherical":
            covariances = _per_count(second - np.sum(weighted * shift, axis=1), counts * d)
    return counts, means, covariances


def _moments(
    X: FloatArray, responsibilities: FloatArray, covariance_type: CovarianceType, small: bool
) -> Callable[[FloatArray], Statistics]:
    """Return a function from means to the moments about them."""
    if small:
        few = SmallProblem(X)
        return lambda means: few.moments(means, responsibilities, covariance_type)
    points = Accumulator(X, np.empty(0, X.dtype), "one")

    def moments(means: FloatArray) -> Statistics:
        model = moments_model(means, covariance_type, X.dtype)
        return points.statistics(model, covariance_type, responsibilities)

    return moments


def _means_by_product(X: FloatArray, responsibilities: FloatArray) -> FloatArray:
    """Means in the precision of the points; of components without any, that of all points."""
    counts = responsibilities.sum(axis=0)
    if counts.min() > 0:
        return np.asarray((responsibilities.T @ X) / counts[:, None], np.float64)
    means = np.tile(X.mean(axis=0, dtype=np.float64), (len(counts), 1))
    counted = counts > 0
    means[counted] = (responsibilities[:, counted].T @ X) / counts[counted, None]
    return means


def _per_count(moments: FloatArray, counts: FloatArray) -> FloatArray:
    """moments / counts along the first axis, 0 where nothing was counted."""
    counts = counts.reshape(-1, *[1] * (moments.ndim - 1))
    if counts.min() > 0:
        return moments / counts
    return np.divide(moments, counts, out=np.zeros_like(moments), where=counts > 0)
