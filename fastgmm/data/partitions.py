"""Partitions of the points of a Dask collection: what its tasks make of them, wherever they run.

Nothing here knows of Dask. A partition stays on the worker that has made it, and what tasks leave
behind is small.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, NamedTuple, TypeVar

import numpy as np

from fastgmm import kernels
from fastgmm._records import FloatArray, Parameters, Statistics
from fastgmm.data.moments import CountedMoments, counted_moments, together
from fastgmm.data.source import CHUNK, LowestDensities, WeightedRows
from fastgmm.kernels.passes import Pass
from fastgmm.system.lazy import lazy
from fastgmm.system.threads import on_its_threads

Sum = TypeVar("Sum", Statistics, float)


class Kind(NamedTuple):
    """What all partitions have in common."""

    dtype: np.dtype
    n_features: int


class Summary(NamedTuple):
    """What there is in a partition, and what is wrong with it."""

    n_rows: int
    n_weighted: int  # rows that have weight
    total_weight: float
    largest: float  # of the values, without signs
    fault: str | None  # beginning with the row


class Partition:
    """Points and weights of a partition, and workspaces of passes, which stay where it is."""

    def __init__(self, X: FloatArray, weight: FloatArray | None = None) -> None:
        self.X, self.weight = X, weight

    @lazy
    def points(self) -> Pass:
        """The same as the kernels take them, checked once."""
        return Pass(self.X, self.weight)

    def __reduce__(self) -> tuple[Any, ...]:
        return Partition, (self.X, self.weight)

    def __sizeof__(self) -> int:
        """By which Dask decides whether to move it."""
        weight = 0 if self.weight is None else self.weight.nbytes
        return object.__sizeof__(self) + self.X.nbytes + weight


class Task(NamedTuple):
    """A function that runs on so many threads; a worker has a task for each of its own."""

    function: Callable[..., Any]
    n_jobs: int = 1

    @on_its_threads
    def __call__(self, *arguments: Any) -> Any:
        """Call the function."""
        return self.function(*arguments)


# --- partitions
def partition_of(block: Any, weight: Any, kind: Kind) -> Partition:
    """Return the points of a block, and its weights if it has some, as arrays of one type."""
    X = points_of(block, kind)
    return Partition(X) if weight is None else weighted(Partition(X), weight)


def points_of(block: Any, kind: Kind) -> FloatArray:
    """Return an array or a data frame as points."""
    if hasattr(block, "to_numpy"):
        X = block.to_numpy(dtype=kind.dtype, na_value=np.nan)
    else:
        is_masked = np.ma.is_masked(block)
        X = np.ma.filled(block.astype(kind.dtype), np.nan) if is_masked else block
        X = np.asarray(X, kind.dtype)
    if X.shape[1:] != (kind.n_features,):
        raise ValueError(
            f"A partition has the shape {X.shape}, where the collection promised {kind.n_features} "
            "columns; give what makes it the right meta, or chunks."
        )
    return X


def weighted(partition: Partition, weight: Any) -> Partition:
    """Return the points with weights."""
    X = partition.X
    with np.errstate(over="ignore"):  # what is infinite is refused later
        weight = np.asarray(weight, X.dtype)
    if weight.shape != X.shape[:1]:
        raise ValueError(
            f"A partition has {len(X)} rows and weights of the shape {weight.shape}; cut "
            "sample_weight as X is cut, with one weight for each row."
        )
    return Partition(X, weight)


def summary_of(partition: Partition) -> Summary:
    """Look at all values of a partition."""
    X, weight = partition.X, partition.weight
    largest = max(float(X.max()), -float(X.min())) if X.size else 0.0
    n_weighted, total = len(X), float(len(X))
    if weight is not None:
        n_weighted, total = int(np.count_nonzero(weight)), float(weight.sum(dtype=np.float64))
    return Summary(len(X), n_weighted, total, largest, fault_of(X, weight, largest))


def fault_of(X: FloatArray, weight: FloatArray | None, largest: float) -> str | None:
    """Say what is wrong with the first row that has no numbers, or no weight that is one."""
    if not np.isfinite(largest):
        row, column = np.argwhere(~np.isfinite(X))[0]
        found = "NaN" if np.isnan(X[row, column]) else "infinity"
        return f"row {row}: X has {found} in column {column}"
    if weight is not None:
        bad = np.flatnonzero(~(np.isfinite(weight) & (weight >= 0)))
        if len(bad):
            return f"row {bad[0]}: the weight is {weight[bad[0]]}, and should be 0 or more"
    return None


# --- what a pass leaves behind
def expectation(partition: Partition, mixture: Sequence[Any]) -> Statistics:
    """Expected statistics of the points."""
    return partition.points.expectation(*mixture)


def log_likelihood(partition: Partition, mixture: Sequence[Any]) -> float:
    """Σᵢ wᵢ log p(xᵢ)."""
    return partition.points.log_likelihood(*mixture)


def added(parts: Sequence[Sum]) -> Sum:
    """Add up, in the order that is given."""
    return reduce(lambda one, other: one + other, parts)


def moments(partition: Partition, matrix: bool) -> CountedMoments:
    """Weight, mean and covariance of the points, or their variances."""
    return counted_moments(partition.X, partition.weight, matrix=matrix)


def moments_together(parts: Sequence[CountedMoments]) -> CountedMoments:
    """Of several groups of points, in the order that is given."""
    return reduce(together, parts)


# --- some of the rows
def chosen_rows(partition: Partition, numbers: np.ndarray | None) -> WeightedRows:
    """Return those rows of the ones that have weight, or all of them."""
    X, weight = partition.X, partition.weight
    if weight is None:
        return (X, None) if numbers is None else (X[numbers], None)
    rows = np.flatnonzero(weight)
    rows = rows if numbers is None else rows[numbers]
    return X[rows], weight[rows]


def least_likely(partition: Partition, parameters: Parameters, count: int) -> FloatArray:
    """Return so many points of the lowest densities that have weight."""
    lowest = LowestDensities(parameters, count)
    for start in range(0, len(partition.X), CHUNK):
        rows, weight = slice(start, start + CHUNK), partition.weight
        lowest.add(partition.X[rows], None if weight is None else weight[rows])
    return lowest.points


def responsibilities(partition: Partition, mixture: Sequence[Any], rows: slice) -> WeightedRows:
    """Return those of some rows, and the weights of these."""
    found = kernels.responsibilities(partition.X[rows], *mixture)
    return found, None if partition.weight is None else partition.weight[rows]
