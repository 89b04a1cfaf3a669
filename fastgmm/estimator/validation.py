"""Casting input and raising users' errors, before any work is done.

The kernels check shapes again, for those who call them; files and memory have their own errors.

The types of the exceptions are scikit-learn's, and so are the messages of the checks that
scikit-learn does for every estimator (sparse, complex, text, NaN, wrong number of features).
"""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from sklearn.utils import check_array
from sklearn.utils.validation import _check_sample_weight, validate_data

from fastgmm._records import FloatArray, InitFunction, InitialValues, InitMethod
from fastgmm.estimator.containers import refuse_missing, refuse_other_namespaces
from fastgmm.model.families import family_of

FLOAT_DTYPES = [np.float64, np.float32]  # kept as they are; everything else becomes the first
# How far from 1 the responsibilities of a sample may sum; float32 holds seven digits.
SUM_OF_RESPONSIBILITIES = 1e-5
# Binary exponents of the largest weight, by the size of a number, between which weights are used
# as they are.
MODERATE = {4: 32, 8: 256}


def check_fit_data(
    estimator: Any, X: ArrayLike, sample_weight: ArrayLike | None, n_components: int
) -> tuple[FloatArray, FloatArray | None]:
    """Return X as a float array of any memory order, and its weights or None.

    Sets `n_features_in_` and, for a data frame, `feature_names_in_` on the estimator.
    """
    data = _float_data(estimator, X, ensure_min_samples=2)
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


def check_predict_data(estimator: Any, X: ArrayLike, n_features: int | None = None) -> FloatArray:
    """Return X as a float array with the features that the mixture was fitted on."""
    data = _float_data(estimator, X, reset=False)
    if n_features not in (None, data.shape[1]):  # possible where the parameters were set by hand
        raise ValueError(
            f"X has {data.shape[1]} features, but the mixture has means of {n_features} features; "
            "pass the same features as to fit."
        )
    return data


def _float_data(
    estimator: Any, X: ArrayLike, *, reset: bool = True, ensure_min_samples: int = 1
) -> FloatArray:
    """Let scikit-learn check X, whose sum it takes and does not mind if that overflows."""
    refuse_other_namespaces(X)
    with np.errstate(over="ignore", invalid="ignore"):  # invalid: overflow of either sign, added
        if _is_plain(X, estimator, reset, ensure_min_samples):
            data = cast(FloatArray, X)
            if reset:
                estimator.n_features_in_ = data.shape[1]
            return data
        refuse_missing(X, "X")
        options = {"reset": reset, "ensure_min_samples": ensure_min_samples}
        checked: FloatArray = validate_data(estimator, X, dtype=FLOAT_DTYPES, **options)
    return checked


def _is_plain(X: Any, estimator: Any, reset: bool, least: int) -> bool:
    """Whether nothing can be wrong with X, so that there is nothing that scikit-learn would do.

    It takes as long to look for what else X might be as to predict a hundred samples.
    """
    return (
        type(X) is np.ndarray
        and X.dtype in FLOAT_DTYPES
        and X.dtype.isnative
        and X.ndim == 2
        and len(X) >= least
        and X.shape[1] > 0
        and not hasattr(estimator, "feature_names_in_")
        and (reset or getattr(estimator, "n_features_in_", None) == X.shape[1])
        and math.isfinite(np.add.reduce(X, axis=None))
    )


def check_magnitude(X: FloatArray) -> None:
    """Refuse values whose squares overflow, among which no distance is known."""
    largest = max(float(X.max()), -float(X.min()))
    if largest > np.sqrt(np.finfo(X.dtype).max) / 4:
        raise ValueError(
            f"X has values up to {largest:.3g} in size, whose squares are too large for {X.dtype}. "
            "Leave such samples out, or scale the data."
        )


def check_sample_weight(sample_weight: ArrayLike | None, X: FloatArray) -> FloatArray | None:
    """Return finite, non-negative weights in X's dtype, not all zero; or None for None.

    Where their size would not suit that dtype they are divided by a power of two: only their
    proportions count, but for `check_total_weight`.
    """
    if sample_weight is None:
        return None
    weight = _weights_as_given(sample_weight, X)
    exponent = int(np.frexp(weight.max())[1])
    if abs(exponent) > MODERATE[X.dtype.itemsize]:
        weight = np.ldexp(weight, -exponent)
    return weight.astype(X.dtype, copy=False)


def check_total_weight(sample_weight: ArrayLike | None, X: FloatArray) -> float:
    """Return the number of samples, or the sum of their weights."""
    if sample_weight is None:
        return float(len(X))
    return float(_weights_as_given(sample_weight, X).sum(dtype=np.float64))


