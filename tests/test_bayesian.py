"""Variational Bayes: scikit-learn's steps, bounds and posteriors, by the kernels' passes."""

from __future__ import annotations

import io

import numpy as np
import pytest
from axes import each_dtype
from commands import fail, succeed
from scipy.special import logsumexp
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.mixture import BayesianGaussianMixture as Peer
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastgmm import BayesianGaussianMixture, GaussianMixture, load, reference, save
from fastgmm._records import COVARIANCE_TYPES
from fastgmm.data.source import ArraySource
from fastgmm.em.initialization import Initialization, initial_parameters
from fastgmm.em.step import em_step
from fastgmm.model.bayes import Concentration, VariationalBayes, entropy_of_shares
from fastgmm.model.priors import NormalWishart

PRIOR_TYPES = ("dirichlet_process", "dirichlet_distribution")
each_kind = pytest.mark.parametrize("kind", COVARIANCE_TYPES)
each_prior = pytest.mark.parametrize("prior", PRIOR_TYPES)
some_do_not_converge = pytest.mark.filterwarnings(
    "ignore:Best performing initialization did not converge:sklearn.exceptions.ConvergenceWarning"
)


def clouds(n=400, d=3, seed=0):
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(d, d))
    parts = rng.normal(size=(n, d)) @ A, 3 + 2 * rng.normal(size=(n // 2, d))
    return np.concatenate(parts)


DATA = {
    "clouds": clouds(),
    "iris": load_iris().data,
    "wine": load_wine().data[:, :6],
    "cancer": load_breast_cancer().data[:, :5],
    "digits": load_digits().data[:600, 20:24],
    "a column": clouds(500, 1),
}


def both(X, **options):
    """Scikit-learn's fit and fastgmm's."""
    return Peer(**options).fit(X), BayesianGaussianMixture(**options).fit(X)


# --- as scikit-learn ------------------------------------------------------------------------
@some_do_not_converge
@each_prior
@each_kind
@pytest.mark.parametrize("name", DATA)
def test_steps_are_scikit_learns(name, kind, prior):
    theirs, ours = both(
        DATA[name], n_components=6, covariance_type=kind, weight_concentration_prior_type=prior,
        random_state=0, max_iter=60,
    )  # fmt: skip
    assert ours.n_iter_ == theirs.n_iter_
    assert ours.converged_ == theirs.converged_
    np.testing.assert_allclose(ours.lower_bounds_, np.ravel(theirs.lower_bounds_), rtol=1e-7)
    for attribute in ("weights_", "means_", "covariances_", "precisions_", "mean_precision_"):
        actual, expected = getattr(ours, attribute), getattr(theirs, attribute)
        np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-7 * np.abs(expected).max())
    np.testing.assert_allclose(
        np.asarray(ours.weight_concentration_), theirs.weight_concentration_, rtol=1e-5
    )
    np.testing.assert_allclose(ours.degrees_of_freedom_, theirs.degrees_of_freedom_, rtol=1e-6)


@some_do_not_converge
@each_prior
@each_kind
def test_predictions_are_scikit_learns(kind, prior):
    X = DATA["clouds"]
    theirs, ours = both(
        X, n_components=4, covariance_type=kind, weight_concentration_prior_type=prior,
        random_state=1, n_init=2,
    )  # fmt: skip
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-8)
    np.testing.assert_allclose(ours.score_samples(X), theirs.score_samples(X), rtol=1e-8)
    assert ours.score(X) == pytest.approx(theirs.score(X), rel=1e-10)
    assert ours.log_likelihood_ == pytest.approx(theirs.score(X), rel=1e-10)
    for a, b in zip(ours.sample(20, random_state=0), Peer.sample(_seeded(theirs), 20), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def _seeded(mixture):
    return mixture.set_params(random_state=0)


@some_do_not_converge
@each_kind
def test_priors_are_taken_as_they_are_given(kind):
    X, d = DATA["clouds"], 3
    spread = {
        "full": np.diag([1.0, 2, 3]),
        "tied": np.eye(3),
        "diag": [1.0, 2, 3],
        "spherical": 2.0,
    }
    priors = {
        "weight_concentration_prior": 0.01, "mean_precision_prior": 3.0, "mean_prior": [1.0, 2, 3],
        "degrees_of_freedom_prior": d + 2.5, "covariance_prior": spread[kind],
    }  # fmt: skip
    theirs, ours = both(X, n_components=5, covariance_type=kind, random_state=0, **priors)
    np.testing.assert_allclose(ours.lower_bounds_, np.ravel(theirs.lower_bounds_), rtol=1e-9)
    np.testing.assert_allclose(ours.means_, theirs.means_, rtol=1e-7)
    for name in ("mean_prior_", "covariance_prior_", "degrees_of_freedom_prior_"):
        np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))


