"""Copies for the blocks of products: triangles, chosen points, symmetric matrices of sums.

Written as loops in Python, these copies would take longer to compile than the products.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from fastgmm.kernels.codegen.vectors import Vectors, i64
from fastgmm.kernels.jit.settings import register_block

# Columns of a panel.
PANEL = 4


def _fill_panels_twin(factors, k, panels):
    place, d = 0, factors.shape[1]
    for j in range(0, d, PANEL):
        stop = min(j + PANEL, d)
        panels[place : place + stop, : stop - j] = factors[k, :stop, j:stop]
        place += j + PANEL


@register_block(_fill_panels_twin)
def fill_panels(typingctx, factors, k, panels):
    """Fill (rows, PANEL) with the columns of factors[k], each panel down to its last diagonal.

    What is beyond the last column of a factor is left alone.
    """

    def codegen(context, builder, signature, arguments):
        factors_, k_, panels_ = arguments
        zero = i64(0)
        element = context.get_value_type(factors.dtype)
        v = Vectors(context, builder, element, 8 * PANEL)
        source, d = v.pointer(factors, factors_, k_, zero, zero)
        target, _ = v.pointer(panels, panels_, zero, zero)
        whole, loop = builder.and_(d, i64(-PANEL)), partial(v.loop, optimized=False)

        def at(i, j):
            """Row i of the panel that begins at column j; before it are 4 + 8 + … + j rows."""
            half = builder.lshr(builder.mul(j, builder.add(j, i64(PANEL))), i64(3))
            return v.at(target, builder.mul(builder.add(half, i), i64(PANEL)))

        with loop(whole, PANEL) as j, loop(builder.add(j, i64(PANEL))) as i:
            v.store(v.load(v.at(source, builder.add(builder.mul(i, d), j))), at(i, j))
        with loop(d) as i, loop(builder.sub(d, whole)) as c:
            place = builder.add(builder.add(builder.mul(i, d), whole), c)
            builder.store(builder.load(v.at(source, place)), v.at(at(i, whole), c))
        return context.get_dummy_value()

    return types.void(factors, types.intp, panels), codegen


# Wide: as the block itself.
def _pack_weighted_twin(rows, means, k, roots, packed, j, sums, n_bytes):
    columns = slice(j, j + n_bytes // packed.itemsize)
    packed[:, columns] = (rows[:, columns] - means[k, columns]) * roots
    sums[0, columns] = (packed[:, columns] * roots).sum(axis=0)


# Wide: numba hands a block each array and index by itself.
@register_block(_pack_weighted_twin)
def pack_weighted(typingctx, rows, means, k, roots, packed, j, sums, n_bytes):
    """packed[q, j:] = (rows[q, j:] - means[k, j:]) · roots[q], and sums[0, j:] = Σ packed · roots.

    For one vector of `n_bytes` (literal).
    """

    def codegen(context, builder, signature, arguments):
        rows_, means_, k_, roots_, packed_, j_, sums_ = arguments[:7]
        zero = i64(0)
        element = context.get_value_type(packed.dtype)
        v = Vectors(context, builder, element, n_bytes.literal_value)
        source, pitch = v.pointer(rows, rows_, zero, j_)
        root, _ = v.pointer(roots, roots_, zero, zero)
        target, _ = v.pointer(packed, packed_, zero, j_)
        shift = v.load(v.pointer(means, means_, k_, j_)[0])
        (total,) = v.accumulators(1)
        with v.loop(v.length(rows, rows_), optimized=False) as q:
            place, weight = builder.mul(q, pitch), v.splat(builder.load(v.at(root, q)))
            centred = builder.fsub(v.load(v.at(source, place)), shift)
            scaled = builder.fmul(centred, weight)
            v.store(scaled, v.at(target, place))
            builder.store(v.fma(scaled, weight, builder.load(total)), total)
        v.store(builder.load(total), v.pointer(sums, sums_, zero, j_)[0])
        return context.get_dummy_value()

    intp = types.intp
    return types.void(rows, means, intp, roots, packed, intp, sums, n_bytes), codegen


def _reflect_twin(row, square, k, first, second):
    d, upper = first.shape[1], np.triu(square)
    first[k] = row[0, :d]
    second[min(k, len(second) - 1)] = (upper + np.triu(square, 1).T)[:d, :d]


@register_block(_reflect_twin)
def reflect(typingctx, row, square, k, first, second):
    """Copy `row` to first[k], and the upper triangle of `square` to both of second[k].

    Both are as wide as whole vectors are. If there is a single `second`, it is that.
    """

    def codegen(context, builder, signature, arguments):
        row_, square_, k_, first_, second_ = arguments
        zero, one = i64(0), i64(1)
        v = Vectors(context, builder, context.get_value_type(square.dtype), 8)
        sums, _ = v.pointer(row, row_, zero, zero)
        source, width = v.pointer(square, square_, zero, zero)
        moments, d = v.pointer(first, first_, k_, zero)
        last = builder.sub(v.length(second, second_), one)
        k_ = builder.select(builder.icmp_signed("<", k_, last), k_, last)
        target, _ = v.pointer(second, second_, k_, zero, zero)
        loop = partial(v.loop, optimized=False)

        def at(i, j):
            return v.at(target, builder.add(builder.mul(i, d), j))

        with loop(d) as i:
            builder.store(builder.load(v.at(sums, i)), v.at(moments, i))
            with loop(d, start=i) as j:
                place = builder.add(builder.mul(i, width), j)
                value = builder.load(v.at(source, place))
                builder.store(value, at(i, j))
                builder.store(value, at(j, i))
        return context.get_dummy_value()

    return types.void(row, square, types.intp, first, second), codegen


def _choose_counting_twin(shares, k, length, least, chosen, n_bytes):
    (places,) = np.nonzero(shares[k, :length] > least)
    chosen[: len(places)] = places
    return len(places)


@register_block(_choose_counting_twin)
def choose_counting(typingctx, shares, k, length, least, chosen, n_bytes):
    """Fill `chosen` with those of the first points p for which shares[k, p] > least; count them.

    There is room for one more than `length`. Vectors of `n_bytes` (literal) of which none counts
    are passed over; the last one may be read beyond `length`.
    """

    def codegen(context, builder, signature, arguments):
        shares_, k_, length_, least_, chosen_ = arguments[:5]
        v = Vectors(context, builder, context.get_value_type(shares.dtype), n_bytes.literal_value)
        share, _ = v.pointer(shares, shares_, k_, i64(0))
        place, _ = v.pointer(chosen, chosen_, i64(0))
        count = cgutils.alloca_once_value(builder, i64(0))
        waiting = cgutils.alloca_once(builder, i64)
        threshold = v.splat(least_)
        with v.loop(length_, v.lanes, optimized=False) as start:
            counts = builder.fcmp_ordered(">", v.load(v.at(share, start)), threshold)
            bits = builder.bitcast(counts, ir.IntType(v.lanes))
            builder.store(builder.zext(bits, i64), waiting)
            with v.while_any(waiting) as bits:
                p = builder.add(start, builder.cttz(bits, ir.Constant(ir.IntType(1), 1)))
                builder.store(p, v.at(place, builder.load(count)))
                is_inside = builder.icmp_signed("<", p, length_)
                builder.store(builder.add(builder.load(count), builder.zext(is_inside, i64)), count)
                builder.store(builder.and_(bits, builder.sub(bits, i64(1))), waiting)
        return builder.load(count)

    arguments = shares, types.intp, types.intp, shares.dtype, chosen, n_bytes
    return types.intp(*arguments), codegen


# Wide: as the block itself.
def _gather_points_twin(points, chosen, count, shares, k, means, gathered, own_shares, n_bytes):
    lanes, d = n_bytes // points.itemsize, means.shape[1]
    filled = -(-count // lanes) * lanes
    gathered[:d, :count] = points[:d, chosen[:count]]
    gathered[:d, count:filled] = means[k, :, None]
    own_shares[0, :count] = shares[k, chosen[:count]]
    own_shares[0, count:filled] = 0


# Wide: numba hands a block each array and index by itself.
@register_block(_gather_points_twin)
def gather_points(
    typingctx, points, chosen, count, shares, k, means, gathered, own_shares, n_bytes
):
    """gathered[i, q] = points[i, chosen[q]] and own_shares[0, q] = shares[k, chosen[q]], q < count.

    The last vector of `n_bytes` (literal) is filled up with the mean, of share 0.
    """

    def codegen(context, builder, signature, arguments):
        points_, chosen_, count_, shares_, k_, means_, gathered_, own_shares_ = arguments[:8]
        zero = i64(0)
        v = Vectors(context, builder, context.get_value_type(points.dtype), n_bytes.literal_value)
        source, pitch = v.pointer(points, points_, zero, zero)
        place, _ = v.pointer(chosen, chosen_, zero)
        share, _ = v.pointer(shares, shares_, k_, zero)
        mean, d = v.pointer(means, means_, k_, zero)
        target, target_pitch = v.pointer(gathered, gathered_, zero, zero)
        own, _ = v.pointer(own_shares, own_shares_, zero, zero)
        loop = partial(v.loop, optimized=False)
        missing = builder.and_(builder.neg(count_), i64(v.lanes - 1))
        filled = builder.add(count_, missing)

        def copy(row, out, value_of_rest):
            with loop(count_) as q:
                value = builder.load(v.at(row, builder.load(v.at(place, q))))
                builder.store(value, v.at(out, q))
            with loop(filled, start=count_) as q:
                builder.store(value_of_rest, v.at(out, q))

        copy(share, own, v.element(0.0))
        with loop(d) as i:
            row, out = (
                v.at(start, builder.mul(i, step))
                for start, step in ((source, pitch), (target, target_pitch))
            )
            copy(row, out, builder.load(v.at(mean, i)))
        return context.get_dummy_value()

    n = types.intp
    signature = types.void(points, chosen, n, shares, n, means, gathered, own_shares, n_bytes)
    return signature, codegen
