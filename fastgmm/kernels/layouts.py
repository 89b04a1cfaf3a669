"""The records that the compiled pass reads and fills.

`prepare_model` turns weights, means and precisions into the layout that the density workers
want. The class of the record selects the workers at compile time.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from fastgmm._records import CovarianceType, FloatArray
from fastgmm.kernels.jit.target import CHUNK_BYTES, VECTOR_BYTES

# Up to this many features, the whole triangle of a component is unrolled into registers.
SMALL = 16
# Up to this many, unrolled second moments of every component are cheaper than those of the tied
# model, which pay by the point.
SMALL_TIED = 8
# Standard deviations from the origin of a tied model up to which the means may lie, by the size of
# a number: it takes points and means from there, whose rounding shows beyond. Then each component
# has a copy of the factor.
FARTHEST_APART = {4: 2**8, 8: 2**10}
# Elements of any dtype that fill whole vectors; point-major rows are padded to a multiple.
LANES = 16
# Bytes of a column of packed points, so many that whole rows of 64 features stay in a first-level
# cache of 32 KiB with what they add to.
COLUMN_BYTES = 2**8
# Points that are looked at together for shares that vanish.
GROUP = 16
# Fields of a tile that count rows or components.
INDICES = ("candidates", "places", "n_chosen", "nearest")
# Bytes of a run of tiles whose moments are taken component by component.
SPAN_BYTES = 2**23
CACHE_LINE = 64
# Threads use every other place of a workspace: prefetching runs past the end of one, and would
# fetch from a neighbour what it is just writing.
APART = 2
# Columns of a triangular factor that one block works on.
PANEL = 6
# Rows of a covariance that one block works on.
ROWS = 4


class FullModel(NamedTuple):
    """Components with a covariance each; `factors` are U's columns, a panel at a time.

    Those of a panel, down to its last diagonal, are consecutive rows of `factors`.
    """

    means: FloatArray  # (K, d)
    padded_means: FloatArray  # (K, padded): whole vectors
    factors: FloatArray  # (K · panel rows, PANEL)
    log_constants: FloatArray  # (K,): log πₖ + log |Uₖ| - d/2 log 2π


class SmallFullModel(NamedTuple):
    """Components with a covariance each and few features, known at compile time."""

    means: FloatArray  # (K, d)
    factors: FloatArray  # (K, d(d+1)/2): U's columns, down to the diagonal
    log_constants: FloatArray  # (K,)

    @classmethod
    def n_features(cls) -> int:
        """Return the number that the name of the class ends in."""
        return int(cls.__name__.removeprefix("SmallFullModel"))


def _small_model(d: int) -> type[SmallFullModel]:
    return type(f"SmallFullModel{d}", (SmallFullModel,), {"__module__": __name__})


SMALL_MODELS = {d: _small_model(d) for d in range(1, SMALL + 1)}
globals().update({model.__name__: model for model in SMALL_MODELS.values()})  # for pickle


class TiedModel(NamedTuple):
    """Components with one covariance, whose points and means are whitened by its factor."""

    means: FloatArray  # (K, d)
    origin: FloatArray  # (d,): the centre of the means, taken from all points
    padded_origin: FloatArray  # (1, padded)
    padded_means: FloatArray  # (K, padded), from the origin
    factors: FloatArray  # (panel rows, PANEL), as in FullModel
    whitened_means: FloatArray  # (K, d): Uᵀ(μₖ - origin)
    log_constants: FloatArray  # (K,)


class DiagonalModel(NamedTuple):
    """Components with a variance per feature."""

    means: FloatArray  # (K, d)
    factors: FloatArray  # (K, d): inverse standard deviations
    log_constants: FloatArray  # (K,)


class SphericalModel(NamedTuple):
    """Components with one variance that all features share."""

    means: FloatArray  # (K, d)
    factors: FloatArray  # (K,): inverse standard deviations
    log_constants: FloatArray  # (K,)


class LogDensityModel(NamedTuple):
    """No model at all: the "points" are weighted log-densities already."""

    means: FloatArray  # (K, K), never read: the shape of a model with K "features"
    log_constants: FloatArray  # (K,)


Model = FullModel | SmallFullModel | TiedModel | DiagonalModel | SphericalModel | LogDensityModel


class Rows(NamedTuple):
    """Any strided two-dimensional array, as one type: element (i, j) = flat[start + i·a + j·b]."""

    flat: FloatArray
    start: int
    row_stride: int
    column_stride: int


class Tile(NamedTuple):
    """A few hundred points and all that is computed of them; one per thread, reused.

    `points` is feature-major so that the innermost loops run over points: (chunks, d, pitch).
    """

    points: FloatArray
    rows: FloatArray  # (P, row pitch): the points once more, point-major; empty if not needed
    shares: FloatArray  # (K, P): log-densities, then their exponentials, then responsibilities
    log_density: FloatArray  # (P,): of the mixture
    scale: FloatArray  # (P,): sample weight over the sum of the exponentials
    centred: FloatArray  # (d, chunk): points of a chunk minus a mean
    squares: FloatArray  # (chunk,): squared distances of a chunk
    distances: FloatArray  # (K, P): ‖x - μ‖² of a spherical model
    gathered: FloatArray  # (1, d padded, chunk): points that a component may count for
    candidates: np.ndarray  # (P + vector,): their places
    whitened: FloatArray  # (d, P): points of a tied model, whitened
    packed: FloatArray  # (depth, row pitch): √r (x - μ) of the points that count for a component
    packed_roots: FloatArray  # (depth, 1): their √r
    places: np.ndarray  # (components, depth): rows chosen for some components, to be packed
    chosen_shares: FloatArray  # (components, depth): their shares
    n_chosen: np.ndarray  # (components,): how many they are
    point_shares: FloatArray  # (depth, K, padded): shares of the packed points of a tied model
    expected: FloatArray  # (depth, row pitch): their Σₖ rₖ μₖ
    nearest: np.ndarray  # (depth or P,): most probable components


class Span(NamedTuple):
    """What the components of a large model need of a run of tiles, the tile being the first axis.

    The rows and the shares are those of `Tile`, which the threads fill in place.
    """

    rows: FloatArray  # (tiles, P, row pitch)
    shares: FloatArray  # (tiles, K, P)
    counts: FloatArray  # (tiles, K): Σ r, in float64
    log_likelihood: FloatArray  # (tiles,), in float64
    vanishing: FloatArray  # (tiles,): part of the average share that need not count, in float64


class Moments(NamedTuple):
    """The partial statistics of one block, in float64."""

    log_likelihood: FloatArray  # (1,)
    counts: FloatArray  # (K,)
    first: FloatArray  # (K, d or padded)
    second: FloatArray  # (K, d or 1 or d(d+1)/2); or (K or 2, ...) triangles in whole panels
    pairs: FloatArray  # (K, K): Σ r of each component over the points nearest to each other one


def prepare_model(
    weights: FloatArray,
    means: FloatArray,
    precisions_cholesky: FloatArray,
    covariance_type: CovarianceType,
    dtype: np.dtype,
) -> Model:
    """Lay out the parameters of a mixture for the pass, in the dtype of the points."""
    d = means.shape[1]
    U = np.asarray(precisions_cholesky, np.float64)
    with np.errstate(divide="ignore"):
        log_constants = np.log(np.asarray(weights, np.float64)) - 0.5 * d * np.log(2 * np.pi)
        if covariance_type == "spherical":
            log_constants = log_constants + d * np.log(U)
        elif covariance_type == "diag":
            log_constants = log_constants + np.log(U).sum(axis=1)
        else:
            log_constants = log_constants + np.log(np.einsum("...ii->...i", U)).sum(axis=-1)

    def cast(array: FloatArray) -> FloatArray:
        # A copy is writable; numba would compile anew for a read-only array.
        return np.array(array, dtype, order="C")

    means, log_constants = cast(means), cast(log_constants)
    if covariance_type == "spherical":
        return SphericalModel(means, cast(U), log_constants)
    if covariance_type == "diag":
        return DiagonalModel(means, cast(U), log_constants)
    if covariance_type == "tied":
        tied = _tied_model(means, U, log_constants) if d > SMALL_TIED else None
        if tied and np.max(np.abs(tied.whitened_means)) <= FARTHEST_APART[dtype.itemsize]:
            return tied
        U = np.broadcast_to(U, (len(means), d, d))
    if d <= SMALL:
        return SMALL_MODELS[d](means, cast(U[:, *_columns_of_triangle(d)]), log_constants)
    return FullModel(means, _padded(means), cast(_panels(U)), log_constants)


def moments_model(
    means: FloatArray, covariance_type: CovarianceType, dtype: np.dtype, *, far_apart: bool = False
) -> Model:
    """Lay out means alone, for moments about them under given responsibilities.

    Whether those of a tied model are too far apart for its kernel shows afterwards.
    """
    means = np.array(means, dtype, order="C")
    nothing = np.empty((0, 0), dtype)
    if covariance_type == "diag":
        return DiagonalModel(means, nothing, nothing.reshape(0))
    if covariance_type == "spherical":
        return SphericalModel(means, np.ones(len(means), dtype), np.zeros(len(means), dtype))
    d = means.shape[1]
    if covariance_type == "tied" and d > SMALL_TIED and not far_apart:
        return _tied_model(means, np.eye(d), nothing.reshape(0))
    small = SMALL_MODELS.get(d)
    if small:
        return small(means, nothing, nothing.reshape(0))
    return FullModel(means, _padded(means), nothing, nothing.reshape(0))


def outline(K: int, d: int, covariance_type: CovarianceType, dtype: np.dtype) -> Model:
    """Return a model of such a shape without numbers, to ask how much memory it takes."""
    kind: type[Any] = DiagonalModel if covariance_type == "diag" else SphericalModel
    if covariance_type == "tied" and d > SMALL_TIED:
        kind = TiedModel
    elif covariance_type in ("full", "tied"):
        kind = SMALL_MODELS.get(d, FullModel)
    means = np.broadcast_to(np.zeros((), dtype), (K, d))
    return kind(means, *[means[:0]] * (len(kind._fields) - 1))


@lru_cache
def _columns_of_triangle(d: int) -> tuple[np.ndarray, np.ndarray]:
    columns, rows = np.tril_indices(d)
    return rows, columns


def _panels(U: FloatArray) -> FloatArray:
    """Columns of upper triangular factors by panels, each down to its last diagonal."""
    K, d, _ = U.shape
    panels = []
    for columns in np.array_split(np.arange(d), -(-d // PANEL)):
        stop = columns[-1] + 1
        panels.append(np.zeros((K, stop, PANEL)))
        panels[-1][:, :, : len(columns)] = U[:, :stop, columns[0] : stop]
    return np.concatenate(panels, axis=1).reshape(-1, PANEL)


def _tied_model(means: FloatArray, U: FloatArray, log_constants: FloatArray) -> TiedModel:
    dtype = means.dtype
    origin = means.mean(axis=0, dtype=np.float64).astype(dtype)
    centred = means.astype(np.float64) - origin
    return TiedModel(
        means,
        origin,
        _padded(origin[None]),
        _padded(centred.astype(dtype)),
        _panels(U[None]).astype(dtype),
        (centred @ U).astype(dtype),
        log_constants,
    )


def _padded(means: FloatArray) -> FloatArray:
    d = means.shape[1]
    return np.pad(means, ((0, 0), (0, -d % LANES)))


def row_pitch(d: int) -> int:
    """Length of a point-major row of d features: whole vectors.

    Not a multiple of eight of them, lest a column of many rows fall into few sets of the cache.
    """
    pitch = -(-d // LANES) * LANES
    return pitch + LANES if pitch % (4 * LANES) == 0 else pitch


def as_rows(X: FloatArray) -> Rows:
    """Describe a two-dimensional array of any strides by one flat, writable view of its memory.

    So every input runs through the same machine code: numba would compile anew for
    Fortran-ordered, strided and read-only arrays.
    """
    n, d = X.shape
    size = X.itemsize
    if X.strides[0] % size or X.strides[1] % size or not X.flags.aligned:
        X = np.ascontiguousarray(X)
    strides = [stride // size for stride in X.strides]
    lowest = sum(min(0, (length - 1) * s) for length, s in zip(X.shape, strides, strict=True))
    highest = sum(max(0, (length - 1) * s) for length, s in zip(X.shape, strides, strict=True))
    if n == 0 or d == 0:
        return Rows(np.empty(0, X.dtype), 0, 0, 0)
    flat = np.asarray(_Memory(X, lowest * size, highest - lowest + 1))
    return Rows(flat, -lowest, strides[0], strides[1])


class _Memory:
    """The memory of an array from its lowest to its highest element, for `numpy.asarray`."""

    def __init__(self, X: FloatArray, offset: int, length: int):
        self.base = X  # keeps it alive
        self.__array_interface__: dict[str, Any] = {
            "version": 3,
            "data": (X.__array_interface__["data"][0] + offset, False),
            "typestr": X.dtype.str,
            "shape": (length,),
            "strides": None,
        }


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
    length = min(1024 if blocked else 512, points, shares) // chunk * chunk
    return max(length, 4 * chunk)


def allocate_tiles(
    model: Model, length: int, dtype: np.dtype, n_threads: int, n_together: int = 0
) -> Tile:
    """Return a record of workspaces, with a leading axis that has every thread `APART`."""
    shapes = tile_shapes(model, length, dtype, n_together)
    return Tile(
        **{
            name: _aligned_zeros(
                (APART * n_threads, *shape), np.int64 if name in INDICES else dtype
            )
            for name, shape in shapes.items()
        }
    )


def bytes_of_tile(model: Model, length: int, dtype: np.dtype, n_together: int = 0) -> int:
    """Size of one thread's workspace; what keeps threads apart is never touched."""
    return sum(
        math.prod(shape) * (8 if name in INDICES else dtype.itemsize)
        for name, shape in tile_shapes(model, length, dtype, n_together).items()
    )


