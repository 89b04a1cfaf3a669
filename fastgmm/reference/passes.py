"""Whole passes over the data: expectation and prediction."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastgmm._contract import are_far, far_responsibilities, farthest
from fastgmm._records import CovarianceType, FloatArray, Statistics
from fastgmm.reference.density import component_log_density, low_rank_directions
from fastgmm.reference.moments import first_moments, second_moments
from fastgmm.reference.normalization import normalize_responsibilities


# Long: for its documentation.
def expectation(
    X: FloatArray,
    weights: FloatArray,
    means: FloatArray,
    precisions_cholesky: FloatArray,
    covariance_type: CovarianceType,
    sample_weight: FloatArray | None = None,
    log_constants: FloatArray | None = None,
) -> Statistics:
    """Expected sufficient statistics of the points under the mixture: the E step of EM.

    Each responsibility counts `sample_weight` times, as if the point stood there that often
    (Bishop 2006, section 9.2.2).

    Parameters
    ----------
    X : (n, d) array of float32 or float64
    weights : (K,) array
    means : (K, d) array
    precisions_cholesky : array
        See `log_gaussian_density`.
    covariance_type : {'full', 'tied', 'diag', 'spherical', 'low_rank'}
    sample_weight : (n,) array, optional
    log_constants : (K,) array, optional
        Added to the log-density of each component.

    Returns
    -------
    Statistics
        Moments about `means`, in float64.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[0.0], [2.0]])
    >>> s = expectation(X, np.ones(1), np.zeros((1, 1)), np.ones(1), 'spherical')
    >>> s.counts, s.first, s.second
    (array([2.]), array([[2.]]), array([4.]))
    """
    log_p, r = _posterior(X, weights, means, precisions_cholesky, covariance_type, log_constants)
    X, means = X.astype(np.float64), means.astype(np.float64)
    w = np.ones(len(X)) if sample_weight is None else np.asarray(sample_weight, np.float64)
    r = w[:, None] * r
    V = low_rank_directions(precisions_cholesky) if covariance_type == "low_rank" else None
    return Statistics(
        log_likelihood=max(float(w @ log_p), -farthest(np.float64)),  # where the sum overflows
        counts=r.sum(axis=0),
        first=first_moments(X, r, means),
        second=second_moments(X, r, means, covariance_type, V),
        reference=means,
        covariance_type=covariance_type,
        directions=V,
    )


def log_density(
    X: FloatArray,
    weights: FloatArray,
    means: FloatArray,
    precisions_cholesky: FloatArray,
    covariance_type: CovarianceType,
    log_constants: FloatArray | None = None,
) -> FloatArray:
    """Log p(xᵢ) = log Σₖ πₖ N(xᵢ; μₖ, Σₖ), an (n,) array of X's dtype.

    Examples
    --------
    >>> import numpy as np
    >>> log_density(np.zeros((1, 1)), np.ones(1), np.zeros((1, 1)), np.ones(1), 'spherical')
    array([-0.91893853])
    """
    a = weighted_log_density(X, weights, means, precisions_cholesky, covariance_type, log_constants)
    return normalize_responsibilities(a)[0].astype(X.dtype)


def responsibilities(
    X: FloatArray,
    weights: FloatArray,
    means: FloatArray,
    precisions_cholesky: FloatArray,
    covariance_type: CovarianceType,
    log_constants: FloatArray | None = None,
) -> FloatArray:
    """Posterior probability of each component for each point, (n, K) of X's dtype.

    Examples
    --------
    >>> import numpy as np
    >>> X, means = np.array([[0.0]]), np.array([[-1.0], [1.0]])
    >>> responsibilities(X, np.array([0.25, 0.75]), means, np.ones(2), 'spherical')
    array([[0.25, 0.75]])
    """
    r = _posterior(X, weights, means, precisions_cholesky, covariance_type, log_constants)[1]
    return r.astype(X.dtype)


def assign(
    X: FloatArray,
    weights: FloatArray,
    means: FloatArray,
    precisions_cholesky: FloatArray,
    covariance_type: CovarianceType,
    log_constants: FloatArray | None = None,
) -> np.ndarray:
    """Index of the most probable component of each point, (n,) of intp; the first among equals.

    Examples
    --------
    >>> import numpy as np
    >>> X, means = np.array([[0.0]]), np.array([[-1.0], [1.0]])
    >>> assign(X, np.array([0.25, 0.75]), means, np.ones(2), 'spherical')
    array([1])
    """
    mixture = weights, means, precisions_cholesky, covariance_type, log_constants
    a = weighted_log_density(X, *mixture)
    labels, far = a.argmax(axis=1), are_far(a.max(axis=1).astype(X.dtype))
    shares = far_responsibilities(X[far], *mixture)
    labels[far] = shares.argmax(axis=1)
    return labels


def _posterior(X: FloatArray, *mixture: Any) -> tuple[FloatArray, FloatArray]:
    """Log p(xᵢ) and the responsibilities, those of far points too, in float64."""
    log_p, r = normalize_responsibilities(weighted_log_density(X, *mixture))
    far = are_far(log_p.astype(X.dtype))
    r[far] = far_responsibilities(X[far], *mixture)
    return log_p, r


def weighted_log_density(
    X: FloatArray,
    weights: FloatArray,
    means: FloatArray,
    precisions_cholesky: FloatArray,
    covariance_type: CovarianceType,
    log_constants: FloatArray | None = None,
) -> FloatArray:
    """Log πₖ + log N(xᵢ; μₖ, Σₖ), plus a constant if there are any, (n, K) in float64."""
    with np.errstate(divide="ignore"):
        log_weights = np.log(weights.astype(np.float64))
    if log_constants is not None:
        log_weights = log_weights + np.asarray(log_constants, np.float64)
    return log_weights + component_log_density(X, means, precisions_cholesky, covariance_type)
