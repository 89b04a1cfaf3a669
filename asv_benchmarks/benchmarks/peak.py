"""The smallest share of the processor's multiply-add peak that a pass reaches, over many sizes."""

from __future__ import annotations

from functools import partial

import numba
import numpy as np

from fastgmm.benchmarking.problems import Problem
from fastgmm.benchmarking.timing import shortest_in_turn
from fastgmm.kernels.passes import Pass

from .common import TINY

from peer_table import peak, sweeps  # isort: skip  # common.py knows where tools are

SECONDS = 0.0 if TINY else 0.3  # of each size, at least
FEWEST = 10  # features; with fewer, exponentials take more than multiply-adds


class SmallestShare:
    """Full covariances, of clusters that overlap so that every pair counts."""

    params = (["float64", "float32"],)
    param_names = ("dtype",)
    unit = "of the peak"
    timeout = 300

    def setup(self, dtype):
        self.dtype = dtype
        problems = sweeps.sweep("d", "full", dtype, quick=TINY)
        self.problems = [p for p in problems if TINY or p.d >= FEWEST]

    def track_share(self, dtype):
        threads, seconds = numba.get_num_threads(), 0.01 if TINY else None
        highest = peak.multiply_add_peak(dtype, threads, seconds)
        return min(problem.flops / seconds_of(problem) / highest for problem in self.problems)


def seconds_of(problem: Problem) -> float:
    """The shortest time of a pass over points that all count for all components."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((problem.n, problem.d)).astype(problem.dtype)
    means = 0.1 * rng.standard_normal((problem.K, problem.d))
    factors = np.stack([np.eye(problem.d)] * problem.K)
    weights = np.full(problem.K, 1 / problem.K)
    call = partial(Pass(X).expectation, weights, means, factors, "full", None)
    assert abs(call().counts.sum() / problem.n - 1) < 1e-4
    return shortest_in_turn([call], SECONDS)[0]
