"""Vector operations for the innermost loops, whose sums must stay in registers.

The compiler vectorizes simple loops well, but keeps the sums of a blocked loop in memory or
spills them. The blocks of this folder are therefore emitted with explicit vectors; the plain-numpy
twin of each block says what it computes. Everything else in this folder is ordinary jitted Python.
"""

from __future__ import annotations

from contextlib import contextmanager

import numpy as np
from llvmlite import ir
from numba.core import cgutils

from fastgmm._contract import farthest

i64 = ir.IntType(64)


# Squares that overflow in float64 and float32 are cut to these, so that half of one is finite.
# `_far.py` tells apart the components of a point that is so far from all of them.
LARGEST_SQUARE, LARGEST_SQUARE32 = farthest(np.float64), farthest(np.float32)


def log_density_of_squares(log_constant, squares):
    """What `Vectors.log_density` computes."""
    limit = farthest(squares.dtype)
    return log_constant - squares.dtype.type(0.5) * np.fmin(squares, limit)


class Vectors:
    """Emits the handful of vector operations that the blocks are made of."""

    def __init__(self, context, builder, element, n_bytes):
        self.context, self.builder = context, builder
        self.element = element
        self.size = 4 if isinstance(element, ir.FloatType) else 8
        self.lanes = n_bytes // self.size
        self.type = ir.VectorType(element, self.lanes)
        self.zero = ir.Constant(self.type, None)

    def pointer(self, array_type, array, *indices):
        """Address of an element of a C-contiguous array, and the array's last stride."""
        assert array_type.layout == "C"
        view = self.context.make_array(array_type)(self.context, self.builder, array)
        shape = cgutils.unpack_tuple(self.builder, view.shape)
        offset = indices[0]
        for length, index in zip(shape[1:], indices[1:], strict=True):
            offset = self.builder.add(self.builder.mul(offset, length), index)
        return self.builder.gep(view.data, [offset]), shape[-1]

    def length(self, array_type, array, axis=0):
        """Length of an array along an axis."""
        view = self.context.make_array(array_type)(self.context, self.builder, array)
        return cgutils.unpack_tuple(self.builder, view.shape)[axis]

    def at(self, pointer, offset):
        """Address of the element `offset` places on."""
        if isinstance(offset, int):
            offset = i64(offset)
        return self.builder.gep(pointer, [offset])

    def load(self, pointer, element=None):
        """One vector of elements from an address, aligned as one of them."""
        vector = ir.VectorType(element or self.element, self.lanes)
        value = self.builder.load(self.builder.bitcast(pointer, vector.as_pointer()))
        value.align = 4 if isinstance(vector.element, ir.FloatType) else 8
        return value

    def store(self, value, pointer):
        """Write a vector to an address."""
        address = self.builder.bitcast(pointer, value.type.as_pointer())
        self.builder.store(value, address).align = self.size

    def add_to(self, pointer, value, element):
        """Add a vector to numbers of `element`'s type, which may be wider, from an address on."""
        if element != self.element:
            value = self.builder.fpext(value, ir.VectorType(element, self.lanes))
        self.store(self.builder.fadd(self.load(pointer, element), value), pointer)

    def splat(self, scalar):
        """Return a vector with the same number in each lane."""
        first = self.builder.insert_element(
            ir.Constant(self.type, ir.Undefined), scalar, ir.IntType(32)(0)
        )
        mask = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), None)
        return self.builder.shuffle_vector(first, ir.Constant(self.type, ir.Undefined), mask)

    def fma(self, a, b, c):
        """a·b + c, fused where the processor can."""
        name = f"llvm.fmuladd.v{self.lanes}f{8 * self.size}"
        function = ir.FunctionType(self.type, [self.type] * 3)
        return self.builder.call(
            cgutils.get_or_insert_function(self.builder.module, function, name), [a, b, c]
        )

    def inverse_root(self, value):
        """1 / √value."""
        name = f"llvm.sqrt.v{self.lanes}f{8 * self.size}"
        kind = ir.FunctionType(self.type, [self.type])
        function = cgutils.get_or_insert_function(self.builder.module, kind, name)
        return self.builder.fdiv(self.constant(1.0), self.builder.call(function, [value]))

    def log_density(self, log_constant, distance):
        """log_constant - ½ distance, limited to the farthest."""
        limit = self.constant(LARGEST_SQUARE if self.size == 8 else LARGEST_SQUARE32)
        near = self.builder.fcmp_ordered("<", distance, limit)
        limited = self.builder.select(near, distance, limit)
        return self.fma(self.constant(-0.5), limited, log_constant)

    def finite(self, value):
        """The value, or the largest one that is finite."""
        largest = self.constant(LARGEST_SQUARE if self.size == 8 else LARGEST_SQUARE32)
        return self.builder.select(self.builder.fcmp_ordered("<", value, largest), value, largest)

    def add_totals(self, variables, address):
        """Add the sum of the lanes of each variable to doubles that follow one another.

        Vectors are merged in pairs, so that each addition serves twice as many of them as the
        one before.
        """
        sums = [self.builder.load(variable) for variable in variables]
        position = 0
        while position < len(sums):
            count = min(self.lanes, 2 ** ((len(sums) - position).bit_length() - 1))
            totals = self._totals(sums[position : position + count])
            if self.size == 4:
                totals = self.builder.fpext(totals, ir.VectorType(ir.DoubleType(), count))
            pointer = self.builder.bitcast(self.at(address, position), totals.type.as_pointer())
            old = self.builder.load(pointer)
            old.align = 8
            self.builder.store(self.builder.fadd(old, totals), pointer).align = 8
            position += count

    def _totals(self, vectors):
        """One vector with the total of each of `vectors`, a power of two of them."""
        stride = 1
        while len(vectors) > 1:
            vectors = [
                self._merged(a, b, stride) for a, b in zip(vectors[::2], vectors[1::2], strict=True)
            ]
            stride *= 2
        totals, lanes = vectors[0], self.lanes
        while lanes > stride:
            lanes //= 2
            low, high = range(lanes), range(lanes, 2 * lanes)
            totals = self.builder.fadd(
                self.shuffled(totals, totals, low), self.shuffled(totals, totals, high)
            )
        return totals

    def _merged(self, a, b, stride):
        """Sums of neighbouring runs of `stride` lanes of a, and of b, in turn."""
        return self.builder.fadd(*self._exchanged(a, b, stride))

    def _exchanged(self, a, b, stride):
        """Even runs of `stride` lanes of a and b in turn, and odd ones."""
        even = [lane for run in range(0, self.lanes, 2 * stride)
                for start in (run, self.lanes + run)
                for lane in range(start, start + stride)]  # fmt: skip
        odd = [lane + stride for lane in even]
        return self.shuffled(a, b, even), self.shuffled(a, b, odd)

    def transposed(self, rows):
        """Columns of a square matrix, as many rows as a vector has lanes."""
        stride = 1
        while stride < self.lanes:
            rows = list(rows)
            for i in range(self.lanes):
                if not i & stride:
                    rows[i], rows[i + stride] = self._exchanged(rows[i], rows[i + stride], stride)
            stride *= 2
        return rows

    def shuffled(self, a, b, lanes):
        """Vector of these lanes of a and b together."""
        mask = ir.Constant(ir.VectorType(ir.IntType(32), len(lanes)), list(lanes))
        return self.builder.shuffle_vector(a, b, mask)

    def constant(self, value):
        """Return a vector with the same constant in each lane."""
        return ir.Constant(self.type, [self.element(float(value))] * self.lanes)

    def accumulators(self, count):
        """Variables that the compiler keeps in registers, set to zero."""
        variables = [cgutils.alloca_once(self.builder, self.type) for _ in range(count)]
        for variable in variables:
            self.builder.store(self.zero, variable)
        return variables

    @contextmanager
    def loop(self, stop, step=1, *, start=None, optimized=True):
        """Loop over start (0), start + step … below stop; yields the index.

        Where it is not `optimized` the compiler repeats no statements, which takes its time.
        """
        with cgutils.for_range_slice(
            self.builder, i64(0) if start is None else start, stop, i64(step), intp=i64
        ) as (index, _):
            yield index
            last = self.builder.basic_block
        if not optimized:
            last.terminator.set_metadata("llvm.loop", self._as_it_is())

    def barrier(self, pointers):
        """Emit nothing that runs: what was stored at some addresses has to be loaded anew."""
        kind = ir.FunctionType(ir.VoidType(), [pointer.type for pointer in pointers])
        constraints = ",".join(["r"] * len(pointers) + ["~{memory}"])
        self.builder.asm(kind, "", constraints, pointers, side_effect=True)

    @contextmanager
    def while_any(self, variable):
        """Loop as long as the integer in a variable is not 0; yields it."""
        builder = self.builder
        test, body, done = (builder.append_basic_block(name) for name in ("test", "body", "done"))
        builder.branch(test)
        builder.position_at_end(test)
        bits = builder.load(variable)
        builder.cbranch(builder.icmp_unsigned("!=", bits, i64(0)), body, done)
        builder.position_at_end(body)
        yield bits
        builder.branch(test)
        builder.position_at_end(done)

    def _as_it_is(self):
        """What tells the compiler to neither unroll nor vectorize a loop; it names itself first."""
        module = self.builder.module
        metadata = module.add_metadata
        node = ir.MDValue(module, (), name=str(len(module.metadata)))
        node.operands = (
            node,
            metadata(["llvm.loop.unroll.disable"]),
            metadata(["llvm.loop.vectorize.enable", ir.IntType(1)(0)]),
        )
        return node
