"""Log-densities of Gaussian components, per covariance type."""

from __future__ import annotations

import numpy as np

from fastgmm._contract import check_upper_factors, farthest
from fastgmm._records import CovarianceType, FloatArray


def log_gaussian_density(
    X: FloatArray,
    means: FloatArray,
    precisions_cholesky: FloatArray,
    covariance_type: CovarianceType,
) -> FloatArray:
    """Log-density of every point under every component.

    log N(x; μ, Σ) = -½ (d log 2π + ‖Uᵀ(x - μ)‖²) + log det U   with Σ⁻¹ = U Uᵀ

    (Bishop, Pattern Recognition and Machine Learning, 2006, equation 2.43).

    Parameters
    ----------
    X : (n, d) array of float32 or float64
    means : (K, d) array
    precisions_cholesky : array
        U per component: ``'full'`` (K, d, d), ``'tied'`` (d, d), both upper triangular;
        ``'diag'`` (K, d), ``'spherical'`` (K,). For ``'low_rank'`` (K, d, r + 1): loadings in
        standard deviations, L, and inverse deviations s, with Σ = S⁻¹ (I + L Lᵀ) S⁻¹.
    covariance_type : {'full', 'tied', 'diag', 'spherical', 'low_rank'}

    Returns
    -------
    (n, K) array of X's dtype

    Examples
    --------
    >>> import numpy as np
    >>> log_gaussian_density(np.zeros((1, 2)), np.zeros((1, 2)), np.ones(1), 'spherical')
    array([[-1.83787707]])
    """
    return component_log_density(X, means, precisions_cholesky, covariance_type).astype(X.dtype)


def component_log_density(
    X: FloatArray,
    means: FloatArray,
    precisions_cholesky: FloatArray,
    covariance_type: CovarianceType,
) -> FloatArray:
    """Log N(xᵢ; μₖ, Σₖ) before it is rounded to X's dtype: (n, K) in float64."""
    d = X.shape[1]
    distances = mahalanobis_squared(X, means, precisions_cholesky, covariance_type)
    log_determinants = log_det_cholesky(precisions_cholesky, covariance_type, d)
    return -0.5 * (d * np.log(2 * np.pi) + distances) + log_determinants


def mahalanobis_squared(
    X: FloatArray,
    means: FloatArray,
    precisions_cholesky: FloatArray,
    covariance_type: CovarianceType,
) -> FloatArray:
    """‖Uₖᵀ(xᵢ - μₖ)‖² as an (n, K) float64 array, cut at the largest number of X's dtype."""
    check_upper_factors(precisions_cholesky, covariance_type)
    limit = farthest(X.dtype)
    X, means = X.astype(np.float64), means.astype(np.float64)
    K = len(means)
    with np.errstate(over="ignore", invalid="ignore"):
        match covariance_type:
            case "full":
                whitened = [(X - means[k]) @ precisions_cholesky[k] for k in range(K)]
            case "tied":
                whitened = [(X - means[k]) @ precisions_cholesky for k in range(K)]
            case "diag" | "spherical":
                whitened = [(X - means[k]) * precisions_cholesky[k] for k in range(K)]
            case "low_rank":
                roots = np.linalg.cholesky(low_rank_covariances(precisions_cholesky))
                whitened = [np.linalg.solve(roots[k], (X - means[k]).T).T for k in range(K)]
        distances = np.stack([np.sum(y**2, axis=1) for y in whitened], axis=1)
    return np.fmin(distances, limit)


def log_det_cholesky(
    precisions_cholesky: FloatArray, covariance_type: CovarianceType, n_features: int
) -> FloatArray:
    """Log |U| per component: half the log-determinant of the precision."""
    factors = precisions_cholesky.astype(np.float64)
    match covariance_type:
        case "full" | "tied":
            return np.sum(np.log(np.diagonal(factors, axis1=-2, axis2=-1)), axis=-1)
        case "diag":
            return np.sum(np.log(factors), axis=1)
        case "spherical":
            return n_features * np.log(factors)
        case "low_rank":
            return -0.5 * np.linalg.slogdet(low_rank_covariances(factors))[1]


def low_rank_covariances(factors: FloatArray) -> FloatArray:
    """Σ = S⁻¹ (I + L Lᵀ) S⁻¹ of loadings L and inverse deviations s, (K, d, d)."""
    factors = factors.astype(np.float64)
    L, s = factors[..., :-1], factors[..., -1]
    return (np.eye(s.shape[1]) + L @ L.swapaxes(1, 2)) / (s[:, :, None] * s[:, None, :])


def low_rank_directions(factors: FloatArray) -> FloatArray:
    """V = S L C⁻ᵀ with C Cᵀ = I + LᵀL, (K, d, r): along these, second moments are taken."""
    factors = factors.astype(np.float64)
    L, s = factors[..., :-1], factors[..., -1]
    C = np.linalg.cholesky(np.eye(L.shape[2]) + L.swapaxes(1, 2) @ L)
    return s[:, :, None] * (L @ np.linalg.inv(C).swapaxes(1, 2))