@some_do_not_converge
@each_kind
def test_default_priors_are_scikit_learns(kind):
    theirs, ours = both(DATA["wine"], n_components=3, covariance_type=kind, random_state=0)
    for name in (
        "weight_concentration_prior_", "mean_precision_prior_", "mean_prior_",
        "degrees_of_freedom_prior_", "covariance_prior_",
    ):  # fmt: skip
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-10)


@some_do_not_converge
@each_kind
def test_single_precision_is_kept(kind):
    X = DATA["clouds"].astype(np.float32)
    theirs, ours = both(X, n_components=4, covariance_type=kind, random_state=0, max_iter=20)
    np.testing.assert_allclose(ours.lower_bounds_, np.ravel(theirs.lower_bounds_), rtol=1e-5)
    assert ours.means_.dtype == ours.predict_proba(X).dtype == np.float32


@parametrize_with_checks([
    BayesianGaussianMixture(covariance_type=kind) for kind in COVARIANCE_TYPES
])  # fmt: skip
def test_it_is_an_estimator_of_scikit_learn(estimator, check):
    check(estimator)


# --- what the mathematics says --------------------------------------------------------------
@each_dtype
@each_prior
@each_kind
def test_the_entropy_is_in_the_statistics(kind, prior, dtype):
    """-Σ r log r of a pass, as the reference has the responsibilities."""
    X = DATA["clouds"].astype(dtype)
    weight = np.random.default_rng(0).uniform(size=len(X)).astype(dtype)
    source, posterior = started(X, kind, prior, weight)
    statistics = source.expectation(posterior)
    exact = posterior.astype(np.float64)
    log_density = reference.log_gaussian_density(
        X.astype(np.float64), exact.means, exact.precisions_cholesky, kind
    )
    weighted = log_density + posterior.log_constants
    log_shares = weighted - logsumexp(weighted, axis=1, keepdims=True)
    expected = -np.sum(weight[:, None] * np.exp(log_shares) * log_shares)
    tolerance = 1e-10 if dtype == np.float64 else 1e-3
    assert entropy_of_shares(statistics, posterior) == pytest.approx(expected, rel=tolerance)


def started(X, kind, prior, weight=None):
    """A source, and where a fit of five components begins."""
    source, d = ArraySource(X, weight), X.shape[1]
    spread = {"full": np.cov(X.T), "tied": np.cov(X.T), "diag": X.var(axis=0)}
    covariance = np.asarray(spread.get(kind, X.var(axis=0).mean()), np.float64)
    weights = Concentration(prior, 0.2)
    components = NormalWishart(X.mean(axis=0, dtype=np.float64), 1.0, float(d), covariance)
    bayes = VariationalBayes(kind, 1e-6, X.dtype, weights, components, source.total_weight)
    how = Initialization("kmeans")
    start, _ = initial_parameters(source, 5, bayes, how, np.random.RandomState(0))
    source.maximization = bayes
    return source, start


@each_prior
@each_kind
def test_the_bound_never_falls(kind, prior):
    source, posterior = started(DATA["iris"], kind, prior)
    bounds = []
    for _ in range(40):
        step = em_step(source, source.maximization, posterior)
        posterior = step.parameters
        bounds.append(step.objective)
    assert np.all(np.diff(bounds) > -1e-9 * np.abs(bounds[-1]))


@some_do_not_converge
@each_prior
@each_kind
def test_weights_are_multiplicities(kind, prior):
    X = DATA["iris"]
    times = np.random.default_rng(0).integers(0, 3, size=len(X))
    labels = np.arange(len(X)) % 3
    options = {
        "n_components": 3, "covariance_type": kind, "weight_concentration_prior_type": prior,
        "max_iter": 15,
    }  # fmt: skip
    weighted = BayesianGaussianMixture(init_params=labels, **options).fit(X, sample_weight=times)
    repeated = BayesianGaussianMixture(init_params=np.repeat(labels, times), **options)
    repeated.fit(np.repeat(X, times, axis=0))
    np.testing.assert_allclose(weighted.means_, repeated.means_, rtol=1e-8)
    np.testing.assert_allclose(weighted.lower_bounds_, repeated.lower_bounds_, rtol=1e-9)


