"""Each trick of the innermost loops beside the plain loops that it replaces.

The plain loops stand in whichever order was the fastest, and are compiled with the flags of the
kernels. They read the same tile, so that nothing but the trick is compared.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numba
import numpy as np

from fastgmm import kernels
from fastgmm.kernels import layouts, workspace
from fastgmm.kernels.codegen.diagonals import (
    FEATURES,
    NOTHING,
    add_moments_of_diagonals,
    log_density_of_diagonals,
)
from fastgmm.kernels.codegen.factors import invert_factors
from fastgmm.kernels.codegen.logarithm import log
from fastgmm.kernels.codegen.tiles import exponentials
from fastgmm.kernels.codegen.triangles import add_small_moments, small_log_density, triangle_order
from fastgmm.kernels.codegen.vectors import LARGEST_SQUARE
from fastgmm.kernels.density import log_density_of_chunks, tile_log_density
from fastgmm.kernels.jit.settings import FLAGS, REDUCTION_FLAGS
from fastgmm.kernels.jit.target import CHUNK_BYTES, VECTOR_BYTES, VECTORS
from fastgmm.kernels.moments_of_full import add_symmetric_product
from fastgmm.kernels.normalization import log_of_product
from fastgmm.kernels.pruning import pruned_log_density
from fastgmm.kernels.strided import as_strided
from fastgmm.kernels.tiles import tile_in_span, transpose_chunk

from .common import TINY, Case, _Gain, aligned, assert_agree

LENGTH = 64 if TINY else 512  # points of a tile
K = 2 if TINY else 8
REPEATS = 1 if TINY else 10


def repeated(function: Callable, flags: set[str]) -> Callable:
    """Compile a function, called so often that a call from Python costs nothing beside it."""
    function = numba.njit(function, fastmath=flags, error_model="numpy")

    @numba.njit
    def repeat(*arguments):
        for _ in range(REPEATS):
            function(*arguments)

    return repeat


def pair(
    plain: Callable,
    trick: Callable,
    inputs: tuple,
    outputs: tuple[np.ndarray, ...],
    compared: Callable[[np.ndarray], np.ndarray] = np.asarray,
) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return calls of both on the same inputs and outputs of their own, which agree.

    Plain sums may be reordered to fill vectors. Blocks have done that themselves.
    """
    own = [tuple(aligned(output) for output in outputs) for _ in range(2)]
    calls = (
        partial(repeated(plain, REDUCTION_FLAGS), *inputs, *own[0]),
        partial(repeated(trick, FLAGS), *inputs, *own[1]),
    )
    for call in calls:
        call()
    for expected, actual in zip(*own, strict=True):
        assert np.any(expected), "there is something to compare"
        assert_agree(compared(actual), compared(expected), expected.dtype.name)
    return calls


def plain_exponentials(a, shares, peak, total):
    """shares[k, p] = exp(aₖ - maxₖ aₖ), and their sum."""
    for p in range(a.shape[1]):
        peak[p] = a[0, p]
        total[p] = 0
    for k in range(a.shape[0]):
        for p in range(a.shape[1]):
            shares[k, p] = a[k, p]
            peak[p] = max(peak[p], a[k, p])
    for k in range(shares.shape[0]):
        for p in range(shares.shape[1]):
            shares[k, p] = np.exp(shares[k, p] - peak[p])
            total[p] += shares[k, p]


def block_of_exponentials(a, shares, peak, total):
    """The same with a polynomial, in registers."""
    for k in range(a.shape[0]):  # numba takes seconds to compile an assignment of whole arrays
        for p in range(a.shape[1]):
            shares[k, p] = a[k, p]
    exponentials(shares, shares.shape[1], peak, total, VECTOR_BYTES)


