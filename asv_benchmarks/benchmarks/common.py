"""What the suites share: the registry's cases, and their size.

asv calls `setup` before every single timing, so whatever is costly there (data, compilation,
checks) is prepared once per process by a cached function of the benchmark's parameters.

asv and tools/compare run these suites with older versions of fastgmm. What a suite times is
therefore set up from the registry and the public interface alone, and `fastgmm.benchmarking` is
imported only where times are taken here: in the ratios, which tools/compare leaves out.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import numba
import numpy as np
from threadpoolctl import threadpool_limits

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))  # where peer_table is
sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from registry import BENCHMARK_CASES, Case, Inputs, assert_agree, relative_error

if TYPE_CHECKING:  # it takes a second, which not all suites need
    from fastgmm import GaussianMixture

__all__ = [
    "ITERATIONS",
    "MIDDLE",
    "TINY",
    "Case",
    "aligned",
    "assert_agree",
    "case_names",
    "on_threads",
    "parameters_of",
    "prepared_problem",
    "ratio",
    "relative_error",
]

Result = TypeVar("Result")

# With FASTGMM_BENCH_TINY=1 every benchmark still runs, on so little that it measures nothing.
TINY = os.environ.get("FASTGMM_BENCH_TINY") == "1"

ITERATIONS = 2 if TINY else 10

# How often and how long `ratio` looks, at least.
FEWEST_ROUNDS, SECONDS = (1, 0.0) if TINY else (7, 0.05)

_CASES = {case.name: case for case in BENCHMARK_CASES}


def case_names(**fixed: object) -> list[str]:
    """Names of the registry's benchmark cases that have the given attributes."""
    return [
        name
        for name, case in _CASES.items()
        if all(getattr(case, attribute) == value for attribute, value in fixed.items())
    ]


# Two that stand for the others: triangles and diagonals, in middle shapes.
MIDDLE = [
    *case_names(covariance_type="full", dtype="float64", d=16),
    *case_names(covariance_type="diag", dtype="float64", d=16),
]


@lru_cache(maxsize=1)
def prepared_problem(name: str) -> tuple[Case, Inputs]:
    """Return a case of the registry and its arrays, written and therefore resident."""
    case = _CASES[name]
    if TINY:
        case = replace(case, n=min(case.n, 200), K=min(case.K, 3))
    return case, case.make()


def parameters_of(model: GaussianMixture) -> tuple:
    """Return a fitted mixture as the functions of the contract take it."""
    return model.weights_, model.means_, model.precisions_cholesky_, model.covariance_type


def aligned(array: np.ndarray) -> np.ndarray:
    """Copy to the start of a cache line, where the kernels have their workspace."""
    memory = np.empty(array.nbytes + 64, np.uint8)
    start = -memory.ctypes.data % 64
    copy = memory[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def on_threads(n_threads: int, call: Callable[[], Result]) -> Callable[[], Result]:
    """Make the call run on so many of numba's threads."""

    def limited() -> Result:
        before = numba.get_num_threads()
        numba.set_num_threads(n_threads)
        try:
            return call()
        finally:
            numba.set_num_threads(before)

    return limited


def ratio(
    slow: Callable[[], object], fast: Callable[[], object], seconds: float = SECONDS
) -> float:
    """How many times as long `slow` takes: the shortest of both, called in turn.

    On a busy machine, calls of a millisecond or so find a moment without others.
    """
    from fastgmm.benchmarking.timing import shortest_in_turn

    of_slow, of_fast = shortest_in_turn((slow, fast), seconds, FEWEST_ROUNDS)
    return of_slow / of_fast


class _Gain:
    """What a trick gains: the two `calls` of a setup, without it and with it, compiled."""

    unit = "times faster"
    n_threads = 1  # None for all

    calls: tuple[Callable[[], object], Callable[[], object]]

    def track_gain(self, *parameters):
        before = numba.get_num_threads()
        numba.set_num_threads(self.n_threads or before)
        try:  # threads of BLAS would wait for a processor that is busy
            with threadpool_limits(1, "blas"):
                return ratio(*self.calls)
        finally:
            numba.set_num_threads(before)
