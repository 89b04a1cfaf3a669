"""pyod's outlier detector by Gaussian mixtures."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from pyod.models.gmm import GMM
from sklearn.base import clone
from sklearn.mixture import GaussianMixture

RNG = np.random.default_rng(0)
INLIERS, OUTLIERS = RNG.normal(size=(190, 3)), RNG.uniform(6, 9, size=(10, 3))
X = np.concatenate([INLIERS, OUTLIERS])


@pytest.fixture(params=["full", "tied", "diag", "spherical"])
def detector(request):
    options = {"covariance_type": request.param, "contamination": 0.05, "random_state": 0}
    return GMM(n_components=1, **options).fit(X)


def test_outliers_have_the_highest_scores(detector):
    assert set(np.argsort(detector.decision_scores_)[-10:]) == set(range(190, 200))


def test_scores_are_negative_log_densities(detector):
    mixture = detector.detector_
    assert isinstance(mixture, GaussianMixture)
    assert_allclose(detector.decision_function(X), -mixture.score_samples(X))


def test_labels_follow_the_contamination(detector):
    assert detector.labels_.sum() == 10
    assert detector.predict(OUTLIERS).all()


def test_probabilities_and_confidence(detector):
    assert detector.predict_proba(X).shape == (200, 2)
    assert detector.predict_confidence(X).shape == (200,)


def test_fitted_attributes_are_the_mixtures(detector):
    for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
        assert getattr(detector, name) is getattr(detector.detector_, name)
    assert (detector.converged_, detector.n_iter_) == (True, detector.detector_.n_iter_)


def test_clones_are_not_fitted(detector):
    assert not hasattr(clone(detector), "detector_")