class Exponentials(_Gain):
    """exp by a polynomial, against the C library's; both copy their input first."""

    params = (["float64", "float32"],)
    param_names = ("dtype",)

    def setup(self, dtype):
        a = -30 * np.random.default_rng(0).random((K, LENGTH))
        row = np.zeros(LENGTH, dtype)
        a = aligned(a.astype(dtype))
        self.calls = pair(plain_exponentials, block_of_exponentials, (a,), (a, row, row))


def small_densities(d: int) -> tuple[Callable, Callable]:
    """constantₖ - ½ ‖Uₖᵀ(x - μₖ)‖² of few features: the plain loops, and the block."""

    def by_points(points, means, factors, constants, out):
        for k in range(out.shape[0]):
            for p in range(out.shape[1]):
                distance, position = 0.0, 0
                for j in range(d):
                    y = 0.0
                    for i in range(j + 1):
                        y += factors[k, position] * (points[i, p] - means[k, i])
                        position += 1
                    distance += y * y
                out[k, p] = constants[k] - 0.5 * min(distance, LARGEST_SQUARE)

    def by_columns(points, means, factors, constants, out):
        y = np.empty(out.shape[1])
        for k in range(out.shape[0]):
            distance, position = np.zeros(out.shape[1]), 0
            for j in range(d):
                y[:] = 0
                for i in range(j + 1):
                    for p in range(out.shape[1]):
                        y[p] += factors[k, position] * (points[i, p] - means[k, i])
                    position += 1
                for p in range(out.shape[1]):
                    distance[p] += y[p] * y[p]
            for p in range(out.shape[1]):
                out[k, p] = constants[k] - 0.5 * min(distance[p], LARGEST_SQUARE)

    def block(points, means, factors, constants, out):
        for k in range(out.shape[0]):
            small_log_density(
                points, means, factors, constants, k, out.shape[1], out, d, VECTOR_BYTES
            )

    # The compiler unrolls short triangles itself, and then takes a vector of points at a time.
    return by_points if d <= 8 else by_columns, block


class UnrolledDensities(_Gain):
    """A triangle unrolled into registers, against loops with as many features at compile time."""

    params = ([4, 8, 16],)
    param_names = ("d",)

    def setup(self, d):
        problem = Case("full", "float64", LENGTH, d, K).make()
        model = layouts.prepare_model(*problem.mixture, "full", np.dtype("float64"))
        inputs = (aligned(problem.X.T), *model[:3])
        self.calls = pair(*small_densities(d), inputs, (np.zeros((K, LENGTH)),))


def plain_triangular_densities(U, model, tiles, out):
    """constantₖ - ½ ‖Uₖᵀ(x - μₖ)‖², by chunks of points."""
    points, centred = tiles.points[0], tiles.scratch.centred[0]
    chunks, d, pitch = points.shape
    y, distance = np.empty(pitch), np.empty(pitch)
    for k in range(out.shape[0]):
        for chunk in range(chunks):
            for i in range(d):
                for p in range(pitch):
                    centred[i, p] = points[chunk, i, p] - model.means[k, i]
            distance[:] = 0
            for j in range(d):
                y[:] = 0
                for i in range(j + 1):
                    for p in range(pitch):
                        y[p] += U[k, i, j] * centred[i, p]
                for p in range(pitch):
                    distance[p] += y[p] * y[p]
            for p in range(pitch):
                density = model.log_constants[k] - 0.5 * min(distance[p], LARGEST_SQUARE)
                out[k, chunk * pitch + p] = density


def panels_of_triangular_densities(U, model, tiles, out):
    """The same with a panel of columns of U and a chunk of points in registers."""
    tile_log_density(model, tile_in_span(tiles, 0, tiles.scratch.rows[0], out), out.shape[1])


