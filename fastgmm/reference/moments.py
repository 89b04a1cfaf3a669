"""Weighted moments of the points, per component and covariance type."""

from __future__ import annotations

import numpy as np

from fastgmm._records import CovarianceType, FloatArray


# Long: for its documentation.
def weighted_covariances(
    X: FloatArray,
    responsibilities: FloatArray,
    covariance_type: CovarianceType,
    reg_covar: float = 0.0,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Maximum-likelihood means and covariances under given responsibilities.

    Nₖ = Σᵢ rᵢₖ,   μₖ = Σᵢ rᵢₖ xᵢ / Nₖ,   Σₖ = Σᵢ rᵢₖ (xᵢ - μₖ)(xᵢ - μₖ)ᵀ / Nₖ

    (Bishop 2006, equations 9.17 to 9.19). ``'tied'`` averages Σₖ with weights Nₖ, ``'diag'``
    keeps the diagonals, ``'spherical'`` their mean. A component without points gets the mean of
    all the points and zero covariance (plus `reg_covar`).

    Parameters
    ----------
    X : (n, d) array of float32 or float64
    responsibilities : (n, K) array
    covariance_type : {'full', 'tied', 'diag', 'spherical'}
    reg_covar : float
        Added to the variances.

    Returns
    -------
    counts : (K,) array
    means : (K, d) array
    covariances : array
        ``'full'`` (K, d, d), ``'tied'`` (d, d), ``'diag'`` (K, d), ``'spherical'`` (K,). All
        three have X's dtype.

    Examples
    --------
    >>> import numpy as np
    >>> X = np.array([[0.0], [2.0]])
    >>> weighted_covariances(X, np.ones((2, 1)), 'diag')
    (array([2.]), array([[1.]]), array([[1.]]))
    """
    dtype, X, r = X.dtype, X.astype(np.float64), responsibilities.astype(np.float64)
    counts = r.sum(axis=0)
    about = np.tile(X.mean(axis=0), (r.shape[1], 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        shift = np.where(counts[:, None] > 0, first_moments(X, r, about) / counts[:, None], 0.0)
        means = about + shift
        second = second_moments(X, r, means, covariance_type)
        total = {"full": counts[:, None, None], "tied": counts.sum(), "diag": counts[:, None]}
        divisor = total.get(covariance_type, counts * X.shape[1])
        covariances = np.where(divisor > 0, second / divisor, 0.0)
    if covariance_type in ("full", "tied"):
        covariances = covariances + reg_covar * np.eye(X.shape[1])
    else:
        covariances = covariances + reg_covar
    return counts.astype(dtype), means.astype(dtype), covariances.astype(dtype)


def first_moments(X: FloatArray, responsibilities: FloatArray, reference: FloatArray) -> FloatArray:
    """Σᵢ rᵢₖ (xᵢ - mₖ), (K, d)."""
    return np.stack([r @ (X - m) for r, m in zip(responsibilities.T, reference, strict=True)])


def second_moments(
    X: FloatArray,
    responsibilities: FloatArray,
    reference: FloatArray,
    covariance_type: CovarianceType,
    directions: FloatArray | None = None,
) -> FloatArray:
    """Σᵢ rᵢₖ (xᵢ - mₖ)(xᵢ - mₖ)ᵀ, in the shape that `Statistics.second` has."""
    pairs = list(zip(responsibilities.T, reference, strict=True))
    match covariance_type:
        case "full":
            return np.stack([(X - m).T @ (r[:, None] * (X - m)) for r, m in pairs])
        case "tied":
            return second_moments(X, responsibilities, reference, "full").sum(axis=0)
        case "diag":
            return np.stack([r @ (X - m) ** 2 for r, m in pairs])
        case "spherical":
            return second_moments(X, responsibilities, reference, "diag").sum(axis=1)
        case "low_rank":
            matrices = second_moments(X, responsibilities, reference, "full")
            diagonals = np.diagonal(matrices, axis1=1, axis2=2)
            along = matrices @ np.asarray(directions)
            return np.concatenate([along, diagonals[:, :, None]], axis=2)


def shared_variances(
    X: FloatArray, responsibilities: FloatArray, covariance_type: str
) -> FloatArray:
    """One covariance for all components, Σₖ Nₖ Σₖ / Σₖ Nₖ: ``'tied_diag'``, ``'tied_spherical'``.

    (Banfield and Raftery, Biometrics 49, 1993: the models EEI and EII.)
    """
    counts, _, variances = weighted_covariances(X, responsibilities, "diag")
    pooled = counts @ variances / counts.sum()
    return pooled if covariance_type == "tied_diag" else pooled.mean()
