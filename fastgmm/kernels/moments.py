"""Weighted moments of a tile about the components' means: serial workers, one per kind of model.

Each adds the tile's share to the partial statistics of its block.
"""

from __future__ import annotations

from fastgmm.kernels.jit.settings import dispatch_on_record
from fastgmm.kernels.layouts import (
    DiagonalModel,
    FullModel,
    SmallFullModel,
    SphericalModel,
    TiedModel,
)
from fastgmm.kernels.moments_of_diagonals import diagonal_moments, spherical_moments
from fastgmm.kernels.moments_of_full import full_moments, small_moments_of
from fastgmm.kernels.moments_of_tied import tied_moments

tile_moments = dispatch_on_record(
    "tile_moments",
    {
        FullModel: full_moments,
        TiedModel: tied_moments,
        DiagonalModel: diagonal_moments,
        SphericalModel: spherical_moments,
    },
    {SmallFullModel: small_moments_of},
)
