"""What many cores gain: an iteration taken apart on this machine, put together for others.

With C cores it takes

    T(C) = serial + Σ over calls of a driver (call(C) + the time of the busiest of C threads)

Serial is all that the host does between the calls. A call takes time even if no block is left to
run: it hands over the arguments, wakes the threads, and waits for them. That is measured on one
thread and on two, of which the second sleeps; each one more takes `WAKING`. Blocks are timed one by
one on one thread and dealt out as the drivers do it: whoever is free takes the next. What the model
does not know is what cores share: caches, the way to memory, and a limit of power.
"""

from __future__ import annotations

import ctypes
import heapq
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any
from unittest import mock

import numba
import numpy as np

from fastgmm.benchmarking.problems import Problem, draw
from fastgmm.benchmarking.timing import shortest_in_turn, timed
from fastgmm.data.source import ArraySource
from fastgmm.em.step import Step, em_step
from fastgmm.kernels.jit.drivers import CODE, NEXT_NUMBER, TASK, Driver, run_on_threads
from fastgmm.kernels.jit.records import address_of
from fastgmm.model.maximization import MaximumLikelihood
from fastgmm.system.threads import blas_on_one_thread

# A block, as `fastgmm.kernels.jit.drivers.BLOCK` has it.
BlockCode = ctypes.CFUNCTYPE(
    ctypes.c_int32, *[ctypes.c_void_p] * 2, *[ctypes.c_int64] * 3, ctypes.c_void_p
)
# Points, features, components: the sizes that many cores are for.
SHAPES = ((1_000_000, 8, 8), (1_000_000, 16, 16), (200_000, 64, 32))
CORES = (2, 4, 16, 64)
WAKING = 1e-6  # seconds that Linux takes to wake one more thread
PAUSE = 5e-4  # seconds after which threads sleep
SECONDS = 8.0  # of each problem, at least, and so many iterations taken apart
FEWEST = 5


@dataclass(frozen=True, slots=True)
class DriverCall:
    """One call of a driver: seconds of its blocks, and of itself on one thread and on two."""

    blocks: tuple[float, ...]
    on_one: float
    on_two: float

    def overhead(self, cores: int) -> float:
        """Seconds of the call itself on so many cores, of which as many as have a block wake."""
        threads = min(cores, len(self.blocks))
        return self.on_one if threads < 2 else self.on_two + (threads - 2) * WAKING

    def busiest(self, cores: int) -> float:
        """Seconds of the thread that has most to do, if whoever is free takes the next block."""
        threads = [0.0] * cores
        for seconds in self.blocks:
            heapq.heappush(threads, heapq.heappop(threads) + seconds)
        return max(threads)


@dataclass(frozen=True, slots=True)
class Iteration:
    """An iteration on one thread, taken apart."""

    serial: float
    calls: tuple[DriverCall, ...]

    @property
    def parallel(self) -> float:
        """Seconds of all blocks."""
        return sum(sum(call.blocks) for call in self.calls)

    def overhead(self, cores: int) -> float:
        """Seconds of all calls without their blocks."""
        return sum(call.overhead(cores) for call in self.calls)

    def imbalance(self, cores: int) -> float:
        """Time of the busiest threads over that of the average ones."""
        if not self.calls:  # a small problem, which has no blocks
            return 1.0
        return sum(call.busiest(cores) for call in self.calls) * cores / self.parallel

    def seconds(self, cores: int) -> float:
        """Predicted for so many cores."""
        busiest = sum(call.busiest(cores) for call in self.calls)
        return self.serial + self.overhead(cores) + busiest

    def speedup(self, cores: int) -> float:
        """Predicted for so many cores, beside one."""
        return self.seconds(1) / self.seconds(cores)


@dataclass(frozen=True, slots=True)
class ScalingResult:
    """What is known of an iteration on a problem, and what is predicted of it.

    Attributes
    ----------
    problem : Problem
    seconds : float
        Of an iteration on one core.
    serial : float
        Seconds of it that the host takes, whatever the number of cores.
    two_threads : float or None
        Gain of two threads over one, measured where there are two.
    cores : list of int
        Numbers that the rest is predicted for.
    overheads : list of float
        Seconds of the calls themselves.
    imbalances : list of float
        Time of the busiest thread over that of the average one.
    speedups : list of float
    """

    problem: Problem
    seconds: float
    serial: float
    two_threads: float | None
    cores: list[int]
    overheads: list[float]
    imbalances: list[float]
    speedups: list[float]


