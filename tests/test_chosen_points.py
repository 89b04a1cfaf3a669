"""Moments from all points, or from those alone that count for a component."""

from __future__ import annotations

import numpy as np
import pytest
from axes import each_dtype_by_name
from clusters import (
    FAR,
    NEAR,
    assert_agrees,
    assert_an_empty_component_counts_nothing,
    clusters,
)

from fastgmm import kernels, reference
from fastgmm.kernels import layouts, total_scatter, workspace

# The problems are small, and these are tests of the drivers.
pytestmark = pytest.mark.usefixtures("on_drivers")

FEWEST = workspace.FEWEST_GATHERED
FEWEST_K, FEWEST_D = workspace.FEWEST_CHOOSING, workspace.FEWEST_FEATURES
each_apart = pytest.mark.parametrize("apart", [4 * FAR, FAR, 1.0, NEAR])


@each_dtype_by_name
@each_apart
@pytest.mark.parametrize("d", [FEWEST - 1, FEWEST, 17, 33])
@pytest.mark.parametrize(("n", "K"), [(1500, 5), (3, 2), (517, 30)])
def test_moments_agree_with_the_reference(n, d, K, apart, dtype):
    problem = clusters(n, d, K, apart, dtype)
    assert isinstance(layouts.prepare_model(*problem[1:], np.dtype(dtype)), layouts.SmallFullModel)
    assert_agrees(problem, dtype)
    weight = np.random.default_rng(0).random(n).astype(dtype)
    weight[::3] = 0
    assert_agrees(problem, dtype, weight)


@each_dtype_by_name
@each_apart
@pytest.mark.parametrize("kind", ["diag", "spherical", "tied"])
@pytest.mark.parametrize("d", [FEWEST_D - 1, FEWEST_D, 37])
@pytest.mark.parametrize("K", [FEWEST_K - 1, FEWEST_K, 70])
def test_moments_of_other_models(kind, K, d, apart, dtype):
    problem = clusters(1037, d, K, apart, dtype, kind)
    assert_agrees(problem, dtype)
    weight = np.random.default_rng(0).random(1037).astype(dtype)
    weight[::3] = 0
    assert_agrees(problem, dtype, weight)


@each_dtype_by_name
@each_apart
@pytest.mark.parametrize("K", [FEWEST_K - 1, FEWEST_K, workspace.MOST_PAIRED + 6])
def test_tied_moments_without_the_total_scatter(K, apart, dtype, monkeypatch):
    # Single passes take it from 33 components on.
    monkeypatch.setattr(total_scatter, "MOST_CANCELLATION", {4: 0.0, 8: 0.0})
    problem = clusters(1037, 18, K, apart, dtype, "tied")
    assert_agrees(problem, dtype)
    weight = np.random.default_rng(0).random(1037).astype(dtype)
    weight[::3] = 0
    assert_agrees(problem, dtype, weight)


@pytest.mark.parametrize("kind", ["diag", "spherical"])
def test_a_component_of_other_models_whose_shares_are_all_small(kind):
    """Its moments are of what it has, however little that is beside the other shares."""
    X, weights, means, factors, _ = clusters(900, 20, FEWEST_K, FAR, "float64", kind)
    weights[5], means[5] = 1e-25, means[6]
    weights /= weights.sum()
    actual = kernels.expectation(X, weights, means, factors, kind)
    expected = reference.expectation(X, weights, means, factors, kind)
    assert 0 < expected.counts[5] < 1e-20
    np.testing.assert_allclose(actual.counts, expected.counts, rtol=1e-10)
    np.testing.assert_allclose(actual.first[5], expected.first[5], rtol=1e-9)
    np.testing.assert_allclose(actual.second[5], expected.second[5], rtol=1e-9)


def test_a_component_without_points_counts_nothing():
    assert_an_empty_component_counts_nothing()


@pytest.mark.parametrize("kind", ["diag", "spherical"])
@pytest.mark.parametrize("share", [0.0, 1e-30, 1.0])
def test_given_responsibilities_of_other_models(kind, share):
    X = np.random.default_rng(0).standard_normal((512, 20))
    responsibilities = np.zeros((512, 40))
    responsibilities[np.arange(512), np.arange(512) % 39] = 1.0
    responsibilities[::100, 39] = share
    actual = kernels.weighted_covariances(X, responsibilities, kind)
    expected = reference.weighted_covariances(X, responsibilities, kind)
    for one, other in zip(actual, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("share", [0.0, 1e-30, 0.3, 1.0])
def test_given_responsibilities_count_however_small(share):
    """And half the points, one more, one less: where all of them are cheaper."""
    X = np.random.default_rng(0).standard_normal((512, 12))
    for n_counting in (0, 1, 255, 256, 257, 512):
        responsibilities = np.zeros((512, 2))
        responsibilities[:n_counting, 0] = share
        responsibilities[:, 1] = 1e-20
        actual = kernels.weighted_covariances(X, responsibilities, "full")
        expected = reference.weighted_covariances(X, responsibilities, "full")
        for one, other in zip(actual, expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-13)
