"""Densities and moments of diagonal models, a vector of points at a time."""

from __future__ import annotations

import numpy as np
from numba import types

from fastgmm.kernels._jit import register_block
from fastgmm.kernels._vectors import Vectors, i64, log_density_of_squares


def _axis_log_density_twin(points, means, factors, constants, k, length, out, scaled, *_):
    y = points[: means.shape[1], :length] - means[k, :, None]
    if scaled:
        y = y * factors[k, :, None]
    out[k, :length] = log_density_of_squares(constants[k], (y * y).sum(axis=0))


@register_block(_axis_log_density_twin)
def axis_log_density(
    typingctx, points, means, factors, constants, k, length, out, scaled, vectors, n_bytes
):
    """out[k, p] = constantₖ - ½ Σᵢ ((x_pi - μₖᵢ) fₖᵢ)², for `vectors` vectors of points at a time.

    `points` (d, pitch) has a row per feature; `length` is rounded up to whole blocks. Without
    `scaled` (literal, 0 or 1) the factors are taken to be 1. The sum is limited to the
    farthest.
    """
    n_vectors, width = vectors.literal_value, n_bytes.literal_value

    def codegen(context, builder, signature, arguments):
        points_, means_, factors_, constants_, k_, length_, out_ = arguments[:7]
        zero = i64(0)
        v = Vectors(context, builder, context.get_value_type(points.dtype), width)
        x, pitch = v.pointer(points, points_, zero, zero)
        mean, n_features = v.pointer(means, means_, k_, zero)
        factor, _ = v.pointer(factors, factors_, k_, zero)
        target, _ = v.pointer(out, out_, k_, zero)
        constant = v.splat(builder.load(v.pointer(constants, constants_, k_)[0]))
        with v.loop(length_, n_vectors * v.lanes) as p:
            sums = v.accumulators(n_vectors)
            with v.loop(n_features) as i:
                shift = v.splat(builder.load(v.at(mean, i)))
                scale = v.splat(builder.load(v.at(factor, i))) if scaled.literal_value else None
                row = v.at(x, builder.add(builder.mul(i, pitch), p))
                for c, variable in enumerate(sums):
                    y = builder.fsub(v.load(v.at(row, c * v.lanes)), shift)
                    y = builder.fmul(y, scale) if scale else y
                    builder.store(v.fma(y, y, builder.load(variable)), variable)
            for c, variable in enumerate(sums):
                density = v.log_density(constant, builder.load(variable))
                v.store(density, v.at(v.at(target, p), c * v.lanes))
        return context.get_dummy_value()

    intp = types.intp
    signature = types.void(
        points, means, factors, constants, intp, intp, out, scaled, vectors, n_bytes
    )
    return signature, codegen


def _add_axis_moments_twin(points, i, means, shares, k, length, first, second, features, n_bytes):
    rows = slice(i, i + features)
    centred = (points[rows, :length] - means[k, rows, None]).astype(np.float64)
    first[k, rows] += centred @ shares[k, :length]
    second[k, rows] += centred**2 @ shares[k, :length]


@register_block(_add_axis_moments_twin)
def add_axis_moments(
    typingctx, points, i, means, shares, k, length, first, second, features, n_bytes
):
    """Add Σ_p r_p c_p to first[k] and Σ_p r_p c_p² to second[k], for `features` features from i.

    Arguments as in `axis_log_density`; r_p = shares[k, p], c_p = x_p - μₖ.
    """
    n, width = features.literal_value, n_bytes.literal_value

    def codegen(context, builder, signature, arguments):
        points_, i_, means_, shares_, k_, length_, first_, second_ = arguments[:8]
        zero = i64(0)
        v = Vectors(context, builder, context.get_value_type(points.dtype), width)
        x, pitch = v.pointer(points, points_, i_, zero)
        mean, _ = v.pointer(means, means_, k_, i_)
        share, _ = v.pointer(shares, shares_, k_, zero)
        first_out, _ = v.pointer(first, first_, k_, i_)
        second_out, _ = v.pointer(second, second_, k_, i_)
        first_sums, second_sums = v.accumulators(n), v.accumulators(n)
        shifts = [v.splat(builder.load(v.at(mean, f))) for f in range(n)]
        with v.loop(length_, v.lanes) as p:
            r = v.load(v.at(share, p))
            for f in range(n):
                row = v.at(x, builder.add(builder.mul(i64(f), pitch), p))
                centred = builder.fsub(v.load(row), shifts[f])
                weighted = builder.fmul(r, centred)
                total = builder.fadd(builder.load(first_sums[f]), weighted)
                builder.store(total, first_sums[f])
                square = v.fma(weighted, centred, builder.load(second_sums[f]))
                builder.store(square, second_sums[f])
        v.add_totals(first_sums, first_out)
        v.add_totals(second_sums, second_out)
        return context.get_dummy_value()

    intp = types.intp
    signature = types.void(
        points, intp, means, shares, intp, intp, first, second, features, n_bytes
    )
    return signature, codegen
