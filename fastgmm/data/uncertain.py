"""A source of points with errors of measurement: extreme deconvolution.

References
----------
Bovy, Hogg and Roweis, Extreme deconvolution: inferring complete distribution functions from noisy,
heterogeneous and incomplete observations, Annals of Applied Statistics 5 (2011).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.random import RandomState

from fastgmm._records import FloatArray, Parameters, Statistics
from fastgmm.data.moments import DataMoments
from fastgmm.data.source import ArraySource, WeightedRows
from fastgmm.kernels.convolution import Convolution
from fastgmm.model.families import family_of


class UncertainSource:
    """Points (n, d), the variances (n, d) or covariances (n, d, d) of their errors, and weights.

    The mixture is that of the values without errors: EM expects these. Starts and scales are of the
    points as they were measured.
    """

    part_that_counts = 1.0

    def __init__(
        self, X: FloatArray, errors: FloatArray, sample_weight: FloatArray | None = None
    ) -> None:
        self._measured = ArraySource(X, sample_weight)
        self._errors, self.X, self.sample_weight = errors, X, sample_weight
        self.dtype: np.dtype = X.dtype
        self.n_rows, self.n_features = X.shape
        self.n_weighted = self._measured.n_weighted
        self.total_weight = self._measured.total_weight
        self._convolution = Convolution(X, errors, sample_weight)

    def expectation(self, parameters: Parameters) -> Statistics:
        """Expected statistics of the values behind the points."""
        statistics = self._convolution.expectation(*_dense(parameters))
        second, pass_type = statistics.second, family_of(parameters.covariance_type).pass_type
        match pass_type:
            case "tied":
                second = second.sum(axis=0)
            case "diag":
                second = np.einsum("kii->ki", second).copy()
            case "spherical":
                second = np.trace(second, axis1=1, axis2=2)
        return replace(statistics, second=second, covariance_type=pass_type)

    def log_likelihood(self, parameters: Parameters) -> float:
        """Σᵢ wᵢ log p(xᵢ), under the mixture convolved with the errors."""
        log_density = self._convolution.log_density(*_dense(parameters))
        return float(
            np.sum(log_density)
            if self.sample_weight is None
            else (self.sample_weight.astype(np.float64) @ log_density)
        )

    def log_density(self, parameters: Parameters) -> FloatArray:
        """Return log p(xᵢ), (n,)."""
        return self._convolution.log_density(*_dense(parameters)).astype(self.dtype)

    def responsibilities(self, parameters: Parameters, rows: slice = slice(None)) -> FloatArray:
        """Return those of some rows."""
        part = (
            self._convolution
            if rows == slice(None)
            else (Convolution(self.X[rows], self._errors[rows]))
        )
        return part.responsibilities(*_dense(parameters)).astype(self.dtype)

    def moments(self, *, matrix: bool) -> DataMoments:
        """Mean and covariance of the points, or their variances, errors included."""
        return self._measured.moments(matrix=matrix)

    def variances(self) -> FloatArray:
        """Variances (d,) of the points, errors included."""
        return self._measured.variances()

    def rows(self, size: int | None, random_state: RandomState) -> WeightedRows:
        """Return the rows that have weight, or `size` drawn at random where there are more."""
        return self._measured.rows(size, random_state)

    def least_likely(self, parameters: Parameters, count: int) -> FloatArray:
        """Return so many points that have weight, those of the lowest densities first."""
        density = self.log_density(parameters)
        if self.sample_weight is not None:
            density[self.sample_weight == 0] = np.inf
        return self.X[np.argsort(density, kind="stable")[: min(count, self.n_weighted)]]


def _dense(parameters: Parameters) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Weights, means and covariances (K, d, d), in float64."""
    weights, means, covariances, _, covariance_type = parameters
    covariances = np.asarray(covariances, np.float64)
    return weights, means, family_of(covariance_type).dense(covariances, *means.shape)
