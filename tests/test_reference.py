"""The reference against identities, SciPy, scikit-learn and fifty digits of mpmath."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from axes import each_covariance_type, each_dtype_by_name
from registry import (
    Case,
    assert_agree,
    assert_statistics_agree,
    full_covariances,
)
from scipy.stats import multivariate_normal
from sklearn.mixture import GaussianMixture

from fastgmm import kernels, reference
from fastgmm._records import Statistics
from fastgmm.reference import (
    assign,
    expectation,
    log_density,
    log_gaussian_density,
    normalize_responsibilities,
    responsibilities,
    weighted_covariances,
)


# --- identities between covariance types ------------------------------------------------------
@each_covariance_type
def test_every_type_is_a_special_case_of_full(covariance_type: str):
    """Tied, diagonal and spherical densities are those of the full matrices they stand for."""
    X, weights, means, factors, _ = Case(covariance_type, "float64", 100, 5, 3).make()
    matrices = full_covariances(factors, covariance_type, 3, 5)
    assert_agree(
        log_gaussian_density(X, means, factors, covariance_type),
        log_gaussian_density(X, means, matrices, "full"),
        "float64",
    )
    actual = expectation(X, weights, means, factors, covariance_type)
    full = expectation(X, weights, means, matrices, "full")
    second = {
        "full": full.second,
        "tied": full.second.sum(axis=0),
        "diag": np.diagonal(full.second, axis1=1, axis2=2),
        "spherical": np.trace(full.second, axis1=1, axis2=2),
    }[covariance_type]
    assert_agree(actual.second, second, "float64")
    assert_agree(actual.counts, full.counts, "float64")
    assert_agree(actual.log_likelihood, full.log_likelihood, "float64")


def test_spherical_is_diag_with_equal_entries():
    X, weights, means, factors, _ = Case("spherical", "float64", 100, 5, 3).make()
    equal = np.repeat(factors[:, None], 5, axis=1)
    assert_agree(
        log_density(X, weights, means, factors, "spherical"),
        log_density(X, weights, means, equal, "diag"),
        "float64",
    )


def test_covariances_of_every_type_follow_from_full():
    X, *mixture, _ = Case("full", "float64", 200, 4, 3).make()
    r = responsibilities(X, *mixture, "full")
    counts, means, full = weighted_covariances(X, r, "full", 0.5)
    diag = np.diagonal(full, axis1=1, axis2=2)
    expected = {
        "full": full,
        "tied": np.einsum("k,kij->ij", counts, full) / counts.sum(),
        "diag": diag,
        "spherical": diag.mean(axis=1),
    }
    for covariance_type, covariances in expected.items():
        actual = weighted_covariances(X, r, covariance_type, 0.5)
        assert_agree(actual[0], counts, "float64")
        assert_agree(actual[1], means, "float64")
        assert_agree(actual[2], covariances, "float64")


def test_one_component_has_the_moments_of_the_data():
    X = Case("full", "float64", 50, 3, 2).make().X
    counts, means, covariances = weighted_covariances(X, np.ones((50, 1)), "full")
    assert_agree(counts, np.array([50.0]), "float64")
    assert_agree(means[0], X.mean(axis=0), "float64")
    assert_agree(covariances[0], np.cov(X.T, bias=True), "float64")


# --- statistics -------------------------------------------------------------------------------
@each_covariance_type
def test_statistics_of_chunks_add_up(covariance_type: str):
    X, *mixture, w = Case(covariance_type, "float64", 100, 3, 2, weighted=True).make()
    whole = expectation(X, *mixture, covariance_type, w)
    parts = [expectation(X[i::3], *mixture, covariance_type, w[i::3]) for i in range(3)]
    scale = w * log_density(X, *mixture, covariance_type)
    assert_statistics_agree(parts[0] + parts[1] + parts[2], whole, scale, "float64")


def test_statistics_about_different_points_do_not_add_up():
    X, weights, means, factors, _ = Case("full", "float64", 10, 3, 2).make()
    here = expectation(X, weights, means, factors, "full")
    there = expectation(X, weights, means + 1, factors, "full")
    with pytest.raises(ValueError, match="reference"):
        here + there
    with pytest.raises(TypeError):
        here + 1


@each_covariance_type
def test_statistics_give_the_weighted_covariances(covariance_type: str):
    """Moments about the old means, corrected, are the moments about the new ones."""
    X, *mixture, _ = Case(covariance_type, "float64", 300, 3, 2).make()
    s = expectation(X, *mixture, covariance_type)
    counts, means, covariances = weighted_covariances(
        X, responsibilities(X, *mixture, covariance_type), covariance_type
    )
    shift = s.first / s.counts[:, None]
    outer = shift[:, :, None] * shift[:, None, :]
    correct = {
        "full": lambda: s.second / s.counts[:, None, None] - outer,
        "tied": lambda: (s.second - np.einsum("k,kij->ij", s.counts, outer)) / s.counts.sum(),
        "diag": lambda: s.second / s.counts[:, None] - shift**2,
        "spherical": lambda: (s.second / s.counts - np.sum(shift**2, axis=1)) / 3,
    }
    assert_agree(s.counts, counts, "float64")
    assert_agree(s.reference + shift, means, "float64")
    assert_agree(correct[covariance_type](), covariances, "float64")


@each_covariance_type
def test_sample_weights_are_repetitions(covariance_type: str):
    X, *mixture, _ = Case(covariance_type, "float64", 100, 3, 2).make()
    times = np.arange(100) % 4
    weighted = expectation(X, *mixture, covariance_type, times)
    repeated = np.repeat(X, times, axis=0)
    expected = expectation(repeated, *mixture, covariance_type)
    scale = log_density(repeated, *mixture, covariance_type)
    assert_statistics_agree(weighted, expected, scale, "float64")


# --- other people's arithmetic ----------------------------------------------------------------
@each_covariance_type
def test_scipy_agrees(covariance_type: str):
    X, weights, means, factors, _ = Case(covariance_type, "float64", 60, 4, 3).make()
    U = full_covariances(factors, covariance_type, 3, 4)
    covariances = np.linalg.inv(U @ U.swapaxes(1, 2))
    expected = np.stack(
        [multivariate_normal.logpdf(X, means[k], covariances[k]) for k in range(3)], axis=1
    )
    actual = log_gaussian_density(X, means, factors, covariance_type)
    np.testing.assert_allclose(actual, expected, rtol=1e-11)
    density = np.exp(expected) @ weights
    np.testing.assert_allclose(
        log_density(X, weights, means, factors, covariance_type), np.log(density), rtol=1e-11
    )


@each_covariance_type
def test_scikit_learn_agrees(covariance_type: str):
    X, weights, means, factors, _ = Case(covariance_type, "float64", 60, 4, 3).make()
    model = GaussianMixture(3, covariance_type=covariance_type)
    model.weights_, model.means_, model.precisions_cholesky_ = weights, means, factors
    mixture = weights, means, factors, covariance_type
    np.testing.assert_allclose(log_density(X, *mixture), model.score_samples(X), rtol=1e-11)
    np.testing.assert_allclose(responsibilities(X, *mixture), model.predict_proba(X), atol=1e-12)
    np.testing.assert_array_equal(assign(X, *mixture), model.predict(X))


@each_covariance_type
@each_dtype_by_name
def test_fifty_digits_agree(covariance_type: str, dtype: str):
    """The oracle itself is right to the last bits of the dtype, point by point."""
    X, weights, means, factors, _ = Case(covariance_type, dtype, 5, 3, 4).make()
    actual_log_p = log_density(X, weights, means, factors, covariance_type)
    actual_r = responsibilities(X, weights, means, factors, covariance_type)
    matrices = full_covariances(factors, covariance_type, 4, 3)
    tolerance = {"float64": 1e-13, "float32": 1e-6}[dtype]
    with mpmath.workdps(50):
        for i, x in enumerate(X):
            terms = [
                mpmath.mpf(float(weights[k])) * _density(x, means[k], matrices[k]) for k in range(4)
            ]
            total = mpmath.fsum(terms)
            expected_r = [float(term / total) for term in terms]
            np.testing.assert_allclose(actual_r[i], expected_r, rtol=10 * tolerance, atol=1e-30)
            np.testing.assert_allclose(actual_log_p[i], float(mpmath.log(total)), rtol=tolerance)


def _density(x: np.ndarray, mean: np.ndarray, U: np.ndarray) -> mpmath.mpf:
    """N(x; μ, (U Uᵀ)⁻¹) in mpmath's precision."""
    centred = mpmath.matrix(x.tolist()) - mpmath.matrix(mean.tolist())
    U = mpmath.matrix(U.tolist())
    whitened = U.T * centred
    distance = mpmath.fsum(y**2 for y in whitened)
    return mpmath.exp(-distance / 2) * mpmath.det(U) / mpmath.sqrt(2 * mpmath.pi) ** len(x)


