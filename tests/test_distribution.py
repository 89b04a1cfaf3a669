"""A mixture as a distribution: entropy, divergence, outliers, Fisher vectors."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from mixtures import each_family, mixture_of
from scipy.stats import norm
from sklearn.mixture import GaussianMixture as Peer

from fastgmm import GaussianMixture
from fastgmm.model.families import FAMILIES

each_diagonal_family = pytest.mark.parametrize(
    "covariance_type", [name for name, family in FAMILIES.items() if not family.is_matrix]
)
TWO = GaussianMixture.from_parameters([0.3, 0.7], [-1.0, 2.0], [0.5, 2.0], "spherical")


def dense(mixture):
    """Mean and covariance matrix of a mixture's first component."""
    shape = mixture.means_.shape
    covariances = FAMILIES[mixture.covariance_type].dense(mixture.covariances_, *shape)
    return mixture.means_[0], covariances[0]


def integral(function):
    """Integrate over the line what is negligible beyond 30."""
    return float(mpmath.quad(function, np.linspace(-30, 30, 41).tolist()))


def density(mixture, x):
    parts = zip(mixture.weights_, mixture.means_[:, 0], mixture.covariances_.ravel(), strict=True)
    return mpmath.fsum(w * mpmath.npdf(x, m, mpmath.sqrt(v)) for w, m, v in parts)


# --- closed forms ---------------------------------------------------------------------------
@each_family
def test_the_entropy_of_one_component_is_exact(covariance_type):
    mixture = mixture_of(covariance_type, n_components=1, d=4)
    _, covariance = dense(mixture)
    with mpmath.workdps(40):
        determinant = mpmath.det(2 * mpmath.pi * mpmath.e * mpmath.matrix(covariance.tolist()))
        expected = float(mpmath.log(determinant) / 2)
    assert mixture.entropy() == pytest.approx(expected, rel=1e-13)
    assert mixture.entropy(return_std=True) == (mixture.entropy(), 0.0)


@pytest.mark.parametrize("other_kind", FAMILIES)
@each_family
def test_the_divergence_of_single_components_is_exact(covariance_type, other_kind):
    one, other = (
        mixture_of(covariance_type, n_components=1, d=3),
        mixture_of(other_kind, n_components=1, d=3, seed=1),
    )
    means, covariances = zip(dense(one), dense(other), strict=True)
    with mpmath.workdps(40):
        first, second = (mpmath.matrix(matrix.tolist()) for matrix in covariances)
        apart = mpmath.matrix((means[0] - means[1]).tolist())
        precision = mpmath.inverse(second)
        ratio = precision * first
        expected = mpmath.fsum(ratio[i, i] for i in range(3)) - 3 - mpmath.log(mpmath.det(ratio))
        expected = float((expected + (apart.T * precision * apart)[0]) / 2)
    assert one.kl_divergence(other) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("shift", [1e-6, 1e-3])
def test_the_divergence_of_near_gaussians_does_not_cancel(shift):
    one = GaussianMixture.from_parameters([1.0], [[0.0, 0.0]], [np.eye(2)])
    other = GaussianMixture.from_parameters([1.0], [[0.0, 0.0]], [np.eye(2) * (1 + shift) ** 2])
    with mpmath.workdps(50):
        ratio = 1 / mpmath.mpf((1 + shift) ** 2)
        expected = float(ratio - 1 - mpmath.log(ratio))
    assert one.kl_divergence(other) == pytest.approx(expected, rel=1e-9)
    assert one.kl_divergence(one) == 0.0


# --- integrals ------------------------------------------------------------------------------
def test_the_entropy_of_a_mixture_is_that_of_quadrature():
    expected = integral(lambda x: -density(TWO, x) * mpmath.log(density(TWO, x)))
    value, error = TWO.entropy(200_000, 0, return_std=True)
    assert 0 < error < 0.005
    assert abs(value - expected) < 4 * error


