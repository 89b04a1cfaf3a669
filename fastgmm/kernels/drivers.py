"""Blocks of tiles: the worker that runs through one, and the `prange` drivers over all.

A block is a run of tiles with its own partial result. The number of blocks depends on the shape
of the problem alone, and partial results are added in block order, so that results do not depend
on the number of threads.
"""

from __future__ import annotations

import numpy as np
from numba import prange

from fastgmm.kernels.codegen.tiles import SQUARE, transpose_square
from fastgmm.kernels.codegen.vectors import FARTHEST, FARTHEST32
from fastgmm.kernels.density import tile_distances, tile_log_density
from fastgmm.kernels.jit.settings import block, driver, take_number, worker
from fastgmm.kernels.layouts import APART, Moments, Tile
from fastgmm.kernels.moments import tile_moments
from fastgmm.kernels.normalization import complete_log_density, normalize_tile, scale_tile


@worker
def transpose_chunk(source, base, count, chunk, points):
    """points[chunk, i, p] = flat[base + p · row stride + i · column stride], p < count."""
    d = points.shape[1]
    if source.row_stride == 1:
        for i in range(d):
            column = base + i * source.column_stride
            for p in range(count):
                points[chunk, i, p] = source.flat[column + p]
        return
    squares = d // SQUARE * SQUARE if source.column_stride == 1 else 0
    p = 0
    while squares > 0 and p + SQUARE <= count:
        row = base + p * source.row_stride
        for i in range(0, squares, SQUARE):
            transpose_square(source.flat, row + i, source.row_stride, points, chunk, i, p)
        p += SQUARE
    for i in range(d):  # what is left of the squares, and beyond them
        column = base + i * source.column_stride
        for q in range(p if i < squares else 0, count):
            points[chunk, i, q] = source.flat[column + q * source.row_stride]


@worker
def load_tile(source, start, m, tile):
    """Copy rows start … start + m of the data into the tile; return m rounded up to vectors."""
    chunks, d, pitch = tile.points.shape
    padded = (m + 15) // 16 * 16
    for chunk in range(chunks):
        first = chunk * pitch
        count = max(0, min(pitch, m - first))
        base = source.start + (start + first) * source.row_stride
        transpose_chunk(source, base, count, chunk, tile.points)
        for i in range(d):
            for p in range(count, min(pitch, max(0, padded - first))):
                tile.points[chunk, i, p] = 0
    if tile.rows.size > 0:
        for p in range(m):
            row = source.start + (start + p) * source.row_stride
            if source.column_stride == 1:
                for i in range(d):
                    tile.rows[p, i] = source.flat[row + i]
            else:
                for i in range(d):
                    tile.rows[p, i] = source.flat[row + i * source.column_stride]
    return padded


@worker
def tile_of_thread(tiles, thread):
    """One thread's workspace."""
    return tile_in_span(tiles, thread, tiles.rows[APART * thread], tiles.shares[APART * thread])


@worker
def tile_in_span(tiles, thread, rows, shares):
    """One thread's workspace, with rows and shares that it does not own."""
    slot = APART * thread
    return Tile(
        tiles.points[slot],
        rows,
        shares,
        tiles.log_density[slot],
        tiles.scale[slot],
        tiles.centred[slot],
        tiles.squares[slot],
        tiles.distances[slot],
        tiles.gathered[slot],
        tiles.candidates[slot],
        tiles.whitened[slot],
        tiles.packed[slot],
        tiles.packed_roots[slot],
        tiles.places[slot],
        tiles.chosen_shares[slot],
        tiles.n_chosen[slot],
        tiles.point_shares[slot],
        tiles.expected[slot],
        tiles.nearest[slot],
    )


@worker
def moments_of_block(moments, block):
    """One block's partial statistics."""
    return Moments(
        moments.log_likelihood[block],
        moments.counts[block],
        moments.first[block],
        moments.second[block],
        moments.pairs[block],
    )


@worker
def tiles_of_block(index, n_blocks, n, length):
    """First tile of a block, and the first beyond it."""
    n_tiles = (n + length - 1) // length
    return index * n_tiles // n_blocks, (index + 1) * n_tiles // n_blocks


