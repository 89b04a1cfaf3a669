"""The log-likelihood of points whose components are known, or expected."""

from __future__ import annotations

import numpy as np

from fastgmm._records import FloatArray, Parameters, Statistics
from fastgmm.model.families import arguments_of_pass, family_of
from fastgmm.model.maximization import Estimate

LOG_2_PI = float(np.log(2 * np.pi))


def complete_log_likelihood(statistics: Statistics, parameters: Parameters) -> float:
    """Q(s; θ) = Σₖ Nₖ (log πₖ + log |Uₖ| - d/2 log 2π) - ½ Σₖ tr(Uₖᵀ s⁽²⁾ₖ Uₖ).

    The expected log-likelihood of points and components (Bishop 2006, equation 9.40), which is
    linear in the statistics, with second moments s⁽²⁾ about the means of the parameters and
    precisions Uₖ Uₖᵀ.
    """
    weights, means, factors, pass_type, _ = arguments_of_pass(parameters)
    s = statistics.about(means)
    counts, second, U = s.counts, s.second, np.asarray(factors, np.float64)
    d = means.shape[1]
    logs: FloatArray
    match pass_type:
        case "full" | "tied":
            logs = np.log(np.diagonal(U, axis1=-2, axis2=-1)).sum(axis=-1)
            squares = np.sum(U * (second @ U))
        case "diag":
            logs, squares = np.log(U).sum(axis=1), np.sum(U**2 * second)
        case "spherical":
            logs, squares = d * np.log(U), np.sum(U**2 * second)
    with np.errstate(divide="ignore"):  # a component without weight
        constants = np.log(np.asarray(weights, np.float64)) + logs - 0.5 * d * LOG_2_PI
    return float(counts @ constants - 0.5 * squares)


def expected_statistics(estimate: Estimate, covariance_type: str) -> Statistics:
    """Statistics of one point, as a mixture of these parameters expects them, about its means."""
    weights, means, covariances = (np.asarray(array, np.float64) for array in estimate)
    family, (K, d) = family_of(covariance_type), means.shape
    second: FloatArray
    match family.pass_type:
        case "full":
            second = weights[:, None, None] * family.dense(covariances, K, d)
        case "tied":
            second = covariances * weights.sum()
        case "diag":
            second = weights[:, None] * family.variances(covariances, K, d)
        case "spherical":
            second = weights * family.variances(covariances, K, d).sum(axis=1)
    return Statistics(np.nan, weights, np.zeros((K, d)), second, means, family.pass_type)
