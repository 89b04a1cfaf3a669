"""Mixtures of some features, alone or given the others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy.linalg import solve_triangular

from fastgmm import kernels
from fastgmm._records import FloatArray, Parameters
from fastgmm.model.families import arguments_of_pass, family_of
from fastgmm.model.low_rank import as_full


class Conditional(NamedTuple):
    """Mixtures of d' features at n points, each given the other features of the point.

    Attributes
    ----------
    weights : (n, K) array
        Rows sum to 1.
    means : (n, K, d') array
    covariances : (K, d', d') array
        The same at all points.
    """

    weights: FloatArray
    means: FloatArray
    covariances: FloatArray


class Regression(NamedTuple):
    """What is expected of d' features at n points, given the others.

    Attributes
    ----------
    mean : (n, d') array
    variance : (n, d') array
    """

    mean: FloatArray
    variance: FloatArray


def marginal(parameters: Parameters, features: list[int]) -> Parameters:
    """Return the mixture of some features, in this order."""
    weights, means, covariances, factors, covariance_type = parameters
    family = family_of(covariance_type)
    for axis, name in enumerate(family.axes):
        if name == "d":
            covariances = np.take(covariances, features, axis=axis)
    if family.is_matrix:
        shape = covariances.shape
        lower = _lower_factors(factors, features)
        inverses = [solve_triangular(factor, np.eye(len(features)), lower=True) for factor in lower]
        factors = np.stack(inverses).swapaxes(-2, -1).reshape(shape)
    elif "d" in family.axes:
        factors = np.take(factors, features, axis=family.axes.index("d"))
    p = Parameters(weights, means[:, features], covariances, factors, covariance_type)
    return p.astype(means.dtype)


def conditional(
    parameters: Parameters, features: list[int], values: FloatArray, weights: FloatArray
) -> Conditional:
    """Return the mixtures of the other features, with these weights (n, K)."""
    K, n_others = len(parameters.means), parameters.means.shape[1] - len(features)
    means = np.empty((len(values), K, n_others), values.dtype)
    covariances = np.empty((K, n_others, n_others), values.dtype)
    for k, (mean, covariance) in enumerate(_components(parameters, features, values)):
        means[:, k] = mean
        covariances[k] = np.diag(covariance) if covariance.ndim == 1 else covariance
    return Conditional(weights, means, covariances)


def regression(
    parameters: Parameters, features: list[int], values: FloatArray, weights: FloatArray
) -> Regression:
    """Return mean and variance of the other features, of mixtures with these weights (n, K).

    Two runs through the components, so that the variance is that about the mean.

    References
    ----------
    Ghahramani and Jordan, Supervised learning from incomplete data via an EM approach, NIPS 6
    (1994).
    """
    shares = weights.astype(np.float64)
    shares /= shares.sum(axis=1, keepdims=True)  # which float32 has rounded
    total = np.zeros((len(values), parameters.means.shape[1] - len(features)))
    mean, variance = total, total.copy()
    with np.errstate(over="ignore", invalid="ignore"):  # far away squares are infinite
        for k, (own, _) in enumerate(_components(parameters, features, values)):
            mean += _weighted(shares[:, k], own)
        for k, (own, covariance) in enumerate(_components(parameters, features, values)):
            within = covariance if covariance.ndim == 1 else np.diagonal(covariance)
            variance += _weighted(shares[:, k], within + (own - mean) ** 2)
        return Regression(mean.astype(values.dtype), variance.astype(values.dtype))


def weights_given(parameters: Parameters, features: list[int], values: FloatArray) -> FloatArray:
    """Responsibilities (n, K) of the components for some features."""
    given = marginal(parameters, features).astype(values.dtype)
    return kernels.responsibilities(values, *arguments_of_pass(given))


def _components(
    parameters: Parameters, features: list[int], values: FloatArray
) -> Iterator[tuple[FloatArray, FloatArray]]:
    """Mean (n, d') and covariance (d', d'), or variances (d',), of each component, in float64.

    With the Cholesky factor L of a component's covariance, the given features g first, the others
    o are at μₒ + Lₒ_g L_gg⁻¹ (x - μ_g) with covariance Lₒₒ Lₒₒᵀ, which is positive definite
    whatever is rounded. Without covariances they are where they are.

    References
    ----------
    Bishop, Pattern Recognition and Machine Learning, Springer (2006), equations 2.81 and 2.82.
    """
    parameters, given = as_full(parameters), set(features)
    others = [feature for feature in range(parameters.means.shape[1]) if feature not in given]
    means, family = parameters.means.astype(np.float64), family_of(parameters.covariance_type)
    K, d = means.shape
    if not family.is_matrix:
        squares = np.asarray(parameters.precisions_cholesky, np.float64) ** -2.0
        for mean, variances in zip(means, family.variances(squares, K, d), strict=True):
            yield np.broadcast_to(mean[others], (len(values), len(others))), variances[others]
        return
    n_given = len(features)
    lower = _lower_factors(parameters.precisions_cholesky, [*features, *others])
    for k, mean in enumerate(means):
        factor = lower[0 if family.is_shared else k]
        top, slope, own = (
            factor[:n_given, :n_given],
            factor[n_given:, :n_given],
            factor[n_given:, n_given:],
        )
        standardized = solve_triangular(top, (values - mean[features]).T, lower=True)
        yield mean[others] + standardized.T @ slope.T, own @ own.T


def _lower_factors(factors: FloatArray, order: list[int]) -> FloatArray:
    """Cholesky factors of the covariances of some features in this order, a stack of them.

    With R = U⁻¹ a covariance is RᵀR, that of some features is of these columns, and its factor
    the triangle of their QR decomposition: what predictions go by is not squared.
    """
    d = factors.shape[-1]
    stack = factors.reshape(-1, d, d).astype(np.float64)
    inverses = np.stack([solve_triangular(factor, np.eye(d)) for factor in stack])
    upper = np.linalg.qr(inverses[:, :, order], mode="r")
    signs = np.where(np.diagonal(upper, axis1=1, axis2=2) < 0, -1.0, 1.0)
    return np.asarray((signs[:, :, None] * upper).swapaxes(-2, -1))


def _weighted(shares: FloatArray, values: FloatArray) -> FloatArray:
    """Product where there is a share: 0 times infinity is nothing."""
    return np.where(shares[:, None] > 0, shares[:, None] * values, 0.0)
