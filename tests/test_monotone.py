"""No iteration of EM lowers the likelihood, where nothing is added to the covariances."""

from __future__ import annotations

import numpy as np
import pytest
from axes import each_covariance_type
from problems import COVARIANCE_TYPES

from fastgmm import GaussianMixture
from fastgmm.model.factors import IllDefinedCovariance

FITS = 1000
ROUNDING = 1e-12
# Of the fits, those in which a component may collapse: there are few points for so many.
MOST_COLLAPSED = 0.05


def random_fit(covariance_type: str, seed: int) -> list[float]:
    """Lower bounds of a few iterations on random clusters, from random responsibilities."""
    rng = np.random.default_rng(seed)
    K, d = int(rng.integers(1, 5)), int(rng.integers(1, 5))
    n = int(rng.integers(60, 200))
    X = rng.standard_normal((n, d)) @ rng.standard_normal((d, d))
    X += rng.uniform(0, 5) * rng.standard_normal((K, d))[rng.integers(K, size=n)]
    X = 10.0 ** rng.uniform(-3, 3) * (X + 10.0 ** rng.uniform(-2, 3))
    weight = rng.uniform(0.1, 3, n) if seed % 2 else None
    mixture = GaussianMixture(
        K,
        covariance_type=covariance_type,
        reg_covar=0,
        tol=0,
        max_iter=15,
        init_params=rng.dirichlet(np.full(K, 0.2), n),
    )
    return mixture.fit(X, sample_weight=weight).lower_bounds_


@each_covariance_type
@pytest.mark.filterwarnings("ignore:Best performing initialization")  # tol=0 never converges
def test_the_likelihood_rises(covariance_type):
    n_fits, n_collapsed = FITS // len(COVARIANCE_TYPES), 0
    for seed in range(n_fits):
        try:
            lower_bounds = np.array(random_fit(covariance_type, seed))
        except IllDefinedCovariance:
            n_collapsed += 1
            continue
        assert len(lower_bounds) == 15
        falls = -np.diff(lower_bounds) / np.abs(lower_bounds[1:])
        assert falls.max() <= ROUNDING, f"seed {seed}: the likelihood fell by {falls.max():.1e}"
    assert n_collapsed <= MOST_COLLAPSED * n_fits
