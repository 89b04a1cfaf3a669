"""Problems so small that the drivers' code takes longer to compile than they take to be solved.

Which these are, and how they are cut into tiles, is a matter of shapes alone, so that no result
depends on what has been compiled before, nor on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import TypeVar

import numpy as np

from fastgmm._contract import are_far, farthest
from fastgmm._records import CovarianceType, FloatArray, Statistics
from fastgmm.kernels.codegen.vectors import LARGEST_SQUARE
from fastgmm.kernels.few_points import FewPoints, Moments, exact
from fastgmm.kernels.jit.target import JIT_DISABLED
from fastgmm.kernels.layouts import Mixture
from fastgmm.system.lazy import lazy
from fastgmm.system.threads import n_threads

# A small problem has at most so many points, pairs of points and components, and multiply-adds in
# a pass: a hundred passes take no longer than to compile the drivers' code. Plain Python, in place
# of the compiler, takes its time.
MOST_POINTS, MOST_PAIRS = 2**12, 2**15
MOST_OPERATIONS = 2**11 if JIT_DISABLED else 2**26
# And so many numbers in its factors, of which there are copies.
MOST_FACTORS = 2**19
# From so many on, tiles go to threads; they have at least so many operations and points, and a
# multiple of points.
OPERATIONS_OF_TILE, POINTS_OF_TILE, MULTIPLE = 2**20, 2**8, 2**6
# What a multiply-add of matrices is to one of variances, in which there is little else to do.
VARIANCE = 8

Result = TypeVar("Result")


def is_small(n_samples: int, n_components: int, n_features: int, covariance_type: str) -> bool:
    """Whether a problem is so small that it is solved here."""
    return (
        n_samples <= MOST_POINTS
        and n_samples * n_components <= MOST_PAIRS
        and (
            covariance_type in ("diag", "spherical") or n_components * n_features**2 <= MOST_FACTORS
        )
        and _operations(n_samples, n_components, n_features, covariance_type) <= MOST_OPERATIONS
    )


def _operations(n_samples: int, n_components: int, n_features: int, covariance_type: str) -> int:
    of_feature = n_features + 1 if covariance_type in ("full", "tied") else VARIANCE
    return n_samples * n_components * n_features * of_feature


class SmallProblem:
    """Few points and their weights, in tiles that go to threads where that is worth it."""

    def __init__(self, X: FloatArray, sample_weight: FloatArray | None = None):
        self.X, self.sample_weight = X, sample_weight
        self._cut_for: tuple[tuple[int, int], str] | None = None
        self._tiles: list[FewPoints] = []
        self._slices: list[slice] = []

    def statistics(self, mixture: Mixture) -> Statistics:
        """Expected statistics of the points under the mixture."""
        mixture = exact(mixture, self.X.dtype)
        shape = mixture.means, mixture.covariance_type
        return _added(self._each(*shape, lambda points, _: points.statistics(mixture)), *shape)

    def log_likelihood(self, mixture: Mixture) -> float:
        """Σᵢ wᵢ log p(xᵢ)."""
        mixture = exact(mixture, self.X.dtype)
        shape = mixture.means, mixture.covariance_type
        parts = self._each(*shape, lambda points, _: points.log_likelihood(mixture))
        return max(sum(parts), -LARGEST_SQUARE)

    def moments(
        self, means: FloatArray, responsibilities: FloatArray, covariance_type: CovarianceType
    ) -> Statistics:
        """Moments about means under given responsibilities (n, K), with no regard to weights."""
        means = means.astype(self.X.dtype).astype(np.float64)
        parts = self._each(
            means,
            covariance_type,
            lambda points, rows: points.moments(means, responsibilities[rows], covariance_type),
        )
        return _added(parts, means, covariance_type)

    # --- predictions
    def log_gaussian_density(self, mixture: Mixture) -> FloatArray:
        """Log-density of every point under every component, (n, K)."""
        mixture, dtype = exact(mixture, self.X.dtype), self.X.dtype
        out = np.empty((len(self.X), len(mixture.means)), dtype)

        def fill(points: FewPoints, rows: slice) -> None:
            out[rows] = _limited(points.log_densities(mixture).T, dtype)

        self._each(mixture.means, mixture.covariance_type, fill)
        return out

    def assign(self, mixture: Mixture) -> np.ndarray:
        """Index of the most probable component of every point, ~0 if it is far."""
        mixture, dtype = exact(mixture, self.X.dtype), self.X.dtype
        labels = np.empty(len(self.X), np.intp)

        def fill(points: FewPoints, rows: slice) -> None:
            log_densities = points.log_densities(mixture)
            far = are_far(_limited(log_densities.max(axis=0), dtype).astype(dtype))
            labels[rows] = np.where(far, ~0, log_densities.argmax(axis=0))

        self._each(mixture.means, mixture.covariance_type, fill)
        return labels

    def normalized(self, mixture: Mixture | None) -> tuple[FloatArray, FloatArray]:
        """Log-densities (n,) and responsibilities (n, K), which do not hold where a point is far.

        Without a mixture the points are log-densities of components themselves.
        """
        n, K = len(self.X), self.X.shape[1] if mixture is None else len(mixture.means)
        density, shares = np.empty(n, self.X.dtype), np.empty((n, K), self.X.dtype)
        if mixture is not None:
            mixture = exact(mixture, self.X.dtype)

        def fill(points: FewPoints, rows: slice) -> None:
            log_density, shares[rows] = points.normalized(mixture)
            density[rows] = _limited(log_density, self.X.dtype)

        if mixture is None:
            self._each(np.empty((K, 1)), "spherical", fill)
        else:
            self._each(mixture.means, mixture.covariance_type, fill)
        return density, shares

    # --- tiles and threads
    def _each(
        self,
        means: FloatArray,
        covariance_type: CovarianceType,
        function: Callable[[FewPoints, slice], Result],
    ) -> list[Result]:
        """Results of a function of each tile and its rows, in their order."""
        if self._cut_for != (means.shape, covariance_type):
            self._cut_for = means.shape, covariance_type
            self._cut(_length_of_tile(len(self.X), *self._cut_for))
        if len(self._tiles) == 1:
            return [function(self._tiles[0], self._slices[0])]
        tiles = list(zip(self._tiles, self._slices, strict=True))
        results: dict[int, Result] = {}
        numbers = count()

        def work() -> None:
            while (number := next(numbers)) < len(tiles):
                results[number] = function(*tiles[number])

        others = min(n_threads(), len(tiles)) - 1
        waiting = [self._pool.submit(work) for _ in range(others)]
        work()
        for future in waiting:
            future.result()
        return [results[number] for number in range(len(tiles))]

    def _cut(self, length: int) -> None:
        self._slices = [slice(a, a + length) for a in range(0, max(1, len(self.X)), length)]
        weight = self.sample_weight
        self._tiles = [
            FewPoints(self.X[rows], None if weight is None else weight[rows])
            for rows in self._slices
        ]

    @lazy
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(max(1, n_threads() - 1))


def _length_of_tile(n: int, shape: tuple[int, int], covariance_type: str) -> int:
    operations = _operations(n, *shape, covariance_type)
    n_tiles = min(operations // OPERATIONS_OF_TILE, n // POINTS_OF_TILE)
    if n_tiles < 2:
        return max(1, n)
    return -(-n // (n_tiles * MULTIPLE)) * MULTIPLE


def _added(parts: list[Moments], means: FloatArray, covariance_type: CovarianceType) -> Statistics:
    log_likelihood, counts, first, second = parts[0]
    for part in parts[1:]:
        log_likelihood += part.log_likelihood
        counts += part.counts
        first += part.first
        second += part.second
    log_likelihood = max(log_likelihood, -LARGEST_SQUARE)
    return Statistics(log_likelihood, counts, first, second, means, covariance_type)


def _limited(log_density: FloatArray, dtype: np.dtype) -> FloatArray:
    """Log-densities that stay finite in another type, if they are."""
    if dtype == np.float64:
        return log_density
    lowest = -0.5 * farthest(dtype)
    return np.where((log_density < lowest) & np.isfinite(log_density), lowest, log_density)
