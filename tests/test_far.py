"""Points very far from all components: told apart as long as anything can be told."""

from fractions import Fraction

import numpy as np
import pytest
from axes import each_covariance_type, each_dtype
from numpy.testing import assert_allclose, assert_array_equal

from fastgmm import GaussianMixture, kernels, reference

# The problems are small; the drivers are to solve them, too.
pytestmark = pytest.mark.usefixtures("both_ways")

MODELS = [
    *(("full", 1), ("full", 2), ("full", 20), ("tied", 2), ("tied", 12)),
    *(("diag", 3), ("spherical", 3)),
]
SIZES = [
    *((np.float32, size) for size in (1e9, 1e15, 3e17, 1e19, 1e25, 1e37)),
    *((np.float64, size) for size in (1e100, 1e145, 3e150, 1e155, 1e200, 1e300)),
]
each_size = pytest.mark.parametrize(("dtype", "size"), SIZES)
each_model = pytest.mark.parametrize(("covariance_type", "d"), MODELS)
each_package = pytest.mark.parametrize("package", [kernels, reference])
K = 3


def factors(covariance_type, d, scales):
    """Factors of components of these precisions; of the first, where they are tied."""
    scales = np.asarray(scales, float)
    return {
        "full": scales[:, None, None] * np.eye(d),
        "tied": scales[0] * np.eye(d),
        "diag": np.repeat(scales[:, None], d, axis=1),
        "spherical": scales,
    }[covariance_type]


def far_problem(covariance_type, d, dtype, size):
    """Points on the first axis, and means there at unequal distances."""
    X, means = np.zeros((4, d), dtype), np.zeros((K, d), dtype)
    X[:, 0] = np.array([1.0, -1.0, 0.5, 0.75]) * size
    means[:, 0] = np.array([-0.5, 0.25, 0.0]) * size
    return X, np.array([0.5, 0.25, 0.25]), means, factors(covariance_type, d, [1.0, 1.0, 1.0])


def nearest(X, means):
    """In exact arithmetic, of points and means on the first axis."""
    return [
        min(range(K), key=lambda k: abs(Fraction(float(x[0])) - Fraction(float(means[k][0]))))
        for x in X
    ]


@each_package
@each_size
@each_model
def test_far_points_belong_to_the_nearest_component(covariance_type, d, dtype, size, package):
    X, weights, means, U = far_problem(covariance_type, d, dtype, size)
    expected = nearest(X, means)
    arguments = X, weights, means, U, covariance_type
    assert package.assign(*arguments).tolist() == expected
    assert_array_equal(package.responsibilities(*arguments), np.eye(K)[expected])
    assert np.all(np.isfinite(package.log_density(*arguments)))


@each_size
@each_model
def test_statistics_count_far_points_for_the_nearest_component(covariance_type, d, dtype, size):
    arguments = (*far_problem(covariance_type, d, dtype, size), covariance_type)
    expected = np.bincount(nearest(arguments[0], arguments[2]), minlength=K)
    for weight in (None, np.array([1.0, 2.0, 0.5, 1.0])):
        with np.errstate(over="ignore", invalid="ignore"):  # second moments may overflow
            actual = kernels.expectation(*arguments, weight)
        wanted = expected
        if weight is not None:
            labels = nearest(arguments[0], arguments[2])
            wanted = np.bincount(labels, minlength=K, weights=weight)
        assert_allclose(actual.counts, wanted, rtol=1e-6)
        assert np.isfinite(actual.log_likelihood)
        again = kernels.passes.Pass(arguments[0], weight).log_likelihood(*arguments[1:])
        assert again == actual.log_likelihood


@each_package
@each_model
@pytest.mark.parametrize(("dtype", "size"), [(np.float32, 1e25), (np.float64, 1e200)])
def test_the_nearest_is_so_in_standard_deviations(dtype, size, covariance_type, d, package):
    if covariance_type == "tied":
        return  # has the same for all
    X, weights, means, _ = far_problem(covariance_type, d, dtype, size)
    means[:] = 0.0
    U = factors(covariance_type, d, [3.0, 0.5, 2.0])
    assert set(package.assign(X, weights, means, U, covariance_type)) == {1}


@each_package
@each_model
@pytest.mark.parametrize(("dtype", "size"), [(np.float32, 1e25), (np.float64, 1e200)])
def test_equally_far_components_share_by_weight(dtype, size, covariance_type, d, package):
    X, weights, means, U = far_problem(covariance_type, d, dtype, size)
    means[:] = 0.0
    shares = package.responsibilities(X, weights, means, U, covariance_type)
    assert_allclose(shares, np.tile(weights, (len(X), 1)), rtol=1e-6)
    none = np.array([0.0, 1.0, 0.0])
    shares = package.responsibilities(X, none, means, U, covariance_type)
    assert_array_equal(shares, np.tile(none, (len(X), 1)))


