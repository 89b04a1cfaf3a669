"""Tiles of points: loading them, and their most probable components; serial workers.

Arguments that are written come last, but for `tile`, of which each worker says what it fills.
"""

from __future__ import annotations

import numpy as np

from fastgmm.kernels.codegen.tiles import SQUARE, copy_run, gather_columns, transpose_square
from fastgmm.kernels.codegen.vectors import LARGEST_SQUARE, LARGEST_SQUARE32
from fastgmm.kernels.jit.settings import dispatch_on_record, element, worker
from fastgmm.kernels.workspace import (
    THREAD_STRIDE,
    DiagonalScratch,
    FullScratch,
    LargeScratch,
    NoScratch,
    SmallFullScratch,
    SphericalScratch,
    TiedScratch,
    Tile,
)


@worker
def tile_in_span(tiles, thread, rows, components):
    """One thread's workspace, with rows and components that a span has."""
    tile = element(tiles, THREAD_STRIDE * thread)
    own = tile.scratch
    scratch = LargeScratch(
        rows, own.centred, own.squares, own.packed, own.packed_roots, own.chosen,
        own.chosen_shares, own.n_chosen, own.gathered, own.candidates, own.most_likely,
    )  # fmt: skip
    return Tile(tile.points, components, tile.peak, tile.total, tile.scale, scratch)


@worker
def tile_of_thread(tiles, thread):
    """One thread's workspace."""
    return element(tiles, THREAD_STRIDE * thread)


@worker
def tiles_of_block(index, n_blocks, n, length):
    """First tile of a block, and the first beyond it."""
    n_tiles = (n + length - 1) // length
    return index * n_tiles // n_blocks, (index + 1) * n_tiles // n_blocks


# --- points, and what is given of them
@worker
def transpose_chunk(source, base, count, chunk, points):
    """Write points[chunk, i, p] = flat[base + p · row stride + i · column stride], p < count.

    Where features are not a multiple of a square's, the last square covers some of them again.
    """
    d = points.shape[1]
    if source.row_stride == 1:
        for i in range(d):
            column = np.uint64(base + i * source.column_stride)
            for p in range(np.uint64(count)):  # not negative, so vectorized
                points[chunk, i, p] = source.flat[column + p]
        return
    p = 0
    while p + SQUARE <= count:
        row = base + p * source.row_stride
        if source.column_stride == 1 and d >= SQUARE:
            for square in range(0, d, SQUARE):
                i = min(square, d - SQUARE)
                transpose_square(source.flat, row + i, source.row_stride, points, chunk, i, p)
        else:
            gather_columns(
                source.flat, row, source.row_stride, source.column_stride, points, chunk, p
            )
        p += SQUARE
    for i in range(d):  # what is left of the squares
        column = base + i * source.column_stride
        for q in range(p, count):
            points[chunk, i, q] = source.flat[column + q * source.row_stride]


@worker
def load_tile(source, start, m, tile, for_moments):
    """Copy rows start … start + m of the data into the tile; return m rounded up to vectors.

    Those who want them `for_moments` alone do without the points by features if there are rows.
    """
    chunks, d, pitch = tile.points.shape
    padded = (m + 15) // 16 * 16
    if copy_rows(tile.scratch, source, start, m, d) and for_moments:
        return padded
    for chunk in range(chunks):
        first = chunk * pitch
        count = max(0, min(pitch, m - first))
        base = source.start + (start + first) * source.row_stride
        transpose_chunk(source, base, count, chunk, tile.points)
        for i in range(d):
            for p in range(count, min(pitch, max(0, padded - first))):
                tile.points[chunk, i, p] = 0
    return padded


@worker
def no_rows(scratch, source, start, m, d):
    """Models without rows have the points by features alone."""
    return False


@worker
def point_rows(scratch, source, start, m, d):
    """Copy m points as rows: written are scratch.rows (P, row pitch), up to column d."""
    rows = scratch.rows
    for p in range(m):
        row = source.start + (start + p) * source.row_stride
        if source.column_stride == 1 and d >= SQUARE:
            for run in range(0, d, SQUARE):  # the last one covers some features again
                i = min(run, d - SQUARE)
                copy_run(source.flat, row + i, rows, p, i)
        else:
            for i in range(d):
                rows[p, i] = source.flat[row + i * source.column_stride]
    return True


@worker
def rows_beside(scratch, source, start, m, d):
    """Copy points as rows, if there are rows, for those who want them by features in any case."""
    rows = scratch.rows
    for p in range(min(m, rows.shape[0])):
        row = source.start + (start + p) * source.row_stride
        for i in range(d):
            rows[p, i] = source.flat[row + i * source.column_stride]
    return False


copy_rows = dispatch_on_record(
    "copy_rows",
    {
        NoScratch: no_rows,
        DiagonalScratch: rows_beside,
        SphericalScratch: rows_beside,
        SmallFullScratch: no_rows,
        FullScratch: point_rows,
        LargeScratch: point_rows,
        TiedScratch: point_rows,
    },
)


@worker
def load_responsibilities(given, start, m, padded, tile):
    """Copy given responsibilities into the tile, zero for its padding; all of them count."""
    for k in range(tile.components.shape[0]):
        base = given.start + start * given.row_stride + k * given.column_stride
        for p in range(m):
            tile.components[k, p] = given.flat[base + p * given.row_stride]
        for p in range(m, padded):
            tile.components[k, p] = 0
    for p in range(padded):
        tile.scale[p] = 1
        tile.peak[p] = -np.inf


@worker
def assign_tile(tile, m, labels, start):
    """Index of the largest log-density of each point, the first of equals; ~0 if it is far."""
    log_density, highest = tile.components, tile.peak
    for p in range(m):
        labels[start + p] = 0
        highest[p] = log_density[0, p]
    for k in range(1, log_density.shape[0]):
        for p in range(m):
            if log_density[k, p] > highest[p]:
                highest[p] = log_density[k, p]
                labels[start + p] = k
    limit = -0.5 * (LARGEST_SQUARE if log_density.itemsize == 8 else LARGEST_SQUARE32)
    for p in range(m):
        if highest[p] <= limit:
            labels[start + p] = ~0
