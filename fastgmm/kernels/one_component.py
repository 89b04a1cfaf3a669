"""The log-likelihood of a single component, from the moments of the points about its mean.

With responsibilities that are the weights, and S = Σ w (x - μ)(x - μ)ᵀ,

    Σ w log N(x; μ, Σ) = w log |U| - w d/2 log 2π - ½ tr(Uᵀ S U),

so that a pass need not look at densities. The trace is a sum that can cancel.
"""

from __future__ import annotations

import numpy as np

from fastgmm._contract import may_be_far
from fastgmm._records import Statistics
from fastgmm.kernels.layouts import (
    DiagonalModel,
    LogDensityModel,
    Model,
    SphericalModel,
    factor_of_one,
)

# How many times the rounding of moments the error of the trace may be, by the size of a number.
MOST_CANCELLATION = {4: 2**6, 8: 2**10}


def likelihood_is_in_moments(model: Model) -> bool:
    """Whether moments tell the log-likelihood as well as densities do, whatever the points are.

    With R the correlations and P their inverse under the model, and deviations s of the points in
    those of the model, S is rounded by ε sₐ s_b and the trace by ε Σ |P|ₐ_b sₐ s_b ≤ ε ‖P‖ Σ s²,
    while it is no less than Σ s² / ‖R‖.
    """
    if len(model.means) > 1 or isinstance(model, LogDensityModel):
        return False
    if not np.isfinite(model.log_constants[0]):
        return False
    if isinstance(model, DiagonalModel | SphericalModel):
        return True
    U = factor_of_one(model)
    with np.errstate(all="ignore"):
        inverse = np.linalg.inv(U)
        deviations = np.sqrt(np.sum(inverse * inverse, axis=0))
        R = (inverse / deviations).T @ (inverse / deviations)
        P = (deviations[:, None] * U) @ (deviations[:, None] * U).T
        cancellation = np.abs(P).sum(axis=1).max() * np.abs(R).sum(axis=1).max()
        return bool(cancellation <= MOST_CANCELLATION[model.means.itemsize])


def log_likelihood_of_moments(statistics: Statistics, model: Model) -> float | None:
    """Σ w log N(x; μ, Σ), or None where a square has overflowed or underflowed."""
    U, second, count = factor_of_one(model), statistics.second, float(statistics.counts[0])
    numbers = np.finfo(model.means.dtype)
    with np.errstate(all="ignore"):
        if isinstance(model, DiagonalModel | SphericalModel):
            variances = second[0]
            trace = float(np.sum(U * U * variances))
        else:
            S = second.reshape(U.shape)
            variances = np.diagonal(S)
            trace = float(np.sum(U * (S @ U)))
    # What underflows of a square is as good as nothing beside this.
    least = max(1.0, count) * float(numbers.tiny) / float(numbers.eps)
    if not np.all(variances > least) or may_be_far(-trace / count, model.means.dtype):
        return None
    return count * float(model.log_constants[0]) - 0.5 * trace
