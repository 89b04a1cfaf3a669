"""Finding the start: every `init_params`, and `init_whiten`, with no iteration of EM after it.

And whole fits to more rows than `init_size`, where the start is to save the fit iterations.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from fastgmm import GaussianMixture, reference

from .common import TINY, Case, parameters_of
from .fit import fit

CASE = Case("full", "float64", 200 if TINY else 20_000, 8, 8)

STARTS = {
    "kmeans": {},
    "kmeans, whitened": {"init_whiten": True},
    "k-means++": {"init_params": "k-means++"},
    "k-means++, whitened": {"init_params": "k-means++", "init_whiten": True},
    "random": {"init_params": "random"},
    "random_from_data": {"init_params": "random_from_data"},
    "random_means": {"init_params": "random_means"},
    "hierarchical": {"init_params": "hierarchical"},
}


@lru_cache(maxsize=1)
def _compiled_start(name: str) -> tuple[GaussianMixture, np.ndarray]:
    model, X = GaussianMixture(CASE.K, max_iter=0, random_state=0, **STARTS[name]), CASE.make().X
    fit(model, X)
    between = (model.means_ >= X.min(axis=0)) & (model.means_ <= X.max(axis=0))
    assert np.all(between), "means of points lie among them"
    log_densities = reference.log_density(X, *parameters_of(model))
    assert abs(np.mean(log_densities) / model.log_likelihood_ - 1) < 1e-6
    return model, X


class Start:
    """A fit of no iteration to 20,000 points of 8 features, of which the start sees all."""

    params = (list(STARTS),)
    param_names = ("start",)

    def setup(self, name):
        self.model, self.X = _compiled_start(name)

    def time_start(self, name):
        model = fit(self.model, self.X)
        assert model.n_iter_ == 0
        assert np.isfinite(model.log_likelihood_)


@lru_cache(maxsize=1)
def _compiled_fit_to_many_rows(K: int) -> tuple[GaussianMixture, np.ndarray]:
    case = Case("full", "float64", 200 if TINY else 50_000, 15, K)
    model = GaussianMixture(K, random_state=0, init_size=100 if TINY else 20_000)
    X = case.make().X
    fit(model, X)
    found = np.mean(reference.log_density(X, *parameters_of(model)))
    assert abs(found / model.log_likelihood_ - 1) < 1e-6
    return model, X


class StartAndFit:
    """A default fit to 50,000 points of 15 features, from its start to its end."""

    params = ([2] if TINY else [20, 50],)
    param_names = ("K",)

    def setup(self, K):
        self.model, self.X = _compiled_fit_to_many_rows(K)

    def time_start_and_fit(self, K):
        model = fit(self.model, self.X)
        assert model.n_iter_ > 0
        assert np.isfinite(model.log_likelihood_)


@lru_cache(maxsize=1)
def _compiled_fit_to_the_end(growing: bool) -> tuple[GaussianMixture, np.ndarray]:
    X = Case("full", "float32", *((2000, 2, 2) if TINY else (1_000_000, 8, 16))).make().X
    options = {"growing_samples": growing, "init_size": 100 if TINY else 20_000}
    model = GaussianMixture(2 if TINY else 16, tol=1e-5, max_iter=1000, random_state=0, **options)
    fit(model, X)
    found = np.mean(reference.log_density(X[:20_000], *parameters_of(model)))
    assert abs(found / model.log_likelihood_ - 1) < (1e-4 if TINY else 1e-2)
    return model, X


class FitToTheEnd:
    """A fit of 1,000,000 points of 8 features with a small `tol`, over all of them or samples."""

    params = ([False, True],)
    param_names = ("growing_samples",)

    def setup(self, growing_samples):
        self.model, self.X = _compiled_fit_to_the_end(growing_samples)

    def time_fit_to_the_end(self, growing_samples):
        model = fit(self.model, self.X)
        assert model.n_iter_ > 0
        assert np.isfinite(model.log_likelihood_)