def test_the_divergence_of_mixtures_is_that_of_quadrature():
    other = GaussianMixture.from_parameters([0.5, 0.5], [0.0, 1.0], [4.0, 4.0], "spherical")
    expected = integral(lambda x: density(TWO, x) * mpmath.log(density(TWO, x) / density(other, x)))
    value, error = TWO.kl_divergence(other, 200_000, 0, return_std=True)
    assert 0 < error < 0.005
    assert abs(value - expected) < 4 * error


def test_draws_come_from_the_seed():
    assert TWO.entropy(1000, 3) == TWO.entropy(1000, 3) != TWO.entropy(1000, 4)
    seeded = TWO.marginal([0]).set_params(random_state=5)
    assert seeded.entropy(1000) == TWO.entropy(1000, 5)


def test_many_features_are_drawn_in_parts(monkeypatch):
    monkeypatch.setattr("fastgmm.estimator.distribution.AT_ONCE", 1000)
    parts = [len(X) for X in TWO._drawn(2500, 0)]
    assert parts == [1000, 1000, 500]


@each_family
def test_no_mixture_diverges_from_itself(covariance_type):
    mixture = mixture_of(covariance_type)
    assert mixture.kl_divergence(mixture, 100, 0, return_std=True) == (0.0, 0.0)


def test_a_divergence_is_never_negative():
    near = GaussianMixture.from_parameters([0.3, 0.7], [-1.0, 2.001], [0.5, 2.0], "spherical")
    values = [TWO.kl_divergence(near, 100, seed) for seed in range(20)]
    assert min(values) == 0.0 < max(values)


def test_mixtures_of_scikit_learn_are_compared():
    X, _ = TWO.sample(300, random_state=0)
    peer = Peer(2, random_state=0).fit(X)
    assert TWO.kl_divergence(peer, 1000, 0) == pytest.approx(
        TWO.kl_divergence(GaussianMixture.from_sklearn(peer), 1000, 0)
    )


def test_float32_mixtures_are_compared_in_float64():
    X = TWO.sample(300, random_state=0)[0].astype(np.float32)
    mixture = GaussianMixture(2, random_state=0).fit(X)
    exact = GaussianMixture(2, random_state=0).fit(X.astype(np.float64))
    assert mixture.entropy(1000, 0) == pytest.approx(exact.entropy(1000, 0), abs=1e-3)
    assert type(mixture.entropy(1000, 0)) is float


# --- outliers -------------------------------------------------------------------------------
def test_outlier_scores_are_negative_log_densities():
    X, _ = TWO.sample(50, random_state=0)
    np.testing.assert_array_equal(TWO.outlier_score(X), -TWO.score_samples(X))


@pytest.mark.parametrize("quantile", [0.5, 0.95, 0.999])
def test_the_threshold_of_one_component_is_exact(quantile):
    deviations = norm.ppf(0.5 + quantile / 2)
    mixture = GaussianMixture.from_parameters([1.0], [3.0], [4.0])
    edges = 3.0 + 2 * deviations * np.array([[-1.0], [1.0]])
    np.testing.assert_allclose(mixture.outlier_score(edges, quantile), 0, atol=1e-12)


@each_family
def test_the_threshold_leaves_its_share_of_a_mixture_outside(covariance_type):
    mixture = mixture_of(covariance_type)
    X, _ = mixture.sample(20_000, random_state=1)
    scores = mixture.outlier_score(X, 0.9, random_state=0)
    assert np.mean(scores > 0) == pytest.approx(0.1, abs=0.01)
    one = mixture.outlier_score(X[:1], 0.9, random_state=0)  # the others do not matter
    np.testing.assert_allclose(one, scores[:1], rtol=1e-12)


@pytest.mark.parametrize("quantile", [0.0, 1.0, -1, 2, float("nan")])
def test_a_quantile_is_within_0_and_1(quantile):
    with pytest.raises(ValueError, match="between 0 and 1"):
        TWO.outlier_score([[0.0]], quantile)


