"""Known labels: beside plain loops, better than without, and bad input."""

from __future__ import annotations

import numpy as np
import pytest
from axes import each_dtype
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logsumexp
from sklearn.datasets import load_iris, load_wine
from sklearn.preprocessing import scale

from fastgmm import GaussianMixture, reference
from fastgmm.data.labelled import LabelledSource
from fastgmm.data.missing import IncompleteSource
from fastgmm.data.source import ArraySource
from fastgmm.model.families import FAMILIES, arguments_of_pass

IRIS = load_iris()
each_family = pytest.mark.parametrize("name", FAMILIES)


def some_known(y, each, seed=0):
    """Labels of so many samples of each class, and -1 for the others."""
    rng = np.random.default_rng(seed)
    labels = np.full(len(y), -1)
    for k in np.unique(y):
        rows = rng.choice(np.flatnonzero(y == k), each, replace=False)
        labels[rows] = k
    return labels


@each_family
@pytest.mark.parametrize("weighted", [False, True])
def test_statistics_are_those_of_known_responsibilities(name, weighted):
    X, labels = IRIS.data, some_known(IRIS.target, 10)
    weight = np.random.default_rng(1).uniform(0, 2, size=len(X)) if weighted else None
    p = GaussianMixture(3, covariance_type=name, random_state=0).fit(X)._parameters()
    source = LabelledSource(ArraySource(X, weight), labels, ArraySource, X)
    statistics = source.expectation(p)
    weights, *rest = arguments_of_pass(p)[:4]
    joint = np.log(weights) + reference.log_gaussian_density(X, *rest)
    density = logsumexp(joint, axis=1)
    known = labels >= 0
    shares = np.exp(joint - density[:, None])
    shares[known] = labels[known, None] == np.arange(3)
    density[known] = joint[known, labels[known]]
    w = np.ones(len(X)) if weight is None else weight
    counts, means, covariances = reference.weighted_covariances(
        X, shares * w[:, None], FAMILIES[name].pass_type
    )
    assert statistics.log_likelihood == pytest.approx(w @ density, rel=1e-12)
    assert source.log_likelihood(p) == pytest.approx(w @ density, rel=1e-12)
    assert_allclose(statistics.counts, counts, rtol=1e-11)
    assert_allclose(p.means + statistics.first / counts[:, None], means, rtol=1e-11)
    own = (w[:, None] * shares).T @ X / counts[:, None]
    assert_allclose(own, means)
    whole = ArraySource(X, weight).expectation(p)
    assert statistics.second.shape == whole.second.shape
    if FAMILIES[name].pass_type == "full":
        delta = means - p.means
        second = counts[:, None, None] * (covariances + delta[:, :, None] * delta[:, None, :])
        assert_allclose(statistics.second, second, rtol=1e-9, atol=1e-9)


@each_dtype
@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "VVE"])  # mclust's may fall
def test_the_objective_never_falls(name, dtype):
    X, labels = IRIS.data.astype(dtype), some_known(IRIS.target, 5)
    options = {"covariance_type": name, "tol": 1e-7, "max_iter": 1000}
    model = GaussianMixture(3, semi_supervised=True, reg_covar=0, **options).fit(X, labels)
    worst = 1e-12 if dtype == np.float64 else 1e-6
    assert model.largest_fall_ <= worst
    assert_array_equal(model.predict(X)[labels >= 0].shape, (15,))


def test_all_labels_make_a_mixture_of_the_classes():
    model = GaussianMixture(3, semi_supervised=True, reg_covar=0).fit(IRIS.data, IRIS.target)
    for k in range(3):
        own = IRIS.data[IRIS.target == k]
        assert_allclose(model.means_[k], own.mean(axis=0), rtol=1e-12)
        assert_allclose(model.covariances_[k], np.cov(own.T, bias=True), rtol=1e-9)
    assert_allclose(model.weights_, 1 / 3)
    joint = model.predict_proba(IRIS.data)[np.arange(150), IRIS.target]
    expected = np.mean(model.score_samples(IRIS.data) + np.log(joint))
    assert model.log_likelihood_ == pytest.approx(expected, rel=1e-12)


def test_no_label_is_the_plain_fit_from_some_start():
    labels = np.full(150, -1)
    model = GaussianMixture(2, semi_supervised=True, random_state=0, tol=1e-8, max_iter=1000)
    model.fit(IRIS.data, labels)
    plain = GaussianMixture(2, random_state=0, tol=1e-8, max_iter=1000).fit(IRIS.data)
    assert model.score(IRIS.data) == pytest.approx(plain.score(IRIS.data), abs=1e-6)


def test_components_are_those_of_the_labels():
    """Six flowers of each species are enough to name the components, which have no order else."""
    labels = some_known(IRIS.target, 6)
    model = GaussianMixture(3, semi_supervised=True).fit(IRIS.data, labels)
    assert np.mean(model.predict(IRIS.data) == IRIS.target) > 0.95


