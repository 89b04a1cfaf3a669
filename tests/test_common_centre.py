"""Moments about one centre of all components, on both sides of where they pay and may cancel."""

from __future__ import annotations

from unittest import mock

import numba
import numpy as np
import pytest
from axes import each_dtype_by_name
from registry import COMMON_CENTRE_CASES, TOLERANCES, assert_statistics_agree

from fastgmm import reference
from fastgmm._records import Statistics
from fastgmm.kernels import common_centre, layouts, partition
from fastgmm.kernels.accumulation import Accumulator

# The problems are small, and these are tests of the drivers.
pytestmark = pytest.mark.usefixtures("on_drivers")


@pytest.fixture(autouse=True)
def worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let few points, in several short spans and runs, go about one centre."""
    monkeypatch.setattr(partition, "SHARED_BYTES", 0)
    monkeypatch.setattr(layouts, "MOST_UNROLLED_MOMENTS", 0)
    monkeypatch.setattr(partition, "LEAST_WANTED", 0)
    monkeypatch.setattr(common_centre, "POINTS_PER_FEATURE", 0)
    monkeypatch.setattr(partition, "RUN_BYTES", 2**17)
    monkeypatch.setattr(partition, "MOST_RUNS", 2)
    monkeypatch.setattr(partition, "EVEN_TILES", 1)
    monkeypatch.setattr(partition, "TILES_OF_RUN", 1)
    monkeypatch.setattr(partition, "SUMS_OF_SLAB", 100)


def overlapping(n: int, d: int, K: int, dtype: str, offset: float = 1.0):
    """Points and a mixture, each of whose components may have any of them."""
    rng = np.random.default_rng(d)
    X = (rng.standard_normal((n, d)) + offset).astype(dtype)
    means = (0.1 * rng.standard_normal((K, d)) + offset).astype(dtype)
    factors = np.triu(0.02 * rng.standard_normal((K, d, d)) + np.eye(d)).astype(dtype)
    return X, rng.dirichlet(np.full(K, 9.0)).astype(dtype), means, factors


def both_ways(
    X: np.ndarray, *mixture: np.ndarray, weight: np.ndarray | None = None
) -> tuple[Statistics, Statistics, bool]:
    """Statistics as they are taken, those by components, and whether the former have a centre."""
    points = Accumulator(X, np.empty(0, X.dtype) if weight is None else weight)
    model = layouts.prepare_model(*mixture, "full", X.dtype)
    with mock.patch.object(common_centre, "LEAST_COUNTING", 2.0):
        by_components = points.statistics(model, "full")
    about_means = common_centre.MomentsAboutCentre.about_means
    with mock.patch.object(
        common_centre.MomentsAboutCentre, "about_means", autospec=True, side_effect=about_means
    ) as taken:
        actual = points.statistics(model, "full")
    return actual, by_components, taken.called and not points._cancelled


def assert_agree(actual: Statistics, expected: Statistics, dtype: str) -> None:
    """Check counts, and each moment in units of the deviations of its features."""
    tolerance, counts = TOLERANCES[dtype], expected.counts
    np.testing.assert_allclose(actual.counts, counts, rtol=tolerance)
    deviations = np.sqrt(np.diagonal(expected.second, axis1=1, axis2=2))
    units = np.where(deviations > 0, deviations, 1)
    errors = np.abs(actual.second - expected.second) / units[:, :, None] / units[:, None]
    assert errors.max() <= tolerance, f"{errors.max():.1e}"
    errors = np.abs(actual.first - expected.first) / units / np.sqrt(counts)[:, None]
    assert errors.max() <= tolerance, f"{errors.max():.1e}"
    assert np.array_equal(actual.second, actual.second.swapaxes(1, 2))


@pytest.mark.parametrize("case", COMMON_CENTRE_CASES, ids=lambda case: case.name)
def test_cases_of_the_registry(case, monkeypatch):
    """Not all of their pairs count, which is a matter of time alone."""
    monkeypatch.setattr(common_centre, "LEAST_COUNTING", 0.0)
    X, *mixture, weight = case.make()
    points = Accumulator(X, np.empty(0, X.dtype) if weight is None else weight)
    model = layouts.prepare_model(*mixture, "full", X.dtype)
    actual = points.statistics(model, "full")
    assert not points._cancelled
    doubles = (array.astype(np.float64) for array in (X, *mixture))
    expected = reference.expectation(*doubles, "full", weight)
    log_densities = reference.log_density(*(a.astype(np.float64) for a in (X, *mixture)), "full")
    assert_statistics_agree(actual, expected, log_densities, case.dtype)


@each_dtype_by_name
@pytest.mark.parametrize(
    ("n", "d", "K"),
    [(900, 40, 16), (700, 43, 12), (500, 44, 9), (600, 33, 35), (300, 97, 3), (40, 24, 8)],
)
@pytest.mark.parametrize("weighted", [False, True])
def test_agrees_with_the_reference_and_with_moments_by_components(n, d, K, weighted, dtype):
    X, *mixture = overlapping(n, d, K, dtype)
    weight = np.random.default_rng(0).random(n).astype(dtype) if weighted else None
    actual, by_components, about_centre = both_ways(X, *mixture, weight=weight)
    assert about_centre
    assert actual.log_likelihood == by_components.log_likelihood
    assert_agree(actual, by_components, dtype)
    doubles = (array.astype(np.float64) for array in (X, *mixture))
    expected = reference.expectation(*doubles, "full", weight)
    assert_agree(actual, expected, dtype)


@each_dtype_by_name
@pytest.mark.parametrize("part_of_bound", [0.01, 0.5, 1.5, 9.0])
def test_both_sides_of_what_may_cancel(part_of_bound: float, dtype: str):
    """Two clusters of given shares, which all count but hardly widen the other component."""
    n, d, K = 1000, 24, 8
    most = common_centre.MOST_CANCELLATION[np.dtype(dtype).itemsize]
    apart = np.sqrt(max(0.0, part_of_bound * most - 1))
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=n)
    X = (rng.standard_normal((n, d)) + np.where(labels == 0, apart, -apart)[:, None]).astype(dtype)
    shares = np.full((n, K), 1e-14, dtype)
    shares[np.arange(n), labels + 2 * rng.integers(K // 2, size=n)] = 1
    means = np.where(np.arange(K) % 2 == 0, apart, -apart)[:, None] + np.zeros(d)
    model = layouts.moments_model(means, "full", X.dtype)
    points = Accumulator(X, np.empty(0, X.dtype))
    actual = points.statistics(model, "full", shares)
    assert points._cancelled == (part_of_bound > 1)
    by_components = Accumulator(X, np.empty(0, X.dtype))
    with mock.patch.object(common_centre, "LEAST_COUNTING", 2.0):
        expected = by_components.statistics(model, "full", shares)
    assert_agree(actual, expected, dtype)
    if points._cancelled:
        assert np.array_equal(actual.second, expected.second)


@each_dtype_by_name
def test_constant_features_do_not_cancel(dtype: str):
    X, weights, means, factors = overlapping(500, 24, 8, dtype)
    X[:, 3], means[:, 3] = np.pi, np.asarray(np.pi, dtype)
    X[:, 4], means[:, 4] = 0, 0
    actual, by_components, about_centre = both_ways(X, weights, means, factors)
    assert about_centre
    assert_agree(actual, by_components, dtype)


@pytest.mark.parametrize("offset", [1e6, 1e150])
def test_far_from_the_origin_and_too_far(offset: float):
    """Squares about a centre are finite even where those about the origin are not."""
    X, weights, means, factors = overlapping(400, 24, 8, "float64", offset=1e6)
    if offset > 1e100:
        X, means, factors = X * 1e160, means * 1e160, factors * 1e-160
    with np.errstate(all="ignore"):  # as Python, kernels warn of what overflows
        actual, by_components, about_centre = both_ways(X, weights, means, factors)
    assert about_centre == (offset < 1e100)
    np.testing.assert_allclose(actual.counts, by_components.counts)
    np.testing.assert_allclose(actual.second, by_components.second, rtol=1e-9, atol=1e-9)


def test_clusters_apart_go_by_components():
    """So do few points, few components, and what would be padding for the most part."""
    X, weights, means, factors = overlapping(400, 24, 8, "float64")
    labels = np.arange(len(X)) % 8
    far = X + 99 * labels[:, None], weights, means + 99 * np.arange(8)[:, None], factors
    assert not both_ways(*far)[2]
    with mock.patch.object(common_centre, "POINTS_PER_FEATURE", 32):
        assert not both_ways(X, weights, means, factors)[2]
    with mock.patch.object(partition, "LEAST_WANTED", 1.0):
        assert not both_ways(X, weights, means, factors)[2]


def test_a_later_pass_forgets_the_one_before():
    X, weights, means, factors = overlapping(900, 24, 9, "float64")
    points = Accumulator(X, np.empty(0))
    model = layouts.prepare_model(weights, means, factors, "full", X.dtype)
    first = points.statistics(model, "full")
    second = points.statistics(model, "full")
    assert not points._cancelled
    for field in ("counts", "first", "second"):
        assert np.array_equal(getattr(first, field), getattr(second, field))


def test_bits_do_not_depend_on_the_number_of_threads():
    X, *mixture = overlapping(2000, 44, 17, "float64")
    most, results = numba.get_num_threads(), []
    for n_threads in (1, most):
        numba.set_num_threads(n_threads)
        try:
            actual, _, about_centre = both_ways(X, *mixture)
        finally:
            numba.set_num_threads(most)
        assert about_centre
        results.append(actual)
    for field in ("counts", "first", "second"):
        assert np.array_equal(getattr(results[0], field), getattr(results[1], field))


@each_dtype_by_name
@pytest.mark.parametrize(("n", "d", "K"), [(300_000, 64, 16), (10**6, 128, 32), (10**6, 44, 20)])
def test_runs_are_work_for_64_threads(n: int, d: int, K: int, dtype: str):
    model = layouts.outline(K, d, "full", np.dtype(dtype))
    n_tiles = 2 * 64 + n // 1024
    with mock.patch.multiple(partition, TILES_OF_RUN=4, SUMS_OF_SLAB=2**9):
        cut = partition.diagonals_of(model, np.dtype(dtype).itemsize, n_tiles)
    assert cut.n_runs * cut.n_slabs * cut.n_components // cut.n_together >= 32
    assert cut.n_runs * cut.bytes_of_sums <= partition.MOST_BYTES_OF_SUMS
    assert cut.n_components >= K
    assert cut.n_components % cut.n_together == 0
