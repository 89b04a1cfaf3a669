"""The classifier that has a mixture for each class."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.datasets import load_iris, make_moons
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.model_selection import cross_val_score
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastgmm import GaussianMixture, GaussianMixtureClassifier


@parametrize_with_checks([
    GaussianMixtureClassifier(),
    GaussianMixtureClassifier(covariance_type="diag"),
])  # fmt: skip
def test_it_is_a_classifier_of_scikit_learn(estimator, check):
    check(estimator)


def test_one_component_is_quadratic_discriminant_analysis():
    X, y = load_iris(return_X_y=True)
    ours = GaussianMixtureClassifier(reg_covar=0.0).fit(X, y)
    for label, mixture in enumerate(ours.mixtures_):
        expected = np.cov(X[y == label].T, bias=True)
        np.testing.assert_allclose(mixture.covariances_[0], expected, rtol=1e-10)
    assert ours.score(X, y) == QuadraticDiscriminantAnalysis().fit(X, y).score(X, y) == 0.98


def test_posteriors_are_bayes_rule():
    X, y = load_iris(return_X_y=True)
    priors = np.array([0.2, 0.3, 0.5])
    classifier = GaussianMixtureClassifier(2, priors=priors, random_state=0).fit(X, y)
    joint = np.exp([mixture.score_samples(X) for mixture in classifier.mixtures_]).T * priors
    expected = joint / joint.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(classifier.predict_proba(X), expected, rtol=1e-8, atol=1e-300)
    np.testing.assert_allclose(classifier.score_samples(X), np.log(joint.sum(axis=1)), rtol=1e-10)
    np.testing.assert_array_equal(classifier.predict(X), joint.argmax(axis=1))


def test_far_points_have_finite_posteriors():
    X, y = load_iris(return_X_y=True)
    classifier = GaussianMixtureClassifier().fit(X, y)
    log_probabilities = classifier.predict_log_proba([[1e9, -1e9, 1e9, 0.0]])
    assert np.max(log_probabilities) == 0.0
    assert not np.any(np.isnan(log_probabilities))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("distance", [1e2, 1e4, 1e9, 1e18])
def test_posteriors_sum_to_1_wherever_points_are(distance, dtype):
    A = np.random.default_rng(0).normal(size=(100, 2)).astype(dtype)
    classifier = GaussianMixtureClassifier().fit(np.concatenate([A, A]), [0] * 100 + [1] * 100)
    probabilities = classifier.predict_proba(np.full((1, 2), distance, dtype))
    np.testing.assert_allclose(probabilities, [[0.5, 0.5]], rtol=1e-6)


def test_a_refit_that_fails_leaves_the_classifier_as_it_was():
    X, y = load_iris(return_X_y=True)
    classifier = GaussianMixtureClassifier().fit(X, y)
    before = classifier.predict_proba(X)
    with pytest.raises(ValueError, match="NaN"):
        classifier.fit(X[:, :2], np.where(y == 0, np.nan, y))
    np.testing.assert_array_equal(classifier.predict_proba(X), before)


def test_errors_and_warnings_name_the_class():
    X, y = load_iris(return_X_y=True)
    flat = np.where(y[:, None] == 1, 0.0, X)
    with pytest.raises(ValueError, match="Class 1: Fitting the mixture model failed"):
        GaussianMixtureClassifier(reg_covar=0.0).fit(flat, y)
    with pytest.warns(match="class 0, 1, 2 did not converge") as caught:
        GaussianMixtureClassifier(3, max_iter=1).fit(X, y)
    assert caught[0].filename == __file__


def test_several_components_follow_a_shape():
    X, y = make_moons(600, noise=0.1, random_state=0)
    one, six = (
        cross_val_score(GaussianMixtureClassifier(K, random_state=0), X, y).mean() for K in (1, 6)
    )
    assert six > 0.99 > one


def test_mixtures_are_those_of_the_classes():
    X, y = load_iris(return_X_y=True)
    names = load_iris().target_names[y]
    classifier = GaussianMixtureClassifier(covariance_type="tied", max_iter=7).fit(X, names)
    assert classifier.classes_.tolist() == sorted(set(names))
    np.testing.assert_allclose(classifier.class_prior_, 1 / 3)
    alone = GaussianMixture(covariance_type="tied").fit(X[names == "setosa"])
    np.testing.assert_array_equal(classifier.mixtures_[0].means_, alone.means_)
    assert classifier.mixtures_[0].max_iter == 7


def test_the_seed_decides():
    X, y = make_moons(300, noise=0.2, random_state=0)
    options = {"init_params": "random", "max_iter": 2}
    with pytest.warns(match="did not converge"):
        a, b, c = (
            GaussianMixtureClassifier(3, random_state=seed, **options).fit(X, y).predict_proba(X)
            for seed in (0, 0, 1)
        )
    np.testing.assert_array_equal(a, b)
    assert not np.array_equal(a, c)


def test_float32_stays_float32():
    X, y = load_iris(return_X_y=True)
    classifier = GaussianMixtureClassifier().fit(X.astype(np.float32), y)
    assert classifier.predict_proba(X.astype(np.float32)).dtype == np.float32


def test_weights_are_multiplicities():
    X, y = make_moons(100, noise=0.2, random_state=0)
    times = np.random.default_rng(0).integers(0, 4, size=100)
    weighted = GaussianMixtureClassifier().fit(X, y, times)
    repeated = GaussianMixtureClassifier().fit(np.repeat(X, times, axis=0), np.repeat(y, times))
    np.testing.assert_allclose(weighted.class_prior_, repeated.class_prior_)
    np.testing.assert_allclose(weighted.predict_proba(X), repeated.predict_proba(X), rtol=1e-8)


def test_a_class_without_weight_is_left_out():
    X, y = load_iris(return_X_y=True)
    classifier = GaussianMixtureClassifier().fit(X, y, sample_weight=y != 1)
    assert classifier.classes_.tolist() == [0, 2]


def test_a_class_may_have_a_single_sample():
    X = np.array([[0.0], [1.0], [2.0], [9.0]])
    classifier = GaussianMixtureClassifier(reg_covar=0.1).fit(X, [0, 0, 0, 1])
    assert classifier.mixtures_[1].means_.tolist() == [[9.0]]
    assert classifier.predict(X).tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (
            {"n_components": 51},
            r"Class 0 has 50 sample\(s\), fewer than n_components = 51; use fewer",
        ),
        ({"priors": [0.5, 0.5]}, r"shape \(2,\); give one for each of the 3 classes \(0, 1, 2\)"),
        ({"priors": [0.5, 0.5, 0.5]}, "divide them by their sum"),
        ({"priors": [1.5, -0.5, 0.0]}, "0 or more"),
        ({"covariance_type": "round"}, "covariance_type"),
    ],
)
def test_bad_arguments_are_refused(arguments, match):
    X, y = load_iris(return_X_y=True)
    with pytest.raises(ValueError, match=match):
        GaussianMixtureClassifier(**arguments).fit(X, y)
