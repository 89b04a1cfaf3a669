"""Beliefs about components: a conjugate prior of their means and covariances, and its maximum.

Used by the posterior mode (Fraley and Raftery 2007) and by variational Bayes alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fastgmm._records import FloatArray, Parameters
from fastgmm.model.families import Family, family_of
from fastgmm.model.maximization import OUTER_PRODUCTS, Estimate, MaximumLikelihood, Moments


class NormalWishart(NamedTuple):
    """What is believed of each component before the data.

    Given Σ, the mean is normal about `mean` with covariance Σ / `mean_precision`; Σ⁻¹ has a Wishart
    distribution of `degrees_of_freedom` ν about the inverse of `covariance`. Without off-diagonal
    elements it is a gamma distribution of each inverse variance, of shape ν / 2 and rate
    `covariance` / 2.
    """

    mean: FloatArray  # (d,)
    mean_precision: float
    degrees_of_freedom: float
    covariance: FloatArray  # (d, d), (d,), or a number: the shape of one component's


def scatters(moments: Moments, prior: NormalWishart) -> FloatArray:
    """Nₖ Sₖ + κ Nₖ / (κ + Nₖ) (x̄ₖ - m)(x̄ₖ - m)ᵀ; their sum where one covariance is for all.

    Of spherical components it is the mean over the features, as the Sₖ are.
    """
    counts, means, covariances = moments.counts, moments.means, moments.covariances
    apart, kappa = means - prior.mean, prior.mean_precision
    pulled = counts * kappa / (kappa + counts)
    if moments.held is not None:  # a mean that does not move is pulled with all of κ
        pulled = np.where(moments.held, kappa, pulled)
    match covariances.ndim, prior.covariance.ndim:
        case 3, _:
            total = counts[:, None, None] * covariances
            scaled = np.sqrt(pulled)[:, None] * apart
            step = max(1, OUTER_PRODUCTS // scaled.shape[1] ** 2)
            for start in range(0, len(scaled), step):
                some = scaled[start : start + step]
                total[start : start + step] += some[:, :, None] * some[:, None, :]
            return np.asarray(total)
        case 2, 2:
            return covariances * counts.sum() + (pulled * apart.T) @ apart
        case 2, _:
            return counts[:, None] * covariances + pulled[:, None] * apart**2
        case _:
            return np.asarray(counts * covariances + pulled * np.mean(apart**2, axis=1))


def mean_of_posterior(moments: Moments, prior: NormalWishart) -> FloatArray:
    """(κ m + Nₖ x̄ₖ) / (κ + Nₖ), (K, d)."""
    counts, means = moments.counts, moments.means
    precision = (prior.mean_precision + counts)[:, None]
    return np.asarray((prior.mean_precision * prior.mean + counts[:, None] * means) / precision)


@dataclass(frozen=True)
class MaximumAPosteriori(MaximumLikelihood):
    """Parameters of the highest posterior density: covariances that the prior keeps from collapse.

    With counts N, means x̄ and covariances S of the points, and the prior's m, κ, ν and Λ,

    μₖ = (κ m + Nₖ x̄ₖ) / (κ + Nₖ),
    Σₖ = (Λ + Nₖ Sₖ + κ Nₖ / (κ + Nₖ) (x̄ₖ - m)(x̄ₖ - m)ᵀ) / (Nₖ + 1 + ν + d + 1)

    (Fraley and Raftery 2007, table 2), where the 1 in the middle is of the mean's prior, and is
    left out if κ = 0. Variances have ν + 2 in place of ν + d + 1, and spherical ones a d-th of that
    and of Λ. What all components share has one prior. Families that share less than that have the
    prior of each component, restricted to the family: its covariances are those of the highest
    likelihood for these scatters and counts.

    References
    ----------
    Fraley and Raftery, Bayesian regularization for normal mixture estimation and model-based
    clustering, Journal of Classification 24 (2007).
    """

    prior: NormalWishart | None = None

    def of_moments(self, moments: Moments, before: FloatArray | None = None) -> Estimate:
        """Weights, means and covariances of the highest posterior density."""
        counts, weights, means = moments.counts, moments.weights, moments.means
        worth, scatter = self._worth(len(means))
        total, counts = scatters(moments, self._given), counts + worth
        total += scatter
        tied = self._family.pass_type == "tied"
        total /= counts.sum() if tied else counts.reshape(-1, *[1] * (total.ndim - 1))
        covariances = self._family.combined(total, counts, before)
        return Estimate(weights, mean_of_posterior(moments, self._given), covariances)

    def log_prior(self, parameters: Parameters) -> float:
        """-½ Σₖ (wₖ log |Σₖ| + tr Σₖ⁻¹ (Λ + κ (μₖ - m)(μₖ - m)ᵀ)), wₖ being what it is worth."""
        family, prior = self._family, self._given
        K, d = parameters.means.shape
        worth, scatter = self._worth(K)
        U = np.asarray(parameters.precisions_cholesky, np.float64)
        apart = np.asarray(parameters.means, np.float64) - prior.mean
        if family.is_matrix:
            factors = np.broadcast_to(U, (K, d, d))
            each = scatter / K if family.pass_type == "tied" else scatter
            traces = np.sum(factors * (each @ factors), axis=(1, 2))
            distances = np.sum(np.einsum("ki,kij->kj", apart, factors) ** 2, axis=1)
        else:
            precisions = np.broadcast_to(U[:, None] if family.axes == ("K",) else U, (K, d)) ** 2
            traces = np.sum(precisions * scatter, axis=1)
            distances = np.sum(precisions * apart**2, axis=1)
        logs = -2 * family.log_determinants(U, d)
        return float(-0.5 * np.sum(worth * logs + traces + prior.mean_precision * distances))

    @property
    def _given(self) -> NormalWishart:
        assert self.prior is not None
        return self.prior

    @property
    def _family(self) -> Family:
        return family_of(self.covariance_type)

    def _worth(self, K: int) -> tuple[float, FloatArray]:
        """How many points the prior of each of K components is worth, and their scatter.

        A scatter that is summed over all components, of the tied pass, has it once.
        """
        prior, family, d = self._given, self._family, len(self._given.mean)
        worth = prior.degrees_of_freedom + (d + 1 if family.is_matrix else 2)
        scatter = np.asarray(prior.covariance)
        if family.pass_type == "spherical":
            worth, scatter = worth / d, scatter / d
        if family.is_shared:
            worth, scatter = worth / K, scatter if family.pass_type == "tied" else scatter / K
        return worth + (prior.mean_precision > 0), scatter
