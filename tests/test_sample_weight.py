"""Sample weights are multiplicities: in the start, in the fit, in what is said of it."""

import warnings

import mpmath
import numpy as np
import pytest
from axes import each_covariance_type, each_dtype
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from problems import ARRAYS, INIT_PARAMS, assert_close, assert_same_fit, fixed_start, load
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Peer

from fastgmm import GaussianMixture

quietly = settings(max_examples=25, derandomize=True, deadline=None)

CRITERIA = ["score", "aic", "bic", "icl"]
N = 60


def points(seed):
    """Three clusters in three dimensions, near enough for EM to take some iterations."""
    rng = np.random.default_rng(seed)
    centres = 5 + rng.normal(scale=2, size=(3, 3))
    return centres[np.arange(N) % 3] + rng.normal(size=(N, 3)), rng


def fit(X, weight, **options):
    """A fit that is left early, far from the point where rounding decides on the number."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture = GaussianMixture(3, **{"max_iter": 15, "tol": 1e-5, **options})
        return mixture.fit(X, sample_weight=weight)


def assert_same(one, other, names=(*ARRAYS, "lower_bounds_", "log_likelihood_")):
    assert one.n_iter_ == other.n_iter_
    for name in names:
        assert_close(getattr(one, name), getattr(other, name), 1e-10)


seeds = st.integers(0, 2**32 - 1)


@each_covariance_type
@given(seed=seeds)
@quietly
def test_an_integer_weight_is_a_repetition(covariance_type, seed):
    X, rng = points(seed)
    weight = rng.integers(0, 4, size=N)
    repeated = np.repeat(X, weight, axis=0)
    start = {"covariance_type": covariance_type, **fixed_start(X, 3, covariance_type, seed)}
    one, other = fit(X, weight, **start), fit(repeated, None, **start)
    assert_same(one, other)
    for name in CRITERIA:
        actual = getattr(one, name)(X, sample_weight=weight)
        assert_close(actual, getattr(other, name)(repeated), 1e-10)


@each_covariance_type
@given(seed=seeds)
@quietly
def test_a_weight_of_zero_is_a_removal(covariance_type, seed):
    X, rng = points(seed)
    weight = rng.uniform(0.1, 3, size=N) * (rng.uniform(size=N) < 0.7)
    kept = weight > 0
    X[~kept] = rng.normal(scale=1e6, size=(N - kept.sum(), 3))  # as wrong as can be
    start = {"covariance_type": covariance_type, **fixed_start(X[kept], 3, covariance_type, seed)}
    one, other = fit(X, weight, **start), fit(X[kept], weight[kept], **start)
    assert_same(one, other)
    for name in CRITERIA:
        actual = getattr(one, name)(X, sample_weight=weight)
        assert_close(actual, getattr(other, name)(X[kept], sample_weight=weight[kept]), 1e-10)


@each_covariance_type
@given(seed=seeds, factor=st.floats(1e-200, 1e200))
@quietly
def test_the_scale_of_the_weights_does_not_matter(covariance_type, seed, factor):
    X, rng = points(seed)
    weight = rng.uniform(0.1, 3, size=N)
    start = {"covariance_type": covariance_type, **fixed_start(X, 3, covariance_type, seed)}
    one, other = fit(X, weight, **start), fit(X, factor * weight, **start)
    assert_same(one, other)
    actual = one.score(X, sample_weight=factor * weight)
    assert_close(actual, one.score(X, sample_weight=weight), 1e-10)


@each_covariance_type
@pytest.mark.parametrize("data", ["iris", "random 0"])
def test_a_repetition_takes_scikit_learns_path_to_the_end(data, covariance_type):
    X, K = load(data)
    weight = np.random.default_rng(1).integers(0, 4, size=len(X))
    repeated = np.repeat(X, weight, axis=0)
    options = {"covariance_type": covariance_type, **fixed_start(X, K, covariance_type)}
    weighted = GaussianMixture(K, **options).fit(X, sample_weight=weight)
    expanded = GaussianMixture(K, **options).fit(repeated)
    assert_same_fit(weighted, expanded)
    assert_same_fit(weighted, Peer(K, **options).fit(repeated))
    assert_close(weighted.score(X, sample_weight=weight), expanded.score(repeated), 1e-12)


def test_score_is_the_weighted_mean():
    X, K = load("iris")
    fitted = GaussianMixture(K, random_state=0).fit(X)
    weight = np.arange(len(X), dtype=float)
    expected = (weight @ fitted.score_samples(X)) / weight.sum()
    assert fitted.score(X, sample_weight=weight) == pytest.approx(expected, rel=1e-13)
    assert fitted.score(X, sample_weight=2.0) == pytest.approx(fitted.score(X), rel=1e-13)


def test_fit_predict_takes_weights():
    X, K = load("iris")
    weight = np.arange(len(X), dtype=float) + 1
    labels = GaussianMixture(K, random_state=0).fit_predict(X, sample_weight=weight)
    fitted = GaussianMixture(K, random_state=0).fit(X, sample_weight=weight)
    assert_array_equal(labels, fitted.predict(X))


# --- weights of all sizes -------------------------------------------------------------------
RNG = np.random.default_rng(0)
CLUSTERS = np.concatenate([RNG.normal(size=(100, 2)), RNG.normal(size=(100, 2)) + 5])
WEIGHT = RNG.uniform(0.5, 1, 200)
SCALES = [1e-300, np.exp(-120), 1e-30, np.exp(95), 3e37, 1e200, 1e300]


@pytest.mark.parametrize("scale", SCALES)
@each_dtype
@each_covariance_type
def test_the_scale_of_the_weights_does_not_matter_to_a_whole_fit(covariance_type, dtype, scale):
    options = {"covariance_type": covariance_type, "random_state": 0}
    data = CLUSTERS.astype(dtype)
    one = GaussianMixture(2, **options).fit(data, sample_weight=WEIGHT)
    other = GaussianMixture(2, **options).fit(data, sample_weight=WEIGHT * scale)
    rtol = 1e-4 if dtype == np.float32 else 1e-10
    assert_allclose(other.weights_, one.weights_, rtol=rtol)
    assert_allclose(other.means_, one.means_, rtol=rtol, atol=rtol)
    assert_allclose(other.covariances_, one.covariances_, rtol=rtol, atol=rtol)
    assert other.converged_ == one.converged_
    scores = [m.score(data, sample_weight=w) for m, w in ((one, WEIGHT), (other, WEIGHT * scale))]
    assert scores[1] == pytest.approx(scores[0], rel=rtol)


@pytest.mark.parametrize("scale", SCALES)
@each_dtype
def test_criteria_are_of_the_true_total(dtype, scale):
    data = CLUSTERS.astype(dtype)
    mixture = GaussianMixture(2, random_state=0).fit(data)
    total = np.sum(WEIGHT * scale)
    deviance = -2 * mixture.score(data, sample_weight=WEIGHT) * total
    bic = deviance + np.log(total) * mixture._n_parameters()
    assert mixture.bic(data, sample_weight=WEIGHT * scale) == pytest.approx(bic, rel=1e-5)
    entropy = -WEIGHT * scale @ np.log(mixture.predict_proba(data).max(axis=1).astype(float))
    icl = mixture.icl(data, sample_weight=WEIGHT * scale)
    assert icl == pytest.approx(bic + 2 * entropy, rel=1e-5)


@pytest.mark.parametrize("weight", [1e-315, 5e-324])
def test_equal_weights_below_the_normal_numbers(weight):
    fitted = GaussianMixture(2, random_state=0).fit(CLUSTERS, sample_weight=np.full(200, weight))
    expected = GaussianMixture(2, random_state=0).fit(CLUSTERS)
    assert_allclose(fitted.means_, expected.means_, rtol=1e-8)


def test_float32_weights_whose_sum_overflows():
    weight = np.full(200, 3e37, np.float32)
    for init_params in ("kmeans", "k-means++", "random", "random_from_data"):
        fitted = GaussianMixture(2, init_params=init_params, random_state=0).fit(
            CLUSTERS.astype(np.float32), sample_weight=weight
        )
        assert np.all(np.isfinite(fitted.means_))


def exact_step(X, weight, covariance_type, weights_init, means_init, precisions_init):
    """One step of EM in 40 digits: lower bound, weights, means and full covariances."""
    n, d = X.shape
    K = len(means_init)
    matrices = {
        "full": lambda k: precisions_init[k],
        "tied": lambda k: precisions_init,
        "diag": lambda k: np.diag(precisions_init[k]),
        "spherical": lambda k: precisions_init[k] * np.eye(d),
    }
    precisions = [mpmath.matrix(matrices[covariance_type](k).tolist()) for k in range(K)]
    scales = [
        mpmath.mpf(float(weights_init[k])) * mpmath.sqrt(mpmath.det(p) / (2 * mpmath.pi) ** d)
        for k, p in enumerate(precisions)
    ]
    rows = np.vectorize(mpmath.mpf, otypes=[object])(X)
    weight = np.vectorize(mpmath.mpf, otypes=[object])(weight)
    densities = np.empty((n, K), object)
    for i in range(n):
        for k in range(K):
            delta = mpmath.matrix((rows[i] - means_init[k]).tolist())
            densities[i, k] = scales[k] * mpmath.exp(-(delta.T * precisions[k] * delta)[0] / 2)
    totals = densities.sum(axis=1)
    lower_bound = sum(weight * [mpmath.log(total) for total in totals]) / sum(weight)
    shares = densities / totals[:, None] * weight[:, None]
    counts = shares.sum(axis=0)
    means = shares.T @ rows / counts[:, None]
    scatters = [
        (rows - m).T @ (r[:, None] * (rows - m)) for r, m in zip(shares.T, means, strict=True)
    ]
    return lower_bound, counts, means, np.stack(scatters)


def maximized(counts, scatters, covariance_type):
    """Covariances of a type, a row for each component; a single one for 'tied'."""
    d = scatters.shape[-1]
    own = scatters / counts[:, None, None]
    variances = np.einsum("kii->ki", own)
    return {
        "full": own,
        "tied": scatters.sum(axis=0)[None] / counts.sum(),
        "diag": variances,
        "spherical": variances.sum(axis=1)[:, None] / d,
    }[covariance_type]


@each_covariance_type
@pytest.mark.parametrize("seed", range(4))
def test_light_points_beside_heavy_ones_stay_accurate(covariance_type, seed):
    X, rng = points(seed)
    X = X + 20 * np.eye(3)[np.arange(N) % 3]  # far apart: each component has weights of a size
    weight = 10.0 ** rng.uniform([0, 4, 8], [1, 5, 9], size=(N // 3, 3)).ravel()
    start = fixed_start(X, 3, covariance_type)
    start["means_init"] = X[:3]
    start["precisions_init"] *= 50  # about those of the clusters
    options = {"covariance_type": covariance_type, "reg_covar": 0, "max_iter": 1, **start}
    mixture = fit(X, weight, **options)
    with mpmath.workdps(40):
        lower_bound, counts, means, scatters = exact_step(X, weight, covariance_type, **start)
        covariances = maximized(counts, scatters, covariance_type)
        shares = (counts / counts.sum()).astype(float)
    assert shares.max() > 1e4 * shares.min()
    assert_allclose(mixture.weights_, shares, rtol=1e-11)
    assert_allclose(mixture.lower_bound_, float(lower_bound), rtol=1e-11)
    assert_allclose(mixture.means_, means.astype(float), rtol=1e-11)
    for actual, expected in zip(
        np.reshape(mixture.covariances_, covariances.shape), covariances, strict=True
    ):
        assert_close(actual, expected.astype(float), 1e-11)


@each_covariance_type
def test_a_heavy_point_is_many_light_ones(covariance_type):
    X, rng = points(0)
    weight = 10.0 ** rng.uniform(0, 9, size=N)
    parts = rng.uniform(size=(N, 3))
    parts *= (weight / parts.sum(axis=1))[:, None]
    start = fixed_start(X, 3, covariance_type)
    # With reg_covar no component collapses on the heaviest point.
    start |= {"covariance_type": covariance_type, "reg_covar": 0.1}
    assert_same(fit(X, weight, **start), fit(np.repeat(X, 3, axis=0), parts.ravel(), **start))


# --- the start ------------------------------------------------------------------------------
def random_shares(rows, n_components, random_state):
    return random_state.dirichlet(np.ones(n_components), size=len(rows))


@each_covariance_type
@pytest.mark.parametrize("init_size", [20_000, 25])
@pytest.mark.parametrize("init_params", [*INIT_PARAMS, "random_means", random_shares])
def test_rows_of_no_weight_have_no_part_in_the_start(init_params, init_size, covariance_type):
    X, rng = points(0)
    weight = rng.integers(0, 3, size=N).astype(float)
    kept = weight > 0
    X[~kept] = rng.normal(scale=1e6, size=(N - kept.sum(), 3))
    options = {"covariance_type": covariance_type, "init_params": init_params, "random_state": 0}
    options |= {"init_size": init_size, "reg_covar": 1e-2}
    assert_same(fit(X, weight, **options), fit(X[kept], weight[kept], **options))


@each_covariance_type
@pytest.mark.parametrize("kind", ["labels", "responsibilities"])
def test_the_rows_of_a_given_start_count_as_their_samples(kind, covariance_type):
    X, rng = points(0)
    given = rng.integers(3, size=N) if kind == "labels" else rng.dirichlet(np.ones(3), size=N)
    weight = rng.integers(0, 3, size=N)
    options = {"covariance_type": covariance_type}
    weighted = fit(X, weight, init_params=given, **options)
    rows = np.repeat(np.arange(N), weight)
    assert_same(weighted, fit(X[rows], None, init_params=given[rows], **options))
    rows = np.flatnonzero(weight)
    assert_same(weighted, fit(X[rows], weight[rows], init_params=given[rows], **options))
