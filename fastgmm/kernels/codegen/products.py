"""Blocks of matrix products, for the triangular factors and symmetric sums of large models."""

from __future__ import annotations

from collections.abc import Callable

from numba import types

from fastgmm.kernels.codegen.vectors import Vectors, i64
from fastgmm.kernels.jit.settings import register_block


def _product(v, rows, columns, left, left_stride, right, right_stride, length):
    """Emit sums[r][c] = Σₜ left[t, r] · right[t, c], t < length; return the variables.

    `columns` are pairs of a vector type and the place where such a vector begins.
    """
    sums = [[kind.accumulators(1)[0] for kind, _ in columns] for _ in range(rows)]
    with v.loop(length, optimized=False) as t:
        _rank_one(v, sums, columns, v.at(left, v.builder.mul(t, left_stride)),
                  v.at(right, v.builder.mul(t, right_stride)))  # fmt: skip
    return sums


def _rank_one(v, sums, columns, left, right, first_row=0):
    vectors = [kind.load(v.at(right, place)) for kind, place in columns]
    for r in range(first_row, len(sums)):
        scalar = v.builder.load(v.at(left, r))
        for (kind, _), vector, variable in zip(columns, vectors, sums[r], strict=True):
            product = kind.fma(kind.splat(scalar), vector, v.builder.load(variable))
            v.builder.store(product, variable)


