"""Whole fits through the estimator, from a fixed start for a fixed number of iterations."""

from __future__ import annotations

import warnings
from functools import lru_cache

import numpy as np
from sklearn.exceptions import ConvergenceWarning

from fastgmm import GaussianMixture

from .common import ITERATIONS, Case, case_names, prepared_problem


def unfitted_model(case: Case, mixture: tuple, max_iter: int = ITERATIONS) -> GaussianMixture:
    """Return a mixture that starts from the given parameters and never converges."""
    weights, means, factors = mixture
    matrix = case.covariance_type in ("full", "tied")
    return GaussianMixture(
        case.K,
        covariance_type=case.covariance_type,
        weights_init=weights / weights.sum(),
        means_init=means,
        precisions_init=factors @ factors.swapaxes(-1, -2) if matrix else factors**2,
        max_iter=max_iter,
        tol=0.0,
    )


def fit(model: GaussianMixture, X: np.ndarray) -> GaussianMixture:
    """Fit without the warning that the iterations were too few: that is meant."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X)


@lru_cache(maxsize=1)
def _compiled_fit(name: str) -> tuple[GaussianMixture, np.ndarray]:
    case, problem = prepared_problem(name)
    model = unfitted_model(case, problem.mixture)
    fit(model, problem.X)
    assert model.lower_bounds_[-1] > model.lower_bounds_[0], "EM makes the data more likely"
    return model, problem.X


class Fit:
    """Ten iterations from parameters near the true ones: every shape, and every type once."""

    params = (list(dict.fromkeys(case_names(covariance_type="full") + case_names(d=16))),)
    param_names = ("case",)

    def setup(self, name):
        self.model, self.X = _compiled_fit(name)

    def time_fit(self, name):
        assert fit(self.model, self.X).n_iter_ == ITERATIONS


class SmallFit:
    """A hundred fits of iris's size: what the host's code around the pass costs."""

    def setup(self):
        self.case = Case("full", "float64", 150, 4, 3)
        self.problem = self.case.make()
        self.model = unfitted_model(self.case, self.problem.mixture)
        fit(self.model, self.problem.X)
        assert self.model.lower_bounds_[-1] > self.model.lower_bounds_[0]

    def time_hundred_fits(self):
        for _ in range(1 if ITERATIONS == 2 else 100):
            assert fit(self.model, self.problem.X).n_iter_ == ITERATIONS


class FamilyFit:
    """Families that share the pass of another, beside a fit of that one."""

    params = (["diag", "tied_diag", "spherical", "tied_spherical"],)
    param_names = ("covariance_type",)

    def setup(self, covariance_type):
        case = Case(covariance_type.removeprefix("tied_"), "float64", 20_000, 16, 8)
        self.X = case.make().X
        self.model = GaussianMixture(
            case.K, covariance_type=covariance_type, max_iter=ITERATIONS, tol=0.0, random_state=0
        )
        fit(self.model, self.X)
        assert self.model.lower_bounds_[-1] > self.model.lower_bounds_[0]

    def time_fit(self, covariance_type):
        assert fit(self.model, self.X).n_iter_ == ITERATIONS
