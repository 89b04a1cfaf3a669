"""Moments of a tile for components that share a covariance: serial workers."""

from __future__ import annotations

import numpy as np

from fastgmm.kernels.codegen.products import add_product
from fastgmm.kernels.codegen.rearrangement import choose_counting
from fastgmm.kernels.codegen.tiles import SQUARE, transpose_square
from fastgmm.kernels.jit.settings import worker
from fastgmm.kernels.jit.target import VECTOR_BYTES, VECTORS
from fastgmm.kernels.moments_of_full import add_symmetric_product
from fastgmm.kernels.shares import (
    few_points_count,
    scale_share,
    sum_of_share,
    vanishing_part,
)
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

    Where few points count for a component, those of each are summed for itself, which takes no
    account of how many components there are. Without room for second moments there are first ones
    alone. These are about the origin; the host moves them to the means.
    """
    packed, K, vanishing = tile.scratch.packed, model.means.shape[0], 0.0
    with_second, few = moments.second.size > 0, False
    for k in range(K):
        moments.counts[k] += scale_share(tile.components, k, tile.scale, m)
    if with_second and K >= FEWEST_CHOOSING:
        vanishing = vanishing_part(model, tile, m)
        few = few_points_count(tile.components, m, vanishing)
    start, k, q, count = 0, 0, 0, 0
    while start < m:
        if few:
            depth, k, q, count = pack_chosen(model, tile, m, vanishing, k, q, count, moments)
            start = m if k == K else 0
        else:
            depth = min(packed.shape[0], m - start)
            centre_rows(model, tile.scratch, start, depth)
            gather_shares(tile.components, tile.scratch, start, depth)
            for row in range(0, moments.first.shape[0], 4):
                add_row_product(tile.scratch.point_shares, row, packed, depth, moments.first)
            if with_second:
                pack_about_mean(model, tile, start, depth, moments)
            start += depth
        for part in range((1 if few else 2) if with_second else 0):  # one call: its code is large
            rows, out = packed, moments.second[0]
            if part == 1 and moments.second.shape[0] == 1:
                rows, out = tile.scratch.point_shares, moments.pairs
            elif part == 1:
                rows, out = tile.scratch.expected, moments.second[1]
            add_symmetric_product(rows, depth, out, 0, out.shape[0])


# Wide: the last three are where it is to go on.
@worker
def pack_chosen(model, tile, m, vanishing, k, q, count, moments):
    """Fill the packed points with √r c of those that count, from the q-th of component k on.

    Add r c to the first moments. Return how many are packed, and where to go on.
    """
    shares, packed, chosen = tile.components, tile.scratch.packed, tile.scratch.chosen[0]
    n_packed = 0
    while k < model.means.shape[0] and n_packed < packed.shape[0]:
        if q == 0:
            total = sum_of_share(shares, k, m)
            least = shares.dtype.type(total / m * vanishing)
            count = choose_counting(shares, k, m, least, chosen, VECTOR_BYTES)
            for i in range(model.means.shape[1]):
                moments.first[k, i] += total * model.padded_means[k, i]
        while q < count and n_packed < packed.shape[0]:
            p = chosen[q]
            share = shares[k, p]
            root = np.sqrt(share)
            for i in range(model.means.shape[1]):
                c = tile.scratch.rows[p, i] - model.means[k, i]
                packed[n_packed, i] = root * c
                moments.first[k, i] += share * c
            q += 1
            n_packed += 1
        if q == count:
            k += 1
            q = 0
    return n_packed, k, q, count


@worker
def gather_shares(shares, scratch, start, depth):
    """Fill the point shares, a row for each of some points; where there are few, one by one."""
    K, pitch = shares.shape
    flat = shares.reshape(shares.size)
    rows = scratch.point_shares.reshape((1, *scratch.point_shares.shape))
    if K >= SQUARE:
        for first in range(0, depth, SQUARE):
            for square in range(0, K, SQUARE):  # the last one covers some components again
                k = min(square, K - SQUARE)
                transpose_square(flat, k * pitch + start + first, pitch, rows, 0, first, k)
    else:
        for k in range(K):
            for p in range(depth):
                scratch.point_shares[p, k] = shares[k, start + p]


@worker
def centre_rows(model, scratch, start, depth):
    """Fill the packed points with x - o."""
    for p in range(depth):
        for i in range(model.padded_origin.shape[1]):
            scratch.packed[p, i] = scratch.rows[start + p, i] - model.padded_origin[0, i]


@worker
def pack_about_mean(model, tile, start, depth, moments):
    """Turn points into √w (x - μ̄), and the rest into what the second product is to be made of."""
    scratch, packed, expected = tile.scratch, tile.scratch.packed, tile.scratch.expected
    shares = scratch.point_shares
    add_expected_means(model, tile.components, start, depth, expected)
    for p in range(depth):
        weight = shares.dtype.type(0)
        for k in range(model.means.shape[0]):
            weight += shares[p, k]
        root = np.sqrt(weight)
        scale = 1 / root if root > 0 else root
        for i in range(model.padded_means.shape[1]):
            mean = expected[p, i] * scale * scale
            packed[p, i] = (packed[p, i] - mean) * root
            expected[p, i] = mean
        if moments.second.shape[0] == 1:
            for k in range(shares.shape[1]):
                shares[p, k] *= scale
        else:
            add_pairs(model, scratch, p, root, moments)


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
