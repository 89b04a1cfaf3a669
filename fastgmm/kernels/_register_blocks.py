"""The innermost loops of the pass, as blocks of sums held in vector registers.

The compiler vectorizes simple loops well, but keeps the sums of a blocked loop in memory or
spills them. These blocks are therefore emitted with explicit vectors; the plain-numpy twin
of each says what it computes. Everything else in this folder is ordinary jitted Python.
"""

from __future__ import annotations

from contextlib import contextmanager

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils

from fastgmm.kernels._jit import register_block

_features = llvmlite.binding.get_host_cpu_features()
# Bytes of a vector register, and the vectors in a row of a block of four rows: 16 of the 32
# registers that AVX-512 has, 8 of the 16 elsewhere.
VECTOR_BYTES, VECTORS = (64, 4) if _features.get("avx512f") else (32, 2)
HALF_VECTOR, QUARTER_VECTOR = VECTOR_BYTES // 2, VECTOR_BYTES // 4
CHUNK_BYTES = VECTOR_BYTES * VECTORS

_i64 = ir.IntType(64)


class _Vectors:
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
        view = self.context.make_array(array_type)(self.context, self.builder, array)
        shape = cgutils.unpack_tuple(self.builder, view.shape)
        offset = indices[0]
        for length, index in zip(shape[1:], indices[1:], strict=True):
            offset = self.builder.add(self.builder.mul(offset, length), index)
        return self.builder.gep(view.data, [offset]), shape[-1]

    def at(self, pointer, offset):
        if isinstance(offset, int):
            offset = _i64(offset)
        return self.builder.gep(pointer, [offset])

    def load(self, pointer, element=None):
        vector = ir.VectorType(element or self.element, self.lanes)
        value = self.builder.load(self.builder.bitcast(pointer, vector.as_pointer()))
        value.align = 4 if isinstance(vector.element, ir.FloatType) else 8
        return value

    def store(self, value, pointer):
        address = self.builder.bitcast(pointer, value.type.as_pointer())
        self.builder.store(value, address).align = self.size

    def splat(self, scalar):
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

    def total(self, vector):
        """Sum of the lanes, as a double."""
        name = f"llvm.vector.reduce.fadd.v{self.lanes}f{8 * self.size}"
        function = ir.FunctionType(self.element, [self.element, self.type])
        total = self.builder.call(
            cgutils.get_or_insert_function(self.builder.module, function, name),
            [self.element(0.0), vector],
            fastmath=["reassoc"],
        )
        return self.builder.fpext(total, ir.DoubleType()) if self.size == 4 else total

    def accumulators(self, count):
        """Variables that the compiler keeps in registers, set to zero."""
        variables = [cgutils.alloca_once(self.builder, self.type) for _ in range(count)]
        for variable in variables:
            self.builder.store(self.zero, variable)
        return variables

    @contextmanager
    def loop(self, count, step=1):
        """Loop over 0, step, 2·step … below count; yields the index."""
        with cgutils.for_range_slice(self.builder, _i64(0), count, _i64(step), intp=_i64) as (
            index,
            _,
        ):
            yield index


def _product(v, rows, vectors, left, left_stride, right, right_stride, length):
    """Emit sums[r][c] = Σₜ left[t, r] · right[t, c], t < length; return the variables."""
    sums = [v.accumulators(vectors) for _ in range(rows)]
    with v.loop(length) as t:
        _rank_one(v, sums, v.at(left, v.builder.mul(t, left_stride)),
                  v.at(right, v.builder.mul(t, right_stride)))  # fmt: skip
    return sums


def _rank_one(v, sums, left, right, first_row=0):
    vectors = [v.load(v.at(right, c * v.lanes)) for c in range(len(sums[0]))]
    for r in range(first_row, len(sums)):
        scalar = v.splat(v.builder.load(v.at(left, r)))
        for c, vector in enumerate(vectors):
            v.builder.store(v.fma(scalar, vector, v.builder.load(sums[r][c])), sums[r][c])


