import warnings

import numpy as np
import pytest
from axes import each_covariance_type
from numpy.testing import assert_allclose, assert_array_equal
from problems import COVARIANCE_TYPES, INIT_PARAMS, assert_close, fixed_start, load
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Peer
from sklearn.utils.random import sample_without_replacement

from fastgmm._records import InitialValues
from fastgmm.data.source import ArraySource
from fastgmm.em import initialization
from fastgmm.em.initialization import Initialization, initial_parameters
from fastgmm.model.maximization import MaximumLikelihood

each_init_params = pytest.mark.parametrize("init_params", INIT_PARAMS)


def start(X, K, covariance_type, random_state=0, *, reg_covar=1e-6, sample_weight=None, **options):
    if not isinstance(random_state, np.random.RandomState):
        random_state = np.random.RandomState(random_state)
    source = ArraySource(X, sample_weight)
    maximization = MaximumLikelihood(covariance_type, reg_covar, X.dtype)
    how = Initialization(**{"init_size": 20_000, **options})
    return initial_parameters(source, K, maximization, how, random_state)[0]


def peer_start(X, K, covariance_type, random_state=0, **options):
    options = {"init_params": "kmeans", "max_iter": 0, **options}
    return Peer(K, covariance_type=covariance_type, random_state=random_state, **options).fit(X)


def assert_same_start(actual, expected, rtol=1e-12):
    assert_close(actual.weights, expected.weights_, rtol)
    assert_close(actual.means, expected.means_, rtol)
    assert_close(actual.covariances, expected.covariances_, rtol)
    assert_close(actual.precisions_cholesky, expected.precisions_cholesky_, rtol)


def assert_equal(actual, expected):
    for a, b in zip(actual[:4], expected[:4], strict=True):
        assert_array_equal(a, b)


@each_init_params
@each_covariance_type
@pytest.mark.parametrize("data", ["iris", "wine", "random 2"])
def test_start_and_random_state_are_scikit_learns(data, covariance_type, init_params):
    X, K = load(data)
    ours, theirs = np.random.RandomState(5), np.random.RandomState(5)
    for _ in range(2):  # as in n_init=2
        actual = start(X, K, covariance_type, ours, init_params=init_params)
        expected = peer_start(X, K, covariance_type, theirs, init_params=init_params)
        assert_same_start(actual, expected)
    assert ours.randint(2**31) == theirs.randint(2**31)


@each_init_params
@each_covariance_type
def test_float32_starts_are_scikit_learns(covariance_type, init_params):
    X, K = load("iris")
    X = X.astype(np.float32)
    actual = start(X, K, covariance_type, init_params=init_params)
    assert {array.dtype for array in actual[:4]} == {np.dtype(np.float32)}
    expected = peer_start(X, K, covariance_type, init_params=init_params)
    assert_same_start(actual, expected, rtol=2e-4)


@each_init_params
def test_more_rows_than_init_size_start_from_a_random_subset(init_params, monkeypatch):
    X, K = load("digits")
    seen = []
    original = initialization.weighted_moments

    def watched(rows, *arguments):
        seen.append(len(rows))
        return original(rows, *arguments)

    monkeypatch.setattr(initialization, "weighted_moments", watched)
    actual = start(X, K, "full", 3, init_params=init_params, init_size=200)
    assert all(n == 200 for n in seen)

    random_state = np.random.RandomState(3)
    rows = np.sort(sample_without_replacement(len(X), 200, random_state=random_state))
    assert len(np.unique(rows)) == 200
    assert_same_start(actual, peer_start(X[rows], K, "full", random_state, init_params=init_params))


