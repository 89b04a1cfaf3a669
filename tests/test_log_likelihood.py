"""The log-likelihood alone, from the machine code of a fit."""

from __future__ import annotations

import numpy as np
import pytest
from axes import over_registry
from numpy.testing import assert_allclose
from registry import Case

from fastgmm import kernels, reference
from fastgmm.kernels import partition
from fastgmm.kernels.passes import Pass

# The problems are small; the drivers are to solve them, too.
pytestmark = pytest.mark.usefixtures("both_ways")


def total_log_likelihood(X, weights, means, factors, covariance_type, sample_weight=None):
    return Pass(X, sample_weight).log_likelihood(weights, means, factors, covariance_type)


def twin(X, weights, means, factors, covariance_type, sample_weight=1):
    log_p = reference.log_density(X, weights, means, factors, covariance_type)
    return float(np.sum(sample_weight * log_p, dtype=np.float64))


def assert_same_likelihood(X, *mixture_and_weight):
    alone = total_log_likelihood(X, *mixture_and_weight)
    assert alone == kernels.expectation(X, *mixture_and_weight).log_likelihood


@over_registry
def test_it_is_that_of_the_whole_pass(case: Case):
    problem = case.make()
    arguments = problem.X, *problem.mixture, case.covariance_type
    assert_same_likelihood(*arguments)
    weight = np.random.default_rng(0).random(case.n).astype(case.dtype)
    assert_same_likelihood(*arguments, weight)
    scale = np.abs(reference.log_density(*arguments).astype(np.float64)).sum()
    rtol = {"float64": 1e-12, "float32": 1e-5}[case.dtype]
    for given in ((), (weight,)):
        expected = twin(*arguments, *given)
        assert_allclose(total_log_likelihood(*arguments, *given), expected, atol=rtol * scale)


@pytest.mark.parametrize("n", [0, 1, 700])
def test_of_large_models(n: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(partition, "SHARED_BYTES", 0)
    rng = np.random.default_rng(n)
    X, means = rng.standard_normal((n, 20)), rng.standard_normal((5, 20))
    assert_same_likelihood(X, np.full(5, 0.2), means, np.stack([np.eye(20)] * 5), "full")