def _add_product_twin(left, l0, lj, right, r0, rj, length, out, oi, oj, rows, vectors, n_bytes):
    columns = vectors * (n_bytes // right.itemsize)
    a = left[l0 : l0 + length, lj : lj + rows]
    out[oi : oi + rows, oj : oj + columns] += a.T @ right[r0 : r0 + length, rj : rj + columns]


@register_block(_add_product_twin)
def add_product(
    typingctx, left, l0, lj, right, r0, rj, length, out, oi, oj, rows, vectors, n_bytes
):
    """out[oi:, oj:] += left[l0:, lj:]ᵀ right[r0:, rj:] over `length` rows of both.

    The block of `out` has `rows` rows and `vectors` vectors of `n_bytes` (all three literal); it
    may have a wider dtype than the factors.
    """
    n_rows, n_vectors, width = rows.literal_value, vectors.literal_value, n_bytes.literal_value

    def codegen(context, builder, signature, arguments):
        left_, l0_, lj_, right_, r0_, rj_, length_, out_, oi_, oj_ = arguments[:10]
        v = _Vectors(context, builder, context.get_value_type(right.dtype), width)
        a, a_stride = v.pointer(left, left_, l0_, lj_)
        b, b_stride = v.pointer(right, right_, r0_, rj_)
        target, out_stride = v.pointer(out, out_, oi_, oj_)
        wide = context.get_value_type(out.dtype)
        for row in _product(v, n_rows, n_vectors, a, a_stride, b, b_stride, length_):
            for c, variable in enumerate(row):
                address = v.at(target, c * v.lanes)
                value = builder.load(variable)
                if wide != v.element:
                    value = builder.fpext(value, ir.VectorType(wide, v.lanes))
                v.store(builder.fadd(v.load(address, wide), value), address)
            target = v.at(target, out_stride)
        return context.get_dummy_value()

    intp = types.intp
    signature = types.void(
        left, intp, intp, right, intp, intp, intp, out, intp, intp, rows, vectors, n_bytes
    )
    return signature, codegen


def _add_squares_twin(factor, f0, points, length, squares, rows, vectors, n_bytes):
    y = factor[f0 : f0 + length + rows, :rows].T @ points[: length + rows]
    squares += (y * y).sum(axis=0)


@register_block(_add_squares_twin)
def add_squares(typingctx, factor, f0, points, length, squares, rows, vectors, n_bytes):
    """Add Σⱼ (Σᵢ factor[f0 + i, j] points[i])² to squares, j < `rows` columns of a triangle.

    Column j ends at its diagonal, row length + j; `points` has a row per feature and
    `vectors` vectors of `n_bytes` in each (both literal, like `rows`).
    """
    n_rows, n_vectors, width = rows.literal_value, vectors.literal_value, n_bytes.literal_value

    def codegen(context, builder, signature, arguments):
        factor_, f0_, points_, length_, squares_ = arguments[:5]
        zero = _i64(0)
        v = _Vectors(context, builder, context.get_value_type(points.dtype), width)
        a, a_stride = v.pointer(factor, factor_, f0_, zero)
        b, b_stride = v.pointer(points, points_, zero, zero)
        out, _ = v.pointer(squares, squares_, zero)
        sums = _product(v, n_rows, n_vectors, a, a_stride, b, b_stride, length_)
        for r in range(n_rows):  # the triangle at the diagonal
            t = builder.add(length_, _i64(r))
            left, right = v.at(a, builder.mul(t, a_stride)), v.at(b, builder.mul(t, b_stride))
            _rank_one(v, sums, left, right, first_row=r)
        for c in range(n_vectors):
            address = v.at(out, c * v.lanes)
            square = v.load(address)
            for r in range(n_rows):
                y = builder.load(sums[r][c])
                square = v.fma(y, y, square)
            v.store(square, address)
        return context.get_dummy_value()

    intp = types.intp
    return (
        types.void(factor, intp, points, intp, squares, rows, vectors, n_bytes),
        codegen,
    )


def _pack_row_twin(rows, p, means, k, factor, packed, q, n_bytes):
    packed[q] = (rows[p] - means[k]) * factor


@register_block(_pack_row_twin)
def pack_row(typingctx, rows, p, means, k, factor, packed, q, n_bytes):
    """packed[q] = (rows[p] - means[k]) · factor, for rows of whole vectors of `n_bytes`."""
    width = n_bytes.literal_value

    def codegen(context, builder, signature, arguments):
        rows_, p_, means_, k_, factor_, packed_, q_ = arguments[:7]
        zero = _i64(0)
        v = _Vectors(context, builder, context.get_value_type(rows.dtype), width)
        row, length = v.pointer(rows, rows_, p_, zero)
        mean, _ = v.pointer(means, means_, k_, zero)
        target, _ = v.pointer(packed, packed_, q_, zero)
        scale = v.splat(factor_)
        with v.loop(length, v.lanes) as i:
            centred = builder.fsub(v.load(v.at(row, i)), v.load(v.at(mean, i)))
            v.store(builder.fmul(centred, scale), v.at(target, i))
        return context.get_dummy_value()

    intp = types.intp
    return types.void(rows, intp, means, intp, rows.dtype, packed, intp, n_bytes), codegen


def _small_distances_twin(points, means, factors, k, length, out, d, n_bytes):
    factor = np.zeros((d, d), points.dtype)
    factor[np.tril_indices(d)] = factors[k]
    y = factor @ (points[:d, :length] - means[k, :, None])
    out[k, :length] = (y * y).sum(axis=0)


@register_block(_small_distances_twin)
def small_distances(typingctx, points, means, factors, k, length, out, d, n_bytes):
    """out[k, p] = ‖Uₖᵀ(x_p - μₖ)‖² with every feature in a register, d literal and small.

    `points` (d, pitch) has a row per feature; `factors` (K, d(d+1)/2) holds U's columns one
    after the other. `length` is rounded up to whole vectors.
    """
    n, width = d.literal_value, n_bytes.literal_value

    def codegen(context, builder, signature, arguments):
        points_, means_, factors_, k_, length_, out_ = arguments[:6]
        zero = _i64(0)
        v = _Vectors(context, builder, context.get_value_type(points.dtype), width)
        x, pitch = v.pointer(points, points_, zero, zero)
        mean, _ = v.pointer(means, means_, k_, zero)
        factor, _ = v.pointer(factors, factors_, k_, zero)
        target, _ = v.pointer(out, out_, k_, zero)
        with v.loop(length_, v.lanes) as p:
            centred = [
                builder.fsub(
                    v.load(v.at(x, builder.add(builder.mul(_i64(i), pitch), p))),
                    v.splat(builder.load(v.at(mean, i))),
                )
                for i in range(n)
            ]
            distance, position = v.zero, 0
            for j in range(n):
                y = v.zero
                for i in range(j + 1):
                    entry = v.splat(builder.load(v.at(factor, position)))
                    y = v.fma(entry, centred[i], y)
                    position += 1
                distance = v.fma(y, y, distance)
            v.store(distance, v.at(target, p))
        return context.get_dummy_value()

    intp = types.intp
    return types.void(points, means, factors, intp, intp, out, d, n_bytes), codegen


def _add_small_moments_twin(points, means, shares, k, length, first, second, d, n_bytes):
    centred = (points[:d, :length] - means[k, :, None]).astype(np.float64)
    weighted = shares[k, :length] * centred
    first[k] += weighted.sum(axis=1)
    second[k, :d, :d] += np.triu(weighted @ centred.T)


@register_block(_add_small_moments_twin)
def add_small_moments(typingctx, points, means, shares, k, length, first, second, d, n_bytes):
    """first[k] += Σ_p r_p c_p and second[k] += Σ_p r_p c_p c_pᵀ (upper triangle), c_p = x_p - μₖ.

    Arguments as in `small_distances`; r_p = shares[k, p].
    """
    n, width = d.literal_value, n_bytes.literal_value

    def codegen(context, builder, signature, arguments):
        points_, means_, shares_, k_, length_, first_, second_ = arguments[:7]
        zero = _i64(0)
        v = _Vectors(context, builder, context.get_value_type(points.dtype), width)
        x, pitch = v.pointer(points, points_, zero, zero)
        mean, _ = v.pointer(means, means_, k_, zero)
        share, _ = v.pointer(shares, shares_, k_, zero)
        first_out, _ = v.pointer(first, first_, k_, zero)
        second_out, second_stride = v.pointer(second, second_, k_, zero, zero)
        for start, stop in _bands(n):
            first_sums = v.accumulators(stop - start)
            second_sums = [v.accumulators(n - i) for i in range(start, stop)]
            with v.loop(length_, v.lanes) as p:
                centred = [
                    builder.fsub(
                        v.load(v.at(x, builder.add(builder.mul(_i64(i), pitch), p))),
                        v.splat(builder.load(v.at(mean, i))),
                    )
                    for i in range(start, n)
                ]
                r = v.load(v.at(share, p))
                for i in range(stop - start):
                    weighted = builder.fmul(r, centred[i])
                    total = builder.fadd(builder.load(first_sums[i]), weighted)
                    builder.store(total, first_sums[i])
                    for j, variable in enumerate(second_sums[i]):
                        product = v.fma(weighted, centred[i + j], builder.load(variable))
                        builder.store(product, variable)
            for i in range(start, stop):
                _add_total(v, first_sums[i - start], v.at(first_out, i))
                row = v.at(second_out, builder.mul(_i64(i), second_stride))
                for j, variable in enumerate(second_sums[i - start]):
                    _add_total(v, variable, v.at(row, i + j))
        return context.get_dummy_value()

    intp = types.intp
    return types.void(points, means, shares, intp, intp, first, second, d, n_bytes), codegen


def _axis_distances_twin(points, means, factors, k, length, out, scaled, vectors, n_bytes):
    y = points[: means.shape[1], :length] - means[k, :, None]
    if scaled:
        y = y * factors[k, :, None]
    out[k, :length] = (y * y).sum(axis=0)


@register_block(_axis_distances_twin)
def axis_distances(typingctx, points, means, factors, k, length, out, scaled, vectors, n_bytes):
    """out[k, p] = Σᵢ ((x_pi - μₖᵢ) fₖᵢ)², for `vectors` vectors of points at a time.

    `points` (d, pitch) has a row per feature; `length` is rounded up to whole blocks. Without
    `scaled` (literal, 0 or 1) the factors are taken to be 1.
    """
    n_vectors, width = vectors.literal_value, n_bytes.literal_value

    def codegen(context, builder, signature, arguments):
        points_, means_, factors_, k_, length_, out_ = arguments[:6]
        zero = _i64(0)
        v = _Vectors(context, builder, context.get_value_type(points.dtype), width)
        x, pitch = v.pointer(points, points_, zero, zero)
        mean, n_features = v.pointer(means, means_, k_, zero)
        factor, _ = v.pointer(factors, factors_, k_, zero)
        target, _ = v.pointer(out, out_, k_, zero)
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
                v.store(builder.load(variable), v.at(v.at(target, p), c * v.lanes))
        return context.get_dummy_value()

    intp = types.intp
    signature = types.void(points, means, factors, intp, intp, out, scaled, vectors, n_bytes)
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

    Arguments as in `axis_distances`; r_p = shares[k, p].
    """
    n, width = features.literal_value, n_bytes.literal_value

    def codegen(context, builder, signature, arguments):
        points_, i_, means_, shares_, k_, length_, first_, second_ = arguments[:8]
        zero = _i64(0)
        v = _Vectors(context, builder, context.get_value_type(points.dtype), width)
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
                row = v.at(x, builder.add(builder.mul(_i64(f), pitch), p))
                centred = builder.fsub(v.load(row), shifts[f])
                weighted = builder.fmul(r, centred)
                total = builder.fadd(builder.load(first_sums[f]), weighted)
                builder.store(total, first_sums[f])
                square = v.fma(weighted, centred, builder.load(second_sums[f]))
                builder.store(square, second_sums[f])
        for f in range(n):
            _add_total(v, first_sums[f], v.at(first_out, f))
            _add_total(v, second_sums[f], v.at(second_out, f))
        return context.get_dummy_value()

    intp = types.intp
    signature = types.void(
        points, intp, means, shares, intp, intp, first, second, features, n_bytes
    )
    return signature, codegen


def _add_total(v, variable, address):
    total = v.total(v.builder.load(variable))
    v.builder.store(v.builder.fadd(v.builder.load(address), total), address)


def _bands(d, most=24):
    """Runs of rows of a triangle whose sums fit in `most` registers together."""
    start = 0
    while start < d:
        stop = start + 1
        while stop < d and sum(d - i + 1 for i in range(start, stop + 1)) <= most:
            stop += 1
        yield start, stop
        start = stop
