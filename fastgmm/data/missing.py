"""A source of points with missing values: a small pass for each pattern of them.

A pass over what is observed yields responsibilities, counts and moments; what the hidden features
add to these follows from means and covariances alone.

References
----------
Ghahramani and Jordan, Supervised learning from incomplete data via an EM approach, NIPS 6 (1994).
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from fastgmm._records import FloatArray, Parameters, Statistics
from fastgmm.data.moments import DataMoments
from fastgmm.data.source import ArraySource, Source, WeightedRows
from fastgmm.kernels.passes import Pass
from fastgmm.model.families import FAMILIES
from fastgmm.model.maximization import MaximumLikelihood
from fastgmm.model.missing import (
    Conditions,
    Observed,
    Pattern,
    expected,
    log_density,
    patterns_of,
    responsibilities,
)
from fastgmm.system.lazy import lazy

# Iterations of one Gaussian that starts and scales are taken from: it need not have settled.
ITERATIONS_OF_ONE = 20
# Part of the observed variances that it has at least.
LEAST_VARIANCE = 1e-6


def source_of(X: FloatArray, sample_weight: FloatArray | None = None) -> Source:
    """Return the source of an array, whose passes are those of whole rows if nothing is missing."""
    is_whole = math.isfinite(np.add.reduce(X, axis=None)) or not np.isnan(X).any()
    return ArraySource(X, sample_weight) if is_whole else IncompleteSource(X, sample_weight)


class IncompleteSource:
    """Points (n, d), NaN where a value is missing, and their weights.

    Rows in which nothing is observed have no part in it. `X` has expected values under one Gaussian
    in place of missing ones; starts look at these.
    """

    def __init__(self, X: FloatArray, sample_weight: FloatArray | None = None) -> None:
        self.dtype: np.dtype = X.dtype
        self.n_rows, self.n_features = X.shape
        self._given = X
        self.part_that_counts = 1.0
        seen = ~np.isnan(X).all(axis=1)
        if not seen.all():
            weight = np.ones(len(X), X.dtype) if sample_weight is None else sample_weight
            sample_weight = np.where(seen, weight, weight.dtype.type(0))
            self.part_that_counts = float(sample_weight.sum() / weight.sum())
        self.sample_weight = sample_weight
        self.n_weighted, self.total_weight = len(X), float(len(X))
        if sample_weight is not None:
            self.n_weighted = int(np.count_nonzero(sample_weight))
            self.total_weight = float(sample_weight.sum(dtype=np.float64))
        self._parts = [
            (pattern, _pass_over(X, sample_weight, pattern))
            for pattern in patterns_of(X)
            if len(pattern.observed)
        ]

    def expectation(self, parameters: Parameters) -> Statistics:
        """Expected statistics of all features of all the points, a small pass for each pattern."""
        conditions = Conditions(parameters)
        K, d = conditions.means.shape
        second = np.zeros(FAMILIES[conditions.pass_type].shape(K, d))
        log_likelihood, counts, first = 0.0, np.zeros(K), np.zeros((K, d))
        for pattern, part in self._parts:
            given = conditions.given(pattern)
            observed = part.expectation(*given.arguments)
            log_likelihood += observed.log_likelihood
            counts += observed.counts
            _add_moments(first, second, observed, pattern, given)
        reference = np.asarray(conditions.means, np.float64)
        return Statistics(log_likelihood, counts, first, second, reference, conditions.pass_type)

    def log_likelihood(self, parameters: Parameters) -> float:
        """Σᵢ wᵢ log p(what is observed of xᵢ)."""
        conditions = Conditions(parameters)
        return sum(
            part.log_likelihood(*conditions.given(pattern).arguments)
            for pattern, part in self._parts
        )

    def responsibilities(self, parameters: Parameters, at_once: int) -> Iterator[WeightedRows]:
        """Yield those of all rows, so many rows at a time, and the weights of these rows."""
        weight = self.sample_weight
        for start in range(0, self.n_rows, at_once):
            rows = slice(start, start + at_once)
            found = responsibilities(self._given[rows], parameters)
            yield found, None if weight is None else weight[rows]

    def moments(self, *, matrix: bool) -> DataMoments:
        """Mean and covariance of the points, or their variances, as one Gaussian has them."""
        mean, covariance = self._one.means[0], self._one.covariances[0]
        own = covariance if matrix else np.diagonal(covariance).copy()
        return DataMoments(mean, own, float(np.finfo(self.dtype).eps))

    def variances(self) -> FloatArray:
        """Variances (d,) of the points."""
        return self.moments(matrix=False).variances

    def rows(self, size: int | None, random_state: np.random.RandomState) -> WeightedRows:
        """Return the rows that have weight, or `size` of them drawn at random, without holes."""
        return self._filled.rows(size, random_state)

    def least_likely(self, parameters: Parameters, count: int) -> FloatArray:
        """Return so many points that have weight, those of the lowest densities first."""
        density = log_density(self._given, parameters)
        if self.sample_weight is not None:
            density[self.sample_weight == 0] = np.inf
        lowest = np.argsort(density, kind="stable")[: min(count, self.n_weighted)]
        return self.X[lowest]

    @property
    def X(self) -> FloatArray:
        """The points, with expected values under one Gaussian in place of missing ones."""
        return self._filled.X

    @lazy
    def _filled(self) -> ArraySource:
        return ArraySource(expected(self._given, self._one), self.sample_weight)

    @lazy
    def _one(self) -> Parameters:
        """One Gaussian, nearly of the highest likelihood."""
        mean, variances = _observed_moments(self._given, self.sample_weight)
        tiny = np.finfo(self.dtype).tiny
        maximization = MaximumLikelihood("full", LEAST_VARIANCE * variances + tiny)
        variances = np.maximum(variances, tiny)
        factor, covariance = np.diag(variances**-0.5), np.diag(variances)
        start = Parameters(np.ones(1), mean[None], covariance[None], factor[None], "full")
        one = start.astype(self.dtype)
        for _ in range(ITERATIONS_OF_ONE):
            one = maximization.maximize(self.expectation(one), one).astype(self.dtype)
        return one.astype(np.float64)


def _pass_over(X: FloatArray, weight: FloatArray | None, pattern: Pattern) -> Pass:
    """A pass over what is observed in the rows of a pattern."""
    part = np.ascontiguousarray(X[pattern.rows][:, pattern.observed])
    return Pass(part, None if weight is None else weight[pattern.rows])


def _add_moments(
    first: FloatArray, second: FloatArray, observed: Statistics, pattern: Pattern, given: Observed
) -> None:
    """Add the moments of observed features, and those that the hidden ones are expected to have.

    About the means, hidden features are at B c with the rest's covariance C, where c are observed:
    Σ r B c, Σ r B c cᵀ and Σ r B c cᵀ Bᵀ + N C.
    """
    o, h, counts = pattern.observed, pattern.hidden, observed.counts
    first[:, o] += observed.first
    if second.ndim == 1:  # spherical: traces
        second += observed.second + len(h) * counts * given.rest[:, 0]
        return
    if given.slopes is None:
        second[:, o] += observed.second
        second[:, h] += counts[:, None] * given.rest
        return
    B, C = given.slopes, given.rest
    first[:, h] += (B @ observed.first[:, :, None])[:, :, 0]
    if second.ndim == 2:  # of all components together
        second, squares, counts = second[None], observed.second[None], counts.sum(keepdims=True)
    else:
        squares = observed.second
    across = B @ squares
    second[:, o[:, None], o] += squares
    second[:, h[:, None], o] += across
    second[:, o[:, None], h] += across.swapaxes(1, 2)
    second[:, h[:, None], h] += across @ B.swapaxes(1, 2) + counts[:, None, None] * C


def _observed_moments(X: FloatArray, weight: FloatArray | None) -> tuple[FloatArray, FloatArray]:
    """Mean (d,) and variances (d,) of each feature where it is observed, in float64."""
    share = (~np.isnan(X)).astype(np.float64)
    if weight is not None:
        share *= weight[:, None]
    counts = share.sum(axis=0)
    mean = np.einsum("nd,nd->d", share, np.where(share > 0, X, 0.0)) / counts
    apart = np.where(share > 0, X - mean, 0.0)
    return mean, np.einsum("nd,nd,nd->d", share, apart, apart) / counts