def test_of_many_rows_one_is_drawn_from_each_run():
    n, size = 10_007, 300
    source, random_state = ArraySource(np.arange(float(n))[:, None]), np.random.RandomState(0)
    times = np.zeros(n)
    for _ in range(300):
        drawn = source.rows(size, random_state)[0][:, 0].astype(int)
        assert np.all(np.diff(np.searchsorted(np.arange(size) * n // size, drawn, "right")) == 1)
        times[drawn] += 1
    assert len(drawn) == size
    assert np.mean(times > 0) > 0.99


def test_restarts_draw_different_subsets():
    X, K = load("digits")
    random_state = np.random.RandomState(0)
    one = start(X, K, "diag", random_state, init_size=100)
    other = start(X, K, "diag", random_state, init_size=100)
    assert not np.array_equal(np.sort(one.means, axis=0), np.sort(other.means, axis=0))


@pytest.mark.parametrize("init_size", [None, 150, 1000])
def test_all_rows_are_used_up_to_init_size(init_size):
    X, K = load("iris")
    actual = start(X, K, "full", init_params="random", init_size=init_size)
    assert_same_start(actual, peer_start(X, K, "full", init_params="random"))


def test_a_subset_has_at_least_one_row_per_component():
    X, K = load("iris")
    parameters = start(X, K, "spherical", init_params="random_from_data", init_size=1)
    assert len(np.unique(parameters.means, axis=0)) == K


@each_init_params
@each_covariance_type
def test_rows_of_weight_zero_are_absent(covariance_type, init_params):
    X, K = load("iris")
    weight = np.random.default_rng(0).integers(0, 3, size=len(X)).astype(float)
    present = weight > 0
    for init_size in (None, 40):
        options = {"init_params": init_params, "init_size": init_size}
        expected = start(X[present], K, covariance_type, sample_weight=weight[present], **options)
        actual = start(X, K, covariance_type, sample_weight=weight, **options)
        assert_equal(actual, expected)


@each_init_params
@each_covariance_type
def test_equal_weights_of_any_size_change_nothing(covariance_type, init_params):
    X, K = load("iris")
    reference, scaled = (
        start(X, K, covariance_type, init_params=init_params, sample_weight=np.full(len(X), w))
        for w in (1.0, 2.0**-40)
    )
    for a, b in zip(scaled[:4], reference[:4], strict=True):
        assert_close(a, b, 1e-12)
    if init_params in ("kmeans", "random"):  # the others draw weighted rows another way
        unweighted = start(X, K, covariance_type, init_params=init_params)
        assert_close(reference.covariances, unweighted.covariances, 1e-12)


@pytest.mark.parametrize("init_params", ["k-means++", "random_from_data"])
def test_heavy_points_are_chosen(init_params):
    X = load("iris")[0]
    heavy = [3, 70, 120]
    weight = np.full(len(X), 1e-9)
    weight[heavy] = 1.0
    actual = start(X, 3, "spherical", init_params=init_params, sample_weight=weight)
    assert_allclose(np.unique(actual.means, axis=0), np.unique(X[heavy], axis=0), rtol=1e-12)


def test_heavy_points_part_clusters():
    X, weight = np.array([[0.0], [4.0], [10.0]]), np.array([1000.0, 1000.0, 1.0])
    assert_allclose(sorted(start(X, 2, "diag").means[:, 0]), [2, 10])
    weighted = start(X, 2, "diag", sample_weight=weight)
    assert_allclose(sorted(weighted.means[:, 0]), [0, 4010 / 1001])


def test_weights_are_multiplicities_in_the_moments():
    X, _ = load("iris")
    weight = np.arange(len(X)) % 4.0
    actual = start(X, 1, "full", sample_weight=weight)
    repeated = np.repeat(X, weight.astype(int), axis=0)
    assert_same_start(actual, peer_start(repeated, 1, "full"))


@each_covariance_type
def test_given_values_take_the_place_of_estimated_ones(covariance_type):
    X, K = load("wine")
    given = fixed_start(X, K, covariance_type)
    estimated = start(X, K, covariance_type)

    weights = start(
        X, K, covariance_type, initial_values=InitialValues(weights=given["weights_init"])
    )
    assert_array_equal(weights.weights, given["weights_init"])
    assert_equal(weights._replace(weights=estimated.weights), estimated)

    means = start(X, K, covariance_type, initial_values=InitialValues(means=given["means_init"]))
    assert_array_equal(means.means, given["means_init"])
    assert_equal(means._replace(means=estimated.means), estimated)

    precisions = start(
        X, K, covariance_type, initial_values=InitialValues(precisions=given["precisions_init"])
    )
    assert_array_equal(precisions.means, estimated.means)
    U = precisions.precisions_cholesky
    if covariance_type in ("full", "tied"):
        assert_close(U @ U.swapaxes(-2, -1), given["precisions_init"], 1e-12)
        inverses = np.linalg.inv(given["precisions_init"])
    else:
        assert_close(U**2, given["precisions_init"], 1e-12)
        inverses = 1 / given["precisions_init"]
    assert_close(precisions.covariances, inverses, 1e-9)


@each_covariance_type
def test_with_all_given_nothing_is_computed_or_drawn(covariance_type, monkeypatch):
    X, K = load("iris")

    def forbidden(*arguments, **options):
        raise AssertionError("nothing is to be estimated")

    for name in ("_share", "_choose", "_rows_to_start_from"):
        monkeypatch.setattr(initialization, name, forbidden)
    given = fixed_start(X, K, covariance_type)
    random_state = np.random.RandomState(0)
    parameters = start(
        X,
        K,
        covariance_type,
        random_state,
        initial_values=InitialValues(*given.values()),
        init_size=10,
    )
    assert_array_equal(parameters.means, given["means_init"])
    assert random_state.randint(2**31) == np.random.RandomState(0).randint(2**31)


@each_covariance_type
def test_empty_clusters_start_as_in_scikit_learn(covariance_type):
    X = np.repeat([[1.0, 2.0], [3.0, 5.0]], 5, axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # k-means: fewer clusters than K
        actual = start(X, 3, covariance_type, reg_covar=1e-2)
        expected = peer_start(X, 3, covariance_type, reg_covar=1e-2)
    assert (actual.weights < 1e-10).sum() == 1
    assert_allclose(actual.weights, expected.weights_, rtol=1e-12)
    assert_same_start(actual, expected)


@each_init_params
def test_input_is_not_modified(init_params):
    X, K = load("iris")
    X, weight = X.copy(), np.arange(len(X)) % 3.0
    X_before, weight_before = X.copy(), weight.copy()
    for covariance_type in COVARIANCE_TYPES:
        start(X, K, covariance_type, init_params=init_params, sample_weight=weight)
        start(X, K, covariance_type, init_params=init_params, sample_weight=weight + 1)
    assert_array_equal(X, X_before)
    assert_array_equal(weight, weight_before)