# Wide: as the block itself.
def _add_product_twin(
    left, l0, lj, right, r0, rj, length, out, oi, oj, rows, vectors, n_bytes, halves=0
):
    columns = (2 * vectors + min(1, halves)) * (n_bytes // right.itemsize) // 2
    a = left[l0 : l0 + length, lj : lj + rows]
    out[oi : oi + rows, oj : oj + columns] += a.T @ right[r0 : r0 + length, rj : rj + columns]


# Wide: numba hands a block each array and index by itself.
def _add_product(
    typingctx, left, l0, lj, right, r0, rj, length, out, oi, oj, rows, vectors, n_bytes, halves
):
    """out[oi:, oj:] += left[l0:, lj:]ᵀ right[r0:, rj:] over `length` rows of both.

    The block of `out` has `rows` rows and `vectors` vectors of `n_bytes`; where `halves` is 1, half
    a vector comes before these, and where it is 2, after them (all four literal). It may have a
    wider dtype than the factors.
    """
    n_rows, n_vectors, width = rows.literal_value, vectors.literal_value, n_bytes.literal_value
    half = halves.literal_value

    def codegen(context, builder, signature, arguments):
        left_, l0_, lj_, right_, r0_, rj_, length_, out_, oi_, oj_ = arguments[:10]
        element = context.get_value_type(right.dtype)
        v = Vectors(context, builder, element, width)
        narrow = Vectors(context, builder, element, width // 2)
        start = narrow.lanes if half == 1 else 0
        columns = [(v, start + c * v.lanes) for c in range(n_vectors)]
        if half:
            columns.append((narrow, 0 if half == 1 else n_vectors * v.lanes))
        a, a_stride = v.pointer(left, left_, l0_, lj_)
        b, b_stride = v.pointer(right, right_, r0_, rj_)
        target, out_stride = v.pointer(out, out_, oi_, oj_)
        wide = context.get_value_type(out.dtype)
        for row in _product(v, n_rows, columns, a, a_stride, b, b_stride, length_):
            for (kind, place), variable in zip(columns, row, strict=True):
                kind.add_to(v.at(target, place), builder.load(variable), wide)
            target = v.at(target, out_stride)
        return context.get_dummy_value()

    intp = types.intp
    signature = types.void(
        left, intp, intp, right, intp, intp, intp, out, intp, intp, rows, vectors, n_bytes, halves
    )
    return signature, codegen


add_product = register_block(_add_product_twin)(_add_product)


def square_block(rows: int, vectors: int, n_bytes: int, halves: int) -> Callable:
    """Return the block of `add_product` where both factors are one array and begin with its rows.

    Numba calls it at once: a worker around `add_product` would have to be inlined.
    """
    sizes = rows, vectors, n_bytes, halves

    def twin(factor, i, j, length, out):
        _add_product_twin(factor, 0, i, factor, 0, j, length, out, i, j, *sizes)

    @register_block(twin)
    def add_square_block(typingctx, factor, i, j, length, out):
        n = types.intp
        literals = map(types.literal, sizes)
        _, product = _add_product(typingctx, factor, n, n, factor, n, n, n, out, n, n, *literals)

        def codegen(context, builder, signature, arguments):
            factor_, i_, j_, length_, out_ = arguments
            first = factor_, i64(0)
            product_arguments = [*first, i_, *first, j_, length_, out_, i_, j_]
            return product(context, builder, signature, product_arguments)

        return types.void(factor, n, n, n, out), codegen

    return add_square_block


# Wide: as the block itself.
def _add_squares_twin(
    factor, f0, points, chunk, means, k, centred, length, squares, rows, vectors, n_bytes
):
    new = slice(length, length + rows)
    centred[new] = points[chunk, new] - means[k, new, None]
    y = factor[f0 : f0 + length + rows, :rows].T @ centred[: length + rows]
    squares += (y * y).sum(axis=0)


# Wide: numba hands a block each array and index by itself.
@register_block(_add_squares_twin)
def add_squares(
    typingctx, factor, f0, points, chunk, means, k, centred, length, squares, rows, vectors, n_bytes
):
    """Add Σⱼ (Σᵢ factor[f0 + i, j] centred[i])² to squares, j < `rows` columns of a triangle.

    Column j ends at its diagonal, row length + j. Features from `length` on are centred here,
    centred[i] = points[chunk, i] - means[k, i], in the shadow of the products; the earlier ones
    have been. `centred` has a row per feature and `vectors` vectors of `n_bytes` in each (both
    literal, like `rows`).
    """
    n_rows, n_vectors, width = rows.literal_value, vectors.literal_value, n_bytes.literal_value

    def codegen(context, builder, signature, arguments):
        factor_, f0_, points_, chunk_, means_, k_, centred_, length_, squares_ = arguments[:9]
        zero = i64(0)
        v = Vectors(context, builder, context.get_value_type(points.dtype), width)
        a, a_stride = v.pointer(factor, factor_, f0_, zero)
        b, b_stride = v.pointer(centred, centred_, zero, zero)
        x, x_stride = v.pointer(points, points_, chunk_, zero, zero)
        mean, _ = v.pointer(means, means_, k_, zero)
        out, _ = v.pointer(squares, squares_, zero)
        columns = [(v, c * v.lanes) for c in range(n_vectors)]
        sums = _product(v, n_rows, columns, a, a_stride, b, b_stride, length_)
        for r in range(n_rows):  # the triangle at the diagonal
            t = builder.add(length_, i64(r))
            left, right = v.at(a, builder.mul(t, a_stride)), v.at(b, builder.mul(t, b_stride))
            point, shift = v.at(x, builder.mul(t, x_stride)), v.splat(builder.load(v.at(mean, t)))
            for c in range(n_vectors):
                difference = builder.fsub(v.load(v.at(point, c * v.lanes)), shift)
                v.store(difference, v.at(right, c * v.lanes))
            _rank_one(v, sums, columns, left, right, first_row=r)
        for c in range(n_vectors):
            address = v.at(out, c * v.lanes)
            square = v.load(address)
            for r in range(n_rows):
                y = builder.load(sums[r][c])
                square = v.fma(y, y, square)
            v.store(square, address)
        return context.get_dummy_value()

    intp = types.intp
    signature = types.void(
        factor, intp, points, intp, means, intp, centred, intp, squares, rows, vectors, n_bytes
    )
    return signature, codegen


# Wide: as the block itself.
def _bounding_squares_twin(
    factor, f0, points, chunk, means, k, length, squares, rows, vectors, n_bytes
):
    centred = points[chunk, :length] - means[k, :length, None]
    y = factor[f0 : f0 + length, :rows].T @ centred
    squares[:] = (y * y).sum(axis=0)


# Wide: numba hands a block each array and index by itself.
@register_block(_bounding_squares_twin)
def bounding_squares(
    typingctx, factor, f0, points, chunk, means, k, length, squares, rows, vectors, n_bytes
):
    """squares = Σⱼ (Σᵢ factor[f0 + i, j] (points[chunk, i] - means[k, i]))², i < length.

    For j < `rows` columns of a triangle, and `vectors` vectors of `n_bytes` (all three literal).
    """
    n_rows, n_vectors, width = rows.literal_value, vectors.literal_value, n_bytes.literal_value

    def codegen(context, builder, signature, arguments):
        factor_, f0_, points_, chunk_, means_, k_, length_, squares_ = arguments[:8]
        zero = i64(0)
        v = Vectors(context, builder, context.get_value_type(points.dtype), width)
        a, a_stride = v.pointer(factor, factor_, f0_, zero)
        x, x_stride = v.pointer(points, points_, chunk_, zero, zero)
        mean, _ = v.pointer(means, means_, k_, zero)
        out, _ = v.pointer(squares, squares_, zero)
        sums = [v.accumulators(n_vectors) for _ in range(n_rows)]
        with v.loop(length_) as t:
            point, left = v.at(x, builder.mul(t, x_stride)), v.at(a, builder.mul(t, a_stride))
            shift = v.splat(builder.load(v.at(mean, t)))
            centred = [
                builder.fsub(v.load(v.at(point, c * v.lanes)), shift) for c in range(n_vectors)
            ]
            for r, row in enumerate(sums):
                scalar = v.splat(builder.load(v.at(left, r)))
                for vector, variable in zip(centred, row, strict=True):
                    builder.store(v.fma(scalar, vector, builder.load(variable)), variable)
        for c in range(n_vectors):
            square = v.zero
            for row in sums:
                y = builder.load(row[c])
                square = v.fma(y, y, square)
            v.store(square, v.at(out, c * v.lanes))
        return context.get_dummy_value()

    intp = types.intp
    signature = types.void(
        factor, intp, points, intp, means, intp, intp, squares, rows, vectors, n_bytes
    )
    return signature, codegen


# Wide: as the block itself.
def _pack_columns_twin(rows, indices, means, k, roots, count, packed, j, vectors, n_bytes):
    columns = slice(j, j + vectors * (n_bytes // packed.itemsize))
    chosen = rows.reshape(-1, rows.shape[-1])[indices[:count], columns]
    packed[:count, columns] = (chosen - means[k, columns]) * roots[:count]


# Wide: numba hands a block each array and index by itself.
@register_block(_pack_columns_twin)
def pack_columns(typingctx, rows, indices, means, k, roots, count, packed, j, vectors, n_bytes):
    """packed[q, j:] = (rows[indices[q], j:] - means[k, j:]) · roots[q], q < count.

    For `vectors` vectors of `n_bytes` (both literal); the leading axes of `rows` count as one.
    """
    n_vectors, width = vectors.literal_value, n_bytes.literal_value

    def codegen(context, builder, signature, arguments):
        rows_, indices_, means_, k_, roots_, count_, packed_, j_ = arguments[:8]
        zero = i64(0)
        v = Vectors(context, builder, context.get_value_type(packed.dtype), width)
        source, pitch = v.pointer(rows, rows_, *[zero] * (rows.ndim - 1), j_)
        place, _ = v.pointer(indices, indices_, zero)
        root, _ = v.pointer(roots, roots_, zero, zero)
        mean, _ = v.pointer(means, means_, k_, j_)
        target, target_pitch = v.pointer(packed, packed_, zero, j_)
        shifts = [v.load(v.at(mean, c * v.lanes)) for c in range(n_vectors)]
        with v.loop(count_) as q:
            row = v.at(source, builder.mul(builder.load(v.at(place, q)), pitch))
            out = v.at(target, builder.mul(q, target_pitch))
            scale = v.splat(builder.load(v.at(root, q)))
            for c, shift in enumerate(shifts):
                centred = builder.fsub(v.load(v.at(row, c * v.lanes)), shift)
                v.store(builder.fmul(centred, scale), v.at(out, c * v.lanes))
        return context.get_dummy_value()

    intp = types.intp
    signature = types.void(rows, indices, means, intp, roots, intp, packed, intp, vectors, n_bytes)
    return signature, codegen
