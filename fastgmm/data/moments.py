"""Moments of all the data: where they lie and how far they extend."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastgmm._records import FloatArray
from fastgmm.kernels.covariances import weighted_moments
from fastgmm.model.families import Family
from fastgmm.model.maximization import Estimate
from fastgmm.system.lazy import lazy

# Units of rounding in a covariance that is put together from those of components.
ROUNDING_OF_ESTIMATE = 64


@dataclass(frozen=True)
class DataMoments:
    """Mean and covariance of all the data, or their variances alone."""

    mean: FloatArray  # (d,)
    covariance: FloatArray  # (d, d), or the variances (d,) where nobody asks for more
    eps: float  # the precision of the data
    rounding: int = 1  # units of it by which the covariance may be off

    @property
    def variances(self) -> FloatArray:
        """Variances (d,) of the features."""
        return np.diagonal(self.covariance) if self.covariance.ndim == 2 else self.covariance

    @lazy
    def principal_axes(self) -> tuple[FloatArray, FloatArray]:
        """Axes (d, d), as columns, and the variances (d,) of the standardized data along them."""
        scales = np.where(self.variances > 0, np.sqrt(self.variances), 1.0)
        variances, axes = np.linalg.eigh(self.covariance / np.outer(scales, scales))
        return axes / scales[:, None], variances

    @lazy
    def whitening(self) -> FloatArray:
        """W (d, d) such that the columns of (X - mean) W have unit variance and no correlation.

        Directions in which the data do not extend stay so, rather than blow rounding errors up.
        """
        axes, variances = self.principal_axes
        return axes / np.sqrt(np.maximum(variances, len(variances) * self.eps))

    @lazy
    def extension(self) -> FloatArray:
        """The columns (d, r) of `whitening` along which the data do extend."""
        _, variances = self.principal_axes
        return self.whitening[:, variances > len(variances) * self.rounding * self.eps]

    def covariances(self, n_components: int, family: Family) -> FloatArray:
        """The covariance of all the data as that of each component, in the shape of a family."""
        if family.is_matrix:
            one = self.covariance
        else:
            one = self.variances if "d" in family.axes else np.asarray(self.variances.mean())
        return np.array(np.broadcast_to(one, family.shape(n_components, len(self.mean))))


def moments_of(
    X: FloatArray, sample_weight: FloatArray | None = None, *, matrix: bool = True
) -> DataMoments:
    """Mean of rows with weights, and their covariance, or their variances alone."""
    _, mean, covariance = counted_moments(X, sample_weight, matrix=matrix)
    return DataMoments(mean, covariance, float(np.finfo(X.dtype).eps))


# The weight of rows, their mean (d,), and their covariance (d, d) or variances (d,).
CountedMoments = tuple[float, FloatArray, FloatArray]


def counted_moments(
    X: FloatArray, sample_weight: FloatArray | None = None, *, matrix: bool = True
) -> CountedMoments:
    """Weight, mean and covariance, or variances; takes no memory that grows with the rows."""
    one = np.ones((1, 1), X.dtype)
    share = np.broadcast_to(one, (len(X), 1)) if sample_weight is None else sample_weight[:, None]
    counts, means, covariances = weighted_moments(X, share, "full" if matrix else "diag")
    return float(counts[0]), means[0], covariances[0]


def together(one: CountedMoments, other: CountedMoments) -> CountedMoments:
    """Moments of both groups of rows, from those of each.

    References
    ----------
    Chan, Golub and LeVeque, Updating formulae and a pairwise algorithm for computing sample
    variances, Stanford University, STAN-CS-79-773 (1979).
    """
    count = one[0] + other[0]
    if count == 0:
        return one
    share, apart = other[0] / count, other[1] - one[1]
    between = np.outer(apart, apart) if one[2].ndim == 2 else apart**2
    covariance = (1 - share) * one[2] + share * other[2] + share * (1 - share) * between
    return count, one[1] + share * apart, covariance


def moments_of_estimate(estimate: Estimate, family: Family, eps: float) -> DataMoments:
    """Moments of the data that a mixture was estimated from, with no look at them.

    Σₖ πₖ (Σₖ + (μₖ - μ)(μₖ - μ)ᵀ) is their covariance, if nothing was added to the Σₖ.
    """
    weights, means, covariances = estimate
    mean = weights @ means
    apart = np.sqrt(weights)[:, None] * (means - mean)
    within = covariances if family.is_shared else np.tensordot(weights, covariances, 1)
    covariance = within + (apart.T @ apart if family.is_matrix else np.sum(apart**2, axis=0))
    moments = DataMoments(mean, covariance, eps, ROUNDING_OF_ESTIMATE)
    smallest = ROUNDING_OF_ESTIMATE * eps * np.abs(means).max(axis=0)
    constant = moments.variances <= smallest**2
    covariance[constant] = 0.0
    if covariance.ndim == 2:
        covariance[:, constant] = 0.0
    return moments
