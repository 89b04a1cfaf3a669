"""Small problems take another way through the kernels, and small models another M step."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from axes import compiled_only, each_covariance_type, each_dtype
from numpy.testing import assert_allclose, assert_array_equal
from registry import Case
from sklearn.cluster import KMeans
from sklearn.utils._param_validation import InvalidParameterError

from fastgmm import GaussianMixture, kernels
from fastgmm.em import initialization
from fastgmm.kernels import maximization, small_problems
from fastgmm.model.factors import IllDefinedCovariance
from fastgmm.model.maximization import MaximumLikelihood

FIELDS = ("log_likelihood", "counts", "first", "second", "reference")
# Points, features, components: fewer than a chunk, odd numbers, several tiles.
SHAPES = [(1, 1, 1), (7, 1, 3), (33, 3, 2), (150, 4, 3), (40, 17, 5), (1300, 20, 8)]
each_shape = pytest.mark.parametrize(("n", "d", "K"), SHAPES)


def on_drivers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small_problems, "MOST_POINTS", 0)


# --- the pass -----------------------------------------------------------------------------------
@each_shape
@each_covariance_type
@each_dtype
def test_both_ways_agree(covariance_type, dtype, n, d, K, monkeypatch):
    case = Case(covariance_type, dtype, n, d, K, weighted=n > 1)
    X, *mixture, weight = case.make()
    arguments = X, *mixture, covariance_type
    tolerance = 1e-11 if dtype == "float64" else 2e-4

    def results():
        yield from (getattr(kernels.expectation(*arguments, weight), name) for name in FIELDS)
        yield kernels.log_gaussian_density(X, *mixture[1:], covariance_type)
        yield from (f(*arguments) for f in (kernels.log_density, kernels.responsibilities))
        yield from kernels.weighted_covariances(X, kernels.responsibilities(*arguments), "full")

    small, labels = list(results()), kernels.assign(*arguments)
    on_drivers(monkeypatch)
    for one, other in zip(small, results(), strict=True):
        assert np.asarray(one).dtype == np.asarray(other).dtype
        scale = np.abs(other).max() + 1e-30
        assert_allclose(one / scale, other / scale, atol=tolerance)
    assert np.mean(labels != kernels.assign(*arguments)) <= (0 if dtype == "float64" else 0.01)


@compiled_only
@each_covariance_type
def test_tiles_on_any_number_of_threads_give_the_same_bits(covariance_type):
    case = Case(covariance_type, "float64", 2000, 32, 8)
    X, *mixture, _ = case.make()
    assert small_problems.is_small(len(X), 8, 32, covariance_type)
    found = []
    before = numba.get_num_threads()
    for n_threads in (1, before):
        numba.set_num_threads(n_threads)
        statistics = kernels.expectation(X, *mixture, covariance_type)
        posterior = kernels.responsibilities(X, *mixture, covariance_type)
        found.append([*(getattr(statistics, name) for name in FIELDS), posterior])
    numba.set_num_threads(before)
    for one, other in zip(*found, strict=True):
        assert_array_equal(one, other)


def test_what_is_small_is_a_matter_of_shapes():
    assert small_problems.is_small(1, 1, 1, "full")
    assert not small_problems.is_small(10**6, 1, 1, "full")
    assert not small_problems.is_small(2, 1, 5000, "tied"), "factors would be copied"
    assert not small_problems.is_small(4000, 100, 2, "diag")


# --- the M step ---------------------------------------------------------------------------------
@pytest.mark.parametrize(("d", "K"), [(1, 1), (1, 4), (3, 2), (8, 8), (5, 9), (24, 3)])
@pytest.mark.parametrize("reg_covar", [0.0, 1e-3])
@each_covariance_type
def test_the_m_step_of_small_models_is_that_of_large_ones(
    covariance_type, reg_covar, d, K, monkeypatch
):
    X, *mixture, _ = Case(covariance_type, "float64", 60 * K, d, K).make()
    statistics = kernels.expectation(X, *mixture, covariance_type)
    step = MaximumLikelihood(covariance_type, reg_covar)
    monkeypatch.setattr(maximization, "MOST_OPERATIONS", 2**21)
    small = step.maximize(statistics)
    halves = step.regularize(step.estimate(statistics))
    monkeypatch.setattr(maximization, "MOST_OPERATIONS", 0)
    large = step.maximize(statistics)
    for one, other, third in zip(small[:4], halves[:4], large[:4], strict=True):
        assert_array_equal(one, other)
        assert_allclose(one, third, rtol=1e-10, atol=1e-12 * np.abs(third).max())


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0, 0.0])
@pytest.mark.parametrize("where", [(0, 0), (2, 2)])
def test_a_small_covariance_that_is_not_definite_is_refused(bad, where):
    covariances = np.stack([np.eye(3)] * 2)
    covariances[1][where] = bad
    assert maximization.factorize(covariances) is None
    with pytest.raises(IllDefinedCovariance):
        MaximumLikelihood("full").regularize((np.ones(2) / 2, np.zeros((2, 3)), covariances))


# --- calls --------------------------------------------------------------------------------------
def test_arguments_are_validated_again_when_they_change():
    X = Case("full", "float64", 30, 2, 2).make().X
    model = GaussianMixture(2, random_state=0).fit(X)
    for arguments in ({"tol": -1.0}, {"n_components": 2.0}):
        with pytest.raises(InvalidParameterError):
            GaussianMixture(2).set_params(**arguments).fit(X)
    assert model.fit(X).n_components == 2


def test_attributes_that_are_edited_after_a_prediction_are_noticed():
    X = Case("full", "float64", 60, 2, 2).make().X
    model = GaussianMixture(2, random_state=0).fit(X)
    model.predict(X)
    model.covariances_ *= 4.0
    with pytest.warns(UserWarning, match="not of the same Gaussians"):
        model.predict(X)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_plain_array_with_a_bad_number_is_refused(bad):
    X = Case("full", "float64", 60, 2, 2).make().X
    model = GaussianMixture(2, random_state=0).fit(X)
    X[7, 1] = bad
    for method in (model.fit, model.predict, model.score_samples):
        with pytest.raises(ValueError, match="contains"):
            method(X)
    with pytest.raises(ValueError, match="2 features"):
        model.predict(X[:, :1])


@pytest.mark.parametrize("weighted", [False, True])
def test_one_component_draws_what_k_means_would_draw(weighted):
    X = Case("full", "float64", 30, 2, 1).make().X
    weight = np.arange(1.0, 31.0) if weighted else None
    ours, theirs = np.random.RandomState(0), np.random.RandomState(0)
    labels = initialization.labels_of_kmeans(X, 1, ours, weight)
    expected = KMeans(1, n_init=1, random_state=theirs).fit(X, sample_weight=weight).labels_
    assert_array_equal(labels, expected)
    assert ours.random_sample() == theirs.random_sample()
