"""exp and log of single numbers, written so that loops over them fill vector registers.

Numba calls the C library for `math.exp`, which no compiler vectorizes. These reduce the range
and evaluate a polynomial without branches (Muller, Elementary Functions, 3rd ed., 2016,
chapters 3 and 11). `tools/polynomials` prints the coefficients.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import overload

from fastgmm.kernels._jit import JIT_DISABLED, register_block, worker

f32 = np.float32

# log 2 in two parts: the first has zeros at its end, so that n times it is exact.
LN2_HIGH, LN2_LOW = 0.6931471803691238, 1.9082149292705878161e-10
LN2_HIGH32, LN2_LOW32 = f32(0.693145751953125), f32(1.42860682031e-6)
LOG2_E, LOG2_E32 = 1.4426950408889634, f32(1.4426950408889634)
# Adding 1.5·2⁵² rounds to an integer and leaves it in the low bits.
ROUNDER, ROUNDER32 = 1.5 * 2.0**52, f32(1.5 * 2.0**23)


def exp(x):
    """Exponential function for float32 and float64."""
    return np.exp(x)


def log(x):
    """Natural logarithm of a positive normal number, for float32 and float64."""
    return np.log(x)


@worker
def _exp64(x):
    x = -746.0 if x < -746.0 else x  # exp(-746) rounds to 0
    x = 710.0 if x > 710.0 else x  # exp(710) rounds to inf
    rounded = x * LOG2_E + ROUNDER
    n = rounded - ROUNDER
    r = (x - n * LN2_HIGH) - n * LN2_LOW
    q = 2.762007587998336659e-7 + r * 2.510037583256123366e-8
    q = 2.755726848031002553e-6 + r * q
    q = 0.00002480152132236869327 + r * q
    q = 0.0001984126986304054527 + r * q
    q = 0.001388888891719671908 + r * q
    q = 0.008333333333330064449 + r * q
    q = 0.0416666666666241619 + r * q
    q = 0.1666666666666666745 + r * q
    q = 0.5000000000000001021 + r * q
    return _scale_by_power_of_two(1.0 + (r + (r * r) * q), rounded, ROUNDER)


@worker
def _exp32(x):
    x = f32(-104.0) if x < f32(-104.0) else x
    x = f32(89.0) if x > f32(89.0) else x
    rounded = x * LOG2_E32 + ROUNDER32
    n = rounded - ROUNDER32
    r = (x - n * LN2_HIGH32) - n * LN2_LOW32
    q = f32(0.008363173075) + r * f32(0.001392617612)
    q = f32(0.04166655466) + r * q
    q = f32(0.1666657703) + r * q
    q = f32(0.5) + r * q
    return _scale_by_power_of_two(f32(1.0) + (r + (r * r) * q), rounded, ROUNDER32)


@worker
def _log64(x):
    m, n = _split_exponent(x)
    f = m - 1.0
    s = f / (2.0 + f)
    z = s * s
    p = 0.1533172160055604127 + z * 0.1461644968504340586
    p = 0.1818288912526172208 + z * p
    p = 0.2222221113479507986 + z * p
    p = 0.2857142862597548492 + z * p
    p = 0.3999999999989950449 + z * p
    p = 0.6666666666666669686 + z * p
    return n * LN2_HIGH + (2.0 * s + (s * z * p + n * LN2_LOW))


@worker
def _log32(x):
    m, n = _split_exponent(x)
    f = m - f32(1.0)
    s = f / (f32(2.0) + f)
    z = s * s
    p = f32(0.3998878057) + z * f32(0.2957994939)
    p = f32(0.6666668504) + z * p
    return n * LN2_HIGH32 + (f32(2.0) * s + (s * z * p + n * LN2_LOW32))


if not JIT_DISABLED:
    # Numba compares the signatures of both functions: no annotations here.

    @overload(exp)
    def _select_exp(x):
        return (lambda x: _exp32(x)) if x == types.float32 else (lambda x: _exp64(x))

    @overload(log)
    def _select_log(x):
        return (lambda x: _log32(x)) if x == types.float32 else (lambda x: _log64(x))


def _bits(value: Any) -> tuple[ir.Type, int, int]:
    """Integer type of the width of a float type, its mantissa bits and its exponent bias."""
    if value == types.float32:
        return ir.IntType(32), 23, 127
    return ir.IntType(64), 52, 1023


@register_block(lambda value, rounded, rounder: np.ldexp(value, int(rounded - rounder)))
def _scale_by_power_of_two(typingctx, value, rounded, rounder):
    """Return value · 2ⁿ with n = rounded - rounder, right down to the subnormal numbers."""

    def codegen(context, builder, signature, arguments):
        integer, mantissa, bias = _bits(value)
        n = builder.sub(
            builder.bitcast(arguments[1], integer), builder.bitcast(arguments[2], integer)
        )
        # Half of the exponent at a time: 2ⁿ itself may lie outside the range.
        half = builder.ashr(n, integer(1))
        product = arguments[0]
        for part in (half, builder.sub(n, half)):
            power = builder.shl(builder.add(part, integer(bias)), integer(mantissa))
            product = builder.fmul(product, builder.bitcast(power, arguments[0].type))
        return product

    return value(value, rounded, rounder), codegen


@register_block(lambda value: np.frexp(value))
def _split_exponent(typingctx, value):
    """Return (m, n) with value = m · 2ⁿ and m within [√½, √2)."""

    def codegen(context, builder, signature, arguments):
        integer, mantissa, bias = _bits(value)
        dtype = np.float32 if value == types.float32 else np.float64
        root = int(np.sqrt(dtype(0.5)).view(np.uint32 if mantissa == 23 else np.uint64))
        shifted = builder.add(
            builder.bitcast(arguments[0], integer), integer((bias << mantissa) - root)
        )
        n = builder.sub(builder.ashr(shifted, integer(mantissa)), integer(bias))
        fraction = builder.and_(shifted, integer((1 << mantissa) - 1))
        m = builder.bitcast(builder.add(fraction, integer(root)), arguments[0].type)
        return context.make_tuple(
            builder, signature.return_type, (m, builder.sitofp(n, arguments[0].type))
        )

    return types.UniTuple(value, 2)(value), codegen
