"""The user's own function that fits a mixture, beside fastgmm's default fit of the same points."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from rich.table import Table

from fastgmm._records import CovarianceType, FloatArray
from fastgmm.benchmarking.problems import Problem, draw
from fastgmm.benchmarking.timing import OnProgress, duration, shortest_in_turn, timed
from fastgmm.mixture import GaussianMixture
from fastgmm.system.terminal import plain_table

SIZES = ((2_000, 2, 3), (10_000, 8, 5), (20_000, 16, 12))  # points, features, components
SECONDS = 1.5  # of calls, at least, where a call is short
LONG = 30  # seconds of a call that is not repeated


@dataclass(frozen=True, slots=True)
class MineResult:
    """Whole fits of one problem, by fastgmm's default and by the user's function."""

    problem: Problem
    seconds: float
    mine_seconds: float
    log_likelihood: float  # per point
    mine_log_likelihood: float | None  # None where the function returns nothing that tells

    @property
    def speedup(self) -> float:
        """How many times faster fastgmm is."""
        return self.mine_seconds / self.seconds


def load_function(name: str) -> Callable[[FloatArray, int], Any]:
    """Import ``module:function``, from the current folder first; ValueError if that fails."""
    module_name, _, function_name = name.partition(":")
    if not (all(part.isidentifier() for part in module_name.split(".")) and function_name):
        raise ValueError(f"{name!r} is not of the form module:function, such as mine:fit.")
    sys.path.insert(0, os.getcwd())  # and left there, for what the function imports
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # it may raise whatever it likes
        why = f"importing {module_name} raised {in_words(error)}"
        missing = getattr(error, "name", "") if isinstance(error, ModuleNotFoundError) else ""
        if missing in (module_name, module_name.partition(".")[0]):
            why = f"there is no module {module_name!r} in this folder; name it without .py."
        raise ValueError(why) from error
    function = getattr(module, function_name, None)
    if not callable(function):
        raise ValueError(f"the module {module_name} has no function {function_name!r}.")
    return function


def in_words(error: Exception) -> str:
    """Kind and message of an error."""
    return f"{type(error).__name__}: {error}".removesuffix(": ")


def measure_mine(
    function: Callable[[FloatArray, int], Any],
    sizes: Sequence[tuple[int, int, int]],
    *,
    on_stage: OnProgress = lambda done, total, stage: None,
) -> list[MineResult]:
    """Time ``function(X, n_components)`` beside our default fit; ValueError if it raises."""
    results = []
    for done, size in enumerate(sizes):
        problem = Problem("full", "float64", *size)
        X, _ = draw(problem)
        on_stage(done, len(sizes), f"{problem.shape}: fastgmm")
        model, seconds = shortest(partial(GaussianMixture(problem.K, random_state=0).fit, X))
        on_stage(done, len(sizes), f"{problem.shape}: yours")
        try:
            mine, mine_seconds = shortest(partial(function, X.copy(), problem.K))
        except Exception as error:  # it may raise whatever it likes
            raise ValueError(f"your function raised {in_words(error)} ({problem.shape})") from error
        ours, theirs = float(model.score(X)), log_likelihood_of(mine, X)
        results.append(MineResult(problem, seconds, mine_seconds, ours, theirs))
    return results


def shortest(fit: Callable[[], Any]) -> tuple[Any, float]:
    """Result of the first call, and seconds of the shortest; a long first call stays alone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        result, seconds = timed(fit)
        if seconds <= LONG:
            seconds = min(seconds, *shortest_in_turn([fit], SECONDS))
    return result, seconds


def log_likelihood_of(result: Any, X: FloatArray) -> float | None:
    """Mean log-density of the points under what the user's function returned, if it tells."""
    try:
        if hasattr(result, "score"):
            return float(result.score(X))
        weights, means, covariances = (np.asarray(part, dtype=np.float64) for part in result)
        covariance_type = type_of_covariances(covariances, means.shape)
        model = GaussianMixture.from_parameters(weights, means, covariances, covariance_type)
        return float(model.score(X))
    except Exception:  # it may return whatever it likes
        return None


def type_of_covariances(covariances: FloatArray, shape: tuple[int, ...]) -> CovarianceType:
    """The covariance type whose shape this is; K and d differ in all the sizes."""
    if covariances.ndim == 2:
        return "diag" if covariances.shape == shape else "tied"
    return "full" if covariances.ndim == 3 else "spherical"


def mine_table(results: Sequence[MineResult]) -> Table:
    """A row for each size."""
    table = plain_table()
    table.add_column("points × features\n× components", no_wrap=True)
    for name in ("fastgmm", "yours", "fastgmm is", "its log-\nlikelihood", "yours"):
        table.add_column(name, justify="right")
    for result in results:
        ratio, theirs = result.speedup, result.mine_log_likelihood
        table.add_row(
            result.problem.shape,
            duration(result.seconds),
            duration(result.mine_seconds),
            f"{ratio:.1f}× faster" if ratio >= 1 else f"{1 / ratio:.1f}× slower",
            f"{result.log_likelihood:.4f}",
            "unknown" if theirs is None else f"{theirs:.4f}",
        )
    return table
