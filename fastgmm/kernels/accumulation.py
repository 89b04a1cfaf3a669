"""Run the blocks of a pass that accumulates, and add up what they leave behind."""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TypeGuard

import numpy as np

from fastgmm._records import CovarianceType, FloatArray, Statistics
from fastgmm.kernels import drivers, large_models
from fastgmm.kernels.codegen.triangles import triangle_order
from fastgmm.kernels.codegen.vectors import FARTHEST
from fastgmm.kernels.layouts import (
    FARTHEST_APART,
    DiagonalModel,
    FullModel,
    Model,
    Moments,
    SmallFullModel,
    SphericalModel,
    TiedModel,
    allocate_moments,
    allocate_span,
    allocate_tiles,
    as_rows,
    bytes_of_tile,
    bytes_of_tile_in_span,
    moments_model,
    moments_shapes,
    outline,
    tile_length,
    tiles_of_span,
)
from fastgmm.system.threads import max_threads

# Partial statistics of all blocks together stay below this unless they would be too few for the
# threads, and those below the other unless they would be less than two.
PARTIAL_BYTES = 2**23
MOST_PARTIAL_BYTES = 2**29
MOST_BLOCKS, FEWEST_BLOCKS = 128, 8
# A model whose statistics are larger takes its moments by components instead: by slabs of
# covariances of about so many features, and at least so many parts of work.
SHARED_BYTES = 2**19
SLAB_FEATURES = 128
FEWEST_PARTS = 16
# Components that go through the tiles of a span together, and parts of work for each thread.
MOST_TOGETHER = 16
PARTS_PER_THREAD = 8
# Columns of a covariance that are mirrored at a time.
STRIP = 64
# Numbers in those differences of means that are in memory at a time.
APART_AT_ONCE = 2**20


def accumulate(
    X: FloatArray,
    given: FloatArray,
    sample_weight: FloatArray,
    model: Model,
    covariance_type: CovarianceType,
) -> Statistics:
    """Moments of X under the model, or under `given` responsibilities if there are any rows.

    Partial statistics are added in the order of their blocks.
    """
    moments = _moments(X, given, sample_weight, model)
    statistics = _statistics(moments, model, covariance_type)
    if isinstance(model, TiedModel) and len(given) and _are_far_apart(model, statistics):
        model = moments_model(model.means, "tied", X.dtype, far_apart=True)
        statistics = _statistics(_moments(X, given, sample_weight, model), model, "tied")
    return statistics


def _are_far_apart(model: TiedModel, statistics: Statistics) -> bool:
    """Whether the means lie more standard deviations from the origin than the kernel can bear."""
    farthest = np.max(np.abs(statistics.reference - model.origin), axis=0)
    with np.errstate(invalid="ignore"):
        deviations = np.sqrt(np.diagonal(statistics.second) / statistics.counts.sum())
        return not np.all(farthest <= FARTHEST_APART[model.means.itemsize] * deviations)


def log_likelihood(X: FloatArray, sample_weight: FloatArray, model: Model) -> float:
    """Log-likelihood of X under the model, as `accumulate` finds it, without the moments.

    The same machine code runs, so that a fit need not have another compiled.
    """
    given = np.empty((0, 0), X.dtype)
    return _finite(_moments(X, given, sample_weight, model, likelihood_alone=True)[0].sum())


def _finite(log_likelihood: float) -> float:
    """The number, or the lowest that there is where the sum of such numbers overflows."""
    return max(float(log_likelihood), -FARTHEST)