class TriangularDensities(_Gain):
    """Panels of a factor in registers, against a column at a time."""

    params = ([48, 64],)
    param_names = ("d",)

    def setup(self, d):
        pitch, dtype = CHUNK_BYTES // 8, np.dtype("float64")
        problem = Case("full", "float64", 4 * pitch, d, K).make()
        model = layouts.prepare_model(*problem.mixture, "full", dtype)
        tiles = workspace.allocate_tiles(model, 4 * pitch, dtype, n_threads=1, n_together=1)
        tiles.points[0] = problem.X.reshape(4, pitch, d).swapaxes(1, 2)
        self.calls = pair(
            plain_triangular_densities,
            panels_of_triangular_densities,
            (problem.precisions_cholesky, model, tiles),
            (np.zeros((K, 4 * pitch)),),
        )


def all_densities(model, tiles, out):
    """Log-densities of a tile under every component."""
    chunks = out.shape[1] // tiles.scratch.squares.shape[1]
    log_density_of_chunks(model, tile_in_span(tiles, 0, tiles.scratch.rows[0], out), 0, chunks)


def likely_densities(model, tiles, out):
    """The same where a bound leaves them possible."""
    pruned_log_density(model, tile_in_span(tiles, 0, tiles.scratch.rows[0], out), out.shape[1])


def exponentials_of(log_density):
    """Shares, but for their sum."""
    return np.exp(log_density - log_density.max(axis=0))


class LikelyDensities(_Gain):
    """Components that a bound leaves possible, against all; near 1 where clusters overlap."""

    params = (["apart", "overlapping"],)
    param_names = ("clusters",)

    def setup(self, clusters):
        dtype, d, n_components = np.dtype("float64"), 64, 8 if TINY else 32
        problem = Case("full", "float64", LENGTH, d, n_components).make()
        means, X = problem.means, problem.X
        if clusters == "apart":
            labels = kernels.assign(X, *problem.mixture, "full")
            means, X = 40 * means, X + 39 * means[labels]
        model = layouts.prepare_model(
            problem.weights, means, problem.precisions_cholesky, "full", dtype
        )
        tiles = workspace.allocate_tiles(model, LENGTH, dtype, n_threads=1, n_together=1)
        pitch = tiles.scratch.squares.shape[1]
        tiles.points[0] = X.reshape(-1, pitch, d).swapaxes(1, 2)
        rows = np.zeros((1, LENGTH, workspace.row_pitch(d)))
        rows[0, :, :d] = X
        self.calls = pair(
            all_densities,
            likely_densities,
            (model, tiles._replace(scratch=tiles.scratch._replace(rows=aligned(rows)))),
            (np.zeros((n_components, LENGTH)),),
            compared=exponentials_of,
        )


def axis_densities(scaled: bool) -> tuple[Callable, Callable]:
    """constantₖ - ½ Σᵢ ((xᵢ - μₖᵢ) fₖᵢ)², or without f: the plain loops, and the block."""

    def by_features(points, means, factors, constants, out):
        for k in range(out.shape[0]):
            out[k] = 0
            for i in range(points.shape[0]):
                for p in range(out.shape[1]):
                    y = points[i, p] - means[k, i]
                    if scaled:
                        y *= factors[k, i]
                    out[k, p] += y * y
            for p in range(out.shape[1]):
                out[k, p] = constants[k] - 0.5 * min(out[k, p], LARGEST_SQUARE)

    def block(points, means, factors, constants, out):
        log_density_of_diagonals(
            points, means, factors, constants, out.shape[1], out, out,
            FEATURES if scaled else NOTHING, VECTORS, VECTOR_BYTES,
        )  # fmt: skip

    return by_features, block


class AxisDensities(_Gain):
    """Squares summed up in registers, against in a row: of a diagonal model, and a tied one.

    Of many features the row alone is as fast; in a whole pass it is slower by a sixth even then.
    """

    params = (["diag", "tied"], [2, 32])
    param_names = ("covariance_type", "d")

    def setup(self, covariance_type, d):
        problem = Case("diag", "float64", LENGTH, d, K).make()
        model = layouts.prepare_model(*problem.mixture, "diag", np.dtype("float64"))
        self.calls = pair(
            *axis_densities(covariance_type == "diag"),
            (aligned(problem.X.T), *model),
            (np.zeros((K, LENGTH)),),
        )


