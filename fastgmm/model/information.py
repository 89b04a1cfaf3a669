"""Entropy and divergence of Gaussians, and the Fisher vector of points, in closed form."""

from __future__ import annotations

import math

import numpy as np
from scipy.linalg import solve_triangular

from fastgmm._records import FloatArray, Parameters, Statistics
from fastgmm.model.families import family_of
from fastgmm.model.low_rank import as_full


def entropy(parameters: Parameters) -> float:
    """-∫ p log p of a single Gaussian: ½ log det(2πe Σ), in nats."""
    parameters = as_full(parameters)
    factor, d = _factor(parameters), parameters.means.shape[1]
    log_determinant = float(np.log(np.diagonal(factor) if factor.ndim == 2 else factor).sum())
    return 0.5 * d * math.log(2 * math.pi * math.e) - log_determinant


def divergence(parameters: Parameters, other: Parameters) -> float:
    """∫ p log(p / q) of two single Gaussians, in nats.

    With Σₚ⁻¹ = U Uᵀ, Σ_q⁻¹ = V Vᵀ and M = U⁻¹ V it is half of
    ‖M‖² - d - 2 log det M + ‖Vᵀ(μₚ - μ_q)‖², of which no two large terms cancel.

    References
    ----------
    Kullback, Information Theory and Statistics, Wiley (1959), section 9.1.
    """
    U, V = _factor(as_full(parameters)), _factor(as_full(other))
    apart = parameters.means[0].astype(np.float64) - other.means[0]
    if U.ndim == V.ndim == 1:
        diagonal, rest, offset = V / U, 0.0, V * apart
    else:
        U, V = (np.diag(factor) if factor.ndim == 1 else factor for factor in (U, V))
        M = solve_triangular(U, V)
        diagonal, offset = np.diagonal(M), V.T @ apart
        rest = float(np.sum(np.triu(M, 1) ** 2))
    own = float(np.sum((diagonal - 1) * (diagonal + 1) - 2 * np.log(diagonal)))
    return 0.5 * (own + rest + float(offset @ offset))


def fisher_vector(parameters: Parameters, statistics: Statistics) -> FloatArray:
    """Gradients of the mean log-likelihood by weights (K), means and deviations (K d each).

    Each is divided by the root of its Fisher information; `statistics` are of the points, about the
    means, with variances by feature.

    References
    ----------
    Sánchez, Perronnin, Mensink and Verbeek, Image classification with the Fisher vector,
    International Journal of Computer Vision 105 (2013), equations 16 to 18.
    """
    weights = parameters.weights.astype(np.float64)
    inverse = parameters.precisions_cholesky.astype(np.float64)
    n, counts = statistics.counts.sum(), statistics.counts
    # A component without weight has no points, and nothing to say.
    roots = np.sqrt(np.where(weights > 0, weights, np.inf))[:, None]
    by_weights = (counts / n - weights)[:, None] / roots
    by_means = statistics.first * inverse / (n * roots)
    squares = statistics.second * inverse**2 - counts[:, None]
    by_deviations = squares / (n * math.sqrt(2.0) * roots)
    return np.concatenate([part.ravel() for part in (by_weights, by_means, by_deviations)])


def statistics_of_shares(parameters: Parameters, X: FloatArray, shares: FloatArray) -> Statistics:
    """Statistics about the means, by feature, of points whose shares (n, K) are known."""
    means, exact = np.asarray(parameters.means, np.float64), np.asarray(shares, np.float64)
    first, second = np.empty(means.shape), np.empty(means.shape)
    for k, mean in enumerate(means):
        centred = X - mean
        first[k], second[k] = exact[:, k] @ centred, exact[:, k] @ centred**2
    return Statistics(0.0, exact.sum(axis=0), first, second, means, "diag")


def by_feature(parameters: Parameters) -> Parameters:
    """Return the same mixture with a variance for each feature of each component."""
    weights, means, covariances, factors, covariance_type = parameters
    shape, family = means.shape, family_of(covariance_type)
    # Factors have the axes of covariances.
    spread, inverse = (
        np.array(family.variances(array, *shape)) for array in (covariances, factors)
    )
    return Parameters(weights, means, spread, inverse, "diag")


def _factor(parameters: Parameters) -> FloatArray:
    """The factor of the only component in float64: a matrix (d, d), or (d,) of its diagonal."""
    family, factors = family_of(parameters.covariance_type), parameters.precisions_cholesky
    own = np.asarray(factors if family.is_shared else factors[0], np.float64)
    return own if family.is_matrix else np.broadcast_to(own, parameters.means.shape[1:])
