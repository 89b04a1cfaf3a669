"""What more threads gain, and what fits side by side lose, in ratios of times.

Gains of more cores than there are come from what an iteration is made of, as in `tools/peers`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from functools import lru_cache

import numba
import numpy as np

from fastgmm import Statistics, kernels
from fastgmm.benchmarking.problems import Problem
from fastgmm.system.threads import blas_on_one_thread

from .common import MIDDLE, TINY, case_names, on_threads, prepared_problem, ratio

from peer_table import scaling  # isort: skip  # common.py knows where tools are

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


class ManyCores:
    """Predicted time on so many cores as a share of that on one, and what it consists of."""

    params = ([str(d) for _, d, _ in scaling.SHAPES], [16, 64])
    param_names = ("d", "cores")
    timeout = 300

    def setup(self, d, cores):
        self.iteration = taken_apart(d)

    def track_share(self, d, cores):
        return 1 / self.iteration.speedup(cores)

    def track_serial(self, d, cores):
        return self.iteration.serial / self.iteration.seconds(1)

    def track_calls(self, d, cores):
        return self.iteration.overhead(cores) / self.iteration.seconds(1)

    def track_busiest(self, d, cores):
        return self.iteration.imbalance(cores)

    track_share.unit = track_serial.unit = track_calls.unit = "of the time on one core"
    track_busiest.unit = "times the average thread's time"


@lru_cache(maxsize=1)
def taken_apart(d: str) -> scaling.Iteration:
    """Take apart an iteration on points of so many features."""
    shape = {str(d): (n, d, K) for n, d, K in scaling.SHAPES}[d]
    problem = Problem("full", "float64", *((5000, *shape[1:]) if TINY else shape))
    step = scaling.prepared_step(problem)
    assert abs(step().statistics.counts.sum() / problem.n - 1) < 1e-9
    with blas_on_one_thread():
        return scaling.take_apart(step, 0.0 if TINY else 5.0)


# A process that says when it is ready, waits for a line, and tells how long its passes took.
PASSES = """
import sys
from time import perf_counter
import numpy as np
from fastgmm import kernels
n, d, K, passes = map(int, sys.argv[1:])
X = np.random.default_rng(0).normal(size=(n, d))
mixture = np.full(K, 1 / K), X[:K].copy(), np.stack([np.eye(d)] * K)
statistics = kernels.expectation(X, *mixture, "full")
assert abs(statistics.counts.sum() / n - 1) < 1e-9
print("ready", flush=True)
sys.stdin.readline()
began = perf_counter()
for _ in range(passes):
    kernels.expectation(X, *mixture, "full")
print(perf_counter() - began)
"""
PASSES_SIZE = ("200", "2", "2", "1") if TINY else ("100000", "8", "8", "300")


class SideBySide:
    """Time of passes in two processes at once, as a share of the same passes in turn.

    More than 1 is what threads take from each other by waiting busily (`SPIN_COUNT`): beside it
    with as many turns of waiting as GNU's OpenMP takes by itself.
    """

    params = ("default", "300000")
    param_names = ("turns of waiting",)
    timeout = 300
    unit = "of the time in turn"

    def track_share(self, turns):
        setting = {} if turns == "default" else {"GOMP_SPINCOUNT": turns}
        alone = min(self.seconds(1, setting) for _ in range(1 if TINY else 3))
        return self.seconds(2, setting) / (2 * alone)

    @staticmethod
    def seconds(n_processes: int, setting: dict[str, str]) -> float:
        """How long the last of them takes."""
        command = [sys.executable, "-c", PASSES, *PASSES_SIZE]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        environment = {**os.environ, **setting}
        processes = [
            subprocess.Popen(command, env=environment, **pipes) for _ in range(n_processes)
        ]
        for process in processes:
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            process.stdin.write("\n")
            process.stdin.flush()
        return max(float(process.communicate()[0]) for process in processes)
