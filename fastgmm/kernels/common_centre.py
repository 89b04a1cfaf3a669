"""Moments of a large model about one centre, where nearly every pair of point and component counts.

About a centre c of all components, second moments are a product of responsibilities and of products
of features, which all components share:

    Aₖ[i, j] = Σₚ rₚₖ (yᵢ yⱼ)ₚ,   y = x - c

Nothing is packed for a component, and nothing lies beside a triangle: pairs of features go by
cyclic diagonals, (i, i + s mod d) for s ≤ d/2, each of which is a run of whole vectors where y
follows y once more. About the means, with δₖ = μₖ - c, counts Nₖ and first moments gₖ about c
(the parallel axis theorem),

    Sₖ = Aₖ - hₖ δₖᵀ - δₖ hₖᵀ,   hₖ = gₖ - ½ Nₖ δₖ

which is rounded by units of Aₖ, and cancels where the components lie far apart for their width.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from fastgmm._records import FloatArray
from fastgmm.kernels.codegen.shared_products import (
    FEWEST_SHARING,
    MOST_SHARING,
    centre_rows,
    shared_products,
)
from fastgmm.kernels.drivers import Points
from fastgmm.kernels.jit.drivers import Driver
from fastgmm.kernels.jit.settings import worker
from fastgmm.kernels.jit.target import VECTOR_BYTES
from fastgmm.kernels.layouts import FullModel
from fastgmm.kernels.partition import diagonals_of, worth_one_centre
from fastgmm.kernels.workspace import THREAD_STRIDE, Moments, Span, aligned_zeros

# Part of the pairs that has to count, lest a model be better off with those points alone that
# count for a component.
LEAST_COUNTING = 0.75
# How many times a component's variance the mean square about the centre may be, in each feature, by
# the size of a number: so many units of rounding can the difference be off.
MOST_CANCELLATION = {4: 2**3, 8: 2**6}
# Fewer points are not worth what is left to do for each pair of features at the end.
POINTS_PER_FEATURE = 96
# Numbers of matrices that are worked on together, in the second-level cache.
NUMBERS_AT_ONCE = 2**15

_blocks = {n: shared_products(n) for n in range(FEWEST_SHARING, MOST_SHARING + 1, 2)}
_of_6, _of_8, _of_10, _of_12, _of_14, _of_16 = (
    _blocks.get(n, _blocks[FEWEST_SHARING]) for n in range(6, 17, 2)
)


class Centred(NamedTuple):
    """Workspace of a thread, for a piece of a tile."""

    features: FloatArray  # (depth, pitch): y, y once more, and a vector of ones
    shares: FloatArray  # (depth, components of a block)


class SumsOfDiagonals(NamedTuple):
    """Moments about the centre, of a run of tiles, in float64."""

    counts: FloatArray  # (K,)
    products: FloatArray  # (K padded, pitch): Σ r yᵢ yⱼ by diagonals, and at last Σ r y


class CentreTask(NamedTuple):
    """A span whose tiles are filled, and the sums of each of its runs to be added to."""

    points: Points
    first_tile: int
    n_tiles: int  # of the span that are filled
    n_slabs: int  # of the diagonals of a few components
    n_features: int
    centre: FloatArray  # (d padded,)
    span: Span
    centred: Centred
    sums: SumsOfDiagonals


# --- workers --------------------------------------------------------------------------------
@worker
def transpose_shares(components, first, start, count, shares):
    """Write shares[q, c] = components[first + c, start + q], as far as there are components."""
    for c in range(min(shares.shape[1], components.shape[0] - first)):
        for q in range(count):
            shares[q, c] = components[first + c, start + q]


@worker
def add_products(features, i, j, shares, length, out, place):
    """Call the block for so many components as there are shares."""
    n_together = shares.shape[1]
    if n_together == 16:
        _of_16(features, i, j, shares, length, out, place)
    elif n_together == 14:
        _of_14(features, i, j, shares, length, out, place)
    elif n_together == 12:
        _of_12(features, i, j, shares, length, out, place)
    elif n_together == 10:
        _of_10(features, i, j, shares, length, out, place)
    elif n_together == 8:
        _of_8(features, i, j, shares, length, out, place)
    else:
        _of_6(features, i, j, shares, length, out, place)


# Wide: the caller takes arrays out of their records, once for a piece of a tile.
@worker
def add_diagonals(d, n_padded, first, stop, count, features, shares, products):
    """Add the diagonals first … stop - 1 of some components."""
    lanes, pitch = VECTOR_BYTES // features.itemsize, features.shape[1]
    for i in range(0, n_padded, lanes):
        for s in range(first, stop):
            if 2 * s == d and i >= s:
                continue  # the other half of this diagonal is the same
            j = i + s if s <= d // 2 else pitch - lanes  # the ones
            add_products(features, i, j, shares, count, products, s * n_padded + i)


def moments_of_run(index, thread, n_parts, task):
    """Add a slab of diagonals of a few components, of a run of the span's tiles."""
    points, span, sums, n_slabs = task.points, task.span, task.sums, task.n_slabs
    features = task.centred.features[THREAD_STRIDE * thread]
    shares = task.centred.shares[THREAD_STRIDE * thread]
    n_runs, K, n_together = sums.counts.shape[0], sums.counts.shape[1], shares.shape[1]
    n_groups = sums.products.shape[1] // n_together
    run, group, slab = index // (n_groups * n_slabs), index // n_slabs % n_groups, index % n_slabs
    products = sums.products[run, group * n_together : (group + 1) * n_together]
    d, n_padded, depth = task.n_features, task.centre.shape[0], features.shape[0]
    first, stop = slab * (d // 2 + 2) // n_slabs, (slab + 1) * (d // 2 + 2) // n_slabs
    for t in range(run * task.n_tiles // n_runs, (run + 1) * task.n_tiles // n_runs):
        m = min(points.length, points.n - (task.first_tile + t) * points.length)
        for k in range(K if group == 0 and slab == 0 else 0):
            sums.counts[run, k] += span.counts[t, k]
        for start in range(0, m, depth):
            count = min(depth, m - start)
            centre_rows(span.rows, t, start, count, task.centre, d, features)
            transpose_shares(span.components[t], group * n_together, start, count, shares)
            add_diagonals(d, n_padded, first, stop, count, features, shares, products)


moments_of_runs = Driver(moments_of_run)


# --- a pass ---------------------------------------------------------------------------------
def centre_of(model: FullModel, points: Points, span: Span, n_tiles: int) -> FloatArray | None:
    """The middle (d,) of the components if a pass is worth one centre, or else None.

    Whether nearly all pairs count is told by the first tiles, which are in the span.
    """
    (K, d), n_seen = model.means.shape, min(n_tiles * points.length, points.n)
    n_counting = span.n_counting[:n_tiles].sum()
    worth = points.n >= POINTS_PER_FEATURE * d and worth_one_centre(model, model.means.itemsize)
    if not worth or n_counting < LEAST_COUNTING * K * n_seen:
        return None
    counts = span.counts[:n_tiles].sum(axis=0)
    return np.asarray(counts / counts.sum() @ model.means, model.means.dtype)


class MomentsAboutCentre:
    """Workspaces for the moments of one pass after another, each of which begins with `clear`."""

    def __init__(self, model: FullModel, n_tiles: int, n_threads: int):
        dtype, n_places = model.means.dtype, THREAD_STRIDE * n_threads
        self._diagonals = diagonals_of(model, dtype.itemsize, n_tiles)
        K, n_runs = len(model.means), self._diagonals.n_runs
        products = aligned_zeros((n_runs, *self._diagonals.shape_of_sums), np.float64)
        self._sums = SumsOfDiagonals(np.zeros((n_runs, K)), products)
        shapes = self._diagonals.shapes_of_centred(dtype.itemsize)
        self._centred = Centred(*(aligned_zeros((n_places, *shape), dtype) for shape in shapes))
        self._centred.features[::THREAD_STRIDE, :, -(VECTOR_BYTES // dtype.itemsize) :] = 1
        self._centre = np.empty(0, dtype)

    def clear(self, centre: FloatArray) -> None:
        """Begin with nothing, about a centre (d,)."""
        self._centre = centre
        for array in self._sums:
            array[...] = 0

    def add(self, points: Points, first_tile: int, n_tiles: int, span: Span) -> None:
        """Add the tiles of a span, the first of which has this number."""
        cut, d = self._diagonals, len(self._centre)
        centre = np.pad(self._centre, (0, cut.n_features - d))
        task = CentreTask(
            points, first_tile, n_tiles, cut.n_slabs, d, centre, span, self._centred, self._sums
        )  # fmt: skip
        moments_of_runs(cut.n_runs * (cut.n_components // cut.n_together) * cut.n_slabs, task)

    def about_means(self, means: FloatArray) -> Moments | None:
        """Moments (1, K, ...) about means (K, d), or None if too much of them cancels.

        They are those of a single block, but for the likelihood.
        """
        (K, d), width = means.shape, self._diagonals.n_features
        counts, apart = self._sums.counts.sum(axis=0), means.astype(np.float64) - self._centre
        first, second = np.empty((1, K, d)), np.empty((1, K, d * d))
        squares = np.empty((K, d))
        step = max(1, NUMBERS_AT_ONCE // d**2)
        with np.errstate(all="ignore"):  # what overflows is judged below
            shift = counts[:, None] * apart
            for start in range(0, K, step):
                k = slice(start, min(K, start + step))
                products = self._sums.products[:, k].sum(axis=0)
                first[0, k] = products[:, (d // 2 + 1) * width :][:, :d]
                squares[k] = products[:, :d]
                half = (first[0, k] - 0.5 * shift[k])[:, :, None] * apart[k, None]
                half += half.swapaxes(1, 2).copy()
                matrices = products.take(_places(d, width), axis=1)
                np.subtract(matrices, half, out=second[0, k].reshape(half.shape))
            first -= shift
        within = second[0, :, :: d + 1]
        if cancels(squares, within, counts, self._centre):
            return None
        return Moments(np.zeros((1, 1)), counts[None], first, second, np.zeros((1, 0, 0)))


def cancels(
    squares: FloatArray, within: FloatArray, counts: FloatArray, centre: FloatArray
) -> bool:
    """Whether rounding of squares (K, d) about the centre may show in those within components.

    The precision is that of the centre (d,).
    """
    rounding = np.finfo(centre.dtype).eps * centre.astype(np.float64)
    with np.errstate(all="ignore"):
        unnoticeable = squares <= 64 * counts[:, None] * rounding**2
        small = squares <= MOST_CANCELLATION[centre.itemsize] * within
    return not np.all(np.isfinite(squares) & (unnoticeable | small))


@lru_cache
def _places(d: int, width: int) -> np.ndarray:
    """Place of each element of a symmetric matrix (d, d) in its cyclic diagonals."""
    rows, columns = np.indices((d, d))
    steps = (columns - rows) % d
    in_first = (2 * steps < d) | ((2 * steps == d) & (rows < columns))
    return np.where(in_first, steps * width + rows, (d - steps) * width + columns)
