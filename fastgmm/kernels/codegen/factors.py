"""The M step of many small components at once, whose factors are vectors over components."""

from __future__ import annotations

import numpy as np
from numba import types
from numba.core import cgutils

from fastgmm.kernels.codegen.vectors import Vectors, i64
from fastgmm.kernels.jit.settings import register_block


# Wide: as the block itself.
def _means_twin(counts, total, first, reference, weights, shifts, means):
    weights[:] = counts / total
    shifts[:] = first / counts[:, None]
    means[:] = reference + shifts


# Wide: numba hands a block each array and index by itself.
@register_block(_means_twin)
def means_of_moments(typingctx, counts, total, first, reference, weights, shifts, means):
    """weights[k] = counts[k] / total, means[k] = reference[k] + δₖ and δₖ = first[k] / counts[k].

    `first` are moments about `reference`; they, the means and the `shifts` δ are (K, d).
    """

    def codegen(context, builder, signature, arguments):
        counts_, total_, first_, reference_, weights_, shifts_, means_ = arguments
        zero = i64(0)
        v = Vectors(context, builder, context.get_value_type(first.dtype), 8)
        count, n = v.pointer(counts, counts_, zero)
        weight, _ = v.pointer(weights, weights_, zero)
        moment, d = v.pointer(first, first_, zero, zero)
        before, _ = v.pointer(reference, reference_, zero, zero)
        shift, _ = v.pointer(shifts, shifts_, zero, zero)
        mean, _ = v.pointer(means, means_, zero, zero)
        with v.loop(n) as k:
            divisor = builder.load(v.at(count, k))
            builder.store(builder.fdiv(divisor, total_), v.at(weight, k))
            with v.loop(d) as i:
                place = builder.add(builder.mul(k, d), i)
                apart = builder.fdiv(builder.load(v.at(moment, place)), divisor)
                builder.store(apart, v.at(shift, place))
                sum_ = builder.fadd(builder.load(v.at(before, place)), apart)
                builder.store(sum_, v.at(mean, place))
        return context.get_dummy_value()

    float64 = types.float64
    return types.void(counts, float64, first, reference, weights, shifts, means), codegen


def _covariances_twin(second, counts, total, shifts, covariances):
    products = counts[:, None, None] * shifts[:, :, None] * shifts[:, None, :]
    if len(second) < len(counts):
        products, counts = products.sum(axis=0), np.array([total])
    covariances[:] = (second - products) / counts[:, None, None]


# Long: one loop over all that makes an element.
@register_block(_covariances_twin)
def covariances_of_moments(typingctx, second, counts, total, shifts, covariances):
    """covariances[k] = second[k] / counts[k] - δₖ δₖᵀ, from upper triangles.

    `second` are moments about points from which the means are `shifts` δ (K, d) away. Where there
    is one for all components, it is (second - Σ counts[k] δₖ δₖᵀ) / total.
    """

    def codegen(context, builder, signature, arguments):
        second_, counts_, total_, shifts_, covariances_ = arguments
        zero, one = i64(0), i64(1)
        v = Vectors(context, builder, context.get_value_type(second.dtype), 8)
        moments, d = v.pointer(second, second_, zero, zero, zero)
        count, K = v.pointer(counts, counts_, zero)[0], v.length(counts, counts_)
        shift, _ = v.pointer(shifts, shifts_, zero, zero)
        target, _ = v.pointer(covariances, covariances_, zero, zero, zero)
        n = v.length(second, second_)
        shared = builder.icmp_signed("<", n, K)
        with v.loop(n) as k, v.loop(d) as i, v.loop(builder.sub(d, i)) as after:
            j = builder.add(i, after)
            products = cgutils.alloca_once_value(builder, v.element(0.0))
            builder.store(v.element(0.0), products)
            stop = builder.select(shared, K, builder.add(k, one))
            with cgutils.for_range_slice(builder, k, stop, one, intp=i64) as (c, _):
                row = builder.mul(c, d)
                left = builder.load(v.at(shift, builder.add(row, i)))
                right = builder.load(v.at(shift, builder.add(row, j)))
                weighted = builder.fmul(builder.load(v.at(count, c)), left)
                product = builder.fmul(weighted, right)
                builder.store(builder.fadd(builder.load(products), product), products)
            above, below = (
                builder.add(builder.mul(builder.add(builder.mul(k, d), row), d), column)
                for row, column in ((i, j), (j, i))
            )
            centred = builder.fsub(builder.load(v.at(moments, above)), builder.load(products))
            divisor = builder.select(shared, total_, builder.load(v.at(count, k)))
            covariance = builder.fdiv(centred, divisor)
            builder.store(covariance, v.at(target, above))
            builder.store(covariance, v.at(target, below))
        return context.get_dummy_value()

    return types.void(second, counts, types.float64, shifts, covariances), codegen