# --- Fisher vectors -------------------------------------------------------------------------
@each_diagonal_family
def test_a_fisher_vector_is_what_its_equations_say(covariance_type):
    mixture = mixture_of(covariance_type, n_components=3, d=4)
    X = np.random.default_rng(0).normal(size=(200, 4))
    variances = FAMILIES[covariance_type].variances(mixture.covariances_, 3, 4)
    shares, weights = mixture.predict_proba(X), mixture.weights_
    z = (X[:, None] - mixture.means_) / np.sqrt(variances)
    expected = np.concatenate([
        (shares - weights).mean(axis=0) / np.sqrt(weights),
        (np.mean(shares[:, :, None] * z, axis=0) / np.sqrt(weights)[:, None]).ravel(),
        (np.mean(shares[:, :, None] * (z**2 - 1), axis=0) / np.sqrt(2 * weights)[:, None]).ravel(),
    ])  # fmt: skip
    np.testing.assert_allclose(mixture.fisher_vector(X), expected, rtol=1e-10, atol=1e-12)


def test_a_fisher_vector_has_the_gradients_of_the_likelihood():
    weights, means, variances = np.array([0.4, 0.6]), np.array([[0.0], [2.0]]), np.array([1.0, 2.0])
    X = np.random.default_rng(0).normal(1.0, 2.0, size=(50, 1))

    def score(means, variances):
        return GaussianMixture.from_parameters(weights, means, variances, "spherical").score(X)

    mixture = GaussianMixture.from_parameters(weights, means, variances, "spherical")
    by_means, by_deviations = mixture.fisher_vector(X)[2:].reshape(2, 2)
    deviations, step = np.sqrt(variances), 1e-5
    for k in range(2):
        move = step * (np.arange(2) == k)
        slope = score(means + move[:, None], variances) - score(means - move[:, None], variances)
        slope *= deviations[k] / (2 * step * np.sqrt(weights[k]))
        assert by_means[k] == pytest.approx(slope, rel=1e-6)
        slope = score(means, (deviations + move) ** 2) - score(means, (deviations - move) ** 2)
        slope *= deviations[k] / (2 * step * np.sqrt(2 * weights[k]))
        assert by_deviations[k] == pytest.approx(slope, rel=1e-6)


def test_an_improved_fisher_vector_has_signed_roots_and_length_1():
    mixture = mixture_of("diag", n_components=2, d=3)
    X = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    plain, improved = mixture.fisher_vector(X), mixture.fisher_vector(X, improved=True)
    assert plain.dtype == improved.dtype == np.float32
    assert np.linalg.norm(improved) == pytest.approx(1.0, rel=1e-5)
    np.testing.assert_allclose(
        improved * np.linalg.norm(np.sqrt(np.abs(plain))),
        np.sign(plain) * np.sqrt(np.abs(plain)),
        rtol=1e-5,
    )


def test_a_component_without_weight_says_nothing():
    mixture = GaussianMixture.from_parameters([1.0, 0.0], [0.0, 5.0], [1.0, 1.0], "spherical")
    vector = mixture.fisher_vector([[0.5], [1.0]])
    assert np.all(np.isfinite(vector))
    np.testing.assert_array_equal(vector[[1, 3, 5]], 0)


def test_fisher_vectors_need_variances():
    with pytest.raises(ValueError, match="fit with covariance_type='diag'"):
        mixture_of("full").fisher_vector([[0.0, 0.0]])


class Levelled(GaussianMixture):
    """A mixture with a density of its own."""

    def score_samples(self, X):
        return np.full(len(X), -7.0)


class Sharing(GaussianMixture):
    """A mixture with responsibilities of its own."""

    def _estimate_log_prob(self, X):
        return 0.01 * super()._estimate_log_prob(X)


