"""Factors of precisions that others have made, and parameters that contradict each other."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np

from fastgmm._contract import any_below_diagonal, are_large
from fastgmm._records import CovarianceType, FloatArray, Parameters

__all__ = ["FROM_PARAMETERS", "contradictions", "upper_factors"]

FROM_PARAMETERS = (
    "GaussianMixture.from_parameters(weights, means, covariances, covariance_type) makes a mixture "
    "whose attributes agree"
)
# Parts of the whole by which attributes may differ that were rounded when they were written down.
WEIGHTS_AGREE = 1e-4
COVARIANCES_AGREE = 1e-3
# Units in the last place, times d and the condition number, by which inverses differ.
ROUNDING = 32


def upper_factors(factors: FloatArray, covariance_type: CovarianceType) -> FloatArray:
    """Upper triangular U with U Uᵀ = F Fᵀ; F itself, uncopied, where it is upper triangular.

    Lower factors are as common, since ``numpy.linalg.cholesky`` of a precision is one. They are
    turned by an orthogonal Q, from F = U Q: no product F Fᵀ, which would square the condition
    number.

    Parameters
    ----------
    factors : array
        In scikit-learn's shapes.
    covariance_type : {'full', 'tied', 'diag', 'spherical'}

    Returns
    -------
    factors : array

    Raises
    ------
    ValueError
        If one is no triangle with a positive diagonal. A number counts as zero beside the
        largest of its row if it is below half the digits of the type.

    Examples
    --------
    >>> upper_factors(np.array([[4.0, 0.0], [3.0, 4.0]]), "tied").round(6)
    array([[3.2, 2.4],
           [0. , 5. ]])
    """
    if covariance_type in ("diag", "spherical") or not any_below_diagonal(factors):
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
    is so large that rounding explains every difference, there is none.

    Parameters
    ----------
    parameters : Parameters
    proportions : bool
        Whether the weights should sum to 1.

    Yields
    ------
    sentence : str
    """
    total = float(np.sum(parameters.weights, dtype=np.float64))
    if proportions and abs(total - 1.0) > WEIGHTS_AGREE:
        yield f"weights_ sum to {total:.6g} in place of 1"
    with np.errstate(all="ignore"):
        differ = _differ(parameters)
    if np.any(differ):
        which = ""
        if parameters.covariance_type != "tied":
            which = f" of component{'s' if np.sum(differ) > 1 else ''} " + ", ".join(
                map(str, np.flatnonzero(differ))
            )
        yield f"precisions_cholesky_ and covariances_{which} are not of the same Gaussians"


def _differ(parameters: Parameters) -> np.ndarray:
    """For each component, whether Σ and the factor of its inverse are of different matrices."""
    eps = max(
        float(np.finfo(array.dtype).eps) if array.dtype.kind == "f" else 0.0
        for array in (parameters.covariances, parameters.precisions_cholesky)
    )
    covariances = np.asarray(parameters.covariances, dtype=np.float64)
    U = np.asarray(parameters.precisions_cholesky, dtype=np.float64)
    if parameters.covariance_type in ("diag", "spherical"):
        error = np.abs(U**2 * covariances - 1.0)
        return np.any((error > COVARIANCES_AGREE).reshape(len(error), -1), axis=1)
    d = U.shape[-1]
    deviations = np.sqrt(np.einsum("...ii->...i", covariances))[..., None]
    probe = _probe(d)
    scaled = deviations * U
    image = scaled @ (U.swapaxes(-2, -1) @ (covariances @ (probe / deviations)))
    error = np.abs(image - probe).max(axis=(-2, -1))
    condition = np.einsum("...ij,...ij->...", scaled, scaled)
    return np.atleast_1d(error > COVARIANCES_AGREE + ROUNDING * eps * d * condition)


@lru_cache
def _probe(n_features: int) -> FloatArray:
    """Return a column of numbers about 1 and -1, none like another."""
    sizes = np.linspace(0.75, 1.25, n_features)
    return np.where(np.arange(n_features) % 3 == 1, -sizes, sizes)[:, None]
