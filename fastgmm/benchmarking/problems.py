"""What is measured: problems by their shapes, and the points of each."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

from fastgmm._records import COVARIANCE_TYPES, CovarianceType, FloatArray, Parameters
from fastgmm.model.families import family_of

DTYPES = ("float64", "float32")


@dataclass(frozen=True, slots=True)
class Problem:
    """n points of d features, and K components to fit to them."""

    covariance_type: CovarianceType
    dtype: str  # 'float64' or 'float32'
    n: int
    d: int
    K: int

    @property
    def flops(self) -> int:
        """Additions and multiplications in the formulas of one iteration, the exponentials apart.

        Full: a triangular product in the density of each pair of point and component, and as
        much for the symmetric sums. Tied: both once per point, and distances and sums per pair.
        """
        d, K = self.d, self.K
        triangles = 2 * d * (d + 1)
        full, tied, diag, spherical = K * triangles, triangles + 5 * K * d, 9 * K * d, 8 * K * d
        of_point = {"full": full, "tied": tied, "diag": diag, "spherical": spherical}
        return self.n * of_point[self.covariance_type]

    @property
    def shape(self) -> str:
        """Points × features × components."""
        return f"{self.n:,} × {self.d} × {self.K}"

    def __str__(self) -> str:
        return f"{self.covariance_type}, {self.dtype}, {self.shape}"


# Those of `fastgmm bench`.
SHAPES = ((100_000, 2, 8), (50_000, 16, 16), (10_000, 64, 32))
PROBLEMS = tuple(
    Problem(covariance_type, dtype, *shape)
    for covariance_type in COVARIANCE_TYPES
    for shape in (SHAPES if covariance_type == "full" else SHAPES[1:2])
    for dtype in DTYPES
)
# Worth the time of scikit-learn: full with few features and with more, and diag.
BESIDE_SCIKIT_LEARN = (PROBLEMS[0], PROBLEMS[2], PROBLEMS[8])


def draw(problem: Problem) -> tuple[FloatArray, Parameters]:
    """Points of a mixture, and parameters near the true ones to start from.

    Both are the same every time, and in either precision but for rounding. Means are about four
    standard deviations apart, and covariances differ about as much, in any number of features:
    components overlap, and nearly every point counts for several of them, which is the harder
    case for code that leaves out what does not count. Determinants are near 1, because some
    libraries multiply them out.
    """
    n, d, K = problem.n, problem.d, problem.K
    rng = np.random.default_rng(zlib.crc32(f"{problem.covariance_type} {n} {d} {K}".encode()))
    spread = np.sqrt(8 / d)
    means = spread * rng.standard_normal((K, d))
    factors = _factors(rng, problem)
    labels = rng.choice(K, n, p=rng.dirichlet(np.full(K, 50.0)))
    X = rng.standard_normal((n, d))
    for k in range(K):
        X[labels == k] = means[k] + X[labels == k] @ factors[k]
    ones = family_of(problem.covariance_type).identity(K, d)  # covariances, and their own factors
    nearby = means + spread / 4 * rng.standard_normal((K, d))
    start = Parameters(np.full(K, 1 / K), nearby, ones, ones, problem.covariance_type)
    return X.astype(problem.dtype), start.astype(problem.dtype)


def _factors(rng: np.random.Generator, problem: Problem) -> FloatArray:
    """A of each component, with covariance AᵀA of the type and a condition number up to e²."""
    d, K = problem.d, problem.K
    rows, columns = {"tied": (1, d), "spherical": (K, 1)}.get(problem.covariance_type, (K, d))
    scales = np.exp(min(0.5, np.sqrt(2 / d)) * rng.uniform(-1, 1, (rows, columns)))
    rotations = np.eye(d)
    if problem.covariance_type in ("full", "tied"):
        rotations = np.linalg.qr(rng.standard_normal((rows, d, d)))[0]
    return np.broadcast_to(scales[:, :, None] * rotations, (K, d, d))