def test_few_labels_help_where_clusters_are_hard_to_find():
    """Wines: five of each grower are known; without them one start in ten finds the growers."""
    wines, growers = scale(load_wine().data), load_wine().target
    options = {"covariance_type": "tied", "max_iter": 500}
    known = GaussianMixture(3, semi_supervised=True, **options)
    known.fit(wines, some_known(growers, 5))
    hidden = some_known(growers, 5) < 0
    assert np.mean(known.predict(wines[hidden]) == growers[hidden]) > 0.95


def test_classes_without_a_known_sample():
    """The third component is drawn, and several starts differ."""
    labels = np.where(IRIS.target < 2, some_known(IRIS.target, 5), -1)
    options = {"semi_supervised": True, "n_init": 5, "random_state": 0}
    model = GaussianMixture(3, **options).fit(IRIS.data, labels)
    assert np.mean(model.predict(IRIS.data) == IRIS.target) > 0.9
    again = GaussianMixture(3, **options).fit(IRIS.data, labels)
    assert_array_equal(again.means_, model.means_)


def test_scales_of_features_do_not_matter_whitened():
    scales = np.array([1.0, 1e3, 1e-3, 1.0])
    labels = np.where(IRIS.target < 2, some_known(IRIS.target, 5), -1)
    options = {"semi_supervised": True, "init_whiten": True, "random_state": 0, "reg_covar": 0}
    one = GaussianMixture(3, **options).fit(IRIS.data, labels)
    other = GaussianMixture(3, **options).fit(IRIS.data * scales, labels)
    assert_allclose(one.weights_, other.weights_, rtol=1e-6)


def test_with_missing_values():
    X, labels = IRIS.data.copy(), some_known(IRIS.target, 8)
    X[np.random.default_rng(0).uniform(size=X.shape) < 0.2] = np.nan
    model = GaussianMixture(3, semi_supervised=True, missing="em", tol=1e-6, max_iter=500)
    model.fit(X, labels)
    assert model.largest_fall_ < 1e-12
    source = LabelledSource(IncompleteSource(X), labels, IncompleteSource, X)
    p = model._parameters()
    assert source.expectation(p).log_likelihood == pytest.approx(source.log_likelihood(p))


def test_many_rows():
    rng = np.random.default_rng(0)
    y = rng.integers(3, size=25_000)
    X = rng.normal(size=(25_000, 2)) + 3 * y[:, None]
    model = GaussianMixture(3, semi_supervised=True).fit(X, some_known(y, 20))
    assert_allclose(model.means_[:, 0], [0, 3, 6], atol=0.1)


def test_weights_of_nothing():
    labels = some_known(IRIS.target, 5)
    weight = np.where(IRIS.target == 2, 0.0, 1.0)
    model = GaussianMixture(2, semi_supervised=True, tol=1e-8, max_iter=500)
    model.fit(IRIS.data, np.where(labels == 2, -1, labels), sample_weight=weight)
    kept = IRIS.target < 2
    other = GaussianMixture(2, semi_supervised=True, tol=1e-8, max_iter=500)
    other.fit(IRIS.data[kept], labels[kept])
    assert_allclose(model.means_, other.means_, rtol=1e-6)


# --- bad input ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("y", "message"),
    [
        (None, "learns from y, and there is none; give an integer for each sample, from 0 to 2"),
        (np.full(150, 3), "labels of y go from 3 to 3; give an integer"),
        (np.full(150, -2), "labels of y go from -2 to -2"),
        (np.zeros(149, int), "y has 149 labels, and X has 150 samples"),
        (np.full(150, 0.5), "labels of type float64"),
        (np.full(150, np.inf), "infinity|labels of y go from inf"),
        (np.full(150, "a"), "labels of type <U1"),
        (np.zeros((150, 2)), "1d array"),
    ],
)
def test_labels_that_are_none(y, message):
    model = GaussianMixture(3, semi_supervised=True)
    with pytest.raises(ValueError, match=message):
        model.fit(IRIS.data, y)
    assert not hasattr(model, "means_")


@pytest.mark.parametrize("action", ["drop", "reset"])
def test_labels_of_components_that_may_be_left_out(action):
    with pytest.raises(ValueError, match=r"may leave components out.*use 'raise' or 'floor'"):
        GaussianMixture(3, semi_supervised=True, on_degenerate=action).fit(IRIS.data, IRIS.target)


def test_starts_that_know_nothing_of_labels():
    model = GaussianMixture(3, semi_supervised=True, init_params="random_means")
    with pytest.raises(ValueError, match="init_params='kmeans', which begins at their means"):
        model.fit(IRIS.data, IRIS.target)


def test_without_the_argument_y_is_ignored():
    one = GaussianMixture(3, random_state=0).fit(IRIS.data, ["whatever"])
    assert_array_equal(one.means_, GaussianMixture(3, random_state=0).fit(IRIS.data).means_)
