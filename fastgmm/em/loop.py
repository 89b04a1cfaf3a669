"""The loop of expectation-maximization: steps until the objective settles."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np

from fastgmm._records import Parameters, Statistics
from fastgmm.em.degeneracy import NO_REPAIRS, Repairs
from fastgmm.em.results import EMResult, Iteration, Status
from fastgmm.em.step import Step

# (parameters, number of the iteration, repairs so far) → step
StepFunction: TypeAlias = Callable[[Parameters, int, Repairs], Step]


class Rules(NamedTuple):
    """When a run ends, and what it keeps."""

    tol: float
    max_iter: int
    keep_history: bool = False  # the parameters of every iteration
    keep_on_interrupt: bool = False  # the last whole iteration, if there is one


# Long: what an interruption may find has to be seen in one place.
def run_em(
    step: StepFunction,
    start: Parameters,
    rules: Rules,
    *,
    repairs: Repairs = NO_REPAIRS,
    lower_bound: float = -np.inf,
    on_iteration: Callable[[Iteration], object] | None = None,
    on_result: Callable[[EMResult], object] | None = None,
) -> EMResult:
    """Climb from `start` until the lower bound, which is the objective of the steps, settles.

    It has converged as soon as the lower bound changes by less than `tol`, up or down:
    scikit-learn's rule. Where a step repairs something the lower bound may fall, and is compared
    with no other. A run that is resumed compares its first with `lower_bound`.

    The run stops where `on_iteration` returns True. `on_result` is called with the result of a run
    that came to its end, so that a KeyboardInterrupt on the way back does not lose it.
    """
    parameters, max_iter = start, rules.max_iter
    status = Status.MAX_ITER if max_iter > 0 else Status.INITIALIZED
    lower_bounds: list[float] = []
    change, largest_fall, n_complete = np.inf, 0.0, 0
    history = [start] if rules.keep_history else []
    last: Statistics | None = None

    def result() -> EMResult:
        done = list(repairs.done)
        found = parameters, status, lower_bounds, change, history, done
        return EMResult(*found, largest_fall=largest_fall, statistics=last)

    try:
        for n_iter in range(1, max_iter + 1):
            taken = step(parameters, n_iter, repairs)
            repaired = len(taken.repairs.done) > len(repairs.done)
            previous, lower_bound = lower_bound, taken.objective
            lower_bounds.append(lower_bound)
            if rules.keep_history:
                history.append(taken.parameters)
            rise = lower_bound - previous
            settled = not repaired and abs(rise) < rules.tol
            ended = Status.CONVERGED if settled else Status.MAX_ITER
            fall = max(largest_fall, -rise)
            # At once, so that an interruption finds a whole iteration or nothing of it.
            parameters, last, repairs, n_complete, status, change, largest_fall = (
                taken.parameters, taken.statistics, taken.repairs, n_iter, ended, rise, fall,
            )  # fmt: skip
            stopped = on_iteration is not None and on_iteration(
                Iteration(n_iter, lower_bound, change, parameters)
            )
            if settled:
                break
            if repaired:
                lower_bound = -np.inf
            if stopped:
                status = Status.STOPPED
                break
        if on_result is not None:
            on_result(result())
    except KeyboardInterrupt:
        if not (rules.keep_on_interrupt and n_complete):
            raise
        if status is Status.MAX_ITER and n_complete < max_iter:
            status = Status.INTERRUPTED
        del lower_bounds[n_complete:], history[n_complete + 1 :]
    return result()
