"""Checks of what users give as priors."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fastgmm._records import FloatArray
from fastgmm.estimator.validation import are_definite, check_shaped
from fastgmm.model.families import family_of


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
    family = family_of(covariance_type)
    name = f"{covariance_type} covariance_prior"
    axes = family.axes if family.is_shared else family.axes[1:]
    matrix = check_shaped(covariance, "covariance_prior", name, (d,) * len(axes))
    if family.is_matrix and not are_definite(matrix):
        raise ValueError(
            f"'{covariance_type} precision' should be symmetric, positive-definite. Pass a "
            "covariance matrix as covariance_prior."
        )
    if not family.is_matrix and np.any(matrix <= 0.0):
        raise ValueError(
            f"'{covariance_type} precision' should be positive. Pass variances as covariance_prior."
        )
    return means, freedom, matrix
