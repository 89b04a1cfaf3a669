"""Mixtures of some features: their laws, names and order, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from axes import each_dtype
from mixtures import each_family, mixture_of
from scipy.integrate import quad
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from fastgmm import GaussianMixture

each_choice = pytest.mark.parametrize("features", [[0], [2, 0], [1, 3, 2], [-1]])


def log_density_of(conditional, points):
    """Log-density of each point under its own mixture, by scipy."""
    components = [
        multivariate_normal(np.zeros(points.shape[1]), covariance).logpdf(points - means)
        for means, covariance in zip(
            conditional.means.swapaxes(0, 1), conditional.covariances, strict=True
        )
    ]
    logs = np.reshape(components, (len(components), -1)).T
    return logsumexp(logs, b=conditional.weights, axis=1)


# --- laws -----------------------------------------------------------------------------------
@each_family
@each_choice
def test_conditional_times_marginal_is_the_joint(covariance_type, features):
    mixture = mixture_of(covariance_type)
    X = np.random.default_rng(1).normal(size=(50, 4)) * 2
    others = [i for i in range(4) if i not in np.arange(4)[features]]
    given = mixture.conditional(features, X[:, features])
    product = mixture.marginal(features).score_samples(X[:, features]) + log_density_of(
        given, X[:, others]
    )
    np.testing.assert_allclose(product, mixture.score_samples(X), rtol=1e-10)
    assert given.weights.shape == (50, 3)
    assert given.means.shape == (50, 3, len(others))
    assert given.covariances.shape == (3, len(others), len(others))


@each_family
def test_a_marginal_is_the_integral_over_the_others(covariance_type):
    mixture = mixture_of(covariance_type, d=2)

    def density(y, x):
        return np.exp(mixture.score_samples([[x, y]])[0])

    for x in (-1.0, 0.3):
        integral, _ = quad(density, -40, 40, args=(x,), points=[-2, 0, 2], epsabs=1e-12)
        marginal = np.exp(mixture.marginal(0).score_samples([[x]])[0])
        assert marginal == pytest.approx(integral, rel=1e-9)


@each_family
def test_regression_has_the_moments_of_the_conditional_density(covariance_type):
    mixture = mixture_of(covariance_type, d=2)
    values = np.array([[-1.5], [0.0], [2.0]])
    prediction = mixture.predict_regression([1], values)
    for i, (value,) in enumerate(values):

        def moment(power, centre=0.0, value=value):
            def integrand(x):
                return (x - centre) ** power * np.exp(mixture.score_samples([[x, value]])[0])

            return quad(integrand, -40, 40, points=[-2, 0, 2], epsabs=1e-13)[0]

        mean = moment(1) / moment(0)
        assert prediction.mean[i, 0] == pytest.approx(mean, rel=1e-8)
        variance = moment(2, mean) / moment(0)
        assert prediction.variance[i, 0] == pytest.approx(variance, rel=1e-8)


def test_an_offset_moves_the_means_alone():
    near, far = mixture_of("full"), mixture_of("full", offset=2.0**20)
    values = np.random.default_rng(2).integers(-3, 3, size=(20, 2)).astype(float)
    a, b = near.conditional([3, 1], values), far.conditional([3, 1], values + 2.0**20)
    # Means have lost what is beyond 2⁻³² beside the offset.
    np.testing.assert_allclose(b.means - 2.0**20, a.means, atol=1e-8)
    np.testing.assert_allclose(b.weights, a.weights, atol=1e-8)
    np.testing.assert_array_equal(b.covariances, a.covariances)


def test_the_order_of_the_given_features_does_not_matter():
    mixture, X = mixture_of("full"), np.random.default_rng(3).normal(size=(9, 4))
    a, b = (mixture.conditional(order, X[:, order]) for order in ([0, 2], [2, 0]))
    for one, other in zip(a, b, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_far_away_the_mixture_is_one_component():
    mixture = GaussianMixture.from_parameters(
        [0.5, 0.5], [[0.0, 1.0], [9.0, 2.0]], [[[1.0, 0.5], [0.5, 1.0]]] * 2
    )
    given = mixture.conditional([0], [[1e12], [-1e12]])
    np.testing.assert_array_equal(given.weights, [[0, 1], [1, 0]])
    assert np.all(np.isfinite(given.means))


@each_dtype
def test_outputs_have_the_dtype_of_the_values(dtype):
    mixture, values = mixture_of("tied"), np.zeros((2, 2), dtype)
    assert {array.dtype.type for array in mixture.conditional([0, 1], values)} == {dtype}
    prediction = mixture.predict_regression([0, 1], values)
    assert {array.dtype.type for array in prediction} == {dtype}
    assert prediction.mean.shape == prediction.variance.shape == (2, 2)


def test_rows_do_not_matter_to_each_other():
    mixture, values = mixture_of("full"), np.random.default_rng(4).normal(size=(300, 2))
    together = mixture.conditional([1, 2], values)
    for i in (0, 150, 299):
        alone = mixture.conditional([1, 2], values[i : i + 1])
        np.testing.assert_allclose(together.means[i], alone.means[0], rtol=1e-12)
        np.testing.assert_allclose(together.weights[i], alone.weights[0], rtol=1e-12)


# --- whatever the attributes are ---------------------------------------------------------
def test_integers_set_by_hand_are_numbers():
    mixture = GaussianMixture(2)
    mixture.weights_ = np.array([0.5, 0.5])
    mixture.means_ = np.array([[0, 0], [5, 5]])
    mixture.covariances_ = 6.25 * np.array([np.eye(2)] * 2)
    mixture.precisions_cholesky_ = 0.4 * np.array([np.eye(2)] * 2)
    X = np.array([[1.0, 2.0], [4.0, 7.0]])
    chosen = mixture.marginal([0])
    np.testing.assert_allclose(chosen.covariances_, np.full((2, 1, 1), 6.25))
    product = chosen.score_samples(X[:, :1]) + log_density_of(
        mixture.conditional([0], X[:, :1]), X[:, 1:]
    )
    np.testing.assert_allclose(product, mixture.score_samples(X), rtol=1e-10)


def test_single_precision_goes_by_the_factors():
    """Whose squares, the covariances, are singular in float32."""
    rng = np.random.default_rng(0)
    X = 300 * rng.normal(size=(2000, 4))
    X[:, 3] = X[:, 0] + X[:, 1]
    X = X.astype(np.float32)
    mixture = GaussianMixture(2, random_state=0, tol=0.1).fit(X)
    single = np.linalg.eigvalsh(mixture.covariances_.astype(np.float64))
    assert single.min() < 1e-2 * 1e-6 * single.max() or single.min() <= 0
    given = mixture.conditional([0, 1], X[:50, :2])
    np.testing.assert_allclose(given.means[:, 0, 1], X[:50, 3], rtol=1e-3, atol=1)
    prediction = mixture.predict_regression([0, 1], X[:50, :2])
    assert np.all(prediction.variance > 0)
    assert np.all(np.isfinite(mixture.marginal([0, 1, 3]).score_samples(X[:50, [0, 1, 3]])))


def test_conditionals_go_by_what_predictions_go_by():
    mixture = mixture_of("full")
    mixture.covariances_ = mixture.covariances_ * 2
    with pytest.warns(UserWarning, match="predictions and scores are of"):
        contradicted = mixture.conditional([0], np.zeros((1, 1)))
    for one, other in zip(
        contradicted, mixture_of("full").conditional([0], np.zeros((1, 1))), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_weights_need_not_sum_to_one_exactly():
    mixture = mixture_of("diag")
    mixture.weights_ = mixture.weights_ * (1 - 1e-5)
    np.testing.assert_array_equal(mixture.marginal([1]).weights_, mixture.weights_)


class Two(GaussianMixture):
    """Whose constructor takes other arguments."""

    def __init__(self, random_state=None):
        super().__init__(2, random_state=random_state, means_init=[[0.0, 0.0], [1.0, 1.0]])


def test_subclasses_stay_what_they_are():
    X = np.random.default_rng(0).normal(size=(60, 2))
    mixture = Two(random_state=4).fit(X)
    chosen = mixture.marginal([1])
    assert type(chosen) is Two
    np.testing.assert_array_equal(chosen.means_, mixture.means_[:, 1:])
    np.testing.assert_array_equal(chosen.sample(3)[0], chosen.sample(3)[0])


class Weighted(GaussianMixture):
    """Weights of its own, by a method of scikit-learn's."""

    def _estimate_log_weights(self):
        return np.log([0.99, 0.01])


