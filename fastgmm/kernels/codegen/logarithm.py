"""The logarithm of single numbers, written so that loops over it fill vector registers.

Numba calls the C library for `math.log`, which no compiler vectorizes. This one reduces the range
and evaluates a polynomial without branches (Muller, Elementary Functions, 3rd ed., 2016,
chapters 3 and 11). `tools/polynomials` prints the coefficients.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import overload

from fastgmm.kernels.jit.settings import register_block, worker
from fastgmm.kernels.jit.target import JIT_DISABLED

f32 = np.float32

# log 2 in two parts: the first has zeros at its end, so that n times it is exact.
LN2_HIGH, LN2_LOW = 0.6931471803691238, 1.9082149292705878161e-10
LN2_HIGH32, LN2_LOW32 = f32(0.693145751953125), f32(1.42860682031e-6)


def log(x):
    """Natural logarithm of a positive normal number, for float32 and float64."""
    return np.log(x)


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

    @overload(log)
    def _select_log(x):
        return (lambda x: _log32(x)) if x == types.float32 else (lambda x: _log64(x))


def _bits(value: Any) -> tuple[ir.Type, int, int]:
    """Integer type of the width of a float type, its mantissa bits and its exponent bias."""
    if value == types.float32:
        return ir.IntType(32), 23, 127
    return ir.IntType(64), 52, 1023


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
