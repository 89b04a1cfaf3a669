"""Idioms of public code, each run with scikit-learn's class and with ours: the same answers."""

from __future__ import annotations

import copy
import io
import pickle
import warnings

import joblib
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from problems import COVARIANCE_TYPES, fixed_start, load
from sklearn.base import BaseEstimator, clone
from sklearn.ensemble import VotingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Peer
from sklearn.mixture._base import BaseMixture
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from fastgmm import GaussianMixture

X, K = load("iris")
D = X.shape[1]
WEIGHTS = np.array([0.5, 0.2, 0.3])
MEANS = X[[10, 70, 120]]
BASE = np.stack([np.cov(X[i : i + 50].T) for i in (0, 50, 100)])
GIVEN = {
    "full": BASE,
    "tied": BASE.mean(axis=0),
    "diag": np.einsum("kii->ki", BASE),
    "spherical": np.einsum("kii->k", BASE) / D,
}
IDIOMS = {}


def idiom(function):
    IDIOMS[function.__name__] = function
    return function


def answers(model, data=X):
    """What a mixture says of data."""
    return (
        model.predict(data),
        model.predict_proba(data),
        model.score_samples(data),
        [model.score(data), model.bic(data), model.aic(data)],
    )


def precisions_of(covariances, covariance_type):
    return np.linalg.inv(covariances) if covariance_type in ("full", "tied") else 1 / covariances


def by_hand(G, covariance_type="full", dtype=np.float64, factor=np.linalg.cholesky):
    """The attributes set on an object that was never fitted, with a lower factor."""
    model = G(n_components=K, covariance_type=covariance_type)
    precisions = precisions_of(GIVEN[covariance_type], covariance_type)
    model.weights_, model.means_ = WEIGHTS.astype(dtype), MEANS.astype(dtype)
    model.covariances_ = GIVEN[covariance_type].astype(dtype)
    model.precisions_ = precisions.astype(dtype)
    is_matrix = covariance_type in ("full", "tied")
    model.precisions_cholesky_ = (factor if is_matrix else np.sqrt)(precisions).astype(dtype)
    return model


