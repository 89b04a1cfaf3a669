"""Blocks of second moments about one centre, whose products of features all components share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numba import types

from fastgmm.kernels.codegen.vectors import Vectors, i64
from fastgmm.kernels.jit.settings import register_block
from fastgmm.kernels.jit.target import VECTOR_BYTES

# Components of a block: their sums and a vector of products fill the registers.
FEWEST_SHARING, MOST_SHARING = (8, 16) if VECTOR_BYTES == 64 else (6, 12)


def shared_products(components: int) -> Callable:
    """Return the block for so many components, one vector of products at a time."""

    # Wide: as the block itself.
    def twin(features, i, j, shares, length, out, place):
        lanes = VECTOR_BYTES // features.itemsize
        products = features[:length, i : i + lanes] * features[:length, j : j + lanes]
        out[:components, place : place + lanes] += shares[:length, :components].T @ products

    # Wide: numba hands a block each array and index by itself.
    @register_block(twin)
    def add_shared_products(typingctx, features, i, j, shares, length, out, place):
        """out[c, place + l] += Σₚ shares[p, c] features[p, i + l] features[p, j + l].

        For each component c, each lane l of a vector and p < `length`.
        """

        def codegen(context, builder, signature, arguments):
            features_, i_, j_, shares_, length_, out_, place_ = arguments
            zero = i64(0)
            v = Vectors(context, builder, context.get_value_type(features.dtype), VECTOR_BYTES)
            left, pitch = v.pointer(features, features_, zero, i_)
            right, _ = v.pointer(features, features_, zero, j_)
            share, share_pitch = v.pointer(shares, shares_, zero, zero)
            target, target_pitch = v.pointer(out, out_, zero, place_)
            sums = v.accumulators(components)
            with v.loop(length_, optimized=False) as p:
                point, r = builder.mul(p, pitch), v.at(share, builder.mul(p, share_pitch))
                product = builder.fmul(v.load(v.at(left, point)), v.load(v.at(right, point)))
                for c, variable in enumerate(sums):
                    weight = v.splat(builder.load(v.at(r, c)))
                    builder.store(v.fma(weight, product, builder.load(variable)), variable)
            doubles = context.get_value_type(out.dtype)
            for variable in sums:
                v.add_to(target, builder.load(variable), doubles)
                target = v.at(target, target_pitch)
            return context.get_dummy_value()

        n = types.intp
        return types.void(features, n, n, shares, n, out, n), codegen

    return add_shared_products


# Wide: as the block itself.
def _centre_rows_twin(rows, t, start, count, centre, d, features):
    length = len(centre) + d // 2
    centred = rows[t, start : start + count, :d] - centre[:d]
    features[:count, :length] = np.tile(centred, 2)[:, :length]


# Wide: numba hands a block each array and index by itself.
@register_block(_centre_rows_twin)
def centre_rows(typingctx, rows, t, start, count, centre, d, features):
    """features[q] = y, and y once more, for q < `count`; y = rows[t, start + q] - centre[:d].

    So often that `d // 2` features follow every vector of `centre`, which is padded to whole ones,
    like the rows. Up to a vector of `features` beyond that is overwritten.
    """

    def codegen(context, builder, signature, arguments):
        rows_, t_, start_, count_, centre_, d_, features_ = arguments
        zero = i64(0)
        v = Vectors(context, builder, context.get_value_type(rows.dtype), VECTOR_BYTES)
        source, pitch = v.pointer(rows, rows_, t_, start_, zero)
        target, target_pitch = v.pointer(features, features_, zero, zero)
        shift, _ = v.pointer(centre, centre_, zero)
        padding = builder.sub(v.length(centre, centre_), d_)
        again = builder.add(padding, builder.lshr(d_, i64(1)))
        with v.loop(count_) as q:
            row = v.at(source, builder.mul(q, pitch))
            out = v.at(target, builder.mul(q, target_pitch))
            for length, place in ((d_, zero), (again, d_)):
                with v.loop(length, v.lanes, optimized=False) as i:
                    y = builder.fsub(v.load(v.at(row, i)), v.load(v.at(shift, i)))
                    v.store(y, v.at(out, builder.add(place, i)))
        return context.get_dummy_value()

    n = types.intp
    return types.void(rows, n, n, n, centre, n, features), codegen
