"""Weighted moments of a tile about the components' means: serial workers, one per kind of model.

Each adds the tile's share to the partial statistics of its block.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fastgmm.kernels._jit import dispatch_on_record, reduction, worker
from fastgmm.kernels._models import (
    DEPTH,
    SMALL_MODELS,
    DiagonalModel,
    FullModel,
    TiedModel,
)
from fastgmm.kernels._register_blocks import (
    HALF_VECTOR,
    QUARTER_VECTOR,
    VECTOR_BYTES,
    VECTORS,
    add_axis_moments,
    add_product,
    add_small_moments,
    pack_row,
)


@reduction
def scale_share(shares, k, scale, length):
    """Turn exponentials into responsibilities; return their sum."""
    total = shares.dtype.type(0)
    for p in range(length):
        share = shares[k, p] * scale[p]
        shares[k, p] = share
        total += share
    return np.float64(total)


@worker
def add_symmetric_product(rows, length, out):
    """Add rowsᵀ rows to the upper triangle of `out`, in blocks of four rows."""
    padded = out.shape[0]
    lanes = VECTOR_BYTES // rows.itemsize
    for i in range(0, padded, 4):
        j = i
        while j + VECTORS * lanes <= padded:
            add_product(rows, 0, i, rows, 0, j, length, out, i, j, 4, VECTORS, VECTOR_BYTES)
            j += VECTORS * lanes
        if VECTORS > 2 and j + 2 * lanes <= padded:
            add_product(rows, 0, i, rows, 0, j, length, out, i, j, 4, 2, VECTOR_BYTES)
            j += 2 * lanes
        if j + lanes <= padded:
            add_product(rows, 0, i, rows, 0, j, length, out, i, j, 4, 1, VECTOR_BYTES)
            j += lanes
        if j + lanes // 2 <= padded:
            add_product(rows, 0, i, rows, 0, j, length, out, i, j, 4, 1, HALF_VECTOR)
            j += lanes // 2
        if j < padded:
            add_product(rows, 0, i, rows, 0, j, length, out, i, j, 4, 1, QUARTER_VECTOR)


@worker
def add_root_sums(roots, rows, length, k, first):
    """first[k] += Σ √r · row: the first moment from packed rows."""
    lanes = VECTOR_BYTES // rows.itemsize
    i = 0
    while i + VECTORS * lanes <= rows.shape[1]:
        add_product(roots, 0, 0, rows, 0, i, length, first, k, i, 1, VECTORS, VECTOR_BYTES)
        i += VECTORS * lanes
    while i < rows.shape[1]:
        add_product(roots, 0, 0, rows, 0, i, length, first, k, i, 1, 1, VECTOR_BYTES)
        i += lanes


@worker
def add_packed(tile, count, k, first, second):
    """Add the moments of the first `count` packed rows."""
    add_root_sums(tile.packed_roots, tile.packed, count, k, first)
    add_symmetric_product(tile.packed, count, second)


@worker
def triangular_moments(model, tile, m, moments, shared):
    """Σ r c cᵀ = Σ (√r c)(√r c)ᵀ, over the points whose share does not vanish."""
    for k in range(model.means.shape[0]):
        total = scale_share(tile.shares, k, tile.scale, m)
        if total > 0:
            moments.counts[k] += total
            second = moments.second[0 if shared else k]
            # What is left out sums to less than the rounding error of the total.
            threshold = tile.shares.dtype.type(total / m * 1e-17)
            count = 0
            for p in range(m):
                share = tile.shares[k, p]
                if share > threshold:
                    root = np.sqrt(share)
                    pack_row(
                        tile.rows, p, model.padded_means, k, root, tile.packed, count, VECTOR_BYTES
                    )
                    tile.packed_roots[count, 0] = root
                    count += 1
                    if count == DEPTH:
                        add_packed(tile, count, k, moments.first, second)
                        count = 0
            add_packed(tile, count, k, moments.first, second)


@worker
def full_moments(model, tile, m, moments):
    """A second moment for each component."""
    triangular_moments(model, tile, m, moments, False)


@worker
def tied_moments(model, tile, m, moments):
    """One second moment for all components."""
    triangular_moments(model, tile, m, moments, True)


def _small_moments(d: int) -> Callable:
    @worker
    def small_moments(model, tile, m, moments):
        for k in range(model.means.shape[0]):
            padded = (m + 15) // 16 * 16
            moments.counts[k] += scale_share(tile.shares, k, tile.scale, padded)
            add_small_moments(
                tile.points[0], model.means, tile.shares, k, m,
                moments.first, moments.second, d, VECTOR_BYTES,
            )  # fmt: skip

    return small_moments


@worker
def diagonal_moments(model, tile, m, moments):
    """Σ r c² per feature, four at a time to share the loads of r."""
    K, d = model.means.shape
    padded = (m + 15) // 16 * 16
    for k in range(K):
        moments.counts[k] += scale_share(tile.shares, k, tile.scale, padded)
        i = 0
        while i + 4 <= d:
            add_axis_moments(
                tile.points[0], i, model.means, tile.shares, k, m,
                moments.first, moments.second, 4, VECTOR_BYTES,
            )  # fmt: skip
            i += 4
        while i < d:
            add_axis_moments(
                tile.points[0], i, model.means, tile.shares, k, m,
                moments.first, moments.second, 1, VECTOR_BYTES,
            )  # fmt: skip
            i += 1


tile_moments = dispatch_on_record(
    "tile_moments",
    {
        FullModel: full_moments,
        TiedModel: tied_moments,
        DiagonalModel: diagonal_moments,
        **{model: _small_moments(d) for d, model in SMALL_MODELS.items()},
    },
)
