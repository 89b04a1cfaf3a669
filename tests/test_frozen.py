"""Frozen parameters: they stay, the others are of the highest likelihood, and bad input."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from axes import each_dtype
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_iris

from fastgmm import GaussianMixture, load, save
from fastgmm.data.source import ArraySource
from fastgmm.estimator.given import check_freeze
from fastgmm.model.families import FAMILIES
from fastgmm.model.frozen import Frozen
from fastgmm.model.maximization import MaximumLikelihood

X = load_iris().data
PARTS = ("weights", "means", "covariances")
SOME = [some for size in (1, 2, 3) for some in combinations(PARTS, size)]
FIRST_AND_LAST = np.array([True, False, True])
each_part = pytest.mark.parametrize("freeze", SOME, ids="+".join)
each_family = pytest.mark.parametrize("name", FAMILIES)


def started(name="full", K=3, **options):
    """A mixture with starting values that are none of a fit's."""
    found = GaussianMixture(K, covariance_type=name, random_state=0).fit(X[::2])
    weights = np.arange(1.0, K + 1) / np.arange(1.0, K + 1).sum()
    values = {"weights_init": weights, "means_init": found.means_ + 0.1}
    values["precisions_init"] = np.asarray(found.precisions_ / 1.3)
    values |= {"covariance_type": name, "tol": 1e-9, "max_iter": 2000, "reg_covar": 0.0}
    return GaussianMixture(K, **values | options)


@each_part
@each_family
def test_what_is_frozen_stays_and_the_objective_never_falls(name, freeze):
    model = started(name, freeze=freeze).fit(X)
    start = started(name, max_iter=0).fit(X)
    for part in PARTS:
        same = np.array_equal(getattr(model, f"{part}_"), getattr(start, f"{part}_"))
        assert same == (part in freeze)
    assert model.largest_fall_ <= (1e-4 if name == "VVE" else 1e-12)
    assert model.weights_.sum() == pytest.approx(1)


def step_by_loops(X, shares, current, masks, K):
    """One maximization of full covariances, by the formula."""
    counts, d = shares.sum(axis=0), X.shape[1]
    weights, means, covariances = (np.array(array) for array in current[:3])
    free = ~masks["weights"]
    if free.any():
        left = 1 - weights[~free].sum()
        weights[free] = left * counts[free] / counts[free].sum()
    for k in range(K):
        if not masks["means"][k]:
            means[k] = shares[:, k] @ X / counts[k]
        if not masks["covariances"][k]:
            apart = X - means[k]
            covariances[k] = (shares[:, k, None] * apart).T @ apart / counts[k]
    assert covariances.shape == (K, d, d)
    return weights, means, covariances


