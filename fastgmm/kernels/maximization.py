"""The M step of small models, whose matrices are factorized all at once."""

from __future__ import annotations

import numpy as np

from fastgmm._records import FloatArray, Statistics
from fastgmm.kernels.codegen.factors import (
    covariances_of_moments,
    invert_factors,
    means_of_moments,
)
from fastgmm.kernels.jit.settings import compiled_alone
from fastgmm.kernels.jit.target import JIT_DISABLED, VECTOR_BYTES

# Components times features cubed, up to which a model is small. Larger ones are for LAPACK, and
# plain Python, in place of the compiler, takes its time.
MOST_OPERATIONS = 2**9 if JIT_DISABLED else 2**21
# Matrices that are factorized together: as many as fill a vector.
TOGETHER = VECTOR_BYTES // 8


def is_small(n_components: int, n_features: int) -> bool:
    """Whether the M step of a model is done here."""
    return n_components * n_features**3 <= MOST_OPERATIONS


def maximize(
    statistics: Statistics, floor: float, reg_covar: float | FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray] | None:
    """Weights, means, covariances and their factors; None if one is not positive definite.

    The same numbers as an estimate that is regularized and factorized afterwards, sooner.
    """
    _, weights, means, covariances = estimate(statistics, floor)
    d = means.shape[1]
    covariances.reshape(-1, d * d)[:, :: d + 1] += reg_covar
    factors = factorize(covariances)
    return None if factors is None else (weights, means, covariances, factors)


def estimate(
    statistics: Statistics, floor: float
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Counts, weights, means and covariances of the highest likelihood, in the type of the pass.

    `floor` is added to the counts. The equations are those of `MaximumLikelihood`.
    """
    K, d = statistics.reference.shape
    # The blocks take arrays by their addresses.
    first, second, reference = (
        np.ascontiguousarray(array, np.float64)
        for array in (statistics.first, statistics.second, statistics.reference)
    )
    counts, weights, means = statistics.counts + floor, np.empty(K), np.empty((K, d))
    matrices = statistics.covariance_type in ("full", "tied")
    shape, fill = ((-1, d, d), fill_matrices) if matrices else ((K, -1), fill_variances)
    covariances = np.empty(second.shape)
    total, shifts = float(np.add.reduce(counts)), np.empty((K, d))
    fill(
        counts, total, first, reference, second.reshape(shape), shifts, weights, means,
        covariances.reshape(shape),
    )  # fmt: skip
    return counts, weights, means, covariances


def factorize(covariances: FloatArray) -> FloatArray | None:
    """Upper triangular U with Σ⁻¹ = U Uᵀ; None if a covariance is not positive definite."""
    d = covariances.shape[-1]
    three = covariances.reshape(-1, d, d)
    matrices = np.empty((d, d, -(-len(three) // TOGETHER) * TOGETHER))
    matrices[:, :, : len(three)] = three.transpose(1, 2, 0)
    factors = np.zeros(three.shape)
    return factors.reshape(covariances.shape) if fill_factors(matrices, factors) else None


# Wide: statistics in, parameters out.
@compiled_alone
def fill_matrices(
    counts, total, first, reference, second, shifts, weights, means, covariances
):  # fmt: skip
    """Fill weights, means and covariances (K, d, d), or a single one of all components."""
    means_of_moments(counts, total, first, reference, weights, shifts, means)
    covariances_of_moments(second, counts, total, shifts, covariances)


# Wide: statistics in, parameters out.
@compiled_alone
def fill_variances(counts, total, first, reference, second, shifts, weights, means, covariances):
    """Fill weights, means and variances (K, d), or (K, 1): their mean."""
    means_of_moments(counts, total, first, reference, weights, shifts, means)
    K, d = shifts.shape
    columns = second.shape[1]
    for k in range(K):
        for i in range(columns):
            squares = 0.0
            for j in range(i, d, columns):
                squares += shifts[k, j] * shifts[k, j]
            covariances[k, i] = (second[k, i] / counts[k] - squares) / (d // columns)


@compiled_alone
def fill_factors(matrices, factors):
    """Fill factors (K, d, d) of the inverses; return whether all are positive definite."""
    invert_factors(matrices, factors, VECTOR_BYTES)
    for k in range(factors.shape[0]):
        for i in range(factors.shape[1]):
            if not 0.0 < factors[k, i, i] < np.inf:
                return False
    return True