# --- built by hand ---------------------------------------------------------------------------
for _type in COVARIANCE_TYPES:

    def _lower(G, covariance_type=_type):
        return answers(by_hand(G, covariance_type))

    def _in_fortran_order(G, covariance_type=_type):
        model = by_hand(G, covariance_type)
        for name in ("means_", "covariances_", "precisions_cholesky_"):
            setattr(model, name, np.asfortranarray(getattr(model, name)))
        return answers(model)

    def _strided(G, covariance_type=_type):
        model = by_hand(G, covariance_type)
        model.means_ = np.repeat(model.means_, 2, axis=0)[::2]
        model.precisions_cholesky_ = np.repeat(model.precisions_cholesky_, 2, axis=0)[::2]
        return answers(model)

    def _samples(G, covariance_type=_type):
        model = by_hand(G, covariance_type).set_params(random_state=3)
        return model.sample(40)

    def _samples_without_factors(G, covariance_type=_type):
        model = by_hand(G, covariance_type).set_params(random_state=3)
        del model.precisions_cholesky_, model.precisions_
        return model.sample(40)

    def _without_covariances(G, covariance_type=_type):
        model = by_hand(G, covariance_type)
        del model.covariances_
        return answers(model)

    def _private_names(G, covariance_type=_type):
        model = G(K, covariance_type=covariance_type, random_state=0).fit(X)
        log_density, log_resp = model._estimate_log_prob_resp(X)
        mean, also = model._e_step(X)
        return (
            model._estimate_log_prob(X),
            model._estimate_weighted_log_prob(X),
            model._estimate_log_weights(),
            log_density,
            log_resp,
            mean,
            also,
            model._n_parameters(),
            *model._get_parameters(),
        )

    def _own_loop(G, covariance_type=_type):
        model = G(K, covariance_type=covariance_type, random_state=0)
        model._check_parameters(X)
        model._initialize_parameters(X, np.random.RandomState(0))
        bounds = []
        for _ in range(7):
            log_density, log_resp = model._e_step(X)
            model._m_step(X, log_resp)
            bounds.append(model._compute_lower_bound(log_resp, log_density))
        model._set_parameters(model._get_parameters())
        return bounds, model.precisions_, *answers(model)

    def _initialized_from_labels(G, covariance_type=_type):
        model = G(K, covariance_type=covariance_type)
        model._initialize(X, np.eye(K)[np.repeat([0, 1, 2], 50)])
        model._set_parameters(model._get_parameters())
        return *model._get_parameters(), model.precisions_, model.predict_proba(X)

    def _parameters_moved(G, covariance_type=_type):
        source = G(K, covariance_type=covariance_type, random_state=0).fit(X)
        model = G(K, covariance_type=covariance_type)
        model._set_parameters(copy.deepcopy(source._get_parameters()))
        return model.precisions_, *answers(model)

    def _reordered(G, covariance_type=_type):
        model = G(K, covariance_type=covariance_type, random_state=0).fit(X)
        order = np.argsort(model.means_[:, 0])
        names = ["weights_", "means_"]
        if covariance_type != "tied":
            names += ["covariances_", "precisions_", "precisions_cholesky_"]
        for name in names:
            setattr(model, name, getattr(model, name)[order])
        return answers(model)

    def _responsibilities_that_sum_to_less(G, covariance_type=_type):
        class Trimmed(G):
            def _m_step(self, X, log_resp, xp=None):
                super()._m_step(X, log_resp + np.where(np.arange(len(X)) % 5, 0, -1)[:, None])

        return answers(fitted(Trimmed, covariance_type=covariance_type))

    def _pasted_dict(G, covariance_type=_type):
        model = G.__new__(G)
        model.__dict__ = Peer(K, covariance_type=covariance_type, random_state=0).fit(X).__dict__
        return *answers(model), *model.sample(5), answers(model.fit(X))[1]

    for _function in (
        *(_lower, _in_fortran_order, _strided, _samples, _samples_without_factors),
        *(_without_covariances, _private_names, _own_loop, _initialized_from_labels),
        *(_parameters_moved, _reordered, _responsibilities_that_sum_to_less, _pasted_dict),
    ):
        IDIOMS[f"{_function.__name__[1:]}, {_type}"] = _function

# scikit-learn's bic and aic want no covariances, its samples do; ours are the same with either.


@idiom
def factors_by_inverting_cholesky(G):
    factors = [np.linalg.inv(np.linalg.cholesky(c)).T for c in BASE]
    return answers(by_hand(G, factor=lambda precisions: np.array(factors)))


@idiom
def factors_that_are_diagonal_matrices(G):
    root = np.stack([np.diag(1 / np.sqrt(np.diag(c))) for c in BASE])
    model = by_hand(G, factor=lambda precisions: root)
    model.covariances_ = np.stack([np.diag(np.diag(c)) for c in BASE])
    return answers(model)


@idiom
def lower_and_upper_factors_mixed(G):
    lower = np.linalg.cholesky(np.linalg.inv(BASE))
    lower[1] = np.linalg.inv(np.linalg.cholesky(BASE[1])).T
    return answers(by_hand(G, factor=lambda precisions: lower))


@idiom
def a_lower_factor_of_another_module_s_compute(G):
    from sklearn.mixture._gaussian_mixture import _compute_precision_cholesky

    return answers(by_hand(G, factor=lambda p: _compute_precision_cholesky(BASE, "full")))


@idiom
def one_dimension(G):
    model = G(2)
    model.weights_, model.means_ = np.array([0.3, 0.7]), np.array([[5.0], [6.0]])
    model.covariances_ = np.array([[[0.1]], [[0.4]]])
    model.precisions_cholesky_ = np.linalg.cholesky(np.linalg.inv(model.covariances_))
    return answers(model, X[:, :1])


@idiom
def integer_attributes(G):
    model = G(2, covariance_type="spherical")
    model.weights_, model.means_ = np.array([0.5, 0.5]), np.array([[5, 3, 1, 0], [6, 3, 5, 2]])
    model.covariances_ = model.precisions_cholesky_ = np.array([1, 1])
    return answers(model)


