"""scikit-image's Fisher vectors, which take a scikit-learn mixture with a diagonal."""

import numpy as np
import pytest
from skimage.feature import fisher_vector
from sklearn.mixture import GaussianMixture

RNG = np.random.default_rng(0)
DESCRIPTORS = RNG.normal(size=(200, 4))


@pytest.mark.parametrize("alpha", [0.5, 1.0])
def test_fisher_vector(alpha):
    mixture = GaussianMixture(3, covariance_type="diag", random_state=0).fit(DESCRIPTORS)
    vector = fisher_vector(DESCRIPTORS[:50], mixture, alpha=alpha)
    assert vector.shape == (2 * 3 * 4 + 3,)
    assert np.isfinite(vector).all()
