"""Memory that a pass works in: a tile for each thread, partial moments for each block.

A tile's common fields are the same for every model; what one kind of model needs beside them is
its scratch record. All arrays have a leading axis, of threads or of blocks.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from fastgmm._records import FloatArray
from fastgmm.kernels.jit.target import CHUNK_BYTES, VECTOR_BYTES
from fastgmm.kernels.layouts import (
    BLOCK_ROWS,
    PADDING,
    PANEL,
    DiagonalModel,
    FullModel,
    Model,
    SmallFullModel,
    SphericalModel,
    TiedModel,
)

# Bytes of a column of packed points, so many that whole rows of 64 features stay in a first-level
# cache of 32 KiB with what they add to.
COLUMN_BYTES = 2**8
CACHE_LINE = 64
# Bytes of a row, the values of one feature, at most: several of them share a first-level cache.
ROW_BYTES = 2**12
# With fewer features, points that do not count cost no more than finding those that do.
FEWEST_GATHERED = 10
# With fewer components of other models, or features, so does leaving such points out.
FEWEST_CHOOSING, FEWEST_FEATURES = 32, 16
# Up to so many components of a tied model, or as many as features, each pair is summed for itself.
MOST_PAIRED = 64
# What may be wanted of a pass, and how many fields of `Moments` that is.
Wanted = Literal["likelihood", "first", "all"]
N_WANTED: dict[Wanted, int] = {"likelihood": 1, "first": 3, "all": 5}
# Threads use every other place of a workspace: prefetching runs past the end of one, and would
# fetch from a neighbour what it is just writing.
THREAD_STRIDE = 2


class Tile(NamedTuple):
    """A few hundred points and all that is computed of them; one per thread, reused.

    `points` is feature-major so that the innermost loops run over points: (chunks, d, pitch).
    """

    points: FloatArray
    components: FloatArray  # (K, P): log-densities, turned into exponentials, then shares
    peak: FloatArray  # (P,): the highest log-density of a point's components, or its bound
    total: FloatArray  # (P,): sum of the exponentials
    scale: FloatArray  # (P,): sample weight over that sum
    scratch: Scratch


class NoScratch(NamedTuple):
    """Of models that need nothing else."""

    nothing: FloatArray  # (0,)


class DiagonalScratch(NamedTuple):
    """Points by rows, of which a component takes those that count for it."""

    rows: FloatArray  # (P, row pitch), or (0, 0) of few components
    chosen: np.ndarray  # (1, P): points that count for a component


class SphericalScratch(NamedTuple):
    """The same, and what the density of a spherical model leaves for its moments."""

    rows: FloatArray
    chosen: np.ndarray
    distances: FloatArray  # (K, P): ‖x - μ‖²


class SmallFullScratch(NamedTuple):
    """Those points of a tile that count for a component."""

    gathered: FloatArray  # (1, d, P / 2), and a vector more
    chosen: np.ndarray  # (1, P): their indices
    chosen_shares: FloatArray  # (1, P)


class FullScratch(NamedTuple):
    """Points by rows, and those that count for a component, packed."""

    rows: FloatArray  # (P, row pitch): the points once more, point-major
    centred: FloatArray  # (d, chunk): points of a chunk minus a mean
    squares: FloatArray  # (chunk,): squared distances of a chunk
    packed: FloatArray  # (depth, row pitch): √r (x - μ) of the points that count for a component
    packed_roots: FloatArray  # (depth, 1): their √r
    chosen: np.ndarray  # (1, depth): rows chosen for a component, to be packed
    chosen_shares: FloatArray  # (1, depth): their shares


class LargeScratch(NamedTuple):
    """The same for large models, whose rows are those of a span, and what bounds are noted in."""

    rows: FloatArray  # (0, 0)
    centred: FloatArray
    squares: FloatArray
    packed: FloatArray
    packed_roots: FloatArray
    chosen: np.ndarray  # (components, depth), of components that go together, as below
    chosen_shares: FloatArray
    n_chosen: np.ndarray  # (components,): how many are chosen for each
    gathered: FloatArray  # (1, d padded, chunk): points that a component may count for
    candidates: np.ndarray  # (P + vector,): their indices
    most_likely: np.ndarray  # (P,): the component with the highest bound of each point


class TiedScratch(NamedTuple):
    """Points whitened, and what moments are made of."""

    rows: FloatArray  # (P, row pitch)
    chosen: np.ndarray  # (1, P), as in DiagonalScratch
    centred: FloatArray  # (d, chunk)
    whitened: FloatArray  # (d, P)
    packed: FloatArray  # (depth, row pitch): x - origin, then √w (x - mean of the means); or √r c
    point_shares: FloatArray  # (depth, K padded): responsibilities of the packed points
    expected: FloatArray  # (depth, row pitch): their Σₖ rₖ μₖ


Scratch = (
    NoScratch
    | DiagonalScratch
    | SphericalScratch
    | SmallFullScratch
    | FullScratch
    | LargeScratch
    | TiedScratch
)
# Fields that count rows or components.
INDICES = ("candidates", "chosen", "n_chosen", "most_likely")


class Span(NamedTuple):
    """What the components of a large model need of a run of tiles, the tile being the first axis.

    The threads fill rows and shares in place, as if they were a tile's.
    """

    rows: FloatArray  # (tiles, P, row pitch)
    components: FloatArray  # (tiles, K, P)
    counts: FloatArray  # (tiles, K): Σ r, in float64
    log_likelihood: FloatArray  # (tiles,), in float64
    vanishing: FloatArray  # (tiles,): part of the average share that need not count, in float64
    n_counting: FloatArray  # (tiles,): pairs whose share is not next to nothing, in float64


class Moments(NamedTuple):
    """The partial statistics of one block, in float64; arrays that are not wanted are empty."""

    log_likelihood: FloatArray  # (1,)
    counts: FloatArray  # (K,)
    first: FloatArray  # (K, d or padded)
    second: FloatArray  # (K, d or 1 or d(d+1)/2); or (K, 1 or 2, ...) triangles in whole panels
    pairs: FloatArray  # of a tied model, what multiplies the differences of two means: (K, K)


def tile_length(model: Model, dtype: np.dtype) -> int:
    """Number of points of a tile: enough to amortize a component, few enough for the caches.

    The shares of all components stay in a quarter of a second-level cache of 1 MiB, and the points
    of a blocked model too; the others, whose loops run over them once for each component,
    may fill half of it.
    """
    K, d = model.means.shape
    chunk = CHUNK_BYTES // dtype.itemsize
    blocked = isinstance(model, FullModel | TiedModel)
    points = 2 ** (18 if blocked else 19) // (dtype.itemsize * max(d, 1))
    shares = 2**18 // (dtype.itemsize * max(K, 1))
    length = min(1024 if blocked else ROW_BYTES // dtype.itemsize, points, shares) // chunk * chunk
    return max(length, 4 * chunk)


def scratch_of(model: Model, *, is_large: bool = False) -> type[Scratch]:
    """Return the class of the scratch record of a model."""
    match model:
        case FullModel():
            return LargeScratch if is_large else FullScratch
        case SmallFullModel() if model.means.shape[1] >= FEWEST_GATHERED:
            return SmallFullScratch
        case TiedModel():
            return TiedScratch
        case DiagonalModel():
            return DiagonalScratch
        case SphericalModel():
            return SphericalScratch
    return NoScratch


def allocate_tiles(
    model: Model,
    length: int,
    dtype: np.dtype,
    n_threads: int,
    n_together: int = 0,
) -> Tile:
    """Return a record of workspaces, one for each thread at every `THREAD_STRIDE`-th place.

    With `n_together` components whose moments are taken together, it is for a large model.
    """

    def zeros(name: str) -> np.ndarray:
        kind = np.int64 if name in INDICES else dtype
        return aligned_zeros((THREAD_STRIDE * n_threads, *shapes[name]), kind)

    shapes = tile_shapes(model, length, dtype, n_together)
    kind = scratch_of(model, is_large=n_together > 0)
    scratch = kind(*(zeros(name) for name in kind._fields))
    return Tile(**{name: zeros(name) for name in Tile._fields[:-1]}, scratch=scratch)


def bytes_of_tile(model: Model, length: int, dtype: np.dtype, n_together: int = 0) -> int:
    """Size of one thread's workspace; what keeps threads apart is never touched."""
    return sum(
        math.prod(shape) * (8 if name in INDICES else dtype.itemsize)
        for name, shape in tile_shapes(model, length, dtype, n_together).items()
    )


