"""Densities and moments of diagonal models, a vector of points at a time."""

from __future__ import annotations

import numpy as np
from numba import types

from fastgmm.kernels.codegen.vectors import Vectors, i64, log_density_of_squares
from fastgmm.kernels.jit.settings import register_block

# What the factors of `log_density_of_diagonals` multiply.
NOTHING, FEATURES, DISTANCES = 0, 1, 2


def _log_density_of_diagonals_twin(
    points, means, factors, constants, length, out, kept, scaled, *_
):
    for k, mean in enumerate(means):
        y = points[: means.shape[1], :length] - mean[:, None]
        if scaled == FEATURES:
            y = y * factors[k, :, None]
        squares = (y * y).sum(axis=0)
        if scaled == DISTANCES:
            kept[k, :length] = np.fmin(squares, np.finfo(kept.dtype).max)
            squares = squares * factors[k] * factors[k]
        out[k, :length] = log_density_of_squares(constants[k], squares)


# Wide: numba hands a block each array and index by itself.
@register_block(_log_density_of_diagonals_twin)
def log_density_of_diagonals(
    typingctx, points, means, factors, constants, length, out, kept, scaled, vectors, n_bytes
):
    """out[k, p] = constantₖ - ½ Σᵢ ((x_pi - μₖᵢ) fₖᵢ)² for all components k.

    `points` (d, pitch) has a row per feature; `length` is rounded up to whole blocks of `vectors`
    vectors of points. A block stays in a cache for all components, of which two share its loads.
    What the factors multiply is `scaled` (literal): nothing, each feature, or the distances, which
    are then kept, made finite. The sum is limited to the farthest.
    """
    n_vectors, width = vectors.literal_value, n_bytes.literal_value

    def codegen(context, builder, signature, arguments):
        points_, means_, factors_, constants_, length_, out_, kept_ = arguments[:7]
        zero = i64(0)
        v = Vectors(context, builder, context.get_value_type(points.dtype), width)
        x, pitch = v.pointer(points, points_, zero, zero)
        mean, n_features = v.pointer(means, means_, zero, zero)
        n_components = v.length(means, means_)
        factor, _ = v.pointer(factors, factors_, *[zero] * factors.ndim)
        constant, _ = v.pointer(constants, constants_, zero)
        target, out_pitch = v.pointer(out, out_, zero, zero)
        kept_target, _ = v.pointer(kept, kept_, zero, zero)

        def distances(p, k, together):
            """Those of a block of points from a few components, which share its loads."""
            sums = [v.accumulators(n_vectors) for _ in range(together)]
            rows = [builder.mul(builder.add(k, i64(c)), n_features) for c in range(together)]
            with v.loop(n_features) as i:
                row = v.at(x, builder.add(builder.mul(i, pitch), p))
                loaded = [v.load(v.at(row, c * v.lanes)) for c in range(n_vectors)]
                for first, variables in zip(rows, sums, strict=True):
                    place = builder.add(first, i)
                    shift = v.splat(builder.load(v.at(mean, place)))
                    for vector, variable in zip(loaded, variables, strict=True):
                        y = builder.fsub(vector, shift)
                        if scaled.literal_value == FEATURES:
                            y = builder.fmul(y, v.splat(builder.load(v.at(factor, place))))
                        builder.store(v.fma(y, y, builder.load(variable)), variable)
            for c, variables in enumerate(sums):
                component = builder.add(k, i64(c))
                row = builder.add(builder.mul(component, out_pitch), p)
                log_constant = v.splat(builder.load(v.at(constant, component)))
                for q, variable in enumerate(variables):
                    squares, place = builder.load(variable), builder.add(row, i64(q * v.lanes))
                    if scaled.literal_value == DISTANCES:
                        v.store(v.finite(squares), v.at(kept_target, place))
                        scale = v.splat(builder.load(v.at(factor, component)))
                        squares = builder.fmul(builder.fmul(squares, scale), scale)
                    v.store(v.log_density(log_constant, squares), v.at(target, place))

        with v.loop(length_, n_vectors * v.lanes) as p:
            pairs = builder.and_(n_components, i64(-2))
            with v.loop(pairs, 2) as k:
                distances(p, k, 2)
            with v.loop(builder.sub(n_components, pairs)) as k:
                distances(p, builder.add(pairs, k), 1)
        return context.get_dummy_value()

    signature = types.void(
        points, means, factors, constants, types.intp, out, kept, scaled, vectors, n_bytes
    )
    return signature, codegen


# Wide: as the block itself.
def _add_moments_of_diagonals_twin(
    points, i, means, shares, k, length, first, second, features, squared, n_bytes
):
    rows = slice(i, i + features)
    centred = (points[rows, :length] - means[k, rows, None]).astype(np.float64)
    weighted = centred * shares[k, :length]
    first[k, rows] += weighted.sum(axis=1)
    if squared:
        second[k, rows] += (weighted * centred).sum(axis=1)


# Wide: numba hands a block each array and index by itself.
@register_block(_add_moments_of_diagonals_twin)
def add_moments_of_diagonals(
    typingctx, points, i, means, shares, k, length, first, second, features, squared, n_bytes
):
    """Add Σ_p r_p c_p to first[k] and Σ_p r_p c_p² to second[k], for `features` features from i.

    Points as in `log_density_of_diagonals`; r_p = shares[k, p], c_p = x_p - μₖ. Without `squared`
    (literal, 0 or 1) there are first moments alone.
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
        first_sums = v.accumulators(n)
        second_sums = v.accumulators(n if squared.literal_value else 0)
        shifts = [v.splat(builder.load(v.at(mean, f))) for f in range(n)]
        with v.loop(length_, v.lanes) as p:
            r = v.load(v.at(share, p))
            for f in range(n):
                row = v.at(x, builder.add(builder.mul(i64(f), pitch), p))
                centred = builder.fsub(v.load(row), shifts[f])
                if not squared.literal_value:
                    total = v.fma(r, centred, builder.load(first_sums[f]))
                    builder.store(total, first_sums[f])
                    continue
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
        points, intp, means, shares, intp, intp, first, second, features, squared, n_bytes
    )
    return signature, codegen
