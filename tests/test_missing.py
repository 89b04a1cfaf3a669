"""Missing values: beside plain loops over rows, beside the data that were there, and bad input."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from axes import each_covariance_type, each_dtype
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.datasets import load_iris, load_wine

from fastgmm import GaussianMixture, load, plot_histogram, save, select_mixture
from fastgmm.data.missing import IncompleteSource, source_of
from fastgmm.data.source import ArraySource
from fastgmm.model.families import FAMILIES
from fastgmm.model.missing import patterns_of

IRIS = load_iris().data
each_family = pytest.mark.parametrize("name", FAMILIES)


def with_holes(X, share=0.3, seed=0):
    """X without a share of its values; a row keeps one at least, and its first rows all."""
    rng = np.random.default_rng(seed)
    holes = rng.uniform(size=X.shape) < share
    holes[np.arange(len(X)), rng.integers(X.shape[1], size=len(X))] = False
    holes[:5] = False
    return np.where(holes, np.nan, X)


def some_mixture(d, K, name="full", seed=1):
    """Some fitted mixture of d features."""
    rng = np.random.default_rng(seed)
    X = (
        rng.normal(size=(200, d)) @ rng.normal(size=(d, d))
        + 3 * rng.normal(size=(K, d))[rng.integers(K, size=200)]
    )
    options = {"covariance_type": name, "reg_covar": 1e-3, "random_state": 0, "max_iter": 300}
    return GaussianMixture(K, missing="em", **options).fit(X)


def dense(model):
    """Covariances (K, d, d) of any family."""
    K, d = model.means_.shape
    return FAMILIES[model.covariance_type].dense(model.covariances_, K, d)


def by_rows(X, model):
    """Log-densities (n,), responsibilities (n, K), and E[x], E[x xᵀ] of each row and component."""
    covariances, (n, d), K = dense(model), X.shape, len(model.weights_)
    logs, means = np.zeros((n, K)), np.zeros((n, K, d))
    squares = np.zeros((n, K, d, d))
    for i, row in enumerate(X):
        o, h = np.flatnonzero(~np.isnan(row)), np.flatnonzero(np.isnan(row))
        for k in range(K):
            mu, S = model.means_[k], covariances[k]
            logs[i, k] = np.log(model.weights_[k])
            full, rest = np.where(np.isnan(row), mu, row), np.zeros((d, d))
            if len(o):
                S_oo = S[np.ix_(o, o)]
                logs[i, k] += multivariate_normal(mu[o], S_oo).logpdf(row[o])
                slope = S[np.ix_(h, o)] @ np.linalg.inv(S_oo)
                full[h] = mu[h] + slope @ (row[o] - mu[o])
                rest[np.ix_(h, h)] = S[np.ix_(h, h)] - slope @ S[np.ix_(o, h)]
            else:
                rest = S
            means[i, k], squares[i, k] = full, np.outer(full - mu, full - mu) + rest
    density = logsumexp(logs, axis=1)
    return density, np.exp(logs - density[:, None]), means, squares


# --- beside plain loops ---------------------------------------------------------------------
@each_family
@pytest.mark.parametrize("weighted", [False, True])
def test_statistics_are_those_of_loops_over_rows(name, weighted):
    model = some_mixture(4, 3, name)
    X = with_holes(np.random.default_rng(2).normal(size=(60, 4)) * 3)
    weight = np.random.default_rng(3).uniform(0, 2, size=60) if weighted else np.ones(60)
    statistics = IncompleteSource(X, weight if weighted else None).expectation(model._parameters())
    density, shares, means, squares = by_rows(X, model)
    shares = shares * weight[:, None]
    assert statistics.log_likelihood == pytest.approx(weight @ density, rel=1e-10)
    assert_allclose(statistics.counts, shares.sum(axis=0), rtol=1e-10)
    first = np.einsum("nk,nkd->kd", shares, means - model.means_)
    assert_allclose(statistics.first, first, rtol=1e-9, atol=1e-10)
    second = np.einsum("nk,nkij->kij", shares, squares)
    match FAMILIES[name].pass_type:
        case "tied":
            second = second.sum(axis=0)
        case "diag":
            second = np.einsum("kii->ki", second)
        case "spherical":
            second = np.trace(second, axis1=1, axis2=2)
    assert_allclose(statistics.second, second, rtol=1e-9, atol=1e-9)


@each_family
def test_predictions_are_those_of_what_is_observed(name):
    model = some_mixture(4, 3, name)
    X = with_holes(np.random.default_rng(2).normal(size=(60, 4)) * 3)
    X[7] = np.nan
    density, shares, _, _ = by_rows(X, model)
    assert density[7] == pytest.approx(0)
    assert_allclose(model.score_samples(X), density, rtol=1e-10, atol=1e-12)
    assert_allclose(model.predict_proba(X), shares, rtol=1e-9, atol=1e-12)
    assert_array_equal(model.predict(X), shares.argmax(axis=1))
    seen = np.arange(60) != 7
    assert model.score(X) == pytest.approx(density[seen].mean(), rel=1e-10)
    n, free = 59, model._n_parameters()
    assert model.bic(X) == pytest.approx(-2 * density.sum() + np.log(n) * free, rel=1e-10)
    entropy = -2 * np.log(shares[seen].max(axis=1)).sum()
    assert model.icl(X) - model.bic(X) == pytest.approx(entropy, rel=1e-8)


@each_family
def test_imputation_is_the_conditional_mean(name):
    model = some_mixture(4, 3, name)
    X = with_holes(np.random.default_rng(2).normal(size=(60, 4)) * 3)
    X[7] = np.nan
    _, shares, means, _ = by_rows(X, model)
    expected = np.where(np.isnan(X), np.einsum("nk,nkd->nd", shares, means), X)
    assert_allclose(model.impute(X), expected, rtol=1e-10, atol=1e-10)


@each_covariance_type
def test_draws_have_the_conditional_distribution(covariance_type):
    model = some_mixture(3, 2, covariance_type)
    row = np.array([[0.5, np.nan, np.nan]])
    draws = model.impute(np.repeat(row, 20_000, axis=0), draw=True, random_state=0)
    _, shares, means, squares = by_rows(row, model)
    mean = shares[0] @ means[0]
    apart = means[0] - mean
    about_own = squares[0] - np.einsum("ki,kj->kij", *[means[0] - model.means_] * 2)
    covariance = np.einsum("k,kij->ij", shares[0], about_own)
    covariance += np.einsum("k,ki,kj->ij", shares[0], apart, apart)
    assert_array_equal(draws[:, 0], 0.5)
    scale = np.sqrt(np.diag(covariance))[1:]
    assert np.all(np.abs(draws.mean(axis=0) - mean)[1:] < 5 * scale / np.sqrt(20_000))
    difference = np.cov(draws.T)[1:, 1:] - covariance[1:, 1:]
    assert np.all(np.abs(difference) < 0.1 * np.outer(scale, scale))


def test_draws_are_seeded():
    model = some_mixture(3, 2)
    X = with_holes(np.zeros((20, 3)), 0.5)
    one, two, other = (model.impute(X, draw=True, random_state=seed) for seed in (0, 0, 1))
    assert_array_equal(one, two)
    assert not np.array_equal(one, other)
    model.random_state = 0
    assert_array_equal(model.impute(X, draw=True), one)


# --- the fit --------------------------------------------------------------------------------
@each_covariance_type
@each_dtype
def test_without_holes_the_bits_are_those_of_the_plain_fit(covariance_type, dtype):
    X = load_wine().data.astype(dtype)
    options = {"covariance_type": covariance_type, "random_state": 0, "max_iter": 300}
    plain = GaussianMixture(3, **options).fit(X)
    other = GaussianMixture(3, missing="em", **options).fit(X)
    for name in ("weights_", "means_", "covariances_", "lower_bounds_"):
        assert_array_equal(getattr(plain, name), getattr(other, name))
    assert_array_equal(plain.predict_proba(X), other.predict_proba(X))
    assert isinstance(source_of(X), ArraySource)


@each_family
def test_the_likelihood_never_falls(name):
    X = with_holes(IRIS)
    options = {"covariance_type": name, "tol": 1e-8, "max_iter": 1000, "random_state": 0}
    model = GaussianMixture(3, missing="em", reg_covar=0, **options).fit(X)
    assert len(model.lower_bounds_) > 5
    assert model.largest_fall_ <= (1e-4 if name == "VVE" else 1e-12)
    assert model.log_likelihood_ == pytest.approx(model.score(X), rel=1e-12)


def test_parameters_are_those_of_the_full_data_within_their_error():
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=20_000)
    A = rng.normal(size=(3, 8, 8))
    X = np.einsum("nij,nj->ni", A[labels], rng.normal(size=(20_000, 8)))
    X += 8 * rng.normal(size=(3, 8))[labels]
    M = X.copy()
    M[rng.uniform(size=X.shape) < 0.2] = np.nan
    whole = GaussianMixture(3, random_state=0, tol=1e-6).fit(X)
    model = GaussianMixture(3, missing="em", random_state=0, tol=1e-6).fit(M)
    order = [int(np.argmin(np.sum((model.means_ - mean) ** 2, axis=1))) for mean in whole.means_]
    counts = 20_000 * whole.weights_
    deviations = np.sqrt(np.einsum("kii->ki", whole.covariances_))
    error = deviations / np.sqrt(counts)[:, None]
    assert np.all(np.abs(model.means_[order] - whole.means_) < 5 * error)
    scales = deviations[:, :, None] * deviations[:, None, :]
    apart = np.abs(model.covariances_[order] - whole.covariances_) / scales
    assert apart.max() < 7 * np.sqrt(2 / counts.min())
    assert_allclose(model.weights_[order], whole.weights_, atol=5 * 0.5 / np.sqrt(20_000))
    hidden = np.isnan(M)
    error, guess = (model.impute(M) - X)[hidden], (np.nanmean(M, axis=0) - X)[hidden]
    assert np.mean(error**2) < 0.5 * np.mean(guess**2)


@each_dtype
@pytest.mark.parametrize(
    "init_params",
    ["kmeans", "k-means++", "random", "random_from_data", "random_means", "hierarchical"],
)
def test_every_start_copes_with_holes(init_params, dtype):
    X = with_holes(IRIS).astype(dtype)
    options = {"init_params": init_params, "init_whiten": True, "random_state": 0}
    model = GaussianMixture(3, missing="em", max_iter=1000, **options).fit(X)
    assert model.converged_
    assert model.means_.dtype == dtype


def test_labels_and_rows_without_a_value():
    """Responsibilities have their places, whatever rows have no part."""
    X, labels = with_holes(IRIS), load_iris().target
    X[[3, 70]] = np.nan
    options = {"missing": "em", "tol": 1e-6, "max_iter": 500}
    model = GaussianMixture(3, init_params=labels, **options).fit(X)
    kept = ~np.isnan(X).all(axis=1)
    other = GaussianMixture(3, init_params=labels[kept], **options).fit(X[kept])
    assert_allclose(model.means_, other.means_, rtol=1e-5)
    assert_allclose(model.predict_proba(X)[3], model.weights_)


def test_weights_are_multiplicities():
    X = with_holes(IRIS)
    weight = np.random.default_rng(0).integers(0, 3, size=len(X))
    options = {"missing": "em", "tol": 1e-8, "max_iter": 1000}
    start = load_iris().target
    one = GaussianMixture(3, init_params=start, **options).fit(X, sample_weight=weight)
    repeated = np.repeat(X, weight, axis=0)
    other = GaussianMixture(3, init_params=np.repeat(start, weight), **options).fit(repeated)
    assert_allclose(one.covariances_, other.covariances_, rtol=1e-4, atol=1e-6)
    assert one.bic(X, sample_weight=weight) == pytest.approx(other.bic(repeated), rel=1e-8)


@pytest.mark.parametrize("options", [
    {"on_degenerate": "reset"}, {"prior": "conjugate"}, {"shrinkage": "oas"},
    {"reg_covar_relative": 1e-3}, {"n_init": 3}, {"n_jobs": 1}, {"fit_history": True},
])  # fmt: skip
def test_with_other_arguments(options):
    X = with_holes(IRIS)
    model = GaussianMixture(3, missing="em", random_state=0, max_iter=500, **options).fit(X)
    assert model.converged_
    assert_array_equal(model.predict(X), pickle.loads(pickle.dumps(model)).predict(X))


def test_more_rows_than_a_start_looks_at():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(25_000, 2)) + 6 * rng.integers(3, size=(25_000, 1))
    X[rng.uniform(size=len(X)) < 0.2, 0] = np.nan
    model = GaussianMixture(3, missing="em", random_state=0).fit(X)
    assert_allclose(np.sort(model.means_[:, 1]), [0, 6, 12], atol=0.1)


def test_saved_selected_and_asked(tmp_path):
    X = with_holes(IRIS)
    model = GaussianMixture(3, missing="em", random_state=0).fit(X)
    save(model, tmp_path / "model.npz")
    assert_array_equal(load(tmp_path / "model.npz").predict(X), model.predict(X))
    assert load(tmp_path / "model.npz").missing == "em"


def test_a_data_frame_with_missing_values():
    pd = pytest.importorskip("pandas")
    X = with_holes(IRIS)
    frame = pd.DataFrame(X, columns=list("abcd")).convert_dtypes()
    model = GaussianMixture(2, missing="em", random_state=0).fit(frame)
    other = GaussianMixture(2, missing="em", random_state=0).fit(X)
    assert_array_equal(model.means_, other.means_)


def test_patterns_are_rows_that_miss_the_same():
    X = with_holes(np.zeros((300, 11)), 0.4)
    patterns = patterns_of(X)
    assert_array_equal(np.sort(np.concatenate([p.rows for p in patterns])), np.arange(300))
    for rows, observed, hidden in patterns:
        assert np.isnan(X[np.ix_(rows, hidden)]).all()
        assert not np.isnan(X[np.ix_(rows, observed)]).any()
    assert len({tuple(p.hidden) for p in patterns}) == len(patterns)


# --- bad input ------------------------------------------------------------------------------
def test_nan_is_refused_unless_it_is_asked_for():
    X = with_holes(IRIS)
    with pytest.raises(ValueError, match=r"(?s)contains NaN.*missing='em' takes NaN"):
        GaussianMixture(2).fit(X)
    plain = GaussianMixture(2, random_state=0).fit(IRIS)
    for method in (plain.predict, plain.score_samples, plain.predict_proba, plain.score, plain.bic):
        with pytest.raises(ValueError, match="contains NaN"):
            method(X)
    assert_array_equal(plain.impute(IRIS), IRIS)  # whoever asks knows
    assert np.isfinite(plain.impute(X)).all()


def test_rows_without_weight_say_nothing():
    X, weight = with_holes(IRIS), np.ones(150)
    X[:140, 2], weight[140:] = np.nan, 0
    with pytest.raises(ValueError, match=r"Feature.* 2 of X have no observed value in rows that"):
        GaussianMixture(2, missing="em").fit(X, sample_weight=weight)
    model = GaussianMixture(2, missing="em", random_state=0).fit(IRIS)
    with pytest.raises(ValueError, match="No row of X has weight and an observed value"):
        model.score(np.full((3, 4), np.nan))


def test_a_histogram_of_what_is_observed():
    model = GaussianMixture(2, missing="em", random_state=0).fit(with_holes(IRIS))
    plot_histogram(model, with_holes(IRIS), feature=0)


def test_methods_that_need_whole_rows():
    model = GaussianMixture(2, missing="em", covariance_type="diag", random_state=0).fit(IRIS)
    for method in (model.mahalanobis, model.fisher_vector):
        with pytest.raises(ValueError, match=r"(?s)contains NaN.*impute fills in"):
            method(with_holes(IRIS))


def test_infinite_values_are_refused():
    X = with_holes(IRIS)
    X[0, 0] = np.inf
    with pytest.raises(ValueError, match="infinity"):
        GaussianMixture(2, missing="em").fit(X)


def test_a_feature_without_a_value():
    X = with_holes(IRIS)
    X[:, 2] = np.nan
    model = GaussianMixture(2, missing="em")
    with pytest.raises(ValueError, match=r"Feature\(s\) 2 of X have no observed value in .*leave"):
        model.fit(X)
    assert not hasattr(model, "means_")


def test_fewer_rows_with_a_value_than_components():
    X = np.array([[1.0, np.nan], [np.nan, 1.0], [np.nan, np.nan], [np.nan, np.nan]])
    with pytest.raises(ValueError, match="Only 2 rows of X have weight and an observed value"):
        GaussianMixture(3, missing="em").fit(X)


def test_subclasses_with_hooks_do_not_know_of_it():
    class Hooked(GaussianMixture):
        def _m_step(self, X, log_resp):
            super()._m_step(X, log_resp)

    with pytest.raises(ValueError, match="does not know missing"):
        Hooked(2, missing="em").fit(IRIS)


def test_selection_takes_it():
    selection = select_mixture(with_holes(IRIS), [1, 2, 3], ["full"], missing="em", random_state=0)
    assert selection.best_n_components_ == 2
