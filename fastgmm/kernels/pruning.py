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
from fastgmm.kernels.codegen.vectors import LARGEST_SQUARE, LARGEST_SQUARE32
from fastgmm.kernels.density import (
    distances_to_log_density,
    log_density_of_chunks,
    panel_width,
    triangular_squares,
)
from fastgmm.kernels.jit.settings import worker
from fastgmm.kernels.jit.target import VECTOR_BYTES, VECTORS
from fastgmm.kernels.layouts import PANEL

IMPOSSIBLE = 80.0
# Columns of U that bound a log-density.
COLUMNS = 2
# Of the pairs of a sample, the part that bounds may leave possible so that they pay.
MOST_POSSIBLE = 0.5

add_squares_of_vector = triangular_squares(1)


@worker
def pruned_log_density(model, tile, m):
    """Fill the shares of a tile; the first chunk, evaluated whole, tells whether bounds pay."""
    length = tile.scratch.centred.shape[1]
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
                evaluate(model, tile, k, count, most_likely)


@worker
def bound_chunk(model, tile, k, chunk):
    """squares = part of ‖Uᵀ(x - μ)‖², from columns of the last panel of U."""
    d = model.means.shape[1]
    n_panels = (d + PANEL - 1) // PANEL
    last_panel = (k + 1) * (model.factors.shape[0] // model.means.shape[0]) - d
    bounding_squares(
        model.factors, last_panel, tile.points, chunk, model.means, k,
        d - panel_width(d, n_panels, n_panels - 1) + COLUMNS, tile.scratch.squares,
        COLUMNS, VECTORS, VECTOR_BYTES,
    )  # fmt: skip


@worker
def bound_chunks(model, tile, first, stop):
    """Fill the components of some chunks with upper bounds of their log-densities."""
    bounds, squares = tile.components, tile.scratch.squares
    for k in range(model.means.shape[0]):
        for chunk in range(first, stop):
            bound_chunk(model, tile, k, chunk)
            distances_to_log_density(
                squares, model.log_constants[k], bounds, k, chunk * squares.shape[0]
            )


@worker
def part_possible(model, tile):
    """Part of the pairs of the first chunk, already evaluated, that bounds leave possible.

    Overwrites the peak and the squares.
    """
    log_density, highest, squares = tile.components, tile.peak, tile.scratch.squares
    K, length, half = model.means.shape[0], squares.shape[0], log_density.dtype.type(0.5)
    for p in range(length):
        highest[p] = log_density[0, p]
    for k in range(1, K):
        for p in range(length):
            highest[p] = max(highest[p], log_density[k, p])
    possible = 0
    for k in range(K):
        bound_chunk(model, tile, k, 0)
        for p in range(length):
            bound = model.log_constants[k] - half * squares[p]
            possible += bound >= highest[p] - IMPOSSIBLE
    return possible / (K * length)


@worker
def note_most_likely(tile, start, m):
    """Note the component with the highest bound of each point, and that bound as its peak."""
    bounds, best, highest = tile.components, tile.scratch.most_likely, tile.peak
    for p in range(start, m):
        highest[p] = bounds[0, p]
        best[p] = 0
    for k in range(1, bounds.shape[0]):
        for p in range(start, m):
            higher = bounds[k, p] > highest[p]
            highest[p] = bounds[k, p] if higher else highest[p]
            best[p] = k if higher else best[p]


@worker
def choose_candidates(tile, start, m, k, most_likely):
    """Choose points for which component k is the most likely, or is not but still possible.

    Their indices go to the candidates. Where it is neither it gets no density.
    """
    bounds, best, candidates = tile.components, tile.scratch.most_likely, tile.scratch.candidates
    count = 0
    if most_likely:
        for p in range(start, m):
            candidates[count] = p
            count += best[p] == k
    else:
        for p in range(start, m):
            bound = bounds[k, p]
            other = best[p] != k
            possible = bound >= tile.peak[p] - IMPOSSIBLE
            bounds[k, p] = -np.inf if other and not possible else bound
            candidates[count] = p
            count += other and possible
    return count


@worker
def evaluate(model, tile, k, count, most_likely):
    """Log-density of component k at the candidates, a vector of them at a time.

    That of the most likely component becomes the peak of the point.
    """
    log_density, scratch, candidates = tile.components, tile.scratch, tile.scratch.candidates
    d, squares = scratch.centred.shape[0], scratch.squares
    lanes = VECTOR_BYTES // tile.points.itemsize
    factor = k * (model.factors.shape[0] // model.means.shape[0])
    limit = log_density.dtype.type(
        LARGEST_SQUARE if log_density.itemsize == 8 else LARGEST_SQUARE32
    )
    half = log_density.dtype.type(0.5)
    for q in range(0, count, lanes):
        for lane in range(count, q + lanes):  # fill the last vector with what is there
            candidates[lane] = candidates[q]
        for lane in range(0, lanes, SQUARE):
            for i in range(0, d, SQUARE):
                transpose_rows(scratch.rows, candidates, q + lane, i, scratch.gathered, lane)
        squares[:lanes] = 0
        add_squares_of_vector(
            model.factors, factor, scratch.gathered, 0, model.means, k, scratch.centred, squares
        )  # fmt: skip
        for lane in range(min(lanes, count - q)):
            p = candidates[q + lane]
            square = squares[lane] if squares[lane] < limit else limit
            log_density[k, p] = model.log_constants[k] - half * square
            if most_likely:
                tile.peak[p] = log_density[k, p]
