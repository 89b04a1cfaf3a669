"""Seconds of calls, the shortest of many, and from them the time of one iteration of EM."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture._gaussian_mixture import GaussianMixture as PeerMixture

from fastgmm._records import FloatArray, Parameters
from fastgmm.benchmarking.environment import describe_environment
from fastgmm.benchmarking.problems import Problem, draw
from fastgmm.mixture import GaussianMixture
from fastgmm.model.factors import precisions_from_cholesky

FEW, MANY = 2, 7  # iterations between which the slope is taken
SECONDS = 2.0  # at least, of each problem and library
AGREEMENT = 1e-6  # of mean log-likelihoods, beside scikit-learn in float64

OnProgress = Callable[[int, int, str], object]  # told what is done, of how much, what comes next


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """Result of a call, and its seconds."""
    began = perf_counter()
    result = call()
    return result, perf_counter() - began


def duration(seconds: float) -> str:
    """Seconds in words: 12.3 s, or 45.6 ms below half a second."""
    return f"{seconds:.2f} s" if seconds >= 0.5 else f"{1000 * seconds:.1f} ms"


def shortest_in_turn(
    calls: Sequence[Callable[[], object]], seconds: float, rounds: int = 1
) -> list[float]:
    """Seconds of the shortest call of each, as what else a machine does only makes them longer.

    They take turns, so that noise hits all alike, for so many seconds and rounds at least.
    """
    shortest = [float("inf")] * len(calls)
    began, done = perf_counter(), 0
    while done < rounds or perf_counter() - began < seconds:
        shortest = [min(best, timed(call)[1]) for best, call in zip(shortest, calls, strict=True)]
        done += 1
    return shortest


def iteration_seconds(
    run: Callable[[int], object], seconds: float, difference: int = MANY - FEW
) -> float:
    """Seconds of one iteration of `run`, which takes so many: a slope.

    It is measured for so many seconds or more, and what is done once per run cancels. `difference`
    is that of the iterations that were taken, for a library that stops by itself.
    """
    few, many = shortest_in_turn([partial(run, FEW), partial(run, MANY)], seconds)
    return max(many - few, 1e-9) / difference  # above 0, though noise exceed the work


def fitted(model: Any, X: FloatArray) -> Any:
    """Fit, without the warning that the iterations were too few: that is meant."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X)


def fitted_from(
    estimator: Callable[..., Any], X: FloatArray, start: Parameters, n_iterations: int
) -> Any:
    """Fit scikit-learn's mixture or ours; nothing is regularized, and no tolerance ever met."""
    model = estimator(
        len(start.weights),
        covariance_type=start.covariance_type,
        tol=0.0,
        reg_covar=0.0,
        max_iter=n_iterations,
        weights_init=start.weights,
        means_init=start.means,
        precisions_init=precisions_from_cholesky(start.precisions_cholesky, start.covariance_type),
    )
    return fitted(model, X)


def largest_difference(ours: Sequence[FloatArray], theirs: Sequence[FloatArray]) -> float:
    """Largest of max |a - b| / max |b| over pairs of arrays, such as weights and means."""
    pairs = zip(ours, theirs, strict=True)
    return float(np.max([np.abs(a - b).max() / np.abs(b).max() for a, b in pairs]))


# --- fastgmm bench --------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of one iteration on a problem, and of scikit-learn's where it was looked at."""

    problem: Problem
    seconds: float
    peer_seconds: float | None = None

    @property
    def nanoseconds(self) -> float:
        """Per point and component."""
        return 1e9 * self.seconds / (self.problem.n * self.problem.K)

    @property
    def gigaflops(self) -> float:
        """Billions of operations per second."""
        return self.problem.flops / self.seconds / 1e9


@dataclass(frozen=True, slots=True)
class BenchResult:
    """What was measured, and on what."""

    environment: dict[str, str]
    timings: list[Timing]


def measure(
    problems: Sequence[Problem],
    beside_peer: Sequence[Problem],
    *,
    on_stage: OnProgress = lambda done, total, stage: None,
) -> BenchResult:
    """Time an iteration on each problem, and scikit-learn's too on those `beside_peer`."""
    timings = []
    for done, problem in enumerate(problems):
        X, start = draw(problem)
        on_stage(done, len(problems), f"{problem}: compiling, or loading what is compiled")
        fitted_from(GaussianMixture, X, start, 1)
        on_stage(done, len(problems), str(problem))
        seconds = iteration_seconds(partial(fitted_from, GaussianMixture, X, start), SECONDS)
        peer_seconds = None
        if problem in beside_peer:
            on_stage(done, len(problems), f"{problem}: scikit-learn")
            check_agreement(problem, X, start)
            peer_seconds = iteration_seconds(partial(fitted_from, PeerMixture, X, start), SECONDS)
        timings.append(Timing(problem, seconds, peer_seconds))
    return BenchResult(describe_environment(), timings)


def check_agreement(problem: Problem, X: FloatArray, start: Parameters) -> None:
    """Raise ValueError unless both libraries arrive at the same likelihood."""
    ours, theirs = (
        fitted_from(estimator, X, start, FEW).lower_bound_
        for estimator in (GaussianMixture, PeerMixture)
    )
    if abs(ours - theirs) > AGREEMENT * max(1.0, abs(theirs)):
        raise ValueError(
            f"After {FEW} iterations on {problem.shape}, the mean log-likelihood is {ours:.9g}, "
            f"but scikit-learn's is {theirs:.9g}; please report this as a bug."
        )
