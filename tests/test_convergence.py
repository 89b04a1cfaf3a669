"""What a fit says of itself: its likelihood, its history, whether it converged, its criteria."""

import warnings

import numpy as np
import pytest
from axes import each_covariance_type, each_dtype
from numpy.testing import assert_array_equal
from problems import ARRAYS, assert_close, fixed_start, load
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Peer

from fastgmm import GaussianMixture

each_weighted = pytest.mark.parametrize("weighted", [False, True])
each_data = pytest.mark.parametrize("data", ["iris", "wine", "random 3"])


def weights(X, weighted):
    weight = np.random.default_rng(0).uniform(0, 2, size=len(X)).astype(X.dtype)
    return weight if weighted else None


def fit(X, K, covariance_type="full", sample_weight=None, **options):
    """A fit from a fixed start, whether it converges or not."""
    options = {"covariance_type": covariance_type, **fixed_start(X, K, covariance_type), **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return GaussianMixture(K, **options).fit(X, sample_weight=sample_weight)


# --- the likelihood -------------------------------------------------------------------------
@each_covariance_type
@each_weighted
@each_data
@pytest.mark.parametrize("max_iter", [0, 1, 7, 100])
@each_dtype
def test_the_log_likelihood_is_the_score(dtype, max_iter, data, weighted, covariance_type):
    X, K = load(data)
    X = X.astype(dtype)
    weight = weights(X, weighted)
    fitted = fit(X, K, covariance_type, weight, max_iter=max_iter, reg_covar=1e-3)
    assert isinstance(fitted.log_likelihood_, float)
    assert fitted.log_likelihood_ == fitted.score(X, sample_weight=weight)
    expected = np.average(fitted.score_samples(X).astype(float), weights=weight)
    rtol = 1e-12 if dtype == np.float64 else 1e-7  # score_samples are rounded to float32
    assert fitted.log_likelihood_ == pytest.approx(expected, rel=rtol)


@each_covariance_type
@each_weighted
@pytest.mark.parametrize("data", ["iris", "random 0", "random 3"])
def test_the_log_likelihood_is_the_next_lower_bound(data, weighted, covariance_type):
    X, K = load(data)
    options = {"sample_weight": weights(X, weighted), "tol": 0, "reg_covar": 0}
    whole = fit(X, K, covariance_type, max_iter=8, **options)
    for max_iter in range(8):
        part = fit(X, K, covariance_type, max_iter=max_iter, **options)
        assert_close(part.log_likelihood_, whole.lower_bounds_[max_iter], 1e-12)
        assert part.log_likelihood_ >= part.lower_bound_ - 1e-12 * abs(part.lower_bound_)


def test_the_likelihood_of_given_parameters_is_not_known():
    mixture = GaussianMixture.from_parameters([1.0], [[0.0]], [1.0], "spherical")
    assert np.isnan(mixture.log_likelihood_)


# --- the history ----------------------------------------------------------------------------
@each_covariance_type
@each_weighted
@pytest.mark.parametrize("init_params", ["kmeans", "random_means"])
def test_the_history_has_every_iteration(init_params, weighted, covariance_type):
    X, K = load("iris")
    weight = weights(X, weighted)

    def fit(max_iter, fit_history=False):
        options = {"init_params": init_params, "random_state": 0, "reg_covar": 1e-3, "tol": 1e-2}
        options |= {"covariance_type": covariance_type, "fit_history": fit_history}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return GaussianMixture(K, max_iter=max_iter, **options).fit(X, sample_weight=weight)

    fitted = fit(6, fit_history=True)
    assert fitted.n_iter_ > 1
    assert len(fitted.fit_history_) == fitted.n_iter_ + 1
    for i, parameters in enumerate(fitted.fit_history_):
        part = fit(i)
        assert part.fit_history_ == []
        assert parameters.covariance_type == covariance_type
        for name in ("weights", "means", "covariances", "precisions_cholesky"):
            assert_array_equal(getattr(parameters, name), getattr(part, name + "_"))


@each_covariance_type
def test_keeping_the_history_changes_nothing(covariance_type):
    X, K = load("wine")
    one, other = (fit(X, K, covariance_type, fit_history=kept) for kept in (False, True))
    assert one.lower_bounds_ == other.lower_bounds_
    for name in ARRAYS:
        assert_array_equal(getattr(one, name), getattr(other, name))


def test_the_history_is_that_of_the_kept_run():
    X, K = load("wine")
    options = {"init_params": "random_means", "fit_history": True, "max_iter": 300}
    for random_state in range(3):
        fitted = GaussianMixture(K, n_init=4, random_state=random_state, **options).fit(X)
        assert len(fitted.fit_history_) == fitted.n_iter_ + 1
        assert fitted.fit_history_[-1].means is fitted.means_


def test_without_iterations_the_history_is_the_start():
    X, K = load("iris")
    fitted = fit(X, K, max_iter=0, fit_history=True)
    (start,) = fitted.fit_history_
    assert start.means is fitted.means_


def test_a_refit_without_history_drops_the_old_one():
    X, K = load("iris")
    fitted = GaussianMixture(K, random_state=0, fit_history=True).fit(X)
    assert fitted.fit_history_
    fitted.set_params(fit_history=False).fit(X)
    assert fitted.fit_history_ == []


def test_the_history_of_a_fit_that_goes_on_begins_where_it_was():
    X, K = load("iris")
    fitted = fit(X, K, max_iter=2, fit_history=True, warm_start=True)
    before = fitted.means_
    fitted.set_params(max_iter=200).fit(X)
    assert_array_equal(fitted.fit_history_[0].means, before)
    assert len(fitted.fit_history_) == fitted.n_iter_ + 1


# --- convergence ----------------------------------------------------------------------------
def warnings_of(estimator, X):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimator.fit(X)
    assert all(warning.category is ConvergenceWarning for warning in caught)
    return [str(warning.message) for warning in caught]


@each_covariance_type
def test_what_has_converged_is_not_warned_of(covariance_type):
    X, K = load("iris")
    start = fixed_start(X, K, covariance_type)
    estimator = GaussianMixture(K, covariance_type=covariance_type, max_iter=300, **start)
    assert warnings_of(estimator, X) == []
    assert estimator.converged_
    assert abs(np.diff(estimator.lower_bounds_)[-1]) < estimator.tol


@each_covariance_type
def test_the_warning_says_how_far_it_was_from_convergence(covariance_type):
    X, K = load("iris")
    options = {"covariance_type": covariance_type, "max_iter": 4, "tol": 3e-7}
    estimator = GaussianMixture(K, **options, **fixed_start(X, K, covariance_type))
    (text,) = warnings_of(estimator, X)
    assert not estimator.converged_
    assert f"changed by {np.diff(estimator.lower_bounds_)[-1]:.2g}" in text
    assert "max_iter=4" in text
    assert "tol=3e-07" in text


def test_a_fall_by_less_than_tol_has_converged_and_is_known():
    X, K = load("random 1")
    start = fixed_start(X, K, "tied")
    estimator = GaussianMixture(K, covariance_type="tied", reg_covar=1.0, max_iter=50, **start)
    assert warnings_of(estimator, X) == []
    assert estimator.converged_
    assert estimator.n_iter_ < 50
    changes = np.diff(estimator.lower_bounds_)
    assert -estimator.tol < changes[-1] < -1e-9
    assert estimator.largest_fall_ == -changes.min()
    assert warnings_of(estimator.set_params(reg_covar=1e-9, max_iter=500), X) == []
    assert estimator.largest_fall_ < 1e-12


def test_a_printed_fit_tells_of_a_fall(capsys):
    X, K = load("random 1")
    options = {"covariance_type": "tied", "max_iter": 50, **fixed_start(X, K, "tied")}
    for reg_covar, told in [(1.0, True), (1e-9, False)]:
        GaussianMixture(K, reg_covar=reg_covar, verbose=2, **options).fit(X)
        assert ("lower bound fell" in capsys.readouterr().out) == told


def collinear(rng):
    """Columns of which some are sums of others."""
    X = rng.normal(size=(60, 4))
    return np.column_stack([X, X[:, :2].sum(axis=1), X[:, 2] - X[:, 3]])


def one_hot(rng):
    return np.eye(5)[rng.integers(5, size=80)]


CARRIED_BY_REG_COVAR = {
    "fewer rows than columns": lambda rng: rng.normal(size=(7, 5)),
    "collinear columns": collinear,
    "one-hot columns": one_hot,
    "a constant column": lambda rng: np.column_stack([rng.normal(size=50), np.full(50, 3.0)]),
}


@each_covariance_type
@pytest.mark.parametrize("data", CARRIED_BY_REG_COVAR)
@pytest.mark.parametrize("reg_covar", [1e-6, 1e-3, 0.1])
def test_what_reg_covar_carries_converges_as_in_scikit_learn(reg_covar, data, covariance_type):
    for seed in range(4):
        X = CARRIED_BY_REG_COVAR[data](np.random.default_rng(seed))
        options = {"covariance_type": covariance_type, "reg_covar": reg_covar, "random_state": 0}
        ours, theirs = GaussianMixture(2, **options), Peer(2, **options)
        assert bool(warnings_of(ours, X)) == bool(warnings_of(theirs, X))
        assert ours.converged_ == theirs.converged_
        if theirs.n_iter_ > 1:
            assert abs(ours.n_iter_ - theirs.n_iter_) <= 1


def test_one_iteration_has_nothing_to_compare():
    X, K = load("iris")
    (text,) = warnings_of(GaussianMixture(K, max_iter=1, random_state=0), X)
    assert "max_iter=1" in text
    assert "inf" not in text


def two_starts(first, second):
    """A function that gives one and then the other."""
    remaining = [first, second]
    return lambda rows, n_components, random_state: remaining.pop(0)


def starts_near_and_far(X, K):
    """Responsibilities of an optimum, equal ones that nothing parts, and random labels."""
    options = {"tol": 1e-12, "max_iter": 2000}
    optimum = GaussianMixture(K, random_state=0, **options).fit(X).predict_proba(X)
    equal = np.full((len(X), K), 1 / K)
    return optimum, equal, np.arange(len(X)) % K


@pytest.mark.parametrize("turned", [False, True])
def test_a_run_that_is_not_kept_is_not_warned_of(turned):
    X, K = load("iris")
    optimum, _, labels = starts_near_and_far(X, K)
    starts = (labels, optimum) if turned else (optimum, labels)
    options = {"tol": 1e-5, "max_iter": 3}
    (text,) = warnings_of(GaussianMixture(K, init_params=lambda *_: labels, **options), X)
    assert "did not converge" in text
    estimator = GaussianMixture(K, n_init=2, init_params=two_starts(*starts), **options)
    assert warnings_of(estimator, X) == []
    assert estimator.converged_


@pytest.mark.parametrize("turned", [False, True])
def test_the_kept_run_is_warned_of_though_another_converged(turned):
    X, K = load("iris")
    _, equal, labels = starts_near_and_far(X, K)
    starts = (labels, equal) if turned else (equal, labels)
    options = {"tol": 1e-5, "max_iter": 12}
    assert warnings_of(GaussianMixture(K, init_params=lambda *_: equal, **options), X) == []
    estimator = GaussianMixture(K, n_init=2, init_params=two_starts(*starts), **options)
    (text,) = warnings_of(estimator, X)
    assert "max_iter=12" in text
    assert not estimator.converged_


# --- the integrated completed likelihood ----------------------------------------------------
@each_covariance_type
@each_weighted
@each_data
def test_icl_is_bic_and_the_uncertainty_of_the_components(data, weighted, covariance_type):
    X, K = load(data)
    weight = weights(X, weighted)
    fitted = fit(X, K, covariance_type, weight)
    certainty = np.log(fitted.predict_proba(X).max(axis=1))
    penalty = -2 * np.sum(certainty if weight is None else weight * certainty)
    icl, bic = (getattr(fitted, name)(X, sample_weight=weight) for name in ("icl", "bic"))
    assert penalty > 0.01
    assert icl >= bic
    assert icl == pytest.approx(bic + penalty, rel=1e-12)


@each_covariance_type
def test_icl_is_bic_where_components_are_far_apart(covariance_type):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 2)) + 100 * np.eye(3, 2)[np.arange(90) % 3]
    fitted = GaussianMixture(3, covariance_type=covariance_type, random_state=0).fit(X)
    assert fitted.icl(X) == fitted.bic(X)


@each_covariance_type
def test_icl_of_one_component_is_bic(covariance_type):
    X, _ = load("iris")
    fitted = GaussianMixture(1, covariance_type=covariance_type).fit(X)
    assert fitted.icl(X) == fitted.bic(X)
