"""Covariances shrunk towards a multiple of the identity, for components of few points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from fastgmm._records import FloatArray
from fastgmm.model.maximization import Estimate, MaximumLikelihood, Moments


@dataclass(frozen=True)
class Shrinkage(MaximumLikelihood):
    """Maximum likelihood, whose covariances S (d, d) become (1 - ρ) S + ρ (tr S / d) I.

    The `intensity` ρ is a number between 0 and 1, or ``'oas'`` for that of `oracle_approximation`,
    of each component from its own covariance and count. The likelihood need not rise with it.
    """

    intensity: float | Literal["oas"] = 0.0

    def of_moments(self, moments: Moments, before: FloatArray | None = None) -> Estimate:
        """Weights and means of the highest likelihood, and what is left of the covariances."""
        counts, covariances = moments.counts, moments.covariances
        counts = counts.sum() if covariances.ndim == 2 else counts
        if self.intensity == "oas":
            rho = oracle_approximation(covariances, counts)
        else:
            rho = np.full(np.shape(counts), self.intensity)
        shrunk = covariances * (1 - rho)[..., None, None]
        diagonals = np.einsum("...ii->...i", shrunk)
        diagonals += (rho * np.trace(covariances, axis1=-2, axis2=-1) / len(shrunk[0]))[..., None]
        return super().of_moments(moments._replace(covariances=shrunk), before)


def oracle_approximation(covariances: FloatArray, counts: FloatArray) -> FloatArray:
    """Intensities of shrinkage of covariances (..., d, d) that are of so many points each.

    ρ = min(1, (tr S² / d² + μ²) / ((N + 1) (tr S² / d² - μ² / d))) with μ = tr S / d, as in
    scikit-learn's `OAS`.

    References
    ----------
    Chen, Wiesel, Eldar and Hero, Shrinkage algorithms for MMSE covariance estimation, IEEE
    Transactions on Signal Processing 58 (2010), equation 23.
    """
    d = covariances.shape[-1]
    mean_square = np.einsum("...ij,...ij->...", covariances, covariances) / d**2
    square = (np.trace(covariances, axis1=-2, axis2=-1) / d) ** 2
    apart = (counts + 1) * (mean_square - square / d)
    with np.errstate(divide="ignore", invalid="ignore"):
        intensity = (mean_square + square) / apart
    return np.where(apart > 0, np.minimum(intensity, 1.0), 1.0)
