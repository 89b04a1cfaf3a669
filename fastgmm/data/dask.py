"""A source of points that are partitions of a Dask collection.

The partitions are made once and stay where they are made; each pass is one graph, with a task for
each of them and a tree of additions, and one record of `Statistics` comes back. A tree of one shape
adds in one order, so that results do not depend on which worker is the fastest.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeGuard

import dask
import numpy as np

from fastgmm._records import FloatArray, Parameters, Statistics
from fastgmm.data import partitions
from fastgmm.data.cluster import computed, persisted
from fastgmm.data.moments import DataMoments
from fastgmm.data.partitions import Kind, Summary, Task
from fastgmm.data.source import LowestDensities, MomentsInOnePass, WeightedRows, drawn
from fastgmm.model.families import arguments_of_pass
from fastgmm.system.lazy import lazy
from fastgmm.system.memory import check_memory

# Results that are added by one task.
FAN_IN = 8


class Kept(NamedTuple):
    """Partitions that are made already, delayed, and what there is in each; none is empty."""

    partitions: Sequence[Any]
    summaries: Sequence[Summary]


class DaskSource(MomentsInOnePass):
    """Points in partitions that Dask keeps, and their weights; made and checked when first needed.

    `blocks` are delayed arrays or data frames; `weights` a delayed array for each, or an array for
    all rows; `n_jobs` are threads of each task, one for None, as a worker has a task for each of
    its own. ValueError says which partition and row has what is no number.
    """

    part_that_counts = 1.0
    sample_weight: FloatArray | None = None  # weights are in the partitions
    feature_names: list[str] | None = None  # where a column has the weights, those of the others

    def __init__(
        self,
        blocks: Sequence[Any],
        kind: Kind,
        weights: Sequence[Any] | FloatArray | None = None,
        n_jobs: int | None = None,
    ) -> None:
        self.dtype, self.n_features = kind
        self._blocks, self._weights, self._n_jobs = blocks, weights, n_jobs or 1

    @lazy
    def _kept(self) -> Kept:
        return kept(self._blocks, Kind(self.dtype, self.n_features), self._weights)

    @lazy
    def n_rows(self) -> int:
        """Number of samples."""
        return sum(summary.n_rows for summary in self._kept.summaries)

    @lazy
    def n_weighted(self) -> int:
        """Number of samples that have weight."""
        return sum(summary.n_weighted for summary in self._kept.summaries)

    @lazy
    def total_weight(self) -> float:
        """Number of samples, or the sum of their weights."""
        return math.fsum(summary.total_weight for summary in self._kept.summaries)

    @lazy
    def largest(self) -> float:
        """The largest value without its sign."""
        return max(summary.largest for summary in self._kept.summaries)

    @property
    def X(self) -> FloatArray:
        """There is none: rows are on workers."""
        raise AttributeError("This needs all rows in memory at once; pass them as an array.")

    def expectation(self, parameters: Parameters) -> Statistics:
        """Expected statistics of all the points: a pass over each partition."""
        mixture = arguments_of_pass(parameters)  # without covariances, which stay here
        return self._sum(partitions.expectation, partitions.added, mixture)

    def log_likelihood(self, parameters: Parameters) -> float:
        """Σᵢ wᵢ log p(xᵢ)."""
        mixture = arguments_of_pass(parameters)
        return self._sum(partitions.log_likelihood, partitions.added, mixture)

    def responsibilities(self, parameters: Parameters, at_once: int) -> Iterator[WeightedRows]:
        """Yield those of all rows, so many rows at a time, and the weights of these rows."""
        mixture = dask.delayed(arguments_of_pass(parameters), traverse=False)
        for partition, summary in zip(*self._kept, strict=True):
            for start in range(0, summary.n_rows, at_once):
                rows = slice(start, start + at_once)
                yield from self._of(partitions.responsibilities, [(partition, mixture, rows)])

    def _moments(self, *, matrix: bool) -> DataMoments:
        _, mean, covariance = self._sum(partitions.moments, partitions.moments_together, matrix)
        return DataMoments(mean, covariance, float(np.finfo(self.dtype).eps))

    def rows(self, size: int | None, random_state: np.random.RandomState) -> WeightedRows:
        """Return the rows that have weight, or `size` drawn at random where there are more.

        They are those that an array would draw.
        """
        n, d = self.n_weighted, self.n_features
        chosen = None if size is None or n <= size else drawn(n, size, random_state)
        n_bytes = (n if chosen is None else len(chosen)) * (d + 1) * self.dtype.itemsize
        check_memory(n_bytes, "The rows of the start", "lower init_size")
        ends = np.cumsum([summary.n_weighted for summary in self._kept.summaries])
        asked = []
        for partition, summary, end in zip(*self._kept, ends, strict=True):
            first, numbers = end - summary.n_weighted, None
            if chosen is not None:
                numbers = chosen[slice(*np.searchsorted(chosen, [first, end]))] - first
            if summary.n_weighted if numbers is None else len(numbers):
                asked.append((partition, numbers))
        points, weights = zip(*self._of(partitions.chosen_rows, asked), strict=True)
        return np.concatenate(points), np.concatenate(
            weights
        ) if self._weights is not None else None

    def least_likely(self, parameters: Parameters, count: int) -> FloatArray:
        """Return so many points that have weight, those of the lowest densities first."""
        given = dask.delayed(parameters, traverse=False)
        asked = [(partition, given, count) for partition in self._kept.partitions]
        lowest = LowestDensities(parameters, count)
        for points in self._of(partitions.least_likely, asked):
            lowest.add(points, None)
        return lowest.points

    def _sum(self, function: Callable, add: Callable, *arguments: Any) -> Any:
        """Have each partition's result added, by a tree."""
        # Once for all partitions: whoever needs them has them from the first who did.
        given = [dask.delayed(argument, traverse=False) for argument in arguments]
        task = self._task(function)
        results = [task(partition, *given) for partition in self._kept.partitions]
        (total,) = computed([tree(results, dask.delayed(add))])
        return total

    def _task(self, function: Callable) -> Any:
        return dask.delayed(Task(function, self._n_jobs), name=function.__name__)

    def _of(self, function: Callable, asked: Sequence[tuple]) -> Sequence[Any]:
        """Return what a function makes of some partitions, in their order."""
        task = self._task(function)
        return computed([task(*arguments) for arguments in asked])


