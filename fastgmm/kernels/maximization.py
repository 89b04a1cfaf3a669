"""The M step of small models, whose matrices are factorized all at once."""

from __future__ import annotations

from typing import NamedTuple

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


class Maximum(NamedTuple):
    """Parameters of the highest likelihood, in float64."""

    weights: FloatArray
    means: FloatArray
    covariances: FloatArray
    precisions_cholesky: FloatArray


def is_small(n_components: int, n_features: int) -> bool:
    """Whether the M step of a model is done here."""
    return n_components * n_features**3 <= MOST_OPERATIONS


def maximize(statistics: Statistics, floor: float, reg_covar: float | FloatArray) -> Maximum | None:
    """Parameters of the highest likelihood; None if a covariance is not positive definite.

    `floor` is added to the counts, and `reg_covar` to the variances. The equations are those of
    `MaximumLikelihood`.
    """
    K, d = statistics.reference.shape
    second, covariance_type = statistics.second, statistics.covariance_type
    added = np.empty(d)
    added[:] = reg_covar
    if covariance_type == "spherical":
        added[:] = added.mean()
    counts = statistics.counts + floor
    total, shifts = float(np.add.reduce(counts)), np.empty((K, d))
    maximum = Maximum(np.empty(K), np.empty((K, d)), np.empty(second.shape), np.zeros(second.shape))
    shape = (-1, d, d) if covariance_type in ("full", "tied") else (K, -1)
    given = counts, total, statistics.first, statistics.reference, second.reshape(shape), added
    results = (
        maximum.weights,
        maximum.means,
        maximum.covariances.reshape(shape),
        maximum.precisions_cholesky.reshape(shape),
    )
    if len(shape) == 2:
        definite = maximize_variances(*given, shifts, *results)
    else:
        pitch = -(-len(results[-1]) // TOGETHER) * TOGETHER
        definite = maximize_matrices(*given, shifts, np.empty((d, d, pitch)), *results)
    return maximum if definite else None


# Wide: statistics in, parameters out.
@compiled_alone
def maximize_matrices(
    counts, total, first, reference, second, added, shifts, matrices, weights, means, covariances,
    factors,
):  # fmt: skip
    """Fill weights, means, covariances and factors; return whether all are positive definite."""
    means_of_moments(counts, total, first, reference, weights, shifts, means)
    covariances_of_moments(second, counts, total, shifts, added, covariances, matrices)
    invert_factors(matrices, factors, VECTOR_BYTES)
    for k in range(factors.shape[0]):
        for i in range(factors.shape[1]):
            if not 0.0 < factors[k, i, i] < np.inf:
                return False
    return True


# Wide: statistics in, parameters out.
@compiled_alone
def maximize_variances(
    counts, total, first, reference, second, added, shifts, weights, means, covariances, factors
):
    """Fill weights, means, variances and their inverse roots; return whether all are positive."""
    means_of_moments(counts, total, first, reference, weights, shifts, means)
    K, d = shifts.shape
    columns = second.shape[1]
    for k in range(K):
        for i in range(columns):
            squares = 0.0
            for j in range(i, d, columns):
                squares += shifts[k, j] * shifts[k, j]
            variance = (second[k, i] / counts[k] - squares) / (d // columns) + added[i]
            if not 0.0 < variance < np.inf:
                return False
            covariances[k, i] = variance
            factors[k, i] = 1.0 / np.sqrt(variance)
    return True
