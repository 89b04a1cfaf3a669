"""The only place that casts input and raises users' errors, before any work is done.

The types of the exceptions are scikit-learn's, and so are the messages of the checks that
scikit-learn does for every estimator (sparse, complex, text, NaN, wrong number of features).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from sklearn.utils import check_array
from sklearn.utils.validation import _check_sample_weight, validate_data

from fastgmm._records import CovarianceType, FloatArray, InitialValues

__all__ = [
    "check_fit_data",
    "check_initial_values",
    "check_n_samples",
    "check_parameters",
    "check_predict_data",
    "check_sample_weight",
    "covariances_shape",
]

FLOAT_DTYPES = [np.float64, np.float32]  # kept as they are; everything else becomes the first


def check_fit_data(
    estimator: Any, X: ArrayLike, sample_weight: ArrayLike | None, n_components: int
) -> tuple[FloatArray, FloatArray | None]:
    """Return X as a float array of any memory order, and its weights or None.

    Sets `n_features_in_` and, for a data frame, `feature_names_in_` on the estimator.
    """
    data: FloatArray = validate_data(estimator, X, dtype=FLOAT_DTYPES, ensure_min_samples=2)
    if len(data) < n_components:
        raise ValueError(
            f"Expected n_samples >= n_components but got n_components = {n_components}, "
            f"n_samples = {len(data)}; use fewer components or more samples."
        )
    weight = check_sample_weight(sample_weight, data)
    if weight is not None and np.count_nonzero(weight) < n_components:
        raise ValueError(
            f"Only {np.count_nonzero(weight)} samples have a positive sample_weight, fewer than "
            f"n_components = {n_components}; use fewer components or more positive weights."
        )
    return data, weight


def check_predict_data(estimator: Any, X: ArrayLike, n_features: int) -> FloatArray:
    """Return X as a float array with the features that the mixture was fitted on."""
    data: FloatArray = validate_data(estimator, X, dtype=FLOAT_DTYPES, reset=False)
    if data.shape[1] != n_features:  # possible where the parameters were set by hand
        raise ValueError(
            f"X has {data.shape[1]} features, but the mixture has means of {n_features} features; "
            "pass the same features as to fit."
        )
    return data


def check_sample_weight(sample_weight: ArrayLike | None, X: FloatArray) -> FloatArray | None:
    """Return finite, non-negative weights in X's dtype, not all zero; or None for None."""
    if sample_weight is None:
        return None
    weight = _check_sample_weight(sample_weight, X, dtype=X.dtype)
    with np.errstate(over="ignore"):
        total = weight.sum(dtype=np.float64)
    if not np.isfinite(total):
        raise ValueError(
            "sample_weight contains NaN or infinity, or its sum is infinite; pass finite weights "
            "of a moderate scale."
        )
    if np.any(weight < 0):
        raise ValueError(
            "Negative values in data passed to `sample_weight`; every weight must be zero or more."
        )
    if total == 0:
        raise ValueError("sample_weight is zero everywhere; at least one must be positive.")
    return weight


def check_initial_values(
    weights: ArrayLike | None,
    means: ArrayLike | None,
    precisions: ArrayLike | None,
    *,
    covariance_type: CovarianceType,
    n_components: int,
    n_features: int,
) -> InitialValues:
    """Return the user's starting values as float arrays, or None for None."""
    return InitialValues(
        None if weights is None else _check_weights(weights, n_components),
        None if means is None else _check_array("means_init", means, (n_components, n_features)),
        None
        if precisions is None
        else _check_precisions(precisions, covariance_type, n_components, n_features),
    )


def check_parameters(
    weights: ArrayLike,
    means: ArrayLike,
    precisions_cholesky: ArrayLike,
    covariance_type: CovarianceType,
    *,
    n_components: int | None = None,
    n_features: int | None = None,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return fitted parameters as arrays whose shapes fit together, and the numbers if given.

    Kernels do not look before they read: parameters that were set by hand, or that belong to
    another `covariance_type`, must not get there.
    """
    weights, means = np.asarray(weights), np.asarray(means)
    cholesky = np.asarray(precisions_cholesky)
    K, d = means.shape if means.ndim == 2 else (-1, -1)
    shape = covariances_shape(covariance_type, K, d)
    consistent = weights.shape == (K,) and cholesky.shape == shape
    if not consistent or n_components not in (None, K) or n_features not in (None, d):
        raise ValueError(
            f"The fitted parameters (weights_ {weights.shape}, means_ {means.shape}, "
            f"precisions_cholesky_ {cholesky.shape}) do not fit together, or not "
            f"covariance_type={covariance_type!r}, n_components or the features of X; fit again "
            "with warm_start=False."
        )
    return weights, means, cholesky


def check_n_samples(n_samples: int) -> None:
    """Refuse to draw fewer than one sample."""
    if n_samples < 1:
        raise ValueError(
            f"Invalid value for 'n_samples': {n_samples}. Ask for at least one sample."
        )


def covariances_shape(
    covariance_type: CovarianceType, n_components: int, n_features: int
) -> tuple[int, ...]:
    """Shape of the covariances, and so of the precisions and their Cholesky factors."""
    return {
        "full": (n_components, n_features, n_features),
        "tied": (n_features, n_features),
        "diag": (n_components, n_features),
        "spherical": (n_components,),
    }[covariance_type]


def _check_array(name: str, value: ArrayLike, shape: tuple[int, ...]) -> FloatArray:
    """Return a finite float array of exactly this shape, a copy that the caller does not own."""
    array = check_array(
        value, dtype=FLOAT_DTYPES, ensure_2d=False, allow_nd=True, copy=True, input_name=name
    )
    if array.shape != shape:
        raise ValueError(f"{name} should have the shape {shape}, but has {array.shape}.")
    return array


def _check_weights(weights: ArrayLike, n_components: int) -> FloatArray:
    """Return proportions that sum to 1."""
    array = _check_array("weights_init", weights, (n_components,))
    if np.any(array < 0.0) or np.any(array > 1.0):
        raise ValueError(
            "weights_init should be in the range [0, 1], but goes from "
            f"{array.min():.5g} to {array.max():.5g}; pass proportions."
        )
    total = float(array.sum())
    if abs(total - 1.0) > _tolerance(array.dtype):
        raise ValueError(
            f"weights_init should be normalized, but sums to {total:.9g}; divide it by its sum."
        )
    return array


def _tolerance(dtype: DTypeLike) -> float:
    """How far from 1 the weights may sum, as in scikit-learn."""
    return 1e-6 if dtype == np.float32 else 1e-8


def _check_precisions(
    precisions: ArrayLike, covariance_type: CovarianceType, n_components: int, n_features: int
) -> FloatArray:
    """Return precisions that are positive, or symmetric and positive definite."""
    shape = covariances_shape(covariance_type, n_components, n_features)
    array = _check_array(
        f"precisions_init (covariance_type={covariance_type!r})", precisions, shape
    )
    if covariance_type in ("diag", "spherical"):
        if np.any(array <= 0.0):
            raise ValueError(
                f"precisions_init for covariance_type={covariance_type!r} should be positive; "
                "pass inverse variances."
            )
        return array
    symmetric = np.allclose(array, array.swapaxes(-2, -1))
    if not symmetric or np.any(np.linalg.eigvalsh(array) <= 0.0):
        raise ValueError(
            f"precisions_init for covariance_type={covariance_type!r} should be symmetric, "
            "positive-definite; pass the inverses of covariance matrices."
        )
    return array
