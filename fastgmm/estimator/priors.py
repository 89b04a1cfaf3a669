"""What users give as priors: checked, and completed from the data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from numbers import Real
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from fastgmm._records import FloatArray
from fastgmm.data.source import ArraySource
from fastgmm.estimator.validation import are_definite, check_shaped
from fastgmm.model.families import FAMILIES, Family, family_of
from fastgmm.model.priors import NormalWishart

# What a prior may be given; mclust calls them mean, shrinkage, dof and scale.
IN_PRIOR = ("mean", "mean_precision", "degrees_of_freedom", "covariance")
DEFAULT_MEAN_PRECISION = 0.01


def check_priors(
    mean: ArrayLike | None,
    degrees_of_freedom: float | None,
    covariance: ArrayLike | None,
    covariance_type: str,
    n_features: int,
) -> tuple[FloatArray | None, float, FloatArray | None]:
    """Return the user's priors as float arrays, or None for None; degrees of freedom have a value.

    The covariance is one, of the shape that a component has.
    """
    d = n_features
    freedom = float(d) if degrees_of_freedom is None else float(degrees_of_freedom)
    _check_freedom(freedom, "degrees_of_freedom_prior", d - 1, f"the number of features, {d}")
    means = None if mean is None else check_shaped(mean, "mean_prior", "means", (d,))
    if covariance is None:
        return means, freedom, None
    return means, freedom, _checked(covariance, "covariance_prior", covariance_type, d)


def conjugate_prior(
    given: str | Mapping[str, Any], source: ArraySource, covariance_type: str, n_components: int
) -> NormalWishart:
    """The argument `prior` of `GaussianMixture`, what it leaves out as mclust has it.

    That is a covariance which as many balls or ellipsoids as there are components have that fill
    the data together: the covariance of the data, divided by K^(2/d), or the mean of its variances
    without off-diagonal elements.

    References
    ----------
    Fraley and Raftery, Bayesian regularization for normal mixture estimation and model-based
    clustering, Journal of Classification 24 (2007), section 3.
    """
    values: Mapping[str, Any] = {} if isinstance(given, str) else given
    unknown = [repr(name) for name in values if name not in IN_PRIOR]
    if unknown:
        raise ValueError(
            f"prior has {', '.join(unknown)}; give any of {', '.join(map(repr, IN_PRIOR))}, or "
            "'conjugate' for the defaults of all."
        )
    family, d = FAMILIES[covariance_type], source.n_features
    precision = _number(values.get("mean_precision", DEFAULT_MEAN_PRECISION), "mean_precision")
    if precision < 0:
        raise ValueError("prior['mean_precision'] should be 0, for no prior of the means, or more.")
    freedom = _number(values.get("degrees_of_freedom", d + 2), "degrees_of_freedom")
    least = d - 1 if family.is_matrix else 0
    _check_freedom(freedom, "prior['degrees_of_freedom']", least, f"d + 2, which is {d + 2}")
    mean, covariance = values.get("mean"), values.get("covariance")
    if mean is not None:
        mean = check_shaped(mean, "prior['mean']", "means", (d,))
    if covariance is not None:
        if np.ndim(covariance) == 0 and "d" in family.axes and not family.is_matrix:
            covariance = np.full(d, covariance)  # a number for all
        covariance = _checked(covariance, "prior['covariance']", covariance_type, d)
    if mean is None:
        mean = source.moments(matrix=family.is_matrix).mean
    if covariance is None:
        whole = covariance_of_data(source, family)
        if not family.is_matrix:
            whole = np.full(whole.shape, whole.mean())
        elif source.n_weighted <= d:  # singular
            whole = np.diag(np.diagonal(whole))
        covariance = whole / n_components ** (2 / d)
    return NormalWishart(
        np.asarray(mean, np.float64), precision, freedom, np.asarray(covariance, np.float64)
    )


def check_shrinkage(intensity: float | Literal["oas"], covariance_type: str) -> Any:
    """Refuse to shrink what has no off-diagonal elements."""
    if not FAMILIES[covariance_type].is_matrix:
        raise ValueError(
            "shrinkage is for covariances with off-diagonal elements, and "
            f"covariance_type={covariance_type!r} has none; use 'full' or 'tied', or "
            "prior='conjugate' in place of it."
        )
    return intensity


def covariance_of_data(source: ArraySource, family: Family) -> FloatArray:
    """The covariance of all the data, unbiased, in the shape of one component's."""
    moments, total = source.moments(matrix=family.is_matrix), source.total_weight
    one = moments.covariances(1, family)
    one = one if family.is_shared else one[0]
    return np.asarray(one * (total / (total - 1) if total > 1 else 1.0))


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise ValueError(f"prior['{name}'] should be a number, but is {value!r}.")
    return float(value)


def _check_freedom(freedom: float, argument: str, least: float, usual: str) -> None:
    if freedom <= least:
        # The first sentence is scikit-learn's.
        raise ValueError(
            f"The parameter '{argument}' should be greater than {least}, but got {freedom:.3f}. "
            f"Pass {usual}, or more."
        )


def _checked(
    covariance: ArrayLike, argument: str, covariance_type: str, n_features: int
) -> FloatArray:
    """Covariance of one component, positive or positive definite."""
    family = family_of(covariance_type)
    axes = family.axes if family.is_shared else family.axes[1:]
    name = f"{covariance_type} covariance_prior"
    matrix = check_shaped(covariance, argument, name, (n_features,) * len(axes))
    if family.is_matrix and not are_definite(matrix):
        raise ValueError(
            f"'{covariance_type} precision' should be symmetric, positive-definite. Pass a "
            f"covariance matrix as {argument}."
        )
    if not family.is_matrix and np.any(matrix <= 0.0):
        raise ValueError(
            f"'{covariance_type} precision' should be positive. Pass variances as {argument}."
        )
    return matrix