@pytest.mark.parametrize("seed", range(6))
def test_masks_are_of_components(seed):
    rng, K = np.random.default_rng(seed), 3
    masks = {part: rng.uniform(size=K) < 0.5 for part in PARTS}
    current = started(max_iter=0).fit(X)._parameters()
    source = ArraySource(X)
    freeze = check_freeze(masks, K, "full")
    maximization = Frozen("full", inner=MaximumLikelihood("full"), freeze=freeze)
    following = maximization.maximize(source.expectation(current), current)
    (shares, _), *_ = source.responsibilities(current, len(X))
    expected = step_by_loops(X, shares, current, masks, K)
    for one, other in zip(following[:3], expected, strict=True):
        assert_allclose(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("name", ["full", "tied", "diag", "spherical"])
def test_free_parameters_are_of_the_highest_likelihood(name):
    """With the means of a fit of all, frozen, the rest is that of the fit."""
    options = {"covariance_type": name, "random_state": 0, "tol": 1e-12, "max_iter": 5000}
    whole = GaussianMixture(3, reg_covar=0, **options).fit(X)
    model = started(name, means_init=whole.means_, freeze="means", tol=1e-12).fit(X)
    assert_allclose(model.covariances_, whole.covariances_, rtol=1e-3, atol=1e-5)
    assert model.score(X) == pytest.approx(whole.score(X), abs=1e-6)


@each_dtype
def test_reg_covar_is_not_added_to_what_is_frozen(dtype):
    model = started(freeze="covariances", reg_covar=0.1).fit(X.astype(dtype))
    start = started(max_iter=0).fit(X.astype(dtype))
    assert_array_equal(model.covariances_, start.covariances_)


def test_a_background_that_is_known():
    """Flowers among weeds: what the weeds are like is known, and stays."""
    rng = np.random.default_rng(0)
    weeds = rng.normal(size=(300, 4)) * 3 + X.mean(axis=0)
    rows = np.concatenate([X, weeds])
    options = {
        "weights_init": [1 / 3, 1 / 3, 1 / 3],
        "means_init": [X[:50].mean(axis=0), X[50:].mean(axis=0), X.mean(axis=0)],
        "precisions_init": np.stack([4 * np.eye(4), 4 * np.eye(4), np.eye(4) / 9]),
        "max_iter": 500,
    }
    is_weed = np.array([False, False, True])
    freeze = {"means": is_weed, "covariances": is_weed}
    model = GaussianMixture(3, freeze=freeze, **options).fit(rows)
    assert_array_equal(model.means_[2], X.mean(axis=0))
    assert model.weights_[2] == pytest.approx(2 / 3, abs=0.06)


def test_warm_start_goes_on_with_what_is_frozen():
    model = GaussianMixture(2, random_state=0, warm_start=True, max_iter=500).fit(X)
    means = model.means_.copy()
    model.set_params(freeze={"means"}).fit(X + 0.5)
    assert_array_equal(model.means_, means)


@pytest.mark.parametrize("other", [{"prior": "conjugate"}, {"shrinkage": 0.1}, {"missing": "em"}])
def test_with_other_arguments(other):
    model = started(freeze={"means"}, **other).fit(X)
    assert_array_equal(model.means_, started().means_init)


@pytest.mark.parametrize(
    "freeze", ["means", "covariances", {"means": np.array([True, False, True])}]
)
@pytest.mark.parametrize("name", ["full", "tied", "diag", "spherical"])
def test_the_posterior_density_never_falls(name, freeze):
    """A mean that is held is pulled with all of the precision of its prior."""
    prior = {"mean_precision": 50.0, "mean": [9.0, 9.0, 9.0, 9.0]}
    model = started(name, freeze=freeze, prior=prior).fit(X)
    assert model.largest_fall_ <= 1e-12


def test_nothing_has_to_be_estimated_of_what_is_frozen():
    collinear = np.column_stack([X[:, :2], X[:, 0]])
    values = {"weights_init": [0.5, 0.5], "means_init": [[5.0, 3, 5], [6.0, 3, 6]]}
    values |= {"precisions_init": np.stack([np.eye(3)] * 2), "reg_covar": 0.0}
    model = GaussianMixture(2, freeze="covariances", **values).fit(collinear)
    assert len(model.degenerate_components_) == 0


@pytest.mark.parametrize("freeze", [{"means", "weights"}, "means", ["means"], {"means": [1, 0, 1]}])
def test_saved_and_loaded(freeze, tmp_path):
    freeze = (
        {k: np.array(v, bool) for k, v in freeze.items()} if isinstance(freeze, dict) else freeze
    )
    model = started(freeze=freeze).fit(X)
    save(model, tmp_path / "model.npz")
    copy = load(tmp_path / "model.npz").fit(X)
    assert_allclose(copy.means_, model.means_)


# --- bad input ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("freeze", "message"),
    [
        ("mean", r"freeze has 'mean'; give any of 'weights', 'means', 'covariances'"),
        ({"means": [True]}, r"freeze\['means'\] should be True or a mask of shape \(3,\)"),
        ({"means": [1, 0, 1]}, r"freeze\['means'\] should be True or a mask"),
        ({"means", "scale"}, "freeze has 'scale'"),
        ([["means"]], r"freeze has .*means.*; give any of"),
    ],
)
def test_freezes_that_are_none(freeze, message):
    model = GaussianMixture(3, freeze=freeze)
    with pytest.raises(ValueError, match=message):
        model.fit(X)
    assert not hasattr(model, "means_")


@pytest.mark.parametrize("name", ["tied", "tied_diag", "VEV", "VVE"])
def test_shared_covariances_are_frozen_together(name):
    freeze = {"covariances": [True, False, False]}
    with pytest.raises(ValueError, match=r"share something of a covariance.*give True"):
        GaussianMixture(3, covariance_type=name, freeze=freeze).fit(X)


def test_repairs_would_change_what_is_frozen():
    with pytest.raises(ValueError, match="give one of them"):
        GaussianMixture(3, freeze="means", on_degenerate="reset").fit(X)
