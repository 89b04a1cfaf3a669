"""Statistics → Parameters: the M step of EM, and the objective that it must not lower."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import DTypeLike

from fastgmm._records import CovarianceType, FloatArray, Parameters, Statistics
from fastgmm.kernels.maximization import estimate, is_small, maximize
from fastgmm.model.factors import IllDefinedCovariance, precisions_cholesky_from_covariances
from fastgmm.model.families import as_they_are, family_of
from fastgmm.model.regularization import regularized

# Numbers in those outer products of means that are in memory at a time.
OUTER_PRODUCTS = 2**15


class Moments(NamedTuple):
    """Expected counts of points, weights that follow, and means and covariances as a pass has them.

    The arrays are in float64.
    """

    counts: FloatArray
    weights: FloatArray
    means: FloatArray
    covariances: FloatArray
    held: np.ndarray | None = None  # (K,), which means are not to move: covariances are about them


class Estimate(NamedTuple):
    """Weights, means and covariances in float64, not yet known to be positive definite."""

    weights: FloatArray
    means: FloatArray
    covariances: FloatArray


class Maximization(Protocol):
    """How statistics become the next parameters, and what must not fall while they do.

    `MaximumLikelihood` is one; others override its methods. EM calls `maximize`; only where
    degenerate components are to be repaired it calls the two halves, with the repair between them.
    """

    @property
    def covariance_type(self) -> str:
        """Return one of `FAMILIES`."""

    @property
    def dtype(self) -> DTypeLike:
        """Return the type of the parameters."""

    @property
    def rank(self) -> int:
        """Return the number of loadings of each feature, where covariances have them."""

    def maximize(self, statistics: Statistics, current: Parameters) -> Parameters:
        """Return the next parameters; raise IllDefinedCovariance if there are none."""

    def estimate(self, statistics: Statistics, current: Parameters) -> Estimate:
        """Return weights, means and covariances, whatever the latter may be."""

    def of_moments(self, moments: Moments, before: FloatArray | None = None) -> Estimate:
        """Return the same from moments, and the covariances before; starts call it, too."""

    def regularize(self, estimate: Estimate) -> Parameters:
        """Regularize and factorize an estimate, which is no longer the caller's."""

    def objective(
        self, statistics: Statistics, current: Parameters, following: Parameters
    ) -> float:
        """Return what is maximized, as far as the step from the statistics of `current` tells."""


@dataclass(frozen=True)
class MaximumLikelihood:
    """Parameters of the highest likelihood, with `reg_covar`, (d,) or a number, added to variances.

    With moments s⁽¹⁾ and s⁽²⁾ about a reference point m and expected counts N,

    πₖ = Nₖ / Σⱼ Nⱼ,   μₖ = mₖ + δₖ,   Σₖ = s⁽²⁾ₖ / Nₖ - δₖ δₖᵀ,   δₖ = s⁽¹⁾ₖ / Nₖ

    (Bishop 2006, equations 9.24 to 9.26, with the moments shifted to m). As m is the previous
    mean, δ vanishes at convergence and nothing cancels, whatever the offset of the data. The
    parameters are of `dtype`; the computation is in float64.

    Examples
    --------
    >>> s = Statistics(0.0, np.array([2.0]), np.array([[2.0]]), np.array([4.0]), np.zeros((1, 1)))
    >>> p = MaximumLikelihood("spherical").maximize(s)
    >>> p.means.round(6), p.covariances.round(6)
    (array([[1.]]), array([1.]))
    """

    covariance_type: str
    reg_covar: float | FloatArray = 0.0
    dtype: DTypeLike = np.float64

    def maximize(self, statistics: Statistics, current: Parameters | None = None) -> Parameters:
        """Return the next parameters; IllDefinedCovariance if a covariance is not definite."""
        if (
            statistics.covariance_type in ("full", "tied")
            and family_of(self.covariance_type).combine is as_they_are
            and is_small(*statistics.reference.shape)
            and type(self) is MaximumLikelihood  # not where others have halves of their own
        ):
            floor = count_floor(statistics.counts, self.dtype)
            maximum = maximize(statistics, floor, self.reg_covar)
            if maximum is None:
                raise IllDefinedCovariance
            return Parameters(*maximum, self.covariance_type).astype(self.dtype)
        return self.regularize(self.estimate(statistics, current))

    def estimate(self, statistics: Statistics, current: Parameters | None = None) -> Estimate:
        """Weights, means and covariances of the highest likelihood."""
        floor = count_floor(statistics.counts, self.dtype)
        moments = moments_of(statistics, floor, family_of(self.covariance_type).pass_type)
        return self.of_moments(moments, None if current is None else current.covariances)

    def of_moments(self, moments: Moments, before: FloatArray | None = None) -> Estimate:
        """Constrain the covariances to the family."""
        family = family_of(self.covariance_type)
        covariances = family.combined(moments.covariances, moments.counts, before)
        return Estimate(moments.weights, moments.means, covariances)

    @property
    def rank(self) -> int:
        """Number of loadings of each feature, where covariances have them."""
        return 1

    @property
    def takes_the_rest(self) -> bool:
        """Whether something beside the components has what their weights leave."""
        return False

    def started(self, parameters: Parameters) -> Parameters:
        """Return what a run starts from, where all parameters are given."""
        return parameters

    def regularize(self, estimate: Estimate) -> Parameters:
        """Regularize and factorize an estimate, which is no longer the caller's."""
        weights, means, covariances = estimate
        covariances = regularized(covariances, self.covariance_type, self.reg_covar)
        cholesky = precisions_cholesky_from_covariances(covariances, self.covariance_type)
        p = Parameters(weights, means, covariances, cholesky, self.covariance_type)
        return p.astype(self.dtype)

    def objective(
        self, statistics: Statistics, current: Parameters, following: Parameters
    ) -> float:
        """Return the mean log-likelihood of the points under the current parameters.

        The logarithm of a prior's density is added, if there is one.
        """
        # The counts add up to the weight of all the points.
        total = float(np.add.reduce(statistics.counts))
        return (float(statistics.log_likelihood) + self.log_prior(current)) / total

    def log_prior(self, parameters: Parameters) -> float:
        """Return the logarithm of the density of parameters before the data."""
        return 0.0


