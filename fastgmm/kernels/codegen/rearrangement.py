"""Triangles as the blocks of products want them, and symmetric matrices of what these leave.

Written as loops in Python, these copies would take longer to compile than the products.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numba import types

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
