"""A tile of few points, through code of few statements, soon compiled, whatever its features.

The drivers' code knows the number of features in advance and takes seconds to compile. This is
for problems that are solved in less time. It computes in float64 whatever the points are.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from fastgmm._records import CovarianceType, FloatArray
from fastgmm.kernels.codegen.diagonals import (
    FEATURES,
    add_moments_of_diagonals,
    log_density_of_diagonals,
)
from fastgmm.kernels.codegen.products import add_product, add_squares
from fastgmm.kernels.codegen.rearrangement import fill_panels, pack_weighted, reflect
from fastgmm.kernels.codegen.tiles import exponentials
from fastgmm.kernels.density import distances_to_log_density
from fastgmm.kernels.jit.settings import compiled_alone
from fastgmm.kernels.jit.target import VECTOR_BYTES, VECTORS
from fastgmm.kernels.layouts import Mixture
from fastgmm.system.lazy import lazy

LANES = VECTOR_BYTES // 8
CHUNK = VECTORS * LANES
HALF_LOG_TWO_PI = 0.5 * math.log(2 * math.pi)


class Moments(NamedTuple):
    """Of a tile, in float64: what `Statistics` are added up from."""

    log_likelihood: float
    counts: FloatArray
    first: FloatArray
    second: FloatArray


class Normalized(NamedTuple):
    """Of each point, as in a `Tile`; arrays are padded."""

    components: FloatArray  # (K, pitch): log-densities, then exponentials, then shares
    peak: FloatArray  # (pitch,): the highest log-density of the components
    total: FloatArray  # (pitch,): sum of the exponentials
    scale: FloatArray  # (pitch,): sample weight over that sum


# --- compiled -------------------------------------------------------------------------------
# Wide: numba takes arrays sooner by themselves than in records.
@compiled_alone
def log_density_of_matrices(
    points, weights, means, factors, panels, constants, centred, squares, out
):
    """log πₖ + log N(x; μₖ, Σₖ) by chunks of points.

    `constants` are what is added to them, and written. `panels` are for a factor's columns, four at
    a time and down to the last diagonal; what no factor has is 0 there.
    """
    chunks, d, length = points.shape
    n_factors = factors.shape[0]  # one for each component, or for all
    for k in range(means.shape[0]):
        fill_panels(factors, k % n_factors, panels)
        constants[k] -= factors.shape[1] * HALF_LOG_TWO_PI
        constants[k] += np.log(weights[k]) if weights[k] > 0 else -np.inf
        for j in range(factors.shape[1]):
            constants[k] += np.log(factors[k % n_factors, j, j])
        for chunk in range(chunks):
            offset = 0
            squares[:] = 0.0
            for j in range(0, d, 4):
                add_squares(
                    panels, offset, points, chunk, means, k, centred, j, squares,
                    4, VECTORS, VECTOR_BYTES,
                )  # fmt: skip
                offset += j + 4
            distances_to_log_density(squares, constants[k], out, k, chunk * length)


@compiled_alone
def log_density_of_variances(points, weights, means, factors, spread, constants, out):
    """The same from inverse standard deviations (K, d) or (K, 1), spread over all the features."""
    repeated = means.shape[1] // factors.shape[1]
    for k in range(means.shape[0]):
        constants[k] -= means.shape[1] * HALF_LOG_TWO_PI
        constants[k] += np.log(weights[k]) if weights[k] > 0 else -np.inf
        for j in range(factors.shape[1]):
            constants[k] += repeated * np.log(factors[k, j])
    log_density_of_diagonals(
        points, means, spread, constants, points.shape[1], out, out,
        FEATURES, VECTORS, VECTOR_BYTES,
    )  # fmt: skip


@compiled_alone
def normalize(points, sample_weight):
    """Turn log-densities into exponentials, find the scale that makes them shares; Σ w log p."""
    components, total = points.components, points.total
    exponentials(components, total.shape[0], points.peak, total, VECTOR_BYTES)
    log_likelihood = 0.0
    for p in range(sample_weight.shape[0]):
        if not total[p] > 0:  # zero density under every component
            total[p] = components.shape[0]
            for k in range(components.shape[0]):
                components[k, p] = 1.0
        weight = sample_weight[p]
        if weight > 0:  # 0 · -inf
            log_likelihood += weight * (points.peak[p] + math.log(total[p]))
        points.scale[p] = weight / total[p]
    return log_likelihood


# Wide: numba takes arrays sooner by themselves than in records.
@compiled_alone
def moments_of_matrices(rows, means, points, roots, packed, row, square, counts, first, second):
    """Fill Σ r, Σ r c and Σ r c cᵀ, c = x - μₖ, the last for each component or for all together.

    What is added up in `row` (1, width) and `square` (width, width) has whole vectors.
    """
    n, width = rows.shape
    for k in range(first.shape[0]):
        for p in range(n):
            share = points.components[k, p] * points.scale[p]
            counts[k] += share
            roots[p, 0] = np.sqrt(share)
        if k < second.shape[0]:
            square[:] = 0.0
        for j in range(0, width, LANES):
            pack_weighted(rows, means, k, roots, packed, j, row, VECTOR_BYTES)
            for i in range(0, j + LANES, 4):
                add_product(packed, 0, i, packed, 0, j, n, square, i, j, 4, 1, VECTOR_BYTES, 0)
        reflect(row, square, k, first, second)


@compiled_alone
def moments_of_variances(points, means, shares, counts, first, second):
    """Add Σ r, Σ r c and Σ r c² per feature."""
    K, d = means.shape
    for k in range(K):
        for p in range(shares.scale.shape[0]):
            shares.components[k, p] *= shares.scale[p]
            counts[k] += shares.components[k, p]
        for i in range(d):
            add_moments_of_diagonals(
                points, i, means, shares.components, k, points.shape[1], first, second,
                1, 1, 1, VECTOR_BYTES,
            )  # fmt: skip


# --- on the host ----------------------------------------------------------------------------
class FewPoints:
    """Few points and their weights, laid out; workspaces are reused."""

    def __init__(self, X: FloatArray, sample_weight: FloatArray | None = None):
        self.X = X
        self.sample_weight = np.ones(len(X))
        if sample_weight is not None:
            self.sample_weight[:] = sample_weight
        self._pitch = -(-len(X) // CHUNK) * CHUNK
        self._kept: Normalized | None = None
        self._means: FloatArray = np.empty((0, 0))  # of the last mixture, as wide as the rows

    def statistics(self, mixture: Mixture) -> Moments:
        """Log-likelihood, counts, first and second moments under the mixture."""
        log_likelihood = self.log_likelihood(mixture)
        return Moments(log_likelihood, *self._moments(mixture.means, mixture.covariance_type))

    def moments(
        self, means: FloatArray, responsibilities: FloatArray, covariance_type: CovarianceType
    ) -> Moments:
        """Moments about means under given responsibilities (n, K), with no regard to weights."""
        n, K = responsibilities.shape
        shares = self._workspace(K)
        shares.components[:, :n] = responsibilities.T
        shares.scale[:n] = 1.0
        if _has_matrices(means, covariance_type):
            self._keep(means)
        return Moments(0.0, *self._moments(means, covariance_type))

    def _moments(
        self, means: FloatArray, covariance_type: CovarianceType
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        K, d = means.shape
        shares = self._workspace(K)
        if _has_matrices(means, covariance_type):
            counts, first = np.zeros(K), np.empty((K, d))
            second = np.empty((1 if covariance_type == "tied" else K, d, d))
            moments_of_matrices(
                self._rows, self._means, shares, self._roots, self._packed,
                *self._sums, counts, first, second,
            )  # fmt: skip
            if covariance_type == "tied":
                second = second[0]
        else:
            counts, first, second = np.zeros(K), np.zeros((K, d)), np.zeros((K, d))
            moments_of_variances(self._by_features, means, shares, counts, first, second)
            match covariance_type:
                case "spherical":
                    second = second.sum(axis=1)
                case "full":
                    second = second.reshape(K, 1, 1)
                case "tied":
                    second = second if K == 1 else np.add.reduce(second)[None]
        return counts, first, second

    def log_likelihood(self, mixture: Mixture) -> float:
        """Σᵢ wᵢ log p(xᵢ)."""
        self.log_densities(mixture)
        return float(normalize(self._workspace(len(mixture.means)), self.sample_weight))

    def normalized(self, mixture: Mixture | None) -> tuple[FloatArray, FloatArray]:
        """Log-densities (n,) and responsibilities (n, K), which do not hold where a point is far.

        Without a mixture the points are log-densities of components themselves.
        """
        n = len(self.X)
        if mixture is None:
            points = self._workspace(self.X.shape[1])
            points.components[:, :n] = self.X.T
            normalize(points, self.sample_weight)
        else:
            points = self._workspace(len(mixture.means))
            self.log_likelihood(mixture)
        log_density = points.peak[:n] + np.log(points.total[:n])
        return log_density, (points.components[:, :n] / points.total[:n]).T

    def log_densities(self, mixture: Mixture) -> FloatArray:
        """Return log πₖ + log N(xᵢ; μₖ, Σₖ), (K, n), overwritten by the next call."""
        weights, means, factors, covariance_type, added = mixture
        K, d = means.shape
        out, constants = self._workspace(K).components, np.zeros(K)
        if added is not None:
            constants += added
        if _has_matrices(means, covariance_type):
            self._keep(means)
            log_density_of_matrices(
                self._by_chunks, weights, self._means, factors.reshape(-1, d, d), self._panels,
                constants, self._centred, self._squares, out,
            )  # fmt: skip
        else:
            if covariance_type == "tied" and K > 1:
                factors = np.repeat(factors, K)
            own = factors.reshape(K, -1)
            spread = own if own.shape[1] == d else np.repeat(own, d).reshape(K, d)
            log_density_of_variances(self._by_features, weights, means, own, spread, constants, out)
        return out[:, : len(self.X)]

    def _keep(self, means: FloatArray) -> None:
        K, d = means.shape
        if len(self._means) != K:
            self._means = np.zeros((K, self._rows.shape[1]))
        self._means[:, :d] = means

    def _workspace(self, n_components: int) -> Normalized:
        if self._kept is None or len(self._kept.components) != n_components:
            rest = (np.zeros(self._pitch) for _ in range(3))
            self._kept = Normalized(np.zeros((n_components, self._pitch)), *rest)
        return self._kept

    # --- layouts
    @lazy
    def _by_chunks(self) -> FloatArray:
        """Points (chunks, d, chunk), with features up to a multiple of four."""
        n, d = self.X.shape
        padded = np.zeros((self._pitch, -(-d // 4) * 4))
        padded[:n, :d] = self.X
        chunks = padded.reshape(-1, CHUNK, padded.shape[1])
        return np.ascontiguousarray(chunks.swapaxes(1, 2))

    @lazy
    def _by_features(self) -> FloatArray:
        """Points (d, pitch)."""
        points = np.zeros((self.X.shape[1], self._pitch))
        points[:, : len(self.X)] = self.X.T
        return points

    @lazy
    def _rows(self) -> FloatArray:
        """Points (n, width), their features up to whole vectors."""
        return _padded(self.X, -(-self.X.shape[1] // LANES) * LANES)

    @lazy
    def _packed(self) -> FloatArray:
        return np.empty_like(self._rows)

    @lazy
    def _roots(self) -> FloatArray:
        return np.empty((len(self.X), 1))

    @lazy
    def _sums(self) -> tuple[FloatArray, FloatArray]:
        width = self._rows.shape[1]
        return np.empty((1, width)), np.empty((width, width))

    @lazy
    def _panels(self) -> FloatArray:
        n_panels = self._by_chunks.shape[1] // 4
        return np.zeros((2 * n_panels * (n_panels + 1), 4))

    @lazy
    def _centred(self) -> FloatArray:
        return np.empty(self._by_chunks.shape[1:])

    @lazy
    def _squares(self) -> FloatArray:
        return np.empty(CHUNK)


# --- what the kernels are given -------------------------------------------------------------
def exact(mixture: Mixture, dtype: np.dtype) -> Mixture:
    """A mixture in float64, of means that are rounded as the points are."""
    weights, means, factors, covariance_type, log_constants = mixture
    if _suit(weights) and _suit(means) and _suit(factors) and dtype == np.float64:
        return mixture
    weights, means, factors = (
        np.array(array, np.float64, order="C")
        for array in (weights, np.asarray(means, dtype), factors)
    )
    return Mixture(weights, means, factors, covariance_type, log_constants)


def _has_matrices(means: FloatArray, covariance_type: CovarianceType) -> bool:
    """Whether features go together; with one there is nothing but a variance."""
    return covariance_type in ("full", "tied") and means.shape[1] > 1


def _suit(array: FloatArray) -> bool:
    """Whether an array is of float64, in C's order and writable: for others numba compiles anew."""
    return array.dtype == np.float64 and array.flags.carray


def _padded(rows: FloatArray, width: int) -> FloatArray:
    padded = np.zeros((len(rows), width))
    padded[:, : rows.shape[1]] = rows
    return padded