def _invert_factors_twin(matrices, factors, n_bytes):
    upper = np.triu(np.moveaxis(matrices, 2, 0))[: len(factors)]
    for matrix, factor in zip(upper, factors, strict=True):
        try:
            R = np.linalg.cholesky(matrix + np.triu(matrix, 1).T).T
            factor[:] = np.triu(np.linalg.inv(R))
        except np.linalg.LinAlgError:
            factor[:] = np.nan


# Long: two triangular loops, which share their places.
@register_block(_invert_factors_twin)
def invert_factors(typingctx, matrices, factors, n_bytes):
    """Upper triangles of factors[k] = R⁻¹ from those of Σₖ = Rᵀ R in `matrices` (d, d, pitch).

    Their last axis is of matrices, whose number is rounded up to whole vectors of `n_bytes`
    (literal); they are overwritten. Where one is not positive definite, a number on the diagonal
    of its factor is NaN, infinite or 0.
    """
    width = n_bytes.literal_value

    def codegen(context, builder, signature, arguments):
        zero, one = i64(0), i64(1)
        v = Vectors(context, builder, context.get_value_type(matrices.dtype), width)
        first, pitch = v.pointer(matrices, arguments[0], zero, zero, zero)
        target, d = v.pointer(factors, arguments[1], zero, zero, zero)
        n = v.length(factors, arguments[1])

        def between(start, stop):
            return cgutils.for_range_slice(builder, start, stop, one, intp=i64)

        def at(i, j, lane):
            place = builder.mul(builder.add(builder.mul(i, d), j), pitch)
            return v.at(first, builder.add(place, lane))

        with v.loop(pitch, v.lanes) as lane:
            # R by rows; on its diagonal, what is there of its inverse.
            with v.loop(d) as j:
                following = builder.add(j, one)
                root = v.inverse_root(v.load(at(j, j, lane)))
                v.store(root, at(j, j, lane))
                with between(following, d) as (i, _):
                    v.store(builder.fmul(v.load(at(j, i, lane)), root), at(j, i, lane))
                with between(following, d) as (i, _):
                    left = builder.fneg(v.load(at(j, i, lane)))
                    with between(i, d) as (c, _):
                        old = v.load(at(i, c, lane))
                        v.store(v.fma(left, v.load(at(j, c, lane)), old), at(i, c, lane))
            # R⁻¹ by columns, from the top, where R is no longer needed.
            with v.loop(d) as j:
                last = builder.fneg(v.load(at(j, j, lane)))
                with v.loop(j) as i:
                    total = v.accumulators(1)[0]
                    with between(i, j) as (c, _):
                        left, right = v.load(at(i, c, lane)), v.load(at(c, j, lane))
                        builder.store(v.fma(left, right, builder.load(total)), total)
                    v.store(builder.fmul(builder.load(total), last), at(i, j, lane))
        with v.loop(d) as i, v.loop(n) as k, between(i, d) as (j, _):
            place = builder.mul(builder.add(builder.mul(k, d), i), d)
            builder.store(builder.load(at(i, j, k)), v.at(target, builder.add(place, j)))
        return context.get_dummy_value()

    return types.void(matrices, factors, n_bytes), codegen
