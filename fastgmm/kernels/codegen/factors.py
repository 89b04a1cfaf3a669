"""The M step of small models: means, covariances, and the inverses of Cholesky factors."""

from __future__ import annotations

from functools import partial

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from fastgmm.kernels.codegen.vectors import Vectors, i64
from fastgmm.kernels.jit.settings import register_block


# Wide: as the block itself.
def _means_twin(counts, first, reference, weights, shifts, means):
    total = counts.sum()
    weights[:] = counts / total
    shifts[:] = first / counts[:, None]
    means[:] = reference + shifts
    return total


# Wide: numba hands a block each array and index by itself.
@register_block(_means_twin)
def means_of_moments(typingctx, counts, first, reference, weights, shifts, means):
    """weights[k] = counts[k] / total, means[k] = reference[k] + δₖ and δₖ = first[k] / counts[k].

    `first` are moments about `reference`; they, the means and the `shifts` δ are (K, d). Returns
    the total of the counts.
    """

    def codegen(context, builder, signature, arguments):
        counts_, first_, reference_, weights_, shifts_, means_ = arguments
        zero = i64(0)
        v = Vectors(context, builder, context.get_value_type(first.dtype), 8)
        count, n = v.pointer(counts, counts_, zero)
        weight, _ = v.pointer(weights, weights_, zero)
        moment, d = v.pointer(first, first_, zero, zero)
        before, _ = v.pointer(reference, reference_, zero, zero)
        shift, _ = v.pointer(shifts, shifts_, zero, zero)
        mean, _ = v.pointer(means, means_, zero, zero)
        sum_ = cgutils.alloca_once_value(builder, v.element(0.0))
        loop = partial(v.loop, optimized=False)
        with loop(n) as k:
            builder.store(builder.fadd(builder.load(sum_), builder.load(v.at(count, k))), sum_)
        total = builder.load(sum_)
        with loop(n) as k:
            divisor = builder.load(v.at(count, k))
            builder.store(builder.fdiv(divisor, total), v.at(weight, k))
            with loop(d) as i:
                place = builder.add(builder.mul(k, d), i)
                apart = builder.fdiv(builder.load(v.at(moment, place)), divisor)
                builder.store(apart, v.at(shift, place))
                moved = builder.fadd(builder.load(v.at(before, place)), apart)
                builder.store(moved, v.at(mean, place))
        return total

    return types.float64(counts, first, reference, weights, shifts, means), codegen


# Wide: as the block itself.
def _covariances_twin(second, counts, total, shifts, floor, covariances, n_bytes):
    products = shifts[:, :, None] * shifts[:, None, :] * counts[:, None, None]
    if len(second) < len(counts):
        products, counts = products.sum(axis=0), np.array([total])
    covariances[:] = (second - products) / counts[:, None, None] + np.diag(floor)


# Long: one loop over all that makes a row. Wide: numba hands a block each array by itself.
@register_block(_covariances_twin)
def covariances_of_moments(typingctx, second, counts, total, shifts, floor, covariances, n_bytes):
    """covariances[k] = second[k] / counts[k] - δₖ δₖᵀ + diag(floor), by vectors of `n_bytes`.

    `second` are moments about points from which the means are `shifts` δ (K, d) away. Where there
    is one for all components, it is (second - Σ counts[k] δₖ δₖᵀ) / total + diag(floor). `n_bytes`
    is literal.
    """

    def codegen(context, builder, signature, arguments):
        second_, counts_, total_, shifts_, floor_, covariances_ = arguments[:6]
        zero, one = i64(0), i64(1)
        element = context.get_value_type(second.dtype)
        v, single = (Vectors(context, builder, element, w) for w in (n_bytes.literal_value, 8))
        moments, d = v.pointer(second, second_, zero, zero, zero)
        count, K = v.pointer(counts, counts_, zero)[0], v.length(counts, counts_)
        shift, _ = v.pointer(shifts, shifts_, zero, zero)
        floors, _ = v.pointer(floor, floor_, zero)
        target, _ = v.pointer(covariances, covariances_, zero, zero, zero)
        n, loop = v.length(second, second_), partial(v.loop, optimized=False)
        shared = builder.icmp_signed("<", n, K)

        def fill(kind, k, i, j):
            """Fill as many columns of row i as make a vector."""
            products = kind.accumulators(1)[0]
            stop = builder.select(shared, K, builder.add(k, one))
            with loop(stop, start=k) as c:
                row = builder.mul(c, d)
                left = kind.splat(builder.load(v.at(shift, builder.add(row, i))))
                right = kind.load(v.at(shift, builder.add(row, j)))
                weight = kind.splat(builder.load(v.at(count, c)))
                product = builder.fmul(builder.fmul(left, right), weight)  # the same as j, i
                builder.store(builder.fadd(builder.load(products), product), products)
            place = builder.add(builder.mul(builder.add(builder.mul(k, d), i), d), j)
            centred = builder.fsub(kind.load(v.at(moments, place)), builder.load(products))
            divisor = builder.select(shared, total_, builder.load(v.at(count, k)))
            kind.store(builder.fdiv(centred, kind.splat(divisor)), v.at(target, place))

        whole = builder.sub(d, builder.srem(d, i64(v.lanes)))
        with loop(n) as k, loop(d) as i:
            with loop(whole, v.lanes) as j:
                fill(v, k, i, j)
            with loop(d, start=whole) as j:
                fill(single, k, i, j)
            place = builder.add(builder.mul(builder.add(builder.mul(k, d), i), d), i)
            variance = builder.load(v.at(target, place))
            variance = builder.fadd(variance, builder.load(v.at(floors, i)))
            builder.store(variance, v.at(target, place))
        return context.get_dummy_value()

    total = types.float64
    return types.void(second, counts, total, shifts, floor, covariances, n_bytes), codegen


