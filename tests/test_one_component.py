"""One component: no densities are looked at where moments tell the log-likelihood."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from axes import each_covariance_type, each_dtype
from numpy.testing import assert_allclose, assert_array_equal

from fastgmm import kernels, reference
from fastgmm.kernels import one_component
from fastgmm.kernels.accumulation import Accumulator
from fastgmm.kernels.layouts import prepare_model
from fastgmm.kernels.one_component import (
    FEWEST_FEATURES,
    MOST_CANCELLATION,
    likelihood_is_in_moments,
)
from fastgmm.kernels.passes import Pass
from fastgmm.model.factors import precisions_cholesky_from_covariances

# The problems are small, and these are tests of the drivers.
pytestmark = pytest.mark.usefixtures("on_drivers")

n, LARGEST = 120, 1e307
TOLERANCES = {8: 1e-12, 4: 1e-5}
each_d = pytest.mark.parametrize("d", [2, 17, 24, 43])


@pytest.fixture(autouse=True)
def few_points_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(one_component, "FEWEST_PRODUCTS", 0)
    monkeypatch.setattr(one_component, "FEWEST_POINTS", 0)


def problem(covariance_type, d, dtype, correlation=0.0):
    """Points of one component whose features are all equally correlated."""
    rng = np.random.default_rng(d)
    scales = rng.uniform(0.5, 2.0, d)
    C = ((1 - correlation) * np.eye(d) + correlation) * scales * scales[:, None]
    X = (3 + rng.standard_normal((n, d)) @ np.linalg.cholesky(C).T).astype(dtype)
    covariances = {"full": C[None], "tied": C, "diag": np.diagonal(C)[None], "spherical": C[0, :1]}
    covariance = covariances[covariance_type]
    U = precisions_cholesky_from_covariances(covariance, covariance_type).astype(dtype)
    return X, np.ones(1), np.full((1, d), 3.25), U, covariance_type


def model_of(X, weights, means, U, covariance_type):
    return prepare_model(weights, means, U, covariance_type, X.dtype)


def correlation_at(factor, d, dtype):
    """Return the correlation at which the sum may cancel so many times as much as is allowed."""

    def cancellation(r):
        C = (1 - r) * np.eye(d) + r
        norms = [np.abs(matrix).sum(axis=1).max() for matrix in (C, np.linalg.inv(C))]
        return norms[0] * norms[1]

    low, high = 0.0, 1 - 1e-9
    for _ in range(60):
        middle = (low + high) / 2
        below = cancellation(middle) < factor * MOST_CANCELLATION[np.dtype(dtype).itemsize]
        low, high = (middle, high) if below else (low, middle)
    return low


def exact_log_likelihood(X, weights, means, U, covariance_type, weight):
    """Σ w log p of the points and factors as they are rounded, with squares in exact arithmetic."""

    def exactly(numbers):
        return [Fraction(float(number)) for number in numbers]

    d, mean = X.shape[1], exactly(means.astype(X.dtype)[0])
    U = U.reshape(d, d).astype(float)
    constant = np.log(np.diagonal(U)).sum() - 0.5 * d * math.log(2 * math.pi)
    columns = [exactly(U[: j + 1, j]) for j in range(d)]
    squares = Fraction(0)
    for x, w in zip(X, weight, strict=True):
        c = [a - b for a, b in zip(exactly(x), mean, strict=True)]
        y = [sum(u * a for u, a in zip(column, c, strict=False)) for column in columns]
        squares += Fraction(float(w)) * sum(a * a for a in y)
    return float(weight.sum(dtype=float) * constant - float(squares) / 2)


# --- on both sides of the bound -------------------------------------------------------------
@each_dtype
@pytest.mark.parametrize("factor", [1e-2, 0.9, 1.1, 1e3])
@pytest.mark.parametrize("d", [17, 20, 43])
def test_it_is_exact_on_both_sides_of_the_bound(d, factor, dtype):
    arguments = problem("full", d, dtype, correlation_at(factor, d, dtype))
    assert likelihood_is_in_moments(model_of(*arguments), n) == (factor < 1)
    weight = np.random.default_rng(0).random(n).astype(dtype)
    exact = exact_log_likelihood(*arguments, weight)
    scale = np.sum(weight * np.abs(reference.log_density(*arguments)), dtype=float)
    actual = kernels.expectation(*arguments, weight).log_likelihood
    assert abs(actual - exact) <= TOLERANCES[arguments[0].itemsize] * scale
    assert Pass(arguments[0], weight).log_likelihood(*arguments[1:]) == actual


@pytest.mark.parametrize("d", [17, 20, 43])
def test_beyond_the_bound_moments_would_be_wrong(d, monkeypatch: pytest.MonkeyPatch):
    by_densities = by_moments = 0.0  # summed, as one error may be next to nothing by chance
    for apart in np.geomspace(1e-10, 1e-12, 12):
        arguments = problem("full", d, np.float64, 1 - apart)
        exact = exact_log_likelihood(*arguments, np.ones(n))
        by_densities += abs(kernels.expectation(*arguments).log_likelihood / exact - 1)
        with monkeypatch.context() as patch:
            patch.setitem(one_component.MOST_CANCELLATION, 8, np.inf)
            by_moments += abs(kernels.expectation(*arguments).log_likelihood / exact - 1)
    assert by_moments > 10 * by_densities


@each_dtype
@each_covariance_type
@each_d
def test_statistics_are_those_of_the_reference(covariance_type, d, dtype):
    arguments = problem(covariance_type, d, dtype)
    is_full = covariance_type == "full" and d >= FEWEST_FEATURES
    assert likelihood_is_in_moments(model_of(*arguments), n) == is_full
    for weight in (None, np.arange(n) % 3):
        actual = kernels.expectation(*arguments, weight)
        expected = reference.expectation(*arguments, weight)
        for field in ("log_likelihood", "counts", "first", "second", "reference"):
            one, other = (np.asarray(getattr(s, field)) for s in (actual, expected))
            tolerance = TOLERANCES[arguments[0].itemsize] * np.abs(other).max()
            assert_allclose(one, other, rtol=0, atol=tolerance)


# --- where squares are not what they are --------------------------------------------------------
@each_covariance_type
@pytest.mark.parametrize("d", [2, 20])
@pytest.mark.parametrize("scale", [1e-170, 1e-140, 1e140, 1e170])
def test_squares_that_leave_the_range_of_numbers(scale, d, covariance_type):
    if covariance_type == "spherical" and scale in (1e-170, 1e170):
        return  # whose distances are squared before they are scaled
    X, weights, means, U, _ = problem(covariance_type, d, np.float64)
    scaled = X * scale, weights, means * scale, U / scale, covariance_type
    moved = n * d * np.log(scale)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        actual = kernels.expectation(*scaled).log_likelihood
        alone = Pass(scaled[0]).log_likelihood(*scaled[1:])
    expected = kernels.expectation(X, weights, means, U, covariance_type).log_likelihood - moved
    assert_allclose(actual, expected, rtol=1e-12)
    assert alone == actual


@each_covariance_type
def test_a_constant_feature(covariance_type):
    X, weights, means, U, _ = problem(covariance_type, 20, np.float64)
    X[:, 1] = means[0, 1]
    actual = kernels.expectation(X, weights, means, U, covariance_type)
    expected = reference.expectation(X, weights, means, U, covariance_type)
    assert_allclose(actual.log_likelihood, expected.log_likelihood, rtol=1e-13)


@pytest.mark.usefixtures("silent_as_python")
@each_covariance_type
def test_a_far_point_without_weight_does_not_count(covariance_type):
    arguments = problem(covariance_type, 20, np.float64)
    weight = np.ones(n)
    weight[7] = 0
    expected = kernels.expectation(*arguments, weight)
    arguments[0][7] = 1e200
    actual = kernels.expectation(*arguments, weight)
    assert actual.log_likelihood == expected.log_likelihood
    assert_array_equal(actual.second, expected.second)


@each_covariance_type
def test_a_component_without_weight_is_left_to_densities(covariance_type):
    X, _, *rest = problem(covariance_type, 20, np.float64)
    with np.errstate(divide="ignore"):
        model = model_of(X, np.zeros(1), *rest)
    assert not likelihood_is_in_moments(model, n)
    statistics = Accumulator(X, np.empty(0)).statistics(model, covariance_type)
    assert statistics.log_likelihood < -LARGEST


def test_no_points_and_no_weight():
    arguments = problem("full", 20, np.float64)
    assert kernels.expectation(arguments[0][:0], *arguments[1:]).log_likelihood == 0
    assert kernels.expectation(*arguments, np.zeros(n)).log_likelihood == 0
