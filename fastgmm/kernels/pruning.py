"""Log-densities of those components alone that may count for a point.

With many components in many features nearly all of them are impossible for a point, and two
columns of the triangular product show it: a partial sum of squares bounds the log-density from
above. Late columns tell most, since they are what all the features before leave unexplained.
What lies `IMPOSSIBLE` below the density of a likely component is given none; its share would be
less than 1e-34.
"""

from __future__ import annotations

import numpy as np

from fastgmm.kernels.codegen.products import bounding_squares
from fastgmm.kernels.codegen.tiles import SQUARE, transpose_rows
from fastgmm.kernels.codegen.vectors import FARTHEST, FARTHEST32
from fastgmm.kernels.density import (
    distances_to_log_density,
    log_density_of_chunks,
    panel_width,
    triangular_squares,
)
from fastgmm.kernels.jit.settings import part, worker
from fastgmm.kernels.jit.target import VECTOR_BYTES, VECTORS
from fastgmm.kernels.layouts import PANEL

IMPOSSIBLE = 80.0
# Columns of U that bound a log-density.
COLUMNS = 2
# Of the pairs of a sample, the part that bounds may leave possible so that they pay.
MOST_POSSIBLE = 0.5

add_squares_of_vector = triangular_squares(1)


@part
def likely_log_density(model, tile, m):
    """Fill the shares of a tile; the first chunk, evaluated whole, tells whether bounds pay."""
    length = tile.centred.shape[1]
    n_chunks = (m + length - 1) // length
    first, stop, bounded = 0, 1, False
    while first < n_chunks and not bounded:  # one call: its code is large
        log_density_of_chunks(model, tile, first, stop)
        bounded = first == 0 and n_chunks > 1 and part_possible(model, tile) < MOST_POSSIBLE
        first, stop = stop, n_chunks
    if bounded:
        bound_chunks(model, tile, first, n_chunks)
        note_most_likely(tile, first * length, m)
        for most_likely in (True, False):
            for k in range(model.means.shape[0]):
                count = choose_candidates(tile, first * length, m, k, most_likely)
                complete(model, tile, k, count, most_likely)


@worker
def bound_chunk(model, tile, k, chunk):
    """squares = part of ‖Uᵀ(x - μ)‖², from columns of the last panel of U."""
    d = model.means.shape[1]
    n_panels = (d + PANEL - 1) // PANEL
    last_panel = (k + 1) * (model.factors.shape[0] // model.means.shape[0]) - d
    bounding_squares(
        model.factors, last_panel, tile.points, chunk, model.means, k,
        d - panel_width(d, n_panels, n_panels - 1) + COLUMNS, tile.squares,
        COLUMNS, VECTORS, VECTOR_BYTES,
    )  # fmt: skip


@worker
def bound_chunks(model, tile, first, stop):
    """Fill the shares of some chunks with upper bounds."""
    for k in range(model.means.shape[0]):
        for chunk in range(first, stop):
            bound_chunk(model, tile, k, chunk)
            distances_to_log_density(
                tile.squares, model.log_constants[k], tile.shares, k, chunk * tile.squares.shape[0]
            )


@worker
def part_possible(model, tile):
    """Part of the pairs of the first chunk, already evaluated, that bounds leave possible."""
    K, length = model.means.shape[0], tile.squares.shape[0]
    highest, half = tile.log_density, tile.shares.dtype.type(0.5)
    for p in range(length):
        highest[p] = tile.shares[0, p]
    for k in range(1, K):
        for p in range(length):
            highest[p] = max(highest[p], tile.shares[k, p])
    possible = 0
    for k in range(K):
        bound_chunk(model, tile, k, 0)
        for p in range(length):
            bound = model.log_constants[k] - half * tile.squares[p]
            possible += bound >= highest[p] - IMPOSSIBLE
    return possible / (K * length)


@worker
def note_most_likely(tile, start, m):
    """Note the component with the highest bound of each point."""
    best, highest = tile.nearest, tile.log_density
    for p in range(start, m):
        highest[p] = tile.shares[0, p]
        best[p] = 0
    for k in range(1, tile.shares.shape[0]):
        for p in range(start, m):
            higher = tile.shares[k, p] > highest[p]
            highest[p] = tile.shares[k, p] if higher else highest[p]
            best[p] = k if higher else best[p]


@worker
def choose_candidates(tile, start, m, k, most_likely):
    """Choose points for which component k is the most likely, or is not but still possible.

    Where it is neither it gets no density.
    """
    count = 0
    if most_likely:
        for p in range(start, m):
            tile.candidates[count] = p
            count += tile.nearest[p] == k
    else:
        for p in range(start, m):
            bound = tile.shares[k, p]
            other = tile.nearest[p] != k
            possible = bound >= tile.log_density[p] - IMPOSSIBLE
            tile.shares[k, p] = -np.inf if other and not possible else bound
            tile.candidates[count] = p
            count += other and possible
    return count


@worker
def complete(model, tile, k, count, most_likely):
    """Log-density of component k at the candidates, a vector of them at a time.

    That of the most likely component is noted as the point's.
    """
    d = tile.centred.shape[0]
    lanes = VECTOR_BYTES // tile.points.itemsize
    factor = k * (model.factors.shape[0] // model.means.shape[0])
    limit = tile.shares.dtype.type(FARTHEST if tile.shares.itemsize == 8 else FARTHEST32)
    half = tile.shares.dtype.type(0.5)
    for q in range(0, count, lanes):
        for lane in range(count, q + lanes):  # fill the last vector with what is there
            tile.candidates[lane] = tile.candidates[q]
        for lane in range(0, lanes, SQUARE):
            for i in range(0, d, SQUARE):
                transpose_rows(tile.rows, tile.candidates, q + lane, i, tile.gathered, lane)
        tile.squares[:lanes] = 0
        add_squares_of_vector(
            model.factors, factor, tile.gathered, 0, model.means, k, tile.centred, tile.squares
        )  # fmt: skip
        for lane in range(min(lanes, count - q)):
            p = tile.candidates[q + lane]
            square = tile.squares[lane] if tile.squares[lane] < limit else limit
            tile.shares[k, p] = model.log_constants[k] - half * square
            if most_likely:
                tile.log_density[p] = tile.shares[k, p]
