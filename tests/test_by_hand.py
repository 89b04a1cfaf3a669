"""Mixtures whose attributes were set by hand: factors of either side, gaps, contradictions."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from axes import each_covariance_type, each_dtype, each_matrix_type, each_type_of_its_own
from numpy.testing import assert_allclose, assert_array_equal
from problems import load
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.mixture import GaussianMixture as Peer

import fastgmm
from fastgmm import GaussianMixture
from fastgmm.model.factors import contradictions, upper_factors

X, K = load("iris")


def fitted(covariance_type="full", data=X, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return GaussianMixture(K, covariance_type=covariance_type, random_state=0, **options).fit(
            data
        )


def lower(model):
    """The same mixture with lower factors."""
    model.precisions_cholesky_ = np.linalg.cholesky(np.linalg.inv(model.covariances_))
    return model


# --- factors of the other side ---------------------------------------------------------------
@each_matrix_type
@each_dtype
def test_lower_factors_are_the_same_mixture(covariance_type, dtype):
    data = X.astype(dtype)
    upper, turned = fitted(covariance_type, data), lower(fitted(covariance_type, data))
    before = turned.precisions_cholesky_.copy()
    tolerance = 1e-3 if dtype == np.float32 else 1e-10
    for method in ("predict", "predict_proba", "score_samples", "score", "bic", "aic", "icl"):
        expected = getattr(upper, method)(data)
        assert_allclose(getattr(turned, method)(data), expected, rtol=tolerance, atol=tolerance)
    assert_array_equal(turned.precisions_cholesky_, before)
    assert turned.predict_proba(data).dtype == dtype


@each_matrix_type
def test_factors_of_ill_conditioned_covariances_keep_their_digits(covariance_type):
    rng = np.random.default_rng(0)
    scales = np.logspace(-6, 6, 6)
    L = np.tril(rng.normal(size=(6, 6)), -1) + np.diag(rng.uniform(1, 2, 6))
    L = scales[:, None] * L
    L = np.stack([L] * 3) if covariance_type == "full" else L
    U = upper_factors(L, covariance_type)
    assert not np.tril(U, -1).any()
    expected = (L @ L.swapaxes(-2, -1)) / scales / scales[:, None]
    assert_allclose((U @ U.swapaxes(-2, -1)) / scales / scales[:, None], expected, atol=1e-13)


def test_upper_factors_are_not_copied():
    U = np.triu(np.ones((3, 4, 4)))
    assert upper_factors(U, "full") is U


@pytest.mark.parametrize("side", ["upper", "lower"])
@each_dtype
def test_noise_on_the_other_side_is_noise(side, dtype):
    model = fitted()
    expected = model.score_samples(X)
    if side == "lower":
        lower(model)
    noise = np.finfo(dtype).eps * np.random.default_rng(0).normal(size=(K, 4, 4))
    factors = model.precisions_cholesky_.astype(dtype)
    model.precisions_cholesky_ = (factors + noise).astype(dtype)
    assert_allclose(model.score_samples(X), expected, rtol=1e-3 if dtype == np.float32 else 1e-8)


WRONG = {
    "covariances": lambda model: model.covariances_,
    "precisions": lambda model: model.precisions_,
    "a negative diagonal": lambda model: -lower(model).precisions_cholesky_,
}


@each_matrix_type
@pytest.mark.parametrize("wrong", WRONG)
def test_what_is_no_factor_is_refused(covariance_type, wrong):
    model = fitted(covariance_type)
    model.precisions_cholesky_ = WRONG[wrong](model)
    for method in ("predict", "predict_proba", "score_samples", "score", "bic", "icl"):
        with pytest.raises(ValueError, match=r"triangular.*GaussianMixture\.from_parameters\("):
            getattr(model, method)(X)


@each_matrix_type
def test_lower_factors_reach_samples_files_and_scikit_learn(covariance_type, tmp_path):
    model, expected = lower(fitted(covariance_type)), fitted(covariance_type).score_samples(X)
    fastgmm.save(model, tmp_path / "model.npz")
    assert_allclose(fastgmm.load(tmp_path / "model.npz").score_samples(X), expected)
    assert_allclose(model.to_sklearn().score_samples(X), expected)
    del model.covariances_
    drawn, _ = model.sample(20)
    assert_allclose(drawn, fitted(covariance_type).sample(20)[0], atol=1e-6)


@each_matrix_type
def test_a_warm_start_goes_on_from_lower_factors(covariance_type):
    options = {"warm_start": True, "max_iter": 3, "tol": 1e-6}
    ours, turned = fitted(covariance_type, **options), fitted(covariance_type, **options)
    lower(turned)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        assert_allclose(turned.fit(X).lower_bounds_, ours.fit(X).lower_bounds_)


def test_a_mixture_by_hand_is_saved(tmp_path):
    model = GaussianMixture(2, covariance_type="spherical")
    model.weights_, model.means_ = [0.5, 0.5], [[0, 0], [3, 3]]
    model.precisions_cholesky_ = [1, 2]
    fastgmm.save(model, tmp_path / "model.npz")
    copy = fastgmm.load(tmp_path / "model.npz")
    assert_array_equal(copy.predict_proba(X[:, :2]), model.predict_proba(X[:, :2]))


# --- attributes that are missing -------------------------------------------------------------
METHODS = ["predict", "predict_proba", "score_samples", "score", "bic", "aic", "icl"]


@each_covariance_type
@pytest.mark.parametrize("method", METHODS)
def test_without_factors_the_remedy_is_named(covariance_type, method):
    source, model = fitted(covariance_type), GaussianMixture(K, covariance_type=covariance_type)
    for name in ("weights_", "means_", "covariances_"):
        setattr(model, name, getattr(source, name))
    said = r"no precisions_cholesky_.*GaussianMixture\.from_parameters\("
    with pytest.raises(NotFittedError, match=said) as caught:
        getattr(model, method)(X)
    assert isinstance(caught.value, AttributeError)  # scikit-learn's
    model.random_state = 3
    expected = source.set_params(random_state=3).sample(30)[0]
    assert_array_equal(model.sample(30)[0], expected)


def test_what_samples_need_is_named_too():
    model = GaussianMixture(K)
    model.weights_, model.means_ = np.full(K, 1 / K), X[:K]
    with pytest.raises(NotFittedError, match=r"no covariances_.*from_parameters\("):
        model.sample()


@pytest.mark.parametrize("placeholder", [None, np.nan, np.full((K, 4, 4), np.nan)])
def test_placeholders_for_covariances_are_nothing(placeholder):
    model = fitted()
    expected = model.score_samples(X)
    model.covariances_ = placeholder
    assert_array_equal(model.score_samples(X), expected)


# --- attributes that contradict each other ---------------------------------------------------
@pytest.mark.parametrize("left", ["precisions_cholesky_", "covariances_"])
@each_type_of_its_own
@each_dtype
def test_an_array_that_was_left_in_the_old_order_is_noticed(covariance_type, left, dtype):
    model = fitted(covariance_type, X.astype(dtype))
    order = np.argsort(-model.means_[:, 0])
    for name in ("weights_", "means_", "covariances_", "precisions_cholesky_"):
        if name != left:
            setattr(model, name, getattr(model, name)[order])
    theirs = model.to_sklearn()
    said = r"covariances_ of components .*same order"
    with pytest.warns(UserWarning, match=said):
        proba = model.predict_proba(X)
    assert_allclose(proba, theirs.predict_proba(X), atol=1e-2 if dtype == np.float32 else 1e-8)
    for method in METHODS:
        with pytest.warns(UserWarning, match=r"from_parameters\("):
            getattr(model, method)(X)


def test_a_tied_factor_of_another_covariance_is_noticed():
    model = fitted("tied")
    model.covariances_ = 2 * model.covariances_
    with pytest.warns(UserWarning, match="not of the same Gaussians"):
        model.predict(X)


@each_covariance_type
def test_weights_that_sum_to_less_are_noticed(covariance_type):
    model = fitted(covariance_type)
    model.weights_ = np.array([0.22, 0.22, 0.22])
    theirs = model.to_sklearn()
    for method in ("predict", "predict_proba", "score_samples", "score"):
        with pytest.warns(UserWarning, match=r"weights_ sum to 0\.66 .*from_parameters\("):
            answer = getattr(model, method)(X)
        assert_allclose(answer, getattr(theirs, method)(X), atol=1e-8)


def test_an_edit_in_place_is_noticed():
    model = fitted()
    model.covariances_[:] = model.covariances_[::-1].copy()
    with pytest.warns(UserWarning, match="same Gaussians"):
        model.predict(X)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("reg_covar", [1e-6, 1e-12, 0.1])
@each_covariance_type
@each_dtype
def test_no_fit_contradicts_itself(covariance_type, reg_covar, seed, dtype):
    """Correlated, rank-deficient and badly scaled features; few rows; covariances of reg_covar."""
    rng = np.random.default_rng(seed)
    d = int(rng.integers(2, 12))
    rank = d if seed % 2 else max(1, d // 2)
    data = rng.normal(size=(60, rank)) @ rng.normal(size=(rank, d)) * np.logspace(-1, 2, d)
    options = {"reg_covar": reg_covar, "covariance_type": covariance_type, "random_state": 0}
    for cls in (GaussianMixture, Peer):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model = cls(3, **options).fit(data.astype(dtype))
        except ValueError:  # ill-defined
            continue
        if cls is Peer:
            model = GaussianMixture.from_sklearn(model)
        assert list(contradictions(model._parameters())) == []


# --- objects that skip __init__ --------------------------------------------------------------
def test_arguments_of_ours_have_defaults_without_init():
    bare = GaussianMixture.__new__(GaussianMixture)
    bare.__dict__.update(Peer(K, random_state=0).fit(X).__dict__)
    assert bare.get_params() == GaussianMixture(K, random_state=0).get_params()
    assert_allclose(bare.predict_proba(X), Peer(K, random_state=0).fit(X).predict_proba(X))
    assert_array_equal(bare.fit(X).means_, fitted().means_)
    with pytest.raises(AttributeError):
        GaussianMixture.__new__(GaussianMixture).n_components  # noqa: B018


# --- as an instance of scikit-learn's --------------------------------------------------------
def test_it_is_an_instance_of_scikit_learns_and_still_not_converted():
    class Derived(GaussianMixture):
        pass

    assert isinstance(GaussianMixture(), Peer)
    assert issubclass(Derived, Peer)
    assert not issubclass(Peer, GaussianMixture)
    assert type(GaussianMixture(2).to_sklearn()) is Peer
    with pytest.raises(TypeError, match="from_parameters"):
        GaussianMixture.from_sklearn(GaussianMixture())


def test_a_replaced_name_does_not_mislead(monkeypatch):
    monkeypatch.setattr("sklearn.mixture.GaussianMixture", GaussianMixture)
    assert type(fitted().to_sklearn()) is Peer
    assert_array_equal(
        GaussianMixture.from_sklearn(Peer(K, random_state=0).fit(X)).predict(X),
        Peer(K, random_state=0).fit(X).predict(X),
    )
