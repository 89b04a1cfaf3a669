"""What a run of EM tells: each iteration, each repair, the outcome."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from fastgmm._records import Parameters, Statistics

RepairAction: TypeAlias = Literal["reset", "drop", "floor"]


class Status(Enum):
    """How a run of EM ended."""

    CONVERGED = "the lower bound changed by less than tol"
    MAX_ITER = "max_iter iterations were done before the lower bound settled"
    STOPPED = "a callback asked to stop"
    INTERRUPTED = "the user interrupted it"
    INITIALIZED = "max_iter is 0: the parameters are those of the start"


class Repair(NamedTuple):
    """What was done about components that had degenerated."""

    n_iter: int  # the iteration, 0 for the start
    components: tuple[int, ...]  # their numbers, as they were at that time
    action: RepairAction


class Iteration(NamedTuple):
    """What is known after each iteration of EM."""

    n_iter: int  # done so far, from 1
    lower_bound: float  # the objective per unit of weight, before the maximization
    change: float  # of the lower bound; infinite in the first
    parameters: Parameters  # after the maximization


class SampleEnd(NamedTuple):
    """What is known when EM leaves a sample for a larger one, or for all the rows."""

    n_rows: int  # of the sample
    n_all: int  # that have weight
    n_iter: int  # done on the sample
    lower_bound: float  # of the sample, before the last maximization


@dataclass(frozen=True, slots=True)
class EMResult:
    """The outcome of one run of EM from one start."""

    parameters: Any  # of the last maximization: `Parameters`, or a record that begins like it
    status: Status
    lower_bounds: list[float] = field(default_factory=list)  # before each maximization
    change: float = np.inf  # of the last lower bound
    history: list[Parameters] = field(default_factory=list)  # from the start on, if it was kept
    repairs: list[Repair] = field(default_factory=list)
    largest_fall: float = 0.0  # of the lower bound in an iteration, repairs apart
    statistics: Statistics | None = None  # the last, until it is known what has degenerated
    degenerate: np.ndarray | None = None  # components, once it is known which

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
