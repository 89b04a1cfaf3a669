"""Two hundred random problems: the same path as scikit-learn's, step by step.

No problem is left out. Where scikit-learn finds a covariance ill-defined, so must this package.
"""

import warnings

import numpy as np
import pytest
from problems import COVARIANCE_TYPES, assert_same_fit, fixed_start
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Peer
from threadpoolctl import threadpool_limits

from fastgmm import GaussianMixture

REG_COVAR = [0.0, 1e-6, 1e-4, 1e-3]


def problem(seed):
    """Points of well-spread clusters with correlated features off the origin; all options."""
    rng = np.random.default_rng(seed)
    n, d, K = int(rng.integers(250, 400)), int(rng.integers(1, 21)), int(rng.integers(1, 11))
    means = rng.normal(scale=3, size=(K, d)) + rng.normal(scale=20, size=d)
    labels = rng.integers(K, size=n)
    factors = rng.normal(scale=d**-0.5, size=(K, d, d))
    spread = np.einsum("nij,nj->ni", factors[labels], rng.normal(size=(n, d)))
    X = means[labels] + spread + rng.normal(scale=0.5, size=(n, d))
    covariance_type = COVARIANCE_TYPES[seed % 4]
    options = {"covariance_type": covariance_type, "reg_covar": REG_COVAR[seed // 4 % 4]}
    start = fixed_start(X, K, covariance_type, seed)
    return X, {"n_components": K, "tol": 1e-6, "max_iter": 200, **options, **start}


def fitted_or_error(estimator, seed):
    X, options = problem(seed)
    with warnings.catch_warnings(), threadpool_limits(1, "blas"):  # it is faster so
        warnings.simplefilter("ignore", ConvergenceWarning)
        try:
            return estimator(**options).fit(X)
        except ValueError as error:
            return error


@pytest.mark.parametrize("seed", range(200))
def test_same_path_on_a_random_problem(seed):
    ours, theirs = (fitted_or_error(estimator, seed) for estimator in (GaussianMixture, Peer))
    if isinstance(theirs, ValueError):
        assert "ill-defined empirical covariance" in str(theirs)
        assert isinstance(ours, ValueError)
        assert str(ours).startswith(str(theirs))
    else:
        assert_same_fit(ours, theirs)
