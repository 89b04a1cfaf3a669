"""Requests for memory that will be read soon."""

from __future__ import annotations

from llvmlite import ir
from numba import types
from numba.core import cgutils

from fastgmm.kernels.codegen.vectors import Vectors, i64
from fastgmm.kernels.jit.settings import register_block

CACHE_LINE = 64


def _prefetch_twin(flat, first, stop):
    """Nothing can be seen of it."""


@register_block(_prefetch_twin)
def prefetch(typingctx, flat, first, stop):
    """Ask for flat[first:stop] to be brought to the second-level cache, and do not wait.

    Beyond the end of the array nothing is read, and no harm done.
    """

    def codegen(context, builder, signature, arguments):
        flat_, first_, stop_ = arguments
        v = Vectors(context, builder, context.get_value_type(flat.dtype), CACHE_LINE)
        start, _ = v.pointer(flat, flat_, *[i64(0)] * flat.ndim)
        address, i32 = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [address, i32, i32, i32])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        to_read, to_second_level, data = i32(0), i32(2), i32(1)
        with v.loop(stop_, v.lanes, start=first_, optimized=False) as i:
            place = builder.bitcast(v.at(start, i), address)
            builder.call(function, [place, to_read, to_second_level, data])
        return context.get_dummy_value()

    return types.void(flat, types.intp, types.intp), codegen
