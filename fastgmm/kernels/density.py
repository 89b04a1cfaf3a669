"""Log-densities of a tile under every component: serial workers, one per kind of model.

Each reads `tile.points` and writes `tile.components[k]`: log πₖ + log N(x; μₖ, Σₖ).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

from fastgmm.kernels.codegen.diagonals import DISTANCES, FEATURES, NOTHING, log_density_of_diagonals
from fastgmm.kernels.codegen.products import add_product, add_squares
from fastgmm.kernels.codegen.triangles import small_log_density
from fastgmm.kernels.codegen.vectors import LARGEST_SQUARE, LARGEST_SQUARE32
from fastgmm.kernels.jit.settings import dispatch_on_record, worker
from fastgmm.kernels.jit.target import VECTOR_BYTES, VECTORS
from fastgmm.kernels.layouts import (
    PANEL,
    DiagonalModel,
    FullModel,
    LogDensityModel,
    SmallFullModel,
    SphericalModel,
    TiedModel,
)


@worker
def distances_to_log_density(squares, log_constant, log_density, k, start):
    """Write log_density[k, start:] = log_constant - ½ squares (chunk,), limited to the farthest."""
    is_double = log_density.itemsize == 8
    limit = log_density.dtype.type(LARGEST_SQUARE if is_double else LARGEST_SQUARE32)
    half = log_density.dtype.type(0.5)
    for p in range(squares.shape[0]):
        distance = squares[p] if squares[p] < limit else limit
        log_density[k, start + p] = log_constant - half * distance


@worker
def centre_points(points, start, mean, centred):
    """Write centred[i, p] = points[0, i, start + p] - mean[i], for a chunk of points."""
    for i in range(centred.shape[0]):
        shift = mean[i]
        for p in range(centred.shape[1]):
            centred[i, p] = points[0, i, start + p] - shift


def triangular_squares(vectors: int) -> Callable:
    """Worker that adds ‖Uᵀ(x - μ)‖² for the first `vectors` vectors of the points of a chunk."""

    @worker
    def add_triangular_squares(factors, offset, points, chunk, means, k, centred, squares):
        """Add ‖Uᵀ(x - μ)‖² to squares (chunk,), by panels of U; centred is overwritten."""
        d = centred.shape[0]
        n_panels, j = (d + PANEL - 1) // PANEL, 0
        for panel in range(n_panels):
            width = panel_width(d, n_panels, panel)
            if width == 6:
                add_squares(
                    factors, offset, points, chunk, means, k, centred, j, squares,
                    6, vectors, VECTOR_BYTES,
                )  # fmt: skip
            elif width == 5:
                add_squares(
                    factors, offset, points, chunk, means, k, centred, j, squares,
                    5, vectors, VECTOR_BYTES,
                )  # fmt: skip
            else:
                add_squares(
                    factors, offset, points, chunk, means, k, centred, j, squares,
                    4, vectors, VECTOR_BYTES,
                )  # fmt: skip
            j += width
            offset += j

    return add_triangular_squares


add_triangular_squares = triangular_squares(VECTORS)


@worker
def panel_width(d, n_panels, panel):
    """Number of a panel's columns: 4 to 6, as there are more than 8 features."""
    return d // n_panels + (1 if panel < d % n_panels else 0)


@worker
def full_log_density(model, tile, m):
    """‖Uₖᵀ(x - μₖ)‖², by chunks of points."""
    chunk_length = tile.scratch.centred.shape[1]
    log_density_of_chunks(model, tile, 0, (m + chunk_length - 1) // chunk_length)


@worker
def log_density_of_chunks(model, tile, first, stop):
    """Write the log-densities of some chunks of points; centred and squares are overwritten."""
    points, components = tile.points, tile.components
    centred, squares = tile.scratch.centred, tile.scratch.squares
    K = model.means.shape[0]
    rows_per_component = model.factors.shape[0] // K
    for k in range(K):
        for chunk in range(first, stop):
            squares[:] = 0
            add_triangular_squares(
                model.factors, k * rows_per_component, points, chunk, model.means, k, centred,
                squares,
            )  # fmt: skip
            distances_to_log_density(
                squares, model.log_constants[k], components, k, chunk * centred.shape[1]
            )


@worker
def tied_log_density(model, tile, m):
    """‖Uᵀ(x - o) - Uᵀ(μₖ - o)‖²: the points are whitened once for all components."""
    d = model.means.shape[1]
    chunk_length = tile.scratch.centred.shape[1]
    tile.scratch.whitened[:] = 0
    for chunk in range((m + chunk_length - 1) // chunk_length):
        centre_points(tile.points, chunk * chunk_length, model.origin, tile.scratch.centred)
        n_panels, offset, j = (d + PANEL - 1) // PANEL, 0, 0
        for panel in range(n_panels):
            width = panel_width(d, n_panels, panel)
            add_product(
                model.factors, offset, 0, tile.scratch.centred, 0, 0, j + width,
                tile.scratch.whitened, j, chunk * chunk_length, PANEL, VECTORS, VECTOR_BYTES, 0,
            )  # fmt: skip
            j += width
            offset += j
    log_density_of_diagonals(
        tile.scratch.whitened, model.whitened_means, model.whitened_means, model.log_constants,
        m, tile.components, tile.components, NOTHING, VECTORS, VECTOR_BYTES,
    )  # fmt: skip


@lru_cache
def small_log_density_of(d: int) -> Callable:
    """Worker for d features."""

    @worker
    def log_density(model, tile, m):
        for k in range(model.means.shape[0]):
            small_log_density(
                tile.points[0], model.means, model.factors, model.log_constants,
                k, m, tile.components, d, VECTOR_BYTES,
            )  # fmt: skip

    return log_density


@worker
def diagonal_log_density(model, tile, m):
    """Σᵢ ((xᵢ - μᵢ) / σᵢ)²."""
    log_density_of_diagonals(
        tile.points[0], model.means, model.factors, model.log_constants,
        m, tile.components, tile.components, FEATURES, VECTORS, VECTOR_BYTES,
    )  # fmt: skip


@worker
def spherical_log_density(model, tile, m):
    """‖x - μ‖² / σ²; the distances are kept for the moments."""
    log_density_of_diagonals(
        tile.points[0], model.means, model.factors, model.log_constants,
        m, tile.components, tile.scratch.distances, DISTANCES, VECTORS, VECTOR_BYTES,
    )  # fmt: skip


@worker
def no_distances(model, tile, m):
    """Moments need nothing of a tile but its points and shares."""


@worker
def given_log_density(model, tile, m):
    """The points are log-densities already."""
    for k in range(model.means.shape[0]):
        for p in range(m):
            tile.components[k, p] = tile.points[0, k, p]


tile_log_density = dispatch_on_record(
    "tile_log_density",
    {
        FullModel: full_log_density,
        TiedModel: tied_log_density,
        DiagonalModel: diagonal_log_density,
        SphericalModel: spherical_log_density,
        LogDensityModel: given_log_density,
    },
    {SmallFullModel: small_log_density_of},
)

tile_distances = dispatch_on_record(
    "tile_distances",
    {
        SphericalModel: spherical_log_density,
        **dict.fromkeys((FullModel, TiedModel, DiagonalModel, SmallFullModel), no_distances),
    },
)
