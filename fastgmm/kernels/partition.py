"""How a pass is cut into blocks and parts, a matter of shapes and never of threads; its memory."""

from __future__ import annotations

import math
from typing import NamedTuple, TypeGuard

import numpy as np

from fastgmm._records import CovarianceType
from fastgmm.kernels.codegen.shared_products import FEWEST_SHARING, MOST_SHARING
from fastgmm.kernels.jit.target import VECTOR_BYTES
from fastgmm.kernels.layouts import (
    DiagonalModel,
    FullModel,
    Model,
    SphericalModel,
    TiedModel,
    outline,
)
from fastgmm.kernels.workspace import (
    CACHE_LINE,
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
# Where its moments are taken about one centre: runs of at least so many tiles, whose sums stay
# below so many bytes together, and slabs of so many diagonals of a block's components, as the
# points are centred anew for each. Part of the products that must be wanted, lest they are better
# taken by components; and how many components and tiles are worth it in a model that is not that
# large.
TILES_OF_RUN, FEWEST_RUNS, MOST_RUNS_OF_ALL, MOST_BYTES_OF_SUMS = 4, 4, 64, 2**25
SUMS_OF_SLAB = 2**9
# Points whose products are summed in registers.
DEPTH = 128
# Narrower vectors, which are not multiplied by numbers in memory, are better off by components.
LEAST_WANTED = 0.75 if VECTOR_BYTES == 64 else math.inf
FEWEST_COMPONENTS, FEWEST_TILES = 12, 32
# Numbers in those differences of means that are in memory at a time.
DIFFERENCES_AT_ONCE = 2**20


def goes_by_components(model: Model, n_tiles: int, itemsize: int) -> TypeGuard[FullModel]:
    """Whether the drivers of large_models take so many tiles: even less may be worth one centre."""
    return is_large(model) or (
        isinstance(model, FullModel)
        and len(model.means) >= FEWEST_COMPONENTS
        and n_tiles >= FEWEST_TILES
        and worth_one_centre(model, itemsize)
    )


def is_large(model: Model) -> TypeGuard[FullModel]:
    """Whether the model is so large that the drivers of large_models take it in any case."""
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


class Diagonals(NamedTuple):
    """How second moments about one centre are laid out and cut: by cyclic diagonals."""

    n_together: int  # components of a block
    n_components: int  # padded
    n_features: int  # padded
    n_diagonals: int  # and first moments, which count as one
    n_runs: int
    n_slabs: int  # for each block

    @property
    def shape_of_sums(self) -> tuple[int, int]:
        """Components, and products of a run."""
        return self.n_components, _odd_lines(self.n_diagonals * self.n_features, 8)

    @property
    def bytes_of_sums(self) -> int:
        """Size of the sums of a run, in float64."""
        return 8 * math.prod(self.shape_of_sums)

    def shapes_of_centred(self, itemsize: int) -> tuple[tuple[int, int], tuple[int, int]]:
        """Of a thread's features and shares. Those are written up to a vector too far."""
        lanes = VECTOR_BYTES // itemsize
        pitch = _odd_lines(self.n_features + self.n_diagonals + 2 * lanes, itemsize)
        return (DEPTH, pitch), (DEPTH, self.n_together)


def diagonals_of(model: FullModel, itemsize: int, n_tiles: int) -> Diagonals:
    """Cut the diagonals of a large model, and so many tiles."""
    K, d = model.means.shape
    n_groups, lanes = -(-K // MOST_SHARING), VECTOR_BYTES // itemsize
    n_together = -(-K // n_groups)
    n_together = max(FEWEST_SHARING, n_together + n_together % 2)
    n_components, n_features = n_groups * n_together, -(-d // lanes) * lanes
    n_diagonals = d // 2 + 2
    n_slabs = max(1, n_diagonals * n_together // SUMS_OF_SLAB)
    cut = Diagonals(n_together, n_components, n_features, n_diagonals, 1, n_slabs)
    most_runs = min(MOST_BYTES_OF_SUMS // cut.bytes_of_sums, MOST_RUNS_OF_ALL, n_tiles)
    n_runs = min(max(FEWEST_RUNS, n_tiles // TILES_OF_RUN), most_runs)
    return cut._replace(n_runs=2 ** max(0, n_runs.bit_length() - 1))  # even for most threads


def _odd_lines(length: int, itemsize: int) -> int:
    """Round a length up to an odd number of cache lines: rows spread over the sets of a cache."""
    line = CACHE_LINE // itemsize
    return (length + line - 1) // (2 * line) * 2 * line + line


def worth_one_centre(model: FullModel, itemsize: int) -> bool:
    """Whether few products are padding."""
    K, d = model.means.shape
    shape = diagonals_of(model, itemsize, 1)
    wanted = d * (d + 3) / 2 / (shape.n_diagonals * shape.n_features) * K / shape.n_components
    return wanted * shape.n_together / (shape.n_together + 1) >= LEAST_WANTED


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
    if goes_by_components(model, n_tiles, itemsize):
        parts = parts_of_large_model(model, length, dtype, n_tiles)
        tiles = max_threads() * bytes_of_tile(model, length, dtype, parts.n_together)
        workspace = tiles + parts.n_tiles * bytes_of_tile_in_span(model, length, dtype)
        partial = (parts.n_runs + 1) * in_block
        if worth_one_centre(model, itemsize):
            diagonals = diagonals_of(model, itemsize, n_tiles)
            shapes = diagonals.shapes_of_centred(itemsize)
            workspace += max_threads() * itemsize * sum(map(math.prod, shapes))
            partial = max(partial, (diagonals.n_runs + 1) * diagonals.bytes_of_sums)
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
