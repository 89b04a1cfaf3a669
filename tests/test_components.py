"""Distances from components, merging and pruning, the table of components, seeds of samples."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from axes import each_dtype
from mixtures import each_family, mixture_of
from scipy.spatial.distance import cdist

from fastgmm import GaussianMixture
from fastgmm.model.families import family_of


def moments(mixture):
    """Mean and covariance of a whole mixture."""
    w, means = mixture.weights_, mixture.means_
    dense = family_of(mixture.covariance_type).dense(mixture.covariances_, *means.shape)
    apart = means - w @ means
    return w @ means, np.einsum("k,kij->ij", w, dense) + (apart * w[:, None]).T @ apart


def part_of(family, covariance):
    """What a family can express of a covariance."""
    if family.is_matrix:
        return covariance
    variances = np.diagonal(covariance)
    return variances if "d" in family.axes else variances.mean()


# --- distances ------------------------------------------------------------------------------
@each_family
def test_distances_are_scipys(covariance_type):
    mixture, X = mixture_of(covariance_type), np.random.default_rng(1).normal(size=(20, 4))
    dense = family_of(covariance_type).dense(mixture.covariances_, 3, 4)
    for k, (mean, covariance) in enumerate(zip(mixture.means_, dense, strict=True)):
        expected = cdist(X, mean[None], "mahalanobis", VI=np.linalg.inv(covariance))[:, 0]
        np.testing.assert_allclose(mixture.mahalanobis(X)[:, k], expected, rtol=1e-10)


@each_family
def test_a_mean_is_no_distance_from_itself(covariance_type):
    mixture = mixture_of(covariance_type, offset=1e8)
    np.testing.assert_array_equal(np.diagonal(mixture.mahalanobis(mixture.means_)), 0)


@each_dtype
def test_distances_have_the_dtype_of_the_points(dtype):
    assert mixture_of("full").mahalanobis(np.zeros((1, 4), dtype)).dtype == dtype


# --- fewer components -----------------------------------------------------------------------
@each_family
@pytest.mark.parametrize("together", [[0, 1], [2, 0], [1, 2, 0]])
def test_merging_keeps_the_moments_of_the_mixture(covariance_type, together):
    mixture = mixture_of(covariance_type)
    fewer = mixture.merge(together)
    (mean, covariance), (expected_mean, expected) = moments(fewer), moments(mixture)
    np.testing.assert_allclose(mean, expected_mean, rtol=1e-12)
    family = family_of(covariance_type)
    if len(together) == 3:
        np.testing.assert_allclose(
            part_of(family, covariance), part_of(family, expected), rtol=1e-12
        )
    # What lies between components that are left is not the family's to express.
    np.testing.assert_allclose(np.trace(covariance), np.trace(expected), rtol=1e-12)
    assert fewer.weights_.sum() == pytest.approx(1, rel=1e-15)


@each_family
def test_merging_equal_components_changes_nothing(covariance_type):
    mixture = mixture_of(covariance_type)
    family, again = family_of(covariance_type), [0, 1, 2, 1]
    covariances = mixture.covariances_ if family.is_shared else mixture.covariances_[again]
    weights = mixture.weights_[again] * [1, 0.25, 1, 0.75]
    twice = GaussianMixture.from_parameters(
        weights, mixture.means_[again], covariances, covariance_type
    )
    X = np.random.default_rng(2).normal(size=(30, 4))
    merged = twice.merge([1, 3])
    np.testing.assert_allclose(merged.score_samples(X), mixture.score_samples(X), rtol=1e-12)
    np.testing.assert_allclose(merged.means_, mixture.means_, rtol=1e-14)  # in the first's place


def test_the_merged_component_is_in_the_place_of_the_first():
    mixture = mixture_of("full", n_components=4)
    fewer = mixture.merge([3, 0])
    np.testing.assert_allclose(fewer.means_[:2], mixture.means_[[1, 2]], rtol=1e-15)
    np.testing.assert_allclose(fewer.weights_[2], mixture.weights_[[0, 3]].sum(), rtol=1e-15)


@each_family
def test_pruning_leaves_the_others_as_they_are(covariance_type):
    mixture = mixture_of(covariance_type, n_components=4)
    order = np.argsort(mixture.weights_)
    fewer = mixture.prune(mixture.weights_[order[1]])
    kept = np.sort(order[1:])
    np.testing.assert_array_equal(fewer.means_, mixture.means_[kept])
    np.testing.assert_allclose(
        fewer.weights_ / fewer.weights_[0], mixture.weights_[kept] / mixture.weights_[kept[0]]
    )
    assert fewer.weights_.sum() == pytest.approx(1, rel=1e-15)
    if not family_of(covariance_type).is_shared:
        np.testing.assert_array_equal(fewer.covariances_, mixture.covariances_[kept])
    np.testing.assert_array_equal(mixture.prune(0).means_, mixture.means_)


def test_mixtures_made_of_one_keep_names_and_threads():
    pd = pytest.importorskip("pandas", reason="frames are of pandas")
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(50, 2)), columns=["a", "b"])
    mixture = GaussianMixture(3, random_state=0, n_jobs=1).fit(X)
    for fewer in (mixture.merge([0, 1]), mixture.prune(0.0)):
        assert (list(fewer.feature_names_in_), fewer.n_jobs) == (["a", "b"], 1)
        fewer.predict(X)


# --- the table, and seeds -------------------------------------------------------------------
@each_family
def test_the_table_has_every_component(covariance_type):
    pytest.importorskip("pandas", reason="the table is of pandas")
    mixture = mixture_of(covariance_type, d=2)
    table = mixture.to_frame()
    assert list(table.columns) == ["weight", "mean_0", "mean_1", "std_0", "std_1"]
    dense = family_of(covariance_type).dense(mixture.covariances_, 3, 2)
    np.testing.assert_array_equal(table["weight"], mixture.weights_)
    np.testing.assert_array_equal(table["mean_1"], mixture.means_[:, 1])
    np.testing.assert_allclose(table["std_0"], np.sqrt(dense[:, 0, 0]), rtol=1e-15)


def test_a_table_needs_pandas(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        mixture_of("full").to_frame()


def test_samples_have_a_seed_of_their_own():
    mixture = mixture_of("full").set_params(random_state=3)
    X, labels = mixture.sample(20, random_state=7)
    again, _ = mixture.sample(20, random_state=7)
    np.testing.assert_array_equal(X, again)
    own, _ = mixture.sample(20)
    np.testing.assert_array_equal(own, mixture.sample(20, random_state=3)[0])
    assert not np.array_equal(own, X)
    zero, _ = mixture.sample(20, random_state=0)  # a seed like any other
    assert not np.array_equal(zero, own)
    assert labels.shape == (20,)


# --- bad input ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("components", "message"),
    [
        ([0], "two or more different"),
        (1, "two or more different"),
        ([1, 1], "two or more different"),
        ([0, 3], "numbered from 0 to 2"),
        ([-1, 0], "numbered from 0 to 2"),
        (["a", "b"], "should be numbers of components"),
        ([0.5, 1], "should be numbers of components"),
    ],
)
def test_bad_components_are_told(components, message):
    with pytest.raises(ValueError, match=message):
        mixture_of("full").merge(components)


@pytest.mark.parametrize("min_weight", [1.1, np.nan])
def test_something_must_stay(min_weight):
    with pytest.raises(ValueError, match="give a smaller one"):
        mixture_of("full").prune(min_weight)


def test_points_of_another_width_are_told():
    with pytest.raises(ValueError, match="4 features"):
        mixture_of("full").mahalanobis(np.zeros((1, 3)))
