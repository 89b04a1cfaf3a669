"""Dask's arrays and data frames: recognized by what they have, predicted lazily."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fastgmm.data.partitions import Kind, Task, points_of

if TYPE_CHECKING:
    from fastgmm.data.dask import DaskSource

EXPECTED = (
    "two-dimensional arrays and data frames of Dask are fitted, of real numbers in numpy's memory"
)


class OfBlock(NamedTuple):
    """What a function makes of a block, which may be empty."""

    function: Callable[[Any], np.ndarray]
    kind: Kind
    nothing: np.ndarray  # what it makes of no rows

    def __call__(self, block: Any) -> np.ndarray:
        """Return an array with an answer for each row."""
        X = points_of(block, self.kind)
        return Task(self.function)(X) if len(X) else self.nothing


class OfFrame(NamedTuple):
    """The same for a data frame, whose rows keep their names."""

    of_block: OfBlock

    def __call__(self, frame: Any) -> Any:
        """Return a series, or a data frame with numbered columns."""
        import pandas as pd  # type: ignore[import-untyped]

        found = self.of_block(frame)
        return (pd.Series if found.ndim == 1 else pd.DataFrame)(found, index=frame.index)


class DaskArray:
    """A Dask array (n, d), with chunks of whole rows; predictions are arrays of the same chunks."""

    feature_names: list[str] | None = None

    def __init__(self, X: Any) -> None:
        meta = X._meta
        if X.ndim != 2 or not isinstance(meta, np.ndarray) or X.dtype.kind not in "fiub":
            raise TypeError(
                f"X is a Dask array of {X.ndim} dimension(s), of {type(meta).__name__} of "
                f"{X.dtype}: {EXPECTED}; have it made so, by reshape, astype or map_blocks."
            )
        if np.isnan(X.shape[1]):
            raise ValueError(
                "X is a Dask array of an unknown number of columns; call its compute_chunk_sizes."
            )
        self.X = X if X.numblocks[1] == 1 else X.rechunk({1: -1})
        self.kind = Kind(_float_type([X.dtype]), X.shape[1])

    def of_features(self, names: list[str]) -> DaskArray:
        """Columns have no names."""
        return self

    def source(self, sample_weight: Any, n_jobs: int | None = None) -> DaskSource:
        """Return a source whose partitions are the chunks."""
        if _is_array(sample_weight) and sample_weight.ndim == 1:
            rows = self.X.chunks[0]
            if sample_weight.shape == self.X.shape[:1]:  # unknown lengths are no numbers
                sample_weight = sample_weight.rechunk((rows,))
        return _source(self.X.to_delayed().ravel(), self.kind, sample_weight, n_jobs)

    def map(self, function: Callable[[Any], np.ndarray]) -> Any:
        """Return what a function makes of the chunks, as a Dask array."""
        of_block = _of_block(function, self.kind)
        nothing = of_block.nothing
        options = {"dtype": nothing.dtype, "meta": nothing}
        if nothing.ndim == 1:
            return self.X.map_blocks(of_block, drop_axis=1, **options)
        return self.X.map_blocks(of_block, chunks=(self.X.chunks[0], nothing.shape[1:]), **options)


class DaskFrame:
    """A Dask data frame; predictions are series and data frames with its partitions and index."""

    def __init__(self, X: Any, whole: Any = None) -> None:
        self.X, self.whole = X, X if whole is None else whole
        kinds = dict(zip(X.columns, X.dtypes, strict=True))
        for name, dtype in kinds.items():
            if getattr(dtype, "kind", "O") not in "fiub":
                raise ValueError(
                    f"Column {name} of X holds {dtype}, not real numbers; leave it out, or have "
                    "it converted."
                )
        is_named = all(isinstance(name, str) for name in kinds)
        self.feature_names: list[str] | None = list(kinds) if is_named else None
        dtypes = [getattr(dtype, "numpy_dtype", dtype) for dtype in kinds.values()]
        self.kind = Kind(_float_type(dtypes), len(kinds))

    def of_features(self, names: list[str]) -> DaskFrame:
        """Return the columns of these names."""
        absent = [name for name in names if name not in self.X.columns]
        if absent:
            raise ValueError(
                f"X has no column {', '.join(absent)}, which the mixture was fitted on; pass the "
                "same columns as to fit."
            )
        return DaskFrame(self.X[names], self.whole)

    def source(self, sample_weight: Any, n_jobs: int | None = None) -> DaskSource:
        """Return a source with the partitions of the data frame; a name is that of a column."""
        if isinstance(sample_weight, str):
            if sample_weight not in self.whole.columns:
                raise ValueError(f"X has no column {sample_weight}, to be sample_weight; name one.")
            points = DaskFrame(self.X[[name for name in self.X.columns if name != sample_weight]])
            found = points.source(self.whole[sample_weight], n_jobs)
            found.feature_names = points.feature_names
            return found
        return _source(self.X.to_delayed(), self.kind, sample_weight, n_jobs)

    def map(self, function: Callable[[Any], np.ndarray]) -> Any:
        """Return what a function makes of the partitions, as a series or a data frame of Dask."""
        of_frame = OfFrame(_of_block(function, self.kind))
        return self.X.map_partitions(of_frame, meta=of_frame(self.X._meta))


def dask_collection(X: Any) -> DaskArray | DaskFrame | None:
    """Recognize a collection of Dask, which whoever has one has imported."""
    dask = sys.modules.get("dask")
    if dask is None or not hasattr(X, "__dask_graph__") or not dask.is_dask_collection(X):
        return None
    if _has(X, "variable", "data"):  # xarray's, around an array
        X = X.data
    if _is_array(X):
        return DaskArray(X)
    if _has(X, "map_partitions", "columns", "to_delayed"):
        return DaskFrame(X)
    raise TypeError(f"X is a {type(X).__name__} of Dask: {EXPECTED}; convert it to one.")


def _is_array(X: Any) -> bool:
    return _has(X, "map_blocks", "rechunk", "to_delayed")


def _has(X: Any, *names: str) -> bool:
    """Look at the class, as a delayed object claims to have everything."""
    return all(hasattr(type(X), name) for name in names)


def _float_type(dtypes: Sequence[Any]) -> np.dtype:
    """Return float32 if all are, as scikit-learn does, and otherwise float64."""
    is_single = all(dtype == np.float32 for dtype in dtypes)
    return np.dtype(np.float32 if is_single else np.float64)


def _of_block(function: Callable[[Any], np.ndarray], kind: Kind) -> OfBlock:
    """Ask for one row, which refuses features that are not the mixture's, and tells the type."""
    answer = function(np.zeros((1, kind.n_features), kind.dtype))
    return OfBlock(function, kind, answer[:0])


def _source(
    blocks: Sequence[Any], kind: Kind, sample_weight: Any, n_jobs: int | None
) -> DaskSource:
    from fastgmm.data.dask import DaskSource

    blocks = list(blocks)
    if sample_weight is None:
        return DaskSource(blocks, kind, None, n_jobs)
    if not hasattr(sample_weight, "to_delayed"):
        with np.errstate(over="ignore"):  # what is infinite is refused later
            weight = np.asarray(sample_weight, kind.dtype)
        return DaskSource(blocks, kind, weight, n_jobs)
    weights = list(np.ravel(sample_weight.to_delayed()))
    if len(weights) != len(blocks):
        raise ValueError(
            f"sample_weight has {len(weights)} partitions, and X has {len(blocks)}; cut it as X is "
            "cut, or pass it as an array."
        )
    return DaskSource(blocks, kind, weights, n_jobs)
