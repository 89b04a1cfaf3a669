"""What a run of EM tells: each iteration, each repair, the outcome."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Literal, NamedTuple, TypeAlias

import numpy as np

from fastgmm._records import Parameters, Statistics

__all__ = ["EMResult", "Iteration", "Repair", "RepairAction", "Status"]

RepairAction: TypeAlias = Literal["reset", "drop", "floor"]


class Status(Enum):
    """How a run of EM ended."""

    CONVERGED = "the lower bound changed by less than tol"
    MAX_ITER = "max_iter iterations were done before the lower bound settled"
    STOPPED = "a callback asked to stop"
    INTERRUPTED = "the user interrupted it"
    INITIALIZED = "max_iter is 0: the parameters are those of the start"


class Repair(NamedTuple):
    """What was done about components that had degenerated.

    Attributes
    ----------
    n_iter : int
        The iteration, 0 for the start.
    components : tuple of int
        Their numbers, as they were at that time.
    action : {'reset', 'drop', 'floor'}
    """

    n_iter: int
    components: tuple[int, ...]
    action: RepairAction


class Iteration(NamedTuple):
    """What is known after each iteration of EM.

    Attributes
    ----------
    n_iter : int
        Iterations done so far, from 1.
    lower_bound : float
        Mean log-likelihood per unit of weight under the parameters before the maximization.
    change : float
        `lower_bound` minus that of the previous iteration, infinite in the first.
    parameters : Parameters
        Those after the maximization.
    """

    n_iter: int
    lower_bound: float
    change: float
    parameters: Parameters


@dataclass(frozen=True, slots=True)
class EMResult:
    """The outcome of one run of EM from one start.

    Attributes
    ----------
    parameters : Parameters
        Those of the last maximization.
    status : Status
    lower_bounds : list of float
        Mean log-likelihood per unit of weight under the parameters *before* each maximization,
        one per iteration, as in scikit-learn.
    change : float
        How much the last lower bound differs from the one before it.
    history : list of Parameters
        The start and the parameters after each iteration, if they were to be kept.
    repairs : list of Repair
    largest_fall : float
        The most that the lower bound fell from one iteration to the next, repairs apart; 0 if it
        never did.
    statistics : Statistics or None
        Those of the last maximization, until it is known what has degenerated.
    degenerate : int array
        Components that are empty or have collapsed.
    """

    parameters: Parameters
    status: Status
    lower_bounds: list[float] = field(default_factory=list)
    change: float = np.inf
    history: list[Parameters] = field(default_factory=list)
    repairs: list[Repair] = field(default_factory=list)
    largest_fall: float = 0.0
    statistics: Statistics | None = None
    degenerate: np.ndarray = field(default_factory=lambda: np.empty(0, np.intp))

    @property
    def n_iter(self) -> int:
        """Number of iterations done."""
        return len(self.lower_bounds)

    @property
    def converged(self) -> bool:
        """Whether the lower bound settled."""
        return self.status is Status.CONVERGED

    @property
    def lower_bound(self) -> float:
        """The last lower bound, -inf before the first iteration."""
        return self.lower_bounds[-1] if self.lower_bounds else -np.inf
