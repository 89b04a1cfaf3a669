"""Covariances of loadings and variances, Σ = W Wᵀ + Ψ: mixtures of factor analyzers.

Arrays of covariances hold the loadings W, (K, d, r), and the variances ψ after them; those of
factors hold the loadings L = Ψ^(-½) W and the inverse deviations s = ψ^(-½).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fastgmm._records import FloatArray, Parameters, Statistics
from fastgmm.model.factors import precisions_cholesky_from_covariances
from fastgmm.model.families import LOW_RANK, family_of
from fastgmm.model.maximization import Estimate, MaximumLikelihood, count_floor


@dataclass(frozen=True)
class FactorAnalysis(MaximumLikelihood):
    """Loadings and variances that raise the likelihood, from moments along directions V.

    Responsibilities are those of the pass, weights and means as for any covariance. About the new
    means a component has the covariance S, of which only S V and the diagonal are known. With
    C Cᵀ = I + Wᵀ Ψ⁻¹ W, V = Ψ⁻¹ W C⁻ᵀ before the step, and G = S V (I + Vᵀ S V)⁻¹, one step of EM
    for the factors is

    W' = G Cᵀ,   ψ' = diag(S - G (S V)ᵀ)

    which never lowers the expected log-likelihood of the points and components, as a maximum would
    not: a generalized EM.

    References
    ----------
    Ghahramani and Hinton, The EM algorithm for mixtures of factor analyzers, technical report
    CRG-TR-96-1, University of Toronto (1996). McLachlan, Peel and Bean, Modelling high-dimensional
    data by mixtures of factor analyzers, Computational Statistics & Data Analysis 41 (2003).
    """

    rank: int = 1  # loadings of each feature

    def estimate(self, statistics: Statistics, current: Parameters | None = None) -> Estimate:
        """Weights, means, and loadings with variances."""
        if current is None:
            raise ValueError("Loadings follow from those before; give the parameters of the pass.")
        V: Any = statistics.directions
        counts = statistics.counts + count_floor(statistics.counts, self.dtype)
        with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused later
            shift = statistics.first / counts[:, None]
            second = statistics.second / counts[:, None, None]
            along = (
                second[..., :-1] - shift[:, :, None] * np.einsum("kd,kdr->kr", shift, V)[:, None]
            )
            variances = second[..., -1] - shift**2
            inner = np.eye(V.shape[2]) + V.swapaxes(1, 2) @ along
            gains = np.linalg.solve(inner, along.swapaxes(1, 2)).swapaxes(1, 2)
            loadings = gains @ inner_factors(current.precisions_cholesky).swapaxes(1, 2)
            own = variances - np.sum(gains * along, axis=2)
        covariances = np.concatenate([loadings, own[:, :, None]], axis=2)
        return Estimate(counts / counts.sum(), statistics.reference + shift, covariances)


def inner_factors(factors: FloatArray) -> FloatArray:
    """C of C Cᵀ = I + LᵀL, (K, r, r) lower triangular."""
    L = np.asarray(factors[..., :-1], np.float64)
    return np.linalg.cholesky(np.eye(L.shape[-1]) + L.swapaxes(1, 2) @ L)


def as_full(parameters: Parameters) -> Parameters:
    """Return the same mixture with d × d matrices, if it has loadings."""
    if parameters.covariance_type not in LOW_RANK:
        return parameters
    weights, means, covariances, _, covariance_type = parameters
    exact = np.asarray(covariances, np.float64)
    matrices = family_of(covariance_type).dense(exact, *means.shape)
    factors = precisions_cholesky_from_covariances(matrices, "full")
    return Parameters(weights, means, matrices, factors, "full").astype(means.dtype)