# --- the table of a worked example ------------------------------------------------------------
@pytest.mark.parametrize("module", [kernels, reference], ids=["kernels", "reference"])
def test_e_step_on_sixty_points(module):
    """Sixty points in three groups under three components of one feature, to nine digits.

    A well-known tutorial on EM prints this E step; the remaining rows follow from the same sum.
    """
    random = np.random.RandomState(0)
    x = np.linspace(-5, 5, 20)
    groups = [x * random.rand(20) + 10, x * random.rand(20) - 10, x * random.rand(20)]
    X = np.concatenate(groups)[:, None]
    weights, means = np.full(3, 1 / 3), np.array([[-5.0], [8.0], [1.5]])
    deviations = np.array([5.0, 3.0, 1.0])
    r = module.responsibilities(X, weights, means, 1 / deviations, "spherical")
    first_row = "2.97644006e-02 9.70235407e-01 1.91912550e-07"
    assert " ".join(f"{value:.8e}" for value in r[0]) == first_row
    densities = np.exp(-0.5 * ((X - means.T) / deviations) ** 2) / deviations
    np.testing.assert_allclose(r, densities / densities.sum(axis=1, keepdims=True), rtol=1e-12)


# --- difficult numbers ------------------------------------------------------------------------
@each_covariance_type
@each_dtype_by_name
def test_points_far_from_everything(covariance_type: str, dtype: str):
    X, *mixture, _ = Case(covariance_type, dtype, 6, 3, 2).make()
    X[:3] = np.array([[1e15], [1e30], [1e38]], dtype)
    if dtype == "float64":
        X[2] = 1e308
    r = responsibilities(X, *mixture, covariance_type)
    assert_agree(r.sum(axis=1), np.ones(6), dtype)
    assert np.all(np.isfinite(log_density(X, *mixture, covariance_type)))


def test_rows_of_zero_density_belong_to_all_components_alike():
    log_p, r = normalize_responsibilities(np.array([[-np.inf, -np.inf], [0.0, -np.inf]]))
    np.testing.assert_array_equal(log_p, [-np.inf, 0.0])
    np.testing.assert_array_equal(r, [[0.5, 0.5], [1.0, 0.0]])


@each_dtype_by_name
def test_results_have_the_dtype_of_the_points(dtype: str):
    X, *mixture, _ = Case("diag", dtype, 6, 3, 2).make()
    r = responsibilities(X, *mixture, "diag")
    assert r.dtype == log_density(X, *mixture, "diag").dtype == dtype
    assert log_gaussian_density(X, *mixture[1:], "diag").dtype == dtype
    assert {array.dtype for array in normalize_responsibilities(r)} == {np.dtype(dtype)}
    assert {array.dtype for array in weighted_covariances(X, r, "diag")} == {np.dtype(dtype)}
    statistics = expectation(X, *mixture, "diag")
    assert isinstance(statistics, Statistics)
    assert statistics.second.dtype == np.float64
