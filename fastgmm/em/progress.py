"""Telling of the progress of a fit; printing it, line for line as scikit-learn does.

Only a lower bound that fell has a line of its own.
"""

from __future__ import annotations

from time import perf_counter

from fastgmm.em.results import EMResult, Iteration

# What the five decimals of a printed change show.
VISIBLE = 5e-6
# Seconds of an iteration from which on it is told how many rows are read in one.
LONG_PASS = 1.0


class Watcher:
    """What a fit tells its steps to, and what may ask it to stop; this one does neither."""

    def run_begins(self, index: int) -> None:
        """A start, number `index`, is about to be found."""

    def iteration_ends(self, iteration: Iteration) -> bool:
        """Return whether the run is to stop here."""
        return False

    def run_ends(self, result: EMResult) -> bool:
        """Return whether further starts are to be left out."""
        return False

    def run_fails(self, error: Exception) -> None:
        """Take note that there is no result; the next start is tried."""


class Progress(Watcher):
    """Prints what happens in a fit: nothing, the steps, or the steps with times and changes.

    That is for `verbose` 0, 1, and 2 or more; there are `interval` iterations between two lines.
    """

    def __init__(self, verbose: int, interval: int, n_rows: int = 0) -> None:
        self.verbose, self.interval, self.n_rows = verbose, interval, n_rows
        self._run_began = self._last_line = perf_counter()

    def run_begins(self, index: int) -> None:
        """Print the number of the run, one for each of `n_init` starts."""
        if self.verbose:
            print(f"Initialization {index}")
            self._run_began = self._last_line = perf_counter()

    def iteration_ends(self, iteration: Iteration) -> bool:
        """Print every `interval`-th iteration."""
        if self.verbose and iteration.n_iter % self.interval == 0:
            line = f"  Iteration {iteration.n_iter}"
            if self.verbose >= 2:
                now = perf_counter()
                lapse, change = now - self._last_line, iteration.change
                line += f"\t time lapse {lapse:.5f}s\t ll change {change:.5f}"
                if lapse > LONG_PASS * self.interval:
                    line += f"\t {self.n_rows * self.interval / lapse:,.0f} rows/s"
                self._last_line = now
            print(line)
        return False

    def run_ends(self, result: EMResult) -> bool:
        """Print how the run ended."""
        if self.verbose and result.n_iter:
            line = f"Initialization {'converged' if result.converged else 'did not converge'}."
            if self.verbose >= 2:
                lapse = perf_counter() - self._run_began
                line += f" time lapse {lapse:.5f}s\t lower bound {result.lower_bound:.5f}."
            print(line)
            if self.verbose >= 2 and result.largest_fall >= VISIBLE:
                print(f"The lower bound fell by up to {result.largest_fall:.5f} in an iteration.")
        return False

    def run_fails(self, error: Exception) -> None:
        """Print why the run has no result."""
        if self.verbose:
            print(f"Initialization failed: {error}")
