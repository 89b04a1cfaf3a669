"""Covariances of loadings and variances: passes, EM of factor analyzers, predictions."""

import math
import tracemalloc

import mpmath
import numba
import numpy as np
import pytest
from axes import compiled_only
from numpy.testing import assert_allclose, assert_array_equal
from registry import LOW_RANK_CASES, assert_agree, assert_statistics_agree
from sklearn.datasets import load_digits, load_iris, load_wine
from sklearn.decomposition import FactorAnalysis
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import scale

import fastgmm
from fastgmm import GaussianMixture, kernels, reference, select_mixture
from fastgmm.data.source import ArraySource
from fastgmm.em.step import em_step
from fastgmm.model.factors import covariances_from_cholesky
from fastgmm.model.families import LOW_RANK, family_of
from fastgmm.model.low_rank import FactorAnalysis as Maximization
from fastgmm.model.low_rank import as_full

IRIS, WINE = load_iris().data, scale(load_wine().data)


def problem(n=300, d=6, K=3, rank=2, *, apart=1.0, offset=0.0, load=1.0, dtype=np.float64, seed=0):
    """Points, weights, means and factors; means lie `apart`, loadings are `load` deviations."""
    rng = np.random.default_rng(seed)
    means = offset + apart * rng.standard_normal((K, d))
    s, L = rng.uniform(0.6, 2.0, (K, d)), load * rng.standard_normal((K, d, rank))
    component = rng.integers(K, size=n)
    noise = rng.standard_normal((n, rank, 1)), rng.standard_normal((n, d))
    X = means[component] + ((L[component] @ noise[0])[:, :, 0] + noise[1]) / s[component] + 0.1
    factors = np.concatenate([L, s[..., None]], axis=2)
    return [a.astype(dtype) for a in (X, rng.dirichlet(np.full(K, 5.0)), means, factors)]


CASES = {
    "plain": {},
    "one of each": {"d": 2, "K": 1, "rank": 1},
    "many": {"n": 1100, "d": 17, "K": 7, "rank": 5},
    "apart": {"apart": 100.0},
    # On both sides of where a product would show its rounding.
    "long": {"load": 30.0},
    "longer": {"load": 100.0},
    "far from the origin": {"offset": 1e6},
    "far and apart": {"offset": 1e3, "apart": 1e4, "load": 10.0},
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_passes_agree_with_the_reference(name, weighted, dtype):
    X, *mixture = problem(**CASES[name], dtype=dtype)
    # The reference factorizes matrices: its own error grows with their condition.
    tolerance = 1e-5 if dtype == np.float32 else 1e-10 if "long" in name else 1e-12
    weight = np.random.default_rng(1).uniform(size=len(X)).astype(dtype) if weighted else None
    for function in ("log_density", "responsibilities"):
        ours, theirs = (
            getattr(of, function)(X, *mixture, "low_rank") for of in (kernels, reference)
        )
        assert ours.dtype == dtype
        assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)
    ours, theirs = (
        of.log_gaussian_density(X, *mixture[1:], "low_rank") for of in (kernels, reference)
    )
    assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)
    assert_array_equal(*(of.assign(X, *mixture, "low_rank") for of in (kernels, reference)))
    ours, theirs = (of.expectation(X, *mixture, "low_rank", weight) for of in (kernels, reference))
    for field in ("log_likelihood", "counts", "first", "second", "directions"):
        expected = getattr(theirs, field)
        assert_allclose(
            getattr(ours, field), expected, rtol=tolerance, atol=tolerance * np.abs(expected).max()
        )


@pytest.mark.parametrize("case", LOW_RANK_CASES, ids=lambda case: case.name)
def test_passes_agree_over_the_registry(case):
    X, *mixture, weight = case.make()
    density, shares, labels, log_densities = (
        [getattr(of, name)(X, *arguments, "low_rank") for of in (kernels, reference)]
        for name, arguments in [
            ("log_gaussian_density", mixture[1:]), ("responsibilities", mixture),
            ("assign", mixture), ("log_density", mixture),
        ]
    )  # fmt: skip
    for actual, expected in (density, shares, log_densities):
        assert actual.dtype == X.dtype
        assert_agree(actual, expected, case.dtype)
    assert_array_equal(*labels)
    actual, expected = (
        of.expectation(X, *mixture, "low_rank", weight) for of in (kernels, reference)
    )
    assert_statistics_agree(actual, expected, log_densities[1], case.dtype)
    assert_agree(actual.directions, expected.directions, case.dtype)


