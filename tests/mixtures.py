"""Mixtures of given parameters, of every family."""

from __future__ import annotations

import numpy as np
import pytest

from fastgmm import GaussianMixture
from fastgmm.model.families import FAMILIES, family_of

each_family = pytest.mark.parametrize("covariance_type", list(FAMILIES))


def mixture_of(covariance_type, n_components=3, d=4, seed=0, offset=0.0):
    """A mixture whose features depend on each other as far as its family allows."""
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(n_components, d, d))
    family = family_of(covariance_type)
    covariances = A @ A.swapaxes(1, 2) + 0.1 * np.eye(d)
    if not family.is_matrix:
        covariances = np.diagonal(covariances, axis1=1, axis2=2)
    if "d" not in family.axes:
        covariances = covariances.mean(axis=-1)
    if family.is_shared:
        covariances = covariances.mean(axis=0)
    weights = rng.dirichlet(np.full(n_components, 3.0))
    means = rng.normal(size=(n_components, d)) + offset
    return GaussianMixture.from_parameters(weights, means, covariances, covariance_type)
