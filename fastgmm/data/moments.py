"""Where the data lie and how far they extend."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastgmm._records import CovarianceType, FloatArray
from fastgmm.kernels.passes import weighted_moments
from fastgmm.system.lazy import lazy

__all__ = ["Spread", "spread_of", "spread_of_estimate"]

# Up to so many features, variances are the diagonal of the whole covariance.
FEW_FEATURES = 1024
# Units of rounding in a covariance that is put together from those of components.
ESTIMATED = 64


@dataclass(frozen=True)
class Spread:
    """Mean and covariance of all the data, or their variances alone.

    Attributes
    ----------
    mean : (d,) float64 array
    covariance : (d, d) float64 array
        Or (d,), the variances, where nobody asks for more.
    eps : float
        The precision of the data.
    rounding : int
        Units of it by which the covariance may be off.
    """

    mean: FloatArray
    covariance: FloatArray
    eps: float
    rounding: int = 1

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

    def covariances(self, n_components: int, covariance_type: CovarianceType) -> FloatArray:
        """The covariance of all the data as that of each component, in the shape of its type."""
        K = n_components
        match covariance_type:
            case "full":
                return np.tile(self.covariance, (K, 1, 1))
            case "tied":
                return self.covariance.copy()
            case "diag":
                return np.tile(self.variances, (K, 1))
        return np.full(K, self.variances.mean())


def spread_of(
    X: FloatArray,
    sample_weight: FloatArray | None = None,
    covariance_type: CovarianceType = "full",
) -> Spread:
    """Mean of rows with weights, and as much of their covariance as a type has use for."""
    share = np.ones((len(X), 1), X.dtype) if sample_weight is None else sample_weight[:, None]
    square = covariance_type in ("full", "tied") or X.shape[1] <= FEW_FEATURES
    _, means, moments = weighted_moments(X, share, "full" if square else "diag")
    return Spread(means[0], moments[0], float(np.finfo(X.dtype).eps))


def spread_of_estimate(
    weights: FloatArray,
    means: FloatArray,
    covariances: FloatArray,
    covariance_type: CovarianceType,
    eps: float,
) -> Spread:
    """Spread of the data that a mixture was estimated from, with no look at them.

    Σₖ πₖ (Σₖ + (μₖ - μ)(μₖ - μ)ᵀ) is their covariance, if nothing was added to the Σₖ.
    """
    mean = weights @ means
    apart = np.sqrt(weights)[:, None] * (means - mean)
    match covariance_type:
        case "full":
            covariance = np.tensordot(weights, covariances, 1) + apart.T @ apart
        case "tied":
            covariance = covariances + apart.T @ apart
        case "diag":
            covariance = weights @ covariances + np.sum(apart**2, axis=0)
        case "spherical":
            covariance = weights @ covariances + np.sum(apart**2, axis=0)
    spread = Spread(mean, covariance, eps, ESTIMATED)
    constant = spread.variances <= (ESTIMATED * eps * np.abs(means).max(axis=0)) ** 2
    covariance[constant] = 0.0
    if covariance.ndim == 2:
        covariance[:, constant] = 0.0
    return spread