def test_near_points_do_not_feel_a_far_one():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 2))
    means, U = np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([1.0, 0.5])
    arguments = np.full(2, 0.5), means, U, "spherical"
    alone = kernels.expectation(X, *arguments)
    together = kernels.expectation(np.append(X, [[1e200, 1e200]], axis=0), *arguments)
    assert_allclose(together.counts, [alone.counts[0], alone.counts[1] + 1.0], rtol=1e-12)
    assert_allclose(together.first[0], alone.first[0], rtol=1e-12)


@pytest.mark.parametrize(("dtype", "distance"), [(np.float32, 1e16), (np.float64, 1e148)])
def test_distances_that_do_not_overflow_are_told_apart(dtype, distance):
    """Beyond 1e15 and 1e145 deviations they were once called equal."""
    X = np.array([[distance]], dtype)
    means, U = np.array([[0.0], [0.0]]), np.array([1.0, 0.9])
    arguments = X, np.full(2, 0.5), means, U, "spherical"
    assert_array_equal(kernels.responsibilities(*arguments), [[0.0, 1.0]])
    expected = -0.5 * (0.9 * distance) ** 2
    assert_allclose(kernels.log_density(*arguments), [expected], rtol=1e-6)


# --- shares that vanish ---------------------------------------------------------------------
@pytest.mark.parametrize("d", [2, 16, 17, 40, 300])
@each_dtype
def test_a_light_point_very_far_away_counts_at_any_dimension(d, dtype):
    X = np.random.default_rng(0).normal(size=(200, d)).astype(dtype)
    X[7, 0] = 1e12
    weight = np.ones(len(X))
    weight[7] = 1e-19
    U = np.eye(d)[None]
    arguments = X, np.ones(1), np.zeros((1, d)), U, "full", weight
    actual, expected = kernels.expectation(*arguments), reference.expectation(*arguments)
    assert expected.second[0, 0, 0] > 1e4  # the far point's
    assert_allclose(actual.second[0, 0, 0], expected.second[0, 0, 0], rtol=1e-5)


@pytest.mark.parametrize("d", [2, 16, 17, 40])
def test_given_shares_count_however_small(d):
    X = np.random.default_rng(0).normal(size=(200, d))
    X[7, 0] = 1e12
    shares = np.ones((len(X), 1))
    shares[7] = 1e-19
    _, _, actual = kernels.weighted_covariances(X, shares, "full")
    _, _, expected = reference.weighted_covariances(X, shares, "full")
    assert expected[0, 0, 0] > 100
    assert_allclose(actual[0, 0, 0], expected[0, 0, 0], rtol=1e-9)


# --- components of one covariance, far apart ------------------------------------------------
@pytest.mark.parametrize("d", [2, 8, 9, 12, 20])
@pytest.mark.parametrize(
    ("dtype", "apart"),
    [
        *((np.float32, apart) for apart in (50, 200, 900, 1e4, 1e6)),
        *((np.float64, apart) for apart in (900, 1e4, 1e6, 1e9)),
    ],
)
def test_means_of_a_tied_model_are_exact_however_far_apart(dtype, apart, d):
    rng = np.random.default_rng(0)
    labels = np.arange(4000) % 2
    centres = np.where(np.arange(2)[:, None] == 0, -apart, apart) * np.ones(d)
    X = (rng.normal(size=(4000, d)) + centres[labels]).astype(dtype)
    arguments = X, np.full(2, 0.5), centres, np.eye(d), "tied"
    actual, expected = kernels.expectation(*arguments), reference.expectation(*arguments)
    # Deviations of the means, and parts of the variances.
    tolerance = 3e-5 if dtype == np.float32 else 1e-11
    for one, other in [(actual.first, expected.first), (actual.second, expected.second)]:
        assert_allclose(one / 2000, other / 2000, rtol=0, atol=tolerance)
    _, means, covariance = kernels.weighted_covariances(X, np.eye(2)[labels], "tied")
    _, means2, covariance2 = reference.weighted_covariances(X, np.eye(2)[labels], "tied")
    assert_allclose(means, means2, rtol=64 * np.finfo(dtype).eps, atol=0)
    assert_allclose(covariance, covariance2, rtol=0, atol=tolerance)


@each_covariance_type
def test_a_fit_of_clusters_far_apart_in_float32_is_that_of_float64(covariance_type):
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(1000, 10)) + 1e5 * np.eye(2, 10)[np.arange(1000) % 2]).astype("float32")
    options = {"covariance_type": covariance_type, "random_state": 0}
    one = GaussianMixture(2, **options).fit(X)
    two = GaussianMixture(2, **options).fit(X.astype(float))
    assert_allclose(one.means_, two.means_, rtol=1e-6, atol=1e-4)
    assert_allclose(one.covariances_, two.covariances_, rtol=0, atol=1e-3)
