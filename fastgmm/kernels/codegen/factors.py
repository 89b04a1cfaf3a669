"""Factors of many small matrices at once: vectors run over the matrices."""

from __future__ import annotations

import numpy as np
from numba import types
from numba.core import cgutils

from fastgmm.kernels.codegen.vectors import Vectors, i64
from fastgmm.kernels.jit.settings import register_block


def _invert_factors_twin(matrices, n_bytes):
    upper = np.triu(np.moveaxis(matrices, 2, 0))
    for k, matrix in enumerate(upper):
        try:
            R = np.linalg.cholesky(matrix + np.triu(matrix, 1).T).T
            matrices[:, :, k] = np.triu(np.linalg.inv(R)) + np.tril(matrices[:, :, k], -1)
        except np.linalg.LinAlgError:
            np.einsum("ii->i", matrices[:, :, k])[...] = np.nan


@register_block(_invert_factors_twin)
def invert_factors(typingctx, matrices, n_bytes):
    """Replace the upper triangles of Σ = Rᵀ R by those of R⁻¹; `matrices` are (d, d, pitch).

    The last axis is of matrices, whose number is rounded up to whole vectors of `n_bytes`
    (literal). Where one is not positive definite, a number on its diagonal is NaN or infinite, or
    all after it are NaN.
    """
    width = n_bytes.literal_value

    def codegen(context, builder, signature, arguments):
        zero, one = i64(0), i64(1)
        v = Vectors(context, builder, context.get_value_type(matrices.dtype), width)
        first, pitch = v.pointer(matrices, arguments[0], zero, zero, zero)
        d = v.length(matrices, arguments[0])

        def between(start, stop):
            return cgutils.for_range_slice(builder, start, stop, one, intp=i64)

        with v.loop(pitch, v.lanes) as lane:

            def at(i, j):
                place = builder.mul(builder.add(builder.mul(i, d), j), pitch)
                return v.at(first, builder.add(place, lane))

            # R by rows; on its diagonal, what is there of its inverse.
            with v.loop(d) as j:
                following = builder.add(j, one)
                root = v.inverse_root(v.load(at(j, j)))
                v.store(root, at(j, j))
                with between(following, d) as (i, _):
                    v.store(builder.fmul(v.load(at(j, i)), root), at(j, i))
                with between(following, d) as (i, _):
                    left = builder.fneg(v.load(at(j, i)))
                    with between(i, d) as (c, _):
                        v.store(v.fma(left, v.load(at(j, c)), v.load(at(i, c))), at(i, c))
            # R⁻¹ by columns, from the top, where R is no longer needed.
            with v.loop(d) as j:
                last = builder.fneg(v.load(at(j, j)))
                with v.loop(j) as i:
                    total = v.accumulators(1)[0]
                    with between(i, j) as (c, _):
                        product = v.fma(v.load(at(i, c)), v.load(at(c, j)), builder.load(total))
                        builder.store(product, total)
                    v.store(builder.fmul(builder.load(total), last), at(i, j))
        return context.get_dummy_value()

    return types.void(matrices, n_bytes), codegen
