"""Errors of measurement: the kernel beside the reference and beside loops, and the fit."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from axes import each_dtype
from numpy.testing import assert_allclose, assert_array_equal
from registry import SMALL_CASES
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.datasets import load_iris

from fastgmm import GaussianMixture
from fastgmm.data.source import ArraySource
from fastgmm.data.uncertain import UncertainSource
from fastgmm.kernels import convolution
from fastgmm.kernels.convolution import Convolution
from fastgmm.model.factors import covariances_from_cholesky
from fastgmm.model.families import FAMILIES
from fastgmm.reference.convolution import convolved_expectation, convolved_log_density

IRIS = load_iris().data
REGISTERED = [
    case for case in SMALL_CASES if case.covariance_type == "full" and case.n <= 300 and case.d <= 9
]
each_family = pytest.mark.parametrize("name", FAMILIES)
slow_to_converge = pytest.mark.filterwarnings(
    "ignore:Best performing initialization did not converge:sklearn.exceptions.ConvergenceWarning"
)


def problem(n, d, K, seed=0):
    """Points, covariances of errors, weights, means and covariances of components."""
    rng = np.random.default_rng(seed)
    A, C = rng.normal(size=(n, d, d)), rng.normal(size=(K, d, d))
    errors = 0.3 * A @ A.swapaxes(1, 2)
    covariances = C @ C.swapaxes(1, 2) + 0.5 * np.eye(d)
    means = 2 * rng.normal(size=(K, d))
    return 3 * rng.normal(size=(n, d)), errors, rng.dirichlet(np.ones(K)), means, covariances


# --- the kernel -----------------------------------------------------------------------------
@pytest.mark.parametrize(("n", "d", "K"), [(1, 1, 1), (70, 1, 2), (300, 3, 4), (500, 7, 3)])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("diagonal", [False, True])
def test_the_kernel_agrees_with_the_reference(n, d, K, weighted, diagonal):
    X, errors, *mixture = problem(n, d, K)
    if diagonal:
        errors = np.einsum("nii->ni", errors)
    weight = np.random.default_rng(1).uniform(0, 2, size=n) if weighted else None
    points = Convolution(X, errors, weight)
    actual = points.expectation(*mixture)
    expected = convolved_expectation(X, errors, *mixture, weight)
    for name in ("log_likelihood", "counts", "first", "second", "reference"):
        one, other = getattr(actual, name), getattr(expected, name)
        assert_allclose(one, other, rtol=1e-11, atol=1e-11 * np.abs(other).max())
    weights, means, covariances = mixture
    joint = np.log(weights) + convolved_log_density(X, errors, means, covariances)
    density = logsumexp(joint, axis=1)
    assert_allclose(points.log_density(*mixture), density, rtol=1e-11)
    shares = np.exp(joint - density[:, None])
    assert_allclose(points.responsibilities(*mixture), shares, rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("case", REGISTERED, ids=lambda case: case.name)
def test_the_kernel_agrees_with_its_twin_on_the_registry(case):
    """In any memory order and dtype, with weights of which some are zero."""
    inputs = case.make()
    errors = np.random.default_rng(2).uniform(0, 1, size=inputs.X.shape)
    covariances = covariances_from_cholesky(inputs.precisions_cholesky, "full").astype(np.float64)
    given = inputs.X, errors, inputs.weights, inputs.means, covariances, inputs.sample_weight
    actual = convolution.convolved_expectation(*given)
    wide = [None if array is None else array.astype(np.float64) for array in given]
    expected = convolved_expectation(*wide)
    for name in ("log_likelihood", "counts", "first", "second"):
        one, other = getattr(actual, name), getattr(expected, name)
        assert_allclose(one, other, rtol=1e-10, atol=1e-10 * np.abs(other).max())


def test_a_point_too_far_away_belongs_to_all_in_equal_parts():
    X, errors, *mixture = problem(3, 2, 4)
    X[1] = 1e200
    points = Convolution(X, errors)
    assert_allclose(points.responsibilities(*mixture)[1], 0.25)
    assert points.log_density(*mixture)[1] == -np.inf


def test_the_reference_agrees_with_loops():
    X, errors, weights, means, covariances = problem(20, 3, 2)
    statistics = convolved_expectation(X, errors, weights, means, covariances)
    second, total = np.zeros((2, 3, 3)), 0.0
    for x, S in zip(X, errors, strict=True):
        joint = [
            np.log(weights[k]) + multivariate_normal(means[k], covariances[k] + S).logpdf(x)
            for k in range(2)
        ]
        total += logsumexp(joint)
        for k in range(2):
            share = np.exp(joint[k] - logsumexp(joint))
            gain = covariances[k] @ np.linalg.inv(covariances[k] + S)
            b = gain @ (x - means[k])
            second[k] += share * (np.outer(b, b) + covariances[k] - gain @ covariances[k])
    assert statistics.log_likelihood == pytest.approx(total, rel=1e-12)
    assert_allclose(statistics.second, second, rtol=1e-10, atol=1e-12)


def test_the_bits_do_not_depend_on_the_threads():
    from numba import set_num_threads

    X, errors, *mixture = problem(1000, 3, 4)
    try:
        set_num_threads(1)
        one = Convolution(X, errors).expectation(*mixture)
    finally:
        set_num_threads(2)
    two = Convolution(X, errors).expectation(*mixture)
    assert_array_equal(one.second, two.second)
    assert one.log_likelihood == two.log_likelihood


# --- the fit --------------------------------------------------------------------------------
@each_family
@each_dtype
def test_without_errors_it_is_the_plain_fit(name, dtype):
    X = IRIS.astype(dtype)
    options = {"covariance_type": name, "random_state": 0, "max_iter": 500}
    plain = GaussianMixture(3, **options).fit(X)
    model = GaussianMixture(3, **options).fit(X, errors=np.zeros_like(X))
    tolerance = 1e-9 if dtype == np.float64 else 1e-3
    assert abs(model.n_iter_ - plain.n_iter_) <= (0 if dtype == np.float64 else 3)
    assert_allclose(model.means_, plain.means_, rtol=tolerance)
    assert_allclose(
        model.covariances_, plain.covariances_, rtol=100 * tolerance, atol=100 * tolerance
    )
    assert model.means_.dtype == dtype
    assert_allclose(
        model.score_samples(X, errors=np.zeros_like(X)), model.score_samples(X),
        rtol=10 * tolerance, atol=10 * tolerance,
    )  # fmt: skip


@slow_to_converge
@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "VVE"])  # mclust's may fall
def test_the_likelihood_never_falls(name):
    errors = np.random.default_rng(0).uniform(0, 0.2, size=IRIS.shape)
    options = {"covariance_type": name, "tol": 1e-7, "max_iter": 300, "reg_covar": 0}
    model = GaussianMixture(3, random_state=0, **options).fit(IRIS, errors=errors)
    assert model.largest_fall_ <= 1e-12
    assert model.log_likelihood_ == pytest.approx(model.score(IRIS, errors=errors), rel=1e-12)


def test_values_are_found_behind_their_errors():
    """Clusters are narrower than the measurements of them, by what the errors add."""
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=5000)
    values = np.array([[0.0, 0.0], [2.0, 1.0], [-1.0, 2.0]])[labels] + 0.3 * rng.normal(
        size=(5000, 2)
    )
    errors = rng.uniform(0.05, 0.6, size=(5000, 2))
    X = values + np.sqrt(errors) * rng.normal(size=(5000, 2))
    model = GaussianMixture(3, random_state=0, tol=1e-7, max_iter=2000).fit(X, errors=errors)
    plain = GaussianMixture(3, random_state=0).fit(X)
    variances = np.einsum("kii->ki", model.covariances_)
    assert_allclose(variances, 0.09, atol=0.015)
    assert np.einsum("kii->ki", plain.covariances_).min() > 0.3
    assert model.score(values) > plain.score(values) + 0.3


@slow_to_converge
def test_weights_are_multiplicities():
    rng = np.random.default_rng(0)
    errors, weight = rng.uniform(0, 0.2, size=IRIS.shape), rng.integers(1, 4, size=len(IRIS))
    options = {"tol": 1e-9, "max_iter": 100}
    start = load_iris().target
    one = GaussianMixture(3, init_params=start, **options)
    one.fit(IRIS, sample_weight=weight, errors=errors)
    other = GaussianMixture(3, init_params=np.repeat(start, weight), **options)
    other.fit(np.repeat(IRIS, weight, axis=0), errors=np.repeat(errors, weight, axis=0))
    assert_allclose(one.covariances_, other.covariances_, rtol=1e-6)


def test_predictions_know_of_errors():
    rng = np.random.default_rng(0)
    errors = rng.uniform(0, 0.5, size=IRIS.shape)
    model = GaussianMixture(3, random_state=0, max_iter=500).fit(IRIS, errors=errors)
    covariances = model.covariances_ + errors[:, None, :, None] * np.eye(4)
    joint = np.log(model.weights_) + np.array([
        [multivariate_normal(m, C).logpdf(x) for m, C in zip(model.means_, own, strict=True)]
        for x, own in zip(IRIS, covariances, strict=True)
    ])  # fmt: skip
    density = logsumexp(joint, axis=1)
    assert_allclose(model.score_samples(IRIS, errors=errors), density, rtol=1e-10)
    assert_allclose(model.predict_proba(IRIS, errors=errors).sum(axis=1), 1)
    assert_array_equal(model.predict(IRIS, errors=errors), joint.argmax(axis=1))
    labels = GaussianMixture(3, random_state=0, max_iter=500).fit_predict(IRIS, errors=errors)
    assert_array_equal(labels, joint.argmax(axis=1))


@pytest.mark.parametrize("options", [
    {"prior": "conjugate"}, {"shrinkage": "oas"}, {"freeze": "weights"}, {"n_init": 2},
    {"on_degenerate": "reset"}, {"init_params": "hierarchical"}, {"fit_history": True},
])  # fmt: skip
def test_with_other_arguments(options):
    errors = np.full(IRIS.shape, 0.01)
    model = GaussianMixture(3, random_state=0, max_iter=500, **options).fit(IRIS, errors=errors)
    assert model.converged_
    assert_array_equal(pickle.loads(pickle.dumps(model)).means_, model.means_)


def test_more_rows_than_a_start_looks_at():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(25_000, 1)) * 0.5 + 6 * rng.integers(3, size=(25_000, 1))
    errors = np.full(X.shape, 0.5)
    X += np.sqrt(0.5) * rng.normal(size=X.shape)
    model = GaussianMixture(3, random_state=0, max_iter=300, tol=1e-6).fit(X, errors=errors)
    assert_allclose(np.sort(model.means_[:, 0]), [0, 6, 12], atol=0.1)
    assert_allclose(model.covariances_.ravel(), 0.25, atol=0.05)


def test_the_source_answers_as_others_do():
    errors = np.full(IRIS.shape, 0.01)
    source, plain = UncertainSource(IRIS, errors), ArraySource(IRIS)
    p = GaussianMixture(2, random_state=0).fit(IRIS)._parameters()
    assert_array_equal(source.variances(), plain.variances())
    density = source.log_density(p)
    assert source.log_likelihood(p) == pytest.approx(density.sum())
    lowest = source.least_likely(p, 3)
    assert_array_equal(lowest, IRIS[np.argsort(density, kind="stable")[:3]])
    parts = [part for part, _ in source.responsibilities(p, 40)]
    assert_array_equal(np.concatenate(parts), source.all_responsibilities(p))


# --- bad input ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("errors", "message"),
    [
        (np.ones(150), r"errors has the shape \(150,\); give variances of the shape \(150, 4\)"),
        (np.ones((149, 4)), r"errors has the shape \(149, 4\)"),
        (np.full((150, 4), -1.0), "negative variances; give the squares of standard errors"),
        (np.full((150, 4), np.nan), "errors contains NaN"),
        (np.full((150, 4, 4), np.arange(16).reshape(4, 4)), r"errors\[0\] is not symmetric"),
        (np.full((150, 4, 4), -np.eye(4)), r"errors\[0\] is not symmetric and positive semidef"),
    ],
)
def test_errors_that_are_none(errors, message):
    model = GaussianMixture(2)
    with pytest.raises(ValueError, match=message):
        model.fit(IRIS, errors=errors)
    assert not hasattr(model, "means_")
    fitted = GaussianMixture(2, random_state=0).fit(IRIS)
    with pytest.raises(ValueError, match=message):
        fitted.score_samples(IRIS, errors=errors)


@pytest.mark.parametrize("other", [{"missing": "em"}, {"noise": True}, {"semi_supervised": True}])
def test_what_does_not_go_together_yet(other):
    with pytest.raises(ValueError, match=r"errors do not go with .* yet; leave one out"):
        GaussianMixture(2, **other).fit(IRIS, load_iris().target % 2, errors=np.ones(IRIS.shape))


def test_subclasses_with_hooks_do_not_know_of_them():
    class Hooked(GaussianMixture):
        def _m_step(self, X, log_resp):
            super()._m_step(X, log_resp)

    with pytest.raises(ValueError, match="do not go with an overridden _m_step"):
        Hooked(2).fit(IRIS, errors=np.ones(IRIS.shape))