@idiom
def float32_by_hand(G):
    return answers(by_hand(G, dtype=np.float32), X.astype(np.float32))[:2]


@idiom
def float32_attributes_float64_data(G):
    return answers(by_hand(G, dtype=np.float32))[:2]


@idiom
def frame_to_a_mixture_by_hand(G):
    return answers(by_hand(G), pd.DataFrame(X, columns=list("abcd")))[:3]


@idiom
def arrays_through_npz(G):
    fitted_, stream = G(K, random_state=0).fit(X), io.BytesIO()
    np.savez(stream, w=fitted_.weights_, m=fitted_.means_, c=fitted_.covariances_)
    stream.seek(0)
    arrays = np.load(stream)
    model = G(K)
    model.weights_, model.means_, model.covariances_ = (arrays[name] for name in "wmc")
    model.precisions_cholesky_ = np.linalg.cholesky(np.linalg.inv(model.covariances_))
    return answers(model)


@idiom
def all_initial_values_and_no_iterations(G):
    model = G(K, max_iter=1, tol=1e9, **fixed_start(X, K, "full"))
    return answers(model.fit(X))


@idiom
def attributes_by_setattr_of_fitted(G):
    source = G(K, random_state=0).fit(X)
    model = G(K)
    for name, value in vars(source).items():
        if name.endswith("_"):
            setattr(model, name, value)
    return answers(model)


# --- subclasses ------------------------------------------------------------------------------
def fitted(cls, data=X, **options):
    return cls(K, random_state=0, **options).fit(data)


def state(model, data=X):
    return (
        model.n_iter_,
        model.converged_,
        model.lower_bound_,
        model.lower_bounds_,
        model.weights_,
        model.means_,
        model.covariances_,
        model.precisions_,
        *answers(model, data),
    )


@idiom
def means_held_fixed(G):
    class Fixed(G):
        def _m_step(self, X, log_resp, xp=None):
            super()._m_step(X, log_resp, xp=xp)
            self.means_ = MEANS

    return state(fitted(Fixed, means_init=MEANS))


@idiom
def unit_variances(G):
    class Unit(G):
        def _m_step(self, X, log_resp, xp=None):
            super()._m_step(X, log_resp)
            self.covariances_ = np.ones_like(self.covariances_)
            self.precisions_cholesky_ = np.ones_like(self.precisions_cholesky_)

    return state(fitted(Unit, covariance_type="diag"))


@idiom
def equal_weights(G):
    class Equal(G):
        def _m_step(self, X, log_resp, xp=None):
            super()._m_step(X, log_resp, xp)
            self.weights_ = np.full(self.n_components, 1 / self.n_components)

    return *state(fitted(Equal)), fitted(Equal).fit_predict(X)


@idiom
def an_m_step_of_its_own(G):
    class Own(G):
        def _m_step(self, X, log_resp, **unused):
            resp = np.exp(log_resp)
            counts = resp.sum(axis=0)
            self.weights_ = counts / counts.sum()
            self.means_ = resp.T @ X / counts[:, None]
            self.covariances_ = resp.T @ X**2 / counts[:, None] - self.means_**2 + 1e-3
            self.precisions_cholesky_ = 1 / np.sqrt(self.covariances_)

    return state(fitted(Own, covariance_type="diag"))


@idiom
def lower_factors_in_an_m_step(G):
    class Own(G):
        def _m_step(self, X, log_resp, xp=None):
            super()._m_step(X, log_resp)
            self.precisions_cholesky_ = np.linalg.cholesky(np.linalg.inv(self.covariances_))

    return state(fitted(Own))


@idiom
def cell_volumes(G):
    volumes = np.random.default_rng(0).uniform(0.5, 1.5, len(X))

    class Volumes(G):
        def _e_step(self, X, xp=None):
            log_density, log_resp = self._estimate_log_prob_resp(X)
            return np.average(log_density, weights=volumes), log_resp

        def _m_step(self, X, log_resp, xp=None):
            super()._m_step(X, log_resp + np.log(volumes)[:, None])

    return state(fitted(Volumes))