def test_what_the_data_do_not_need_loses_its_weight():
    X = np.concatenate([np.random.default_rng(0).normal(m, 1, (300, 2)) for m in (0, 8)])
    mixture = BayesianGaussianMixture(
        n_components=8, weight_concentration_prior=1e-3, random_state=0, max_iter=500
    ).fit(X)
    assert np.sum(mixture.weights_ > 0.01) == 2


def test_many_rows_start_from_some():
    X = clouds(30_000, 2)
    mixture = BayesianGaussianMixture(n_components=3, random_state=0, max_iter=300).fit(X)
    assert mixture.score(X) > GaussianMixture(3, random_state=0).fit(X).score(X) - 0.01
    assert float(np.sum(mixture.mean_precision_)) == pytest.approx(len(X) + 3)


# --- the rest of what fastgmm adds ----------------------------------------------------------
@some_do_not_converge
@each_prior
@each_kind
def test_a_saved_mixture_is_the_same(kind, prior, tmp_path):
    X = DATA["clouds"]
    mixture = BayesianGaussianMixture(
        n_components=3, covariance_type=kind, weight_concentration_prior_type=prior,
        mean_prior=[0.0, 1.0, 2.0], random_state=0,
    ).fit(X)  # fmt: skip
    save(mixture, tmp_path / "bayes.npz")
    loaded = load(tmp_path / "bayes.npz")
    assert vars(loaded).keys() == vars(mixture).keys()
    np.testing.assert_array_equal(loaded.predict_proba(X), mixture.predict_proba(X))
    np.testing.assert_array_equal(
        np.asarray(loaded.weight_concentration_), np.asarray(mixture.weight_concentration_)
    )
    loaded.set_params(warm_start=True, max_iter=1).fit(X)


def test_a_file_with_another_posterior_is_refused(tmp_path):
    mixture = BayesianGaussianMixture(n_components=2, random_state=0).fit(DATA["iris"])
    mixture.mean_precision_ = np.array([1.0, -1.0])
    with pytest.raises(ValueError, match="mean_precision_ holds what no such model has"):
        save(mixture, io.BytesIO())


@some_do_not_converge
@each_kind
def test_from_and_to_scikit_learn(kind):
    X = DATA["clouds"]
    theirs = Peer(n_components=3, covariance_type=kind, random_state=0).fit(X)
    ours = BayesianGaussianMixture.from_sklearn(theirs)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), atol=1e-10)
    back = ours.to_sklearn()
    assert type(back) is Peer
    np.testing.assert_array_equal(back.predict_proba(X), theirs.predict_proba(X))
    with pytest.raises(TypeError, match=r"takes a sklearn.mixture.BayesianGaussianMixture"):
        BayesianGaussianMixture.from_sklearn(GaussianMixture())
    assert isinstance(ours, Peer)


@each_kind
def test_the_mixture_of_the_expected_parameters(kind):
    X = DATA["iris"]
    bayes = BayesianGaussianMixture(n_components=2, covariance_type=kind, random_state=0).fit(X)
    mixture = bayes.to_mixture()
    assert type(mixture) is GaussianMixture
    np.testing.assert_array_equal(mixture.means_, bayes.means_)
    mixture.means_[:] = 0
    assert np.all(bayes.means_ != 0)
    for name in ("bic", "marginal", "entropy"):
        assert not hasattr(bayes, name)
        assert hasattr(mixture, name)


@some_do_not_converge
def test_a_warm_start_goes_on():
    X = DATA["clouds"]
    options = {"n_components": 4, "random_state": 0, "tol": 0.0}
    whole = BayesianGaussianMixture(max_iter=12, **options).fit(X)
    parts = BayesianGaussianMixture(max_iter=6, warm_start=True, **options).fit(X).fit(X)
    np.testing.assert_allclose(parts.means_, whole.means_, rtol=1e-10)
    assert parts.lower_bound_ == pytest.approx(whole.lower_bound_, rel=1e-12)