def tile_shapes(
    model: Model, length: int, dtype: np.dtype, n_together: int = 0
) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the fields of one thread's `Tile`.

    With `n_together` components whose moments are taken together, rows and shares are those of a
    span.
    """
    in_span, n_together = n_together > 0, max(1, n_together)
    K, d = model.means.shape
    chunk = CHUNK_BYTES // dtype.itemsize
    row = _row_of_points(length, dtype)
    tied = isinstance(model, TiedModel)
    blocked = tied or isinstance(model, FullModel)
    pitch = row_pitch(d)
    depth = COLUMN_BYTES // dtype.itemsize
    return {
        "points": (length // chunk, d, chunk) if blocked else (1, d, row),
        "rows": (length, pitch) if blocked and not in_span else (0, 0),
        "shares": (0, 0) if in_span else (K, row),
        "log_density": (row,),
        "scale": (row,),
        "centred": (d, chunk) if blocked else (0, 0),
        "squares": (chunk,),
        "distances": (K, row) if isinstance(model, SphericalModel) else (0, 0),
        "gathered": (1, -(-d // LANES) * LANES, chunk) if in_span else (0, 0, 0),
        "candidates": (row,) if in_span else (0,),
        "whitened": (d + PANEL, row) if tied else (0, 0),
        "packed": (depth, pitch) if blocked else (0, 0),
        "packed_roots": (depth, 1) if blocked else (0, 0),
        "places": (n_together, depth) if blocked else (0, 0),
        "chosen_shares": (n_together, depth) if blocked else (0, 0),
        "n_chosen": (n_together,) if blocked else (0,),
        "point_shares": (depth, _multiple_of_rows(K)) if tied else (0, 0),
        "expected": (depth, pitch) if tied else (0, 0),
        "nearest": (length,) if in_span else (depth,) if tied else (0,),
    }


def _row_of_points(length: int, dtype: np.dtype) -> int:
    """Length of a row over the points of a tile: whole vectors, and rows that start apart.

    Points are padded to a multiple of `LANES`, which narrow vectors need not divide evenly.
    """
    return max(length + VECTOR_BYTES // dtype.itemsize, -(-length // LANES) * LANES)


def allocate_span(model: FullModel, length: int, dtype: np.dtype, n_tiles: int) -> Span:
    """Return workspace for as many tiles as share a third-level cache with other data."""
    K, d = model.means.shape
    n_tiles = tiles_of_span(model, length, dtype, n_tiles)
    return Span(
        _aligned_zeros((n_tiles, length, row_pitch(d)), dtype),
        _aligned_zeros((n_tiles, K, _row_of_points(length, dtype)), dtype),
        np.zeros((n_tiles, K)),
        np.zeros(n_tiles),
        np.zeros(n_tiles),
    )


def tiles_of_span(model: FullModel, length: int, dtype: np.dtype, n_tiles: int) -> int:
    """Return how many of the tiles make a span, of spans of equal length."""
    n_spans = -(-n_tiles * bytes_of_tile_in_span(model, length, dtype) // SPAN_BYTES)
    return -(-n_tiles // n_spans)


def bytes_of_tile_in_span(model: FullModel, length: int, dtype: np.dtype) -> int:
    """Size of the rows and shares of a tile, without padding."""
    K, d = model.means.shape
    return length * (row_pitch(d) + K) * dtype.itemsize


def moments_shapes(model: Model) -> tuple[tuple[int, ...], ...]:
    """Return the shapes of the fields of one block's `Moments`."""
    K, d = model.means.shape
    padded = -(-d // LANES) * LANES
    triangle = (_multiple_of_rows(d), padded)
    match model:
        case TiedModel():
            return (1,), (K,), (_multiple_of_rows(K), padded), (2, *triangle), (K, K)
        case FullModel():
            return (1,), (K,), (K, padded), (K, *triangle), (0, 0)
        case DiagonalModel():
            return (1,), (K,), (K, d), (K, d), (0, 0)
        case SphericalModel():
            return (1,), (K,), (K, d), (K, 1), (0, 0)
    return (1,), (K,), (K, d), (K, d * (d + 1) // 2), (0, 0)


def _multiple_of_rows(length: int) -> int:
    return -(-length // ROWS) * ROWS


def allocate_moments(model: Model, n_blocks: int, *, likelihood_alone: bool = False) -> Moments:
    """Return zeroed partial statistics, the block being the leading axis."""
    shapes = moments_shapes(model)
    if likelihood_alone:
        shapes = (shapes[0], *((0,) * len(shape) for shape in shapes[1:]))
    return Moments(*(_aligned_zeros((n_blocks, *shape), np.float64) for shape in shapes))


def _aligned_zeros(shape: tuple[int, ...], dtype: DTypeLike) -> np.ndarray:
    """Zeros from the start of a cache line, so that no vector of a padded row lies across two."""
    dtype = np.dtype(dtype)
    size = math.prod(shape) * dtype.itemsize
    memory = np.zeros(size + CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % CACHE_LINE
    return memory[start : start + size].view(dtype).reshape(shape)
