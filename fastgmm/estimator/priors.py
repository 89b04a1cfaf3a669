"""What users give as priors: checked, and completed from the data."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from fastgmm._records import FloatArray
from fastgmm.data.source import Source
from fastgmm.estimator.given import are_definite, check_shaped
from fastgmm.model.families import Family, family_of
from fastgmm.model.priors import NormalWishart

# What a prior may be given; mclust calls them mean, shrinkage, dof and scale.
IN_PRIOR = ("mean", "mean_precision", "degrees_of_freedom", "covariance")
DEFAULT_MEAN_PRECISION = 0.01
# Of the mean variance of the features, what the prior of one that is constant has.
PART_OF_CONSTANT = 1e-6


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
    if freedom <= d - 1:
        raise ValueError(
            "The parameter 'degrees_of_freedom_prior' should be greater than "
            f"{d - 1}, but got {freedom:.3f}. Pass the number of features, {d}, or more."
        )
    means = None if mean is None else check_shaped(mean, "mean_prior", "means", (d,))
    if covariance is None:
        return means, freedom, None
    # Both names are scikit-learn's.
    names = {"shape_of": f"{covariance_type} covariance_prior"}
    names["called"] = f"{covariance_type} precision"
    return means, freedom, _checked(covariance, "covariance_prior", covariance_type, d, **names)


def conjugate_prior(
    given: str | Mapping[str, Any], source: Source, covariance_type: str, n_components: int
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
    family, d = family_of(covariance_type), source.n_features
    values: dict[str, Any] = {"mean_precision": DEFAULT_MEAN_PRECISION, "degrees_of_freedom": d + 2}
    values |= _given_of(given)
    least = d - 1 if family.is_matrix else 0
    if values["degrees_of_freedom"] <= least:
        raise ValueError(
            f"prior['degrees_of_freedom'] should be greater than {least}, but is "
            f"{values['degrees_of_freedom']}. The default is {d + 2}."
        )
    mean, covariance = values.get("mean"), values.get("covariance")
    if mean is not None:
        mean = check_shaped(mean, "prior['mean']", "mean of the prior", (d,))
    if covariance is not None:
        if np.ndim(covariance) == 0 and "d" in family.axes:  # the same for all features
            covariance = covariance * (np.eye(d) if family.is_matrix else np.ones(d))
        name = "covariance of the prior"
        covariance = _checked(
            covariance, "prior['covariance']", covariance_type, d, shape_of=name, called=name
        )
    if mean is None:
        mean = source.moments(matrix=family.is_matrix).mean
    if covariance is None:
        covariance = _definite_covariance_of_data(source, family) / n_components ** (2 / d)
    return NormalWishart(
        np.asarray(mean, np.float64),
        values["mean_precision"],
        values["degrees_of_freedom"],
        np.asarray(covariance, np.float64),
    )


def check_regularizing(
    prior: str | Mapping[str, Any] | None,
    shrinkage: str | float | None,
    covariance_types: Iterable[str],
) -> None:
    """Refuse what can be refused of these two arguments before there are any data."""
    if prior is not None and shrinkage is not None:
        raise ValueError(
            "Give prior or shrinkage, not both: each takes the place of the estimated covariances."
        )
    if prior is not None:
        _given_of(prior)
    without = [kind for kind in covariance_types if not family_of(kind).is_matrix]
    if shrinkage is not None and without:
        raise ValueError(
            "shrinkage is for covariances with off-diagonal elements, and those of "
            f"{', '.join(map(repr, without))} have none; use 'full' or 'tied', or "
            "prior='conjugate' in place of it."
        )


def _given_of(prior: str | Mapping[str, Any]) -> dict[str, Any]:
    """What is given of a prior, the numbers checked; None stands for a default."""
    given = {} if isinstance(prior, str) else dict(prior)
    unknown = [repr(name) for name in given if name not in IN_PRIOR]
    if unknown:
        raise ValueError(
            f"prior has {', '.join(unknown)}; give any of {', '.join(map(repr, IN_PRIOR))}, or "
            "'conjugate' for the defaults of all."
        )
    given = {name: value for name, value in given.items() if value is not None}
    for name in ("mean_precision", "degrees_of_freedom"):
        value = given.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
            raise ValueError(f"prior['{name}'] should be a finite number, but is {value!r}.")
    if given.get("mean_precision", 0) < 0:
        raise ValueError(
            "prior['mean_precision'] should be 0, for no prior of the means, or more, but is "
            f"{given['mean_precision']!r}."
        )
    return given


def covariance_of_data(source: Source, family: Family) -> FloatArray:
    """The covariance of all the data, unbiased, in the shape of one component's."""
    moments, total = source.moments(matrix=family.is_matrix), source.total_weight
    one = moments.covariances(1, family)
    one = one if family.is_shared else one[0]
    # Weights that sum to about 1 are proportions, and no multiplicities.
    return np.asarray(one * (total / (total - 1) if total >= 2 else 1.0))


def _definite_covariance_of_data(source: Source, family: Family) -> FloatArray:
    """The same, without off-diagonal elements where the data have no extent in some direction.

    Diagonal types have the mean of the variances for each feature.
    """
    whole = covariance_of_data(source, family)
    if not family.is_matrix:
        return np.full(whole.shape, whole.mean())
    if source.moments(matrix=True).extension.shape[1] < source.n_features:
        variances = np.diagonal(whole)
        return np.diag(np.maximum(variances, PART_OF_CONSTANT * variances.mean()))
    return whole


def _checked(
    covariance: ArrayLike,
    argument: str,
    covariance_type: str,
    n_features: int,
    *,
    shape_of: str,
    called: str,
) -> FloatArray:
    """Covariance of one component, positive or positive definite."""
    family = family_of(covariance_type)
    axes = family.axes if family.is_shared else family.axes[1:]
    matrix = check_shaped(covariance, argument, shape_of, (n_features,) * len(axes))
    if family.is_matrix and not are_definite(matrix):
        raise ValueError(
            f"'{called}' should be symmetric, positive-definite. Pass a covariance matrix as "
            f"{argument}."
        )
    if not family.is_matrix and np.any(matrix <= 0.0):
        raise ValueError(f"'{called}' should be positive. Pass variances as {argument}.")
    return matrix
