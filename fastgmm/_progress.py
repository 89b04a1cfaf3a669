"""Printing the progress of a fit, line for line as scikit-learn does."""

from __future__ import annotations

from time import perf_counter

from fastgmm._records import EMResult, Iteration

__all__ = ["Progress"]


class Progress:
    """Prints what happens in a fit: nothing, the steps, or the steps with times and changes.

    Parameters
    ----------
    verbose : int
        0, 1, or 2 and more.
    interval : int
        Iterations between two lines.
    """

    def __init__(self, verbose: int, interval: int) -> None:
        self.verbose = verbose
        self.interval = interval
        self._run_began = self._last_line = perf_counter()

    def run_begins(self, index: int) -> None:
        """Print the number of the run, one for each of `n_init` starts."""
        if self.verbose:
            print(f"Initialization {index}")
            self._run_began = self._last_line = perf_counter()

    def iteration_ends(self, iteration: Iteration) -> None:
        """Print every `interval`-th iteration."""
        if not self.verbose or iteration.n_iter % self.interval:
            return
        line = f"  Iteration {iteration.n_iter}"
        if self.verbose >= 2:
            now = perf_counter()
            line += f"\t time lapse {now - self._last_line:.5f}s\t ll change {iteration.change:.5f}"
            self._last_line = now
        print(line)

    def run_ends(self, result: EMResult) -> None:
        """Print how the run ended."""
        if not self.verbose or not result.n_iter:
            return
        line = f"Initialization {'converged' if result.converged else 'did not converge'}."
        if self.verbose >= 2:
            lapse = perf_counter() - self._run_began
            line += f" time lapse {lapse:.5f}s\t lower bound {result.lower_bound:.5f}."
        print(line)