def _weights_as_given(sample_weight: ArrayLike, X: FloatArray) -> FloatArray:
    refuse_missing(sample_weight, "sample_weight")
    # A number is the weight of every sample, and would be cast to one type or another.
    dtype = np.float64 if np.isscalar(sample_weight) else FLOAT_DTYPES
    weight: FloatArray = _check_sample_weight(sample_weight, X, dtype=dtype)
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
    covariance_type: str,
    n_components: int,
    n_features: int,
) -> InitialValues:
    """Return the user's starting values as float arrays, or None for None."""
    K, d = n_components, n_features
    return InitialValues(
        None if weights is None else _check_weights(weights, "weights_init", K),
        None if means is None else check_shaped(means, "means_init", "means", (K, d)),
        None
        if precisions is None
        else _check_definite(precisions, "precisions_init", "precision", covariance_type, K, d),
    )


def check_given_parameters(
    weights: ArrayLike, means: ArrayLike, covariances: ArrayLike, covariance_type: str
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return the parameters of a mixture as float arrays of one dtype, the one of `means`."""
    family = family_of(covariance_type)
    refuse_missing(means, "means")
    if np.ndim(means) == 1:  # numbers, of one feature
        means = np.reshape(np.asarray(means), (-1, 1))
    centres: FloatArray = check_array(means, dtype=FLOAT_DTYPES, copy=True, input_name="means")
    K, d = centres.shape
    proportions = _check_weights(weights, "weights", K)
    checked = "covariances", "covariance", covariance_type, K, d
    matrices = _check_definite(covariances, *checked).astype(centres.dtype)
    if family.is_matrix:
        matrices = (matrices + matrices.swapaxes(-2, -1)) / 2
    _check_definite(matrices, *checked)  # float32 may have made nothing of little
    return proportions.astype(centres.dtype), centres, matrices


def check_init_params(
    init_params: InitMethod | InitFunction | ArrayLike,
    n_samples: int,
    n_components: int,
    dtype: DTypeLike,
) -> InitMethod | InitFunction | FloatArray:
    """Return a name as it is, an array as responsibilities, a function such that it gives them."""
    if isinstance(init_params, str):
        return cast(InitMethod, init_params)
    if not callable(init_params):
        return _responsibilities(init_params, n_samples, n_components, dtype)

    def checked(rows: FloatArray, K: int, random_state: np.random.RandomState) -> FloatArray:
        return _responsibilities(init_params(rows, K, random_state), len(rows), K, rows.dtype)

    return checked


def check_parameters(
    weights: ArrayLike,
    means: ArrayLike,
    precisions_cholesky: ArrayLike,
    covariance_type: str,
    *,
    n_components: int | None = None,
    n_features: int | None = None,
    third: str = "precisions_cholesky_",
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return fitted parameters as arrays whose shapes fit together, and the numbers if given.

    Kernels do not look before they read: parameters that were set by hand, or that belong to
    another `covariance_type`, must not get there.
    """
    weights, means = np.asarray(weights), np.asarray(means)
    cholesky = np.asarray(precisions_cholesky)
    K, d = means.shape if means.ndim == 2 else (-1, -1)
    shape = family_of(covariance_type).shape(K, d)
    consistent = weights.shape == (K,) and cholesky.shape == shape
    if not consistent or n_components not in (None, K) or n_features not in (None, d):
        raise ValueError(
            f"The fitted parameters (weights_ {weights.shape}, means_ {means.shape}, "
            f"{third} {cholesky.shape}) do not fit together, or not "
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


# Of errors of the same kind the first sentence is scikit-learn's, for code that searches for it.
def check_shaped(value: ArrayLike, argument: str, name: str, shape: tuple[int, ...]) -> FloatArray:
    """Return a finite float array of exactly this shape, a copy that the caller does not own.

    Of one feature, the axes of features may be left out.
    """
    is_plain = type(value) is np.ndarray and value.dtype in FLOAT_DTYPES
    if is_plain and value.shape == shape != () and np.isfinite(value).all():  # type: ignore[union-attr]
        return value.copy()  # type: ignore[union-attr]
    refuse_missing(value, argument)
    array = check_array(
        # Scikit-learn does not take a single number for an array.
        np.atleast_1d(cast(Any, value)) if np.ndim(value) == 0 else value,
        dtype=FLOAT_DTYPES,
        ensure_2d=False,
        allow_nd=True,
        copy=True,
        input_name=argument,
    )
    left_out = shape[array.ndim :]
    if array.shape + left_out == shape and set(left_out) == {1}:
        array = array.reshape(shape)
    array = array if shape or array.size > 1 else array.reshape(())
    if array.shape != shape:
        raise ValueError(
            f"The parameter '{name}' should have the shape of {shape}, but got {array.shape}. "
            f"Pass {argument} of that shape."
        )
    return array


def _check_weights(weights: ArrayLike, argument: str, n_components: int) -> FloatArray:
    """Return proportions that sum to 1."""
    array = check_shaped(weights, argument, "weights", (n_components,))
    if np.any(array < 0.0) or np.any(array > 1.0):
        # Which is called max and which min is scikit-learn's, too.
        raise ValueError(
            "The parameter 'weights' should be in the range [0, 1], but got max value "
            f"{array.min():.5f}, min value {array.max():.5f}. Pass proportions as {argument}."
        )
    total = float(array.sum())
    if abs(total - 1.0) > _tolerance(array.dtype):
        raise ValueError(
            "The parameter 'weights' should be normalized, but got sum(weights) = "
            f"{total:.5f}. Divide {argument} by its sum."
        )
    return array


def _tolerance(dtype: DTypeLike) -> float:
    """How far from 1 the weights may sum, as in scikit-learn."""
    return 1e-6 if dtype == np.float32 else 1e-8


def _check_definite(
    matrices: ArrayLike,
    argument: str,
    kind: str,
    covariance_type: str,
    n_components: int,
    n_features: int,
) -> FloatArray:
    """Return precisions or covariances that are positive, or symmetric and positive definite."""
    family = family_of(covariance_type)
    shape = family.shape(n_components, n_features)
    name = f"{covariance_type} {kind}"
    array = check_shaped(matrices, argument, name, shape)
    if not family.is_matrix:
        if np.any(array <= 0.0):
            remedy = "variances" if kind == "covariance" else "inverse variances"
            raise ValueError(f"'{name}' should be positive. Pass {remedy} as {argument}.")
        return array
    if not are_definite(array):
        remedy = "" if kind == "covariance" else "the inverses of "
        raise ValueError(
            f"'{name}' should be symmetric, positive-definite. Pass {remedy}covariance matrices "
            f"as {argument}."
        )
    return array


def are_definite(matrices: FloatArray) -> bool:
    """Tell whether all are symmetric and positive definite, whatever the scales of features."""
    variances = np.einsum("...ii->...i", matrices)
    if np.any(variances <= 0.0):
        return False
    scales = np.sqrt(variances)
    correlations = matrices / scales[..., :, None] / scales[..., None, :]
    symmetric = np.allclose(correlations, correlations.swapaxes(-2, -1))
    return symmetric and bool(np.all(np.linalg.eigvalsh(correlations) > 0.0))


def _responsibilities(
    value: ArrayLike, n_samples: int, n_components: int, dtype: DTypeLike
) -> FloatArray:
    """Return starting responsibilities (n, K), from such or from labels (n,)."""
    expected = (
        f"init_params should be responsibilities of shape ({n_samples}, {n_components}) or labels "
        f"of shape ({n_samples},)"
    )
    if type(value) is np.ndarray and value.ndim == 1 and value.dtype.kind in "iu":
        array: np.ndarray = value  # labels, of which nothing is left to check but their range
    else:
        try:
            array = check_array(value, ensure_2d=False, dtype=None, input_name="init_params")
        except (TypeError, ValueError) as error:
            raise ValueError(f"{expected}, or a function that returns them. {error}") from error
    if array.shape == (n_samples,):
        if array.dtype.kind not in "iub":
            raise ValueError(
                f"init_params has a label for each sample, but of type {array.dtype}; pass "
                f"integers from 0 to {n_components - 1}."
            )
        if array.min() < 0 or array.max() >= n_components:
            raise ValueError(
                f"The labels of init_params go from {array.min()} to {array.max()}; pass integers "
                f"from 0 to n_components - 1 = {n_components - 1}."
            )
        return (array[:, None] == np.arange(n_components)).astype(dtype)
    if array.shape != (n_samples, n_components):
        raise ValueError(f"{expected}, but is of shape {array.shape}.")
    responsibilities: FloatArray = array.astype(dtype)
    sums = responsibilities.sum(axis=1, dtype=np.float64)
    if responsibilities.min() < 0 or np.abs(sums - 1.0).max() > SUM_OF_RESPONSIBILITIES:
        raise ValueError(
            "The responsibilities of init_params should be 0 or more and sum to 1 for each sample; "
            "divide each row by its sum."
        )
    return responsibilities
