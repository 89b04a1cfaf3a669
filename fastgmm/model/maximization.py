"""Statistics → Parameters: the M step of EM, and the forms that a covariance takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import DTypeLike
from scipy.linalg.lapack import dpotrf, dtrtri

from fastgmm._records import CovarianceType, FloatArray, Parameters, Statistics
from fastgmm.em.results import Repair
from fastgmm.model.lapack import invert_upper_factors
from fastgmm.system.threads import n_threads

__all__ = [
    "Completion",
    "Estimate",
    "IllDefinedCovariance",
    "add_to_variances",
    "complete",
    "count_floor",
    "covariances_from_cholesky",
    "estimate",
    "maximize",
    "n_parameters",
    "precisions_cholesky_from_covariances",
    "precisions_cholesky_from_precisions",
    "precisions_from_cholesky",
]

# Cubes of features that are factorized on one thread in some milliseconds.
WORTH_THREADS = 2**25
# Numbers in those outer products of means that are in memory at a time.
OUTER_PRODUCTS = 2**15


class IllDefinedCovariance(ValueError):
    """A covariance is not positive definite: a component has collapsed."""

    def __init__(self) -> None:
        # The first two sentences are scikit-learn's, for whom looks for them.
        super().__init__(
            "Fitting the mixture model failed because some components have ill-defined empirical "
            "covariance (for instance caused by singleton or collapsed samples). Try to decrease "
            "the number of components, increase reg_covar, or scale the input data. If it is "
            "float32, float64 may help too."
        )


class Estimate(NamedTuple):
    """Weights, means and covariances in float64, not yet known to be positive definite."""

    weights: FloatArray
    means: FloatArray
    covariances: FloatArray


# (estimate, number of the iteration) → the parameters, and what was repaired on the way
Completion: TypeAlias = Callable[[Estimate, int], tuple[Parameters, Repair | None]]


def maximize(
    statistics: Statistics,
    covariance_type: CovarianceType,
    reg_covar: float | FloatArray = 0.0,
    dtype: DTypeLike = np.float64,
) -> Parameters:
    """Maximum-likelihood parameters under the expected statistics: the M step of EM.

    With moments s⁽¹⁾ and s⁽²⁾ about a reference point m and expected counts N,

    πₖ = Nₖ / Σⱼ Nⱼ,   μₖ = mₖ + δₖ,   Σₖ = s⁽²⁾ₖ / Nₖ - δₖ δₖᵀ,   δₖ = s⁽¹⁾ₖ / Nₖ

    (Bishop 2006, equations 9.24 to 9.26, with the moments shifted to m). As m is the previous
    mean, δ vanishes at convergence and nothing cancels, whatever the offset of the data.

    Parameters
    ----------
    statistics : Statistics
    covariance_type : {'full', 'tied', 'diag', 'spherical'}
        The one that `statistics` was accumulated for.
    reg_covar : float or (d,) array
        Added to the variances.
    dtype : dtype
        Of the arrays returned; the computation is in float64.

    Returns
    -------
    parameters : Parameters

    Raises
    ------
    IllDefinedCovariance
        If a covariance is not positive definite.

    Examples
    --------
    >>> s = Statistics(0.0, np.array([2.0]), np.array([[2.0]]), np.array([4.0]), np.zeros((1, 1)))
    >>> p = maximize(s, "spherical")
    >>> p.means.round(6), p.covariances.round(6)
    (array([[1.]]), array([1.]))
    """
    return complete(estimate(statistics, covariance_type, dtype), covariance_type, reg_covar, dtype)


def estimate(statistics: Statistics, covariance_type: CovarianceType, dtype: DTypeLike) -> Estimate:
    """Weights, means and covariances of `maximize`, the latter whatever they may be."""
    counts = statistics.counts + count_floor(statistics.counts, dtype)
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused later
        shift = statistics.first / counts[:, None]
        match covariance_type:
            case "full":
                covariances = statistics.second / counts[:, None, None]
                step = max(1, OUTER_PRODUCTS // shift.shape[1] ** 2)
                for start in range(0, len(shift), step):
                    delta = shift[start : start + step]
                    covariances[start : start + step] -= delta[:, :, None] * delta[:, None, :]
            case "tied":
                scaled = shift * np.sqrt(counts)[:, None]
                covariances = (statistics.second - scaled.T @ scaled) / counts.sum()
            case "diag":
                covariances = statistics.second / counts[:, None] - shift**2
            case "spherical":
                second = statistics.second / counts - np.sum(shift**2, axis=1)
                covariances = np.asarray(second / shift.shape[1])
    return Estimate(counts / counts.sum(), statistics.reference + shift, covariances)


def complete(
    estimate: Estimate,
    covariance_type: CovarianceType,
    reg_covar: float | FloatArray,
    dtype: DTypeLike,
) -> Parameters:
    """Regularize and factorize an estimate, which is no longer the caller's.

    Raises
    ------
    IllDefinedCovariance
        If a covariance is not positive definite.
    """
    weights, means, covariances = estimate
    covariances = np.asarray(covariances, dtype=np.float64)
    add_to_variances(covariances, reg_covar, covariance_type)
    cholesky = precisions_cholesky_from_covariances(covariances, covariance_type)
    return Parameters(weights, means, covariances, cholesky, covariance_type).astype(dtype)


def add_to_variances(
    covariances: FloatArray, addend: float | FloatArray, covariance_type: CovarianceType
) -> None:
    """Add a number to all variances, or one for each feature, in place."""
    if covariance_type in ("full", "tied"):
        np.einsum("...ii->...i", covariances)[...] += addend
    elif covariance_type == "diag":
        covariances += addend
    else:
        covariances += np.mean(addend)


def count_floor(counts: FloatArray, dtype: DTypeLike) -> float:
    """Scikit-learn's 10 eps, added to every count so that empty components divide by no zero.

    Where sample weights make the average count less than 1 it shrinks in proportion, so that
    the scale of the weights does not matter.
    """
    return 10 * float(np.finfo(dtype).eps) * min(1.0, float(np.mean(counts)))


def precisions_cholesky_from_covariances(
    covariances: FloatArray, covariance_type: CovarianceType
) -> FloatArray:
    """Upper triangular U with Σ⁻¹ = U Uᵀ; inverse standard deviations for diagonal types.

    From Σ = Rᵀ R it is U = R⁻¹. Computed and returned in float64.

    Raises
    ------
    IllDefinedCovariance
        If a covariance is not finite and positive definite.
    """
    covariances = np.asarray(covariances, dtype=np.float64)
    if not np.all(np.isfinite(covariances)):
        raise IllDefinedCovariance
    if covariance_type in ("diag", "spherical"):
        if np.any(covariances <= 0.0):
            raise IllDefinedCovariance
        return 1.0 / np.sqrt(covariances)
    factors = covariances.copy()
    d = factors.shape[-1]
    matrices = factors.reshape(-1, d, d)
    if len(matrices) * d**3 > WORTH_THREADS:
        if not invert_upper_factors(matrices, n_threads()):
            raise IllDefinedCovariance
        return factors
    for matrix in matrices:
        # In place: what is upper in C's order is lower in Fortran's.
        _, failed = dpotrf(matrix.T, lower=1, clean=1, overwrite_a=1)
        if failed:
            raise IllDefinedCovariance
        dtrtri(matrix.T, lower=1, overwrite_c=1)
    return factors


def precisions_cholesky_from_precisions(
    precisions: FloatArray, covariance_type: CovarianceType
) -> FloatArray:
    """U of Σ⁻¹ = U Uᵀ from Σ⁻¹ itself, in float64.

    With rows and columns in reverse order a lower factor becomes an upper one.

    Raises
    ------
    ValueError
        If a precision matrix is not positive definite.
    """
    precisions = np.asarray(precisions, dtype=np.float64)
    if covariance_type in ("diag", "spherical"):
        return np.sqrt(precisions)
    try:
        reversed_lower = np.linalg.cholesky(precisions[..., ::-1, ::-1])
    except np.linalg.LinAlgError:
        raise ValueError(
            "precisions_init is not positive definite to working precision; pass the inverse of "
            "a well-conditioned covariance matrix."
        ) from None
    return np.ascontiguousarray(reversed_lower[..., ::-1, ::-1])


def precisions_from_cholesky(
    precisions_cholesky: FloatArray, covariance_type: CovarianceType
) -> FloatArray:
    """Σ⁻¹ = U Uᵀ, in the dtype of U."""
    if covariance_type in ("diag", "spherical"):
        return precisions_cholesky**2
    U = precisions_cholesky.astype(np.float64)
    return (U @ U.swapaxes(-2, -1)).astype(precisions_cholesky.dtype)


def covariances_from_cholesky(
    precisions_cholesky: FloatArray, covariance_type: CovarianceType
) -> FloatArray:
    """Σ = U⁻ᵀ U⁻¹, in float64."""
    U = np.asarray(precisions_cholesky, dtype=np.float64)
    if covariance_type in ("diag", "spherical"):
        return 1.0 / U**2
    d = U.shape[-1]
    R = np.stack([dtrtri(factor, lower=0)[0] for factor in U.reshape(-1, d, d)])
    return (R.swapaxes(-2, -1) @ R).reshape(U.shape)


def n_parameters(covariance_type: CovarianceType, n_components: int, n_features: int) -> int:
    """Number of free parameters of the mixture.

    Examples
    --------
    >>> n_parameters("full", 2, 3)
    19
    """
    triangle = n_features * (n_features + 1) // 2
    covariance = {
        "full": n_components * triangle,
        "tied": triangle,
        "diag": n_components * n_features,
        "spherical": n_components,
    }[covariance_type]
    return covariance + n_components * n_features + n_components - 1