def sum_of_logarithms(values, out):
    """Σ log v."""
    result = 0.0
    for p in range(values.shape[0]):
        result += log(values[p])
    out[0] += result


def logarithm_of_product(values, out):
    """The same as log Π v, of as many as cannot overflow."""
    out[0] += log_of_product(values, K, values.shape[0])


class LogOfProduct(_Gain):
    """One logarithm for a run of sums of exponentials, against one for each."""

    def setup(self):
        values = aligned(np.random.default_rng(0).uniform(1, K, LENGTH))
        self.calls = pair(sum_of_logarithms, logarithm_of_product, (values,), (np.zeros(1),))


def small_moments(d: int) -> tuple[Callable, Callable]:
    """Σ r, Σ r c and Σ r c cᵀ of few features: the plain loops, and the block."""
    order = np.array(triangle_order(d))

    def by_sums(points, means, scale, shares, counts, first, second):
        for k in range(shares.shape[0]):
            count = 0.0
            for p in range(shares.shape[1]):
                shares[k, p] *= scale[p]
                count += shares[k, p]
            counts[k] += count
            for i in range(d):
                total = 0.0
                for p in range(shares.shape[1]):
                    total += shares[k, p] * (points[i, p] - means[k, i])
                first[k, i] += total
            for place in range(len(order)):
                i, j = order[place]
                total = 0.0
                for p in range(shares.shape[1]):
                    c = points[i, p] - means[k, i]
                    total += shares[k, p] * c * (points[j, p] - means[k, j])
                second[k, place] += total

    def block(points, means, scale, shares, counts, first, second):
        for k in range(shares.shape[0]):
            add_small_moments(
                points, means, shares, k, scale, k, shares.shape[1], counts, first, second,
                d, 0, VECTOR_BYTES,
            )  # fmt: skip

    return by_sums, block


