"""Any two-dimensional array as a flat view with strides: all run the same machine code."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastgmm._records import FloatArray


class Strided(NamedTuple):
    """Element (i, j) is flat[start + i · row_stride + j · column_stride]."""

    flat: FloatArray
    start: int
    row_stride: int
    column_stride: int


def as_strided(X: FloatArray) -> Strided:
    """Describe a two-dimensional array of any strides by one flat, writable view of its memory.

    So every input runs through the same machine code: numba would compile anew for
    Fortran-ordered, strided and read-only arrays.
    """
    n, d = X.shape
    size = X.itemsize
    if X.strides[0] % size or X.strides[1] % size or not X.flags.aligned:
        X = np.ascontiguousarray(X)
    strides = [stride // size for stride in X.strides]
    lowest = sum(min(0, (length - 1) * s) for length, s in zip(X.shape, strides, strict=True))
    highest = sum(max(0, (length - 1) * s) for length, s in zip(X.shape, strides, strict=True))
    if n == 0 or d == 0:
        return Strided(np.empty(0, X.dtype), 0, 0, 0)
    flat = np.asarray(_Memory(X, lowest * size, highest - lowest + 1))
    return Strided(flat, -lowest, strides[0], strides[1])


class _Memory:
    """The memory of an array from its lowest to its highest element, for `numpy.asarray`."""

    def __init__(self, X: FloatArray, offset: int, length: int):
        self.base = X  # keeps it alive
        self.__array_interface__: dict[str, Any] = {
            "version": 3,
            "data": (X.__array_interface__["data"][0] + offset, False),
            "typestr": X.dtype.str,
            "shape": (length,),
            "strides": None,
        }
