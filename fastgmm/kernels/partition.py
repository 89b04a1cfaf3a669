"""How a pass is cut into blocks and parts, a matter of shapes and never of threads; its memory."""

from __future__ import annotations

import math
from typing import NamedTuple, TypeGuard

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
)
from fastgmm.system.threads import max_threads

# Partial statistics of all blocks together stay below this unless they would be too few for the
# threads, and those below the other unless they would be less than two.
PARTIAL_BYTES = 2**23
MOST_PARTIAL_BYTES = 2**29
MOST_BLOCKS, FEWEST_BLOCKS = 128, 8
# Points of so many tiles are worth a block of their own even above PARTIAL_BYTES, where a block
# leaves behind no more than SHARED_BYTES; a tied model leaves K² for little work.
TILES_WORTH_BLOCK = 16
# A model whose statistics are larger takes its moments by components instead: by slabs of
# covariances of about so many features.
SHARED_BYTES = 2**19
SLAB_FEATURES = 128
# Its tiles go by spans, and a span by runs that share a third-level cache with other data. Each
# run has its own partial statistics, which stay below so many bytes unless that were one run.
RUN_BYTES = 2**23
MOST_RUNS = 8
MOST_BYTES_OF_RUNS = 2**26
# Tiles of which every number of threads up to this power of two has equally many.
EVEN_TILES = 64
# Components that go through the tiles of a run together, and parts of work in a span: two for each
# of 64 threads, where a span has as many tiles.
MOST_TOGETHER = 16
FEWEST_PARTS, MOST_PARTS = 16, 128
# Numbers in those differences of means that are in memory at a time.
DIFFERENCES_AT_ONCE = 2**20


def is_large(model: Model) -> TypeGuard[FullModel]:
    """Whether the model is so large that other drivers take its moments, by large_models."""
    return isinstance(model, FullModel) and bytes_per_block(model) > SHARED_BYTES


def most_blocks(model: Model, n_tiles: int) -> int:
    """Into how many blocks the points are cut: a matter of memory and work, never of threads."""
    size = bytes_per_block(model)
    fewest = min(FEWEST_BLOCKS, max(2, MOST_PARTIAL_BYTES // size))
    blocks = max(fewest, PARTIAL_BYTES // size)
    if size <= SHARED_BYTES and not isinstance(model, TiedModel):
        blocks = max(blocks, n_tiles // TILES_WORTH_BLOCK)
    return min(MOST_BLOCKS, blocks)


def bytes_per_block(model: Model) -> int:
    """Size of the statistics that a block leaves behind."""
    return 8 * sum(math.prod(shape) for shape in moments_shapes(model))


class Parts(NamedTuple):
    """How a large model cuts its work."""

    n_tiles: int  # of a span
    n_runs: int  # of a span's tiles
    n_slabs: int  # of a covariance
    n_together: int  # components in a part


def parts_of_large_model(model: FullModel, length: int, dtype: np.dtype, n_tiles: int) -> Parts:
    """Cut the tiles of a large model, so finely that 64 threads find work where there is as much.

    A larger span has more runs, because a run whose tiles do not stay in the cache is slower.
    """
    K, d = model.means.shape
    in_tile = bytes_of_tile_in_span(model, length, dtype)
    most_runs = max(2, min(MOST_RUNS, MOST_BYTES_OF_RUNS // bytes_per_block(model)))
    in_span = min(n_tiles, max(1, most_runs * RUN_BYTES // (EVEN_TILES * in_tile)) * EVEN_TILES)
    n_slabs = -(-d // SLAB_FEATURES)
    n_runs = min(most_runs, -(-in_span * in_tile // RUN_BYTES))
    n_runs = min(in_span, max(n_runs, FEWEST_PARTS // (K * n_slabs)))
    n_parts = max(FEWEST_PARTS, min(MOST_PARTS, n_tiles))
    n_together = round(K * n_slabs * n_runs / n_parts)
    return Parts(in_span, n_runs, n_slabs, max(1, min(MOST_TOGETHER, n_together)))


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
        parts = parts_of_large_model(model, length, dtype, n_tiles)
        tiles = max_threads() * bytes_of_tile(model, length, dtype, parts.n_together)
        workspace = tiles + parts.n_tiles * bytes_of_tile_in_span(model, length, dtype)
        partial = (parts.n_runs + 1) * in_block
    else:
        n_blocks = min(n_tiles, most_blocks(model, n_tiles))
        workspace = min(n_blocks, max_threads()) * bytes_of_tile(model, length, dtype)
        partial = (n_blocks + 1) * in_block
    # Factors are laid out in double precision before they are cast, and statistics copied once.
    laid_out = (8 + itemsize) * factors + 2 * itemsize * n_components * n_features
    on_host = in_block
    if isinstance(model, TiedModel):
        rows = max(n_components, min(n_components**2, DIFFERENCES_AT_ONCE // n_features))
        on_host += 2 * 8 * n_features * rows
        on_host += 3 * 8 * n_features**2  # the scatter of all the points, and what is taken off it
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
