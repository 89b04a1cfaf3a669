"""Densities and moments of few features, whose whole triangle is unrolled into registers."""

from __future__ import annotations

import numpy as np
from numba import types
from numba.core import cgutils

from fastgmm.kernels.codegen.vectors import Vectors, i64, log_density_of_squares
from fastgmm.kernels.jit.settings import register_block
from fastgmm.kernels.jit.target import VECTOR_BYTES

# Up to this many features, whole rows of a triangle of sums stay in registers.
SHORT_ROWS = 9
# About so many columns of a factor advance together, so that none waits for its own last sum.
COLUMNS = 4
# What suits 32 registers whose instructions load for themselves, or 16 narrower ones: vectors of
# points that share the loads of a factor; features up to which the compiler may order all columns
# as it likes; rows of a piece of a triangle, and its sums.
TOGETHER, FREELY_ORDERED, ROWS, MOST_SUMS = (1, 20, 4, 24) if VECTOR_BYTES == 64 else (2, 8, 3, 9)


def _centred(v, x, pitch, mean, p, features):
    """Vectors of x - μ at point p: a dictionary by feature."""
    builder = v.builder
    return {
        i: builder.fsub(
            v.load(v.at(x, builder.add(builder.mul(i64(i), pitch), p))),
            v.splat(builder.load(v.at(mean, i))),
        )
        for i in features
    }


# Wide: as the block itself.
def _small_log_density_twin(points, means, factors, constants, k, length, out, d, n_bytes):
    factor = np.zeros((d, d), points.dtype)
    factor[np.tril_indices(d)] = factors[k]
    y = factor @ (points[:d, :length] - means[k, :, None])
    out[k, :length] = log_density_of_squares(constants[k], (y * y).sum(axis=0))


