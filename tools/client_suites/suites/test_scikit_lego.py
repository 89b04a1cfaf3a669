"""scikit-lego's classifiers and detectors by Gaussian mixtures."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklego.mixture import GMMClassifier, GMMOutlierDetector
from sklego.naive_bayes import GaussianMixtureNB

X, Y = load_iris(return_X_y=True)
TYPES = ["full", "tied", "diag", "spherical"]


@pytest.mark.parametrize("covariance_type", TYPES)
def test_classifier(covariance_type):
    options = {"n_components": 2, "covariance_type": covariance_type, "random_state": 0}
    model = GMMClassifier(**options).fit(X, Y)
    assert all(isinstance(mixture, GaussianMixture) for mixture in model.gmms_.values())
    assert model.score(X, Y) > 0.9
    assert np.allclose(model.predict_proba(X).sum(axis=1), 1)


def test_classifier_in_a_search():
    search = GridSearchCV(GMMClassifier(random_state=0), {"n_components": [1, 2]}, cv=3)
    assert search.fit(X, Y).best_score_ > 0.9


@pytest.mark.parametrize("method", ["quantile", "stddev"])
def test_outlier_detector(method):
    threshold = {"quantile": 0.95, "stddev": 3}[method]
    options = {"n_components": 2, "method": method, "threshold": threshold, "random_state": 0}
    model = GMMOutlierDetector(**options).fit(X)
    assert set(model.predict(X)) <= {-1, 1}
    assert (model.predict(X + 30) == -1).all()
    assert model.score_samples(X).shape == model.decision_function(X).shape == (150,)


def test_naive_bayes():
    model = GaussianMixtureNB(n_components=2, random_state=0).fit(X, Y)
    assert model.score(X, Y) > 0.9
    assert cross_val_score(clone(model), X, Y).mean() > 0.9
