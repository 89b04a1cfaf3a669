"""fastgmm beside what does the same, timed in turn in one process, so that noise hits both.

Everything runs on one thread, because two would wait for a busy processor twice as often. All are
shares of the other's time, because asv takes less for better. The other libraries, the check that
they agree with fastgmm, and the peak of multiply-adds are those of `tools/peers`.
"""

from __future__ import annotations

from functools import partial

from threadpoolctl import threadpool_limits

from fastgmm import kernels, reference
from fastgmm.benchmarking.problems import Problem
from fastgmm.benchmarking.timing import shortest_in_turn
from fastgmm.kernels.passes import Pass

from .common import (
    MIDDLE,
    TINY,
    Case,
    case_names,
    on_threads,
    prepared_problem,
    ratio,
    relative_error,
)

from peer_table.libraries import PEERS  # isort: skip  # common.py knows where tools are
from peer_table.measurement import measure  # isort: skip
from peer_table.peak import multiply_add_peak  # isort: skip

ROUNDS = 1 if TINY else 3
SECONDS = 0.0 if TINY else 0.5
PEAK_SECONDS = 0.01 if TINY else 0.2
FEW = 2_000  # points, for a millisecond or so


class Reference:
    """The compiled pass beside the plain numpy that it replaces."""

    params = (case_names(covariance_type="full", d=2) + MIDDLE,)
    param_names = ("case",)
    unit = "of the reference's time"

    def setup(self, name):
        case, problem = prepared_problem(name)
        arguments = problem.X[:FEW], *problem.mixture, case.covariance_type
        self.calls = [
            on_threads(1, partial(module.expectation, *arguments))
            for module in (reference, kernels)
        ]
        expected, actual = (call() for call in self.calls)
        for field in ("counts", "first", "second"):
            assert relative_error(getattr(actual, field), getattr(expected, field)) < 1e-9

    def track_share(self, name):
        with threadpool_limits(1):
            return 1 / ratio(*self.calls, SECONDS)


def log_likelihood(X, *mixture):
    """Of the points, without moments."""
    return Pass(X).log_likelihood(*mixture)


class LikelihoodAlone:
    """The likelihood from a pass without moments, beside the whole pass, which finds it too."""

    params = (MIDDLE,)
    param_names = ("case",)
    unit = "of the pass's time"

    def setup(self, name):
        case, problem = prepared_problem(name)
        arguments = problem.X[:FEW], *problem.mixture, case.covariance_type
        self.calls = [
            on_threads(1, partial(function, *arguments))
            for function in (kernels.expectation, log_likelihood)
        ]
        whole, alone = (call() for call in self.calls)
        assert alone == whole.log_likelihood

    def track_share(self, name):
        with threadpool_limits(1):
            return 1 / ratio(*self.calls, SECONDS)


class FewComponents:
    """A pass with one or two components beside one with eight: what it does for none shows."""

    params = ([1, 2], [2, 8, 24, 40])
    param_names = ("K", "d")
    unit = "of the time with eight"

    def setup(self, K, d):
        self.calls = []
        for count in (8, K):
            X, *mixture, _ = Case("full", "float64", FEW, d, count).make()
            call = partial(Pass(X).expectation, *mixture, "full")
            self.calls.append(on_threads(1, call))
            assert abs(call().counts.sum() / FEW - 1) < 1e-9

    def track_share(self, K, d):
        with threadpool_limits(1):
            return 1 / ratio(*self.calls, SECONDS)


class Library:
    """An iteration of EM beside another library's: the slope between two numbers of them."""

    params = (["scikit-learn", "oneDAL"], ["full", "diag"])
    param_names = ("library", "covariance_type")
    unit = "of the library's time"

    def setup(self, library, covariance_type):
        if not PEERS[library].is_installed():
            # Not everybody has oneDAL; by this error asv leaves a benchmark out.
            raise NotImplementedError(f"{library} is not installed")
        self.peers = [PEERS["fastgmm"](), PEERS[library]()]
        shape = (300, 8, 3) if TINY else (20_000, 8, 8)
        self.problem = Problem(covariance_type, "float64", *shape)

    def track_share(self, library, covariance_type):
        result = measure(self.problem, 1, self.peers, ROUNDS)
        ours, theirs = result.timings
        assert not ours.failure, ours.failure
        assert not theirs.failure, theirs.failure  # such as that they do not agree
        assert theirs.ratio > 0
        return 1 / theirs.ratio


class Peak:
    """The pass beside as many multiply-adds that never wait for memory."""

    params = (case_names(covariance_type="full", d=16) + case_names(covariance_type="full", d=64),)
    param_names = ("case",)
    unit = "times the time at the peak"

    def setup(self, name):
        self.case, problem = prepared_problem(name)
        X = problem.X[:FEW]
        self.call = on_threads(1, partial(kernels.expectation, X, *problem.mixture, "full"))
        self.flops = Problem("full", self.case.dtype, len(X), self.case.d, self.case.K).flops
        assert abs(self.call().counts.sum() / len(X) - 1) < 1e-4

    def track_times(self, name):
        peak, seconds = 0.0, float("inf")
        for _ in range(ROUNDS):
            peak = max(peak, multiply_add_peak(self.case.dtype, 1, PEAK_SECONDS / 3))
            seconds = min(seconds, *shortest_in_turn([self.call], PEAK_SECONDS))
        times = seconds * peak / self.flops
        assert times > 0.5, "no pass is faster than the peak"
        return times
