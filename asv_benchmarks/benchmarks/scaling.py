"""What a second thread gains, in a ratio of times that are taken in turn in one process."""

from __future__ import annotations

from collections.abc import Callable

import numba
import numpy as np

from fastgmm import Statistics, kernels

from .common import case_names, prepared_problem, ratio

FULL = [name for d in (16, 64) for name in case_names(covariance_type="full", dtype="float64", d=d)]


def on_threads(n_threads: int, call: Callable[[], Statistics]) -> Callable[[], Statistics]:
    """Make the call run on so many threads."""

    def limited() -> Statistics:
        before = numba.get_num_threads()
        numba.set_num_threads(n_threads)
        try:
            return call()
        finally:
            numba.set_num_threads(before)

    return limited


class TwoThreads:
    """Time of the pass on two threads as a share of that on one: half of it would be perfect."""

    params = ([*FULL, *case_names(covariance_type="diag", dtype="float64", d=16)],)
    param_names = ("case",)
    unit = "of the time on one thread"

    def setup(self, name):
        if numba.config.NUMBA_NUM_THREADS < 2:
            raise NotImplementedError("there is one thread")
        case, problem = prepared_problem(name)

        def call() -> Statistics:
            return kernels.expectation(problem.X, *problem.mixture, case.covariance_type)

        self.calls = [on_threads(n_threads, call) for n_threads in (1, 2)]
        one, two = (call() for call in self.calls)
        assert abs(one.counts.sum() / case.n - 1) < 1e-4
        for field in ("counts", "first", "second"):
            assert np.array_equal(getattr(one, field), getattr(two, field)), "the same work"

    def track_share(self, name):
        return 1 / ratio(*self.calls)
