"""Per-component constants that are added to log-densities."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from registry import Case

from fastgmm import kernels, reference

# The problems are small; the drivers are to solve them, too.
pytestmark = pytest.mark.usefixtures("both_ways")

FUNCTIONS = ["expectation", "log_density", "responsibilities", "assign"]
DIMENSIONS = [("full", 3), ("full", 20), ("tied", 3), ("tied", 20), ("diag", 5), ("spherical", 5)]


def problem(covariance_type, d, dtype="float64"):
    case = Case(covariance_type, dtype, 300, d, 4)
    inputs = case.make()
    return inputs.X, *inputs.mixture, covariance_type


def parts(result):
    if isinstance(result, np.ndarray):
        return [result]
    return [np.float64(result.log_likelihood), result.counts, result.first, result.second]


@pytest.mark.parametrize("name", FUNCTIONS)
@pytest.mark.parametrize(("covariance_type", "d"), DIMENSIONS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_kernels_agree_with_the_reference(name, covariance_type, d, dtype):
    arguments = problem(covariance_type, d, dtype)
    constants = np.array([0.0, -3.5, 2.0, 1.25])
    ours, theirs = (
        getattr(module, name)(*arguments, log_constants=constants)
        for module in (kernels, reference)
    )
    rtol = 1e-11 if dtype == "float64" else 2e-4
    for one, other in zip(parts(ours), parts(theirs), strict=True):
        assert_allclose(one, other, rtol=rtol, atol=rtol * np.abs(other).max())


@pytest.mark.parametrize("module", [kernels, reference])
@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_a_constant_is_a_factor_of_the_weight(module, covariance_type):
    X, weights, means, factors, _ = problem(covariance_type, 3)
    given = np.log([0.5, 1.0, 2.0, 4.0])
    constants = module.log_density(X, weights, means, factors, covariance_type, given)
    weighted = module.log_density(X, weights * np.exp(given), means, factors, covariance_type)
    assert_allclose(constants, weighted, rtol=1e-12)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_none_is_zero(name):
    arguments = problem("full", 3)
    function = getattr(kernels, name)
    results = [function(*arguments, log_constants=constants) for constants in (None, np.zeros(4))]
    for one, other in zip(*map(parts, results), strict=True):
        assert_array_equal(one, other)


@pytest.mark.parametrize("module", [kernels, reference])
def test_they_choose_among_components_that_are_as_far(module):
    X, means = np.array([[0.0]]), np.array([[-1e200], [1e200]])
    shares = module.responsibilities(
        X, np.full(2, 0.5), means, np.ones(2), "spherical", np.log([1.0, 3.0])
    )
    assert_allclose(shares, [[0.25, 0.75]])


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_wrong_shape_is_refused(name):
    with pytest.raises(ValueError, match=r"log_constants has shape \(3,\); expected \(4,\)"):
        getattr(kernels, name)(*problem("diag", 5), log_constants=np.zeros(3))