def test_overridden_methods_have_their_say():
    mixture = Weighted(2, random_state=0).fit(np.random.default_rng(0).normal(size=(60, 2)))
    values = np.array([[0.5], [1.5]])
    np.testing.assert_allclose(
        mixture.conditional([0], values).weights, mixture.marginal([0]).predict_proba(values)
    )
    plain = GaussianMixture.from_parameters(
        mixture.weights_, mixture.means_, mixture.covariances_
    ).conditional([0], values)
    assert not np.allclose(mixture.conditional([0], values).weights, plain.weights)


def test_single_precision_sums_in_double():
    means = [[0.0, 1e5], [1.0, 1e5]]
    mixture = GaussianMixture.from_parameters([0.5, 0.5], means, [[1.0, 1e-4]] * 2, "diag")
    prediction = mixture.predict_regression([0], np.zeros((1, 1), np.float32))
    np.testing.assert_allclose(prediction.variance, 1e-4, rtol=1e-6)


def test_far_values_overflow_without_a_word():
    mixture = GaussianMixture.from_parameters(
        [0.5, 0.5], [[0.0, 0.0], [1.0, 1.0]], [[[1.0, 0.5], [0.5, 1.0]]] * 2
    )
    prediction = mixture.predict_regression([0], [[1e200]])
    assert not np.isnan(prediction.mean).any()
    assert not np.isnan(prediction.variance).any()


