"""Arrays in ``.npy`` files, a few rows at a time, read rather than mapped.

A map of a file that somebody cuts off meanwhile ends the process; a read says so.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from fastgmm._records import FloatArray
from fastgmm.tables.columns import ALL, Choice, points_and_weight

NPY = b"\x93NUMPY"  # what such a file begins with
BYTES_AT_ONCE = 2**20


@contextmanager
def damage_in_words() -> Iterator[None]:
    """Have what numpy says of a file that it cannot read name the remedy."""
    try:
        yield
    except ValueError as error:
        if "Python objects" in str(error):
            raise ValueError(
                "the array holds Python objects, not real numbers; write array.astype(float)."
            ) from error
        raise ValueError(f"{error}; the file is cut off or damaged, write it again.") from error


class NpyTable:
    """The points of a file, and one column of weights if there is one, a few rows at a time."""

    names: list[str] | None = None
    notes: tuple[str, ...] = ()

    def __init__(self, path: str, choice: Choice = ALL, weight: str | None = None) -> None:
        with damage_in_words():
            array = np.lib.format.open_memmap(path, mode="r")
        if array.ndim != 2 or array.dtype.kind not in "fiub":
            raise ValueError(
                f"the array has the shape {array.shape} and the type {array.dtype}; real numbers "
                "are needed, one row for each point and one column for each feature."
            )
        self._path, self._offset, self._dtype = path, int(array.offset), array.dtype
        self.n_rows, self._width = array.shape
        self._by_columns = array.flags.f_contiguous and not array.flags.c_contiguous
        self._chosen, self._weight = points_and_weight(choice, weight, (), self._width)
        self.width = len(self._chosen)
        self._is_whole = self._weight is None and self._chosen == list(range(self._width))

    def __iter__(self) -> Iterator[tuple[FloatArray, FloatArray | None]]:
        """Yield points and weights from the first row on, in memory that is used again."""
        for X in self._all_columns():
            if self._is_whole:
                yield X, None
            else:
                yield X[:, self._chosen], None if self._weight is None else X[:, self._weight]

    def _all_columns(self) -> Iterator[FloatArray]:
        n, d, dtype = self.n_rows, self._width, self._dtype
        length = max(1, BYTES_AT_ONCE // (d * dtype.itemsize))
        buffer = np.empty((d, length) if self._by_columns else (length, d), dtype)
        with open(self._path, "rb", buffering=0) as file:
            for first in range(0, n, length):
                m = min(length, n - first)
                if self._by_columns:
                    for j, column in enumerate(buffer):
                        file.seek(self._offset + (j * n + first) * dtype.itemsize)
                        self._read(file, column[:m], first)
                    yield buffer.T[:m]
                else:
                    file.seek(self._offset + first * d * dtype.itemsize)
                    self._read(file, buffer[:m], first)
                    yield buffer[:m]

    def _read(self, file: io.FileIO, into: np.ndarray, first: int) -> None:
        place = memoryview(into.data).cast("B")
        while place:
            n_read = file.readinto(place)
            if not n_read:
                raise ValueError(
                    f"it ends among rows {first:,} to {first + into.shape[0] - 1:,} of "
                    f"{self.n_rows:,}; it was cut off, write it again."
                )
            place = place[n_read:]
