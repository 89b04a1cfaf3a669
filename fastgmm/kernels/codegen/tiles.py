"""Blocks that prepare a tile: its transposition, and the exponentials of its log-densities."""

from __future__ import annotations

import math

import numpy as np
from llvmlite import ir
from numba import types

from fastgmm.kernels.codegen.logarithm import LN2_HIGH, LN2_HIGH32, LN2_LOW, LN2_LOW32
from fastgmm.kernels.codegen.vectors import Vectors, i64
from fastgmm.kernels.jit.settings import register_block

# Features and points of a block that is transposed in registers.
SQUARE = 8

# (eʳ - 1) / r for |r| ≤ ½ log 2, lowest power first; `tools/polynomials` prints them.
EXP_TAIL = {
    8: (
        1.0,
        0.50000000000000056,
        0.16666666666666671,
        0.041666666666573143,
        0.0083333333333261409,
        0.0013888888932488598,
        0.00019841269874800492,
        2.4801504346997687e-5,
        2.7557255425746434e-6,
        2.7626357241447223e-7,
        2.5105206373957011e-8,
    ),
    4: (
        1.00000001077,
        0.500000001346,
        0.166665052604,
        0.041666465006,
        0.00836914849086,
        0.0013933641032,
    ),
}
# By the bytes of a number, as above.
LN2_PARTS = {
    8: (LN2_HIGH, LN2_LOW),
    4: (float(LN2_HIGH32), float(LN2_LOW32)),
}
LOG2_E = 1.4426950408889634


def _transpose_square_twin(flat, start, row_stride, points, chunk, i, p):
    rows = start + row_stride * np.arange(SQUARE)[:, None] + np.arange(SQUARE)
    points[chunk, i : i + SQUARE, p : p + SQUARE] = flat[rows].T


