"""The compiled pass: every function of the contract, the fused expectation on every case."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial

import numpy as np

from fastgmm import Statistics, kernels, reference

from .common import MIDDLE, case_names, prepared_problem, relative_error

# What is right is the tests' business; this only asks that the right thing is measured.
AGREEMENT = 1e-4


def _arguments(function: str, X: np.ndarray, mixture: tuple, covariance_type: str) -> tuple:
    """Return the arguments of a function of the contract, all computed beforehand."""
    match function:
        case "log_gaussian_density":
            return (X, *mixture[1:], covariance_type)
        case "normalize_responsibilities":
            return (kernels.log_gaussian_density(X, *mixture[1:], covariance_type),)
        case "weighted_covariances":
            return X, kernels.responsibilities(X, *mixture, covariance_type), covariance_type
    return (X, *mixture, covariance_type)


def _parts(result: object) -> tuple[np.ndarray, ...]:
    """Return a result as a tuple of arrays, whatever its kind."""
    if isinstance(result, Statistics):
        return np.asarray(result.log_likelihood), result.counts, result.first, result.second
    return result if isinstance(result, tuple) else (result,)


@lru_cache(maxsize=1)
def _compiled_call(function: str, name: str) -> Callable[[], object]:
    """Return the call to time, compiled, and checked against the reference on its first points."""
    case, problem = prepared_problem(name)
    few = _arguments(function, problem.X[:200], problem.mixture, case.covariance_type)
    expected = _parts(getattr(reference, function)(*few))
    for part, expected_part in zip(_parts(getattr(kernels, function)(*few)), expected, strict=True):
        assert relative_error(part, expected_part) < AGREEMENT
    arguments = _arguments(function, problem.X, problem.mixture, case.covariance_type)
    call = partial(getattr(kernels, function), *arguments)
    _assert_sane(function, call(), case.n)
    return call


def _assert_sane(function: str, result: object, n_points: int) -> None:
    """Check that the whole of the points went in, and finite numbers came out."""
    if isinstance(result, Statistics) or function == "weighted_covariances":
        counts = result.counts if isinstance(result, Statistics) else result[0]
        assert abs(counts.sum() / n_points - 1) < AGREEMENT
    else:
        assert len(_parts(result)[0]) == n_points
    assert all(np.all(np.isfinite(part)) for part in _parts(result))


class Expectation:
    """The fused E step and moments: nearly all of a fit's time."""

    params = (case_names(),)
    param_names = ("case",)

    def setup(self, name):
        self.call = _compiled_call("expectation", name)

    def time_expectation(self, name):
        assert self.call().counts.all()


class OtherFunctions:
    """The other six functions, on middle shapes."""

    params = (
        [
            "log_gaussian_density",
            "normalize_responsibilities",
            "weighted_covariances",
            "log_density",
            "responsibilities",
            "assign",
        ],
        MIDDLE,
    )
    param_names = ("function", "case")

    def setup(self, function, name):
        self.call = _compiled_call(function, name)

    def time_function(self, function, name):
        assert self.call() is not None
