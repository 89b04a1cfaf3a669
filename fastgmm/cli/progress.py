"""The progress of a fit, shown while it lasts."""

from __future__ import annotations

from time import perf_counter
from types import TracebackType

import numpy as np

from fastgmm.em.progress import Progress
from fastgmm.em.results import EMResult, Iteration, Status
from fastgmm.system.terminal import progress_bar

BETWEEN_TWO = 0.2  # seconds between two reports of a pass


class LiveProgress(Progress):
    """Shows the iterations of a fit on stderr while the block lasts, and then goes away."""

    def __init__(self, n_init: int, max_iter: int) -> None:
        super().__init__(verbose=0, interval=1)
        self._n_init = n_init
        self._bar = progress_bar()
        self._task = self._bar.add_task("starting", total=max_iter, state="")
        self.interrupted = False  # whether Ctrl-C ended the fit, or the run that goes on
        self._said = ""
        self._pass_began, self._told, self._n_rows = 0.0, 0.0, 0

    def __enter__(self) -> LiveProgress:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def run_begins(self, index: int) -> None:
        """Begin a new bar."""
        self.interrupted = True  # until it ends: a start that is cut short is not told of
        name = f"start {index + 1} of {self._n_init}" if self._n_init > 1 else "fitting"
        state = "finding a start" if index else "compiling or loading the kernels"
        self._bar.reset(self._task, description=name, state=state)
        self._said = state

    def iteration_ends(self, iteration: Iteration) -> bool:
        """Move on by one iteration."""
        state = f"iteration {iteration.n_iter}, lower bound {iteration.lower_bound:.6f}"
        if np.isfinite(iteration.change):
            state += f" ({iteration.change:+.1e})"
        self._bar.update(self._task, completed=iteration.n_iter, state=state)
        self._said = state
        return False

    def rows_read(self, n_rows: int) -> None:
        """Tell how far a pass has come, a few times in a second; a reader's thread does so."""
        now = perf_counter()
        if n_rows < self._n_rows or not self._pass_began:
            self._pass_began = now
        self._n_rows = n_rows
        if now - self._told > BETWEEN_TWO and now > self._pass_began:
            rate = n_rows / (now - self._pass_began)
            state = f"{self._said}; {n_rows:,} rows, {rate:,.0f} in a second"
            self._bar.update(self._task, state=state)
            self._told = now

    def run_ends(self, result: EMResult) -> bool:
        """Fill the bar: a run that has converged is complete."""
        self.interrupted = result.status is Status.INTERRUPTED
        self._bar.update(self._task, completed=self._bar.tasks[0].total)
        return False

    def run_fails(self, error: Exception) -> None:
        """A start that fails has not been interrupted."""
        self.interrupted = False
