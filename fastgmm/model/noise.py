"""Background noise: a component of constant density beside the Gaussian ones.

A Gaussian that is flat to the last bit over the data, with a constant added to its logarithm, is a
uniform density, so that the pass is that of any mixture.

References
----------
Banfield and Raftery, Model-based Gaussian and non-Gaussian clustering, Biometrics 49 (1993).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import DTypeLike

from fastgmm._records import CovarianceType, FloatArray, Parameters, Statistics
from fastgmm.model.families import arguments_of_pass, family_of
from fastgmm.model.maximization import Estimate, MaximumLikelihood, Moments
from fastgmm.system.lazy import lazy

# How far, in standard deviations of the flat Gaussian, the data extend.
FLAT = 1e-10
# Of the noise, where a start does not tell.
FIRST_SHARE = 0.1


@dataclass(frozen=True)
class Noisy:
    """A mixture of Gaussians, and the share of all points that are noise.

    The arrays of `Distribution` have the noise as their last component; the weights of `gaussians`
    sum to 1.
    """

    gaussians: Parameters
    share: float
    log_volume: float
    box: FloatArray  # (2, d), lowest and highest values of the data

    @property
    def weights(self) -> FloatArray:
        """Of all components, (K + 1,)."""
        own = (1.0 - self.share) * self.gaussians.weights
        return np.append(own, self.share).astype(own.dtype)

    @property
    def means(self) -> FloatArray:
        """(K + 1, d): noise is about the middle of the box."""
        own = self.gaussians.means
        return np.concatenate([own, self.box.mean(axis=0, keepdims=True).astype(own.dtype)])

    @property
    def covariance_type(self) -> CovarianceType:
        """The plainest in which noise has a covariance of its own."""
        pass_type = family_of(self.gaussians.covariance_type).pass_type
        return "full" if pass_type == "tied" else pass_type

    @property
    def covariances(self) -> FloatArray:
        """Those of the Gaussians."""
        return self.gaussians.covariances

    @property
    def precisions_cholesky(self) -> FloatArray:
        """Factors of all components, of the shape that the pass wants."""
        _, means, factors, pass_type, _ = arguments_of_pass(self.gaussians)
        K, d = means.shape
        if pass_type == "tied":
            factors = np.broadcast_to(factors, (K, d, d))
        flat = np.full(factors.shape[1:], self._precision, factors.dtype)
        flat = flat * np.eye(d, dtype=factors.dtype) if flat.ndim == 2 else flat
        return np.concatenate([factors, flat[None]])

    @lazy
    def log_constants(self) -> FloatArray:
        """Logarithms of the weights; of noise, what makes its density 1 / volume."""
        d = self.box.shape[1]
        with np.errstate(divide="ignore"):
            logs = np.log(np.asarray(self.weights, np.float64))
        gaussian = d * (math.log(self._precision) - 0.5 * math.log(2 * math.pi))
        logs[-1] -= self.log_volume + gaussian
        return logs

    @property
    def _precision(self) -> float:
        """Inverse standard deviation of the flat Gaussian."""
        extent = float(np.linalg.norm(self.box[1] - self.box[0]))
        return FLAT / (extent if extent > 0 else 1.0)

    def astype(self, dtype: DTypeLike) -> Noisy:
        """Return the Gaussians' arrays as `dtype`."""
        if self.gaussians.means.dtype == dtype:
            return self
        return replace(self, gaussians=self.gaussians.astype(dtype))


@dataclass(frozen=True)
class WithNoise(MaximumLikelihood):
    """Another maximization of the Gaussians, and the share of the noise: that of its points."""

    inner: MaximumLikelihood | None = None
    log_volume: float = 0.0
    box: FloatArray | None = None

    def maximize(  # type: ignore[override]
        self, statistics: Statistics, current: Noisy
    ) -> Noisy:
        """Return the next parameters."""
        own = self._of_gaussians(statistics)
        gaussians = self._inner.maximize(own, current.gaussians)
        return self._noisy(gaussians, float(statistics.counts[-1] / statistics.counts.sum()))

    def of_moments(self, moments: Moments, before: FloatArray | None = None) -> Estimate:
        """Return what the other maximization makes of the clusters of a start."""
        return self._inner.of_moments(moments, before)

    def regularize(self, estimate: Estimate) -> Noisy:  # type: ignore[override]
        """Regularize a start; what its weights leave is noise."""
        total = float(estimate.weights.sum())
        gaussians = self._inner.regularize(estimate._replace(weights=estimate.weights / total))
        left = 1.0 - total
        return self._noisy(gaussians, left if left > 1e-6 else FIRST_SHARE)

    @property
    def takes_the_rest(self) -> bool:
        """Noise does."""
        return True

    def started(  # type: ignore[override]
        self, parameters: Parameters | Noisy
    ) -> Noisy:
        """Return what a run starts from, where all parameters are given."""
        if isinstance(parameters, Noisy):
            return parameters
        return self._noisy(parameters, FIRST_SHARE)

    def log_prior(self, parameters: Noisy) -> float:  # type: ignore[override]
        """Return that of the Gaussians."""
        return self._inner.log_prior(parameters.gaussians)

    @property
    def _inner(self) -> MaximumLikelihood:
        assert self.inner is not None
        return self.inner

    def _noisy(self, gaussians: Parameters, share: float) -> Noisy:
        assert self.box is not None
        return Noisy(gaussians, share, self.log_volume, self.box)

    def _of_gaussians(self, statistics: Statistics) -> Statistics:
        """Statistics without those of the noise, for the pass of the family."""
        pass_type = family_of(self.covariance_type).pass_type
        second = statistics.second[:-1]
        if pass_type == "tied":
            second = second.sum(axis=0)
        return Statistics(
            statistics.log_likelihood,
            statistics.counts[:-1],
            statistics.first[:-1],
            second,
            statistics.reference[:-1],
            pass_type,
        )