@register_block(_transpose_square_twin)
def transpose_square(typingctx, flat, start, row_stride, points, chunk, i, p):
    """points[chunk, i + f, p + q] = flat[start + q · row_stride + f], for f, q < SQUARE."""

    def codegen(context, builder, signature, arguments):
        flat_, start_, stride_, points_, chunk_, i_, p_ = arguments
        element = context.get_value_type(points.dtype)
        v = Vectors(context, builder, element, SQUARE * points.dtype.bitwidth // 8)
        source, _ = v.pointer(flat, flat_, start_)
        target, pitch = v.pointer(points, points_, chunk_, i_, p_)
        rows = [v.load(v.at(source, builder.mul(i64(q), stride_))) for q in range(SQUARE)]
        for f, column in enumerate(v.transposed(rows)):
            v.store(column, v.at(target, builder.mul(i64(f), pitch)))
        return context.get_dummy_value()

    intp = types.intp
    return types.void(flat, intp, intp, points, intp, intp, intp), codegen


def _gather_columns_twin(flat, start, row_stride, column_stride, points, chunk, p):
    columns = start + column_stride * np.arange(points.shape[1])[:, None]
    points[chunk, :, p : p + SQUARE] = flat[columns + row_stride * np.arange(SQUARE)]


@register_block(_gather_columns_twin)
def gather_columns(typingctx, flat, start, row_stride, column_stride, points, chunk, p):
    """points[chunk, i, p + q] = flat[start + q · row_stride + i · column_stride], for q < SQUARE.

    The compiler would work out the place of each number anew, and whether it is negative.
    """

    def codegen(context, builder, signature, arguments):
        flat_, start_, row_stride_, column_stride_, points_, chunk_, p_ = arguments
        zero = i64(0)
        element = context.get_value_type(points.dtype)
        v = Vectors(context, builder, element, SQUARE * points.dtype.bitwidth // 8)
        source, _ = v.pointer(flat, flat_, start_)
        target, pitch = v.pointer(points, points_, chunk_, zero, p_)
        offsets = [builder.mul(i64(q), row_stride_) for q in range(SQUARE)]
        with v.loop(v.length(points, points_, 1)) as i:
            column = v.at(source, builder.mul(i, column_stride_))
            gathered = ir.Constant(v.type, ir.Undefined)
            for q, offset in enumerate(offsets):
                number = builder.load(v.at(column, offset))
                gathered = builder.insert_element(gathered, number, ir.IntType(32)(q))
            v.store(gathered, v.at(target, builder.mul(i, pitch)))
        return context.get_dummy_value()

    intp = types.intp
    return types.void(flat, intp, intp, intp, points, intp, intp), codegen


def _copy_run_twin(flat, start, rows, p, i):
    rows[p, i : i + SQUARE] = flat[start : start + SQUARE]


@register_block(_copy_run_twin)
def copy_run(typingctx, flat, start, rows, p, i):
    """rows[p, i + f] = flat[start + f], for f < SQUARE."""

    def codegen(context, builder, signature, arguments):
        flat_, start_, rows_, p_, i_ = arguments
        element = context.get_value_type(rows.dtype)
        v = Vectors(context, builder, element, SQUARE * rows.dtype.bitwidth // 8)
        source, _ = v.pointer(flat, flat_, start_)
        target, _ = v.pointer(rows, rows_, p_, i_)
        v.store(v.load(source), target)
        return context.get_dummy_value()

    intp = types.intp
    return types.void(flat, intp, rows, intp, intp), codegen


def _transpose_rows_twin(rows, indices, q, i, points, lane):
    chosen = rows[indices[q : q + SQUARE], i : i + SQUARE]
    points[0, i : i + SQUARE, lane : lane + SQUARE] = chosen.T


@register_block(_transpose_rows_twin)
def transpose_rows(typingctx, rows, indices, q, i, points, lane):
    """points[0, i + f, lane + r] = rows[indices[q + r], i + f], for f, r < SQUARE."""

    def codegen(context, builder, signature, arguments):
        rows_, indices_, q_, i_, points_, lane_ = arguments
        zero = i64(0)
        element = context.get_value_type(points.dtype)
        v = Vectors(context, builder, element, SQUARE * points.dtype.bitwidth // 8)
        source, pitch = v.pointer(rows, rows_, zero, i_)
        place, _ = v.pointer(indices, indices_, q_)
        target, target_pitch = v.pointer(points, points_, zero, i_, lane_)
        offsets = [builder.mul(builder.load(v.at(place, r)), pitch) for r in range(SQUARE)]
        chosen = [v.load(v.at(source, offset)) for offset in offsets]
        for f, column in enumerate(v.transposed(chosen)):
            v.store(column, v.at(target, builder.mul(i64(f), target_pitch)))
        return context.get_dummy_value()

    intp = types.intp
    return types.void(rows, indices, intp, intp, points, intp), codegen


def _exponentials_twin(shares, length, peak, total, n_bytes):
    a = shares[:, :length]
    peak[:length] = a.max(axis=0)
    with np.errstate(invalid="ignore", under="ignore"):
        np.exp(a - peak[:length], out=a)
    a[~(a >= np.finfo(a.dtype).smallest_normal)] = 0
    total[:length] = a.sum(axis=0)


# Long: three loops over one tile, whose vectors they share.
@register_block(_exponentials_twin)
def exponentials(typingctx, shares, length, peak, total, n_bytes):
    """peak[p] = maxₖ shares[k, p]; shares = exp(shares - peak); total[p] = Σₖ shares[k, p].

    What would fall below the smallest normal number is 0, as it is where all densities are.
    `length` is rounded up to whole pairs of vectors.

    With x = a - peak, n the integer nearest to x log₂ e and r = x - n log 2, eˣ = 2ⁿ eʳ: a
    polynomial, and an addition to the bits of its exponent (Muller, Elementary Functions, 3rd ed.,
    2016, chapter 11). With log 2 in two parts it is within 2 ulp.
    """
    width = n_bytes.literal_value
    itemsize = shares.dtype.bitwidth // 8
    mantissa, bias = (52, 1023) if itemsize == 8 else (23, 127)

    def codegen(context, builder, signature, arguments):
        shares_, length_, peak_, total_ = arguments[:4]
        zero = i64(0)
        v = Vectors(context, builder, context.get_value_type(shares.dtype), width)
        integers = ir.VectorType(ir.IntType(8 * itemsize), v.lanes)
        first, pitch = v.pointer(shares, shares_, zero, zero)
        peaks, _ = v.pointer(peak, peak_, zero)
        totals, _ = v.pointer(total, total_, zero)
        n_components = v.length(shares, shares_)
        # Adding 1.5·2⁵² rounds to an integer and leaves it in the low bits.
        rounder = v.constant(1.5 * 2.0**mantissa)
        exponent_shift = ir.Constant(integers, [mantissa] * v.lanes)
        coefficients = [v.constant(c) for c in EXP_TAIL[itemsize]]
        ln2_parts = [v.constant(-part) for part in LN2_PARTS[itemsize]]
        lowest = v.constant((1.5 - bias) * math.log(2))

        def exp_of_negative(x):
            rounded = v.fma(x, v.constant(LOG2_E), rounder)
            n = builder.fsub(rounded, rounder)
            r = x
            for part in ln2_parts:
                r = v.fma(n, part, r)
            power = coefficients[-1]
            for coefficient in coefficients[-2::-1]:
                power = v.fma(power, r, coefficient)
            power = v.fma(power, r, v.constant(1.0))
            exponent = builder.shl(builder.bitcast(rounded, integers), exponent_shift)
            scaled = builder.add(builder.bitcast(power, integers), exponent)
            normal = builder.fcmp_ordered(">", x, lowest)
            return builder.select(normal, builder.bitcast(scaled, v.type), v.zero)

        with v.loop(length_, 2 * v.lanes) as p:
            offsets = [p, builder.add(p, i64(v.lanes))]
            largest, sums = v.accumulators(2), v.accumulators(2)
            for offset, variable in zip(offsets, largest, strict=True):
                builder.store(v.load(v.at(first, offset)), variable)
            with v.loop(n_components) as k:
                row = v.at(first, builder.mul(k, pitch))
                for offset, variable in zip(offsets, largest, strict=True):
                    a, old = v.load(v.at(row, offset)), builder.load(variable)
                    larger = builder.fcmp_ordered(">", a, old)
                    builder.store(builder.select(larger, a, old), variable)
            with v.loop(n_components) as k:
                row = v.at(first, builder.mul(k, pitch))
                for offset, highest, variable in zip(offsets, largest, sums, strict=True):
                    address = v.at(row, offset)
                    share = exp_of_negative(builder.fsub(v.load(address), builder.load(highest)))
                    v.store(share, address)
                    builder.store(builder.fadd(builder.load(variable), share), variable)
            for offset, highest, variable in zip(offsets, largest, sums, strict=True):
                v.store(builder.load(highest), v.at(peaks, offset))
                v.store(builder.load(variable), v.at(totals, offset))
        return context.get_dummy_value()

    intp = types.intp
    return types.void(shares, intp, peak, total, n_bytes), codegen
