"""Data that are no array in memory: how they are recognized, and how methods go through them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import numpy as np

from fastgmm.data.block_source import BlockSource
from fastgmm.data.blocks import Blocks, RepeatedBlocks, SlicedBlocks, WeightedBlocks
from fastgmm.data.parts import Parts
from fastgmm.data.source import Source
from fastgmm.estimator.dask_collections import dask_collection
from fastgmm.tables.files import FileBlocks, expanded

# What a method makes of an array: one answer for each row.
OfRows = Callable[[Any], np.ndarray]


class Collection(Protocol):
    """Rows that a fit reads in passes, and that predictions go through piece by piece."""

    feature_names: list[str] | None  # of the columns, where they have names

    def of_features(self, names: list[str]) -> Collection:
        """Return the columns of these names, or itself if columns have none."""

    def source(self, sample_weight: Any, n_jobs: int | None = None) -> Source:
        """Return the source of a fit or a score, with weights as the user gives them.

        `n_jobs` says on how many threads passes run where these are of other processes.
        """

    def map(self, function: OfRows) -> Any:
        """Return what a function of arrays makes of all rows, as an array or a collection."""


class BlockCollection:
    """Blocks of any kind; predictions are one array, made part by part."""

    feature_names: list[str] | None = None

    def __init__(self, blocks: Blocks) -> None:
        self.blocks = blocks

    def of_features(self, names: list[str]) -> BlockCollection:
        """Blocks are arrays, which have no names."""
        return self

    def source(self, sample_weight: Any, n_jobs: int | None = None) -> BlockSource:
        """Return a source that reads the blocks in each pass."""
        if sample_weight is None:
            return BlockSource(self.blocks)
        weight = np.asarray(sample_weight)
        if weight.ndim != 1 or weight.dtype.kind not in "fiub":
            raise ValueError(
                f"sample_weight has the shape {weight.shape} and the type {weight.dtype}; give an "
                "array with a weight for each row, or blocks that are pairs of rows and weights."
            )
        return BlockSource(WeightedBlocks(self.blocks, weight))

    def outputs(self, function: OfRows) -> Iterator[np.ndarray]:
        """Yield what a function makes of the rows, part by part."""
        for part in Parts(self.blocks):
            yield function(part.X)

    def map(self, function: OfRows) -> np.ndarray:
        """Return what a function makes of all rows."""
        return joined(list(self.outputs(function)))


class FileCollection(BlockCollection):
    """Files of rows, whose columns may have names."""

    def __init__(self, blocks: FileBlocks) -> None:
        super().__init__(blocks)
        self.files, self.feature_names = blocks, blocks.feature_names

    def of_features(self, names: list[str]) -> FileCollection:
        """Return the columns of these names, or itself if columns have none."""
        return FileCollection(self.files.of_features(names))

    def source(self, sample_weight: Any, n_jobs: int | None = None) -> BlockSource:
        """Return a source that reads the files in each pass; a name is that of a column."""
        if isinstance(sample_weight, str):
            files = self.files.changed(weight=sample_weight)
            found = BlockSource(files)
            found.feature_names = files.feature_names
            return found
        return super().source(sample_weight)


def rows_in_files(X: Any) -> FileCollection | None:
    """Recognize paths of files, lists of them, and files that somebody has opened as blocks."""
    if isinstance(X, FileBlocks):
        return FileCollection(X)
    paths = [X] if isinstance(X, str | os.PathLike) else X
    if not isinstance(paths, list | tuple) or not paths:
        return None
    if not all(isinstance(path, str | os.PathLike) for path in paths):
        return None
    return FileCollection(FileBlocks([file for path in paths for file in expanded(path)]))


def rows_in_blocks(X: Any) -> BlockCollection | None:
    """Recognize what slices by rows, and functions and sequences of blocks."""
    if hasattr(X, "shape"):
        return BlockCollection(SlicedBlocks(X)) if slices_by_rows(X) else None
    if isinstance(X, Iterator):
        raise TypeError(
            f"X is an iterator ({type(X).__name__}), which can be gone through once, and a fit "
            "reads the data in every iteration; pass the function that makes it, or a list of "
            "blocks."
        )
    if callable(X) and not hasattr(X, "__array__"):
        return BlockCollection(RepeatedBlocks(X))
    return BlockCollection(RepeatedBlocks(lambda: X)) if has_blocks(X) else None


def slices_by_rows(X: Any) -> bool:
    """Whether these are rows of numbers that are somewhere else, as a data set of HDF5 or zarr is.

    What is in memory, and tells numpy where, becomes an array; so do data frames, of many types.
    """
    if hasattr(X, "__array_interface__") or hasattr(X, "__array_namespace__"):
        return False
    if getattr(getattr(X, "variable", None), "_in_memory", False):  # xarray's, that is loaded
        return False
    dtype, shape = getattr(X, "dtype", None), X.shape
    is_table = isinstance(dtype, np.dtype) and dtype.kind in "fiub" and len(shape) == 2
    # A sparse matrix, which has `nnz`, is refused elsewhere.
    return is_table and hasattr(X, "__getitem__") and not hasattr(X, "nnz") and shape[1] > 0


def has_blocks(X: Any) -> bool:
    """Whether this is a sequence of blocks, or something that gives blocks again and again."""
    if isinstance(X, list | tuple):
        return len(X) > 0 and is_block(X[0])
    is_known = hasattr(X, "__array__") or hasattr(X, "__dataframe__") or hasattr(X, "__getitem__")
    is_known = is_known or isinstance(X, str | bytes | set | frozenset)
    return isinstance(X, Iterable) and not is_known


def is_block(item: Any) -> bool:
    """Whether this is a table, or a pair of one and its weights."""
    rows = item[0] if isinstance(item, tuple) and len(item) == 2 else item
    return len(getattr(rows, "shape", ())) == 2


def joined(parts: list[np.ndarray]) -> np.ndarray:
    """Return the parts in one array; they are taken off the list, and never there twice."""
    whole = np.empty((sum(map(len, parts)), *parts[0].shape[1:]), parts[0].dtype)
    end = len(whole)
    while parts:
        part = parts.pop()
        whole[end - len(part) : end] = part
        end -= len(part)
    return whole


# Each returns a collection, or None if that is nothing that it knows; the first to know has it.
RECOGNIZERS: tuple[Callable[[Any], Collection | None], ...] = (
    dask_collection,
    rows_in_files,
    rows_in_blocks,
)


def recognized(X: Any) -> Collection | None:
    """Return the collection that this is, or None if it is to become an array."""
    if isinstance(X, np.ndarray):
        return None
    return next((found for know in RECOGNIZERS if (found := know(X)) is not None), None)
