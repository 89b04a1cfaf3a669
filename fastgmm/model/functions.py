"""Steps of EM for those who write their own loop, with the checks that a public function has."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fastgmm._records import FloatArray, Parameters, Statistics
from fastgmm.model.factors import IllDefinedCovariance, precisions_cholesky_from_covariances
from fastgmm.model.families import family_of
from fastgmm.model.maximization import MaximumLikelihood

# Parts of the largest element by which a covariance may differ from its transpose.
SYMMETRY = 1e-4


# Long: for its documentation, as below.
def precisions_cholesky(covariances: ArrayLike, covariance_type: str) -> FloatArray:
    """Factors of the inverses of covariances: what the kernels take in their place.

    Upper triangular U with Σ⁻¹ = U Uᵀ for ``'full'`` and ``'tied'``, inverse standard deviations
    for ``'diag'`` and ``'spherical'``.

    Parameters
    ----------
    covariances : array-like
        Of shape (K, d, d) for ``'full'``, (d, d) for ``'tied'``, (K, d) for ``'diag'``, (K,) for
        ``'spherical'``.
    covariance_type : {'full', 'tied', 'diag', 'spherical'}

    Returns
    -------
    precisions_cholesky : ndarray of the same shape
        float32 if `covariances` is, and float64 otherwise; computed in float64.

    Raises
    ------
    ValueError
        If the shape is not that of the covariance type, or a covariance is not symmetric or not
        positive definite.

    Examples
    --------
    >>> import numpy as np
    >>> import fastgmm
    >>> U = fastgmm.precisions_cholesky([4.0, 0.25], "spherical")
    >>> U
    array([0.5, 2. ])
    >>> X, weights, means = np.zeros((1, 1)), np.full(2, 0.5), np.zeros((2, 1))
    >>> fastgmm.kernels.responsibilities(X, weights, means, U, "spherical")
    array([[0.2, 0.8]])
    """
    family = family_of(covariance_type)
    array = np.asarray(covariances)
    dtype = np.float32 if array.dtype == np.float32 else np.float64
    matrices = array.astype(np.float64)
    if (
        matrices.ndim != len(family.axes)
        or (family.has_loadings and matrices.shape[-1] < 2)
        or (family.is_matrix and matrices.shape[-1] != matrices.shape[-2])
    ):
        raise ValueError(
            f"covariances has shape {matrices.shape}; expected ({', '.join(family.axes)}) for "
            f"covariance_type={covariance_type!r}."
        )
    if family.is_matrix and not _are_symmetric(matrices):
        raise ValueError(
            "A covariance is not symmetric. If this is a Cholesky factor L, pass L @ L.T."
        )
    try:
        return np.asarray(precisions_cholesky_from_covariances(matrices, covariance_type), dtype)
    except IllDefinedCovariance:
        raise ValueError(
            "A covariance is not positive definite. Add a small number to its diagonal, as "
            "reg_covar does."
        ) from None


# Long: for its documentation.
def maximization(
    statistics: Statistics,
    covariance_type: str,
    reg_covar: float | FloatArray = 0.0,
) -> Parameters:
    """Parameters of the highest likelihood under expected statistics: the M step of EM.

    Statistics of parts of the data add up, so that the parts may be anywhere.

    Parameters
    ----------
    statistics : Statistics
        What `fastgmm.kernels.expectation` returns, or a sum of those about the same reference.
    covariance_type : {'full', 'tied', 'diag', 'spherical'}
        The one that they were accumulated for.
    reg_covar : float or array-like of shape (d,), default=0.0
        Added to the variances.

    Returns
    -------
    parameters : Parameters
        In float64.

    Raises
    ------
    ValueError
        If the statistics are of another covariance type, or a covariance is not positive definite.

    References
    ----------
    Bishop, Pattern Recognition and Machine Learning, Springer (2006), equations 9.24 to 9.26.

    Examples
    --------
    One iteration over data in two parts:

    >>> import numpy as np
    >>> import fastgmm
    >>> parts = np.array([[0.0], [1.0]]), np.array([[4.0], [5.0]])
    >>> weights, means, U = np.full(2, 0.5), np.array([[0.0], [5.0]]), np.ones(2)
    >>> first, second = (
    ...     fastgmm.kernels.expectation(X, weights, means, U, "spherical") for X in parts)
    >>> p = fastgmm.maximization(first + second, "spherical", reg_covar=1e-6)
    >>> p.means.round(2)
    array([[0.5],
           [4.5]])
    """
    if family_of(covariance_type).has_loadings:
        raise ValueError(
            "Loadings follow from statistics and the loadings before; GaussianMixture fits them, "
            "and warm_start=True with max_iter=1 takes a single step."
        )
    K, d = np.shape(statistics.reference)
    expected = family_of(family_of(covariance_type).pass_type).shape(K, d)
    if np.shape(statistics.second) != expected:
        raise ValueError(
            f"The second moments have shape {np.shape(statistics.second)}; expected "
            f"{expected} for covariance_type={covariance_type!r}. Accumulate "
            "statistics of the same covariance type."
        )
    added = np.asarray(reg_covar, np.float64)
    if added.shape not in ((), (d,)) or not np.all(added >= 0):
        raise ValueError(
            "reg_covar should be a number that is not negative, or one for each feature; got "
            f"{reg_covar!r}."
        )
    return MaximumLikelihood(covariance_type, added).maximize(statistics)


def _are_symmetric(matrices: FloatArray) -> bool:
    difference = np.abs(matrices - matrices.swapaxes(-2, -1))
    largest = np.abs(matrices).max(axis=(-2, -1), keepdims=True, initial=0.0)
    return not np.any(difference > SYMMETRY * largest)
