"""Cholesky factors of precisions: made of covariances, of other factors, and checked."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from scipy.linalg.lapack import dpotrf, dtrtri

from fastgmm._contract import any_below_diagonal, are_large
from fastgmm._records import FloatArray, Parameters
from fastgmm.kernels.maximization import factorize, is_small
from fastgmm.model.families import family_of
from fastgmm.model.lapack import invert_upper_factors
from fastgmm.system.threads import n_threads

Content: TypeAlias = tuple[bytes, str, tuple[int, ...]]  # of an array: bytes, dtype, shape

# Cubes of features that are factorized on one thread in some milliseconds.
WORTH_THREADS = 2**25

FROM_PARAMETERS = (
    "GaussianMixture.from_parameters(weights, means, covariances, covariance_type) makes a mixture "
    "whose attributes agree"
)
# Parts of the whole by which attributes may differ that were rounded when they were written down.
WEIGHTS_AGREE = 1e-4
COVARIANCES_AGREE = 1e-3
# Bytes of covariances up to which it is remembered that they agree with their factors.
REMEMBERED = 2**15
# Units in the last place, times d and the condition number, by which inverses differ.
ROUNDING = 32


class IllDefinedCovariance(ValueError):
    """A covariance is not positive definite: a component has collapsed."""

    def __init__(self) -> None:
        # The first two sentences are scikit-learn's, for code that searches for them.
        super().__init__(
            "Fitting the mixture model failed because some components have ill-defined empirical "
            "covariance (for instance caused by singleton or collapsed samples). Try to decrease "
            "the number of components, increase reg_covar, or scale the input data. If it is "
            "float32, float64 may help too. prior='conjugate' keeps components from collapse, and "
            "on_degenerate='reset', 'drop' or 'floor' repairs those that have."
        )


def precisions_cholesky_from_covariances(
    covariances: FloatArray, covariance_type: str
) -> FloatArray:
    """Upper triangular U with Σ⁻¹ = U Uᵀ; inverse standard deviations for diagonal types.

    From Σ = Rᵀ R it is U = R⁻¹. Computed and returned in float64. IllDefinedCovariance is raised if
    a covariance is not finite and positive definite.
    """
    covariances = np.asarray(covariances, dtype=np.float64)
    if family_of(covariance_type).has_loadings:
        return _factors_of_loadings(covariances)
    if not family_of(covariance_type).is_matrix:
        lowest = np.minimum.reduce(covariances, axis=None)  # NaN if there is one
        if not (lowest > 0.0 and np.maximum.reduce(covariances, axis=None) < np.inf):
            raise IllDefinedCovariance
        return np.asarray(1.0 / np.sqrt(covariances))
    d = covariances.shape[-1]
    if is_small(covariances.size // d**2, d):
        small_factors = factorize(covariances)
        if small_factors is None:
            raise IllDefinedCovariance
        return small_factors
    if not np.all(np.isfinite(covariances)):
        raise IllDefinedCovariance
    factors = covariances.copy()
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


def _factors_of_loadings(covariances: FloatArray) -> FloatArray:
    """Loadings in standard deviations, and inverse deviations."""
    variances = covariances[..., -1]
    if not (np.all(variances > 0) and np.all(np.isfinite(covariances))):
        raise IllDefinedCovariance
    inverse_deviations = 1.0 / np.sqrt(variances)
    loadings = covariances[..., :-1] * inverse_deviations[..., None]
    return np.concatenate([loadings, inverse_deviations[..., None]], axis=-1)


def precisions_cholesky_from_precisions(precisions: FloatArray, covariance_type: str) -> FloatArray:
    """U of Σ⁻¹ = U Uᵀ from Σ⁻¹ itself, in float64; ValueError if one is not positive definite.

    With rows and columns in reverse order a lower factor becomes an upper one.
    """
    precisions = np.asarray(precisions, dtype=np.float64)
    if not family_of(covariance_type).is_matrix:
        return np.asarray(np.sqrt(precisions))
    try:
        reversed_lower = np.linalg.cholesky(precisions[..., ::-1, ::-1])
    except np.linalg.LinAlgError:
        raise ValueError(
            "precisions_init is not positive definite to working precision; pass the inverse of "
            "a well-conditioned covariance matrix."
        ) from None
    return np.ascontiguousarray(reversed_lower[..., ::-1, ::-1])


def precisions_from_cholesky(precisions_cholesky: FloatArray, covariance_type: str) -> FloatArray:
    """Σ⁻¹ = U Uᵀ, in the dtype of U; of loadings V and the diagonal of Ψ⁻¹, Σ⁻¹ = Ψ⁻¹ - V Vᵀ."""
    if family_of(covariance_type).has_loadings:
        loadings, s = np.split(precisions_cholesky.astype(np.float64), [-1], axis=-1)
        inner = np.eye(loadings.shape[-1]) + loadings.swapaxes(1, 2) @ loadings
        whitened = np.linalg.solve(np.linalg.cholesky(inner), loadings.swapaxes(1, 2))
        parts = [s * whitened.swapaxes(1, 2), s**2]
        return np.concatenate(parts, axis=-1).astype(precisions_cholesky.dtype)
    if not family_of(covariance_type).is_matrix:
        return np.asarray(precisions_cholesky**2)
    U = precisions_cholesky.astype(np.float64)
    return (U @ U.swapaxes(-2, -1)).astype(precisions_cholesky.dtype)


def covariances_from_cholesky(precisions_cholesky: FloatArray, covariance_type: str) -> FloatArray:
    """Σ = U⁻ᵀ U⁻¹, in float64."""
    U = np.asarray(precisions_cholesky, dtype=np.float64)
    if family_of(covariance_type).has_loadings:
        return np.concatenate([U[..., :-1] / U[..., -1:], U[..., -1:] ** -2.0], axis=-1)
    if not family_of(covariance_type).is_matrix:
        return np.asarray(1.0 / U**2)
    d = U.shape[-1]
    R = np.stack([dtrtri(factor, lower=0)[0] for factor in U.reshape(-1, d, d)])
    return (R.swapaxes(-2, -1) @ R).reshape(U.shape)


# --- factors that others have made
def upper_factors(factors: FloatArray, covariance_type: str) -> FloatArray:
    """Upper triangular U with U Uᵀ = F Fᵀ; F itself, uncopied, where it is upper triangular.

    Lower factors are as common, since ``numpy.linalg.cholesky`` of a precision is one. They are
    turned by an orthogonal Q, from F = U Q: no product F Fᵀ, which would square the condition
    number. A matrix that is not a triangle with a positive diagonal raises ValueError; a number
    counts as zero beside the largest of its row if it is below half the digits of the type.
    """
    if not family_of(covariance_type).is_matrix or not any_below_diagonal(factors):
        return factors
    dtype = factors.dtype if factors.dtype == np.float32 else np.dtype(np.float64)
    F = factors.astype(np.float64)
    large = are_large(factors)
    sides = [
        np.any(triangle, axis=(-2, -1)) for triangle in (np.tril(large, -1), np.triu(large, 1))
    ]
    if np.any(sides[0] & sides[1]) or not np.all(np.diagonal(F, axis1=-2, axis2=-1) > 0):
        raise ValueError(
            "precisions_cholesky_ should hold triangular factors U of the precisions, U Uᵀ, with "
            f"positive diagonals, but has other matrices. {FROM_PARAMETERS}."
        )
    # QR of the transpose with its columns in reverse order is RQ in reverse order.
    R = np.asarray(np.linalg.qr(F[..., ::-1, :].swapaxes(-2, -1), mode="r"))
    U = R.swapaxes(-2, -1)[..., ::-1, ::-1]
    U = U * np.sign(np.diagonal(U, axis1=-2, axis2=-1))[..., None, :]
    return np.triu(U).astype(dtype)


def contradictions(parameters: Parameters, *, proportions: bool = True) -> Iterator[str]:
    """What two of the parameters say differently, one sentence for each such thing.

    Costs as much as the log-density of some points: covariances and factors are multiplied by
    one vector for each component, of the size of its deviations. Where the condition number
    is so large that rounding explains every difference, there is none. Weights should sum to 1 if
    they are proportions.
    """
    total = float(np.sum(parameters.weights, dtype=np.float64))
    if proportions and abs(total - 1.0) > WEIGHTS_AGREE:
        yield f"weights_ sum to {total:.6g} in place of 1"
    differ = _differ(parameters)
    if any(differ):
        which = ""
        if not family_of(parameters.covariance_type).is_shared:
            which = f" of component{'s' if np.sum(differ) > 1 else ''} " + ", ".join(
                map(str, np.flatnonzero(differ))
            )
        yield f"precisions_cholesky_ and covariances_{which} are not of the same Gaussians"


def _differ(parameters: Parameters) -> tuple[bool, ...]:
    """For each component, whether Σ and the factor of its inverse are of different matrices."""
    arrays = parameters.covariances, parameters.precisions_cholesky
    covariance_type = parameters.covariance_type
    if arrays[0].nbytes > REMEMBERED or any(array.dtype.hasobject for array in arrays):
        return _compare(*arrays, covariance_type)
    first, second = ((array.tobytes(), array.dtype.str, array.shape) for array in arrays)
    return _compare_contents(first, second, covariance_type)


@lru_cache(maxsize=8)
def _compare_contents(
    covariances: Content, precisions_cholesky: Content, covariance_type: str
) -> tuple[bool, ...]:
    """Compare what has been compared before only once: before each prediction it is the same."""
    first, second = (
        np.frombuffer(content, dtype).reshape(shape)
        for content, dtype, shape in (covariances, precisions_cholesky)
    )
    return _compare(first, second, covariance_type)


def _compare(
    covariances: FloatArray, precisions_cholesky: FloatArray, covariance_type: str
) -> tuple[bool, ...]:
    eps = max(
        float(np.finfo(array.dtype).eps) if array.dtype.kind == "f" else 0.0
        for array in (covariances, precisions_cholesky)
    )
    covariances = np.asarray(covariances, dtype=np.float64)
    U = np.asarray(precisions_cholesky, dtype=np.float64)
    family = family_of(covariance_type)
    with np.errstate(all="ignore"):
        if family.has_loadings:
            own = covariances_from_cholesky(U, covariance_type)
            sizes = np.abs(own).max(axis=2, keepdims=True)
            return tuple(np.any(np.abs(own - covariances) > COVARIANCES_AGREE * sizes, axis=(1, 2)))
        if not family.is_matrix:
            apart = np.abs(U**2 * covariances - 1.0) > COVARIANCES_AGREE
            differ = np.any(apart.reshape(1 if family.is_shared else len(apart), -1), axis=1)
            return tuple(differ.tolist())
        d = U.shape[-1]
        deviations = np.sqrt(np.einsum("...ii->...i", covariances))[..., None]
        probe = _probe(d)
        scaled = deviations * U
        image = scaled @ (U.swapaxes(-2, -1) @ (covariances @ (probe / deviations)))
        error = np.abs(image - probe).max(axis=(-2, -1))
        condition = np.einsum("...ij,...ij->...", scaled, scaled)
        differ = np.atleast_1d(error > COVARIANCES_AGREE + ROUNDING * eps * d * condition)
    return tuple(differ.tolist())


@lru_cache
def _probe(n_features: int) -> FloatArray:
    """Return a column of numbers about 1 and -1, none like another."""
    sizes = np.linspace(0.75, 1.25, n_features)
    return np.where(np.arange(n_features) % 3 == 1, -sizes, sizes)[:, None]
