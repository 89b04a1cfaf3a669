"""Points with errors of measurement: the passes of extreme deconvolution in plain numpy."""

from __future__ import annotations

import math

import numpy as np

from fastgmm._records import FloatArray, Statistics
from fastgmm.reference.normalization import normalize_responsibilities


def convolved_log_density(
    X: FloatArray, errors: FloatArray, means: FloatArray, covariances: FloatArray
) -> FloatArray:
    """log N(xᵢ; μₖ, Σₖ + Sᵢ), (n, K), whose Sᵢ are variances (n, d) or covariances (n, d, d)."""
    d = X.shape[1]
    apart = X[:, None] - means
    total = covariances + _matrices(errors)[:, None]
    squares = np.einsum("nki,nki->nk", apart, np.linalg.solve(total, apart[..., None])[..., 0])
    return np.asarray(-0.5 * (d * math.log(2 * math.pi) + np.linalg.slogdet(total)[1] + squares))


def convolved_expectation(
    X: FloatArray,
    errors: FloatArray,
    weights: FloatArray,
    means: FloatArray,
    covariances: FloatArray,
    sample_weight: FloatArray | None = None,
) -> Statistics:
    """Expected statistics of the values behind the points, in the type ``'full'``.

    With Tᵢₖ = Σₖ + Sᵢ, and c = xᵢ - μₖ, a value has mean μₖ + bᵢₖ, bᵢₖ = Σₖ Tᵢₖ⁻¹ c, and covariance
    Bᵢₖ = Σₖ - Σₖ Tᵢₖ⁻¹ Σₖ. First moments are Σᵢ rᵢₖ bᵢₖ, second ones Σᵢ rᵢₖ (bᵢₖ bᵢₖᵀ + Bᵢₖ).

    References
    ----------
    Bovy, Hogg and Roweis, Extreme deconvolution: inferring complete distribution functions from
    noisy, heterogeneous and incomplete observations, Annals of Applied Statistics 5 (2011).
    """
    joint = np.log(weights) + convolved_log_density(X, errors, means, covariances)
    log_density, shares = normalize_responsibilities(joint)
    weight = np.ones(len(X)) if sample_weight is None else sample_weight
    shares = shares * weight[:, None]
    apart, total = X[:, None] - means, covariances + _matrices(errors)[:, None]
    gains = np.swapaxes(np.linalg.solve(total, np.broadcast_to(covariances, total.shape)), -2, -1)
    b = np.einsum("nkij,nkj->nki", gains, apart)
    B = covariances - gains @ covariances
    second = b[..., :, None] * b[..., None, :] + B
    return Statistics(
        float(weight @ log_density),
        shares.sum(axis=0),
        np.einsum("nk,nki->ki", shares, b),
        np.einsum("nk,nkij->kij", shares, second),
        np.asarray(means, np.float64),
        "full",
    )


def _matrices(errors: FloatArray) -> FloatArray:
    return errors if errors.ndim == 3 else errors[:, :, None] * np.eye(errors.shape[1])
