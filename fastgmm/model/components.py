"""Components of a mixture: how far points are from each, and mixtures with fewer of them."""

from __future__ import annotations

import math

import numpy as np

from fastgmm import kernels
from fastgmm._records import FloatArray, Parameters
from fastgmm.model.factors import covariances_from_cholesky, precisions_cholesky_from_covariances
from fastgmm.model.families import Family, family_of


def mahalanobis(parameters: Parameters, X: FloatArray) -> FloatArray:
    """Distance (n, K) of each point from each mean, in standard deviations: ‖Uᵀ(x - μ)‖."""
    means, factors = parameters.means, parameters.precisions_cholesky
    family = family_of(parameters.covariance_type)
    distances = np.empty((len(X), len(means)), X.dtype)
    if family.has_loadings:
        # What a log-density has beside its value at the mean.
        log_density = kernels.log_gaussian_density(X, means, factors, "low_rank")
        at_mean = -0.5 * X.shape[1] * math.log(2 * math.pi) + family.log_determinants(factors, 0)
        return np.sqrt(np.maximum(2 * (at_mean - log_density), 0.0)).astype(X.dtype)
    for k, mean in enumerate(means):
        factor = factors if family.is_shared else factors[k]
        centred = X - mean
        whitened = centred @ factor if family.is_matrix else centred * factor
        distances[:, k] = np.linalg.norm(whitened, axis=1)
    return distances


def of_components(parameters: Parameters, components: list[int]) -> Parameters:
    """Return the mixture of some components, whose weights are scaled to sum to 1."""
    weights, means, covariances, factors, covariance_type = parameters
    some = weights[components].astype(np.float64)
    if not family_of(covariance_type).is_shared:
        covariances, factors = covariances[components], factors[components]
    return Parameters(
        (some / some.sum()).astype(weights.dtype), means[components], covariances, factors,
        covariance_type,
    )  # fmt: skip


def merged(parameters: Parameters, together: list[int]) -> Parameters:
    """Return the mixture in which one component stands for several, in the first one's place.

    It has their weight, their mean, and their covariance within and between:
    Σ = Σⱼ rⱼ (Σⱼ + (μⱼ - μ)(μⱼ - μ)ᵀ), where rⱼ are their shares. A covariance that all components
    have in common takes up what lies between, in proportion to the weight of those merged, so that
    the covariance of the whole mixture is kept, as far as its family can express it.

    References
    ----------
    Runnalls, Kullback-Leibler approach to Gaussian mixture reduction, IEEE Transactions on
    Aerospace and Electronic Systems 43 (2007), equations 7 to 9.
    """
    dtype, exact = parameters.means.dtype, parameters.astype(np.float64)
    weights, means, _, factors, covariance_type = exact
    if family_of(covariance_type).has_loadings:
        raise ValueError(
            "Merged components have as many loadings as both together, and no covariance of the "
            "same rank stands for them; prune leaves components out, or fit with fewer."
        )
    covariances = covariances_from_cholesky(factors, covariance_type)  # what predictions go by
    family, place = family_of(covariance_type), together[0]
    total = weights[together].sum()
    shares = weights[together] / total if total > 0 else np.full(len(together), 1 / len(together))
    mean = shares @ means[together]
    between = _scatter(means[together] - mean, shares, family)
    weights, means = weights.copy(), means.copy()
    weights[place], means[place] = total, mean
    if family.is_shared:
        covariances = covariances + total * between
    else:
        covariances[place] = np.tensordot(shares, covariances[together], 1) + between
    factors = precisions_cholesky_from_covariances(covariances, covariance_type)
    p = Parameters(weights, means, covariances, factors, covariance_type)
    others = set(together[1:])
    return of_components(p, [k for k in range(len(means)) if k not in others]).astype(dtype)


def _scatter(apart: FloatArray, shares: FloatArray, family: Family) -> FloatArray:
    """Σ rⱼ aⱼ aⱼᵀ, or what a family has of it."""
    if family.is_matrix:
        return (apart * shares[:, None]).T @ apart
    variances = shares @ apart**2
    return variances if "d" in family.axes else np.asarray(variances.mean())
