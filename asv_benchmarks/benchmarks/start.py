"""Finding the start: every `init_params`, and `init_whiten`, with no iteration of EM after it."""

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
