"""Figures of data under a mixture, which need no memory to speak of."""

from __future__ import annotations

import numpy as np

from fastgmm._records import Parameters
from fastgmm.data.source import Source

# Responsibilities that are in memory at a time.
RESPONSIBILITIES_AT_ONCE = 2**20


def mean_log_likelihood(source: Source, parameters: Parameters) -> float:
    """Mean log-density of the samples, per unit of weight."""
    return source.log_likelihood(parameters) / source.total_weight


def classification_entropy(source: Source, parameters: Parameters) -> float:
    """-Σᵢ wᵢ log maxₖ rᵢₖ: how uncertain the most probable components are, 0 where they are not."""
    total, length = 0.0, RESPONSIBILITIES_AT_ONCE // len(parameters.weights) + 1
    for responsibilities, weight in source.responsibilities(parameters, length):
        logarithms = np.log(responsibilities.max(axis=1).astype(np.float64))
        if weight is None:
            total -= float(logarithms.sum())
        else:
            total -= float(weight.astype(np.float64) @ logarithms)
    return max(total, 0.0)