def measure_scaling(problem: Problem, seconds: float = SECONDS) -> ScalingResult:
    """Take an iteration apart, and measure what the second thread gains where there is one."""
    step = prepared_step(problem)
    gain = None
    with blas_on_one_thread():  # as in a fit
        iteration = take_apart(step, seconds)
        if numba.config.NUMBA_NUM_THREADS > 1:
            one, two = shortest_in_turn([partial(on_threads, n, step) for n in (1, 2)], seconds)
            gain = one / two
    predictions = (iteration.overhead, iteration.imbalance, iteration.speedup)
    of_cores = [[predict(cores) for cores in CORES] for predict in predictions]
    return ScalingResult(
        problem, iteration.seconds(1), iteration.serial, gain, list(CORES), *of_cores
    )


def prepared_step(problem: Problem) -> Callable[[], Step]:
    """Return an iteration of EM from the same parameters each time, compiled and warm."""
    X, start = draw(problem)
    source = ArraySource(X)
    maximization = MaximumLikelihood(problem.covariance_type, 1e-6, X.dtype)
    first = em_step(source, maximization, start)
    return partial(em_step, source, maximization, first.parameters)


def on_threads(n_threads: int, call: Callable[[], object]) -> None:
    """Run a call on so many threads."""
    before = numba.get_num_threads()
    numba.set_num_threads(min(n_threads, numba.config.NUMBA_NUM_THREADS))
    try:
        call()
    finally:
        numba.set_num_threads(before)


# --- taking apart ---------------------------------------------------------------------------
def take_apart(step: Callable[[], object], seconds: float = SECONDS) -> Iteration:
    """Take iterations apart on one thread; of each part the shortest time counts."""
    iterations: list[Iteration] = []
    began = perf_counter()
    while len(iterations) < FEWEST or perf_counter() - began < seconds:
        iterations.append(taken_apart_once(step))
    calls = [
        DriverCall(
            tuple(np.min([call.blocks for call in same], axis=0).tolist()),
            min(call.on_one for call in same),
            min(call.on_two for call in same),
        )
        for same in zip(*(iteration.calls for iteration in iterations), strict=True)
    ]
    return Iteration(min(iteration.serial for iteration in iterations), tuple(calls))


def taken_apart_once(step: Callable[[], object]) -> Iteration:
    """Run an iteration whose drivers time each of their blocks."""
    calls: list[DriverCall] = []
    within = 0.0

    def by_blocks(driver: Driver, n_blocks: int, task: Any) -> None:
        nonlocal within
        entered = perf_counter()
        calls.append(block_by_block(driver, n_blocks, task))
        within += perf_counter() - entered

    with mock.patch.object(Driver, "__call__", by_blocks):
        _, whole = timed(partial(on_threads, 1, step))
    return Iteration(whole - within, tuple(calls))


def block_by_block(driver: Driver, n_blocks: int, task: Any) -> DriverCall:
    """Time each block, and a call without any on one thread and on two."""
    call = driver.described(n_blocks, task)
    code = BlockCode(int(call[CODE]))
    unread = np.zeros(2, np.int64)
    places = [address_of(unread), address_of(unread) + unread.itemsize]
    description = address_of(call) + call.itemsize * TASK
    blocks = []
    for number in range(n_blocks):
        _, seconds = timed(partial(code, *places, number, 0, n_blocks, description))
        blocks.append(seconds)

    def empty() -> None:
        call = driver.described(n_blocks, task)
        call[NEXT_NUMBER] = n_blocks
        run_on_threads(call)

    return DriverCall(tuple(blocks), *(seconds_of_call(n, empty) for n in (1, 2)))


def seconds_of_call(n_threads: int, call: Callable[[], object]) -> float:
    """Time a call whose threads have had nothing to do for as long as the host might take."""
    on_threads(n_threads, call)
    until = perf_counter() + PAUSE
    while perf_counter() < until:
        pass
    return timed(partial(on_threads, n_threads, call))[1]
