"""A source of points with errors of measurement: extreme deconvolution.

References
----------
Bovy, Hogg and Roweis, Extreme deconvolution: inferring complete distribution functions from noisy,
heterogeneous and incomplete observations, Annals of Applied Statistics 5 (2011).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from fastgmm._records import FloatArray, Parameters, Statistics
from fastgmm.data.source import ArraySource, SourceAround, WeightedRows
from fastgmm.kernels.convolution import Convolution
from fastgmm.model.families import family_of


class UncertainSource(SourceAround):
    """Points (n, d), the variances (n, d) or covariances (n, d, d) of their errors, and weights.

    The mixture is that of the values without errors: EM expects these. Starts and scales are of the
    points as they were measured.
    """

    def __init__(
        self, X: FloatArray, errors: FloatArray, sample_weight: FloatArray | None = None
    ) -> None:
        super().__init__(ArraySource(X, sample_weight))
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
        if self.sample_weight is None:
            return float(np.sum(log_density))
        return float(self.sample_weight.astype(np.float64) @ log_density)

    def log_density(self, parameters: Parameters) -> FloatArray:
        """Return log p(xᵢ), (n,)."""
        return self._convolution.log_density(*_dense(parameters)).astype(self.dtype)

    def all_responsibilities(self, parameters: Parameters) -> FloatArray:
        """Return those of all rows, (n, K)."""
        return self._convolution.responsibilities(*_dense(parameters)).astype(self.dtype)

    def responsibilities(self, parameters: Parameters, at_once: int) -> Iterator[WeightedRows]:
        """Yield those of all rows, so many rows at a time, and the weights of these rows."""
        found, weight = self.all_responsibilities(parameters), self.sample_weight
        for start in range(0, self.n_rows, at_once):
            rows = slice(start, start + at_once)
            yield found[rows], None if weight is None else weight[rows]

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
