"""Maximization of some parameters, while others stay as they are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from fastgmm._records import FloatArray, Parameters, Statistics
from fastgmm.model.families import family_of
from fastgmm.model.maximization import (
    Estimate,
    MaximumLikelihood,
    Moments,
    count_floor,
    moments_of,
    squares_of_shift,
)


class Freeze(NamedTuple):
    """Which components keep what they have, (K,) each."""

    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray


@dataclass(frozen=True)
class Frozen(MaximumLikelihood):
    """Another maximization, of what is not frozen.

    Free weights share what frozen ones leave, in proportion to their counts. Covariances are about
    frozen means, where there are any.
    """

    inner: MaximumLikelihood = field(default_factory=lambda: MaximumLikelihood("full"))
    freeze: Freeze | None = None

    def maximize(self, statistics: Statistics, current: Parameters | None = None) -> Parameters:
        """Return the next parameters, which for what is frozen are the current ones."""
        following = self.inner.regularize(self.estimate(statistics, current))
        if current is None or not self._kept.covariances.any():
            return following
        shared = family_of(self.covariance_type).is_shared
        kept = ... if shared else self._kept.covariances
        covariances, factors = np.array(following[2]), np.array(following[3])
        covariances[kept] = current.covariances[kept]
        factors[kept] = current.precisions_cholesky[kept]
        return following._replace(covariances=covariances, precisions_cholesky=factors)

    def estimate(self, statistics: Statistics, current: Parameters | None = None) -> Estimate:
        """Weights, means and covariances, of which those that are frozen are the current ones."""
        family, kept = family_of(self.covariance_type), self._kept
        floor = count_floor(statistics.counts, self.dtype)
        moments = moments_of(statistics, floor, family.pass_type)
        if current is None:
            return self.inner.of_moments(moments)
        if kept.means.any():
            shift = np.where(kept.means[:, None], moments.means - current.means, 0.0)
            counts = moments.counts
            squares = squares_of_shift(shift, counts, counts, family.pass_type)
            moments = moments._replace(
                means=moments.means - shift,
                covariances=moments.covariances + squares,
                held=kept.means,
            )
        found = self.inner.of_moments(moments, current.covariances)
        means = np.where(kept.means[:, None], current.means, found.means)
        weights, covariances = self._weights(found.weights, current.weights), found.covariances
        if kept.covariances.any():
            held = ... if family.is_shared else kept.covariances
            covariances = np.array(covariances)
            covariances[held] = current.covariances[held]
        return Estimate(weights, means, covariances)

    def of_moments(self, moments: Moments, before: FloatArray | None = None) -> Estimate:
        """Return what the other maximization makes of a start, which nothing holds yet."""
        return self.inner.of_moments(moments, before)

    def regularize(self, estimate: Estimate) -> Parameters:
        """Regularize as the other maximization does."""
        return self.inner.regularize(estimate)

    def log_prior(self, parameters: Parameters) -> float:
        """Return that of the other maximization."""
        return self.inner.log_prior(parameters)

    @property
    def _kept(self) -> Freeze:
        assert self.freeze is not None
        return self.freeze

    def _weights(self, found: FloatArray, current: FloatArray) -> FloatArray:
        kept = self._kept.weights
        if not kept.any():
            return found
        weights = np.array(current, np.float64)
        free = found[~kept].sum()
        if free > 0:
            weights[~kept] = found[~kept] * (1.0 - weights[kept].sum()) / free
        return weights
