"""How a pass is cut into blocks and parts, a matter of shapes and never of threads; its memory."""

from __future__ import annotations

import math
from typing import TypeGuard

import numpy as np

from fastgmm._records import CovarianceType
from fastgmm.kernels.layouts import (
    DiagonalModel,
    FullModel,
    Model,
    SphericalModel,
    TiedModel,
    outline,
)
from fastgmm.kernels.workspace import (
    bytes_of_tile,
    bytes_of_tile_in_span,
    moments_shapes,
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
# Numbers in those differences of means that are in memory at a time.
DIFFERENCES_AT_ONCE = 2**20


def is_large(model: Model) -> TypeGuard[FullModel]:
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


def parts_of_large_model(K: int, d: int, n_tiles: int) -> tuple[int, int, int]:
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
    """Memory that an `Accumulator` takes beside the points, on all threads.

    That is the model as it is laid out, workspaces, partial statistics, and the `Statistics`.
    `itemsize` is the bytes of a number of the points.
    """
    dtype = np.dtype(np.float32 if itemsize == 4 else np.float64)
    model = outline(n_components, n_features, covariance_type, dtype)
    length = tile_length(model, dtype)
    n_tiles = max(1, -(-n_samples // length))
    in_block, factors = bytes_per_block(model), _numbers_in_factors(model)
    if is_large(model):
        _, n_runs, n_together = parts_of_large_model(n_components, n_features, n_tiles)
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
        rows = max(n_components, min(n_components**2, DIFFERENCES_AT_ONCE // n_features))
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
