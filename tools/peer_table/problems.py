"""The grid of problems, and the data of each: seeded, so that every run sees the same."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

COVARIANCE_TYPES = ("full", "tied", "diag", "spherical")
DTYPES = ("float64", "float32")
SHAPES = (
    (100_000, 2, 8),
    (100_000, 8, 8),
    (100_000, 16, 16),
    (50_000, 32, 32),
    (20_000, 64, 32),
    (10_000, 128, 16),
    (4_000, 512, 4),
)
MOST_FEATURES = {"full": 512, "tied": 128, "diag": 512, "spherical": 128}


@dataclass(frozen=True, slots=True)
class Cell:
    """A covariance type with numbers of points n, features d and components K."""

    covariance_type: str
    n: int
    d: int
    K: int

    @property
    def flops(self) -> int:
        """Operations that one iteration needs with full covariances.

        A triangular product for each point and component in the density, and as many
        multiplications and additions for the symmetric sums of the covariances.
        """
        return 2 * self.n * self.K * self.d * (self.d + 1)


class Mixture(NamedTuple):
    """Parameters of a mixture, in scikit-learn's shapes."""

    covariance_type: str
    weights: np.ndarray
    means: np.ndarray
    covariances: np.ndarray


class Fit(NamedTuple):
    """Where a library arrived, and after how many iterations."""

    mixture: Mixture
    n_iterations: int


def grid(covariance_types: list[str], shapes: list[tuple[int, int, int]] | None) -> list[Cell]:
    """Cells of the given covariance types, with the given shapes or those of the grid."""
    return [
        Cell(covariance_type, *shape)
        for covariance_type in covariance_types
        for shape in shapes or SHAPES
        if shapes or shape[1] <= MOST_FEATURES[covariance_type]
    ]


def draw(cell: Cell, dtype: str) -> tuple[np.ndarray, Mixture]:
    """Points of a mixture, and parameters near the true ones to start from.

    Means are about four standard deviations apart, and covariances differ about as much, in any
    number of features: components overlap, and nearly every point counts for several of them,
    which is the harder case for code that leaves out what does not count. Determinants are
    near 1, because some libraries multiply them out.
    """
    rng = np.random.default_rng(zlib.crc32(repr(cell).encode()))
    covariance_type, n, d, K = cell.covariance_type, cell.n, cell.d, cell.K
    spread = np.sqrt(8 / d)
    means = spread * rng.standard_normal((K, d))
    factors = [_factor(rng, covariance_type, d) for _ in range(K)]
    if covariance_type == "tied":
        factors = factors[:1] * K
    labels = rng.choice(K, n, p=rng.dirichlet(np.full(K, 50.0)))
    X = rng.standard_normal((n, d))
    for k, factor in enumerate(factors):
        X[labels == k] = means[k] + X[labels == k] @ factor
    start = Mixture(
        covariance_type,
        np.full(K, 1 / K, dtype),
        (means + spread / 4 * rng.standard_normal((K, d))).astype(dtype),
        _unit_covariances(covariance_type, d, K).astype(dtype),
    )
    return X.astype(dtype), start


def _factor(rng: np.random.Generator, covariance_type: str, d: int) -> np.ndarray:
    """A with covariance AᵀA of the given type, condition number at most e²."""
    log_scale = min(0.5, np.sqrt(2 / d))
    match covariance_type:
        case "spherical":
            return np.exp(log_scale * rng.uniform(-1, 1)) * np.eye(d)
        case "diag":
            return np.diag(np.exp(log_scale * rng.uniform(-1, 1, d)))
        case _:
            rotation = np.linalg.qr(rng.standard_normal((d, d)))[0]
            return np.exp(log_scale * rng.uniform(-1, 1, d))[:, None] * rotation


def _unit_covariances(covariance_type: str, d: int, K: int) -> np.ndarray:
    match covariance_type:
        case "full":
            return np.tile(np.eye(d), (K, 1, 1))
        case "tied":
            return np.eye(d)
        case "diag":
            return np.ones((K, d))
        case _:
            return np.ones(K)
