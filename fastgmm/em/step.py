"""One step of EM, as a pure function: a step that is not taken leaves nothing behind."""

from __future__ import annotations

from typing import NamedTuple

from fastgmm._records import Parameters, Statistics
from fastgmm.data.source import Source
from fastgmm.em.degeneracy import NO_REPAIRS, Repairing, Repairs
from fastgmm.model.maximization import Maximization

__all__ = ["Step", "em_step"]


class Step(NamedTuple):
    """What a step leads to, and what it has learned of where it began.

    Attributes
    ----------
    parameters : Parameters
        The next ones.
    statistics : Statistics
        Those of the data under the current parameters.
    objective : float
        What EM maximizes, under the current parameters and per unit of weight.
    repairs : Repairs
        All that were done in the run, those of this step included.
    """

    parameters: Parameters
    statistics: Statistics
    objective: float
    repairs: Repairs = NO_REPAIRS


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

    Parameters
    ----------
    source : Source
    maximization : Maximization
    parameters : Parameters
    repairing : Repairing, optional
        What is done about degenerate components; nothing by default.
    n_iter : int
        The number of the iteration, for the repairs.
    repairs : Repairs
        Those of the steps before.

    Returns
    -------
    step : Step

    Raises
    ------
    IllDefinedCovariance
        If a covariance is not positive definite.

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
        following, repairs = repairing.complete(estimate, n_iter, repairs)
    objective = maximization.objective(statistics.log_likelihood, parameters)
    # The counts add up to the weight of all the points.
    return Step(following, statistics, float(objective / statistics.counts.sum()), repairs)
