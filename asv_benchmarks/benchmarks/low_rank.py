"""Passes over many features, under covariances of loadings and variances."""

from __future__ import annotations

from time import perf_counter

from fastgmm import reference
from fastgmm.kernels.passes import Pass

from .common import TINY, Case

CASE = (
    Case("low_rank", "float64", 500, 12, 3)
    if TINY
    else Case("low_rank", "float64", 20_000, 768, 20)
)


class Passes:
    """20,000 points of 768 features, 20 components, 8 loadings."""

    def setup(self, *arguments):
        X, *mixture, _ = CASE.make()
        self.mixture = *mixture, "low_rank"
        self.points = Pass(X)
        expected = reference.expectation(X[:20], *self.mixture)
        actual = Pass(X[:20]).expectation(*self.mixture)
        assert abs(actual.log_likelihood / expected.log_likelihood - 1) < 1e-10


class Products(Passes):
    """An expectation."""

    def time_expectation(self):
        statistics = self.points.expectation(*self.mixture)
        assert abs(statistics.counts.sum() / CASE.n - 1) < 1e-9


class Tricks(Passes):
    """How many times as long a pass takes without one of its tricks.

    Without products every distance is taken by difference; without a choice every point counts for
    the moments of every component.
    """

    params = (["products", "points that count"],)
    param_names = ("trick",)
    unit = "times"
    WITHOUT = {  # noqa: RUF012
        "products": ("TOLERANCE", {4: -1.0, 8: -1.0}),
        "points that count": ("NOTHING", -1.0),
    }

    def track_gain(self, trick):
        from fastgmm.kernels import low_rank

        name, idle = self.WITHOUT[trick]
        known = getattr(low_rank, name)
        with_trick, without = [], []
        for _ in range(1 if TINY else 5):
            with_trick.append(self.seconds())
            setattr(low_rank, name, idle)
            try:
                without.append(self.seconds())
            finally:
                setattr(low_rank, name, known)
        return min(without) / min(with_trick)

    def seconds(self):
        began = perf_counter()
        self.points.expectation(*self.mixture)
        return perf_counter() - began