def test_arguments_are_kept_but_for_starting_values():
    X = np.random.default_rng(0).normal(size=(60, 2))
    mixture = GaussianMixture(2, means_init=X[:2], tol=0.5, random_state=3).fit(X)
    chosen = mixture.marginal([0])
    assert (chosen.tol, chosen.random_state, chosen.means_init) == (0.5, 3, None)
    chosen.fit(X[:, :1])
    chosen.means_[:] = 0
    chosen.weights_[:] = 0
    assert mixture.weights_.all()


# --- names ----------------------------------------------------------------------------------
@pytest.fixture
def frame():
    pd = pytest.importorskip("pandas", reason="frames are of pandas")
    X = np.random.default_rng(0).normal(size=(60, 3))
    return pd.DataFrame(X, columns=["height", "width", "mass"])


def test_features_have_names(frame):
    mixture = GaussianMixture(2, random_state=0).fit(frame)
    chosen = mixture.marginal(["mass", "height"])
    assert list(chosen.feature_names_in_) == ["mass", "height"]
    np.testing.assert_array_equal(chosen.means_, mixture.means_[:, [2, 0]])
    chosen.predict(frame[["mass", "height"]])  # no warning of names
    by_name = mixture.conditional("width", frame[["width"]])
    by_number = mixture.conditional([1], frame[["width"]].to_numpy())
    for one, other in zip(by_name, by_number, strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(ValueError, match=r"no feature 'depth'; its features are height, width"):
        mixture.marginal(["depth"])
    with pytest.raises(ValueError, match=r"\['mass', 'width'\]; expected \['width', 'mass'\]"):
        mixture.conditional(["width", "mass"], frame[["mass", "width"]])


def test_numbers_are_of_any_kind():
    mixture = mixture_of("full")
    for features in (np.array([1, 2], np.int8), np.array([1, 2], object), (1, -2), range(1, 3)):
        np.testing.assert_array_equal(mixture.marginal(features).means_, mixture.means_[:, 1:3])


def test_a_mask_chooses_features():
    mixture = mixture_of("full")
    mask = np.array([True, False, False, True])
    np.testing.assert_array_equal(mixture.marginal(mask).means_, mixture.means_[:, [0, 3]])


def test_a_marginal_is_a_mixture_like_any_other():
    mixture = mixture_of("tied_diag").set_params(n_jobs=1)
    chosen = mixture.marginal([3, 1])
    assert chosen.covariance_type == "tied_diag"
    assert (chosen.n_features_in_, chosen.n_components, chosen.n_jobs) == (2, 3, 1)
    assert chosen.sample(5)[0].shape == (5, 2)
    np.testing.assert_allclose(chosen.precisions_, 1 / chosen.covariances_)


# --- bad input ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("features", "message"),
    [
        ([], "expected a list of one or more columns"),
        ([[0, 1]], "expected a list of one or more columns"),
        ([4], "There is no feature 4; columns are numbered from 0 to 3"),
        ([-5], "There is no feature -5"),
        ([0, 1, 0], "Column 0 is given twice"),
        ([3, -1], "Column 3 is given twice"),
        (np.array([True, False], object), "should be numbers of columns or names; got True"),
        ([0.0], "should be numbers of columns or names"),
        ([True, 2], "should be numbers of columns or names; got True"),
        ([0, "mass"], "has no feature 'mass'"),
        (["mass"], "they have no names"),
        ([True, False], "mask of features has 2 elements; expected 4"),
        ([False] * 4, "chooses none"),
    ],
)
def test_bad_features_are_told(features, message):
    mixture = mixture_of("full")
    with pytest.raises(ValueError, match=message):
        mixture.marginal(features)
    with pytest.raises(ValueError, match=message):
        mixture.conditional(features, np.zeros((1, np.size(features))))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[1.0]], r"values has shape \(1, 1\); expected 2 column"),
        ([1.0, 2.0], "Expected 2D array"),
        ([[1.0, np.nan]], "NaN"),
        (np.zeros((0, 2)), "0 sample"),
        (np.ma.masked_array([[0.0, 1.0]], [[True, False]]), "masked"),
    ],
)
def test_bad_values_are_told(values, message):
    with pytest.raises(ValueError, match=message):
        mixture_of("full").conditional([0, 1], values)


def test_something_must_be_left():
    with pytest.raises(ValueError, match="none is left"):
        mixture_of("diag", d=1).conditional([0], np.zeros((1, 1)))
    with pytest.raises(ValueError, match="none is left"):
        mixture_of("diag").conditional([0, 1, 2, 3], np.zeros((1, 4)))


def test_an_unfitted_mixture_says_so():
    with pytest.raises(ValueError, match="not fitted"):
        GaussianMixture().marginal([0])
