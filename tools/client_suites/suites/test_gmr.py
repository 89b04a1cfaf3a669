"""gmr's regression, with a mixture that was fitted elsewhere."""

import gmr
import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.datasets import load_iris
from sklearn.mixture import GaussianMixture

X = load_iris().data


def converted(covariance_type):
    mixture = GaussianMixture(3, covariance_type=covariance_type, random_state=0).fit(X)
    d, covariances = X.shape[1], mixture.covariances_
    matrices = {
        "full": lambda: covariances,
        "tied": lambda: np.array([covariances] * 3),
        "diag": lambda: np.array([np.diag(variances) for variances in covariances]),
        "spherical": lambda: np.array([np.eye(d) * variance for variance in covariances]),
    }[covariance_type]()
    model = gmr.GMM(3, mixture.weights_, mixture.means_, matrices, random_state=0)
    return mixture, model


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_densities_and_responsibilities(covariance_type):
    mixture, model = converted(covariance_type)
    assert_allclose(np.log(model.to_probability_density(X)), mixture.score_samples(X), rtol=1e-6)
    assert_allclose(model.to_responsibilities(X), mixture.predict_proba(X), atol=1e-6)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_regression(covariance_type):
    _, model = converted(covariance_type)
    predicted = model.predict(np.array([0, 1]), X[:, :2])
    assert np.mean((predicted - X[:, 2:]) ** 2) < np.var(X[:, 2:])
    assert model.condition(np.array([0]), X[0, :1]).means.shape == (3, 3)
