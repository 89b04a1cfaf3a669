"""Passes over many features, under covariances of loadings and variances."""

from __future__ import annotations

import numpy as np

from fastgmm import reference
from fastgmm.kernels.passes import Pass

from .common import TINY


class Products:
    """An expectation of 20,000 points of 768 features, 20 components, 8 loadings."""

    def setup(self):
        n, d, K, rank = (500, 12, 3, 2) if TINY else (20_000, 768, 20, 8)
        rng = np.random.default_rng(0)
        means = rng.standard_normal((K, d))
        X = means[rng.integers(K, size=n)] + rng.standard_normal((n, d))
        factors = np.concatenate(
            [0.3 * rng.standard_normal((K, d, rank)), np.ones((K, d, 1))], axis=2
        )
        self.mixture = np.full(K, 1 / K), means, factors, "low_rank"
        self.points, self.n = Pass(X), n
        expected = reference.expectation(X[:20], *self.mixture)
        actual = Pass(X[:20]).expectation(*self.mixture)
        assert abs(actual.log_likelihood / expected.log_likelihood - 1) < 1e-10

    def time_expectation(self):
        statistics = self.points.expectation(*self.mixture)
        assert abs(statistics.counts.sum() / self.n - 1) < 1e-9
