"""The loop of expectation-maximization, as a pure function."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from fastgmm._records import Parameters, Statistics
from fastgmm.em.results import EMResult, Iteration, Status
from fastgmm.model.maximization import Completion, estimate

__all__ = ["run_em"]


def run_em(
    expectation: Callable[[Parameters], Statistics],
    start: Parameters,
    *,
    complete: Completion,
    tol: float,
    max_iter: int,
    lower_bound: float = -np.inf,
    on_iteration: Callable[[Iteration], object] | None = None,
    keep_history: bool = False,
    keep_on_interrupt: bool = False,
    on_result: Callable[[EMResult], object] | None = None,
) -> EMResult:
    """Climb the likelihood from `start` until the lower bound settles.

    Each iteration takes the statistics of the data under the current parameters, and from them
    the next parameters. It has converged as soon as the lower bound changes by less than `tol`,
    up or down: scikit-learn's rule.

    Parameters
    ----------
    expectation : callable
        Parameters → Statistics: the data source, whatever the data are and wherever they lie.
    start : Parameters
        The dtype of its means is the dtype of all the parameters.
    complete : Completion
        From an estimate to the next parameters. Where it repairs them the lower bound may fall.
    tol : float
    max_iter : int
    lower_bound : float
        The lower bound that the first one is compared with, for a run that is resumed.
    on_iteration : callable, optional
        Called with an `Iteration` after each one; the run stops where it returns True.
    keep_history : bool
        Whether to keep the parameters of every iteration.
    keep_on_interrupt : bool
        Whether a KeyboardInterrupt ends the run with the last complete iteration, if there is one.
    on_result : callable, optional
        Called with the result of a run that came to its end, so that a KeyboardInterrupt on the
        way back to the caller does not lose it.

    Returns
    -------
    result : EMResult

    References
    ----------
    Dempster, Laird and Rubin, Maximum likelihood from incomplete data via the EM algorithm,
    Journal of the Royal Statistical Society B 39 (1977).
    """
    parameters, dtype = start, start.means.dtype
    status = Status.MAX_ITER if max_iter > 0 else Status.INITIALIZED
    lower_bounds: list[float] = []
    change, largest_fall, n_complete = np.inf, 0.0, 0
    history = [start] if keep_history else []
    last: Statistics | None = None

    def result() -> EMResult:
        return EMResult(
            parameters,
            status,
            lower_bounds,
            change,
            history,
            largest_fall=largest_fall,
            statistics=last,
        )

    try:
        for n_iter in range(1, max_iter + 1):
            statistics = expectation(parameters)
            estimated = estimate(statistics, start.covariance_type, dtype)
            following, repair = complete(estimated, n_iter)
            previous, lower_bound = lower_bound, _mean_log_likelihood(statistics)
            lower_bounds.append(lower_bound)
            if keep_history:
                history.append(following)
            rise = lower_bound - previous
            settled = repair is None and abs(rise) < tol
            ended = Status.CONVERGED if settled else Status.MAX_ITER
            fall = max(largest_fall, -rise)
            # At once, so that an interruption finds a whole iteration or nothing of it.
            parameters, last, n_complete, status, change, largest_fall = (
                following, statistics, n_iter, ended, rise, fall,
            )  # fmt: skip
            stopped = on_iteration is not None and on_iteration(
                Iteration(n_iter, lower_bound, change, parameters)
            )
            if settled:
                break
            if repair is not None:
                lower_bound = -np.inf
            if stopped:
                status = Status.STOPPED
                break
        if on_result is not None:
            on_result(result())
    except KeyboardInterrupt:
        if not (keep_on_interrupt and n_complete):
            raise
        if status is Status.MAX_ITER and n_complete < max_iter:
            status = Status.INTERRUPTED
        del lower_bounds[n_complete:], history[n_complete + 1 :]
    return result()


def _mean_log_likelihood(statistics: Statistics) -> float:
    """Log-likelihood per unit of weight; the counts add up to the weight of all the points."""
    return float(statistics.log_likelihood / statistics.counts.sum())
