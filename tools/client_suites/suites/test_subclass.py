"""A subclass with an M step of its own: means that are known, and weights that are equal."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.datasets import load_iris
from sklearn.mixture import GaussianMixture

X = load_iris().data
MEANS = X[[10, 70, 120]]


class Known(GaussianMixture):
    """Mixture with the means of MEANS, in equal shares."""

    def _m_step(self, X, log_resp, xp=None):
        super()._m_step(X, log_resp, xp=xp)
        self.means_ = MEANS
        self.weights_ = np.full(3, 1 / 3)


@pytest.fixture(params=["full", "tied", "diag", "spherical"])
def model(request):
    return Known(3, covariance_type=request.param, means_init=MEANS, random_state=0).fit(X)


def test_what_is_known_stays(model):
    assert_array_equal(model.means_, MEANS)
    assert_array_equal(model.weights_, np.full(3, 1 / 3))


def test_the_density_is_that_of_the_parameters(model):
    shapes = {"full": lambda k: model.covariances_[k], "tied": lambda k: model.covariances_}
    diagonal = {"diag": lambda k: np.diag(model.covariances_[k])}
    spherical = {"spherical": lambda k: np.eye(4) * model.covariances_[k]}
    covariance = (shapes | diagonal | spherical)[model.covariance_type]
    density = [multivariate_normal(MEANS[k], covariance(k)).logpdf(X) for k in range(3)]
    assert_allclose(model.score_samples(X), logsumexp(density, axis=0) - np.log(3), rtol=1e-8)


def test_the_means_are_no_longer_the_maximum(model):
    free = GaussianMixture(3, covariance_type=model.covariance_type, random_state=0).fit(X)
    assert model.score(X) < free.score(X)