def _moments(
    X: FloatArray,
    given: FloatArray,
    sample_weight: FloatArray,
    model: Model,
    *,
    likelihood_alone: bool = False,
) -> Moments:
    """Partial statistics of runs of tiles."""
    if len(X) == 0:
        return allocate_moments(model, 1)
    length = tile_length(model, X.dtype)
    n_tiles = -(-len(X) // length)
    if goes_by_components(model):
        return _moments_by_components(
            X, given, sample_weight, model, length, n_tiles, likelihood_alone
        )
    n_blocks = min(n_tiles, most_blocks(model))
    tiles = allocate_tiles(model, length, X.dtype, min(n_blocks, max_threads()))
    moments = allocate_moments(model, n_blocks, likelihood_alone=likelihood_alone)
    drivers.expectation_blocks(
        n_blocks, as_rows(X), as_rows(given), len(X), length, sample_weight, model, tiles, moments
    )
    return moments


def goes_by_components(model: Model) -> TypeGuard[FullModel]:
    """Whether the model is so large that other drivers take its moments, by large_models."""
    return isinstance(model, FullModel) and bytes_per_block(model) > SHARED_BYTES


def most_blocks(model: Model) -> int:
    """Into how many blocks the points are cut: a matter of memory, never of threads."""
    size = bytes_per_block(model)
    fewest = min(FEWEST_BLOCKS, max(2, MOST_PARTIAL_BYTES // size))
    return min(MOST_BLOCKS, max(fewest, PARTIAL_BYTES // size))


def bytes_per_block(model: Model) -> int:
    """Size of the statistics that a block leaves behind."""
    return 8 * sum(math.prod(shape) for shape in moments_shapes(model))


def _moments_by_components(
    X: FloatArray,
    given: FloatArray,
    sample_weight: FloatArray,
    model: FullModel,
    length: int,
    n_tiles: int,
    likelihood_alone: bool,
) -> Moments:
    """Run through spans of tiles, and in each first through the tiles, then the large_models."""
    K, d = model.means.shape
    n_slabs, n_runs, n_together = _parts(K, d, n_tiles)
    n_parts = n_runs * n_slabs * -(-K // n_together)
    source, given_rows = as_rows(X), as_rows(given)
    tiles = allocate_tiles(model, length, X.dtype, max_threads(), n_together)
    span = allocate_span(model, length, X.dtype, n_tiles)
    moments = allocate_moments(model, n_runs, likelihood_alone=likelihood_alone)
    for first_tile in range(0, n_tiles, len(span.rows)):
        n_present = min(len(span.rows), n_tiles - first_tile)
        large_models.responsibilities_of_tiles(
            n_present, source, given_rows, len(X), first_tile, sample_weight, model, tiles, span
        )
        if not likelihood_alone:
            large_models.moments_of_slabs(
                n_parts, len(X), first_tile, n_present, n_slabs, model, tiles, span, moments
            )
        moments.log_likelihood[0] += span.log_likelihood[:n_present].sum()
    return moments


def _parts(K: int, d: int, n_tiles: int) -> tuple[int, int, int]:
    """Slabs of a covariance, runs of a span's tiles, and components that go together.

    The last depends on the threads, but no result on it.
    """
    n_slabs = -(-d // SLAB_FEATURES)
    n_runs = max(1, min(FEWEST_PARTS // (K * n_slabs), n_tiles))
    n_together = K * n_slabs * n_runs // (PARTS_PER_THREAD * max_threads())
    return n_slabs, n_runs, max(1, min(MOST_TOGETHER, n_together))


def bytes_of_pass(
    n_samples: int,
    n_components: int,
    n_features: int,
    covariance_type: CovarianceType,
    itemsize: int,
) -> int:
    """Memory that `accumulate` takes beside the points, on all threads.

    That is the model as it is laid out, workspaces, partial statistics, and the `Statistics`.

    Parameters
    ----------
    n_samples, n_components, n_features : int
    covariance_type : {'full', 'tied', 'diag', 'spherical'}
    itemsize : int
        Bytes of a number of the points, 4 or 8.

    Examples
    --------
    >>> bytes_of_pass(1_000_000, 1000, 100, 'diag', 8) < 2**26
    True
    """
    dtype = np.dtype(np.float32 if itemsize == 4 else np.float64)
    model = outline(n_components, n_features, covariance_type, dtype)
    length = tile_length(model, dtype)
    n_tiles = max(1, -(-n_samples // length))
    in_block, factors = bytes_per_block(model), _numbers_in_factors(model)
    if goes_by_components(model):
        _, n_runs, n_together = _parts(n_components, n_features, n_tiles)
        tiles = max_threads() * bytes_of_tile(model, length, dtype, n_together)
        in_span = bytes_of_tile_in_span(model, length, dtype)
        workspace = tiles + in_span * tiles_of_span(model, length, dtype, n_tiles)
        partial = (n_runs + 1) * in_block
    else:
        n_blocks = min(n_tiles, most_blocks(model))
        workspace = min(n_blocks, max_threads()) * bytes_of_tile(model, length, dtype)
        partial = (n_blocks + 1) * in_block
    # Factors are laid out in double precision before they are cast, and statistics copied once.
    laid_out = (8 + itemsize) * factors + 2 * itemsize * n_components * n_features
    on_host = in_block
    if isinstance(model, TiedModel):
        rows = max(n_components, min(n_components**2, APART_AT_ONCE // n_features))
        on_host += 2 * 8 * n_features * rows
    return workspace + partial + laid_out + on_host


def _numbers_in_factors(model: Model) -> int:
    K, d = model.means.shape
    match model:
        case SphericalModel():
            return K
        case DiagonalModel():
            return K * d
        case TiedModel():
            return d * d
    return K * d * d


def _statistics(moments: Moments, model: Model, covariance_type: CovarianceType) -> Statistics:
    log_likelihood, counts, first, second, pairs = (
        array.sum(axis=0) if len(array) > 1 else array[0] for array in moments
    )
    K, d = model.means.shape
    first = first[:K, :d]
    if isinstance(model, SmallFullModel):
        second = second[:, _places_in_triangle(d)]
    elif covariance_type in ("full", "tied"):
        second = _symmetric(second[:, :d, :d])
    if isinstance(model, TiedModel):
        # `tied_moments` has them about the origin, and the second ones in three parts.
        means = model.padded_means[:, :d].astype(np.float64)
        first = first - counts[:, None] * means
        spread = _spread(means, pairs)
        second = second[0] - second[1] + spread
    elif covariance_type == "tied":
        second = second.sum(axis=0)
    elif covariance_type == "spherical":
        second = second[:, 0]
    reference = model.means.astype(np.float64)
    return Statistics(_finite(log_likelihood[0]), counts, first, second, reference)


def _spread(means: FloatArray, pairs: FloatArray) -> FloatArray:
    """Σ pairs[a, k] (μₐ - μₖ)(μₐ - μₖ)ᵀ over a and k, a few components a at a time."""
    K, d = means.shape
    total, step = np.zeros((d, d)), max(1, APART_AT_ONCE // (K * d))
    for start in range(0, K, step):
        some = slice(start, start + step)
        apart = means[some, None] - means
        total += np.einsum("akd,akc->dc", apart * pairs[some, :, None], apart, optimize=True)
    return total


@lru_cache
def _places_in_triangle(d: int) -> np.ndarray:
    """Place of each element of a symmetric matrix in the unrolled sums of its triangle."""
    rows, columns = np.transpose(triangle_order(d))
    places = np.empty((d, d), np.intp)
    places[rows, columns] = places[columns, rows] = np.arange(len(rows))
    return places


def _symmetric(upper: FloatArray) -> FloatArray:
    """Symmetric matrices from their upper triangles, by strips that fit in a cache."""
    matrices = np.ascontiguousarray(upper)
    for start in range(0, matrices.shape[1], STRIP):
        rows = matrices[:, start : start + STRIP, start:]
        square, rest = rows[:, :, :STRIP], rows[:, :, STRIP:]
        in_upper = np.tri(square.shape[1], dtype=bool).T
        square[...] = np.where(in_upper, square, square.swapaxes(1, 2))
        matrices[:, start + STRIP :, start : start + STRIP] = rest.swapaxes(1, 2)
    return matrices
