"""Moments of a tile for components with a covariance each: serial workers."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from fastgmm.kernels.codegen.products import add_product, pack_columns, square_block
from fastgmm.kernels.codegen.rearrangement import choose_counting, gather_points
from fastgmm.kernels.codegen.triangles import add_small_moments
from fastgmm.kernels.jit.settings import worker
from fastgmm.kernels.jit.target import VECTOR_BYTES, VECTORS
from fastgmm.kernels.layouts import BLOCK_ROWS
from fastgmm.kernels.shares import choose_points, scale_and_count, scale_share, vanishing_part
from fastgmm.kernels.workspace import FEWEST_GATHERED


def _row_piece(vectors: int, halves: int) -> Callable:
    return square_block(BLOCK_ROWS, vectors, VECTOR_BYTES, halves)


NONE, FIRST, LAST = 0, 1, 2
_whole, _whole_1, _whole_2, _whole_3 = (_row_piece(n, NONE) for n in (VECTORS, 1, 2, 3))
_half_0, _half_1, _half_2, _half_3 = (_row_piece(n, FIRST) for n in (0, 1, 2, 3))
_1_half, _2_half, _3_half = (_row_piece(n, LAST) for n in (1, 2, 3))


@worker
def add_symmetric_product(rows, length, out, first, stop):
    """Add rowsᵀ rows to rows first … stop of the upper triangle of `out`, four rows at a time.

    They begin with half a vector where that ends on a whole one, and may end with another half.
    What falls below the diagonal or beyond the last column is never read.
    """
    padded = out.shape[0]
    half = VECTOR_BYTES // rows.itemsize // 2
    for i in range(first, stop, BLOCK_ROWS):
        j = i // half * half
        n_halves = (padded - j + half - 1) // half
        if j // half % 2 == 1:
            n_vectors = min(VECTORS - 1, (n_halves - 1) // 2)
            if n_vectors == 3:
                _half_3(rows, i, j, length, out)
            elif n_vectors == 2:
                _half_2(rows, i, j, length, out)
            elif n_vectors == 1:
                _half_1(rows, i, j, length, out)
            else:
                _half_0(rows, i, j, length, out)
            j += (2 * n_vectors + 1) * half
            n_halves -= 2 * n_vectors + 1
        while n_halves >= 2 * VECTORS:
            _whole(rows, i, j, length, out)
            j += 2 * VECTORS * half
            n_halves -= 2 * VECTORS
        if n_halves == 7:
            _3_half(rows, i, j, length, out)
        elif n_halves == 6:
            _whole_3(rows, i, j, length, out)
        elif n_halves == 5:
            _2_half(rows, i, j, length, out)
        elif n_halves == 4:
            _whole_2(rows, i, j, length, out)
        elif n_halves == 3:
            _1_half(rows, i, j, length, out)
        elif n_halves == 2:
            _whole_1(rows, i, j, length, out)
        elif n_halves == 1:
            _half_0(rows, i, j, length, out)


@worker
def add_root_sums(roots, rows, length, k, first):
    """Add Σ √r · row to first[k], from roots (depth, 1) and packed rows (depth, pitch)."""
    lanes = VECTOR_BYTES // rows.itemsize
    i = 0
    while i + VECTORS * lanes <= first.shape[1]:
        add_product(roots, 0, 0, rows, 0, i, length, first, k, i, 1, VECTORS, VECTOR_BYTES, 0)
        i += VECTORS * lanes
    while i + 2 * lanes <= first.shape[1]:
        add_product(roots, 0, 0, rows, 0, i, length, first, k, i, 1, 2, VECTOR_BYTES, 0)
        i += 2 * lanes
    if i < first.shape[1]:
        add_product(roots, 0, 0, rows, 0, i, length, first, k, i, 1, 1, VECTOR_BYTES, 0)


@worker
def pack_rows(rows, indices, means, k, roots, count, packed):
    """Fill the first `count` packed rows: √r c of the points in `indices`."""
    lanes = VECTOR_BYTES // packed.itemsize
    j = 0
    while j + VECTORS * lanes <= means.shape[1]:
        pack_columns(rows, indices, means, k, roots, count, packed, j, VECTORS, VECTOR_BYTES)
        j += VECTORS * lanes
    while j < means.shape[1]:
        pack_columns(rows, indices, means, k, roots, count, packed, j, 1, VECTOR_BYTES)
        j += lanes


# Wide: the caller takes arrays out of their records, once for a tile.
@worker
def add_chosen(means, rows, packed, roots, chosen, shares, count, k, moments, second, parts):
    """Add the moments of the first `count` points chosen for component k.

    Second ones in rows parts[1] … parts[2] alone, and first ones if parts[0]. The packed points
    (depth, pitch) and their roots are overwritten.
    """
    for q in range(count):
        roots[q, 0] = np.sqrt(shares[q])
    pack_rows(rows, chosen, means, k, roots, count, packed)
    if parts[0]:
        add_root_sums(roots, packed, count, k, moments.first)
    add_symmetric_product(packed, count, second, parts[1], parts[2])


@worker
def full_moments(model, tile, m, moments):
    """Σ r c cᵀ = Σ (√r c)(√r c)ᵀ, over the points whose share does not vanish."""
    shares, rows, means = tile.components, tile.scratch.rows, model.padded_means
    packed, roots = tile.scratch.packed, tile.scratch.packed_roots
    chosen, chosen_shares = tile.scratch.chosen[0], tile.scratch.chosen_shares[0]
    vanishing, parts = vanishing_part(model, tile, m), (True, 0, moments.second.shape[1])
    for k in range(model.means.shape[0]):
        second = moments.second[k]
        total = scale_share(shares, k, tile.scale, m)
        moments.counts[k] += total
        next_point, count = 0 if total > 0 else m, 0
        while next_point < m:
            least = total / m * vanishing
            next_point, count = choose_points(
                shares, chosen, chosen_shares, count, next_point, m, 0, k, least
            )
            add_chosen(
                means, rows, packed, roots, chosen, chosen_shares, count, k, moments, second, parts
            )
            count = 0


@lru_cache
def small_moments_of(d: int) -> Callable:
    """Worker for d features."""

    @worker
    def moments_of_all(model, tile, m, moments):
        for k in range(model.means.shape[0]):
            add_small_moments(
                tile.points[0], model.means, tile.components, k, tile.scale, k, m,
                moments.counts, moments.first, moments.second, d, 0, VECTOR_BYTES,
            )  # fmt: skip

    @worker
    def moments_of_chosen(model, tile, m, moments):
        """Those points alone whose share does not vanish, where they are less than half."""
        chosen, gathered = tile.scratch.chosen[0], tile.scratch.gathered[0]
        padded, vanishing = (m + 15) // 16 * 16, vanishing_part(model, tile, m)
        for k in range(model.means.shape[0]):
            points, shares, row, length = tile.points[0], tile.components, k, m
            total, count = scale_and_count(shares, k, tile.scale, padded)
            moments.counts[k] += total
            if count <= m // 2:
                least = shares.dtype.type(total / m * vanishing)
                count = choose_counting(shares, k, m, least, chosen, VECTOR_BYTES)
            if count <= m // 2:
                gather_points(
                    points, chosen, count, shares, k, model.means, gathered,
                    tile.scratch.chosen_shares, VECTOR_BYTES,
                )  # fmt: skip
                points, shares, row, length = gathered, tile.scratch.chosen_shares, 0, count
            add_small_moments(
                points, model.means, shares, row, tile.scale, k, length,
                moments.counts, moments.first, moments.second, d, 1, VECTOR_BYTES,
            )  # fmt: skip

    return moments_of_all if d < FEWEST_GATHERED else moments_of_chosen
