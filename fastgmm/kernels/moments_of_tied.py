"""Moments of a tile for components that share a covariance: serial workers."""

from __future__ import annotations

import numpy as np

from fastgmm.kernels.codegen.products import add_product
from fastgmm.kernels.codegen.rearrangement import choose_counting
from fastgmm.kernels.jit.settings import worker
from fastgmm.kernels.jit.target import VECTOR_BYTES, VECTORS
from fastgmm.kernels.moments_of_diagonals import add_first
from fastgmm.kernels.moments_of_full import add_symmetric_product
from fastgmm.kernels.shares import few_points_count, scale_share, vanishing_part
from fastgmm.kernels.workspace import FEWEST_CHOOSING


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

    Without room for second moments there are first ones alone, and about the means. Where few
    points count for a component, those of each are summed for itself, which takes no account of
    how many components there are.
    """
    vanishing, few = vanishing_part(model, tile, m), False
    if model.means.shape[0] >= FEWEST_CHOOSING:
        few = few_points_count(tile.components, m, vanishing)
    if moments.second.size == 0:
        moments_of_order_one(model, tile, m, moments)
    elif few:
        moments_of_chosen(model, tile, m, vanishing, moments)
    else:
        moments_of_order_two(model, tile, m, moments)


@worker
def moments_of_chosen(model, tile, m, vanishing, moments):
    """Those about the mean of each component, of the points alone that count for it.

    First moments are moved to the origin, as `moments_of_order_two` has them.
    """
    shares, packed, chosen = tile.components, tile.scratch.packed, tile.scratch.chosen[0]
    second, n_packed, K = moments.second[0], 0, model.means.shape[0]
    for k in range(K):
        total = scale_share(shares, k, tile.scale, m)
        moments.counts[k] += total
        for i in range(model.means.shape[1]):
            moments.first[k, i] += total * model.padded_means[k, i]
        least = shares.dtype.type(total / m * vanishing)
        count, q, is_last = (
            choose_counting(shares, k, m, least, chosen, VECTOR_BYTES),
            0,
            k + 1 == K,
        )
        while q < count or (is_last and n_packed > 0):
            while q < count and n_packed < packed.shape[0]:
                pack_point(
                    model, tile.scratch.rows, shares, chosen[q], k, n_packed, packed, moments
                )
                n_packed += 1
                q += 1
            if n_packed == packed.shape[0] or is_last:
                add_symmetric_product(packed, n_packed, second, 0, second.shape[0])
                n_packed = 0


# Wide: the caller takes arrays out of their records, once for a tile.
@worker
def pack_point(model, rows, shares, p, k, place, packed, moments):
    """Fill packed[place] with √r c of a point, and add r c to the first moments."""
    share, means = shares[k, p], model.means
    root = np.sqrt(share)
    for i in range(means.shape[1]):
        c = rows[p, i] - means[k, i]
        packed[place, i] = root * c
        moments.first[k, i] += share * c


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


@worker
def moments_of_order_one(model, tile, m, moments):
    """Σ r and Σ r c."""
    padded = (m + 15) // 16 * 16
    for k in range(model.means.shape[0]):
        moments.counts[k] += scale_share(tile.components, k, tile.scale, padded)
    add_first(model, tile, m, moments.first, moments.first)
