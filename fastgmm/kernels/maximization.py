"""The M step of small models: what the host would compute in many small steps, in one call each.

Covariances have three axes whatever their type: (K, d, d), or (K, 1, d) for variances, or
(K, 1, 1), and 1 in the place of K where all components share one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fastgmm._records import FloatArray, Statistics
from fastgmm.kernels.codegen.factors import invert_factors
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


def maximize(
    statistics: Statistics, floor: float, reg_covar: float | FloatArray
) -> Maximum | None:
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
    maximum = Maximum(np.empty(K), np.empty((K, d)), np.empty(second.shape), np.zeros(second.shape))
    moments = statistics.counts + floor, statistics.first.copy()
    if covariance_type in ("full", "tied"):
        shape = -1, d, d
        n_matrices = second.size // d**2
        matrices = np.empty((d, d, -(-n_matrices // TOGETHER) * TOGETHER))
        definite = maximize_matrices(
            *moments, second.reshape(shape), statistics.reference, added, matrices, *maximum[:2],
            maximum.covariances.reshape(shape), maximum.precisions_cholesky.reshape(shape),
        )  # fmt: skip
    else:
        shape = K, 1, -1
        definite = maximize_variances(
            *moments, second.reshape(shape), statistics.reference, added, *maximum[:2],
            maximum.covariances.reshape(shape), maximum.precisions_cholesky.reshape(shape),
        )  # fmt: skip
    return maximum if definite else None


# Wide: statistics in, parameters out.
@compiled_alone
def maximize_matrices(
    counts, first, second, reference, added, matrices, weights, means, covariances, factors
):
    """Fill weights, means, covariances and factors; return whether all are positive definite.

    `counts` have their floor, `added` (d,) is for the variances, and `matrices` (d, d, pitch) is
    workspace.
    """
    K, d = first.shape
    n_matrices, total, positive = second.shape[0], 0.0, True
    for k in range(K):
        total += counts[k]
    for k in range(K):
        weights[k] = counts[k] / total
        for i in range(d):
            first[k, i] /= counts[k]
            means[k, i] = reference[k, i] + first[k, i]
    for m in range(n_matrices):
        own = n_matrices == K  # else all components share one
        start, stop, count = (m, m + 1, counts[m]) if own else (0, K, total)
        for i in range(d):
            for j in range(i, d):
                covariances[m, i, j] = second[m, i, j] / count
            for k in range(start, stop):
                scaled = counts[k] / count * first[k, i]
                for j in range(i, d):
                    covariances[m, i, j] -= scaled * first[k, j]
            covariances[m, i, i] += added[i]
    for i in range(d):  # the matrices in the innermost loop, since each is far from the next
        for j in range(i, d):
            for m in range(n_matrices):
                covariances[m, j, i] = matrices[i, j, m] = covariances[m, i, j]
    invert_factors(matrices, VECTOR_BYTES)
    for i in range(d):
        for j in range(i, d):
            for m in range(n_matrices):
                factors[m, i, j] = matrices[i, j, m]
                positive &= i < j or 0.0 < matrices[i, j, m] < np.inf
    return positive


# Wide: as above.
@compiled_alone
def maximize_variances(
    counts, first, second, reference, added, weights, means, covariances, factors
):
    """Fill weights, means, variances and their inverse roots; return whether all are positive."""
    K, d = first.shape
    columns, total, positive = second.shape[2], 0.0, True
    for k in range(K):
        total += counts[k]
    for k in range(K):
        weights[k] = counts[k] / total
        for i in range(d):
            shift = first[k, i] / counts[k]
            means[k, i] = reference[k, i] + shift
            squares = shift * shift + (covariances[k, 0, i % columns] if i >= columns else 0.0)
            covariances[k, 0, i % columns] = squares
        for i in range(columns):
            covariance = second[k, 0, i] / counts[k] - covariances[k, 0, i]
            covariance = covariance / (d // columns) + added[i]
            positive &= 0.0 < covariance < np.inf
            covariances[k, 0, i] = covariance
            factors[k, 0, i] = 1.0 / np.sqrt(covariance)
    return positive
