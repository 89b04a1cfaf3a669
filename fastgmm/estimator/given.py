"""Parameters and shares that users give: starts, mixtures made by hand, responsibilities.

The types of the exceptions are scikit-learn's, and so is the first sentence of a message where
scikit-learn has one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from sklearn.utils import check_array, column_or_1d

from fastgmm._records import FloatArray, InitFunction, InitialValues, InitMethod
from fastgmm.estimator.containers import refuse_missing
from fastgmm.estimator.validation import FLOAT_DTYPES
from fastgmm.model.families import family_of
from fastgmm.model.frozen import Freeze

# How far from 1 the responsibilities of a sample may sum; float32 holds seven digits.
SUM_OF_RESPONSIBILITIES = 1e-5


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
    *,
    noise: bool = False,
) -> InitMethod | InitFunction | FloatArray:
    """Return a name as it is, an array as responsibilities, a function such that it gives them."""
    if isinstance(init_params, str):
        return cast(InitMethod, init_params)
    if not callable(init_params):
        return _responsibilities(init_params, n_samples, n_components, dtype, noise=noise)

    def checked(rows: FloatArray, K: int, random_state: np.random.RandomState) -> FloatArray:
        found = init_params(rows, K, random_state)
        return _responsibilities(found, len(rows), K, rows.dtype, noise=noise)

    return checked


def check_labels(y: Any, n_samples: int, n_components: int) -> np.ndarray:
    """Return the components (n,) that samples are known to belong to, -1 where that is unknown."""
    remedy = f"give an integer for each sample, from 0 to {n_components - 1}, or -1 if unknown"
    if y is None:
        raise ValueError(f"semi_supervised=True learns from y, and there is none; {remedy}.")
    labels = column_or_1d(y)
    if labels.dtype.kind not in "iub" and not (
        labels.dtype.kind == "f" and np.all(labels == np.floor(labels))
    ):
        raise ValueError(f"y has labels of type {labels.dtype}; {remedy}.")
    if len(labels) != n_samples:
        raise ValueError(f"y has {len(labels)} labels, and X has {n_samples} samples; {remedy}.")
    if labels.min() < -1 or labels.max() >= n_components:
        raise ValueError(f"The labels of y go from {labels.min()} to {labels.max()}; {remedy}.")
    return labels.astype(np.intp)


def check_errors(errors: ArrayLike, X: FloatArray) -> FloatArray:
    """Return variances (n, d) or covariances (n, d, d) of the errors of samples."""
    n, d = X.shape
    refuse_missing(errors, "errors")
    array = check_array(
        errors, dtype=FLOAT_DTYPES, ensure_2d=False, allow_nd=True, input_name="errors"
    )
    if array.shape not in ((n, d), (n, d, d)):
        raise ValueError(
            f"errors has the shape {array.shape}; give variances of the shape {(n, d)} or "
            f"covariances of the shape {(n, d, d)}."
        )
    if array.ndim == 2 and np.any(array < 0):
        raise ValueError("errors has negative variances; give the squares of standard errors.")
    if array.ndim == 3:
        largest = np.abs(array).max(axis=(1, 2), initial=0.0)
        asymmetry = np.abs(array - array.swapaxes(1, 2)).max(axis=(1, 2))
        smallest = np.linalg.eigvalsh(array).min(axis=1)
        slack = d * 1e3 * float(np.finfo(array.dtype).eps) * largest
        wrong = np.flatnonzero((asymmetry > slack) | (smallest < -slack))
        if len(wrong):
            raise ValueError(
                f"errors[{wrong[0]}] is not symmetric and positive semidefinite, as covariances "
                f"are, nor are {len(wrong) - 1} others; pass covariance matrices."
            )
    return np.asarray(array)


def check_freeze(freeze: Any, n_components: int, covariance_type: str) -> Freeze:
    """Return what is frozen of each component."""
    names = [freeze] if isinstance(freeze, str) else freeze
    parts = dict(names) if isinstance(names, Mapping) else {str(name): True for name in names}
    unknown = [repr(name) for name in parts if name not in Freeze._fields]
    if unknown:
        raise ValueError(
            f"freeze has {', '.join(unknown)}; give any of {', '.join(map(repr, Freeze._fields))}, "
            "or a dict of these to masks of shape (n_components,)."
        )
    masks = {}
    for name in Freeze._fields:
        mask = np.asarray(parts.get(name, False))
        if mask.dtype != np.bool_ or mask.shape not in ((), (n_components,)):
            raise ValueError(
                f"freeze[{name!r}] should be True or a mask of shape ({n_components},), but has "
                f"the shape {mask.shape} and type {mask.dtype}."
            )
        masks[name] = np.broadcast_to(mask, (n_components,))
    family = family_of(covariance_type)
    some = masks["covariances"].any() and not masks["covariances"].all()
    if some and (family.is_shared or family.free):
        raise ValueError(
            f"Components share something of a covariance with covariance_type={covariance_type!r}, "
            "so that all covariances are frozen or none; give True in place of a mask."
        )
    return Freeze(**masks)


def volume_of_noise(noise: bool | float, X: FloatArray) -> tuple[float, FloatArray]:
    """Logarithm of the volume that noise fills, and the box (2, d) of the data."""
    box = np.array([X.min(axis=0), X.max(axis=0)], np.float64)
    if not isinstance(noise, bool | np.bool_):
        return math.log(noise), box
    extent = box[1] - box[0]
    constant = np.flatnonzero(extent <= 0)
    if len(constant):
        raise ValueError(
            f"Feature(s) {', '.join(map(str, constant))} of X are constant, so that the box of the "
            "data has no volume for noise; leave them out, or give a volume as noise."
        )
    return float(np.log(extent).sum()), box


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
    shape = family_of(covariance_type).shape_like(cholesky, K, d)
    consistent = weights.shape == (K,) and cholesky.shape == shape
    if not consistent or n_components not in (None, K) or n_features not in (None, d):
        raise ValueError(
            f"The fitted parameters (weights_ {weights.shape}, means_ {means.shape}, "
            f"{third} {cholesky.shape}) do not fit together, or not "
            f"covariance_type={covariance_type!r}, n_components or the features of X; fit again "
            "with warm_start=False."
        )
    return weights, means, cholesky


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
    shape = family.shape_like(np.asarray(matrices), n_components, n_features)
    name = f"{covariance_type} {kind}"
    array = check_shaped(matrices, argument, name, shape)
    if not family.is_matrix:
        if np.any(family.diagonals(array) <= 0.0):
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
    value: ArrayLike, n_samples: int, n_components: int, dtype: DTypeLike, *, noise: bool = False
) -> FloatArray:
    """Return starting responsibilities (n, K), from such or from labels (n,).

    With noise a label may be -1, and responsibilities may leave something.
    """
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
        if array.min() < (-1 if noise else 0) or array.max() >= n_components:
            raise ValueError(
                f"The labels of init_params go from {array.min()} to {array.max()}; pass integers "
                f"from 0 to n_components - 1 = {n_components - 1}."
            )
        array = (array[:, None] == np.arange(n_components)).astype(dtype)
    if array.shape != (n_samples, n_components):
        raise ValueError(f"{expected}, but is of shape {array.shape}.")
    responsibilities: FloatArray = array.astype(dtype)
    sums = responsibilities.sum(axis=1, dtype=np.float64)
    if noise and not responsibilities.any():
        raise ValueError(
            "All of init_params is noise; give some samples to a component, to start it from."
        )
    missed = np.maximum(sums - 1.0, 0.0) if noise else np.abs(sums - 1.0)
    if responsibilities.min() < 0 or missed.max() > SUM_OF_RESPONSIBILITIES:
        raise ValueError(
            "The responsibilities of init_params should be 0 or more and sum to 1 for each sample; "
            "divide each row by its sum."
        )
    return responsibilities
