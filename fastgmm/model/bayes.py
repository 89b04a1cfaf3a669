"""Variational Bayes: expected statistics → posterior distributions of the parameters.

Weights have a Dirichlet distribution or a Dirichlet process as prior, means and precisions together
a normal and a Wishart distribution. With the expected logarithms under the posterior as constants
of the log-densities, the pass over the data is that of any mixture (Bishop 2006, section 10.2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import DTypeLike
from scipy.special import betaln, digamma, gammaln

from fastgmm._records import FloatArray, Parameters, Statistics
from fastgmm.model.factors import precisions_cholesky_from_covariances
from fastgmm.model.families import family_of
from fastgmm.model.maximization import Estimate, MaximumLikelihood, Moments
from fastgmm.model.priors import NormalWishart, mean_of_posterior, scatters
from fastgmm.model.regularization import regularized
from fastgmm.system.lazy import lazy

ConcentrationType: TypeAlias = Literal["dirichlet_process", "dirichlet_distribution"]


class Concentration(NamedTuple):
    """What is believed of the weights before the data."""

    kind: ConcentrationType
    value: float


@dataclass(frozen=True)
class Posterior:
    """What is believed after it: `Parameters` with distributions about them.

    Attributes
    ----------
    weights, means, covariances, precisions_cholesky : arrays
        Expected weights, and means and scatter of the Gaussians that points are compared with; the
        shapes are those of `Parameters`.
    covariance_type : str
    weight_concentration : (K,) array, or two of them
        Of the Dirichlet distribution, or of the beta distributions of a Dirichlet process.
    mean_precision : (K,) array
        Number of points that the belief in a mean is worth.
    degrees_of_freedom : (K,) array, or ()
        Of the Wishart distributions.
    """

    weights: FloatArray
    means: FloatArray
    covariances: FloatArray
    precisions_cholesky: FloatArray
    covariance_type: str
    weight_concentration: FloatArray | tuple[FloatArray, FloatArray]
    mean_precision: FloatArray
    degrees_of_freedom: FloatArray

    @lazy
    def log_constants(self) -> FloatArray:
        """E[log πₖ] + ½ (E[log |Λₖ|] - log |Σₖ⁻¹| - d / βₖ), (K,): what densities have beside it.

        Bishop 2006, equations 10.64 to 10.66; the Σₖ are scatters over degrees of freedom.
        """
        d, nu = self.means.shape[1], np.asarray(self.degrees_of_freedom, np.float64)
        log_lambda = d * math.log(2.0) + digamma(0.5 * (nu - np.arange(d)[:, None])).sum(axis=0)
        spread = log_lambda - d * np.log(nu) - d / self.mean_precision
        return np.asarray(self._log_weights() + 0.5 * spread)

    @lazy
    def log_determinants(self) -> FloatArray:
        """log |Uₖ|, (K,), or one for all."""
        family = family_of(self.covariance_type)
        return family.log_determinants(self.precisions_cholesky, self.means.shape[1])

    def astype(self, dtype: DTypeLike) -> Posterior:
        """Return the arrays of `Parameters` as `dtype`; the others stay as they are."""
        if self.means.dtype == dtype:
            return self
        plain = (self.weights, self.means, self.covariances, self.precisions_cholesky)
        p = Parameters(*plain, self.covariance_type).astype(dtype)
        return replace(self, **p._asdict())

    def _log_weights(self) -> FloatArray:
        """E[log πₖ], (K,)."""
        if isinstance(self.weight_concentration, tuple):
            a, b = self.weight_concentration
            total = digamma(a + b)
            rest = np.cumsum(digamma(b) - total)  # what the components before have left
            return np.asarray(digamma(a) - total + np.concatenate([[0.0], rest[:-1]]))
        return np.asarray(
            digamma(self.weight_concentration) - digamma(self.weight_concentration.sum())
        )


def shapes_of_bayes(parameters: dict[str, Any], K: int, d: int) -> dict[str, tuple[int, ...]]:
    """Shapes of posteriors and priors by scikit-learn's names of them.

    `parameters` are an estimator's, of which the covariance type and that of the concentrations
    count.
    """
    family = family_of(parameters["covariance_type"])
    is_process = parameters.get("weight_concentration_prior_type") != "dirichlet_distribution"
    return {
        "weight_concentration_": (2, K) if is_process else (K,),
        "mean_precision_": (K,),
        "degrees_of_freedom_": () if family.is_shared else (K,),
        "weight_concentration_prior_": (),
        "mean_precision_prior_": (),
        "mean_prior_": (d,),
        "degrees_of_freedom_prior_": (),
        "covariance_prior_": family.shape(K, d)[0 if family.is_shared else 1 :],
    }


@dataclass(frozen=True)
class VariationalBayes(MaximumLikelihood):
    """Posterior of the highest evidence bound, given the expected statistics.

    With counts N, means x̄ and covariances S of the points, and the prior's m₀, β₀, ν₀ and W₀,

    βₖ = β₀ + Nₖ,   νₖ = ν₀ + Nₖ,   mₖ = (β₀ m₀ + Nₖ x̄ₖ) / βₖ,
    νₖ Σₖ = W₀ + Nₖ Sₖ + (β₀ Nₖ / βₖ) (x̄ₖ - m₀)(x̄ₖ - m₀)ᵀ

    (Bishop 2006, equations 10.58 to 10.63). A covariance in common has the mean of all scatters.
    `total_weight` is that of all points, whose part each component expects.
    """

    concentration: Concentration | None = None
    prior: NormalWishart | None = None
    total_weight: float = 0.0

    def regularize(self, estimate: Estimate) -> Posterior:  # type: ignore[override]
        """Posterior of an estimate, with `reg_covar` added to the variances of the points."""
        assert self.concentration is not None
        assert self.prior is not None
        covariances = regularized(estimate.covariances, self.covariance_type, self.reg_covar)
        counts = estimate.weights * self.total_weight
        moments = Moments(counts, estimate.weights, estimate.means, covariances)
        covariances, freedom = _expected_covariances(moments, self.prior)
        concentration = _posterior_of_weights(self.concentration, counts)
        return Posterior(
            _expected_weights(concentration), mean_of_posterior(moments, self.prior), covariances,
            precisions_cholesky_from_covariances(covariances, self.covariance_type),
            self.covariance_type, concentration, self.prior.mean_precision + counts, freedom,
        ).astype(self.dtype)  # fmt: skip

    def objective(  # type: ignore[override]
        self, statistics: Statistics, current: Posterior, following: Posterior
    ) -> float:
        """Lower bound of the log-evidence, but for constants: what variational EM climbs.

        The entropy of the responsibilities is of the pass under `current`; all the rest is of
        `following`. It is scikit-learn's bound, with the same constants left out.
        """
        d, nu = following.means.shape[1], np.asarray(following.degrees_of_freedom, np.float64)
        K = len(following.means)
        # log |νΣ|⁻½
        log_scale = following.log_determinants - 0.5 * d * np.log(nu)
        j = np.arange(d)[:, None]
        wishart = -(nu * log_scale + 0.5 * nu * d * math.log(2.0))
        wishart = wishart - gammaln(0.5 * (nu - j)).sum(axis=0)
        total = float(np.sum(wishart)) * (K if family_of(self.covariance_type).is_shared else 1)
        if isinstance(following.weight_concentration, tuple):
            weights = -float(np.sum(betaln(*following.weight_concentration)))
        else:
            alpha = following.weight_concentration
            weights = float(gammaln(alpha.sum()) - gammaln(alpha).sum())
        precision = 0.5 * d * float(np.log(following.mean_precision).sum())
        return entropy_of_shares(statistics, current) - total - weights - precision


def entropy_of_shares(statistics: Statistics, posterior: Posterior) -> float:
    """-Σᵢₖ rᵢₖ log rᵢₖ, each point times its weight, from the statistics of a pass alone.

    As log rᵢₖ = aᵢₖ - log Σⱼ exp aᵢⱼ, and the a are quadratic in x, their expectations are in the
    counts and second moments: Σᵢ rᵢₖ aᵢₖ = Nₖ cₖ - ½ tr(Uₖᵀ Sₖ Uₖ).
    """
    family, d = family_of(posterior.covariance_type), posterior.means.shape[1]
    U = np.asarray(posterior.precisions_cholesky, np.float64)
    constants = posterior.log_constants + posterior.log_determinants
    constants = constants - 0.5 * d * math.log(2 * math.pi)
    counts = statistics.counts
    if family.is_matrix:
        squares = float(np.add.reduce(U * (statistics.second @ U), axis=None))
    else:
        squares = float(np.add.reduce(U**2 * statistics.second, axis=None))
    expected = float(counts @ np.where(counts > 0, constants, 0.0))  # of 0 and -inf nothing is left
    return statistics.log_likelihood - (expected - 0.5 * squares)


def _expected_weights(concentration: FloatArray | tuple[FloatArray, FloatArray]) -> FloatArray:
    if isinstance(concentration, tuple):
        a, b = concentration
        left = np.concatenate([[1.0], np.cumprod((b / (a + b))[:-1])])
        weights = a / (a + b) * left
        return np.asarray(weights / weights.sum())
    return np.asarray(concentration / concentration.sum())


def _posterior_of_weights(
    prior: Concentration, counts: FloatArray
) -> FloatArray | tuple[FloatArray, FloatArray]:
    if prior.kind == "dirichlet_distribution":
        return np.asarray(prior.value + counts)
    later = np.concatenate([np.cumsum(counts[::-1])[-2::-1], [0.0]])
    return 1.0 + counts, prior.value + later


def _expected_covariances(moments: Moments, prior: NormalWishart) -> tuple[FloatArray, FloatArray]:
    """Scatters over degrees of freedom, and these; one for all has the mean of all scatters."""
    counts, K = moments.counts, len(moments.counts)
    total = scatters(moments, prior)
    if moments.covariances.ndim == prior.covariance.ndim:  # in common
        freedom = np.asarray(prior.degrees_of_freedom + counts.sum() / K)
        return (prior.covariance + total / K) / freedom, freedom
    freedom = prior.degrees_of_freedom + counts
    each = freedom.reshape(-1, *[1] * (total.ndim - 1))
    return (prior.covariance + total) / each, freedom