def _invert_factors_twin(covariances, triangle, factors, n_bytes):
    upper = np.triu(covariances)
    for matrix, factor in zip(upper, factors, strict=True):
        try:
            R = np.linalg.cholesky(matrix + np.triu(matrix, 1).T).T
            factor[:] = np.triu(np.linalg.inv(R))
        except np.linalg.LinAlgError:
            factor[:] = np.nan


# Long: two triangular loops, which share their places.
@register_block(_invert_factors_twin)
def invert_factors(typingctx, covariances, triangle, factors, n_bytes):
    """factors[k] = R⁻¹, upper triangular, from the upper triangle of covariances[k] = Rᵀ R.

    Each is worked on in `triangle` (d, width), zeros whose rows are whole vectors of `n_bytes`
    (literal). Where a covariance is not positive definite, a number on the diagonal of its factor
    is NaN, infinite or 0.
    """

    def codegen(context, builder, signature, arguments):
        zero, one = i64(0), i64(1)
        element = context.get_value_type(triangle.dtype)
        v, single = (Vectors(context, builder, element, w) for w in (n_bytes.literal_value, 8))
        source, d = v.pointer(covariances, arguments[0], zero, zero, zero)
        first, width = v.pointer(triangle, arguments[1], zero, zero)
        target, _ = v.pointer(factors, arguments[2], zero, zero, zero)

        loop = partial(v.loop, optimized=False)

        def at(i, j):
            return v.at(first, builder.add(builder.mul(i, width), j))

        def row(matrices, k, i):
            return v.at(matrices, builder.mul(builder.add(builder.mul(k, d), i), d))

        def aligned(i):
            """Where the vector with the diagonal element of a row begins."""
            return builder.and_(i, i64(-v.lanes))

        def copied(here, there, start):
            """Copy the elements of a row from `start` on."""
            whole = aligned(d)
            with loop(whole, v.lanes, start=start) as j:
                v.store(v.load(v.at(here, j)), v.at(there, j))
            with loop(d, start=whole) as j:
                builder.store(builder.load(v.at(here, j)), v.at(there, j))

        def reduced(value, numbers, vectors, start, stop):
            """Return a vector less those of a range, each times its number."""
            total = cgutils.alloca_once_value(builder, value)
            with loop(stop, start=start) as t:
                factor = v.splat(builder.fneg(builder.load(numbers(t))))
                product = v.fma(factor, v.load(vectors(t)), builder.load(total))
                builder.store(product, total)
            return builder.load(total)

        with loop(v.length(covariances, arguments[0])) as k:
            with loop(d) as i:
                copied(row(source, k, i), at(i, zero), aligned(i))
            # R by rows; on its diagonal, what is there of its inverse.
            with loop(d) as i:

                def rest(j, i=i):
                    return reduced(
                        v.load(at(i, j)), lambda t: at(t, i), lambda t: at(t, j), zero, i
                    )

                start = aligned(i)
                pivots = rest(start)
                v.store(pivots, at(i, start))
                root = single.inverse_root(single.load(at(i, i)))
                root = builder.extract_element(root, ir.IntType(32)(0))
                v.store(builder.fmul(pivots, v.splat(root)), at(i, start))
                with loop(width, v.lanes, start=builder.add(start, i64(v.lanes))) as j:
                    v.store(builder.fmul(rest(j), v.splat(root)), at(i, j))
                builder.store(root, at(i, i))
            # R⁻¹ by rows from below, each from the right, where R is no longer needed.
            with loop(d) as below:
                i = builder.sub(builder.sub(d, one), below)
                root = builder.load(at(i, i))
                start = aligned(i)
                with loop(width, v.lanes, start=start) as after:
                    end = builder.sub(builder.add(width, start), after)
                    j = builder.sub(end, i64(v.lanes))
                    end = builder.select(builder.icmp_signed("<", end, d), end, d)
                    places = (lambda c, i=i: at(i, c)), (lambda c, j=j: at(c, j))
                    total = reduced(v.zero, *places, builder.add(i, one), end)
                    v.store(builder.fmul(total, v.splat(root)), at(i, j))
                builder.store(root, at(i, i))
            with loop(d) as i:
                there = row(target, k, i)
                with loop(aligned(i), v.lanes) as j:
                    v.store(v.zero, v.at(there, j))
                copied(at(i, zero), there, aligned(i))
        return context.get_dummy_value()

    return types.void(covariances, triangle, factors, n_bytes), codegen