@idiom
def annealed_e_step(G):
    class Annealed(G):
        def _e_step(self, X, xp=None):
            log_density, log_resp = super()._e_step(X, xp=xp)
            softer = 0.5 * log_resp
            return log_density, softer - np.log(np.exp(softer).sum(axis=1, keepdims=True))

    return state(fitted(Annealed, max_iter=20, tol=0))


@idiom
def initialize_by_responsibilities(G):
    class Started(G):
        def _initialize(self, X, resp, xp=None):
            super()._initialize(X, np.eye(K)[np.repeat([2, 0, 1], 50)])

    return state(fitted(Started))


for _method in ("kmeans", "k-means++", "random", "random_from_data"):
    for _type in COVARIANCE_TYPES:

        def _initialize_seen(G, method=_method, covariance_type=_type):
            class Seen(G):
                def _initialize(self, X, resp, xp=None):
                    super()._initialize(X, resp)
                    self.seen_ = resp

            options = {"init_params": method, "covariance_type": covariance_type}
            model = fitted(Seen, **options, reg_covar=1e-3)
            return model.seen_, *state(model)

        IDIOMS[f"initialize seen, {_method}, {_type}"] = _initialize_seen


@idiom
def initialize_sets_all(G):
    class Set(G):
        def _initialize(self, X, resp, xp=None):
            self.weights_, self.means_, self.covariances_ = WEIGHTS, MEANS, BASE
            self.precisions_cholesky_ = np.linalg.cholesky(np.linalg.inv(BASE))

    return state(fitted(Set))


@idiom
def initialize_parameters(G):
    class Started(G):
        def _initialize_parameters(self, X, random_state, xp=None):
            self._initialize(X, np.eye(K)[random_state.randint(K, size=len(X))])

    return state(fitted(Started))


@idiom
def initialize_parameters_after_super(G):
    class Sorted(G):
        def _initialize_parameters(self, X, random_state, xp=None):
            super()._initialize_parameters(X, random_state, xp=xp)
            self.means_ = self.means_[np.argsort(self.means_[:, 0])]

    return state(fitted(Sorted))


@idiom
def student_like_density(G):
    class Heavy(G):
        def _estimate_log_prob(self, X, xp=None):
            return 0.8 * super()._estimate_log_prob(X, xp=xp)

    return state(fitted(Heavy))


@idiom
def density_with_a_constant_floor(G):
    class Floor(G):
        def _estimate_log_prob(self, X, xp=None):
            return np.maximum(super()._estimate_log_prob(X), -20.0)

    return state(fitted(Floor))


@idiom
def equal_log_weights(G):
    class Equal(G):
        def _estimate_log_weights(self, xp=None):
            return np.zeros(self.n_components) - np.log(self.n_components)

    return state(fitted(Equal))


@idiom
def weighted_log_prob(G):
    class Biased(G):
        def _estimate_weighted_log_prob(self, X, xp=None):
            return super()._estimate_weighted_log_prob(X, xp=xp) + np.array([0.3, 0, -0.3])

    return state(fitted(Biased))


@idiom
def hard_assignment(G):
    class Hard(G):
        def _estimate_log_prob_resp(self, X, xp=None):
            log_density, log_resp = super()._estimate_log_prob_resp(X, xp=xp)
            hard = np.full_like(log_resp, -60.0)
            hard[np.arange(len(X)), log_resp.argmax(axis=1)] = 0
            return log_density, hard

    return state(fitted(Hard))


@idiom
def lower_bound_of_its_own(G):
    class Complete(G):
        def _compute_lower_bound(self, log_resp, log_prob_norm):
            return log_prob_norm + np.mean(np.sum(np.exp(log_resp) * log_resp, axis=1))

    return state(fitted(Complete, tol=1e-5))


@idiom
def parameters_of_its_own(G):
    class More(G):
        def _get_parameters(self):
            return *super()._get_parameters(), "more"

        def _set_parameters(self, params, xp=None):
            super()._set_parameters(params[:4], xp=xp)
            self.order_ = np.argsort(self.means_[:, 0])

    model = fitted(More, n_init=2, init_params="random")
    return *state(model), model.order_


@idiom
def parameters_counted_otherwise(G):
    class Few(G):
        def _n_parameters(self):
            return 7

    return state(fitted(Few))


