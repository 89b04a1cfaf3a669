import numpy as np
import pytest
from axes import each_covariance_type, each_matrix_type
from numpy.testing import assert_allclose, assert_array_equal
from problems import assert_close, fixed_start, load
from sklearn.mixture import GaussianMixture as Peer
from sklearn.mixture._gaussian_mixture import (
    _compute_precision_cholesky,
    _compute_precision_cholesky_from_precisions,
    _estimate_gaussian_parameters,
)

from fastgmm import reference
from fastgmm._records import Statistics
from fastgmm.model.factors import (
    covariances_from_cholesky,
    precisions_cholesky_from_covariances,
    precisions_cholesky_from_precisions,
    precisions_from_cholesky,
)
from fastgmm.model.families import FAMILIES
from fastgmm.model.lapack import invert_upper_factors
from fastgmm.model.maximization import MaximumLikelihood

REMEDIES = "decrease the number of components, increase reg_covar, or scale .* float64"


def maximize(statistics, *options, **named):
    return MaximumLikelihood(*options, **named).maximize(statistics)


def model(X, K, covariance_type):
    """Weights, means, precisions_cholesky and covariance type of a fixed start."""
    start = fixed_start(X, K, covariance_type)
    U = precisions_cholesky_from_precisions(start["precisions_init"], covariance_type)
    return start["weights_init"], start["means_init"], U, covariance_type


def as_matrices(covariances, covariance_type, K, d):
    match covariance_type:
        case "full":
            return covariances
        case "tied":
            return np.stack([covariances] * K)
        case "diag":
            return np.stack([np.diag(row) for row in covariances])
        case "spherical":
            return covariances[:, None, None] * np.eye(d)


@each_covariance_type
@pytest.mark.parametrize("data", ["iris", "wine", "random 1"])
def test_is_scikit_learns_m_step(data, covariance_type):
    X, K = load(data)
    arguments = model(X, K, covariance_type)
    parameters = maximize(reference.expectation(X, *arguments), covariance_type, reg_covar=1e-3)
    counts, means, covariances = _estimate_gaussian_parameters(
        X, reference.responsibilities(X, *arguments), 1e-3, covariance_type
    )
    assert_close(parameters.weights, counts / counts.sum(), 1e-13)
    assert_close(parameters.means, means, 1e-13)
    assert_close(parameters.covariances, covariances, 1e-11)
    U = _compute_precision_cholesky(covariances, covariance_type)
    assert_close(parameters.precisions_cholesky, U, 1e-10)


def test_covariances_of_every_type_follow_from_full():
    X, K = load("random 0")
    arguments = model(X, K, "spherical")
    U = as_matrices(arguments[2], "spherical", K, X.shape[1])
    full = maximize(reference.expectation(X, *arguments[:2], U, "full"), "full")
    others = {}
    for covariance_type, factors in {
        "tied": U[0],
        "diag": np.diagonal(U, axis1=1, axis2=2),
        "spherical": U[:, 0, 0],
    }.items():
        statistics = reference.expectation(X, *arguments[:2], factors, covariance_type)
        others[covariance_type] = maximize(statistics, covariance_type)
        assert_close(others[covariance_type].means, full.means, 1e-13)
    diagonals = np.diagonal(full.covariances, axis1=1, axis2=2)
    mean = np.einsum("k,kij->ij", full.weights, full.covariances)
    assert_close(others["tied"].covariances, mean, 1e-12)
    assert_close(others["diag"].covariances, diagonals, 1e-12)
    assert_close(others["spherical"].covariances, diagonals.mean(axis=1), 1e-12)


@each_covariance_type
def test_statistics_of_two_halves_maximize_to_the_same(covariance_type):
    X, K = load("iris")
    arguments = model(X, K, covariance_type)
    halves = [reference.expectation(part, *arguments) for part in (X[:70], X[70:])]
    together = maximize(halves[0] + halves[1], covariance_type)
    whole = maximize(reference.expectation(X, *arguments), covariance_type)
    assert_close(together.covariances, whole.covariances, 1e-12)
    assert_close(together.means, whole.means, 1e-13)


@each_covariance_type
def test_an_offset_of_the_data_only_moves_the_means(covariance_type):
    X, K = load("random 0")
    X = np.round(X * 1024) / 1024  # exact beside an offset of 2²⁷
    weights, means, U, _ = model(X, K, covariance_type)
    here = maximize(reference.expectation(X, weights, means, U, covariance_type), covariance_type)
    offset = 2.0**27
    statistics = reference.expectation(X + offset, weights, means + offset, U, covariance_type)
    there = maximize(statistics, covariance_type)
    assert_close(there.covariances, here.covariances, 1e-12)
    assert_allclose(there.means - offset, here.means, atol=1e-7)


@each_covariance_type
def test_an_empty_component_stays_where_it_was(covariance_type):
    X, K = load("iris")
    weights, means, U, _ = model(X, K, covariance_type)
    means = means.copy()
    means[0] = 1e6
    statistics = reference.expectation(X, weights, means, U, covariance_type)
    assert statistics.counts[0] == 0
    parameters = maximize(statistics, covariance_type, reg_covar=1e-6)
    assert_array_equal(parameters.means[0], means[0])
    assert 0 < parameters.weights[0] < 1e-15
    assert all(np.all(np.isfinite(array)) for array in parameters[:4])


@each_covariance_type
@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_the_scale_of_the_weights_does_not_matter(covariance_type, scale):
    X, K = load("iris")
    arguments = model(X, K, covariance_type)
    weight = np.random.default_rng(0).uniform(size=len(X))
    one = maximize(reference.expectation(X, *arguments, weight), covariance_type)
    other = maximize(reference.expectation(X, *arguments, scale * weight), covariance_type)
    for a, b in zip(one[:4], other[:4], strict=True):
        assert_close(a, b, 1e-12)


