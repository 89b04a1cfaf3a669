"""The M step of small models, in one call for all their components."""

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
MOST_OPERATIONS = 2**9 if JIT_DISABLED else 2**24
LANES = VECTOR_BYTES // 8


def is_small(n_components: int, n_features: int) -> bool:
    """Whether the M step of a model is done here."""
    return n_components * n_features**3 <= MOST_OPERATIONS


def maximize(
    statistics: Statistics, floor: float, reg_covar: float | FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray] | None:
    """Weights, means, covariances and their factors; None if one is not positive definite.

    The same numbers as an estimate that is regularized and factorized afterwards, sooner.
    """
    _, weights, means, covariances = estimate(statistics, floor, reg_covar)
    factors = factorize(covariances)
    return None if factors is None else (weights, means, covariances, factors)


def estimate(
    statistics: Statistics, floor: float, reg_covar: float | FloatArray = 0.0
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Counts, weights, means and covariances of the highest likelihood, in the type of the pass.

    `floor` is added to the counts, and `reg_covar` to the diagonals of matrices. The equations are
    those of `MaximumLikelihood`.
    """
    K, d = statistics.reference.shape
    # The blocks take arrays by their addresses.
    first, second, reference = (
        np.ascontiguousarray(array, np.float64)
        for array in (statistics.first, statistics.second, statistics.reference)
    )
    counts, weights, means = statistics.counts + floor, np.empty(K), np.empty((K, d))
    shifts, covariances = np.empty((K, d)), np.empty(second.shape)
    moments, estimates = (counts, first, reference), (weights, means)
    if statistics.covariance_type in ("full", "tied"):
        added, matrices = np.empty(d), (-1, d, d)
        added[:] = reg_covar
        fill_matrices(
            *moments, second.reshape(matrices), added, shifts, *estimates,
            covariances.reshape(matrices),
        )  # fmt: skip
    else:
        fill_variances(
            *moments, second.reshape(K, -1), shifts, *estimates, covariances.reshape(K, -1)
        )
    return counts, weights, means, covariances


def factorize(covariances: FloatArray) -> FloatArray | None:
    """Upper triangular U with Σ⁻¹ = U Uᵀ; None if a covariance is not positive definite."""
    d = covariances.shape[-1]
    if not covariances.flags.carray:  # as the block takes it by its address
        covariances = np.array(covariances, order="C")
    matrices = covariances.reshape(-1, d, d)
    triangle = np.zeros((d, -(-d // LANES) * LANES))
    factors = np.empty(matrices.shape)
    done = fill_factors(matrices, triangle, factors)
    return factors.reshape(covariances.shape) if done else None


# Wide: statistics in, parameters out.
@compiled_alone
def fill_matrices(counts, first, reference, second, floor, shifts, weights, means, covariances):
    """Fill weights, means and covariances (K, d, d), or a single one of all components."""
    total = means_of_moments(counts, first, reference, weights, shifts, means)
    covariances_of_moments(second, counts, total, shifts, floor, covariances, VECTOR_BYTES)


# Wide: as above.
@compiled_alone
def fill_variances(counts, first, reference, second, shifts, weights, means, covariances):
    """Fill weights, means and variances (K, d), or (K, 1): their mean."""
    means_of_moments(counts, first, reference, weights, shifts, means)
    K, d = shifts.shape
    columns = second.shape[1]
    for k in range(K):
        for i in range(columns):
            squares = 0.0
            for j in range(i, d, columns):
                squares += shifts[k, j] * shifts[k, j]
            covariances[k, i] = (second[k, i] / counts[k] - squares) / (d // columns)


@compiled_alone
def fill_factors(covariances, triangle, factors):
    """Fill factors (K, d, d) of the inverses; return whether all are positive definite."""
    invert_factors(covariances, triangle, factors, VECTOR_BYTES)
    for k in range(factors.shape[0]):
        for i in range(factors.shape[1]):
            if not 0.0 < factors[k, i, i] < np.inf:
                return False
    return True