@idiom
def checks_of_its_own(G):
    class Checked(G):
        def _check_parameters(self, X, xp=None):
            super()._check_parameters(X, xp=xp)
            self.mean_ = X.mean(axis=0)

    model = fitted(Checked)
    return model.mean_, *state(model)


@idiom
def iterations_watched_through_verbose(G):
    class Watched(G):
        def _print_verbose_msg_iter_end(self, n_iter, diff_ll):
            self.watched_ = [*getattr(self, "watched_", []), diff_ll]

    model = fitted(Watched)
    return model.watched_[1:], *state(model)


@idiom
def hook_on_the_object(G):
    model = G(K, random_state=0)
    step = model._m_step

    def own(X, log_resp, xp=None):
        step(X, log_resp)
        model.weights_ = np.full(K, 1 / K)

    model._m_step = own
    return state(model.fit(X))


@idiom
def hook_on_the_class(G):
    class Derived(G):
        pass

    original = Derived._estimate_log_weights
    Derived._estimate_log_weights = lambda self, xp=None: np.sqrt(2) * original(self)
    return state(fitted(Derived))


@idiom
def hooks_of_a_mixin(G):
    class Mixin:
        def _m_step(self, X, log_resp, xp=None):
            super()._m_step(X, log_resp)
            self.weights_ = np.array([0.2, 0.3, 0.5])

    class Mixed(Mixin, G):
        pass

    return state(fitted(Mixed))


@idiom
def score_samples_overridden(G):
    class Halved(G):
        def score_samples(self, X):
            return super().score_samples(X) / 2

    return state(fitted(Halved))


@idiom
def score_overridden(G):
    class Total(G):
        def score(self, X, y=None):
            return super().score(X) * 3

    return state(fitted(Total))


@idiom
def fit_predict_overridden(G):
    class Counted(G):
        def fit_predict(self, X, y=None):
            self.calls_ = getattr(self, "calls_", 0) + 1
            return super().fit_predict(X, y)

    model = fitted(Counted)
    return model.calls_, *state(model)


@idiom
def predict_overridden(G):
    class Ordered(G):
        def fit(self, X, y=None):
            super().fit(X)
            self.order_ = np.argsort(np.argsort(self.means_[:, 0]))
            return self

        def predict(self, X):
            return self.order_[super().predict(X)]

    model = fitted(Ordered)
    return model.predict(X), model.fit_predict(X), *state(model)


@idiom
def predict_proba_overridden(G):
    class Smooth(G):
        def predict_proba(self, X):
            return 0.9 * super().predict_proba(X) + 0.1 / self.n_components

    return state(fitted(Smooth))


@idiom
def subclass_without_super_init(G):
    class Bare(G):
        def __init__(self, n_components=3, random_state=None):
            self.n_components, self.random_state = n_components, random_state
            self.covariance_type, self.tol, self.reg_covar, self.max_iter = "full", 1e-3, 1e-6, 100
            self.n_init, self.init_params, self.warm_start = 1, "kmeans", False
            self.weights_init = self.means_init = self.precisions_init = None
            self.verbose, self.verbose_interval = 0, 10

    return state(Bare(random_state=0).fit(X))


@idiom
def subclass_with_arguments(G):
    class Named(G):
        def __init__(self, n_components=3, *, floor=0.1, random_state=None):
            super().__init__(n_components, random_state=random_state)
            self.floor = floor

        def _m_step(self, X, log_resp, xp=None):
            super()._m_step(X, log_resp)
            self.weights_ = np.maximum(self.weights_, self.floor)
            self.weights_ /= self.weights_.sum()

    return *state(clone(Named(floor=0.3, random_state=0)).fit(X)), Named().get_params()["floor"]


@idiom
def warm_start_of_a_subclass(G):
    class Equal(G):
        def _m_step(self, X, log_resp, xp=None):
            super()._m_step(X, log_resp)
            self.weights_ = np.full(K, 1 / K)

    model = G.__subclasses__() and Equal(K, warm_start=True, max_iter=2, random_state=0)
    return [state(model.fit(X))[2] for _ in range(5)]


