"""Small problems: what iterations, predictions and whole fits take when there is little to compute.

The jobs are those of packages that fit many small mixtures: a mixture for each class, naive Bayes,
a search over the number of components.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Peer

from fastgmm import GaussianMixture, reference, select_mixture

from .common import TINY, Case, parameters_of, ratio
from .fit import fit, unfitted_model

FEW = 64  # points, so that nearly all of an iteration is overhead
IRIS = load_iris().data
SECONDS = 0.0 if TINY else 0.5


@lru_cache(maxsize=1)
def _started_model(covariance_type: str, d: int, K: int) -> tuple[GaussianMixture, np.ndarray]:
    case = Case(covariance_type, "float64", FEW, d, K)
    problem = case.make()
    model = unfitted_model(case, problem.mixture, max_iter=2 if TINY else 100)
    model.set_params(reg_covar=1e-2)
    fit(model, problem.X)
    log_densities = reference.log_density(problem.X, *parameters_of(model))
    assert abs(np.mean(log_densities) / model.log_likelihood_ - 1) < 1e-6
    return model, problem.X


class Iteration:
    """A hundred iterations on 64 points, from a given start."""

    params = (["full", "tied", "diag", "spherical"], [1, 8, 16, 32], [1, 8])
    param_names = ("covariance_type", "d", "K")

    def setup(self, covariance_type, d, K):
        self.model, self.X = _started_model(covariance_type, d, K)

    def time_hundred_iterations(self, covariance_type, d, K):
        model = fit(self.model, self.X)
        assert model.n_iter_ == model.max_iter


class Maximization:
    """Fifty iterations whose maximization is more than a few lines, on iris."""

    ways = {  # noqa: RUF012  # asv reads classes, not instances
        "shapes in common": {"covariance_type": "VEV"},
        "axes in common": {"covariance_type": "VVE"},
        "prior": {"prior": "conjugate"},
        "shrinkage": {"shrinkage": "oas"},
    }
    params = (list(ways),)
    param_names = ("way",)

    def setup(self, way):
        options = {"tol": 0.0, "max_iter": 50, "random_state": 0, **self.ways[way]}
        self.model = GaussianMixture(3, **options)

    def time_fifty_iterations(self, way):
        model = fit(self.model, IRIS)
        log_densities = reference.log_density(
            IRIS, model.weights_, model.means_, model.precisions_cholesky_, "full"
        )
        assert abs(np.mean(log_densities) / model.log_likelihood_ - 1) < 1e-6


class Selecting:
    """Numbers of components and covariance types of a small table, by BIC."""

    def time_select(self):
        selection = select_mixture(IRIS, range(1, 3 if TINY else 10), n_init=3, random_state=0)
        assert abs(selection.table.value.min() / selection.best_model_.bic(IRIS) - 1) < 1e-9


class Columns:
    """Variational Bayes of single columns, as generators of synthetic tables fit them."""

    params = ([1_000, 10_000],)
    param_names = ("n",)

    def setup(self, n):
        from fastgmm import BayesianGaussianMixture  # earlier commits have all but this

        self.mixture = BayesianGaussianMixture(
            n_components=10, weight_concentration_prior=1e-3, random_state=0, tol=0.0,
            max_iter=10 if TINY else 100,
        )  # fmt: skip
        self.X = np.random.default_rng(0).normal(size=(n, 1)) + 3 * (np.arange(n) % 3)[:, None]

    def time_fit(self, n):
        mixture = self.mixture
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            mixture.fit(self.X)
        p = mixture._of_density()
        log_densities = reference.log_density(
            self.X, np.ones(10), p.means, p.precisions_cholesky, "full", p.log_constants
        )
        assert abs(np.mean(log_densities) / mixture.log_likelihood_ - 1) < 1e-6


# --- jobs, for any class of mixtures: they return mean log-likelihoods or criteria ------------
def _classes(n_classes: int, n: int, d: int) -> list[np.ndarray]:
    random = np.random.default_rng(0)
    return [random.normal(c, 1.0, (n, d)) for c in range(n_classes)]


def classifier(mixture: type[Any]) -> list[float]:
    """Fit one mixture of two components to each of ten classes of 100 samples."""
    models = [mixture(2, covariance_type="diag", random_state=0) for _ in TEN_CLASSES]
    return [model.fit(X).score(X) for model, X in zip(models, TEN_CLASSES, strict=True)]


def naive_bayes(mixture: type[Any]) -> list[float]:
    """Fit one component to each of two classes of 200 samples."""
    return [mixture(1, random_state=0).fit(X).score(X) for X in TWO_CLASSES]


def search(mixture: type[Any]) -> list[float]:
    """Fit one to five components to iris, and compare their BIC."""
    return [mixture(K, random_state=0).fit(IRIS).bic(IRIS) for K in range(1, 6)]


def iris(mixture: type[Any]) -> list[float]:
    """Fit three components by the defaults."""
    return [mixture(3, random_state=0).fit(IRIS).score(IRIS)]


def hundred_iterations(mixture: type[Any]) -> list[float]:
    """Climb for a hundred iterations from a given start."""
    start = {"means_init": IRIS[[10, 60, 110]], "precisions_init": [np.eye(4)] * 3}
    model = mixture(3, tol=0.0, weights_init=np.full(3, 1 / 3), max_iter=100, **start)
    return [model.fit(IRIS).score(IRIS)]


TEN_CLASSES, TWO_CLASSES = _classes(10, 100, 64), _classes(2, 200, 2)
JOBS: dict[str, Callable[[type[Any]], list[float]]] = {
    job.__name__: job for job in (classifier, naive_bayes, search, iris, hundred_iterations)
}


def _done(name: str, mixture: type[Any]) -> list[float]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return JOBS[name](mixture)


@lru_cache(maxsize=1)
def _check(name: str) -> None:
    theirs, ours = (_done(name, mixture) for mixture in CLASSES)
    assert np.allclose(ours, theirs, rtol=1e-6)


class Job:
    """Each job, and its time as a share of scikit-learn's."""

    params = (list(JOBS),)
    param_names = ("job",)
    unit = "of scikit-learn's time"

    def setup(self, name):
        _check(name)

    def time_job(self, name):
        _done(name, GaussianMixture)

    def track_share(self, name):
        calls = [lambda mixture=mixture: _done(name, mixture) for mixture in CLASSES]
        return 1 / ratio(*calls, SECONDS)


CLASSES = (Peer, GaussianMixture)


@lru_cache(maxsize=1)
def _fitted() -> tuple[Any, Any]:
    peer, ours = (mixture(3, random_state=0).fit(IRIS) for mixture in CLASSES)
    assert np.allclose(ours.predict_proba(IRIS), peer.predict_proba(IRIS), atol=1e-6)
    return peer, ours


class OneRow:
    """The prediction of one row, and its time as a share of scikit-learn's."""

    params = (["predict", "predict_proba", "score_samples", "score"],)
    param_names = ("method",)
    unit = "of scikit-learn's time"

    def setup(self, name):
        self.calls = [getattr(model, name) for model in _fitted()]

    def time_method(self, name):
        self.calls[1](IRIS[:1])

    def track_share(self, name):
        calls = [lambda call=call: call(IRIS[:1]) for call in self.calls]
        return 1 / ratio(*calls, SECONDS)
