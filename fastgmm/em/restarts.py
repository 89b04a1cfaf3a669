"""EM from several starts, of which the best result is kept."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from fastgmm.em.progress import Watcher
from fastgmm.em.results import EMResult, Iteration, Status
from fastgmm.model.factors import IllDefinedCovariance


class Outcome(NamedTuple):
    """The best result, and why other starts have none."""

    best: EMResult
    failures: list[IllDefinedCovariance]

    def warnings(self, n_starts: int, tol: float) -> Iterator[str]:
        """What to warn of: how far the kept run was from convergence, which starts failed."""
        best, failures = self
        # The first two sentences are scikit-learn's, for code that searches for them.
        not_converged = (
            "Best performing initialization did not converge. Try different init parameters, or "
            "increase max_iter, tol, or check for degenerate data. "
        )
        match best.status:
            case Status.MAX_ITER if math.isinf(best.change):
                yield (
                    f"{not_converged}max_iter={best.n_iter} ended the run before the lower bounds "
                    "of two iterations could be compared."
                )
            case Status.MAX_ITER:
                yield (
                    f"{not_converged}After max_iter={best.n_iter} iterations the lower bound still "
                    f"changed by {best.change:.2g}, and tol={tol:g}."
                )
            case Status.INTERRUPTED:
                yield (
                    f"The fit was interrupted; what it had found after {best.n_iter} iterations "
                    "was kept."
                )
        if failures:
            yield (
                f"{len(failures)} of {n_starts} initializations failed, and the best of the others "
                f"was kept. The last failure: {failures[-1]}"
            )


def best_of_starts(
    n_starts: int,
    run: Callable[[Callable[[Iteration], bool] | None], EMResult],
    watchers: Sequence[Watcher],
    keep_on_interrupt: bool = False,
) -> Outcome:
    """Run EM from each start in turn, and keep the result with the highest lower bound.

    `run` takes what it is to call after each iteration, and begins from another start at each call.
    The starts come one after another from a single random state, as in scikit-learn. So do the
    runs: each has the kernels' threads to itself. With `keep_on_interrupt` a KeyboardInterrupt
    leaves the best result so far. If every start fails, IllDefinedCovariance is raised.
    """
    best: EMResult | None = None
    failures = []

    def on_iteration(iteration: Iteration) -> bool:
        asked = [watcher.iteration_ends(iteration) for watcher in watchers]  # each is told
        return any(asked)

    for index in range(n_starts):
        for watcher in watchers:
            watcher.run_begins(index)
        try:
            result = run(on_iteration if watchers else None)
        except IllDefinedCovariance as error:
            failures.append(error)
            for watcher in watchers:
                watcher.run_fails(error)
            continue
        except KeyboardInterrupt:
            if best is None or not keep_on_interrupt:
                raise
            best = replace(best, status=Status.INTERRUPTED)
            break
        # Without iterations none is better, and as in scikit-learn the last counts.
        if best is None or result.lower_bound > best.lower_bound or result.n_iter == 0:
            best = result
        asked = [watcher.run_ends(result) for watcher in watchers]
        if result.status is Status.INTERRUPTED:
            best = replace(best, status=Status.INTERRUPTED)
            break
        if any(asked):
            break
    if best is None:
        raise failures[-1]
    return Outcome(best, failures)
