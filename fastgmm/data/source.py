"""Where the points of a fit come from: an array, or whatever answers the same questions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
from sklearn.utils.random import sample_without_replacement

from fastgmm import kernels
from fastgmm._records import FloatArray, Parameters, Statistics
from fastgmm.data.moments import DataMoments, moments_of
from fastgmm.kernels.passes import Pass
from fastgmm.model.families import arguments_of_pass
from fastgmm.system.lazy import lazy

# Up to so many features, the moments of the data are those of all pairs of features.
FEW_FEATURES = 1024
# Where there are at least so many rows for each that is drawn, one is drawn from each run of them.
FEWEST_IN_RUN = 16
# Rows whose log-densities are in memory at a time.
CHUNK = 2**18

WeightedRows = tuple[FloatArray, FloatArray | None]  # rows (m, d), and their weights or None
# Makes a source of rows and their weights.
SourceOf = Callable[[FloatArray, "FloatArray | None"], "Source"]


class Source(Protocol):
    """What a fit asks of its data; EM needs the first two methods alone."""

    sample_weight: FloatArray | None  # where it is one array
    part_that_counts: float  # of the weight of all rows; the others have nothing observed

    @property
    def dtype(self) -> np.dtype:
        """Type of the points."""

    @property
    def n_rows(self) -> int:
        """Number of samples."""

    @property
    def n_features(self) -> int:
        """Number of features."""

    @property
    def n_weighted(self) -> int:
        """Number of samples that have weight."""

    @property
    def total_weight(self) -> float:
        """Number of samples, or the sum of their weights."""

    @property
    def X(self) -> FloatArray:
        """The rows (n, d), with something in place of missing values."""

    def expectation(self, parameters: Parameters) -> Statistics:
        """Return the expected statistics of all the points."""

    def log_likelihood(self, parameters: Parameters) -> float:
        """Return the sum of all log-densities, each times its weight."""

    def responsibilities(self, parameters: Parameters, at_once: int) -> Iterator[WeightedRows]:
        """Yield those of all rows, so many rows at a time, and the weights of these rows."""

    def moments(self, *, matrix: bool) -> DataMoments:
        """Return mean and covariance of the points, or variances alone if those suffice."""

    def variances(self) -> FloatArray:
        """Return the variances (d,) of the points."""

    def rows(self, size: int | None, random_state: np.random.RandomState) -> WeightedRows:
        """Return the rows that have weight, or `size` drawn at random where there are more."""

    def least_likely(self, parameters: Parameters, count: int) -> FloatArray:
        """Return so many points that have weight, those of the lowest densities first."""


class ArraySource:
    """Points (n, d) in an array, and their weights; checked once, and workspaces are reused."""

    part_that_counts = 1.0

    def __init__(self, X: FloatArray, sample_weight: FloatArray | None = None) -> None:
        self.X, self.sample_weight = X, sample_weight
        self.dtype: np.dtype = X.dtype
        self.n_rows, self.n_features = X.shape
        self.n_weighted, self.total_weight = len(X), float(len(X))
        if sample_weight is not None:
            self.n_weighted = int(np.count_nonzero(sample_weight))
            self.total_weight = float(sample_weight.sum(dtype=np.float64))
        self._pass = Pass(X, sample_weight)

    def expectation(self, parameters: Parameters) -> Statistics:
        """Expected statistics of all the points: a pass."""
        return self._pass.expectation(*arguments_of_pass(parameters))

    def log_likelihood(self, parameters: Parameters) -> float:
        """Σᵢ wᵢ log p(xᵢ)."""
        return self._pass.log_likelihood(*arguments_of_pass(parameters))

    def responsibilities(self, parameters: Parameters, at_once: int) -> Iterator[WeightedRows]:
        """Yield those of all rows, so many rows at a time, and the weights of these rows."""
        arguments, weight = arguments_of_pass(parameters), self.sample_weight
        for start in range(0, self.n_rows, at_once):
            rows = slice(start, start + at_once)
            found = kernels.responsibilities(self.X[rows], *arguments)
            yield found, None if weight is None else weight[rows]

    def moments(self, *, matrix: bool) -> DataMoments:
        """Mean and covariance of the points, or their variances alone; taken once."""
        if matrix or self.n_features <= FEW_FEATURES:
            return self._covariance
        return self._variances

    def variances(self) -> FloatArray:
        """Variances (d,) of the points."""
        return self._variances.variances

    @lazy
    def _covariance(self) -> DataMoments:
        return moments_of(self.X, self.sample_weight)

    @lazy
    def _variances(self) -> DataMoments:
        return moments_of(self.X, self.sample_weight, matrix=False)

    def rows(self, size: int | None, random_state: np.random.RandomState) -> WeightedRows:
        """Return the rows that have weight, or `size` drawn at random where there are more."""
        X, weight, n = self.X, self.sample_weight, self.n_weighted
        if size is not None and n > size:
            rows = drawn(n, size, random_state)
            if n < len(X):
                rows = self._weighted[rows]
        elif n < len(X):
            rows = self._weighted
        else:
            return X, weight
        return X[rows], None if weight is None else weight[rows]

    def least_likely(self, parameters: Parameters, count: int) -> FloatArray:
        """Return so many points that have weight, those of the lowest densities first."""
        lowest = LowestDensities(parameters, count)
        for start in range(0, self.n_rows, CHUNK):
            rows, weight = slice(start, start + CHUNK), self.sample_weight
            lowest.add(self.X[rows], None if weight is None else weight[rows])
        return lowest.points

    @lazy
    def _weighted(self) -> np.ndarray:
        """Numbers of the rows that have weight, where some have none."""
        return np.flatnonzero(np.asarray(self.sample_weight))


class LowestDensities:
    """So many points that have weight, those of the lowest densities first, of all that are added.

    Of equal ones, those that came before.
    """

    def __init__(self, parameters: Parameters, count: int) -> None:
        self.points: FloatArray = np.empty((0, parameters.means.shape[1]))
        self._log_density: FloatArray = np.empty(0)
        self._arguments, self._count = arguments_of_pass(parameters), count

    def add(self, X: FloatArray, weight: FloatArray | None) -> None:
        """Look at some rows."""
        log_density = kernels.log_density(X, *self._arguments)
        if weight is not None:
            X, log_density = X[weight > 0], log_density[weight > 0]
        new = np.argsort(log_density, kind="stable")[: self._count]
        points = np.concatenate([self.points.astype(X.dtype), X[new]])
        log_density = np.concatenate([self._log_density, log_density[new]])
        lowest = np.argsort(log_density, kind="stable")[: self._count]
        self.points, self._log_density = points[lowest], log_density[lowest]


class MomentsInOnePass:
    """Moments of points that are not in memory: of all pairs of features at once where few are."""

    def moments(self: Any, *, matrix: bool) -> DataMoments:
        """Mean and covariance of the points, or their variances alone; taken once."""
        wide = not matrix and self.n_features > FEW_FEATURES
        found: DataMoments = self._variances if wide else self._covariance
        return found

    def variances(self) -> FloatArray:
        """Variances (d,) of the points."""
        return self.moments(matrix=False).variances

    @lazy
    def _covariance(self: Any) -> DataMoments:
        found: DataMoments = self._moments(matrix=True)
        return found

    @lazy
    def _variances(self: Any) -> DataMoments:
        found: DataMoments = self._moments(matrix=False)
        return found


class SourceAround:
    """A source that answers as another one does, but for what a subclass knows better."""

    def __init__(self, whole: Source) -> None:
        self.whole, self.dtype = whole, whole.dtype
        self.n_rows, self.n_features = whole.n_rows, whole.n_features
        self.n_weighted, self.total_weight = whole.n_weighted, whole.total_weight
        self.part_that_counts, self.sample_weight = whole.part_that_counts, whole.sample_weight

    @property
    def X(self) -> FloatArray:
        """The rows (n, d), with something in place of missing values."""
        return self.whole.X

    def responsibilities(self, parameters: Parameters, at_once: int) -> Iterator[WeightedRows]:
        """Yield those of all rows, so many rows at a time, and the weights of these rows."""
        return self.whole.responsibilities(parameters, at_once)

    def moments(self, *, matrix: bool) -> DataMoments:
        """Return mean and covariance of the points, or variances alone if those suffice."""
        return self.whole.moments(matrix=matrix)

    def variances(self) -> FloatArray:
        """Return the variances (d,) of the points."""
        return self.whole.variances()

    def rows(self, size: int | None, random_state: np.random.RandomState) -> WeightedRows:
        """Return the rows that have weight, or `size` drawn at random where there are more."""
        return self.whole.rows(size, random_state)

    def least_likely(self, parameters: Parameters, count: int) -> FloatArray:
        """Return so many points that have weight, those of the lowest densities first."""
        return self.whole.least_likely(parameters, count)


def drawn(n: int, size: int, random_state: np.random.RandomState) -> np.ndarray:
    """Indices of `size` rows of n, in their order."""
    if n < FEWEST_IN_RUN * size:
        return np.sort(sample_without_replacement(n, size, random_state=random_state))
    # Takes no time for each row that is not drawn.
    starts = np.arange(size + 1) * n // size
    return np.asarray(random_state.randint(starts[:-1], starts[1:]))
