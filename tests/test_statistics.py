"""Statistics add up, scale and move to other reference points."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from problems import COVARIANCE_TYPES, fixed_start, load

from fastgmm import Statistics, kernels, reference
from fastgmm.model.factors import precisions_cholesky_from_precisions

FIELDS = ("counts", "first", "second", "reference")
each_covariance_type = pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
each_module = pytest.mark.parametrize("module", [kernels, reference])


def passed(module, covariance_type, weight=None, data="iris"):
    X, K = load(data)
    start = fixed_start(X, K, covariance_type)
    U = precisions_cholesky_from_precisions(start["precisions_init"], covariance_type)
    arguments = start["weights_init"], start["means_init"], U, covariance_type
    return X, arguments, module.expectation(X, *arguments, weight)


def moved(X, arguments, weight, about):
    """Moments about other points, by their definition."""
    r = weight[:, None] * reference.responsibilities(X, *arguments)
    first = np.stack([r[:, k] @ (X - m) for k, m in enumerate(about)])
    full = np.stack([((X - m) * r[:, [k]]).T @ (X - m) for k, m in enumerate(about)])
    diagonals = np.diagonal(full, axis1=1, axis2=2)
    second = {
        "full": full,
        "tied": full.sum(axis=0),
        "diag": diagonals,
        "spherical": diagonals.sum(axis=1),
    }
    return first, second[arguments[-1]]


@each_module
@each_covariance_type
def test_moments_about_other_points_are_those_of_the_definition(covariance_type, module):
    weight = np.random.default_rng(0).uniform(0, 2, 150)
    X, arguments, statistics = passed(module, covariance_type, weight)
    about = statistics.reference + np.random.default_rng(1).normal(size=statistics.reference.shape)
    found = statistics.about(about)
    first, second = moved(X, arguments, weight, about)
    assert_allclose(found.first, first, rtol=1e-12, atol=1e-10)
    assert_allclose(found.second, second, rtol=1e-12, atol=1e-10)
    assert_array_equal(found.reference, about)
    assert_array_equal(found.counts, statistics.counts)
    assert found.log_likelihood == statistics.log_likelihood


@each_covariance_type
def test_sum_adds_them_up(covariance_type):
    X, arguments, whole = passed(kernels, covariance_type)
    total = sum(kernels.expectation(part, *arguments) for part in np.array_split(X, 4))
    for name in ("log_likelihood", *FIELDS):
        assert_allclose(getattr(total, name), getattr(whole, name), rtol=1e-12, atol=1e-10)


def test_nothing_but_statistics_can_be_added():
    _, _, statistics = passed(kernels, "full")
    for other in (1, 0.5, None):
        with pytest.raises(TypeError, match="unsupported operand"):
            other + statistics


@each_covariance_type
def test_there_and_back_is_where_it_was(covariance_type):
    _, _, statistics = passed(kernels, covariance_type)
    back = statistics.about(statistics.reference + 1.0).about(statistics.reference)
    for name in FIELDS:
        assert_allclose(getattr(back, name), getattr(statistics, name), rtol=1e-11, atol=1e-9)


@each_covariance_type
def test_scaling_is_a_scale_of_the_weights(covariance_type):
    weight = np.random.default_rng(0).uniform(0, 2, 150)
    _, _, statistics = passed(reference, covariance_type, weight)
    _, _, heavier = passed(reference, covariance_type, 4 * weight)
    scaled = statistics.scaled(4.0)
    for name in FIELDS:
        assert_allclose(getattr(scaled, name), getattr(heavier, name), rtol=1e-13)
    assert scaled.log_likelihood == pytest.approx(heavier.log_likelihood, rel=1e-13)


@each_covariance_type
def test_a_stream_that_forgets(covariance_type):
    """Old statistics, scaled and moved, add to new ones about other means."""
    X, arguments, old = passed(kernels, covariance_type)
    new = kernels.expectation(X, arguments[0], arguments[1] + 0.1, *arguments[2:])
    together = old.scaled(0.25).about(new.reference) + new
    assert_allclose(together.counts, 0.25 * old.counts + new.counts)
    assert together.covariance_type == covariance_type


def test_what_cannot_be_moved_says_why():
    square = Statistics(0.0, np.ones(2), np.zeros((2, 2)), np.ones((2, 2)), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="'tied' or for 'diag'; say which as covariance_type"):
        square.about(np.ones((2, 2)))
    with pytest.raises(ValueError, match=r"shape \(3,\); expected \(2, 2\)"):
        square.about(np.ones(3))


@pytest.mark.parametrize(("K", "d"), [(2, 3), (3, 1)])
@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_the_shape_tells_the_type_where_it_can(covariance_type, K, d):
    shape = {"full": (K, d, d), "tied": (d, d), "diag": (K, d), "spherical": (K,)}
    known = Statistics(
        *(0.0, np.ones(K), np.ones((K, d)), np.ones(shape[covariance_type]), np.zeros((K, d))),
        covariance_type,
    )
    unknown = Statistics(0.0, known.counts, known.first, known.second, known.reference)
    about = np.full((K, d), 2.0)
    assert_array_equal(unknown.about(about).second, known.about(about).second)
