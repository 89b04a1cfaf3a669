"""EM over samples that grow, and then over all the rows, of which it needs few passes."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.random import RandomState

from fastgmm._records import Parameters
from fastgmm.data.sampled import CorrectedSample, Sample
from fastgmm.data.source import ArraySource, Source
from fastgmm.em.degeneracy import Repairs
from fastgmm.em.loop import Rules, StepFunction
from fastgmm.em.results import SampleEnd
from fastgmm.em.settling import ROWS_PER_PARAMETER, climb, settled
from fastgmm.em.step import Step
from fastgmm.model.families import family_of
from fastgmm.model.maximization import MaximumLikelihood

# A sample has so many times the rows of the one before; the largest has this part of all the
# rows, and no more rows and bytes than these.
GROWTH, LARGEST_PART, LARGEST_ROWS, LARGEST_BYTES = 4, 1 / 8, 2**20, 2**28
# Of data that are not in memory: a sample is there twice for a moment, and should not be noticed.
LARGEST_BYTES_ELSEWHERE = 2**24
# EM leaves a sample when the objective rises by less than these parts of the error that the sample
# leaves, or of `tol`; or after so many iterations.
PART_OF_ERROR, PART_OF_TOL, MOST_ITERATIONS = 1e-3, 1e-2, 400
# Iterations over the corrected sample, in terms of (rows / parameters)^(1/4).
CORRECTED_ITERATIONS = 2


class Grown(NamedTuple):
    """Where the samples have led, and the largest of them: None where there are too few rows."""

    parameters: Parameters
    sample: Sample | None
    n_parameters: int


def sample_sizes(most: float, n_parameters: int, smallest: int, tol: float) -> list[int]:
    """Rows of the samples, from few to many: at most so many, each a quarter of the next.

    There are none where the smallest would have fewer rows than `smallest`, or than eight for each
    parameter. Nor does a sample have more than p / tol rows, with p parameters: over m rows the
    maximum of the mean log-likelihood is where that over all falls short of its own by some p / 2m.

    References
    ----------
    Akaike, A new look at the statistical model identification, IEEE Transactions on Automatic
    Control 19 (1974). Bottou and Bousquet, The tradeoffs of large scale learning, NIPS 20 (2007).
    """
    smallest = max(smallest, ROWS_PER_PARAMETER * n_parameters)
    size = most if tol == 0 else min(most, max(n_parameters / tol, smallest))
    sizes = []
    while size >= smallest:
        sizes.append(int(size))
        size /= GROWTH
    return sizes[::-1]


def grown(
    source: Source,
    maximization: MaximumLikelihood,
    start: Parameters,
    random_state: RandomState,
    *,
    smallest: int,
    tol: float,
    on_sample: Callable[[SampleEnd], object] | None = None,
) -> Grown:
    """Climb from `start` over one random sample after another, each of more rows.

    They are parts of each other. EM with momentum, as in `settled`, climbs on each until a further
    iteration would gain less than the sample can tell.
    """
    K, d, n = *start.means.shape, source.n_weighted
    p = family_of(maximization.covariance_type).n_parameters(K, d)
    n_bytes = LARGEST_BYTES if isinstance(source, ArraySource) else LARGEST_BYTES_ELSEWHERE
    most = min(LARGEST_PART * n, LARGEST_ROWS, n_bytes / (d * source.dtype.itemsize))
    sizes = sample_sizes(most, p, smallest, tol)
    if not sizes:
        return Grown(start, None, p)
    X, weight = source.rows(sizes[-1], random_state)
    for size in sizes:
        part = slice(None, None, len(X) // size)
        chosen = np.ascontiguousarray(X[part]), None if weight is None else weight[part].copy()
        sample = Sample(*chosen, source.total_weight)
        least = max(PART_OF_ERROR * p / (2 * size), PART_OF_TOL * tol)
        found = climb(sample, maximization, start, least, MOST_ITERATIONS)
        start = found.parameters
        if on_sample is not None:
            on_sample(SampleEnd(len(chosen[0]), n, found.n_iter, found.objective))
    return Grown(start, sample, p)


class CorrectedSteps:
    """Steps over all the rows, of which each is a few over a sample that it corrects.

    From the statistics of all the rows EM with momentum goes on over a `CorrectedSample`, in so few
    iterations that they reach only along directions which the sample knows: where EM leaves a part
    r of the error in each iteration, it tells 1 - r to about (p / m)^(1/2), with p parameters and m
    rows, and T iterations with momentum do what T² without it do. Where the lower bound falls all
    the same, EM goes on without the sample from where it was highest.
    """

    def __init__(
        self, step: StepFunction, maximization: MaximumLikelihood, grown: Grown, rules: Rules
    ) -> None:
        self._step, self._maximization, self._rules = step, maximization, rules
        self._sample = grown.sample
        self._best: Step | None = None
        if grown.sample is not None:
            rows_per_parameter = grown.sample.n_rows / grown.n_parameters
            self._n_inner = int(CORRECTED_ITERATIONS * rows_per_parameter**0.25)

    def __call__(self, parameters: Parameters, n_iter: int, repairs: Repairs) -> Step:
        """Take a step of EM, and go on from there over the sample unless this is the last."""
        step, best = self._step(parameters, n_iter, repairs), self._best
        if self._sample is None:
            return step
        if len(step.repairs.done) > len(repairs.done):  # likelihoods are no longer comparable
            self._best = None
            return step
        rise = np.inf if best is None else step.objective - best.objective
        if best is not None and not rise > -self._rules.tol:
            self._sample = None
            return step._replace(parameters=best.parameters)
        self._best = step
        if rise < self._rules.tol or n_iter == self._rules.max_iter:
            return step
        corrected = CorrectedSample(self._sample, step.statistics, parameters)
        found = settled(corrected, self._maximization, step.parameters, 0.0, self._n_inner)
        return step._replace(parameters=found)