@some_do_not_converge
def test_a_history_is_kept():
    mixture = BayesianGaussianMixture(n_components=2, max_iter=3, tol=0.0, fit_history=True)
    mixture.fit(DATA["iris"])
    assert len(mixture.fit_history_) == 4
    np.testing.assert_array_equal(mixture.fit_history_[-1].means, mixture.means_)


def test_data_of_large_offset():
    """Where scikit-learn's second moments about the origin lose their digits."""
    X = DATA["clouds"]
    options = {"n_components": 3, "covariance_type": "tied", "random_state": 0, "max_iter": 500}
    near = BayesianGaussianMixture(**options).fit(X)
    far = BayesianGaussianMixture(**options).fit(X + 1e7)
    np.testing.assert_allclose(far.covariances_, near.covariances_, rtol=1e-4)


# --- bad input ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"mean_prior": [0.0, 1.0]}, "'means' should have the shape of .*Pass mean_prior"),
        ({"degrees_of_freedom_prior": 2.0}, r"greater than 2, but got 2.000. Pass the number"),
        ({"covariance_prior": np.eye(2)}, "Pass covariance_prior of that shape"),
        ({"covariance_prior": -np.eye(3)}, "Pass a covariance matrix as covariance_prior"),
        ({"covariance_type": "diag", "covariance_prior": [1.0, 0.0, 1.0]}, "Pass variances"),
        ({"weight_concentration_prior": 0.0}, "weight_concentration_prior"),
        ({"mean_precision_prior": -1.0}, "mean_precision_prior"),
        ({"weight_concentration_prior_type": "beta"}, "weight_concentration_prior_type"),
        ({"covariance_type": "tied_diag"}, "covariance_type"),
        ({"mean_prior": [0.0, np.nan, 0.0]}, "mean_prior contains NaN"),
    ],
)
def test_bad_arguments_are_refused(arguments, said):
    mixture = BayesianGaussianMixture(n_components=2, **arguments)
    with pytest.raises(ValueError, match=said):
        mixture.fit(DATA["clouds"])
    with pytest.raises(NotFittedError):
        mixture.predict(DATA["clouds"])


def test_a_fit_that_is_not_done_warns():
    with pytest.warns(ConvergenceWarning, match="did not converge"):
        BayesianGaussianMixture(n_components=5, max_iter=1).fit(DATA["iris"])


def test_a_failed_refit_leaves_all_as_it_was():
    X = DATA["clouds"]
    mixture = BayesianGaussianMixture(n_components=2, random_state=0).fit(X)
    before = clone(mixture).fit(X).predict_proba(X)
    with pytest.raises(ValueError, match="mean_prior"):
        mixture.set_params(mean_prior=[0.0]).fit(X[:, :2])
    np.testing.assert_array_equal(mixture.predict_proba(X), before)
    assert mixture.mean_prior_.shape == (3,)


# --- command line ---------------------------------------------------------------------------
def test_fit_by_bayes(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("points.npy", np.concatenate([clouds(200, 2), clouds(200, 2) + 30]))
    options = ["--bayes", "--concentration", "0.001", "--max-iter", "500", "--tol", "0.01"]
    out = succeed(capsys, "fit", "points.npy", "-k", "6", *options, "--out", "bayes.npz")
    assert "LOWER" not in out
    assert "lower bound" in out
    assert type(load("bayes.npz")) is BayesianGaussianMixture
    assert succeed(capsys, "predict", "bayes.npz", "points.npy").count("\n") == 600
    succeed(capsys, "score", "bayes.npz", "points.npy", "--mean")
    succeed(capsys, "sample", "bayes.npz", "-n", "5")
    assert '"lower_bound"' in succeed(capsys, "fit", "points.npy", "-k", "6", *options, "--json")
    pytest.importorskip("matplotlib", reason="pictures are of matplotlib")
    succeed(capsys, "plot", "bayes.npz", "points.npy", "--out", "bayes.png")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-k", "2", "--concentration", "0.1"], "for --bayes"),
        (["-k", "1-3", "--bayes"], "largest number alone"),
        (["-k", "3", "--bayes", "--on-degenerate", "drop"], "without --on-degenerate"),
        (["-k", "3", "--bayes", "--concentration", "-1"], "weight_concentration_prior"),
    ],
)
def test_what_bayes_cannot_do(arguments, said, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("points.npy", DATA["clouds"])
    assert said in fail(capsys, "fit", "points.npy", *arguments)
