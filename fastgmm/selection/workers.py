"""Fits side by side, each with its part of the threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import TypeVar

from fastgmm.em.progress import Watcher
from fastgmm.em.results import Iteration
from fastgmm.system.threads import max_threads, n_threads, threads_of

Item = TypeVar("Item")
Result = TypeVar("Result")


class Stopped(Exception):
    """A fit that nobody waits for any more."""


class Unwanted(Watcher):
    """Ends a fit at its next step once nobody waits for it."""

    def __init__(self, nobody_waits: Event) -> None:
        self._nobody_waits = nobody_waits

    def run_begins(self, index: int) -> None:
        """Go no further if nobody waits."""
        if self._nobody_waits.is_set():
            raise Stopped

    def iteration_ends(self, iteration: Iteration) -> bool:
        """Go no further if nobody waits."""
        self.run_begins(0)
        return False


class Workers:
    """Python threads for fits, unless there is but one thread to share.

    A fit alternates between kernels, which share its threads well, and work on the host, during
    which all but one of them wait. Several fits with few threads each leave no thread waiting.
    Every fit has to have the `watchers`.
    """

    def __init__(self, n_jobs: int | None, n_tasks: int) -> None:
        total = n_threads() if n_jobs is None else threads_of(n_jobs, max_threads())
        self.number = max(1, min(total, n_tasks))
        self.n_jobs = max(1, total // self.number) if self.number > 1 else n_jobs  # of each fit
        self._nobody_waits = Event()
        self.watchers = [Unwanted(self._nobody_waits)] if self.number > 1 else []

    def map(self, function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """Results of a function of each item, in their order; an interruption ends all of them."""
        if self.number == 1:
            return [function(item) for item in items]
        with ThreadPoolExecutor(self.number) as pool:
            waiting = [pool.submit(function, item) for item in items]
            try:
                return [each.result() for each in waiting]
            except BaseException:
                self._nobody_waits.set()
                pool.shutdown(wait=False, cancel_futures=True)
                raise