@block
def expectation_of_block(
    index, thread, n_blocks, source, given, n, length, sample_weight, model, tiles, partial
):
    """Accumulate the moments of a block, with `given` responsibilities if there are any.

    Where there is no room for moments it accumulates the log-likelihood alone.
    """
    tile, moments = tile_of_thread(tiles, thread), moments_of_block(partial, index)
    first, stop = tiles_of_block(index, n_blocks, n, length)
    for number in range(first, stop):
        start = number * length
        m = min(length, n - start)
        padded = load_tile(source, start, m, tile)
        if given.flat.size > 0:
            tile_distances(model, tile, m)
            load_shares(given, start, m, padded, tile)
        else:
            tile_log_density(model, tile, m)
            normalize_tile(tile, m)
            moments.log_likelihood[0] += scale_tile(tile, sample_weight, start, m, padded)
        if moments.counts.size > 0:
            tile_moments(model, tile, m, moments)


@driver(of=expectation_of_block)
def expectation_blocks(
    n_threads, next_block, n_blocks, source, given, n, length, sample_weight, model, tiles, partial
):
    """Fill `partial`, a block each."""
    for thread in prange(n_threads):
        index = take_number(next_block)
        while index < n_blocks:
            expectation_of_block(
                index, np.int64(thread), n_blocks,  # numba's index is unsigned (#10641)
                source, given, n, length, sample_weight, model, tiles, partial,
            )  # fmt: skip
            index = take_number(next_block)


@worker
def load_shares(given, start, m, padded, tile):
    """Copy given responsibilities into the tile, zero for its padding."""
    for k in range(tile.shares.shape[0]):
        base = given.start + start * given.row_stride + k * given.column_stride
        for p in range(m):
            tile.shares[k, p] = given.flat[base + p * given.row_stride]
        for p in range(m, padded):
            tile.shares[k, p] = 0
    for p in range(padded):
        tile.scale[p] = 1


@worker
def assign_tile(tile, m, labels, start):
    """Index of the largest log-density of each point, the first among equals; ~0 if it is far."""
    for p in range(m):
        labels[start + p] = 0
        tile.log_density[p] = tile.shares[0, p]
    for k in range(1, tile.shares.shape[0]):
        for p in range(m):
            if tile.shares[k, p] > tile.log_density[p]:
                tile.log_density[p] = tile.shares[k, p]
                labels[start + p] = k
    limit = -0.5 * (FARTHEST if tile.shares.itemsize == 8 else FARTHEST32)
    for p in range(m):
        if tile.log_density[p] <= limit:
            labels[start + p] = ~0


@block
def prediction_of_block(
    index, thread, n_blocks, source, n, length, model, tiles, components, density, posterior, labels
):
    """Fill whichever outputs have rows, for the points of a block."""
    tile = tile_of_thread(tiles, thread)
    first, stop = tiles_of_block(index, n_blocks, n, length)
    for number in range(first, stop):
        start = number * length
        m = min(length, n - start)
        load_tile(source, start, m, tile)
        tile_log_density(model, tile, m)
        if components.shape[0] > 0:
            for p in range(m):
                for k in range(components.shape[1]):
                    components[start + p, k] = tile.shares[k, p]
        if labels.shape[0] > 0:
            assign_tile(tile, m, labels, start)
        if density.shape[0] > 0:
            normalize_tile(tile, m)
            for p in range(min(m, posterior.shape[0])):
                scale = 1 / tile.scale[p]
                for k in range(posterior.shape[1]):
                    posterior[start + p, k] = tile.shares[k, p] * scale
            complete_log_density(tile, m)
            for p in range(m):
                density[start + p] = tile.log_density[p]


@driver(of=prediction_of_block)
def prediction_blocks(
    n_threads,
    next_block,
    n_blocks,
    source,
    n,
    length,
    model,
    tiles,
    components,
    density,
    posterior,
    labels,
):
    """Fill whichever outputs have rows."""
    for thread in prange(n_threads):
        index = take_number(next_block)
        while index < n_blocks:
            prediction_of_block(
                index, np.int64(thread), n_blocks,  # numba's index is unsigned (#10641)
                source, n, length, model, tiles, components, density, posterior, labels,
            )  # fmt: skip
            index = take_number(next_block)
