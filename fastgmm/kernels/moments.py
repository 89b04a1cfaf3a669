"""Weighted moments of a tile about the components' means: serial workers, one per kind of model.

Each adds the tile's share to the partial statistics of its block.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from fastgmm.kernels.codegen.diagonals import add_moments_of_diagonals
from fastgmm.kernels.codegen.products import add_product, pack_columns, square_block
from fastgmm.kernels.codegen.rearrangement import choose_counting, gather_points
from fastgmm.kernels.codegen.triangles import add_small_moments
from fastgmm.kernels.jit.settings import dispatch_on_record, worker
from fastgmm.kernels.jit.target import VECTOR_BYTES, VECTORS
from fastgmm.kernels.layouts import (
    BLOCK_ROWS,
    DiagonalModel,
    FullModel,
    SmallFullModel,
    SphericalModel,
    TiedModel,
)
from fastgmm.kernels.shares import (
    choose_points,
    scale_and_count,
    scale_and_weigh,
    scale_share,
    vanishing_part,
)
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


@worker
def tied_moments(model, tile, m, moments):
    """Moments of all components together, at the price of d and K operations a pair.

    With responsibilities R of weight w = Σₖ Rₖ, and the mean of the means μ̄ = Σₖ Rₖ μₖ / w,

    Σₖ Rₖ (x - μₖ)(x - μₖ)ᵀ
        = w (x - μ̄)(x - μ̄)ᵀ + Σ Rⱼ Rₖ / w (μⱼ - μₖ)(μⱼ - μₖ)ᵀ over j < k

    (the parallel axis theorem, and the variance of a pair). Of many components, the
    sum over pairs is that from the component a with the largest share of x,

        - w (μₐ - μ̄)(μₐ - μ̄)ᵀ + Σₖ Rₖ (μₐ - μₖ)(μₐ - μₖ)ᵀ.

    Between components far apart both terms vanish with the shares, and between near ones they are
    as small as what they are added to: nothing cancels. What multiplies the differences of means
    is summed for each pair; the host puts the parts together.

    Without room for second moments there are first ones alone, and about the means.
    """
    if moments.second.size == 0:
        moments_of_order_one(model, tile, m, moments)
    else:
        moments_of_order_two(model, tile, m, moments)


@worker
def moments_of_order_two(model, tile, m, moments):
    """First moments about the origin, which the host moves to the means, and second ones."""
    scratch, packed, expected = tile.scratch, tile.scratch.packed, tile.scratch.expected
    shares, by_products = scratch.point_shares, moments.second.shape[0] == 1
    for k in range(model.means.shape[0]):
        moments.counts[k] += scale_share(tile.components, k, tile.scale, m)
    for start in range(0, m, packed.shape[0]):
        depth = min(packed.shape[0], m - start)
        weigh_rows(model, tile.components, scratch, start, depth)
        for k in range(0, moments.first.shape[0], 4):
            add_row_product(shares, k, packed, depth, moments.first)
        add_expected_means(model, tile.components, start, depth, expected)
        for p in range(depth):
            root = scratch.packed_roots[p, 0]
            scale = 1 / root if root > 0 else root
            for i in range(model.padded_means.shape[1]):
                mean = expected[p, i] * scale * scale
                packed[p, i] = (packed[p, i] - mean) * root
                expected[p, i] = mean
            if by_products:
                for k in range(shares.shape[1]):
                    shares[p, k] *= scale
            else:
                add_pairs(model, scratch, p, root, moments)
        for part in range(2):  # one call: its code is large
            rows, out = packed, moments.second[0]
            if part == 1 and by_products:
                rows, out = shares, moments.pairs
            elif part == 1:
                rows, out = expected, moments.second[1]
            add_symmetric_product(rows, depth, out, 0, out.shape[0])


@worker
def weigh_rows(model, shares, scratch, start, depth):
    """Gather the shares of points, their weights, and the points themselves from the origin.

    These go to the scratch record.
    """
    for p in range(depth):
        weight = shares.dtype.type(0)
        for k in range(model.means.shape[0]):
            share = shares[k, start + p]
            scratch.point_shares[p, k] = share
            weight += share
        scratch.packed_roots[p, 0] = np.sqrt(weight)
        for i in range(model.padded_origin.shape[1]):
            scratch.packed[p, i] = scratch.rows[start + p, i] - model.padded_origin[0, i]


@worker
def add_pairs(model, scratch, p, root, moments):
    """Add Rₖ to the pairs (a, k), and replace the mean of the means by √w (μₐ - μ̄)."""
    shares, expected = scratch.point_shares, scratch.expected
    nearest = 0
    for k in range(1, model.means.shape[0]):
        nearest = k if shares[p, k] > shares[p, nearest] else nearest
    for k in range(model.means.shape[0]):
        moments.pairs[nearest, k] += shares[p, k]
    for i in range(expected.shape[1]):
        expected[p, i] = (model.padded_means[nearest, i] - expected[p, i]) * root


@worker
def add_expected_means(model, shares, start, depth, expected):
    """Write expected[p] = Σₖ Rₖ μₖ of the points start + p, in blocks of four points."""
    lanes = VECTOR_BYTES // expected.itemsize
    K, pitch = model.padded_means.shape
    expected[:] = 0
    for p in range(0, depth, 4):
        j = 0
        while j + VECTORS * lanes <= pitch:
            add_product(
                shares, 0, start + p, model.padded_means, 0, j, K,
                expected, p, j, 4, VECTORS, VECTOR_BYTES, 0,
            )  # fmt: skip
            j += VECTORS * lanes
        while j < pitch:
            add_product(
                shares, 0, start + p, model.padded_means, 0, j, K,
                expected, p, j, 4, 1, VECTOR_BYTES, 0,
            )  # fmt: skip
            j += lanes


@worker
def add_row_product(left, i, right, length, out):
    """Add left[:, i : i + 4]ᵀ right to out[i : i + 4], over `length` rows of both."""
    lanes = VECTOR_BYTES // right.itemsize
    j = 0
    while j + VECTORS * lanes <= out.shape[1]:
        add_product(left, 0, i, right, 0, j, length, out, i, j, 4, VECTORS, VECTOR_BYTES, 0)
        j += VECTORS * lanes
    while j < out.shape[1]:
        add_product(left, 0, i, right, 0, j, length, out, i, j, 4, 1, VECTOR_BYTES, 0)
        j += lanes


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
                count = choose_counting(shares, k, m, least, chosen)
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


def _moments_of_diagonals(*, squared: bool) -> Callable:
    with_squares = int(squared)

    @worker
    def add_moments(model, tile, m, first, second):
        """Σ r c and, if wanted, Σ r c²: of four features, which stay in a cache for all k.

        Two components share the loads of a block; the sums of more would leave the registers.
        """
        K, d = model.means.shape
        i = 0
        while i + 4 <= d:
            k = 0
            while k + 2 <= K:
                add_moments_of_diagonals(
                    tile.points[0], i, model.means, tile.components, k, m, first, second,
                    4, 2, with_squares, VECTOR_BYTES,
                )  # fmt: skip
                k += 2
            if k < K:
                add_moments_of_diagonals(
                    tile.points[0], i, model.means, tile.components, k, m, first, second,
                    4, 1, with_squares, VECTOR_BYTES,
                )  # fmt: skip
            i += 4
        while i < d:
            for k in range(K):
                add_moments_of_diagonals(
                    tile.points[0], i, model.means, tile.components, k, m, first, second,
                    1, 1, with_squares, VECTOR_BYTES,
                )  # fmt: skip
            i += 1

    return add_moments


add_first_and_second = _moments_of_diagonals(squared=True)
add_first = _moments_of_diagonals(squared=False)


@worker
def moments_of_order_one(model, tile, m, moments):
    """Σ r and Σ r c."""
    padded = (m + 15) // 16 * 16
    for k in range(model.means.shape[0]):
        moments.counts[k] += scale_share(tile.components, k, tile.scale, padded)
    add_first(model, tile, m, moments.first, moments.first)


@worker
def diagonal_moments(model, tile, m, moments):
    """Add Σ r, Σ r c and Σ r c² per feature to the moments; shares become responsibilities."""
    padded = (m + 15) // 16 * 16
    for k in range(model.means.shape[0]):
        moments.counts[k] += scale_share(tile.components, k, tile.scale, padded)
    add_first_and_second(model, tile, m, moments.first, moments.second)


@worker
def spherical_moments(model, tile, m, moments):
    """Σ r ‖c‖² from the distances, which are there already."""
    padded, distances = (m + 15) // 16 * 16, tile.scratch.distances
    for k in range(model.means.shape[0]):
        count, second = scale_and_weigh(tile.components, k, tile.scale, distances, padded)
        moments.counts[k] += count
        moments.second[k, 0] += second
    add_first(model, tile, m, moments.first, moments.first)


tile_moments = dispatch_on_record(
    "tile_moments",
    {
        FullModel: full_moments,
        TiedModel: tied_moments,
        DiagonalModel: diagonal_moments,
        SphericalModel: spherical_moments,
    },
    {SmallFullModel: small_moments_of},
)
