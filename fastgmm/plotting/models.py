"""Fitted mixtures as pictures need them, and the refusal of what cannot be drawn."""

from __future__ import annotations

from collections.abc import Sequence
from operator import index
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from sklearn.exceptions import NotFittedError

from fastgmm import reference
from fastgmm._records import FloatArray, Parameters
from fastgmm.estimator.given import check_parameters
from fastgmm.estimator.validation import check_predict_data
from fastgmm.model.families import family_of

BLOCK = 20_000  # points whose densities are computed at a time, so that memory is no matter


class View(NamedTuple):
    """A mixture as it is seen in some of its features: its exact marginal."""

    features: list[int]  # their columns
    names: list[str]
    weights: FloatArray  # (K,)
    means: FloatArray  # (K, m) in these m features
    covariances: FloatArray  # (K, m, m)

    @property
    def n_components(self) -> int:
        """Number of components K."""
        return len(self.weights)

    def component_densities(self, points: FloatArray) -> FloatArray:
        """πₖ N(xᵢ; μₖ, Σₖ), (n, K)."""
        logarithms = reference.log_gaussian_density(points, self.means, self._factors(), "full")
        return np.exp(logarithms) * self.weights

    def log_density(self, points: FloatArray) -> FloatArray:
        """Logarithm of the mixture's density, (n,)."""
        mixture = self.weights, self.means, self._factors()
        blocks = np.array_split(points, 1 + len(points) // BLOCK)
        return np.concatenate([reference.log_density(one, *mixture, "full") for one in blocks])

    def lower_factors(self) -> FloatArray:
        """L of Σ = L Lᵀ, (K, m, m)."""
        try:
            return np.linalg.cholesky(self.covariances)
        except np.linalg.LinAlgError as error:
            raise ValueError(
                "What can be drawn is the density of a mixture whose covariances are positive "
                "definite, and a component of this one has collapsed."
            ) from error

    def _factors(self) -> FloatArray:
        """U of Σ⁻¹ = U Uᵀ."""
        return np.linalg.inv(self.lower_factors()).swapaxes(-2, -1)


def fitted_parameters(model: Any) -> Parameters:
    """Return the weights, the means and the covariances of a fitted mixture, by any class."""
    if not hasattr(model, "covariance_type"):
        raise TypeError(
            f"What can be drawn is a fitted GaussianMixture, fastgmm's or scikit-learn's, not "
            f"{type(model).__name__}."
        )
    arrays: Any = [getattr(model, name, None) for name in ("weights_", "means_", "covariances_")]
    if any(array is None for array in arrays):
        raise NotFittedError(
            f"What can be drawn is a fitted mixture, and this {type(model).__name__} is not fitted "
            "yet; call fit, or make it with GaussianMixture.from_parameters."
        )
    weights, means, covariances = arrays
    checked = check_parameters(
        weights, means, covariances, model.covariance_type, third="covariances_"
    )
    weights, means, covariances = (np.asarray(array, np.float64) for array in checked)
    return Parameters(weights, means, covariances, covariances, model.covariance_type)


def view(
    model: Any, features: Sequence[int | str] | None, n_features: int | None, what: str
) -> View:
    """Look at a mixture in these features, of which `what` draws so many, or any number."""
    p = fitted_parameters(model)
    names = feature_names(model, p.means.shape[1])
    return marginal(p, chosen(names, features, n_features, what), names)


def marginal(p: Parameters, features: list[int], names: list[str]) -> View:
    """The same components in fewer features: parts of the means and of the covariances."""
    family = family_of(p.covariance_type)
    covariances = p.covariances
    if family.is_matrix:
        covariances = covariances[..., np.array(features)[:, None], features]
    elif "d" in family.axes:
        covariances = np.take(covariances, features, axis=family.axes.index("d"))
    means = np.asarray(p.means, np.float64)[:, features]
    dense = np.asarray(family.dense(covariances, *means.shape), np.float64)
    weights = np.asarray(p.weights, np.float64)
    return View(features, [names[j] for j in features], weights, means, dense)


def feature_names(model: Any, n_features: int) -> list[str]:
    """Return the names of the columns of the data frame, or numbers."""
    names = getattr(model, "feature_names_in_", None)
    if names is None or len(names) != n_features:
        return [f"feature {j}" for j in range(n_features)]
    return [str(name) for name in names]


def chosen(
    names: list[str],
    features: Sequence[int | str] | None,
    n_features: int | None,
    what: str,
) -> list[int]:
    """Return the columns of features that are given by numbers or names, or of all."""
    d = len(names)
    several = {1: "one feature", 2: "two features"}.get(n_features or 0, "features")
    if features is None:
        if n_features not in (None, d):
            if n_features == 2 and d == 1:
                remedy = "plot_histogram() draws one"
            elif n_features == 2:
                remedy = "choose two by number or name, features=(0, 1), or see plot_pairs()"
            else:
                remedy = "choose one by number or name, feature=0"
            raise ValueError(f"{what} draws {several}, and the model has {d}; {remedy}.")
        return list(range(d))
    given = [features] if isinstance(features, str) or np.ndim(features) == 0 else list(features)
    columns = [_column(feature, names, what) for feature in given]
    if n_features not in (None, len(columns)) or len(set(columns)) < max(len(columns), 1):
        raise ValueError(f"{what} draws {several}, each different, not {features!r}.")
    return columns


def _column(feature: Any, names: list[str], what: str) -> int:
    if isinstance(feature, str) and feature in names:
        return names.index(feature)
    try:
        column = index(feature)
    except TypeError:
        column = -1
    if not 0 <= column < len(names):
        shown = ", ".join(names) if len(names) <= 10 else f"{names[0]} to {names[-1]}"
        raise ValueError(
            f"{what} draws features of the model by number, from 0 to {len(names) - 1}, or by "
            f"name ({shown}), not {feature!r}."
        )
    return column


def checked_points(model: Any, X: ArrayLike) -> FloatArray:
    """Return X as an array of floats (n, d), with the features of the model."""
    n_features, shape = np.shape(model.means_)[1], np.shape(X)
    if len(shape) != 2 or shape[1] != n_features:
        raise ValueError(
            f"X should have a row for each point and the model's {n_features} features as columns, "
            f"but has shape {shape}."
        )
    return check_predict_data(model, X, n_features)
