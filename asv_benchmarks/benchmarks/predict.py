"""Looking at points with a fitted mixture, through the estimator."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from fastgmm import GaussianMixture, reference

from .common import MIDDLE, assert_agree, parameters_of, prepared_problem
from .fit import fit, unfitted_model

# Method to the function of the contract that it is.
METHODS = {
    "predict": reference.assign,
    "predict_proba": reference.responsibilities,
    "score_samples": reference.log_density,
}


@lru_cache(maxsize=1)
def _fitted_model(name: str) -> tuple[GaussianMixture, np.ndarray]:
    case, problem = prepared_problem(name)
    return fit(unfitted_model(case, problem.mixture, max_iter=1), problem.X[:5000]), problem.X


class Predict:
    """The three methods that look at every point once, on middle shapes."""

    params = (list(METHODS), MIDDLE)
    param_names = ("method", "case")

    def setup(self, method, name):
        model, X = _fitted_model(name)
        self.call, self.X = getattr(model, method), X
        expected = METHODS[method](X[:200], *parameters_of(model))
        assert_agree(self.call(X[:200]), expected, "float64")
        self.shape = (len(X), *expected.shape[1:])

    def time_method(self, method, name):
        assert self.call(self.X).shape == self.shape
