"""Mixtures of some features, alone or given the others."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastgmm import kernels
from fastgmm._records import FloatArray, Parameters
from fastgmm.model.factors import precisions_cholesky_from_covariances
from fastgmm.model.families import arguments_of_pass, family_of


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
    """Return the mixture of some features, in this order: parts of means and covariances."""
    weights, means, covariances, _, covariance_type = parameters
    for axis, name in enumerate(family_of(covariance_type).axes):
        if name == "d":
            covariances = np.take(covariances, features, axis=axis)
    factors = precisions_cholesky_from_covariances(covariances.astype(np.float64), covariance_type)
    p = Parameters(weights, means[:, features], covariances, factors, covariance_type)
    return p.astype(means.dtype)


def conditional(parameters: Parameters, features: list[int], values: FloatArray) -> Conditional:
    """Return the mixtures of the other features at points whose `features` have these values.

    With the Cholesky factor L of a component's covariance, the given features g first, the others
    o are at μₒ + Lₒ_g L_gg⁻¹ (x - μ_g) with covariance Lₒₒ Lₒₒᵀ, which is positive definite
    whatever is rounded. Its weight is its responsibility for the point under the marginal.

    References
    ----------
    Bishop, Pattern Recognition and Machine Learning, Springer (2006), equations 2.81 and 2.82.
    """
    K, d = parameters.means.shape
    others = [feature for feature in range(d) if feature not in set(features)]
    order, n_given = [*features, *others], len(features)
    given = marginal(parameters, features).astype(values.dtype)
    weights = kernels.responsibilities(values, *arguments_of_pass(given))
    exact = parameters.astype(np.float64)
    matrices = family_of(parameters.covariance_type).dense(exact.covariances, K, d)
    factors = _lower_factors(matrices[:, order][:, :, order])
    means = np.empty((len(values), K, len(others)), values.dtype)
    for k, factor in enumerate(factors):
        slope = np.linalg.solve(factor[:n_given, :n_given].T, factor[n_given:, :n_given].T)
        centred = values - exact.means[k, features]
        means[:, k] = exact.means[k, others] + centred @ slope
    own = factors[:, n_given:, n_given:]
    covariances = (own @ own.swapaxes(-2, -1)).astype(values.dtype)
    return Conditional(weights, means, covariances)


def regression(mixtures: Conditional) -> Regression:
    """Return mean and variance of each mixture, feature by feature.

    References
    ----------
    Ghahramani and Jordan, Supervised learning from incomplete data via an EM approach, NIPS 6
    (1994).
    """
    weights, means, covariances = mixtures
    mean = np.einsum("nk,nkd->nd", weights, means)
    within = weights @ np.diagonal(covariances, axis1=1, axis2=2)
    between = np.einsum("nk,nkd->nd", weights, (means - mean[:, None]) ** 2)
    return Regression(mean, within + between)


def _lower_factors(matrices: FloatArray) -> FloatArray:
    try:
        return np.linalg.cholesky(matrices)
    except np.linalg.LinAlgError:
        raise ValueError(
            "A covariance is not positive definite, so that some features say nothing certain of "
            "the others. Fit with a larger reg_covar, or set covariances_ anew."
        ) from None