class UnrolledMoments(_Gain):
    """A triangle of sums unrolled into registers, against one sum at a time."""

    params = ([4, 8, 16, 32],)
    param_names = ("d",)

    def setup(self, d):
        problem = Case("full", "float64", LENGTH, d, K).make()
        shares = np.random.default_rng(0).random((K, LENGTH))
        self.calls = pair(
            *small_moments(d),
            (aligned(problem.X.T), problem.means, aligned(np.ones(LENGTH))),
            (shares, np.zeros(K), np.zeros((K, d)), np.zeros((K, d * (d + 1) // 2))),
        )


def plain_symmetric_product(rows, out):
    """Upper triangle of Σ row rowᵀ, for each component."""
    for k in range(out.shape[0]):
        for q in range(rows.shape[0]):
            for i in range(out.shape[1]):
                row = rows[q, i]
                for j in range(out.shape[1] - i):  # from 0, or numba looks out for j < 0
                    out[k, i, i + j] += row * rows[q, i + j]


def blocks_of_symmetric_product(rows, out):
    """The same with a block of four rows of sums in registers."""
    for k in range(out.shape[0]):
        add_symmetric_product(rows, rows.shape[0], out[k], 0, out.shape[1])


class SymmetricProduct(_Gain):
    """Blocks of a symmetric sum in registers, against a rank-one update at a time."""

    params = ([32, 64],)
    param_names = ("d",)

    def setup(self, d):
        rows = np.zeros((workspace.COLUMN_BYTES // 8, workspace.row_pitch(d)))
        rows[:, :d] = np.random.default_rng(0).standard_normal((len(rows), d))
        self.calls = pair(
            plain_symmetric_product,
            blocks_of_symmetric_product,
            (aligned(rows),),
            (np.zeros((K, d, d)),),
            compared=np.triu,
        )


def plain_axis_moments(points, means, shares, first, second):
    """Σ r c and Σ r c² per feature."""
    for k in range(shares.shape[0]):
        for i in range(points.shape[0]):
            total, square = 0.0, 0.0
            for p in range(shares.shape[1]):
                c = points[i, p] - means[k, i]
                total += shares[k, p] * c
                square += shares[k, p] * c * c
            first[k, i] += total
            second[k, i] += square


def blocks_of_axis_moments(points, means, shares, first, second):
    """The same with four features of two components at a time, which share their loads."""
    for k in range(0, shares.shape[0], 2):
        for i in range(0, points.shape[0], 4):
            add_moments_of_diagonals(
                points, i, means, shares, k, shares.shape[1], first, second, 4, 2, 1, VECTOR_BYTES
            )


class AxisMoments(_Gain):
    """Four features of two diagonal components at a time, against one of one."""

    params = ([16, 64],)
    param_names = ("d",)

    def setup(self, d):
        problem = Case("diag", "float64", LENGTH, d, K).make()
        shares = aligned(np.random.default_rng(0).random((K, LENGTH)))
        self.calls = pair(
            plain_axis_moments,
            blocks_of_axis_moments,
            (aligned(problem.X.T), problem.means, shares),
            (np.zeros((K, d)), np.zeros((K, d))),
        )


def plain_transposition(source, points):
    """points[chunk, i, p] = xᵢ of the points of each chunk."""
    chunks, d, pitch = points.shape
    for chunk in range(chunks):
        base = source.start + chunk * pitch * source.row_stride
        for i in range(d):
            column = base + i * source.column_stride
            for p in range(pitch):
                points[chunk, i, p] = source.flat[column + p * source.row_stride]


def transposition_by_squares(source, points):
    """The same with squares of points and features that are transposed in registers."""
    chunks, _, pitch = points.shape
    for chunk in range(chunks):
        base = source.start + chunk * pitch * source.row_stride
        transpose_chunk(source, base, pitch, chunk, points)


class Transposition(_Gain):
    """Squares transposed in registers, against a strided copy of C-ordered points."""

    params = ([16, 64],)
    param_names = ("d",)

    def setup(self, d):
        X = np.random.default_rng(0).standard_normal((LENGTH, d))
        pitch = CHUNK_BYTES // 8
        self.calls = pair(
            plain_transposition,
            transposition_by_squares,
            (as_strided(X),),
            (np.zeros((LENGTH // pitch, d, pitch)),),
        )


def plain_factors(covariances, triangle, factors):
    """factors[k] = R⁻¹, upper triangular, of covariances[k] = Rᵀ R."""
    d = triangle.shape[0]
    for k in range(covariances.shape[0]):
        for i in range(d):
            for j in range(i, d):
                triangle[i, j] = covariances[k, i, j]
                for t in range(i):
                    triangle[i, j] -= triangle[t, i] * triangle[t, j]
            root = 1 / np.sqrt(triangle[i, i])
            for j in range(i, d):
                triangle[i, j] *= root
        for i in range(d - 1, -1, -1):
            for j in range(i, d):
                total = 1.0 if i == j else 0.0
                for c in range(i + 1, j + 1):
                    total -= triangle[i, c] * factors[k, c, j]
                factors[k, i, j] = total / triangle[i, i]


def block_of_factors(covariances, triangle, factors):
    """The same with rows as vectors."""
    invert_factors(covariances, triangle, factors, VECTOR_BYTES)


class SmallFactors(_Gain):
    """Factors of the precisions of a small model, whose rows are vectors, against plain loops."""

    params = ([4, 16, 40],)
    param_names = ("d",)

    def setup(self, d):
        X = np.random.default_rng(0).standard_normal((K, 3 * d, d))
        triangle = np.zeros((d, -(-d // 8) * 8))
        self.calls = pair(
            plain_factors,
            block_of_factors,
            (X.swapaxes(1, 2) @ X, triangle),
            (np.zeros((K, d, d)),),
        )