def moments_of(statistics: Statistics, floor: float, pass_type: CovarianceType) -> Moments:
    """Moments of the points, with a number added to each count, so that none is 0."""
    if is_small(*statistics.reference.shape):
        return Moments(*estimate(statistics, floor))
    counts = statistics.counts + floor
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused later
        shift = statistics.first / counts[:, None]
        match pass_type:
            case "full":
                covariances = statistics.second / counts[:, None, None]
                step = max(1, OUTER_PRODUCTS // shift.shape[1] ** 2)
                for start in range(0, len(shift), step):
                    delta = shift[start : start + step]
                    covariances[start : start + step] -= delta[:, :, None] * delta[:, None, :]
            case "tied":
                scaled = shift * np.sqrt(counts)[:, None]
                covariances = (statistics.second - scaled.T @ scaled) / counts.sum()
            case "diag":
                covariances = statistics.second / counts[:, None] - shift**2
            case "spherical":
                second = statistics.second / counts - np.sum(shift**2, axis=1)
                covariances = np.asarray(second / shift.shape[1])
    return Moments(counts, counts / counts.sum(), statistics.reference + shift, covariances)


def squares_of_shift(
    shift: FloatArray, counts: FloatArray, floored: FloatArray, pass_type: CovarianceType
) -> FloatArray:
    """What covariances gain by a shift δ (K, d) of the means that they are about, δₖ δₖᵀ.

    `floored` are the counts that covariances are divided by.
    """
    if pass_type == "tied":
        scaled = np.sqrt(counts / floored.sum())[:, None] * shift
        return np.asarray(scaled.T @ scaled)
    scaled = np.sqrt(counts / floored)[:, None] * shift
    match pass_type:
        case "full":
            return np.asarray(scaled[:, :, None] * scaled[:, None, :])
        case "diag":
            return np.asarray(scaled**2)
        case _:
            return np.asarray(np.mean(scaled**2, axis=1))


def count_floor(counts: FloatArray, dtype: DTypeLike) -> float:
    """Scikit-learn's 10 eps, added to every count so that empty components divide by no zero.

    Where sample weights make the average count less than 1 it shrinks in proportion, so that
    the scale of the weights does not matter.
    """
    average = float(np.add.reduce(counts)) / counts.size
    return 10 * eps_of(np.dtype(dtype)) * min(1.0, average)


@lru_cache
def eps_of(dtype: np.dtype) -> float:
    """Distance from 1 to the next number of a type."""
    return float(np.finfo(dtype).eps)
