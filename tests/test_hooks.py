"""Subclasses that override scikit-learn's private methods: what their fit honours and refuses."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from problems import load
from sklearn.mixture import GaussianMixture as Peer

from fastgmm import GaussianMixture
from fastgmm.estimator.hooks import HOOKS, overridden

X, K = load("iris")


class EqualWeights(GaussianMixture):
    """As it was written before scikit-learn passed `xp`."""

    def _m_step(self, X, log_resp):
        super()._m_step(X, log_resp)
        self.weights_ = np.full(self.n_components, 1 / self.n_components)


class EqualPeer(Peer):
    def _m_step(self, X, log_resp, xp=None):
        super()._m_step(X, log_resp)
        self.weights_ = np.full(self.n_components, 1 / self.n_components)


class OwnStart(GaussianMixture):
    def _initialize(self, X, resp):
        super()._initialize(X, resp)


def test_nothing_is_overridden_in_ours():
    assert overridden(GaussianMixture(), HOOKS) == []

    class Derived(GaussianMixture):
        def extra(self):
            return 0

    assert overridden(Derived(), HOOKS) == []
    assert overridden(EqualWeights(), HOOKS) == ["_m_step"]


def test_hooks_of_before_xp_are_called():
    ours, theirs = (cls(K, random_state=0).fit(X) for cls in (EqualWeights, EqualPeer))
    assert ours.n_iter_ == theirs.n_iter_
    assert_allclose(ours.means_, theirs.means_, rtol=1e-8)
    assert "_m_step" not in vars(ours)
    assert not ours._is_in_loop


def test_a_patch_of_the_class_counts(monkeypatch):
    step = GaussianMixture._m_step

    def own(self, X, log_resp, xp=None):
        step(self, X, log_resp)
        self.weights_ = np.full(self.n_components, 1 / self.n_components)

    monkeypatch.setattr(GaussianMixture, "_m_step", own)
    model = GaussianMixture(K, random_state=0).fit(X)
    assert_array_equal(model.weights_, np.full(K, 1 / K))


def test_a_fit_sets_what_ours_sets():
    ours, plain = EqualWeights(K, random_state=0).fit(X), GaussianMixture(K).fit(X)
    assert {name for name in vars(plain) if name.endswith("_")} <= set(vars(ours))
    assert ours.log_likelihood_ == pytest.approx(ours.score(X))
    assert ours.fit_history_ == ours.repairs_ == []
    assert len(ours.lower_bounds_) == ours.n_iter_


REFUSED = {
    "fit_history": {"fit_history": True},
    "keep_on_interrupt": {"keep_on_interrupt": True},
    "on_degenerate": {"on_degenerate": "reset"},
}


@pytest.mark.parametrize("name", REFUSED)
def test_arguments_that_the_loop_does_not_know_are_refused(name):
    with pytest.raises(ValueError, match=f"_m_step of EqualWeights is overridden.*{name}"):
        EqualWeights(K, **REFUSED[name]).fit(X)
    with pytest.raises(ValueError, match=name):
        EqualWeights(K, **REFUSED[name]).fit_predict(X)


def test_weights_are_refused():
    with pytest.raises(ValueError, match="sample_weight"):
        EqualWeights(K).fit(X, sample_weight=np.ones(len(X)))


@pytest.mark.parametrize("options", [{"init_params": "random_means"}, {"init_whiten": True}])
def test_starts_that_have_no_responsibilities_are_refused(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        OwnStart(K, **options).fit(X)
    EqualWeights(K, random_state=0, max_iter=300, **options).fit(X)


LABELS = np.repeat([0, 1, 2], 50)


@pytest.mark.parametrize("cls", [EqualWeights, OwnStart])
@pytest.mark.parametrize("start", ["labels", "array", "function"])
def test_starts_of_ours_are_honoured(cls, start):
    shares = np.eye(K)[LABELS]
    init_params = {"labels": LABELS, "array": shares, "function": lambda X, K, rng: LABELS}[start]
    model = cls(K, init_params=init_params).fit(X)
    plain = cls(K, init_params=shares).fit(X)
    assert_array_equal(model.means_, plain.means_)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_relative_floor_is_honoured():
    options = {"reg_covar_relative": 0.1, "random_state": 0, "max_iter": 5, "tol": 0}
    model, plain = (cls(K, **options).fit(X) for cls in (OwnStart, GaussianMixture))
    assert_allclose(model.covariances_, plain.covariances_, rtol=1e-8)


def test_a_fit_that_fails_leaves_what_was_fitted():
    class Failing(EqualWeights):
        fails = False

        def _m_step(self, X, log_resp):
            if self.fails:
                raise RuntimeError("asked to")
            super()._m_step(X, log_resp)

    model = Failing(K, random_state=0).fit(X)
    before, model.fails = model.means_, True
    with pytest.raises(RuntimeError, match="asked to"):
        model.fit(X)
    assert model.means_ is before
    assert not model._is_in_loop


@pytest.mark.parametrize("hook", ["predict_proba", "_estimate_log_prob_resp"])
def test_icl_takes_overridden_probabilities(hook):
    class Certain(GaussianMixture):
        pass

    def certain(self, X, xp=None):
        proba = np.eye(K)[GaussianMixture.predict(self, X)]
        return proba if hook == "predict_proba" else (self.score_samples(X), np.log(proba + 1e-300))

    model = Certain(K, random_state=0).fit(X)
    setattr(Certain, hook, certain)
    assert model.icl(X) == pytest.approx(model.bic(X))


def test_weighted_scores_of_overridden_densities():
    class Halved(GaussianMixture):
        def score_samples(self, X):
            return super().score_samples(X) / 2

    weight = np.arange(1.0, len(X) + 1)
    model, plain = (cls(K, random_state=0).fit(X) for cls in (Halved, GaussianMixture))
    assert model.score(X, sample_weight=weight) == pytest.approx(
        plain.score(X, sample_weight=weight) / 2
    )
