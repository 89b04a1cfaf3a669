"""Regularization: what is added to variances, so that covariances stay positive definite."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fastgmm._records import FloatArray
from fastgmm.model.families import family_of


def regularization(
    reg_covar: float, relative: float, variances: Callable[[], FloatArray]
) -> float | FloatArray:
    """A number, and some part of the data's own variances (d,)."""
    return reg_covar if relative == 0 else reg_covar + relative * variances()


def regularized(
    covariances: FloatArray, covariance_type: str, reg_covar: float | FloatArray
) -> FloatArray:
    """Covariances in float64 with `reg_covar` added to their variances, in place if they were."""
    covariances = np.asarray(covariances, dtype=np.float64)
    family_of(covariance_type).add_to_variances(covariances, reg_covar)
    return covariances