@each_covariance_type
def test_the_dtype_is_that_asked_for_and_the_statistics_are_left_alone(covariance_type):
    X, K = load("iris")
    statistics = reference.expectation(X, *model(X, K, covariance_type))
    for array in (statistics.counts, statistics.first, statistics.second, statistics.reference):
        array.setflags(write=False)
    parameters = maximize(statistics, covariance_type, 1e-6, np.float32)
    double = maximize(statistics, covariance_type, 1e-6)
    for a, b in zip(parameters[:4], double[:4], strict=True):
        assert a.dtype == np.float32
        assert b.dtype == np.float64
        assert_close(a, b, 1e-6)


@each_matrix_type
@pytest.mark.parametrize("d", [1, 2, 3, 7, 16, 33])
def test_factor_is_exactly_triangular_and_inverts_the_covariance(covariance_type, d):
    rng = np.random.default_rng(d)
    A = rng.normal(size=(4, d, 2 * d + 1))
    covariances = A @ A.swapaxes(1, 2) / d
    if covariance_type == "tied":
        covariances = covariances[0]
    U = precisions_cholesky_from_covariances(covariances, covariance_type)
    assert_array_equal(U, np.triu(U))
    assert_close(U, _compute_precision_cholesky(covariances, covariance_type), 1e-11)
    precisions = precisions_from_cholesky(U, covariance_type)
    assert_close(precisions @ covariances, np.broadcast_to(np.eye(d), covariances.shape), 1e-11)
    assert_close(covariances_from_cholesky(U, covariance_type), covariances, 1e-11)
    from_precisions = precisions_cholesky_from_precisions(precisions, covariance_type)
    assert_array_equal(from_precisions, np.triu(from_precisions))
    assert_close(from_precisions, U, 1e-9)


def test_factor_of_badly_scaled_features_is_the_scaled_factor():
    rng = np.random.default_rng(0)
    A = rng.normal(size=(9, 30))
    scale = 2.0 ** rng.integers(-40, 40, size=9)
    U = precisions_cholesky_from_covariances(A @ A.T, "tied")
    scaled = precisions_cholesky_from_covariances((A @ A.T) * np.outer(scale, scale), "tied")
    assert_array_equal(scaled * scale[:, None], U)  # powers of two: no rounding at all


@each_covariance_type
def test_factor_from_precisions_is_scikit_learns(covariance_type):
    X, K = load("wine")
    precisions = fixed_start(X, K, covariance_type)["precisions_init"]
    expected = _compute_precision_cholesky_from_precisions(precisions, covariance_type, xp=np)
    actual = precisions_cholesky_from_precisions(precisions, covariance_type)
    assert_close(actual, expected, 1e-13)
    precisions_again = precisions_from_cholesky(actual, covariance_type)
    assert_close(precisions_again, precisions, 1e-12)


@pytest.mark.parametrize(
    ("covariance_type", "covariances"),
    [
        ("full", [np.eye(2), [[1.0, 2.0], [2.0, 1.0]]]),
        ("full", np.zeros((1, 2, 2))),
        ("tied", [[1.0, 1.0], [1.0, 1.0]]),
        ("diag", [[1.0, 0.0]]),
        ("diag", [[1.0, np.nan]]),
        ("spherical", [-1.0]),
        ("spherical", [np.inf]),
        ("full", np.full((1, 2, 2), np.nan)),
    ],
)
def test_a_bad_covariance_is_refused_with_the_remedies(covariance_type, covariances):
    with pytest.raises(ValueError, match=REMEDIES):
        precisions_cholesky_from_covariances(np.array(covariances), covariance_type)


@pytest.mark.usefixtures("silent_as_python")
@each_covariance_type
def test_moments_that_overflow_are_refused_without_a_warning(covariance_type):
    K, d = 2, 2
    shape = {"full": (K, d, d), "tied": (d, d), "diag": (K, d), "spherical": (K,)}
    second = np.full(shape[covariance_type], np.inf)
    first = np.full((K, d), 1e200)
    statistics = Statistics(0.0, np.ones(K), first, second, np.zeros((K, d)))
    with pytest.raises(ValueError, match=REMEDIES):
        maximize(statistics, covariance_type)


def test_precisions_that_only_look_positive_definite_are_refused():
    nearly = np.array([[1.0, 1.0], [1.0, 1.0]])
    with pytest.raises(ValueError, match="well-conditioned"):
        precisions_cholesky_from_precisions(nearly, "tied")


@each_covariance_type
def test_number_of_parameters_is_scikit_learns(covariance_type):
    X, K = load("iris")
    peer = Peer(K, covariance_type=covariance_type, random_state=0).fit(X)
    assert FAMILIES[covariance_type].n_parameters(K, X.shape[1]) == peer._n_parameters()


def test_factors_are_the_same_from_several_threads():
    A = np.random.default_rng(0).normal(size=(5, 12, 40))
    covariances = A @ A.swapaxes(1, 2)
    factors = covariances.copy()
    assert invert_upper_factors(factors, n_threads=2)
    expected = precisions_cholesky_from_covariances(covariances, "full")
    np.testing.assert_allclose(factors, expected, rtol=1e-12, atol=1e-14)
    assert np.array_equal(factors, np.triu(factors))


def test_threads_notice_a_matrix_that_is_not_positive_definite():
    assert not invert_upper_factors(np.stack([np.eye(3), -np.eye(3)]), n_threads=2)
