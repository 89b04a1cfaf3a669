"""Tied second moments from the scatter of all the points, on both sides of what may cancel."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from axes import compiled_only, each_dtype_by_name
from registry import TOLERANCES, Case

from fastgmm import reference
from fastgmm.kernels import total_scatter
from fastgmm.kernels.accumulation import Accumulator
from fastgmm.kernels.layouts import prepare_model


def tied_problem(dtype: str, apart: float, *, offset: float = 0.0, n: int = 6000, d: int = 17):
    """Points of three components whose means are `apart` from their centre in each feature."""
    rng = np.random.default_rng(1)
    means = np.outer([-1.0, 0.0, 1.0], apart * np.sqrt(1.5) * np.sign(rng.standard_normal(d)))
    X = (np.repeat(means, n // 3, axis=0) + rng.standard_normal((n, d)) + offset).astype(dtype)
    factor = np.triu(0.1 * rng.standard_normal((d, d))) + np.eye(d)
    means = (means + 0.01 * rng.standard_normal((3, d)) + offset).astype(dtype)
    return X, np.full(3, 1 / 3), means, factor


def statistics_and_way(X, weights, means, factor, sample_weight=None):
    """Statistics of the drivers, and whether they come from the total scatter."""
    weight = np.empty(0, X.dtype) if sample_weight is None else sample_weight.astype(X.dtype)
    points = Accumulator(X, weight, "many")
    model = prepare_model(weights, means, factor, "tied", X.dtype)
    with mock.patch.object(Accumulator, "_by_total", autospec=True) as by_total:
        by_total.side_effect = lambda *arguments: None
        direct = points.statistics(model, "tied")
    assert by_total.called
    actual = points.statistics(model, "tied")
    return actual, direct, points._by_total(model) is not None


def assert_elementwise(actual: np.ndarray, expected: np.ndarray, dtype: str) -> None:
    """Check each element in units of the deviations of its two features."""
    deviations = np.sqrt(np.diagonal(expected))
    errors = np.abs(actual - expected) / np.outer(deviations, deviations)
    assert errors.max() <= TOLERANCES[dtype], f"{errors.max():.1e}"


@each_dtype_by_name
@pytest.mark.parametrize("part_of_bound", [0.01, 0.3, 1.5, 4.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_both_sides_of_the_bound(dtype: str, part_of_bound: float, weighted: bool):
    most = total_scatter.MOST_CANCELLATION[np.dtype(dtype).itemsize]
    apart = np.sqrt(part_of_bound * most - min(part_of_bound * most, 1.0))
    X, *mixture = tied_problem(dtype, apart, offset=1.0)
    weight = np.tile([0.5, 1.0, 2.0], len(X) // 3) if weighted else None
    actual, direct, by_total = statistics_and_way(X, *mixture, weight)
    assert by_total == (part_of_bound < 1)
    expected = reference.expectation(
        X.astype(np.float64), *mixture, "tied", None if weight is None else weight.astype(dtype)
    )
    assert_elementwise(actual.second, expected.second, dtype)
    assert_elementwise(actual.second, direct.second, dtype)
    np.testing.assert_allclose(actual.counts, direct.counts, rtol=10 * TOLERANCES[dtype])
    assert actual.log_likelihood == direct.log_likelihood
    errors = np.abs(actual.first - expected.first)  # about the means, at unit deviations
    assert errors.max() <= TOLERANCES[dtype] * expected.counts.max()


@each_dtype_by_name
def test_constant_and_repeated_features_do_not_cancel(dtype: str):
    X, weights, means, factor = tied_problem(dtype, 0.5)
    X[:, 0], means[:, 0] = 0.1, 0.1
    X[:, 1], means[:, 1] = X[:, 2], means[:, 2]
    actual, direct, by_total = statistics_and_way(X, weights, means, factor)
    assert by_total
    assert np.abs(actual.second[0]).max() <= TOLERANCES[dtype] * direct.second.max()
    assert_elementwise(actual.second[1:, 1:], direct.second[1:, 1:], dtype)


def test_a_distant_first_point_is_no_bad_origin():
    X, *mixture = tied_problem("float64", 0.5)
    X[0] = 1e6
    weight = np.ones(len(X))
    weight[0] = 0.0
    actual, direct, by_total = statistics_and_way(X, *mixture, weight)
    assert by_total
    assert_elementwise(actual.second, direct.second, "float64")


@compiled_only  # the plain-numpy twins warn of what overflows
@pytest.mark.parametrize(("dtype", "far"), [("float32", 4e18), ("float64", 3e153)])
def test_squares_that_overflow_are_not_taken_for_a_scatter(dtype: str, far: float):
    X, weights, means, factor = tied_problem(dtype, 0.5, n=300)
    X[:150] += np.dtype(dtype).type(far)
    actual, direct, by_total = statistics_and_way(X, weights, means, factor)
    assert not by_total
    np.testing.assert_array_equal(actual.second, direct.second)


def test_offset_of_many_deviations():
    X, *mixture = tied_problem("float64", 0.5, offset=1e8)
    actual, _, by_total = statistics_and_way(X, *mixture)
    assert by_total
    expected = reference.expectation(X, *mixture, "tied")
    assert_elementwise(actual.second, expected.second, "float64")


def test_points_without_weight_or_numbers_go_the_other_way():
    X, *mixture = tied_problem("float64", 0.5, n=300)
    assert not statistics_and_way(X, *mixture, np.zeros(300))[2]
    X[7, 3] = np.inf
    with np.errstate(invalid="ignore"):
        assert not statistics_and_way(X, *mixture)[2]


def test_model_that_says_nothing_of_the_points_is_judged_afterwards():
    """Far from a fixed point the guess from weights and means may be wrong, either way."""
    X, weights, means, factor = tied_problem("float64", 30.0)  # far apart
    nearly_one = np.array([1e-6, 1 - 2e-6, 1e-6])  # the guess: nothing cancels
    actual, direct, by_total = statistics_and_way(X, nearly_one, means, factor)
    assert not by_total
    assert_elementwise(actual.second, direct.second, "float64")
    near, *_ = tied_problem("float64", 0.5)
    actual, direct, by_total = statistics_and_way(near, weights, means, factor)
    assert not by_total  # the guess: all of it cancels
    assert_elementwise(actual.second, direct.second, "float64")


def test_the_scatter_is_taken_once_and_gives_the_same_bits_later():
    case = Case("tied", "float64", 2000, 20, 4)
    X, weights, means, factor, _ = case.make()
    points = Accumulator(X, np.empty(0), "many")
    models = [prepare_model(weights, m, factor, "tied", X.dtype) for m in (means, means + 0.2)]
    later = [points.statistics(model, "tied") for model in models][1]
    assert points._by_total(models[1]) is not None
    assert "_total" in vars(points)
    first = Accumulator(X, np.empty(0), "many").statistics(models[1], "tied")
    np.testing.assert_array_equal(later.second, first.second)
    np.testing.assert_array_equal(later.first, first.first)
