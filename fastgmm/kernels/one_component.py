"""The log-likelihood of a single component, from the moments of the points about its mean.

With responsibilities that are the weights, and S = Σ w (x - μ)(x - μ)ᵀ,

    Σ w log N(x; μ, Σ) = w log |U| - w d/2 log 2π - ½ tr(Uᵀ S U),

so that a pass need not look at densities. The trace is a sum that can cancel. Models of few
features gain less than what the host does here takes.
"""

from __future__ import annotations

from typing import TypeGuard

import numpy as np

from fastgmm._contract import may_be_far
from fastgmm._records import Statistics
from fastgmm.kernels.layouts import FullModel, Model, SmallFullModel, factor_of_one

# How many times the rounding of moments the error of the trace may be, by the size of a number.
MOST_CANCELLATION = {4: 2**6, 8: 2**10}
# With fewer products of two features of a point, with fewer points for each feature, or with fewer
# or more features, densities take no longer than the inverse of a factor.
FEWEST_PRODUCTS, FEWEST_POINTS = 2**22, 32
FEWEST_FEATURES, MOST_FEATURES = 17, 128


def likelihood_is_in_moments(model: Model, n_samples: int) -> TypeGuard[FullModel | SmallFullModel]:
    """Whether moments tell the log-likelihood as well as densities do, whatever the points are.

    With R the correlations and P their inverse under the model, and deviations s of the points in
    those of the model, S is rounded by ε sₐ s_b and the trace by ε Σ |P|ₐ_b sₐ s_b ≤ ε ‖P‖ Σ s²,
    while it is no less than Σ s² / ‖R‖.
    """
    K, d = model.means.shape
    if K > 1 or not isinstance(model, FullModel | SmallFullModel):
        return False
    if not (FEWEST_FEATURES <= d <= MOST_FEATURES and np.isfinite(model.log_constants[0])):
        return False
    if n_samples < max(FEWEST_POINTS * d, FEWEST_PRODUCTS / d**2):
        return False
    U = factor_of_one(model)
    if not (np.all(np.isfinite(U)) and np.all(np.diagonal(U) > 0)):  # once it is rounded
        return False
    with np.errstate(all="ignore"):
        inverse = np.linalg.inv(U)
        deviations = np.sqrt(np.sum(inverse * inverse, axis=0))
        R = (inverse / deviations).T @ (inverse / deviations)
        P = (deviations[:, None] * U) @ (deviations[:, None] * U).T
        cancellation = np.abs(P).sum(axis=1).max() * np.abs(R).sum(axis=1).max()
        return bool(cancellation <= MOST_CANCELLATION[model.means.itemsize])


def log_likelihood_of_moments(
    statistics: Statistics, model: FullModel | SmallFullModel
) -> float | None:
    """Σ w log N(x; μ, Σ), or None where a square has overflowed or underflowed."""
    U, S, count = factor_of_one(model), statistics.second[0], float(statistics.counts[0])
    numbers = np.finfo(model.means.dtype)
    with np.errstate(all="ignore"):
        trace = float(np.sum(U * (S @ U)))
    # What underflows of a square is as good as nothing beside this.
    least = max(1.0, count) * float(numbers.tiny) / float(numbers.eps)
    if not np.all(np.diagonal(S) > least) or may_be_far(-trace / count, model.means.dtype):
        return None
    return count * float(model.log_constants[0]) - 0.5 * trace
