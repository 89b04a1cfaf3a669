"""The public steps of EM, and what the kernels refuse in the place of factors."""

from functools import partial

import numpy as np
import pytest
from axes import each_covariance_type, each_dtype, each_matrix_type
from numpy.testing import assert_allclose, assert_array_equal
from problems import COVARIANCE_TYPES, load

import fastgmm
from fastgmm import GaussianMixture, kernels, reference

PASSES = ("assign", "expectation", "log_density", "log_gaussian_density", "responsibilities")


def fitted(covariance_type, dtype=np.float64):
    X, K = load("iris")
    options = {"covariance_type": covariance_type, "random_state": 0}
    return GaussianMixture(K, **options).fit(X.astype(dtype)), X.astype(dtype)


# --- factors --------------------------------------------------------------------------------
@each_covariance_type
@each_dtype
def test_factors_of_covariances_are_those_of_a_fit(covariance_type, dtype):
    mixture, _ = fitted(covariance_type, dtype)
    U = fastgmm.precisions_cholesky(mixture.covariances_, covariance_type)
    assert U.dtype == dtype
    rtol = 1e-10 if dtype == np.float64 else 1e-3
    assert_allclose(U, mixture.precisions_cholesky_, rtol=rtol, atol=rtol)


@pytest.mark.parametrize(
    ("covariances", "covariance_type", "said"),
    [
        (np.eye(2), "full", r"expected \(K, d, d\)"),
        (np.ones((2, 3)), "tied", r"expected \(d, d\)"),
        (np.ones(2), "diag", r"expected \(K, d\)"),
        (np.ones((2, 2)), "spherical", r"expected \(K\)"),
        (np.array([[1.0, 2.0], [2.0, 1.0]]), "tied", "not positive definite"),
        (np.array([1.0, 0.0]), "spherical", "not positive definite"),
        (np.array([[1.0, np.nan]]), "diag", "not positive definite"),
        (np.array([[[2.0, 0.0], [1.0, 2.0]]]), "full", "not symmetric"),
        (np.eye(2), "fulll", "covariance_type"),
    ],
)
def test_what_is_no_covariance_is_refused(covariances, covariance_type, said):
    with pytest.raises(ValueError, match=said):
        fastgmm.precisions_cholesky(covariances, covariance_type)


# --- what the kernels refuse ----------------------------------------------------------------
def arguments_of(name, X, mixture, factors):
    first = () if name == "log_gaussian_density" else (mixture.weights_,)
    return (X, *first, mixture.means_, factors, mixture.covariance_type)


@pytest.mark.parametrize("package", [kernels, reference])
@pytest.mark.parametrize("name", PASSES)
@each_matrix_type
def test_covariances_and_lower_factors_are_refused(covariance_type, name, package):
    mixture, X = fitted(covariance_type)
    U = mixture.precisions_cholesky_
    function = getattr(package, name)
    right = function(*arguments_of(name, X, mixture, U))
    for wrong in (mixture.covariances_, U.swapaxes(-1, -2), mixture.precisions_):
        with pytest.raises(ValueError, match=r"fastgmm\.precisions_cholesky\(covariances, '"):
            function(*arguments_of(name, X, mixture, wrong))
    made = fastgmm.precisions_cholesky(mixture.covariances_, covariance_type)
    again = function(*arguments_of(name, X, mixture, made))
    if name != "expectation":
        assert_allclose(again, right, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("d", [2, 16, 17, 256, 257])
def test_one_number_below_a_diagonal_is_enough(d):
    X, means, U = np.zeros((3, d)), np.zeros((2, d)), np.tile(np.eye(d), (2, 1, 1))
    log_density = partial(kernels.log_density, X, np.full(2, 0.5), means)
    expected = log_density(U, "full")
    U[1, d - 1, d - 2] = 1e-12  # as an inverse has it
    assert_array_equal(log_density(U, "full"), expected)
    U[1, d - 1, d - 2] = 1e-3
    with pytest.raises(ValueError, match="not upper triangular"):
        log_density(U, "full")


# --- maximization ---------------------------------------------------------------------------
@each_covariance_type
def test_a_loop_of_steps_is_the_fit(covariance_type):
    X, K = load("iris")
    options = {"covariance_type": covariance_type, "random_state": 0, "tol": 0, "reg_covar": 1e-4}
    with pytest.warns(match="did not converge"):
        start, end = (GaussianMixture(K, max_iter=n, **options).fit(X) for n in (1, 6))
    U = fastgmm.precisions_cholesky(start.covariances_, covariance_type)
    p = fastgmm.Parameters(
        start.weights_, start.means_, start.covariances_, U, covariance_type=covariance_type
    )
    for _ in range(5):
        statistics = [kernels.expectation(part, *p.arguments) for part in (X[::2], X[1::2])]
        p = fastgmm.maximization(statistics[0] + statistics[1], covariance_type, reg_covar=1e-4)
    assert_allclose(p.means, end.means_, rtol=1e-10)
    assert_allclose(p.covariances, end.covariances_, rtol=1e-8, atol=1e-12)
    assert_allclose(p.precisions_cholesky, end.precisions_cholesky_, rtol=1e-8, atol=1e-8)


@each_covariance_type
def test_statistics_of_another_covariance_type_are_refused(covariance_type):
    mixture, X = fitted(covariance_type)
    U = mixture.precisions_cholesky_
    s = kernels.expectation(X, mixture.weights_, mixture.means_, U, covariance_type)
    for other in set(COVARIANCE_TYPES) - {covariance_type}:
        with pytest.raises(ValueError, match="same covariance type"):
            fastgmm.maximization(s, other)
    with pytest.raises(ValueError, match="covariance_type"):
        fastgmm.maximization(s, "none")


@pytest.mark.parametrize("reg_covar", [-1.0, [1.0, 2.0], np.nan])
def test_a_wrong_regularization_is_refused(reg_covar):
    mixture, X = fitted("diag")
    U = mixture.precisions_cholesky_
    s = kernels.expectation(X, mixture.weights_, mixture.means_, U, "diag")
    with pytest.raises(ValueError, match="reg_covar"):
        fastgmm.maximization(s, "diag", reg_covar)


def test_a_collapsed_component_is_told():
    X = np.zeros((3, 1))
    s = kernels.expectation(X, np.ones(1), np.zeros((1, 1)), np.ones(1), "spherical")
    with pytest.raises(ValueError, match="increase reg_covar"):
        fastgmm.maximization(s, "spherical")
    assert fastgmm.maximization(s, "spherical", 0.25).covariances == pytest.approx(0.25)
