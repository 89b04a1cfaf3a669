"""A source of points that come in blocks, and never are in memory all together."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import reduce
from typing import TypeVar

import numpy as np

from fastgmm import kernels
from fastgmm._records import FloatArray, Parameters, Statistics
from fastgmm.data.blocks import Blocks
from fastgmm.data.moments import DataMoments, counted_moments, together
from fastgmm.data.parts import Part, Parts
from fastgmm.data.source import LowestDensities, MomentsInOnePass, WeightedRows, drawn
from fastgmm.kernels.passes import Pass
from fastgmm.model.families import arguments_of_pass
from fastgmm.system.lazy import lazy
from fastgmm.system.memory import check_memory

Result = TypeVar("Result")


class BlockSource(MomentsInOnePass):
    """Points in blocks, of which each pass reads all; two parts are in memory at a time.

    What passes leave behind is added in the order of the parts, whose length is a matter of the
    data alone, so that results do not depend on how the rows are cut into blocks. Weights come with
    the blocks, and `sample_weight` is None. The first pass, whatever it is for, finds out how many
    rows there are.
    """

    part_that_counts = 1.0
    sample_weight: FloatArray | None = None
    feature_names: list[str] | None = None  # where the blocks have some

    def __init__(self, blocks: Blocks) -> None:
        self.parts = Parts(blocks)

    @lazy
    def dtype(self) -> np.dtype:
        """Type of the points."""
        return self.parts.kind().dtype

    @lazy
    def n_features(self) -> int:
        """Number of features."""
        return self.parts.kind().n_features

    @lazy
    def n_rows(self) -> int:
        """Number of samples."""
        return self.parts.summary.n_rows

    @lazy
    def n_weighted(self) -> int:
        """Number of samples that have weight."""
        return self.parts.summary.n_weighted

    @lazy
    def total_weight(self) -> float:
        """Number of samples, or the sum of their weights."""
        return self.parts.summary.total_weight

    @lazy
    def largest(self) -> float:
        """The largest value without its sign."""
        return self.parts.summary.largest

    @property
    def X(self) -> FloatArray:
        """There is no array of all rows."""
        raise AttributeError("The rows come in blocks; what needs them all has to be an array.")

    def expectation(self, parameters: Parameters) -> Statistics:
        """Expected statistics of all the points: a pass over each part."""
        arguments = arguments_of_pass(parameters)
        found = self._of_parts(lambda points: points.expectation(*arguments))
        return reduce(Statistics.__add__, found)

    def log_likelihood(self, parameters: Parameters) -> float:
        """Σᵢ wᵢ log p(xᵢ)."""
        arguments = arguments_of_pass(parameters)
        return sum(self._of_parts(lambda points: points.log_likelihood(*arguments)))

    def _of_parts(self, function: Callable[[Pass], Result]) -> Iterator[Result]:
        for part in self.parts:
            yield function(Pass(part.X, part.weight, n_passes="one"))

    def responsibilities(self, parameters: Parameters, at_once: int) -> Iterator[WeightedRows]:
        """Yield those of all rows, so many at a time at most, and the weights of these rows."""
        arguments = arguments_of_pass(parameters)
        for part in self.parts:
            for start in range(0, len(part.X), at_once):
                rows = slice(start, start + at_once)
                found = kernels.responsibilities(part.X[rows], *arguments)
                yield found, None if part.weight is None else part.weight[rows]

    def _moments(self, *, matrix: bool) -> DataMoments:
        found = (counted_moments(part.X, part.weight, matrix=matrix) for part in self.parts)
        _, mean, covariance = reduce(together, found)
        return DataMoments(mean, covariance, float(np.finfo(self.dtype).eps))

    def rows(self, size: int | None, random_state: np.random.RandomState) -> WeightedRows:
        """Return the rows that have weight, or `size` drawn at random where there are more.

        They are those that an array would draw, and take a pass that computes nothing.
        """
        n, kind = self.n_weighted, self.parts.kind()
        chosen = None if size is None or n <= size else drawn(n, size, random_state)
        n_chosen = n if chosen is None else len(chosen)
        n_bytes = n_chosen * (kind.n_features + kind.is_weighted) * kind.dtype.itemsize
        check_memory(n_bytes, "The rows of the start", "lower init_size")
        X = np.empty((n_chosen, kind.n_features), kind.dtype)
        weight = np.empty(n_chosen, kind.dtype) if kind.is_weighted else None
        seen = filled = 0
        for part in self.parts:
            rows = _weighted(part)
            if chosen is not None:
                first, last = np.searchsorted(chosen, [seen, seen + len(rows)])
                seen, rows = seen + len(rows), rows[chosen[first:last] - seen]
            end = filled + len(rows)
            X[filled:end] = part.X[rows]
            if weight is not None and part.weight is not None:
                weight[filled:end] = part.weight[rows]
            filled = end
        return X, weight

    def least_likely(self, parameters: Parameters, count: int) -> FloatArray:
        """Return so many points that have weight, those of the lowest densities first."""
        lowest = LowestDensities(parameters, count)
        for part in self.parts:
            lowest.add(part.X, part.weight)
        return lowest.points


def _weighted(part: Part) -> np.ndarray:
    """Numbers of the rows of a part that have weight."""
    return np.arange(len(part.X)) if part.weight is None else np.flatnonzero(part.weight)
