"""The loop of expectation-maximization, as a pure function."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import DTypeLike

from fastgmm._maximization import Completion, estimate
from fastgmm._records import EMResult, Iteration, Parameters, Statistics, Status

__all__ = ["run_em"]

# A lower bound that falls by more than so many units in its last place has really fallen.
ROUNDING = 2**12


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
) -> EMResult:
    """Climb the likelihood from `start` until the lower bound settles.

    Each iteration takes the statistics of the data under the current parameters, and from them
    the next parameters. It ends as soon as the lower bound changes by less than `tol`, up or
    down: scikit-learn's rule, so that both take the same number of iterations. But a lower bound
    that has fallen, by more than rounding explains, has not converged.

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
    change, n_complete = np.inf, 0
    history = [start] if keep_history else []
    try:
        for n_iter in range(1, max_iter + 1):
            statistics = expectation(parameters)
            estimated = estimate(statistics, start.covariance_type, dtype)
            following, repair = complete(estimated, n_iter)
            previous, lower_bound = lower_bound, _mean_log_likelihood(statistics)
            lower_bounds.append(lower_bound)
            if keep_history:
                history.append(following)
            # At once, so that an interruption finds a whole iteration or nothing of it.
            parameters, change, n_complete = following, lower_bound - previous, n_iter
            stopped = on_iteration is not None and on_iteration(
                Iteration(n_iter, lower_bound, change, parameters)
            )
            if repair is not None:
                lower_bound = -np.inf
            elif abs(change) < tol:
                fell = change < -_rounding(lower_bound, dtype)
                status = Status.FELL if fell else Status.CONVERGED
                break
            if stopped:
                status = Status.STOPPED
                break
    except KeyboardInterrupt:
        if not (keep_on_interrupt and n_complete):
            raise
        status = Status.INTERRUPTED
        del lower_bounds[n_complete:], history[n_complete + 1 :]
    return EMResult(parameters, status, lower_bounds, change, history)


def _mean_log_likelihood(statistics: Statistics) -> float:
    """Log-likelihood per unit of weight; the counts add up to the weight of all the points."""
    return float(statistics.log_likelihood / statistics.counts.sum())


def _rounding(lower_bound: float, dtype: DTypeLike) -> float:
    """By how much the lower bound may fall without having fallen."""
    return ROUNDING * float(np.finfo(dtype).eps) * max(1.0, abs(lower_bound))