def tile_shapes(
    model: Model, length: int, dtype: np.dtype, n_together: int = 0
) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the fields of one thread's `Tile` and of its scratch record."""
    is_large, n_together = n_together > 0, max(1, n_together)
    K, d = model.means.shape
    chunk, depth = CHUNK_BYTES // dtype.itemsize, COLUMN_BYTES // dtype.itemsize
    row, pitch = _row_of_points(length, dtype), row_pitch(d)
    gathered = (1, -(-d // PADDING) * PADDING, chunk)
    has_rows, n_chosen = not is_large, depth
    if isinstance(model, SmallFullModel):
        n_chosen, gathered = row, (1, d, _row_of_points(length // 2, dtype))
    elif isinstance(model, DiagonalModel | SphericalModel | TiedModel):
        n_chosen = row
        chooses = K >= FEWEST_CHOOSING and d >= FEWEST_FEATURES
        has_rows = chooses or isinstance(model, TiedModel)
    blocked = isinstance(model, FullModel)
    shapes: dict[str, tuple[int, ...]] = {
        "points": (length // chunk, d, chunk) if blocked else (1, d, row),
        "components": (0, 0) if is_large else (K, row),
        "peak": (row,),
        "total": (row,),
        "scale": (row,),
    }
    scratch: dict[str, tuple[int, ...]] = {
        "nothing": (0,),
        "distances": (K, row),
        "rows": (length, pitch) if has_rows else (0, 0),
        "centred": (d, chunk),
        "squares": (chunk,),
        "packed": (depth, pitch),
        "packed_roots": (depth, 1),
        "chosen": (n_together, n_chosen),
        "chosen_shares": (n_together, n_chosen),
        "n_chosen": (n_together,),
        "gathered": gathered,
        "candidates": (row,),
        "most_likely": (length,),
        "whitened": (d + PANEL, row),
        "point_shares": (depth, row_pitch(K)),
        "expected": (depth, pitch),
    }
    needed = scratch_of(model, is_large=is_large)._fields
    return shapes | {name: scratch[name] for name in needed}


def row_pitch(d: int) -> int:
    """Length of a point-major row of d features: whole vectors.

    Not a multiple of eight of them, lest a column of many rows fall into few sets of the cache.
    """
    pitch = -(-d // PADDING) * PADDING
    return pitch + PADDING if pitch % (4 * PADDING) == 0 else pitch


def _row_of_points(length: int, dtype: np.dtype) -> int:
    """Length of a row over the points of a tile: whole vectors, and rows that start apart.

    Points are padded to a multiple of `PADDING`, which narrow vectors need not divide evenly.
    """
    return max(length + VECTOR_BYTES // dtype.itemsize, -(-length // PADDING) * PADDING)


def allocate_span(model: FullModel, length: int, dtype: np.dtype, n_tiles: int) -> Span:
    """Return workspace for so many tiles."""
    K, d = model.means.shape
    return Span(
        aligned_zeros((n_tiles, length, row_pitch(d)), dtype),
        aligned_zeros((n_tiles, K, _row_of_points(length, dtype)), dtype),
        np.zeros((n_tiles, K)),
        np.zeros(n_tiles),
        np.zeros(n_tiles),
        np.zeros(n_tiles),
    )


def bytes_of_tile_in_span(model: FullModel, length: int, dtype: np.dtype) -> int:
    """Size of the rows and shares of a tile, without padding."""
    K, d = model.means.shape
    return length * (row_pitch(d) + K) * dtype.itemsize


def moments_shapes(model: Model) -> tuple[tuple[int, ...], ...]:
    """Return the shapes of the fields of one block's `Moments`."""
    K, d = model.means.shape
    padded = -(-d // PADDING) * PADDING
    triangle = (multiple_of_rows(d), padded)
    match model:
        case TiedModel():
            first = multiple_of_rows(K), padded
            if max(d, MOST_PAIRED) < K:
                return (1,), (K,), first, (2, *triangle), (K, K)
            pairs = multiple_of_rows(K), -(-K // PADDING) * PADDING
            return (1,), (K,), first, (1, *triangle), pairs
        case FullModel():
            return (1,), (K,), (K, padded), (K, *triangle), (0, 0)
        case DiagonalModel():
            return (1,), (K,), (K, d), (K, d), (0, 0)
        case SphericalModel():
            return (1,), (K,), (K, d), (K, 1), (0, 0)
    return (1,), (K,), (K, d), (K, d * (d + 1) // 2), (0, 0)


def multiple_of_rows(length: int) -> int:
    """Return a length rounded up to whole blocks of rows."""
    return -(-length // BLOCK_ROWS) * BLOCK_ROWS


def allocate_moments(model: Model, n_blocks: int, wanted: Wanted = "all") -> Moments:
    """Return zeroed partial statistics, the block being the leading axis, of what is wanted."""
    shapes, n_wanted = moments_shapes(model), N_WANTED[wanted]
    shapes = *shapes[:n_wanted], *((0,) * len(shape) for shape in shapes[n_wanted:])
    return Moments(*(aligned_zeros((n_blocks, *shape), np.float64) for shape in shapes))


def aligned_zeros(shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
    """Zeros from the start of a cache line, so that no vector of a padded row lies across two."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    memory = np.zeros(size + CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % CACHE_LINE
    return memory[start : start + size].view(dtype).reshape(shape)