@idiom
def n_init_of_a_subclass(G):
    class Equal(G):
        def _m_step(self, X, log_resp, xp=None):
            super()._m_step(X, log_resp)
            self.weights_ = np.full(K, 1 / K)

    return state(fitted(Equal, n_init=4, init_params="random"))


@idiom
def subclass_in_float32(G):
    class Equal(G):
        def _m_step(self, X, log_resp, xp=None):
            super()._m_step(X, log_resp)
            self.weights_ = np.full(K, 1 / K, X.dtype)

    model = fitted(Equal, X.astype(np.float32), reg_covar=1e-3)
    assert model.means_.dtype == np.float32
    return model.predict(X.astype(np.float32)), model.weights_


@idiom
def subclass_without_iterations(G):
    class Quiet(G):
        def _m_step(self, X, log_resp, xp=None):
            raise AssertionError

    return fitted(Quiet, max_iter=0).means_, fitted(Quiet, max_iter=0).predict(X)


# --- fitted models changed or looked into -----------------------------------------------------
@idiom
def log_responsibilities(G):
    model = fitted(G)
    weighted = model._estimate_weighted_log_prob(X)
    return weighted - np.logaddexp.reduce(weighted, axis=1)[:, None]


@idiom
def entropy_of_responsibilities(G):
    resp = np.exp(fitted(G)._estimate_log_prob_resp(X)[1])
    return -(resp * np.log(resp + 1e-12)).sum(axis=1)


@idiom
def weights_changed(G):
    model = fitted(G)
    model.weights_ = np.array([0.1, 0.2, 0.7])
    return answers(model)


@idiom
def means_shifted(G):
    model = fitted(G)
    model.means_ = model.means_ + 0.1
    return answers(model)


@idiom
def one_step_more(G):
    model = fitted(G)
    _, log_resp = model._e_step(X[::2])
    model._m_step(X[::2], log_resp)
    return answers(model)


@idiom
def a_model_of_two_components_of_three(G):
    source, model = fitted(G), G(2)
    model.weights_ = source.weights_[:2] / source.weights_[:2].sum()
    for name in ("means_", "covariances_", "precisions_", "precisions_cholesky_"):
        setattr(model, name, getattr(source, name)[:2])
    return answers(model)


@idiom
def marginal_of_two_features(G):
    source, model = fitted(G), G(K)
    model.weights_, model.means_ = source.weights_, source.means_[:, :2]
    model.covariances_ = source.covariances_[:, :2, :2]
    model.precisions_cholesky_ = np.linalg.cholesky(np.linalg.inv(model.covariances_))
    return answers(model, X[:, :2])


@idiom
def two_mixtures_merged(G):
    one, other = fitted(G), G(2, random_state=1).fit(X + 1)
    model = G(5)
    model.weights_ = np.r_[one.weights_, other.weights_] / 2
    for name in ("means_", "covariances_", "precisions_cholesky_"):
        setattr(model, name, np.concatenate([getattr(one, name), getattr(other, name)]))
    return answers(model)


@idiom
def pickled(G):
    return answers(pickle.loads(pickle.dumps(fitted(G))))


@idiom
def pickled_by_hand(G):
    return answers(pickle.loads(pickle.dumps(by_hand(G))))


@idiom
def joblib_dumped(G):
    stream = io.BytesIO()
    joblib.dump(fitted(G), stream)
    stream.seek(0)
    return answers(joblib.load(stream))


@idiom
def deep_copied(G):
    return answers(copy.deepcopy(fitted(G)))


@idiom
def shallow_copied(G):
    return answers(copy.copy(by_hand(G, "tied")))


@idiom
def state_set(G):
    model = G()
    model.__setstate__(fitted(G).__getstate__())
    return answers(model)


@idiom
def cloned_and_set(G):
    return state(clone(G(2)).set_params(n_components=K, random_state=0).fit(X))


@idiom
def warm_start_loop(G):
    model = G(K, warm_start=True, max_iter=1, random_state=0)
    return [model.fit(X).lower_bound_ for _ in range(12)]


@idiom
def warm_start_by_hand(G):
    model = by_hand(G).set_params(warm_start=True, max_iter=3)
    model.converged_, model.lower_bound_ = False, -np.inf
    return state(model.fit(X))


