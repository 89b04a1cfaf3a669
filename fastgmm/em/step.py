"""One step of EM, as a pure function: a step that is not taken leaves nothing behind."""

from __future__ import annotations

from typing import NamedTuple

from fastgmm._records import Parameters, Statistics
from fastgmm.data.source import Source
from fastgmm.em.degeneracy import NO_REPAIRS, Repairing, Repairs
from fastgmm.model.maximization import Maximization


class Step(NamedTuple):
    """What a step leads to, and what it has learned of where it began."""

    parameters: Parameters  # the next ones
    statistics: Statistics  # of the data under the current ones
    objective: float  # what EM maximizes, as far as the step has climbed
    repairs: Repairs = NO_REPAIRS  # all of the run, those of this step included


def em_step(
    source: Source,
    maximization: Maximization,
    parameters: Parameters,
    *,
    repairing: Repairing | None = None,
    n_iter: int = 0,
    repairs: Repairs = NO_REPAIRS,
) -> Step:
    """Take the expected statistics of the data, and from them the next parameters.

    `repairing` says what is done about degenerate components, `n_iter` is the number of the
    iteration and `repairs` are those of the steps before. IllDefinedCovariance is raised if a
    covariance is not positive definite.

    References
    ----------
    Dempster, Laird and Rubin, Maximum likelihood from incomplete data via the EM algorithm,
    Journal of the Royal Statistical Society B 39 (1977).
    """
    statistics = source.expectation(parameters)
    if repairing is None:
        following = maximization.maximize(statistics, parameters)
    else:
        estimate = maximization.estimate(statistics, parameters)
        following, repairs = repairing.repair(estimate, n_iter, repairs)
    objective = maximization.objective(statistics, parameters, following)
    return Step(following, statistics, objective, repairs)
