"""Moments of a tile for components with variances alone: serial workers."""

from __future__ import annotations

from collections.abc import Callable

from fastgmm.kernels.codegen.diagonals import add_moments_of_diagonals, add_moments_of_rows
from fastgmm.kernels.codegen.rearrangement import choose_counting
from fastgmm.kernels.jit.settings import worker
from fastgmm.kernels.jit.target import VECTOR_BYTES
from fastgmm.kernels.shares import (
    few_points_count,
    scale_and_weigh,
    scale_share,
    sum_of_share,
    vanishing_part,
)


# Long: three workers that go together.
def _moments_of_diagonals(*, squared: bool) -> Callable:
    with_squares = int(squared)

    @worker
    def add_all(model, tile, m, first, second):
        """Of four features, which stay in a cache for all k.

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

    @worker
    def add_chosen(model, tile, m, vanishing, first, second):
        """Of the points alone that count for a component, by rows."""
        shares, chosen = tile.components, tile.scratch.chosen[0]
        for k in range(model.means.shape[0]):
            least = shares.dtype.type(sum_of_share(shares, k, m) / m * vanishing)
            count = choose_counting(shares, k, m, least, chosen, VECTOR_BYTES)
            if count > 0:
                add_moments_of_rows(
                    tile.scratch.rows, chosen, count, shares, k, model.means, first, second,
                    with_squares, VECTOR_BYTES,
                )  # fmt: skip

    @worker
    def add_moments(model, tile, m, first, second):
        """Σ r c and, if wanted, Σ r c²."""
        few, vanishing = False, 0.0
        if tile.scratch.rows.shape[0] > 0:
            vanishing = vanishing_part(model, tile, m)
            few = few_points_count(tile.components, m, vanishing)
        if few:
            add_chosen(model, tile, m, vanishing, first, second)
        else:
            add_all(model, tile, m, first, second)

    return add_moments


add_first_and_second = _moments_of_diagonals(squared=True)
add_first = _moments_of_diagonals(squared=False)


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