# Wide: numba hands a block each array and index by itself.
@register_block(_small_log_density_twin)
def small_log_density(typingctx, points, means, factors, constants, k, length, out, d, n_bytes):
    """out[k, p] = constantₖ - ½ ‖Uₖᵀ(x_p - μₖ)‖² with every feature in a register, d literal.

    `points` (d, pitch) has a row per feature; `factors` (K, d(d+1)/2) holds U's columns one
    after the other. `length` is rounded up to whole blocks of `TOGETHER` vectors. The square is
    limited to the farthest.
    """
    n, width = d.literal_value, n_bytes.literal_value

    def codegen(context, builder, signature, arguments):
        points_, means_, factors_, constants_, k_, length_, out_ = arguments[:7]
        zero = i64(0)
        v = Vectors(context, builder, context.get_value_type(points.dtype), width)
        x, pitch = v.pointer(points, points_, zero, zero)
        mean, _ = v.pointer(means, means_, k_, zero)
        factor, _ = v.pointer(factors, factors_, k_, zero)
        target, _ = v.pointer(out, out_, k_, zero)
        constant = v.splat(builder.load(v.pointer(constants, constants_, k_)[0]))
        # What a block of columns needs lies in memory, from which it is taken anew: the compiler
        # would let all columns advance together, and run out of registers for their sums.
        buffer = cgutils.alloca_once(builder, v.type, size=n * TOGETHER)
        distances = v.accumulators(TOGETHER)
        with v.loop(length_, TOGETHER * v.lanes) as p:
            starts = [builder.add(p, i64(c * v.lanes)) for c in range(TOGETHER)]
            for c, start in enumerate(starts):
                builder.store(v.zero, distances[c])
                for i, y in _centred(v, x, pitch, mean, start, range(n)).items():
                    builder.store(y, builder.gep(buffer, [i64(i * TOGETHER + c)]))
            for some in np.array_split(np.arange(n), max(1, round(n / COLUMNS))):
                if n > FREELY_ORDERED:
                    v.barrier([buffer, *distances])
                columns = range(int(some[0]), int(some[-1]) + 1)
                sums = [dict.fromkeys(columns, v.zero) for _ in starts]
                for i in range(columns.stop):
                    own = [
                        builder.load(builder.gep(buffer, [i64(i * TOGETHER + c)]))
                        for c in range(TOGETHER)
                    ]
                    for j in range(max(i, columns.start), columns.stop):
                        entry = v.splat(builder.load(v.at(factor, j * (j + 1) // 2 + i)))
                        for c in range(TOGETHER):
                            sums[c][j] = v.fma(entry, own[c], sums[c][j])
                for c in range(TOGETHER):
                    distance = builder.load(distances[c])
                    for y in sums[c].values():
                        distance = v.fma(y, y, distance)
                    builder.store(distance, distances[c])
            for start, distance in zip(starts, distances, strict=True):
                v.store(v.log_density(constant, builder.load(distance)), v.at(target, start))
        return context.get_dummy_value()

    intp = types.intp
    return types.void(points, means, factors, constants, intp, intp, out, d, n_bytes), codegen


# Wide: as the block itself.
def _add_small_moments_twin(
    points, means, shares, row, scale, k, length, counts, first, second, d, scaled, n_bytes
):
    centred = (points[:d, :length] - means[k, :, None]).astype(np.float64)
    r = shares[row, :length]
    if not scaled:
        r *= scale[:length]
        counts[k] += r.sum(dtype=np.float64)
    first[k] += (r * centred).sum(axis=1)
    rows, columns = np.transpose(triangle_order(d))
    second[k] += ((r * centred) @ centred.T)[rows, columns]


# Wide: numba hands a block each array and index by itself.
@register_block(_add_small_moments_twin)
def add_small_moments(
    typingctx,
    points, means, shares, row, scale, k, length, counts, first, second, d, scaled, n_bytes,
):  # fmt: skip
    """Add Σ r_p, Σ r_p c_p and Σ r_p c_p c_pᵀ to counts[k], first[k] and second[k].

    `second` (K, d(d+1)/2) holds upper triangles in `triangle_order`. Arguments as in
    `small_log_density`; c_p = x_p - μₖ, and r_p = shares[row, p] · scale[p] replaces
    shares[row, p]. Where they are `scaled` (literal, 0 or 1) already, r_p is shares[row, p], and
    the counts are left alone.
    """
    n, width = d.literal_value, n_bytes.literal_value
    to_scale = not scaled.literal_value

    def codegen(context, builder, signature, arguments):
        points_, means_, shares_, row_, scale_, k_, length_, counts_, first_, second_ = arguments[
            :10
        ]
        zero = i64(0)
        v = Vectors(context, builder, context.get_value_type(points.dtype), width)
        x, pitch = v.pointer(points, points_, zero, zero)
        mean, _ = v.pointer(means, means_, k_, zero)
        share, _ = v.pointer(shares, shares_, row_, zero)
        scales, _ = v.pointer(scale, scale_, zero)
        count_out, _ = v.pointer(counts, counts_, k_)
        first_out, _ = v.pointer(first, first_, k_, zero)
        second_out, _ = v.pointer(second, second_, k_, zero)
        for number, (rows, columns) in enumerate(_register_tiles(n)):
            at_diagonal = rows.start == columns.start
            pairs = [(i, j) for i in rows for j in columns if i <= j]
            sums = dict(zip(pairs, v.accumulators(len(pairs)), strict=True))
            first_sums = v.accumulators(len(rows) if at_diagonal else 0)
            count = v.accumulators(1)
            with v.loop(length_, v.lanes) as p:
                centred = _centred(v, x, pitch, mean, p, sorted({*rows, *columns}))
                r = v.load(v.at(share, p))
                if number == 0 and to_scale:
                    r = builder.fmul(r, v.load(v.at(scales, p)))
                    v.store(r, v.at(share, p))
                    builder.store(builder.fadd(builder.load(count[0]), r), count[0])
                weighted = {i: builder.fmul(r, centred[i]) for i in rows}
                for i, variable in zip(rows, first_sums, strict=False):
                    total = builder.fadd(builder.load(variable), weighted[i])
                    builder.store(total, variable)
                for (i, j), variable in sums.items():
                    product = v.fma(weighted[i], centred[j], builder.load(variable))
                    builder.store(product, variable)
            if number == 0 and to_scale:
                v.add_totals(count, count_out)
            v.add_totals(first_sums, v.at(first_out, rows.start))
            v.add_totals(list(sums.values()), second_out)
            second_out = v.at(second_out, len(sums))
        return context.get_dummy_value()

    intp = types.intp
    signature = types.void(
        points, means, shares, intp, scale, intp, intp, counts, first, second, d, scaled, n_bytes
    )
    return signature, codegen


def triangle_order(d):
    """(row, column) of the elements of an upper triangle, tile by tile."""
    return [(i, j) for rows, columns in _register_tiles(d) for i in rows for j in columns if i <= j]


def _register_tiles(d, most=MOST_SUMS):
    """Rows and columns of the pieces of a triangle whose sums fit in `most` registers together.

    Few features take whole rows, more of them `ROWS` at a time; the sums of a piece at the
    diagonal include first moments.
    """
    start = 0
    while start < d:
        n_rows = _whole_rows(d, start, most)
        if n_rows >= min(ROWS, d - start) or d <= SHORT_ROWS:
            yield range(start, start + n_rows), range(start, d)
        else:
            n_rows = min(ROWS, d - start)
            rows = range(start, start + n_rows)
            column = start + n_rows + (most - n_rows * (n_rows + 3) // 2) // n_rows
            yield rows, range(start, min(column, d))
            n_pieces = max(0, -(-(d - column) * n_rows // most))
            for piece in np.array_split(np.arange(column, d), n_pieces) if n_pieces else ():
                yield rows, range(piece[0], piece[-1] + 1)
        start += n_rows


def _whole_rows(d, start, most):
    """How many rows from `start` fit with their first moments."""
    sizes = np.cumsum([d - i + 1 for i in range(start, d)])
    return max(1, int(np.searchsorted(sizes, most, side="right")))
