"""Densities and moments of diagonal models, a vector of points at a time."""

from __future__ import annotations

import numpy as np
from llvmlite import ir
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
    vectors of points. A block stays in a cache for all components, of which four share its loads.
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
            first = i64(0)
            for together in (4, 2, 1):
                stop = builder.and_(n_components, i64(-together))
                with v.loop(stop, together, start=first) as k:
                    distances(p, k, together)
                first = stop
        return context.get_dummy_value()

    signature = types.void(
        points, means, factors, constants, types.intp, out, kept, scaled, vectors, n_bytes
    )
    return signature, codegen


# Wide: as the block itself.
def _add_moments_of_rows_twin(rows, chosen, count, shares, k, means, first, second, squared, *_):
    points, share = chosen[:count], shares[k, chosen[:count], None].astype(np.float64)
    centred = rows[points, : means.shape[1]] - means[k]
    first[k, : means.shape[1]] += (share * centred).sum(axis=0)
    if squared:
        second[k] += (share * centred * centred).sum(axis=0)


# Long: what it does twice, for whole vectors and the rest of the features, is within it.
@register_block(_add_moments_of_rows_twin)
def add_moments_of_rows(
    typingctx, rows, chosen, count, shares, k, means, first, second, squared, n_bytes
):
    """Add Σ r c to first[k] and, if `squared`, Σ r c² to second[k], over points that are chosen.

    Those are the first `count` of `chosen`; r = shares[k, p], c = rows[p] - means[k]. A vector of
    `n_bytes` of features at a time (both literal), then what is left of them.
    """
    with_squares = squared.literal_value

    def codegen(context, builder, signature, arguments):
        rows_, chosen_, count_, shares_, k_, means_, first_, second_ = arguments[:8]
        zero, element = i64(0), context.get_value_type(rows.dtype)

        def add_features(width, start, stop):
            v = Vectors(context, builder, element, width)
            row, pitch = v.pointer(rows, rows_, zero, zero)
            place, _ = v.pointer(chosen, chosen_, zero)
            share, _ = v.pointer(shares, shares_, k_, zero)
            mean, _ = v.pointer(means, means_, k_, zero)
            targets = [v.pointer(first, first_, k_, zero)[0]]
            if with_squares:
                targets.append(v.pointer(second, second_, k_, zero)[0])
            doubles = ir.VectorType(ir.DoubleType(), v.lanes)
            with v.loop(stop, v.lanes, start=start, optimized=False) as i:
                sums = v.accumulators(len(targets))
                shift = v.load(v.at(mean, i))
                with v.loop(count_, optimized=False) as q:
                    p = builder.load(v.at(place, q))
                    r = v.splat(builder.load(v.at(share, p)))
                    at = builder.add(builder.mul(p, pitch), i)
                    centred = builder.fsub(v.load(v.at(row, at)), shift)
                    weighted = builder.fmul(r, centred)
                    builder.store(builder.fadd(builder.load(sums[0]), weighted), sums[0])
                    if with_squares:
                        square = v.fma(weighted, centred, builder.load(sums[1]))
                        builder.store(square, sums[1])
                for variable, target in zip(sums, targets, strict=True):
                    total, at = builder.load(variable), v.at(target, i)
                    if v.size == 4:
                        total = builder.fpext(total, doubles)
                    address = builder.bitcast(at, doubles.as_pointer())
                    old = builder.load(address)
                    old.align = 8
                    builder.store(builder.fadd(old, total), address).align = 8

        _, d = Vectors(context, builder, element, n_bytes.literal_value).pointer(
            means, means_, zero, zero
        )
        lanes = n_bytes.literal_value // (rows.dtype.bitwidth // 8)
        whole = builder.and_(d, i64(-lanes))
        add_features(n_bytes.literal_value, zero, whole)
        add_features(rows.dtype.bitwidth // 8, whole, d)
        return context.get_dummy_value()

    n = types.intp
    signature = types.void(rows, chosen, n, shares, n, means, first, second, squared, n_bytes)
    return signature, codegen


# Wide: as the block itself.
def _add_moments_of_diagonals_twin(
    points, i, means, shares, k, length, first, second, features, components, squared, n_bytes
):
    rows = slice(i, i + features)
    for c in range(k, k + components):
        centred = (points[rows, :length] - means[c, rows, None]).astype(np.float64)
        weighted = centred * shares[c, :length]
        first[c, rows] += weighted.sum(axis=1)
        if squared:
            second[c, rows] += (weighted * centred).sum(axis=1)


# Wide: numba hands a block each array and index by itself.
@register_block(_add_moments_of_diagonals_twin)
def add_moments_of_diagonals(
    typingctx,
    points, i, means, shares, k, length, first, second, features, components, squared, n_bytes,
):  # fmt: skip
    """Add Σ_p r_p c_p to first[k] and Σ_p r_p c_p² to second[k], for a block of both.

    It has `features` from i and `components` from k. Points as in `log_density_of_diagonals`;
    r_p = shares[k, p], c_p = x_p - μₖ. Without `squared` (literal, 0 or 1) there are first moments
    alone.
    """
    n_features, n_components = features.literal_value, components.literal_value
    width, with_squares = n_bytes.literal_value, squared.literal_value

    def codegen(context, builder, signature, arguments):
        points_, i_, means_, shares_, k_, length_, first_, second_ = arguments[:8]
        zero = i64(0)
        v = Vectors(context, builder, context.get_value_type(points.dtype), width)
        x, pitch = v.pointer(points, points_, i_, zero)
        share, share_pitch = v.pointer(shares, shares_, k_, zero)
        of_component = [builder.add(k_, i64(c)) for c in range(n_components)]
        mean = [v.pointer(means, means_, c, i_)[0] for c in of_component]
        shifts = [[v.splat(builder.load(v.at(row, f))) for f in range(n_features)] for row in mean]
        first_sums = [v.accumulators(n_features) for _ in of_component]
        second_sums = [v.accumulators(n_features * with_squares) for _ in of_component]
        with v.loop(length_, v.lanes) as p:
            rows = [v.at(x, builder.add(builder.mul(i64(f), pitch), p)) for f in range(n_features)]
            values = [v.load(row) for row in rows]
            for c in range(n_components):
                r = v.load(v.at(share, builder.add(builder.mul(i64(c), share_pitch), p)))
                for f, value in enumerate(values):
                    centred, total = builder.fsub(value, shifts[c][f]), first_sums[c][f]
                    if not with_squares:
                        builder.store(v.fma(r, centred, builder.load(total)), total)
                        continue
                    weighted, square = builder.fmul(r, centred), second_sums[c][f]
                    builder.store(builder.fadd(builder.load(total), weighted), total)
                    builder.store(v.fma(weighted, centred, builder.load(square)), square)
        for c, number in enumerate(of_component):
            v.add_totals(first_sums[c], v.pointer(first, first_, number, i_)[0])
            v.add_totals(second_sums[c], v.pointer(second, second_, number, i_)[0])
        return context.get_dummy_value()

    n = types.intp
    signature = types.void(
        points, n, means, shares, n, n, first, second, features, components, squared, n_bytes
    )
    return signature, codegen
