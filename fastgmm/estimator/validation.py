"""Casting input and raising users' errors, before any work is done.

The kernels check shapes again, for those who call them; files and memory have their own errors.

The types of the exceptions are scikit-learn's, and so are the messages of the checks that
scikit-learn does for every estimator (sparse, complex, text, NaN, wrong number of features).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import _check_sample_weight, validate_data

from fastgmm._records import FloatArray
from fastgmm.data.source import Source
from fastgmm.estimator.containers import refuse_missing, refuse_other_namespaces

FLOAT_DTYPES = [np.float64, np.float32]  # kept as they are; everything else becomes the first
# After scikit-learn's message.
TO_FILL = "What is asked for here needs every value; impute fills in what is missing."
TO_TAKE_NAN = "Of this one, missing='em' takes NaN for values that are missing at random."
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
    _check_enough(len(data), n_components)
    weight = check_sample_weight(sample_weight, data)
    if weight is not None:
        _check_enough_weight(int(np.count_nonzero(weight)), n_components)
    if knows_missing(estimator):
        _check_observed(data if weight is None else data[weight > 0], n_components)
    return data, weight


def check_fit_source(
    estimator: Any, source: Source, names: Sequence[str] | None, n_components: int
) -> None:
    """Check what there is of data that are no array, as of one; set the same attributes."""
    n = source.n_rows
    if n < 2:
        raise ValueError(f"Found {n} sample(s) in X, and a minimum of 2 is required.")
    _check_enough(n, n_components)
    _check_enough_weight(source.n_weighted, n_components)
    _check_largest(getattr(source, "largest", 0.0), source.dtype)
    estimator.n_features_in_ = source.n_features
    estimator.__dict__.pop("feature_names_in_", None)
    if names is not None:
        estimator.feature_names_in_ = np.array(names, dtype=object)


def _check_enough(n_samples: int, n_components: int) -> None:
    if n_samples < n_components:
        raise ValueError(
            f"Expected n_samples >= n_components but got n_components = {n_components}, "
            f"n_samples = {n_samples}; use fewer components or more samples."
        )


def _check_enough_weight(n_weighted: int, n_components: int) -> None:
    if n_weighted < n_components:
        raise ValueError(
            f"Only {n_weighted} samples have a positive sample_weight, fewer than "
            f"n_components = {n_components}; use fewer components or more positive weights."
        )


def knows_missing(estimator: Any) -> bool:
    """Whether NaN is a missing value to an estimator."""
    return getattr(estimator, "missing", "raise") == "em"


def _check_observed(X: FloatArray, n_components: int) -> None:
    """Refuse features of which nothing is known, and too few rows of which anything is."""
    observed = ~np.isnan(X)
    unknown = np.flatnonzero(~observed.any(axis=0))
    if len(unknown):
        raise ValueError(
            f"Feature(s) {', '.join(map(str, unknown))} of X have no observed value in rows that "
            "have weight, so that nothing can be learned of them; leave them out."
        )
    n_rows = int(observed.any(axis=1).sum())
    if n_rows < n_components:
        raise ValueError(
            f"Only {n_rows} rows of X have weight and an observed value, fewer than n_components = "
            f"{n_components}; use fewer components or more samples."
        )


def check_predict_data(
    estimator: Any, X: ArrayLike, n_features: int | None = None, *, may_miss: bool | None = None
) -> FloatArray:
    """Return X as a float array with the features that the mixture was fitted on.

    It may miss values if the estimator knows what to do about them, or as `may_miss` says.
    """
    data = _float_data(estimator, X, reset=False, may_miss=may_miss)
    if n_features is not None:
        check_n_features(data.shape[1], n_features)
    return data


def check_n_features(given: int, expected: int) -> None:
    """Refuse features that are not the mixture's, as where its parameters were set by hand."""
    if given != expected:
        raise ValueError(
            f"X has {given} features, but the mixture has means of {expected} features; "
            "pass the same features as to fit."
        )


def _float_data(
    estimator: Any,
    X: ArrayLike,
    *,
    reset: bool = True,
    ensure_min_samples: int = 1,
    may_miss: bool | None = None,
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
        allowed = knows_missing(estimator) if may_miss is None else may_miss
        options: dict[str, Any] = {"reset": reset, "ensure_min_samples": ensure_min_samples}
        options |= {"ensure_all_finite": "allow-nan"} if allowed else {}
        try:
            checked: FloatArray = validate_data(estimator, X, dtype=FLOAT_DTYPES, **options)
        except ValueError as error:
            if "NaN" not in str(error) or "missing" not in estimator.get_params(deep=False):
                raise
            remedy = TO_FILL if may_miss is False else TO_TAKE_NAN
            raise ValueError(f"{error}\n{remedy}") from None
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
    if math.isnan(largest):  # as some values are missing
        largest = max(float(np.nanmax(X)), -float(np.nanmin(X)))
    _check_largest(largest, X.dtype)


def _check_largest(largest: float, dtype: np.dtype) -> None:
    if largest > np.sqrt(np.finfo(dtype).max) / 4:
        raise ValueError(
            f"X has values up to {largest:.3g} in size, whose squares are too large for {dtype}. "
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


def check_n_samples(n_samples: int) -> None:
    """Refuse to draw fewer than one sample."""
    if n_samples < 1:
        raise ValueError(
            f"Invalid value for 'n_samples': {n_samples}. Ask for at least one sample."
        )
