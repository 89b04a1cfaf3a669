"""Sample weights are multiplicities: in the start, in the fit, in what is said of it."""

import warnings

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from problems import ARRAYS, COVARIANCE_TYPES, INIT_PARAMS, assert_close, fixed_start
from sklearn.exceptions import ConvergenceWarning

from fastgmm import GaussianMixture

each_covariance_type = pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
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


# --- weights of all sizes -------------------------------------------------------------------
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
    np.testing.assert_allclose(mixture.weights_, shares, rtol=1e-11)
    np.testing.assert_allclose(mixture.lower_bound_, float(lower_bound), rtol=1e-11)
    np.testing.assert_allclose(mixture.means_, means.astype(float), rtol=1e-11)
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
