"""Passes over rows with missing values, and over rows with errors of measurement."""

from __future__ import annotations

import numpy as np

from fastgmm import Parameters, reference
from fastgmm.model.factors import covariances_from_cholesky

from .common import TINY, Case

CASE = Case("full", "float64", 2_000 if TINY else 200_000, 8, 8)


def _parameters(mixture: tuple) -> Parameters:
    """The mixture of a case, with its covariances."""
    weights, means, factors = mixture
    covariances = covariances_from_cholesky(factors, "full")
    return Parameters(weights, means, covariances, factors, "full")


class TenPatterns:
    """An expectation of 200,000 points of 8 features that miss some in one of ten ways."""

    def setup(self):
        from fastgmm.data.missing import IncompleteSource  # earlier commits have all but this

        problem, rng = CASE.make(), np.random.default_rng(0)
        X = np.array(problem.X)
        ways, of_row = rng.uniform(size=(10, 8)) < 0.2, rng.integers(10, size=len(X))
        X[ways[of_row]] = np.nan
        self.source, self.parameters = IncompleteSource(X), _parameters(problem.mixture)
        whole = ~np.isnan(X).any(axis=1)
        self.whole = IncompleteSource(X[whole][:500])
        expected = reference.expectation(X[whole][:500], *self.parameters.arguments)
        assert abs(self.whole.expectation(self.parameters).counts - expected.counts).max() < 1e-8

    def time_expectation(self):
        statistics = self.source.expectation(self.parameters)
        assert abs(statistics.counts.sum() / CASE.n - 1) < 1e-9


class Errors:
    """An expectation of 10,000 points of 4 features, each with errors of its own."""

    def setup(self):
        from fastgmm.kernels.convolution import Convolution
        from fastgmm.reference.convolution import convolved_expectation

        n = 500 if TINY else 10_000
        problem = Case("full", "float64", n, 4, 8).make()
        p, self.n = _parameters(problem.mixture), n
        errors = np.random.default_rng(0).uniform(0, 0.5, size=problem.X.shape)
        self.points = Convolution(problem.X, errors)
        self.mixture = p.weights, p.means, p.covariances
        dense = errors[:500, :, None] * np.eye(4)
        expected = convolved_expectation(problem.X[:500], dense, *self.mixture)
        actual = Convolution(problem.X[:500], errors[:500]).expectation(*self.mixture)
        assert abs(actual.counts - expected.counts).max() < 1e-8

    def time_expectation(self):
        statistics = self.points.expectation(*self.mixture)
        assert abs(statistics.counts.sum() / self.n - 1) < 1e-9