def kept(blocks: Sequence[Any], kind: Kind, weights: Sequence[Any] | FloatArray | None) -> Kept:
    """Have the partitions made, once, where they are to stay, and check them."""
    of_blocks = [None] * len(blocks) if weights is None or is_array(weights) else weights
    make = dask.delayed(Task(partitions.partition_of), name="partition_of")
    given = dask.delayed(kind, traverse=False)
    made = persisted([make(*pair, given) for pair in zip(blocks, of_blocks, strict=True)])
    summaries = checked(made)
    if is_array(weights):
        made = with_weights(made, summaries, weights)
        summaries = checked(made)
    if not any(summary.n_rows for summary in summaries):
        raise ValueError("X has no rows: all partitions are empty; give one sample or more.")
    total = sum(summary.total_weight for summary in summaries)
    if not 0 < total < np.inf:
        raise ValueError(
            f"The weights sum to {total}; give finite weights, of which one is positive."
        )
    # Those without rows have nothing to do in any pass.
    full = [i for i, summary in enumerate(summaries) if summary.n_rows]
    return Kept([made[i] for i in full], [summaries[i] for i in full])


def is_array(weights: object) -> TypeGuard[FloatArray]:
    """Whether weights are of all rows, rather than one delayed array for each partition."""
    return isinstance(weights, np.ndarray)


def checked(made: Sequence[Any]) -> Sequence[Summary]:
    """Look at the partitions; refuse values and weights that are none."""
    look = dask.delayed(partitions.summary_of)
    summaries = computed([look(partition) for partition in made], is_first=True)
    for number, summary in enumerate(summaries):
        if summary.fault is not None:
            raise ValueError(
                f"Partition {number}, {summary.fault} (all counted from 0); leave such rows out."
            )
    return summaries


def with_weights(
    made: Sequence[Any], summaries: Sequence[Summary], weights: FloatArray
) -> Sequence[Any]:
    """Cut an array of weights as the points are cut."""
    lengths = [summary.n_rows for summary in summaries]
    if weights.shape != (sum(lengths),):
        raise ValueError(
            f"sample_weight has the shape {weights.shape}, and X has {sum(lengths)} rows; give one "
            "weight for each row."
        )
    parts = np.split(weights, np.cumsum(lengths)[:-1])
    give = dask.delayed(partitions.weighted)
    return persisted([give(*pair) for pair in zip(made, parts, strict=True)])


def tree(results: Sequence[Any], add: Callable[[Sequence[Any]], Any]) -> Any:
    """Add delayed results by a tree, whose shape is a matter of how many there are."""
    while len(results) > 1:
        results = [add(list(results[i : i + FAN_IN])) for i in range(0, len(results), FAN_IN)]
    return results[0]
