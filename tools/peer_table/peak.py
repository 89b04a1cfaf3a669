"""The peak of multiply-adds that this processor reaches, which efficiency is a share of."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial

import numba
import numpy as np

from fastgmm.benchmarking.timing import shortest_in_turn
from fastgmm.kernels.codegen.products import add_product
from fastgmm.kernels.jit.target import VECTOR_BYTES, VECTORS
from peer_table.libraries import limited_threads

PEAK_SECONDS = 0.5  # of trying to reach it, for each of these numbers of rows of a block
BLOCK_ROWS = (3, 4, 6)


def multiply_add_peak(dtype: str, threads: int, seconds: float | None = None) -> float:
    """Flops per second of fused multiply-adds on operands in registers and the first cache.

    Blocks of several numbers of rows have several numbers of independent sums in flight; the
    best moment of the best block is the peak. Each block is tried for so many `seconds`.
    """
    seconds = PEAK_SECONDS if seconds is None else seconds
    length, repeats = 64, 2_000  # half a millisecond, to find a moment without others
    columns = VECTORS * VECTOR_BYTES // np.dtype(dtype).itemsize
    best = 0.0
    with limited_threads(threads, []):
        numba.set_num_threads(threads)
        for rows in BLOCK_ROWS:
            multiply = multiplier(rows)
            left, right = np.ones((length, rows), dtype), np.ones((length, columns), dtype)
            out = np.zeros((threads, rows, columns), dtype)
            multiply(left, right, out, 1)
            call = partial(multiply, left, right, out, repeats)
            best = max(best, 2 * out.size * length * repeats / shortest_in_turn([call], seconds)[0])
    return best


@cache
def multiplier(rows: int) -> Callable[..., None]:
    """Compile the product of two small matrices, over and over, by blocks of so many rows."""

    @numba.njit(parallel=True)
    def multiply(left, right, out, repeats):
        for thread in numba.prange(len(out)):
            for _ in range(repeats):
                add_product(left, 0, 0, right, 0, 0, len(left), out[thread], 0, 0,
                            rows, VECTORS, VECTOR_BYTES, 0)  # fmt: skip

    return multiply
