"""What there is to fit, once every argument has been checked, and how its runs start and go."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import repeat
from typing import NamedTuple

import numpy as np

from fastgmm._records import FloatArray, Parameters
from fastgmm.data.source import Source
from fastgmm.em.clusters import Clusters
from fastgmm.em.degeneracy import NO_REPAIRS, Repairing, Repairs, with_degenerate
from fastgmm.em.initialization import (
    Initialization,
    is_the_same_each_time,
    shares_of_labels,
)
from fastgmm.em.loop import Rules, run_em
from fastgmm.em.results import EMResult, Iteration
from fastgmm.em.settling import settled_start
from fastgmm.em.step import Step, em_step
from fastgmm.kernels.small_problems import is_small
from fastgmm.model.families import FAMILIES
from fastgmm.model.maximization import MaximumLikelihood
from fastgmm.system.threads import blas_on_one_thread


class Points(NamedTuple):
    """The data of a fit, which are checked."""

    n_rows: int
    n_features: int
    dtype: np.dtype
    source: Callable[[], Source]
    X: FloatArray | None = None  # if they are in memory


class Plan(NamedTuple):
    """What there is to fit, once every argument has been checked."""

    source: Source
    maximization: MaximumLikelihood
    repairing: Repairing | None
    n_components: int
    hows: Iterator[Initialization]  # for each start
    resumed: Parameters | None  # the last fit's, if this one goes on from there
    lower_bound: float
    random_state: np.random.RandomState
    rules: Rules
    n_starts: int

    def step(self, parameters: Parameters, n_iter: int, repairs: Repairs) -> Step:
        """Take one step of EM."""
        return em_step(
            self.source,
            self.maximization,
            parameters,
            repairing=self.repairing,
            n_iter=n_iter,
            repairs=repairs,
        )

    def start(self) -> tuple[Parameters, Repairs]:
        """Find the next start; the random state moves on."""
        if self.resumed is not None:
            return self.resumed, NO_REPAIRS
        return settled_start(
            self.source,
            self.n_components,
            self.maximization,
            next(self.hows),
            self.random_state,
            self.repairing,
            self.rules.tol,
        )

    def limits(self) -> AbstractContextManager[None]:
        """Keep the threads of BLAS from those of the kernels, unless the host has little to do."""
        return nullcontext() if self.is_small else blas_on_one_thread()

    @property
    def is_small(self) -> bool:
        """Whether it takes no time to speak of."""
        shape = self.source.n_rows, self.n_components, self.source.n_features
        return is_small(*shape, FAMILIES[self.maximization.covariance_type].pass_type)

    def completed(self, result: EMResult) -> EMResult:
        """Tell what is degenerate in the end of a run, once."""
        if result.degenerate is not None:
            return result
        if not isinstance(result.parameters, Parameters):  # whatever else is known of them
            return replace(result, degenerate=np.empty(0, np.intp), statistics=None)
        return with_degenerate(result, self.source, self.maximization)


def how_to_start(
    how: Initialization,
    source: Source,
    labels: np.ndarray | None,
    n_components: int,
    n_init: int,
    random_state: np.random.RandomState,
    starts: Sequence[Clusters | None] | None = None,
) -> tuple[Iterator[Initialization], int]:
    """How each start is to be found, and how many: one where others would be the same.

    Clusters in `starts` take the place of what `how` says.
    """
    if starts is not None:
        given = (
            how if start is None else how._replace(init_params=start, init_size=None)
            for start in starts
        )
        return given, len(starts)
    if isinstance(how.init_params, np.ndarray) or is_the_same_each_time(how, source):
        return iter([how]), 1
    if labels is None:
        return repeat(how), n_init
    weight = source.sample_weight
    known = labels if weight is None else labels[weight > 0]
    n_init = 1 if np.unique(known[known >= 0]).size == n_components else n_init
    shares = (
        shares_of_labels(source, labels, n_components, how, random_state) for _ in range(n_init)
    )
    return (how._replace(init_params=start) for start in shares), n_init


def run(
    plan: Plan, finished: list[EMResult], on_iteration: Callable[[Iteration], bool] | None
) -> EMResult:
    """Run EM from the next start; `finished` has the best result so far."""

    def keep_better(result: EMResult) -> None:
        if not finished or result.lower_bound > finished[0].lower_bound:
            finished[:] = [result]

    start, repairs = plan.start()
    result = run_em(
        plan.step,
        start,
        plan.rules,
        repairs=repairs,
        lower_bound=plan.lower_bound,
        on_iteration=on_iteration,
        on_result=keep_better,
    )
    # Statistics of a large model are not kept while the next run is under way.
    return result if plan.is_small else plan.completed(result)
