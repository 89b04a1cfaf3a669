"""Where the data lie and how far they extend."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fastgmm import kernels
from fastgmm._records import CovarianceType, FloatArray

__all__ = ["Spread", "spread_of"]


@dataclass(frozen=True)
class Spread:
    """Mean and covariance of all the data.

    Attributes
    ----------
    mean : (d,) float64 array
    covariance : (d, d) float64 array
    eps : float
        The precision of the data.
    """

    mean: FloatArray
    covariance: FloatArray
    eps: float

    @property
    def variances(self) -> FloatArray:
        """Variances (d,) of the features."""
        return np.diagonal(self.covariance)

    @cached_property
    def principal_axes(self) -> tuple[FloatArray, FloatArray]:
        """Axes (d, d), as columns, and the variances (d,) of the standardized data along them."""
        scales = np.where(self.variances > 0, np.sqrt(self.variances), 1.0)
        variances, axes = np.linalg.eigh(self.covariance / np.outer(scales, scales))
        return axes / scales[:, None], variances

    @cached_property
    def whitening(self) -> FloatArray:
        """W (d, d) such that the columns of (X - mean) W have unit variance and no correlation.

        Directions in which the data do not extend stay so, rather than blow rounding errors up.
        """
        axes, variances = self.principal_axes
        return axes / np.sqrt(np.maximum(variances, len(variances) * self.eps))

    @cached_property
    def extension(self) -> FloatArray:
        """The columns (d, r) of `whitening` along which the data do extend."""
        _, variances = self.principal_axes
        return self.whitening[:, variances > len(variances) * self.eps]

    def covariances(self, n_components: int, covariance_type: CovarianceType) -> FloatArray:
        """The covariance of all the data as that of each component, in the shape of its type."""
        K = n_components
        return {
            "full": np.tile(self.covariance, (K, 1, 1)),
            "tied": self.covariance.copy(),
            "diag": np.tile(self.variances, (K, 1)),
            "spherical": np.full(K, self.variances.mean()),
        }[covariance_type]


def spread_of(X: FloatArray, sample_weight: FloatArray | None = None) -> Spread:
    """Mean and covariance of rows with weights."""
    share = np.ones((len(X), 1), X.dtype) if sample_weight is None else sample_weight[:, None]
    _, means, covariances = kernels.weighted_covariances(X, share, "full")
    eps = float(np.finfo(X.dtype).eps)
    return Spread(means[0].astype(np.float64), covariances[0].astype(np.float64), eps)