@pytest.mark.parametrize("load", [1.0, 1e3, 1e6])
def test_densities_are_exact(load):
    X, _, means, factors = problem(n=4, d=5, K=1, rank=2, load=load)
    found = kernels.log_gaussian_density(X, means, factors, "low_rank")
    with mpmath.workdps(60):
        L, s = (mpmath.matrix(part.tolist()) for part in (factors[0, :, :2], factors[0, :, 2:]))
        S = mpmath.diag([1 / value for value in s])
        covariance = S * (mpmath.eye(5) + L * L.T) * S
        for x, log_density in zip(X, found[:, 0], strict=True):
            c = mpmath.matrix(x.tolist()) - mpmath.matrix(means[0].tolist())
            distance = (c.T * mpmath.inverse(covariance) * c)[0]
            exact = (
                -(5 * mpmath.log(2 * mpmath.pi) + mpmath.log(mpmath.det(covariance)) + distance) / 2
            )
            # The inner matrix has the square of the loadings as its condition.
            assert abs(log_density / exact - 1) < 1e-13 * max(1.0, load)


def test_log_constants_are_added():
    X, *mixture = problem()
    constants = np.array([0.5, -1.0, 2.0])
    ours, theirs = (
        of.log_density(X, *mixture, "low_rank", constants) for of in (kernels, reference)
    )
    assert_allclose(ours, theirs, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_points_far_away_belong_to_somebody(dtype):
    X, *mixture = problem(dtype=dtype)
    X[:3] = np.array([1e30, -1e25, 1e22])[:, None] * (1 if dtype == np.float32 else 1e140)
    for of in (kernels, reference):
        shares = of.responsibilities(X, *mixture, "low_rank")
        assert_allclose(shares.sum(axis=1), 1, rtol=1e-6)
    expected = reference.responsibilities(X, *mixture, "low_rank")
    assert_allclose(shares, expected, atol=1e-5)
    assert_array_equal(*(of.assign(X, *mixture, "low_rank") for of in (kernels, reference)))
    statistics = kernels.expectation(X, *mixture, "low_rank")
    assert np.isfinite(statistics.log_likelihood)
    assert_allclose(statistics.counts, expected.sum(axis=0, dtype=np.float64), rtol=1e-5)


@compiled_only
def test_bits_do_not_depend_on_the_threads():
    X, *mixture = problem(n=3000, d=17, K=7, rank=5)
    both = []
    before = numba.get_num_threads()
    for n_threads in (1, before):
        numba.set_num_threads(n_threads)
        both.append(kernels.expectation(X, *mixture, "low_rank"))
    for field in ("log_likelihood", "counts", "first", "second"):
        assert_array_equal(*(getattr(one, field) for one in both))


def test_statistics_add_up_scale_and_move():
    X, weights, means, factors = problem()
    mixture = weights, means, factors, "low_rank"
    whole = kernels.expectation(X, *mixture)
    parts = kernels.expectation(X[:100], *mixture) + kernels.expectation(X[100:], *mixture)
    assert_allclose(parts.second, whole.second, rtol=1e-12, atol=1e-10)
    assert_allclose(whole.scaled(0.5).second, 0.5 * whole.second)
    shares = kernels.responsibilities(X, *mixture)
    about = means + np.random.default_rng(2).normal(size=means.shape)
    moved = whole.about(about)
    for k, (mean, share) in enumerate(zip(about, shares.T, strict=True)):
        scatter = (X - mean).T @ (share[:, None] * (X - mean))
        expected = np.column_stack([scatter @ whole.directions[k], np.diag(scatter)])
        assert_allclose(moved.second[k], expected, rtol=1e-9, atol=1e-9)
        assert_allclose(moved.first[k], share @ (X - mean), rtol=1e-9, atol=1e-9)
    with pytest.raises(ValueError, match="directions"):
        whole + kernels.expectation(X, weights, means, 2 * factors, "low_rank")


# --- maximization ---------------------------------------------------------------------------
def parameters_of(problem):
    weights, means, factors = problem
    covariances = covariances_from_cholesky(factors, "low_rank")
    return fastgmm.Parameters(weights, means, covariances, factors, "low_rank")


def test_a_step_is_that_of_ghahramani_and_hinton():
    """With the scatter about the new means, E[y] = β c and E[y yᵀ] = I - β W + β c cᵀ βᵀ."""
    X, *mixture = problem()
    p = parameters_of(mixture)
    following = em_step(ArraySource(X), Maximization("low_rank", rank=2), p).parameters
    shares = reference.responsibilities(X, *mixture, "low_rank")
    assert_allclose(following.weights, shares.mean(axis=0), rtol=1e-10)
    for k, share in enumerate(shares.T):
        mean = share @ X / share.sum()
        assert_allclose(following.means[k], mean, rtol=1e-10)
        W, psi = p.covariances[k, :, :2], p.covariances[k, :, 2]
        beta = W.T @ np.linalg.inv(W @ W.T + np.diag(psi))
        outer, squares = np.zeros((6, 2)), np.zeros((2, 2))
        for c, r in zip(X - mean, share, strict=True):
            y = beta @ c
            outer += r * np.outer(c, y)
            squares += r * (np.eye(2) - beta @ W + np.outer(y, y))
        W = outer @ np.linalg.inv(squares)
        psi = np.diag(((X - mean).T * share) @ (X - mean) - W @ outer.T) / share.sum()
        assert_allclose(following.covariances[k, :, 2], psi, rtol=1e-10)
        loadings = following.covariances[k, :, :2]
        assert_allclose(loadings @ loadings.T, W @ W.T, rtol=1e-9, atol=1e-10)


def test_one_component_is_factor_analysis():
    peer = FactorAnalysis(3, tol=1e-10, max_iter=10_000, svd_method="lapack").fit(WINE)
    ours = GaussianMixture(
        1, covariance_type="low_rank", rank=3, tol=1e-9, max_iter=5000, reg_covar=0
    ).fit(WINE)
    assert abs(ours.score(WINE) - peer.score(WINE)) < 1e-5
    dense = family_of("low_rank").dense(ours.covariances_, 1, 13)[0]
    assert_allclose(dense, peer.get_covariance(), atol=2e-3)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("rank", [1, 3])
def test_the_likelihood_never_falls(rank, weighted):
    weight = np.random.default_rng(0).uniform(size=len(WINE)) if weighted else None
    model = GaussianMixture(
        3, covariance_type="low_rank", rank=rank, reg_covar=0, tol=1e-6, max_iter=5000
    )
    model.fit(WINE, sample_weight=weight)
    assert model.converged_
    assert np.diff(model.lower_bounds_).min() > -1e-12


@pytest.mark.parametrize(
    "start", ["kmeans", "k-means++", "random", "random_from_data", "random_means", "hierarchical"]
)
def test_every_start_leads_somewhere(start):
    X = problem(n=600, d=8, rank=2, apart=4.0)[0]
    model = GaussianMixture(
        3, covariance_type="low_rank", rank=2, init_params=start, random_state=0, max_iter=500
    ).fit(X)
    assert model.converged_
    # From random shares the loadings take up what lies between clusters.
    if start != "random":
        # No full covariances explain these points much better, of which there are more numbers.
        assert model.bic(X) < GaussianMixture(3, random_state=0).fit(X).bic(X)


def test_large_data_start_on_a_sample():
    X = problem(n=3000, d=5, rank=1, apart=5.0)[0]
    options = {"covariance_type": "low_rank", "random_state": 0, "max_iter": 300}
    some = GaussianMixture(3, init_size=300, **options).fit(X)
    assert some.score(X) > GaussianMixture(3, **options).fit(X).score(X) - 1e-2


def test_wide_data_need_no_matrix():
    d = 3000
    X = np.random.default_rng(0).normal(size=(60, d)) + 3 * np.arange(2).repeat(30)[:, None]
    model = GaussianMixture(2, covariance_type="low_rank", rank=2, max_iter=5, tol=10.0)
    model.fit(X)
    tracemalloc.start()
    model.fit(X)
    model.predict_proba(X)
    model.sample(10)
    model.bic(X)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * d * d / 2


def test_digits_that_were_not_seen_are_more_likely_than_with_variances_alone():
    X = load_digits().data
    known, unseen = X[::2], X[1::2]
    options = {"reg_covar": 1e-2, "random_state": 0, "max_iter": 300}
    for K in (1, 10):
        diagonal = GaussianMixture(K, covariance_type="diag", **options).fit(known)
        low_rank = GaussianMixture(K, covariance_type="low_rank", rank=4, **options).fit(known)
        assert low_rank.score(unseen) > diagonal.score(unseen) + 3


# --- what a fitted mixture says -------------------------------------------------------------
@pytest.fixture(scope="module")
def model():
    mixture = GaussianMixture(3, covariance_type="low_rank", rank=2, random_state=0, tol=1e-5)
    return mixture.set_params(max_iter=500).fit(WINE)


@pytest.fixture(scope="module")
def full(model):
    dense = LOW_RANK["low_rank"].dense(model.covariances_, 3, 13)
    mixture = GaussianMixture.from_parameters(model.weights_, model.means_, dense)
    mixture.random_state = 0
    return mixture


def test_it_is_the_mixture_with_matrices(model, full):
    assert_allclose(model.score_samples(WINE), full.score_samples(WINE), rtol=1e-10)
    assert_allclose(model.predict_proba(WINE), full.predict_proba(WINE), atol=1e-10)
    assert_array_equal(model.predict(WINE), full.predict(WINE))
    assert_allclose(model.mahalanobis(WINE), full.mahalanobis(WINE), rtol=1e-8)
    given = model.conditional([0, 1, 2, 3], WINE[:5, :4])
    expected = full.conditional([0, 1, 2, 3], WINE[:5, :4])
    for one, other in zip(given, expected, strict=True):
        assert_allclose(one, other, atol=1e-9)
    for features in ([5, 0, 7], [3]):
        part = model.marginal(features), full.marginal(features)
        assert_allclose(*(one.score_samples(WINE[:, features]) for one in part), rtol=1e-9)
    assert_allclose(model.to_sklearn().score_samples(WINE), full.score_samples(WINE), rtol=1e-9)
    own, theirs = model.prune(0.3), full.prune(0.3)
    assert_allclose(own.score_samples(WINE), theirs.score_samples(WINE), rtol=1e-9)
    assert_allclose(model.to_frame().to_numpy(), full.to_frame().to_numpy(), rtol=1e-9)


def test_precisions_are_inverses(model, full):
    V, inverse = model.precisions_[..., :-1], model.precisions_[..., -1]
    precisions = inverse[:, :, None] * np.eye(13) - V @ V.swapaxes(1, 2)
    assert_allclose(precisions, full.precisions_, atol=1e-9)


def test_samples_have_its_moments(model, full):
    X, components = model.sample(60_000)
    for k in range(3):
        own = X[components == k]
        deviation = np.sqrt(np.diag(full.covariances_[k]))
        assert np.abs((own.mean(axis=0) - model.means_[k]) / deviation).max() < 0.05
        apart = (np.cov(own.T) - full.covariances_[k]) / np.outer(deviation, deviation)
        assert np.abs(apart).max() < 0.06


def test_numbers_of_parameters(model):
    loadings = 2 * 13 - 1  # two columns, which may be turned
    n = 3 * (loadings + 13) + 3 * 13 + 2
    deviance = -2 * model.score(WINE) * len(WINE)
    assert_allclose(model.bic(WINE), deviance + n * math.log(len(WINE)))


def test_one_gaussian_has_its_entropy():
    one = GaussianMixture(1, covariance_type="low_rank", rank=2).fit(WINE)
    dense = LOW_RANK["low_rank"].dense(one.covariances_, 1, 13)
    full = GaussianMixture.from_parameters([1.0], one.means_, dense)
    assert_allclose(one.entropy(), full.entropy())
    assert abs(one.kl_divergence(full)) < 1e-9


def test_it_survives_a_file_and_a_warm_start(model, tmp_path):
    fastgmm.save(model, tmp_path / "wine.npz")
    copy = fastgmm.load(tmp_path / "wine.npz")
    assert_array_equal(copy.predict_proba(WINE), model.predict_proba(WINE))
    copy.set_params(warm_start=True, max_iter=2, tol=1.0).fit(WINE)
    assert copy.n_iter_ <= 2
    assert copy.score(WINE) >= model.score(WINE) - 1e-12
    with pytest.raises(ValueError, match="warm_start=False"):
        copy.set_params(rank=3).fit(WINE)


def test_given_parameters_make_a_mixture(model):
    parameters = model.weights_, model.means_, model.covariances_
    copy = GaussianMixture.from_parameters(*parameters, "low_rank")
    assert_allclose(copy.score_samples(WINE), model.score_samples(WINE), rtol=1e-12)
    assert copy.rank == 2
    wrong = model.covariances_.copy()
    wrong[0, 0, -1] = 0.0
    with pytest.raises(ValueError, match="positive"):
        GaussianMixture.from_parameters(*parameters[:2], wrong, "low_rank")


def test_a_selection_compares_it_with_others():
    found = select_mixture(WINE, [1, 2, 3], ["diag", "low_rank"], rank=2, n_init=1, random_state=0)
    assert {row.covariance_type for row in found.table} == {"diag", "low_rank"}
    assert found.best_model_.covariance_type == "low_rank"


@pytest.mark.parametrize("action", ["reset", "drop", "floor"])
def test_collapsed_components_are_repaired(action):
    X = np.concatenate([problem(n=300, d=5, K=2, rank=1)[0], np.full((40, 5), 9.0)])
    model = GaussianMixture(
        3, covariance_type="low_rank", on_degenerate=action, random_state=0, reg_covar=0
    ).fit(X)
    assert model.repairs_[0].action == action
    assert np.isfinite(model.score(X))


def test_a_collapse_is_told():
    X = np.concatenate([problem(n=300, d=5, K=2, rank=1)[0], np.full((40, 5), 9.0)])
    model = GaussianMixture(3, covariance_type="low_rank", random_state=0).fit(X)
    assert len(model.degenerate_components_) == 1


# --- bad input ------------------------------------------------------------------------------
@pytest.mark.parametrize("rank", [4, 5])
def test_a_rank_as_large_as_the_data_is_refused(rank):
    with pytest.raises(ValueError, match=f"rank={rank} .* 4 feature"):
        GaussianMixture(2, covariance_type="low_rank", rank=rank).fit(IRIS)


@pytest.mark.parametrize("rank", [0, 1.5, "all"])
def test_a_rank_is_a_positive_integer(rank):
    with pytest.raises(ValueError, match="'rank'"):
        GaussianMixture(2, covariance_type="low_rank", rank=rank).fit(IRIS)


@pytest.mark.parametrize(
    "other",
    [
        {"missing": "em"}, {"noise": True}, {"semi_supervised": True}, {"freeze": "means"},
        {"prior": "conjugate"}, {"growing_samples": True}, {"shrinkage": 0.1},
        {"precisions_init": np.ones((2, 4))},
    ],
    ids=lambda other: next(iter(other)),
)  # fmt: skip
def test_what_it_does_not_go_with_is_refused(other):
    with pytest.raises(ValueError, match="low_rank"):
        GaussianMixture(2, covariance_type="low_rank", **other).fit(IRIS, np.zeros(150, int))


def test_errors_and_merging_are_refused(model):
    with pytest.raises(ValueError, match="low_rank"):
        GaussianMixture(2, covariance_type="low_rank").fit(IRIS, errors=np.ones_like(IRIS))
    with pytest.raises(ValueError, match="prune"):
        model.merge([0, 1])
    with pytest.raises(ValueError, match="diag"):
        model.fisher_vector(WINE)


def test_hooks_of_scikit_learn_know_no_loadings():
    class Loud(GaussianMixture):
        def _m_step(self, X, log_resp, xp=None):
            return super()._m_step(X, log_resp, xp)

    with pytest.raises(ValueError, match="low_rank"):
        Loud(2, covariance_type="low_rank").fit(IRIS)


def test_factors_of_another_shape_are_refused():
    X, weights, means, factors = problem()
    with pytest.raises(ValueError, match="precisions_cholesky"):
        kernels.log_density(X, weights, means, factors[..., 0], "low_rank")
    with pytest.raises(ValueError, match="covariance_type"):
        kernels.weighted_covariances(X, np.ones((len(X), 1)), "low_rank")


def test_statistics_alone_make_no_loadings():
    X, *mixture = problem()
    with pytest.raises(ValueError, match="warm_start"):
        fastgmm.maximization(kernels.expectation(X, *mixture, "low_rank"), "low_rank")


def test_as_full_leaves_others_alone(full):
    p = full._parameters()
    assert as_full(p) is p


def test_no_warning_but_of_convergence():
    with pytest.warns(ConvergenceWarning, match="max_iter=1"):
        GaussianMixture(2, covariance_type="low_rank", rank=2, max_iter=1).fit(IRIS)
