"""Log-likelihoods of data under a mixture, which need no memory to speak of."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fastgmm import kernels
from fastgmm._records import FloatArray, Parameters
from fastgmm.kernels.passes import total_log_likelihood

__all__ = ["classification_entropy", "mean_log_likelihood", "total_weight"]

# Responsibilities that are in memory at a time.
CHUNK = 2**20


def mean_log_likelihood(
    X: FloatArray, parameters: Parameters, sample_weight: FloatArray | None = None
) -> float:
    """Mean log-density of the samples, per unit of weight.

    Parameters
    ----------
    X : (n, d) array
    parameters : Parameters
        Of X's dtype.
    sample_weight : (n,) array, optional

    Returns
    -------
    log_likelihood : float
    """
    total = total_log_likelihood(X, *parameters.arguments, sample_weight)
    return total / total_weight(X, sample_weight)


def classification_entropy(
    X: FloatArray, parameters: Parameters, sample_weight: FloatArray | None = None
) -> float:
    """-Σᵢ wᵢ log maxₖ rᵢₖ: how uncertain the most probable components are, 0 where they are not.

    Parameters
    ----------
    X : (n, d) array
    parameters : Parameters
        Of X's dtype.
    sample_weight : (n,) array, optional

    Returns
    -------
    entropy : float

    References
    ----------
    Biernacki, Celeux and Govaert, Assessing a mixture model for clustering with the integrated
    completed likelihood, IEEE Transactions on Pattern Analysis and Machine Intelligence 22 (2000).
    """
    total = 0.0
    for rows, weight in _chunks(X, sample_weight, CHUNK // len(parameters.weights) + 1):
        responsibilities = kernels.responsibilities(rows, *parameters.arguments)
        logarithms = np.log(responsibilities.max(axis=1).astype(np.float64))
        total -= float(logarithms.sum() if weight is None else weight @ logarithms)
    return max(total, 0.0)


def _chunks(
    X: FloatArray, sample_weight: FloatArray | None, length: int
) -> Iterator[tuple[FloatArray, FloatArray | None]]:
    for start in range(0, len(X), length):
        rows = slice(start, start + length)
        yield X[rows], None if sample_weight is None else sample_weight[rows].astype(np.float64)


def total_weight(X: FloatArray, sample_weight: FloatArray | None) -> float:
    """Number of samples, or the sum of their weights."""
    return len(X) if sample_weight is None else float(sample_weight.sum(dtype=np.float64))
