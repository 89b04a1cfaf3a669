"""What a second thread gains, in a ratio of times that are taken in turn in one process."""

from __future__ import annotations

import numba
import numpy as np

from fastgmm import Statistics, kernels

from .common import MIDDLE, TINY, case_names, on_threads, prepared_problem, ratio

SECONDS = 0.0 if TINY else 0.5


class TwoThreads:
    """Time of the pass on two threads as a share of that on one: half of it would be perfect."""

    params = (MIDDLE + case_names(covariance_type="full", d=64),)
    param_names = ("case",)
    unit = "of the time on one thread"

    def setup(self, name):
        if numba.config.NUMBA_NUM_THREADS < 2:
            # Two cannot be compared with one; by this error asv leaves a benchmark out.
            raise NotImplementedError("there is one thread")
        case, problem = prepared_problem(name)
        X = problem.X[:10_000]

        def call() -> Statistics:
            return kernels.expectation(X, *problem.mixture, case.covariance_type)

        self.calls = [on_threads(n_threads, call) for n_threads in (1, 2)]
        one, two = (call() for call in self.calls)
        assert abs(one.counts.sum() / len(X) - 1) < 1e-4
        for field in ("counts", "first", "second"):
            assert np.array_equal(getattr(one, field), getattr(two, field)), "the same work"

    def track_share(self, name):
        return 1 / ratio(*self.calls, SECONDS)
