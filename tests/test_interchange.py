"""From and to scikit-learn's mixture, and mixtures of given parameters."""

from __future__ import annotations

import re
import warnings
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from axes import each_covariance_type, each_dtype
from numpy.testing import assert_allclose, assert_array_equal
from problems import ARRAYS, assert_close, assert_same_fit, load
from scipy.stats import multivariate_normal, norm
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.mixture import BayesianGaussianMixture
from sklearn.mixture import GaussianMixture as Peer

import fastgmm
from fastgmm import GaussianMixture

X, K = load("iris")
FITTED = [*ARRAYS, "converged_", "n_iter_", "lower_bound_", "lower_bounds_", "n_features_in_"]


def from_and_to(estimator):
    """A conversion of an estimator of this class."""
    return GaussianMixture.from_sklearn if estimator is Peer else GaussianMixture.to_sklearn


each_way = pytest.mark.parametrize("estimator", [Peer, GaussianMixture], ids=["from", "to"])


def fit(estimator, data, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.set_params(**options).fit(data)


def shared_arguments(model):
    arguments = model.get_params()
    return {name: arguments[name] for name in Peer().get_params()}


def assert_same_attributes(actual, expected):
    """To the last bit, of the same types."""
    for name in FITTED:
        one, other = getattr(actual, name), getattr(expected, name)
        assert type(one) is type(other), name
        assert getattr(one, "dtype", None) == getattr(other, "dtype", None), name
        assert_array_equal(one, other)


# --- from and to scikit-learn ----------------------------------------------------------------
@pytest.mark.filterwarnings("ignore:covariance is not symmetric")  # nor is scikit-learn's float32
@each_way
@each_covariance_type
@each_dtype
def test_a_fitted_mixture_is_the_same_on_the_other_side(estimator, covariance_type, dtype):
    data = X.astype(dtype)
    source = estimator(K, covariance_type=covariance_type, random_state=5, tol=1e-2).fit(data)
    copy = from_and_to(estimator)(source)
    assert type(copy) is (GaussianMixture if estimator is Peer else Peer)
    assert shared_arguments(copy) == shared_arguments(source)
    assert_same_attributes(copy, source)
    assert copy.means_.dtype == dtype
    rtol = 1e-10 if dtype == np.float64 else 1e-3
    assert_array_equal(copy.predict(data), source.predict(data))
    assert_allclose(copy.predict_proba(data), source.predict_proba(data), atol=rtol)
    assert_close(copy.score_samples(data), source.score_samples(data), rtol)
    assert copy.score(data) == pytest.approx(source.score(data), rel=rtol)
    (drawn, components), (expected, others) = copy.sample(50), source.sample(50)
    assert_array_equal(components, others)
    assert_allclose(drawn, expected, atol=0 if dtype == np.float64 else 1e-3)


@each_way
def test_what_is_not_fitted_stays_so(estimator):
    options = {"covariance_type": "tied", "tol": 0.5, "means_init": X[:K], "max_iter": 7}
    source = estimator(K, **options)
    copy = from_and_to(estimator)(source)
    assert_array_equal(copy.means_init, X[:K])
    copy.means_init = source.means_init  # two arrays of one name have no truth value
    assert shared_arguments(copy) == shared_arguments(source)
    with pytest.raises(NotFittedError):
        copy.predict(X)
    rest = set(copy.get_params()) - set(source.get_params())
    assert {name: copy.get_params()[name] for name in rest} == {
        name: GaussianMixture().get_params()[name] for name in rest
    }


@each_way
def test_the_two_share_no_memory(estimator):
    source = fit(estimator(K, means_init=X[:K].copy(), random_state=0, max_iter=2), X)
    copy = from_and_to(estimator)(source)
    for name in [*ARRAYS, "means_init"]:
        array, before = getattr(source, name), getattr(copy, name).copy()
        array += 1
        assert_array_equal(getattr(copy, name), before)
    source.lower_bounds_.append(0.0)
    assert len(copy.lower_bounds_) == copy.n_iter_ == 2


@each_covariance_type
def test_there_and_back_is_the_same_mixture(covariance_type):
    source = GaussianMixture(K, covariance_type=covariance_type, random_state=0).fit(X)
    back = GaussianMixture.from_sklearn(source.to_sklearn())
    assert back.get_params() == source.get_params()
    assert_same_attributes(back, source)
    assert back.log_likelihood_ == source.log_likelihood_
    assert_array_equal(back.predict_proba(X), source.predict_proba(X))


@each_way
def test_feature_names_go_with_it(estimator):
    frame = pd.DataFrame(X, columns=["a", "b", "c", "d"])
    copy = from_and_to(estimator)(estimator(K, random_state=0).fit(frame))
    assert copy.feature_names_in_.tolist() == ["a", "b", "c", "d"]
    with pytest.raises(ValueError, match="feature names"):
        copy.predict(frame[["b", "a", "c", "d"]])


@each_way
@each_covariance_type
def test_either_goes_on_where_the_other_was(estimator, covariance_type):
    options = {"covariance_type": covariance_type, "warm_start": True, "random_state": 0}
    source = fit(estimator(K, tol=1e-6, **options), X, max_iter=2)
    copy = from_and_to(estimator)(source)
    for model in (source, copy):
        fit(model, X, max_iter=200)
    assert source.n_iter_ > 2
    ours, theirs = (copy, source) if estimator is Peer else (source, copy)
    assert_same_fit(ours, theirs)


@pytest.mark.parametrize(
    "init_params",
    [lambda rows, K, random_state: np.full((len(rows), K), 1 / K), X[:, 0] > 6, "random_means"],
    ids=["function", "array", "random_means"],
)
def test_starts_that_scikit_learn_does_not_know_become_its_default(init_params):
    assert GaussianMixture(2, init_params=init_params).to_sklearn().init_params == "kmeans"


@pytest.mark.parametrize("init_params", ["kmeans", "k-means++", "random", "random_from_data"])
def test_starts_that_scikit_learn_knows_are_kept(init_params):
    there = GaussianMixture(2, init_params=init_params).to_sklearn()
    assert there.init_params == init_params
    assert GaussianMixture.from_sklearn(there).init_params == init_params


@each_way
def test_a_generator_is_copied_as_it_is(estimator):
    source = estimator(K, random_state=np.random.RandomState(3)).fit(X)
    copy = from_and_to(estimator)(source)
    assert copy.random_state is not source.random_state
    (drawn, _), (expected, _) = copy.sample(20), source.sample(20)
    assert_array_equal(drawn, expected)


def test_what_comes_from_scikit_learn_is_saved(tmp_path):
    model = GaussianMixture.from_sklearn(Peer(K, random_state=0).fit(X))
    fastgmm.save(model, tmp_path / "model.npz")
    model.lower_bound_ = float(model.lower_bound_)  # numpy's in scikit-learn
    assert_same_attributes(fastgmm.load(tmp_path / "model.npz"), model)


@pytest.mark.parametrize("wrong", [BayesianGaussianMixture(), KMeans(), GaussianMixture(), None])
def test_from_sklearn_takes_its_mixture_alone(wrong):
    name = type(wrong).__name__
    with pytest.raises(
        TypeError, match=rf"not .*\.{name}; GaussianMixture.from_parameters\(\) makes"
    ):
        GaussianMixture.from_sklearn(wrong)


# --- mixtures of given parameters ------------------------------------------------------------
WEIGHTS = np.array([0.5, 0.2, 0.3])
MEANS = np.array([[0.0, 1.0], [4.0, -2.0], [-3.0, 5.0]])
MATRICES = np.array([[[1.0, 0.3], [0.3, 0.5]], [[2.0, -0.7], [-0.7, 1.0]], [[0.4, 0], [0, 3.0]]])
COVARIANCES = {
    "full": MATRICES,
    "tied": MATRICES[0],
    "diag": np.array([[1.0, 0.5], [2.0, 1.0], [0.4, 3.0]]),
    "spherical": np.array([1.0, 0.5, 2.0]),
}


def given(covariance_type="full", **changes):
    arguments = {
        "weights": WEIGHTS,
        "means": MEANS,
        "covariances": COVARIANCES[covariance_type],
        "covariance_type": covariance_type,
    }
    return GaussianMixture.from_parameters(**(arguments | changes))


def dense(covariance_type):
    """Every component's covariance as a matrix."""
    covariances = COVARIANCES[covariance_type]
    return {
        "full": lambda: covariances,
        "tied": lambda: np.stack([covariances] * 3),
        "diag": lambda: np.stack([np.diag(variances) for variances in covariances]),
        "spherical": lambda: covariances[:, None, None] * np.eye(2),
    }[covariance_type]()


def joint_densities(points, covariance_type):
    """Scipy's, (n, K): those of the components times their weights."""
    components = zip(WEIGHTS, MEANS, dense(covariance_type), strict=True)
    return np.column_stack([w * multivariate_normal(m, c).pdf(points) for w, m, c in components])


@each_covariance_type
def test_the_density_is_scipys(covariance_type):
    points = np.random.default_rng(0).normal(scale=4, size=(300, 2))
    model, joint = given(covariance_type), joint_densities(points, covariance_type)
    assert_close(np.exp(model.score_samples(points)), joint.sum(axis=1), 1e-12)
    assert model.score(points) == pytest.approx(np.log(joint.sum(axis=1)).mean(), rel=1e-12)
    posterior = joint / joint.sum(axis=1, keepdims=True)
    assert_close(model.predict_proba(points), posterior, 1e-12)
    assert_array_equal(model.predict(points), joint.argmax(axis=1))


@each_covariance_type
def test_the_attributes_are_those_that_were_given(covariance_type):
    model = given(covariance_type)
    assert (model.n_components, model.covariance_type) == (3, covariance_type)
    assert_array_equal(model.weights_, WEIGHTS)
    assert_array_equal(model.means_, MEANS)
    assert_array_equal(model.covariances_, COVARIANCES[covariance_type])
    assert (model.n_features_in_, model.n_iter_, model.converged_) == (2, 0, False)
    assert (model.lower_bound_, model.lower_bounds_) == (-np.inf, [])
    assert np.isnan(model.log_likelihood_)
    assert model.bic(MEANS) == pytest.approx(model.to_sklearn().bic(MEANS), rel=1e-12)
    if covariance_type in ("full", "tied"):
        assert_close(model.precisions_, np.linalg.inv(COVARIANCES[covariance_type]), 1e-12)
    else:
        assert_close(model.precisions_, 1 / COVARIANCES[covariance_type], 1e-12)


@each_covariance_type
def test_the_moments_of_samples_are_those_that_were_given(covariance_type):
    points, components = given(covariance_type).set_params(random_state=0).sample(100_000)
    assert_allclose(np.bincount(components) / 1e5, WEIGHTS, atol=0.01)
    for k in range(3):
        assert_allclose(points[components == k].mean(axis=0), MEANS[k], atol=0.05)
        assert_allclose(np.cov(points[components == k].T), dense(covariance_type)[k], atol=0.08)


def test_samples_of_float32_where_the_last_weight_is_none():
    weights = np.random.default_rng(0).dirichlet(np.ones(5), size=50)
    weights[:, -1] = 0
    weights /= weights.sum(axis=1, keepdims=True)
    means = np.zeros((5, 1), np.float32)
    for row in weights:
        model = GaussianMixture.from_parameters(row, means, np.ones(5), "spherical")
        assert model.sample(50)[1].max() < 4


def test_samples_where_a_covariance_is_symmetric_to_six_digits():
    covariance = [[[1, 0.5], [0.500001, 1]]]
    model = GaussianMixture.from_parameters([1], [[0, 0]], covariance).set_params(random_state=0)
    assert_allclose(np.cov(model.sample(10_000)[0].T), covariance[0], atol=0.05)


@each_covariance_type
def test_it_is_saved_and_loaded(covariance_type, tmp_path):
    model = given(covariance_type)
    fastgmm.save(model, tmp_path / "model.npz")
    copy = fastgmm.load(tmp_path / "model.npz")
    assert_same_attributes(copy, model)
    assert np.isnan(copy.log_likelihood_)
    assert_array_equal(copy.predict_proba(MEANS), model.predict_proba(MEANS))


@each_covariance_type
def test_a_warm_start_goes_on_from_it(covariance_type):
    points = given(covariance_type).set_params(random_state=0).sample(500)[0]
    resumed = given(covariance_type).set_params(warm_start=True).fit(points)
    precisions = given(covariance_type).precisions_
    start = {"weights_init": WEIGHTS, "means_init": MEANS, "precisions_init": precisions}
    expected = GaussianMixture(3, covariance_type=covariance_type, **start).fit(points)
    assert resumed.n_iter_ > 1
    assert_same_fit(resumed, expected)
    assert resumed.lower_bounds_[0] == pytest.approx(given(covariance_type).score(points))
    assert all(later > earlier for earlier, later in pairwise(resumed.lower_bounds_))


@each_covariance_type
def test_it_becomes_scikit_learns(covariance_type):
    theirs = given(covariance_type).set_params(random_state=4).to_sklearn()
    assert_close(theirs.score_samples(MEANS), given(covariance_type).score_samples(MEANS), 1e-12)
    ours = given(covariance_type).set_params(random_state=4)
    assert_array_equal(theirs.sample(20)[0], ours.sample(20)[0])


@each_covariance_type
def test_means_of_float32_make_a_mixture_of_float32(covariance_type):
    single = given(covariance_type, means=MEANS.astype(np.float32))
    for name in ARRAYS:
        assert getattr(single, name).dtype == np.float32
    double = given(covariance_type)
    assert_close(single.precisions_cholesky_, double.precisions_cholesky_, 1e-6)
    assert_close(single.score_samples(MEANS), double.score_samples(MEANS), 1e-5)


@each_covariance_type
def test_lists_are_arrays(covariance_type):
    covariances = COVARIANCES[covariance_type].tolist()
    listed = given(
        covariance_type, weights=WEIGHTS.tolist(), means=MEANS.tolist(), covariances=covariances
    )
    assert_same_attributes(listed, given(covariance_type))
    integers = given("spherical", means=[[0, 1], [2, 3], [4, 5]], covariances=[1, 2, 3])
    assert integers.means_.dtype == integers.covariances_.dtype == np.float64


@each_covariance_type
@each_dtype
def test_the_arrays_are_copies(covariance_type, dtype):
    arguments = {"weights": WEIGHTS, "means": MEANS, "covariances": COVARIANCES[covariance_type]}
    arguments = {name: array.astype(dtype) for name, array in arguments.items()}
    arguments["weights"] = np.array([0.5, 0.25, 0.25], dtype)
    model = given(covariance_type, **arguments)
    for name, array in arguments.items():
        before = array.copy()
        array += 1
        assert_array_equal(getattr(model, f"{name}_"), before)


WRONG = {
    "weights that do not sum to 1": ({"weights": [0.5, 0.2, 0.2]}, "Divide weights by its sum"),
    "a negative weight": ({"weights": [1.5, -0.5, 0]}, "Pass proportions as weights"),
    "too few weights": ({"weights": [0.5, 0.5]}, r"Pass weights of that shape"),
    "means of one component": ({"means": MEANS[:1]}, r"Pass weights of that shape"),
    "means of more features": ({"means": np.ones((3, 4))}, "Pass covariances of that shape"),
    "means of one feature": ({"means": [0.0, 1, 2]}, "Pass covariances of that shape"),
    "no components": ({"weights": [], "means": np.ones((0, 2))}, "minimum of 1"),
    "variances": ({"covariances": np.ones((3, 2))}, "Pass covariances of that shape"),
    "indefinite": ({"covariances": MATRICES - 1}, "Pass covariance matrices as covariances"),
    "asymmetric": ({"covariances": np.triu(MATRICES)}, "Pass covariance matrices as covariances"),
    "NaN in weights": ({"weights": [0.5, np.nan, 0.5]}, "weights contains NaN"),
    "NaN in means": ({"means": np.full((3, 2), np.nan)}, "means contains NaN"),
    "infinite covariances": ({"covariances": MATRICES + np.inf}, "contains infinity"),
}


@pytest.mark.parametrize(("changes", "said"), WRONG.values(), ids=WRONG.keys())
def test_what_makes_no_mixture_is_refused(changes, said):
    with pytest.raises(ValueError, match=said):
        given(**changes)


def test_an_unknown_type_is_refused_with_the_known():
    with pytest.raises(
        ValueError,
        match=r"one of full, tied, diag, spherical, tied_diag, tied_spherical, .* is 'round'",
    ):
        GaussianMixture.from_parameters(WEIGHTS, MEANS, MATRICES, "round")


@pytest.mark.parametrize("covariance_type", ["diag", "spherical"])
def test_variances_are_positive(covariance_type):
    variances = COVARIANCES[covariance_type].copy()
    variances[-1] = 0
    with pytest.raises(ValueError, match=re.escape("Pass variances as covariances.")):
        given(covariance_type, covariances=variances)


# --- a mixture as an article states it -------------------------------------------------------
# Species with these shares, the last of which is half N(7, 0.3²), half N(8, 0.3²).
SPECIES = [0.10, 0.30, 0.15, 0.15, 0.05, 0.25]
SPECIES_MEANS = [1.0, 2.0, 3.2, 4.5, 5.7, 7.0, 8.0]
SPECIES_DEVIATIONS = [0.2, 0.25, 0.3, 0.3, 0.25, 0.3, 0.3]


@pytest.fixture
def species():
    weights = [*SPECIES[:-1], SPECIES[-1] / 2, SPECIES[-1] / 2]
    means, variances = np.c_[SPECIES_MEANS], np.square(SPECIES_DEVIATIONS)
    return GaussianMixture.from_parameters(weights, means, variances, "spherical")


def test_species_are_drawn_by_their_shares(species):
    n = 10_000
    weights, components = species.set_params(random_state=0).sample(n)
    assert weights.shape == (n, 1)
    shares = np.bincount(np.minimum(components, 5)) / n
    deviations = np.sqrt(np.multiply(SPECIES, np.subtract(1, SPECIES)) / n)
    assert np.all(np.abs(shares - SPECIES) < 4 * deviations)
    for k, (mean, deviation) in enumerate(zip(SPECIES_MEANS, SPECIES_DEVIATIONS, strict=True)):
        of_component = weights[components == k]
        assert abs(of_component.mean() - mean) < 4 * deviation / np.sqrt(len(of_component))


def test_the_species_of_a_weight_by_bayes_rule(species):
    weights = np.array([2.6, 5.1, 6.4, 7.5])
    first_five = [
        p * norm(m, s).pdf(weights)
        for p, m, s in zip(SPECIES[:5], SPECIES_MEANS[:5], SPECIES_DEVIATIONS[:5], strict=True)
    ]
    last = 0.25 * (norm(7, 0.3).pdf(weights) + norm(8, 0.3).pdf(weights)) / 2
    joint = np.column_stack([*first_five, last])
    posterior = species.predict_proba(weights[:, None])
    by_species = np.column_stack([posterior[:, :5], posterior[:, 5:].sum(axis=1)])
    assert_close(by_species, joint / joint.sum(axis=1, keepdims=True), 1e-12)
    assert posterior[-1, 5] == pytest.approx(posterior[-1, 6])  # halfway between its two
