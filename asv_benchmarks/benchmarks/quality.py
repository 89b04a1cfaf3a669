"""Where default fits arrive, from where, and in how many iterations. No clock, hence no noise.

What is tracked is found in one process; the others read it.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from statistics import mean

import numpy as np

from .common import TINY, Case, parameters_of

SEEDS = range(1 if TINY else 3)
FOUND = Path("quality.json")  # in the folder that asv makes for a setup and what follows it


def iris() -> tuple[np.ndarray, int]:
    """Points, and the number of components to fit: one for each species."""
    from sklearn.datasets import load_iris

    return load_iris().data, 3


def wine() -> tuple[np.ndarray, int]:
    """Thirteen features of very different scales, standardized."""
    from sklearn.datasets import load_wine

    X = load_wine().data
    return (X - X.mean(axis=0)) / X.std(axis=0), 3


def digits() -> tuple[np.ndarray, int]:
    """Small pictures by their sixteen principal components."""
    from sklearn.datasets import load_digits
    from sklearn.decomposition import PCA

    return PCA(16, svd_solver="full").fit_transform(load_digits().data), 10


def clusters() -> tuple[np.ndarray, int]:
    """A mixture whose components overlap."""
    return Case("full", "float64", 5_000, 8, 8).make().X, 8


DATA = {make.__name__: make for make in (iris, wine, digits, clusters)}


@cache
def results(name: str) -> dict[str, float]:
    """Means over the seeds, so that another rounding somewhere does not look like a loss."""
    from fastgmm import GaussianMixture, reference

    from .fit import fit

    X, K = DATA[name]()
    models = [fit(GaussianMixture(K, random_state=s, fit_history=True), X) for s in SEEDS]
    for model in models:
        p, likelihoods = model.fit_history_[0], (model.lower_bounds_[0], model.log_likelihood_)
        assert likelihoods[1] > likelihoods[0], "EM makes the data more likely"
        start = p.weights, p.means, p.precisions_cholesky, p.covariance_type
        for parameters, found in zip((start, parameters_of(model)), likelihoods, strict=True):
            assert abs(np.mean(reference.log_density(X, *parameters)) - found) < 1e-6
    return {
        "loss": -mean(model.log_likelihood_ for model in models),
        "loss of start": -mean(model.lower_bounds_[0] for model in models),
        "iterations": mean(model.n_iter_ for model in models),
    }


class Quality:
    """Mean negative log-likelihoods, because asv takes less for better; all are above 0."""

    params = (list(DATA),)
    param_names = ("data",)

    def setup_cache(self):
        FOUND.write_text(json.dumps({name: results(name) for name in DATA}))

    def setup(self, name):
        self.found = json.loads(FOUND.read_text())[name]

    def track_loss(self, name):
        assert self.found["loss"] < self.found["loss of start"]
        return self.found["loss"]

    def track_loss_of_start(self, name):
        assert self.found["loss of start"] > self.found["loss"]
        return self.found["loss of start"]

    def track_iterations(self, name):
        assert self.found["iterations"] >= 2, "the first iteration alone cannot have converged"
        return self.found["iterations"]

    track_loss.unit = track_loss_of_start.unit = "nats per point"
    track_iterations.unit = "iterations"
