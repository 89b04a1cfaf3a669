"""The one registry of cases: the tests of the kernels and the benchmarks both draw from it.

A case names a problem by its shape, dtype and memory layout; `Case.make` builds it, the same
every time. Only numpy is imported here, so that a benchmark environment needs nothing more.
"""

from __future__ import annotations

import itertools
import zlib
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

COVARIANCE_TYPES = ("full", "tied", "diag", "spherical")
DTYPES = ("float64", "float32")
ORDERS = ("C", "F", "strided", "reversed", "read-only")


class Inputs(NamedTuple):
    """Points and the mixture under which a pass looks at them, in scikit-learn's shapes."""

    X: np.ndarray
    weights: np.ndarray
    means: np.ndarray
    precisions_cholesky: np.ndarray
    sample_weight: np.ndarray | None

    @property
    def mixture(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weights, means and factors: the three middle arguments of every pass."""
        return self.weights, self.means, self.precisions_cholesky


@dataclass(frozen=True)
class Case:
    """One problem, by name.

    Attributes
    ----------
    covariance_type : {'full', 'tied', 'diag', 'spherical', 'low_rank'}
    dtype : {'float64', 'float32'}
    n, d, K : int
        Points, features, components.
    order : {'C', 'F', 'strided', 'reversed', 'read-only'}
        Memory layout of every array of the problem.
    weighted : bool
        Whether there are sample weights; a fifth of them are zero.
    """

    covariance_type: str
    dtype: str
    n: int
    d: int
    K: int
    order: str = "C"
    weighted: bool = False

    @property
    def name(self) -> str:
        """A readable identifier, unique in the registry."""
        shape = f"n{self.n}-d{self.d}-K{self.K}"
        weighted = "-weighted" if self.weighted else ""
        return f"{self.covariance_type}-{self.dtype}-{shape}-{self.order}{weighted}"

    def make(self) -> Inputs:
        """Build the problem: seeded by the case's name, hence the same every time.

        The points come from a mixture whose means lie a little away from the one returned, like
        the data of an EM iteration that has not converged: no moment is a sum that cancels. The
        means are about as far apart in any number of features, so that components overlap.
        """
        rng = np.random.default_rng(zlib.crc32(self.name.encode()))
        weights = rng.dirichlet(np.full(self.K, 5.0))
        spread = np.sqrt(8.0 / max(self.d, 2))
        means = 3.0 + spread * rng.standard_normal((self.K, self.d))
        covariances = _covariances(rng, self.covariance_type, self.K, self.d)
        matrices = full_covariances(covariances, self.covariance_type, self.K, self.d)
        X = _sample(rng, self.n, weights, means + spread / 4, matrices)
        sample_weight = rng.uniform(0.5, 2.0, self.n) * (rng.random(self.n) >= 0.2)
        arrays = (
            _arrange(array.astype(self.dtype), self.order)
            for array in (
                X,
                weights,
                means,
                _precisions_cholesky(covariances, self.covariance_type),
                sample_weight,
            )
        )
        problem = Inputs(*arrays)
        return problem if self.weighted else problem._replace(sample_weight=None)


def _covariances(
    rng: np.random.Generator, covariance_type: str, n_components: int, n_features: int
) -> np.ndarray:
    """Random covariances of condition number up to 12, in the shape of the covariance type."""

    def matrix() -> np.ndarray:
        rotation = np.linalg.qr(rng.standard_normal((n_features, n_features)))[0]
        return (rotation * rng.uniform(0.25, 3.0, n_features)) @ rotation.T

    match covariance_type:
        case "full":
            return np.stack([matrix() for _ in range(n_components)])
        case "tied":
            return matrix()
        case "diag":
            return rng.uniform(0.25, 3.0, (n_components, n_features))
        case "spherical":
            return rng.uniform(0.25, 3.0, n_components)
        case "low_rank":  # loadings, and after them variances
            shape = n_components, n_features, max(1, min(8, n_features // 3)) + 1
            return np.append(0.4 * rng.standard_normal(shape)[..., 1:],
                             rng.uniform(0.25, 3.0, (*shape[:2], 1)), axis=2)  # fmt: skip
    raise ValueError(f"unknown covariance type {covariance_type!r}")


def _precisions_cholesky(covariances: np.ndarray, covariance_type: str) -> np.ndarray:
    """Upper triangular U with Σ⁻¹ = U Uᵀ, or inverse standard deviations."""
    if covariance_type in ("full", "tied"):
        return np.triu(np.linalg.inv(np.linalg.cholesky(covariances)).swapaxes(-1, -2))
    if covariance_type == "low_rank":
        inverse_deviations = covariances[..., -1:] ** -0.5
        return np.append(covariances[..., :-1] * inverse_deviations, inverse_deviations, axis=2)
    return 1 / np.sqrt(covariances)


def _sample(
    rng: np.random.Generator,
    n_points: int,
    weights: np.ndarray,
    means: np.ndarray,
    covariances: np.ndarray,
) -> np.ndarray:
    """Points drawn from a mixture with (K, d, d) `covariances`, in random order."""
    labels = rng.choice(len(weights), n_points, p=weights)
    X = rng.standard_normal((n_points, means.shape[1]))
    for k, factor in enumerate(np.linalg.cholesky(covariances)):
        X[labels == k] = means[k] + X[labels == k] @ factor.T
    return X


def full_covariances(
    covariances: np.ndarray, covariance_type: str, n_components: int, n_features: int
) -> np.ndarray:
    """The same covariances (or factors of precisions) as (K, d, d) matrices."""
    shape = (n_components, n_features, n_features)
    match covariance_type:
        case "full" | "tied":
            return np.broadcast_to(covariances, shape)
        case "diag":
            return covariances[:, :, None] * np.eye(n_features)
        case "spherical":
            return covariances[:, None, None] * np.eye(n_features)
        case "low_rank":
            W, variances = covariances[..., :-1], covariances[..., -1]
            return W @ W.swapaxes(1, 2) + variances[:, :, None] * np.eye(n_features)
    raise ValueError(f"unknown covariance type {covariance_type!r}")


def _arrange(array: np.ndarray, order: str) -> np.ndarray:
    """Return the same values in the memory layout that `order` names."""
    match order:
        case "C":
            return np.ascontiguousarray(array)
        case "F":
            return np.asfortranarray(array)
        case "strided":  # every second entry along each axis; NaN in between, never to be read
            spaced = np.full([2 * length for length in array.shape], np.nan, array.dtype)
            view = spaced[(slice(None, None, 2),) * array.ndim]
            view[...] = array
            return view
        case "reversed":
            backwards = (slice(None, None, -1),) * array.ndim
            return np.ascontiguousarray(array[backwards])[backwards]
        case "read-only":
            array = np.ascontiguousarray(array)
            array.setflags(write=False)
            return array
    raise ValueError(f"unknown order {order!r}")


# --------------------------------------------------------------------------- for the tests

FEATURES = (1, 2, 3, 5, 8, 9, 12, 13, 16, 17, 20, 24, 31, 33, 40, 42, 43, 60, 64)
COMPONENTS = (1, 2, 7, 40, 256)
AROUND_TILES = (1, 7, *(size + step for size in (128, 256, 512, 1024) for step in (-1, 0, 1)))

# Kernels are compiled anew for every number of features up to 42 in 'full': these numbers stand
# for the others in float32, so that a fresh checkout spends its time on telling cases.
FLOAT32_FEATURES = (1, 2, 3, 8, 16, 17, 31, 42, 43, 64)


def _feature_cases() -> list[Case]:
    """Every number of features in every covariance type."""
    n, K = itertools.cycle((200, 7, 129, 600)), itertools.cycle((7, 2, 40, 1, 3))
    dtypes = itertools.cycle(("float64", "float32", "float32", "float64", "float64"))
    full = [("float64", d) for d in FEATURES] + [("float32", d) for d in FLOAT32_FEATURES]
    return [
        *(Case("full", dtype, 300, d, 5) for dtype, d in full),
        *(Case("full", dtype, 130, d, 40) for dtype, d in full),
        *(
            Case(covariance_type, next(dtypes), next(n), d, next(K))
            for d in FEATURES
            for covariance_type in COVARIANCE_TYPES[1:]
        ),
    ]


def _tile_cases() -> list[Case]:
    """Every number of points at which a tile or a block may end, wherever the kernels cut."""
    types = itertools.cycle(COVARIANCE_TYPES)
    dtypes = itertools.cycle(("float32", "float64", "float64"))
    return [
        case
        for n in AROUND_TILES
        for case in (
            Case("full", "float64", n, 5, 3),
            Case("full", "float64", n, 17, 3),
            Case(next(types), next(dtypes), n, 3, 7),
        )
    ]


def _component_cases() -> list[Case]:
    """Every number of components in every covariance type."""
    dtypes = itertools.cycle(("float64", "float32", "float64"))
    return [
        Case(covariance_type, next(dtypes), 257, 3, K)
        for K in COMPONENTS
        for covariance_type in COVARIANCE_TYPES
    ] + [Case("tied", "float64", 257, 12, K) for K in (64, 65, 100)]


def _order_cases() -> list[Case]:
    """Every memory layout but the plain one in every covariance type, with sample weights."""
    dtypes = itertools.cycle(("float64", "float32", "float64"))
    return [
        Case(covariance_type, next(dtypes), 400, d, 4, order, weighted=True)
        for d in (3, 8)
        for covariance_type in COVARIANCE_TYPES
        for order in ORDERS[1:]
    ]


def _block_cases() -> list[Case]:
    """Several blocks of tiles, with sample weights and without."""
    return [
        Case(covariance_type, dtype, 20_000, 2, 7, weighted=covariance_type in ("full", "diag"))
        for covariance_type in COVARIANCE_TYPES
        for dtype in DTYPES
    ] + [
        Case(covariance_type, "float64", 5_001, 17, 4, weighted=True)
        for covariance_type in COVARIANCE_TYPES
    ]


CASES = tuple(
    {
        case.name: case
        for cases in (
            _feature_cases(),
            _tile_cases(),
            _component_cases(),
            _order_cases(),
            _block_cases(),
        )
        for case in cases
    }.values()
)

# Of passes alone, since covariances under given responsibilities have no loadings.
LOW_RANK_CASES = tuple(
    Case("low_rank", dtype, n, d, K, order, weighted=n != 300)
    for dtype in DTYPES
    for n, d, K, order in [
        (300, 2, 1, "C"), (300, 17, 5, "C"), (1100, 64, 7, "F"), (513, 9, 40, "strided"),
        (7, 33, 2, "reversed"), (5000, 3, 4, "read-only"),
    ]
)  # fmt: skip

# Of full models that are worth one centre where their pairs count: most vectors and blocks are
# whole, or hardly any.
COMMON_CENTRE_CASES = tuple(
    Case("full", dtype, n, d, K, order, weighted=n != 900)
    for dtype in DTYPES
    for n, d, K, order in [
        (900, 64, 16, "C"), (700, 43, 12, "F"), (500, 44, 9, "strided"), (600, 33, 35, "C"),
        (300, 97, 3, "reversed"), (40, 24, 8, "read-only"),
    ]
)  # fmt: skip

# Small enough for kernels that run uncompiled: a few thousand multiplications each.
SMALL_CASES = tuple(case for case in CASES if case.n * case.K * case.d**2 <= 20_000)

# --------------------------------------------------------------------------- for the benchmarks

# Low, middle and high dimension, each with its own way through the kernels.
SHAPES = ((100_000, 2, 8), (50_000, 8, 8), (50_000, 16, 16), (10_000, 64, 32))

BENCHMARK_CASES = tuple(
    [Case(covariance_type, "float64", *s) for covariance_type in COVARIANCE_TYPES for s in SHAPES]
    + [Case(covariance_type, "float32", *SHAPES[2]) for covariance_type in COVARIANCE_TYPES]
)

# --------------------------------------------------------------------------- agreement

TOLERANCES = {"float64": 1e-12, "float32": 1e-5}


def relative_error(actual: np.ndarray, expected: np.ndarray, scale: float | None = None) -> float:
    """Largest difference over the largest expected magnitude (or `scale`); 0 where both are 0."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    scale = np.max(np.abs(expected)) if scale is None else scale
    difference = np.max(np.abs(actual - expected))
    return float(difference / scale) if scale > 0 else float(difference)


def assert_agree(
    actual: np.ndarray, expected: np.ndarray, dtype: str, scale: float | None = None
) -> None:
    """Check that two arrays agree, normwise, to what the dtype of the computation allows."""
    assert np.shape(actual) == np.shape(expected), (np.shape(actual), np.shape(expected))
    error = relative_error(actual, expected, scale)
    assert error <= TOLERANCES[dtype], f"relative error {error:.1e}"


def assert_statistics_agree(actual, expected, log_densities: np.ndarray, dtype: str) -> None:
    """Check `Statistics` field by field, the log-likelihood against Σ|log p|."""
    scale = float(np.sum(np.abs(log_densities)))
    assert_agree(actual.log_likelihood, expected.log_likelihood, dtype, scale)
    for field in ("counts", "first", "second", "reference"):
        assert_agree(getattr(actual, field), getattr(expected, field), dtype)