@pytest.mark.parametrize("n_components", [1, 2])
def test_methods_of_subclasses_count(n_components):
    X, _ = TWO.sample(200, random_state=0)
    mixture = Levelled(n_components, random_state=0).fit(X)
    assert mixture.entropy(1000) == pytest.approx(7.0)
    np.testing.assert_allclose(mixture.outlier_score(X[:3], 0.9), 0, atol=1e-12)
    assert mixture.kl_divergence(TWO, 1000, 0) == pytest.approx(
        max(0.0, -7.0 - TWO.score(mixture.sample(1000, 0)[0]))
    )


def test_fisher_vectors_are_of_the_responsibilities_of_subclasses():
    X = np.random.default_rng(0).normal(size=(50, 2))
    mixture = Sharing(3, covariance_type="diag", random_state=0).fit(X)
    shares = mixture.predict_proba(X)
    expected = (shares.mean(axis=0) - mixture.weights_) / np.sqrt(mixture.weights_)
    np.testing.assert_allclose(mixture.fisher_vector(X)[:3], expected, rtol=1e-10)


def test_a_subclass_says_nothing_of_scikit_learns_mixture():
    X, _ = TWO.sample(200, random_state=0)
    peer = Peer(2, random_state=0).fit(X)
    mixture = Levelled(2, random_state=0).fit(X)
    plain = GaussianMixture.from_sklearn(peer)
    assert mixture.kl_divergence(peer, 500, 0) == mixture.kl_divergence(plain, 500, 0)


# --- what cannot be compared ----------------------------------------------------------------
def test_only_mixtures_of_the_same_features_are_compared():
    with pytest.raises(TypeError, match="got str"):
        TWO.kl_divergence("mixture")
    with pytest.raises(ValueError, match="have 1 and 2 features; compare those of the same ones"):
        TWO.kl_divergence(GaussianMixture.from_parameters([1.0], [[0.0, 0.0]], [np.eye(2)]))
    pandas = pytest.importorskip("pandas")
    X = np.random.default_rng(0).normal(size=(20, 2))
    one, other = (
        GaussianMixture().fit(pandas.DataFrame(X, columns=names))
        for names in (["a", "b"], ["b", "a"])
    )
    with pytest.raises(ValueError, match="are a, b, and those of the other one b, a"):
        one.kl_divergence(other)


@pytest.mark.parametrize(("n", "error"), [(0, ValueError), (-5, ValueError), (2.5, TypeError)])
def test_at_least_one_point_is_drawn(n, error):
    with pytest.raises(error, match="n_samples"):
        TWO.entropy(n)


# --- one feature ----------------------------------------------------------------------------
@each_family
def test_parameters_of_one_feature_may_be_numbers(covariance_type):
    shared = FAMILIES[covariance_type].is_shared
    mixture = GaussianMixture.from_parameters(
        [0.5, 0.5], [0, 3], 4.0 if shared else [1, 2], covariance_type
    )
    assert mixture.means_.shape == (2, 1)
    assert mixture.covariances_.shape == FAMILIES[covariance_type].shape(2, 1)
    assert mixture.predict([[0.0], [3.0]]).tolist() == [0, 1]


@pytest.mark.parametrize("covariance_type", ["full", "diag"])
def test_starting_values_of_one_feature_may_be_numbers(covariance_type):
    X = np.concatenate([np.arange(9.0), 50 + np.arange(9.0)])[:, None]
    given = {"weights_init": [0.5, 0.5], "covariance_type": covariance_type}
    numbers = GaussianMixture(2, means_init=[0, 50], precisions_init=[1, 1], **given).fit(X)
    shape = FAMILIES[covariance_type].shape(2, 1)
    arrays = GaussianMixture(
        2, means_init=[[0], [50]], precisions_init=np.ones(shape), **given
    ).fit(X)
    np.testing.assert_array_equal(numbers.means_, arrays.means_)


def test_numbers_are_means_of_one_feature_alone():
    with pytest.raises(ValueError, match="shape of"):
        GaussianMixture(2, means_init=[0, 1]).fit(np.zeros((5, 2)) + np.arange(5)[:, None])