@idiom
def warm_start_on_other_data(G):
    model = G(K, warm_start=True, random_state=0).fit(X)
    return state(model.fit(X[::2]))


@idiom
def pipeline(G):
    model = make_pipeline(StandardScaler(), G(K, random_state=0)).fit(X)
    return model.predict(X), model.score_samples(X), model[-1]._estimate_log_weights()


@idiom
def pipeline_of_names(G):
    model = Pipeline([("scale", StandardScaler()), ("mixture", G())])
    return model.set_params(mixture__n_components=K, mixture__random_state=0).fit_predict(X)


@idiom
def responsibilities_as_features(G):
    features = FeatureUnion([("proba", FunctionTransformer(fitted(G).predict_proba))])
    return features.fit_transform(X)


@idiom
def grid_search(G):
    grid = {"n_components": [1, 2, 3], "covariance_type": ["full", "diag"]}
    search = GridSearchCV(G(random_state=0), grid, cv=3).fit(X)
    return search.cv_results_["mean_test_score"], search.best_index_


@idiom
def bic_as_a_scorer(G):
    grid = {"n_components": [1, 2, 3, 4]}
    search = GridSearchCV(G(random_state=0), grid, scoring=lambda m, X: -m.bic(X)).fit(X)
    return search.cv_results_["mean_test_score"]


@idiom
def cross_validated(G):
    return cross_val_score(G(2, random_state=0), X, cv=4)


class PerClass(BaseEstimator):
    """A classifier with a mixture for each class, as articles write it."""

    _estimator_type = "classifier"

    def __init__(self, cls=None):
        self.cls = cls

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        self.models_ = [self.cls(2, random_state=0).fit(X[y == c]) for c in self.classes_]
        return self

    def predict_proba(self, X):
        log_density = np.stack([model.score_samples(X) for model in self.models_], axis=1)
        joint = np.exp(log_density - log_density.max(axis=1, keepdims=True))
        return joint / joint.sum(axis=1, keepdims=True)

    def predict(self, X):
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.estimator_type = "classifier"
        return tags


@idiom
def voting_classifier(G):
    voters = [("mixture", PerClass(G)), ("bayes", GaussianNB())]
    return VotingClassifier(voters, voting="soft").fit(X, np.repeat([0, 1, 2], 50)).predict(X)


@idiom
def outliers_below_a_percentile(G):
    density = fitted(G).score_samples(X)
    return density < np.percentile(density, 4)


@idiom
def is_a_mixture_of_scikit_learn(G):
    model = fitted(G)
    return isinstance(model, Peer), isinstance(model, BaseMixture), issubclass(G, Peer)


@idiom
def unbound_methods(G):
    model = fitted(G)
    return G.predict(model, X), G._estimate_log_prob(model, X), G.score_samples(model, X)


@idiom
def rows_one_by_one(G):
    model = by_hand(G)
    return [model.predict_proba(row[None])[0] for row in X[::25]]


@idiom
def lists_of_rows(G):
    return by_hand(G).predict(X.tolist())


@idiom
def starting_values_as_lists(G):
    start = {name: value.tolist() for name, value in fixed_start(X, K, "full").items()}
    return state(G(K, **start).fit(X))


@idiom
def selection_by_bic(G):
    return [G(k, random_state=0, reg_covar=1e-3).fit(X).bic(X) for k in range(1, 5)]


def run(function, cls):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        warnings.filterwarnings("ignore", "X has feature names")
        return function(cls)


@pytest.mark.parametrize("name", IDIOMS)
def test_the_answers_are_scikit_learns(name):
    ours, theirs = run(IDIOMS[name], GaussianMixture), run(IDIOMS[name], Peer)
    tolerance = 1e-3 if "float32" in name else 1e-6
    compare(ours, theirs, tolerance)


def compare(ours, theirs, tolerance):
    if isinstance(theirs, tuple):
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            compare(one, other, tolerance)
    else:
        scale = max(1.0, float(np.max(np.abs(np.asarray(theirs, dtype=float)))))
        assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance * min(scale, 1e4))


def test_there_are_many():
    assert len(IDIOMS) > 100
