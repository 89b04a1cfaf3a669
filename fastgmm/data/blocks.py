"""Points that come in blocks: whoever has the data cuts them as he likes, in every pass alike."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Protocol

import numpy as np

from fastgmm._records import FloatArray

# Bytes that are read at a time from what slices by rows.
SLICE_BYTES = 2**22


class Blocks(Protocol):
    """Blocks of rows that can be gone through again and again.

    A block is an array (m, d), or a pair of one and its weights (m,). All have the same number of
    features and the same type; a block may be empty.
    """

    def __iter__(self) -> Iterator[Any]:
        """Begin anew, and return an iterator of the blocks."""

    def place(self, row: int) -> str:
        """Return where a row is, counted from 0, as a message to the user has it."""


class RepeatedBlocks:
    """The blocks that a function returns, which is called for each pass."""

    def __init__(self, again: Callable[[], Iterable[Any]]) -> None:
        self._again = again

    def __iter__(self) -> Iterator[Any]:
        """Begin anew."""
        return iter(self._again())

    def place(self, row: int) -> str:
        """Return the block of a row."""
        return place_in_blocks(self, row)


class SlicedBlocks:
    """The rows of something that slices by rows, such as a data set in a file, a few at a time."""

    def __init__(self, rows: Any) -> None:
        self._rows = rows

    def __iter__(self) -> Iterator[Any]:
        """Begin anew; whole chunks are read where they are stored in such."""
        n, d = self._rows.shape
        length = max(1, SLICE_BYTES // (d * np.dtype(self._rows.dtype).itemsize))
        chunks = getattr(self._rows, "chunks", None)
        if chunks and isinstance(chunks[0], int):
            length = max(1, length // chunks[0]) * chunks[0]
        for start in range(0, n, length):
            yield np.asarray(self._rows[start : start + length])

    def place(self, row: int) -> str:
        """Return the number of a row."""
        return f"row {row:,} (counted from 0)"


class WeightedBlocks:
    """Blocks with weights from an array (n,)."""

    def __init__(self, blocks: Blocks, weight: FloatArray) -> None:
        self._blocks, self._weight = blocks, weight

    def __iter__(self) -> Iterator[Any]:
        """Begin anew."""
        n, first = len(self._weight), 0
        for number, block in enumerate(self._blocks):
            X, weight = checked_block(block, number)
            if weight is not None:
                raise ValueError("The blocks of X have weights already; leave out sample_weight.")
            if first + len(X) > n:
                raise ValueError(f"X has more rows than sample_weight, {n:,}; give one for each.")
            yield X, self._weight[first : first + len(X)]
            first += len(X)
            del block, X  # before the next one is there
        if first < n:
            raise ValueError(f"X has {first:,} rows, and sample_weight {n:,}; give one for each.")

    def place(self, row: int) -> str:
        """Return where the blocks have it."""
        return self._blocks.place(row)


def place_in_blocks(blocks: Iterable[Any], row: int) -> str:
    """Return the block of a row and its number in there, by going through the blocks again."""
    left = row
    for number, block in enumerate(blocks):
        n_rows = len(checked_block(block, number)[0])
        if left < n_rows:
            return f"row {left} of block {number} (counted from 0)"
        left -= n_rows
    return f"row {row} (counted from 0)"


def checked_block(block: Any, number: int) -> tuple[FloatArray, FloatArray | None]:
    """Return the points of a block, and its weights if it has some, as arrays of floats."""
    is_pair = isinstance(block, tuple) and len(block) == 2
    points, weights = block if is_pair else (block, None)
    if np.ma.is_masked(points):
        raise ValueError(f"Block {number} has masked values; leave such rows out, or fill them.")
    X = _floats(points, f"Block {number}")
    if X.ndim != 2 and X.size:
        raise ValueError(
            f"Block {number} has {X.ndim} dimension{'s' * (X.ndim != 1)}, and should have two: one "
            "row for each sample and one column for each feature."
        )
    if weights is None:
        return X, None
    with np.errstate(over="ignore"):  # what is infinite is refused later
        weight = _floats(weights, f"The weight of block {number}").astype(X.dtype, copy=False)
    if weight.shape != (len(X),):
        raise ValueError(
            f"Block {number} has {len(X)} rows and weights of the shape {weight.shape}; give one "
            "weight for each row."
        )
    return X, weight


def _floats(values: Any, name: str) -> FloatArray:
    """Return float32 and float64 as they are, and other numbers as float64."""
    array = np.asarray(values)
    if array.dtype in (np.float32, np.float64) and array.dtype.isnative:
        return array
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name} holds {array.dtype}, not real numbers; give numbers alone.")
    return array.astype(np.float64)
