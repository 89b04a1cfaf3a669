"""Looking at points with a fitted mixture, through the estimator."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from fastgmm import GaussianMixture

from .common import case_names, prepared_problem
from .fit import fit, unfitted_model

# Method to the shape of its result, per point.
SHAPES = {
    "predict": lambda n, K: (n,),
    "predict_proba": lambda n, K: (n, K),
    "score_samples": lambda n, K: (n,),
}


@lru_cache(maxsize=1)
def _fitted_model(name: str) -> tuple[GaussianMixture, np.ndarray]:
    case, problem = prepared_problem(name)
    return fit(unfitted_model(case, problem.mixture, max_iter=1), problem.X[:5000]), problem.X


class Predict:
    """The three methods that look at every point once."""

    params = (list(SHAPES), case_names(dtype="float64"))
    param_names = ("method", "case")

    def setup(self, method, name):
        model, X = _fitted_model(name)
        self.call, self.X = getattr(model, method), X
        self.shape = SHAPES[method](len(X), model.n_components)
        assert np.all(np.isfinite(self.call(X[:200])))

    def time_method(self, method, name):
        assert self.call(self.X).shape == self.shape
