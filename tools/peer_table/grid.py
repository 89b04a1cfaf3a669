"""The grid of problems on which the libraries are compared."""

from __future__ import annotations

from collections.abc import Sequence

from fastgmm._records import CovarianceType
from fastgmm.benchmarking.problems import Problem

Shape = tuple[int, int, int]  # points, features, components

SHAPES: tuple[Shape, ...] = (
    (100_000, 2, 8),
    (100_000, 8, 8),
    (100_000, 16, 16),
    (20_000, 16, 256),
    (50_000, 32, 32),
    (20_000, 64, 32),
    (10_000, 128, 16),
    (4_000, 512, 4),
)
MOST_FEATURES = {"full": 512, "tied": 128, "diag": 512, "spherical": 128}


def grid(
    covariance_type: CovarianceType, dtype: str, shapes: Sequence[Shape] | None, quick: bool
) -> list[Problem]:
    """Problems of the given shapes or those of the grid; with a fraction of the points if quick."""
    return [
        Problem(covariance_type, dtype, max(n // 20, 2 * K * d) if quick else n, d, K)
        for n, d, K in shapes or SHAPES
        if shapes or d <= MOST_FEATURES[covariance_type]
    ]
