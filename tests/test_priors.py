"""Conjugate priors: mclust's values, the formula in plain loops, and what a prior is for."""

from __future__ import annotations

import json

import numpy as np
import pytest
from axes import each_dtype
from processes import TESTS
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning

from fastgmm import (
    GaussianMixture,
    GaussianMixtureClassifier,
    MixtureSelector,
    load,
    reference,
    save,
)
from fastgmm.data.source import ArraySource
from fastgmm.estimator.priors import conjugate_prior
from fastgmm.model.families import FAMILIES, arguments_of_pass
from fastgmm.model.maximization import Moments
from fastgmm.model.priors import MaximumAPosteriori

REFERENCE = json.loads((TESTS / "data" / "mclust_priors.json").read_text())
IRIS = load_iris()
FAITHFUL = np.loadtxt(TESTS / "data" / "faithful.csv", delimiter=",", skiprows=1)
SPREADS = np.diag([1.0, 2.0, 3.0, 4.0])
each_family = pytest.mark.parametrize("name", FAMILIES)
OWN = {"mean": [5.0, 3.0, 4.0, 1.0], "mean_precision": 2.0}
HELD = {"reg_covar": 0.0, "tol": 1e-14, "max_iter": 20_000}


# --- beside mclust --------------------------------------------------------------------------
@pytest.mark.parametrize("row", REFERENCE["results"], ids=lambda row: "_".join(row[:2]))
def test_likelihood_and_means_are_mclusts(row):
    """Of those models in which mclust's covariances are of the highest posterior density."""
    data, name, log_likelihood, first_mean = row
    X, start, prior = IRIS.data, IRIS.target, "conjugate"
    if data == "faithful":
        X, start = FAITHFUL, np.array([int(label) for label in REFERENCE["faithful 3"]])
    elif data == "one":
        X, name = X[:, [2]], {"E": "EII", "V": "VII"}[name]
    elif data == "own":
        prior = OWN | {"covariance": SPREADS if FAMILIES[name].is_matrix else 1.5}
    K = start.max() + 1
    model = GaussianMixture(K, covariance_type=name, prior=prior, init_params=start, **HELD).fit(X)
    assert model.score(X) * len(X) == pytest.approx(log_likelihood, rel=1e-7)
    np.testing.assert_allclose(model.means_[0], first_mean, atol=1e-5)


# --- against the formula --------------------------------------------------------------------
def prior_of(name, K, d):
    """Some prior that is no default, and its covariance as the formula wants it."""
    A = np.random.default_rng(5).normal(size=(d, 2 * d))
    matrix = A @ A.T / d
    family = FAMILIES[name]
    if family.is_matrix:
        own = matrix
    elif family.pass_type == "diag":
        own = np.diagonal(matrix).copy()
    else:
        own = matrix[0, 0]
    given = {"mean": np.arange(d) / 2, "mean_precision": 0.7, "degrees_of_freedom": d + 3.5}
    return given | {"covariance": own}


def posterior_mode(X, shares, name, prior):
    """Weights, means and covariances by loops over components: Fraley and Raftery, table 2."""
    (n, d), K = X.shape, shares.shape[1]
    m, kappa, nu = (prior[key] for key in ("mean", "mean_precision", "degrees_of_freedom"))
    means, scatters, counts = [], [], shares.sum(axis=0)
    for k in range(K):
        average = shares[:, k] @ X / counts[k]
        within = sum(
            r * np.outer(x - average, x - average) for r, x in zip(shares[:, k], X, strict=True)
        )
        pull = kappa * counts[k] / (kappa + counts[k])
        scatters.append(within + pull * np.outer(average - m, average - m))
        means.append((kappa * np.asarray(m) + counts[k] * average) / (kappa + counts[k]))
    S, Lambda = np.array(scatters), prior["covariance"]
    match name:
        case "full":
            return means, [(Lambda + S[k]) / (counts[k] + nu + d + 2) for k in range(K)]
        case "tied":
            return means, (Lambda + S.sum(axis=0)) / (n + K + nu + d + 1)
        case "diag":
            return means, [(Lambda + np.diag(S[k])) / (counts[k] + nu + 3) for k in range(K)]
        case "spherical":
            return means, [
                (Lambda + np.trace(S[k])) / (d * counts[k] + d + nu + 2) for k in range(K)
            ]
        case "tied_diag":
            return means, (Lambda + np.diag(S.sum(axis=0))) / (n + K + nu + 2)
        case "tied_spherical":
            return means, (Lambda + np.trace(S.sum(axis=0))) / ((n + K) * d + nu + 2)


@pytest.mark.parametrize("name", list(FAMILIES)[:6])
@pytest.mark.parametrize("weighted", [False, True])
def test_each_step_is_the_posterior_mode(name, weighted):
    rng = np.random.default_rng(0)
    X, K = rng.normal(size=(60, 3)) + 4 * rng.integers(2, size=(60, 1)), 3
    weight = rng.uniform(0.5, 2, size=60) if weighted else np.ones(60)
    weight *= 60 / weight.sum()
    prior = prior_of(name, K, 3)
    options = {"covariance_type": name, "prior": prior, "fit_history": True, "reg_covar": 0.0}
    labels = rng.integers(K, size=60)
    model = GaussianMixture(K, init_params=labels, max_iter=4, tol=0, **options)
    with pytest.warns(ConvergenceWarning, match="did not converge"):
        model.fit(X, sample_weight=weight)
    shares = (labels[:, None] == np.arange(K)) * weight[:, None]
    for parameters in model.fit_history_:
        means, covariances = posterior_mode(X, shares, name, prior)
        np.testing.assert_allclose(parameters.means, means, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(parameters.covariances, covariances, rtol=1e-10, atol=1e-12)
        arguments = arguments_of_pass(parameters)[:4]
        shares = reference.responsibilities(X, *arguments) * weight[:, None]


@each_family
def test_no_other_parameters_have_a_higher_posterior_density(name):
    """Whatever the family makes of other covariances; VVE is mclust's, and not of the highest."""
    rng = np.random.default_rng(1)
    X, K, d = rng.normal(size=(80, 3)), 3, 3
    source = ArraySource(X)
    prior = conjugate_prior(prior_of(name, K, d), source, name, K)
    maximization = MaximumAPosteriori(name, prior=prior)
    shares = rng.dirichlet(np.ones(K), size=80)
    family = FAMILIES[name]
    counts, means, covariances = reference.weighted_covariances(X, shares, family.pass_type)
    moments = Moments(counts, counts / counts.sum(), means, covariances)

    def density(p):
        terms = reference.log_gaussian_density(X, *arguments_of_pass(p)[1:4])
        return float(np.sum(shares * terms)) + maximization.log_prior(p)

    best = maximization.regularize(maximization.of_moments(moments))
    highest = density(best)
    for seed in range(10):
        rng = np.random.default_rng(seed)
        for size in (1e-3, 0.1):
            moved = moments._replace(
                means=means + size * rng.normal(size=means.shape),
                covariances=covariances * np.exp(size * rng.normal()),
                counts=counts * np.exp(size * rng.normal(size=K)),
            )
            other = maximization.regularize(maximization.of_moments(moved))
            assert density(other) <= highest + (0.01 if name == "VVE" else 1e-9)


@each_family
def test_the_posterior_density_never_falls(name):
    options = {"covariance_type": name, "prior": "conjugate", "random_state": 0}
    model = GaussianMixture(4, tol=1e-9, max_iter=1000, reg_covar=0, **options).fit(IRIS.data)
    assert model.largest_fall_ <= (1e-4 if name == "VVE" else 1e-12)
    assert len(model.lower_bounds_) > 5
    assert model.lower_bound_ != pytest.approx(model.score(IRIS.data), abs=1e-3)


def test_weights_are_multiplicities():
    X = IRIS.data
    weight = np.random.default_rng(0).integers(1, 4, size=len(X))
    options = {"prior": OWN, "tol": 1e-10, "max_iter": 500}
    one = GaussianMixture(3, init_params=IRIS.target, **options).fit(X, sample_weight=weight)
    repeated = np.repeat(IRIS.target, weight)
    other = GaussianMixture(3, init_params=repeated, **options).fit(np.repeat(X, weight, axis=0))
    np.testing.assert_allclose(one.covariances_, other.covariances_, rtol=1e-8)
    assert one.lower_bound_ == pytest.approx(other.lower_bound_, abs=1e-10)


def test_a_given_mean_of_the_start_is_kept():
    means = IRIS.data[[0, 60, 120]]
    model = GaussianMixture(3, prior="conjugate", means_init=means, max_iter=0, random_state=0)
    np.testing.assert_array_equal(model.fit(IRIS.data).means_, means)


# --- what it is for -------------------------------------------------------------------------
@each_dtype
@pytest.mark.parametrize("init_params", ["kmeans", "k-means++", "random_from_data"])
@pytest.mark.parametrize("reg_covar", [0.0, 1e-6])
def test_equal_and_few_samples_do_not_collapse(init_params, reg_covar, dtype):
    """Many tight clusters, some of which are one point many times, as of embedded texts."""
    rng = np.random.default_rng(0)
    centres = 5 * rng.normal(size=(30, 6))
    X = centres[rng.integers(30, size=1500)]
    X += rng.choice([0.0, 1e-4, 0.1], size=(1500, 1)) * rng.normal(size=(1500, 6))
    X[:100] = X[0]
    options = {"init_params": init_params, "reg_covar": reg_covar, "random_state": 0}
    model = GaussianMixture(30, prior="conjugate", max_iter=500, **options).fit(X.astype(dtype))
    assert model.converged_
    assert np.all(model.weights_[model.degenerate_components_] * len(X) < 1)  # empty, at worst


@each_dtype
@pytest.mark.parametrize("name", ["full", "tied", "diag", "spherical", "EEV", "VVE"])
def test_fewer_samples_than_features(name, dtype):
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(20, 50)) + 3 * rng.integers(2, size=(20, 1))).astype(dtype)
    model = GaussianMixture(2, covariance_type=name, prior="conjugate", reg_covar=0, random_state=0)
    assert model.fit(X).converged_
    assert np.isfinite(model.score(X))


def test_petals_of_equal_width_do_not_decide_how_many_species_there_are():
    """Without a prior, a component on them has a density without bound, and BIC likes it."""
    petals = IRIS.data[:, 2:]
    options = {"n_init": 5, "random_state": 0}
    plain = [GaussianMixture(K, **options).fit(petals).bic(petals) for K in (3, 6)]
    held = [
        GaussianMixture(K, prior="conjugate", **options).fit(petals).bic(petals) for K in (3, 6)
    ]
    assert plain[1] < plain[0] - 100
    assert held[0] < held[1]
    assert held[0] == pytest.approx(plain[0], abs=10)


def test_many_rows_start_from_a_settled_sample():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(25_000, 2)) + 6 * rng.integers(3, size=(25_000, 1))
    model = GaussianMixture(3, prior="conjugate", random_state=0).fit(X)
    plain = GaussianMixture(3, random_state=0).fit(X)
    assert model.score(X) == pytest.approx(plain.score(X), abs=1e-3)


@pytest.mark.parametrize("singular", ["collinear", "constant", "repeated", "far"])
@each_dtype
def test_the_default_is_definite_where_the_data_are_not(singular, dtype):
    X = np.random.default_rng(0).normal(size=(40, 3))
    if singular == "repeated":
        X = np.repeat(X[:3], 4, axis=0)
    else:
        added = X[:, 0] + X[:, 1] if singular != "constant" else np.ones(len(X))
        X = np.column_stack([X, added]) * (1e4 if singular == "far" else 1)
    model = GaussianMixture(2, prior="conjugate", reg_covar=0, random_state=0, max_iter=500)
    assert model.fit(X.astype(dtype)).converged_


@each_dtype
def test_weights_that_sum_to_one_are_proportions(dtype):
    """No correction for a mean that was estimated of one sample."""
    X = IRIS.data.astype(dtype)
    weight = np.random.default_rng(22).random(150).astype(dtype)
    options = {"prior": "conjugate", "random_state": 0, "tol": 1e-5}
    for total in (1, 1 + 1e-6, 1.5):
        scaled = weight / weight.sum() * total
        model = GaussianMixture(2, **options).fit(X, sample_weight=scaled)
        assert model.covariances_.max() < 2 * X.var(axis=0).max()


def test_a_class_of_one_sample_counts_once():
    prior = {"mean": [0.0], "mean_precision": 1.0}
    classifier = GaussianMixtureClassifier(prior=prior).fit([[6.0], [1.0], [2.0]], [0, 1, 1])
    assert classifier.mixtures_[0].means_[0, 0] == pytest.approx(3.0)


def test_a_prior_of_pandas_is_saved(tmp_path):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(IRIS.data, columns=list("abcd"))
    prior = {"mean": frame.mean(), "covariance": frame.cov()}
    model = GaussianMixture(2, prior=prior, random_state=0).fit(frame)
    save(model, tmp_path / "model.npz")
    copy = load(tmp_path / "model.npz")
    np.testing.assert_allclose(copy.fit(frame).means_, model.means_, rtol=1e-12)


@pytest.mark.parametrize("wrong", [{"prior": {"dof": 5}}, {"prior": "conjugate", "shrinkage": 0.1}])
def test_a_selection_refuses_before_any_work(wrong, monkeypatch):
    monkeypatch.setattr("fastgmm.selection.cells.labels_of_kmeans", None)
    with pytest.raises(ValueError, match=r"^(prior has|Give prior)"):
        MixtureSelector(**wrong).fit(IRIS.data)


def test_saved_and_loaded(tmp_path):
    prior = {"covariance": SPREADS, "mean": np.arange(4.0)}
    model = GaussianMixture(3, prior=prior, random_state=0).fit(IRIS.data)
    save(model, tmp_path / "model.npz")
    copy = load(tmp_path / "model.npz")
    np.testing.assert_array_equal(copy.fit(IRIS.data).covariances_, model.covariances_)


# --- bad input ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("prior", "message"),
    [
        ({"scale": 1.0}, r"prior has 'scale'; give any of 'mean', .*'conjugate'"),
        ({"mean": [1.0, 2.0]}, r"'mean of the prior' should have the .* \(4,\).*prior\['mean'\]"),
        ({"mean": [1.0, np.nan, 0, 0]}, "contains NaN"),
        ({"mean_precision": -1}, r"prior\['mean_precision'\] should be 0, .* more, but is -1"),
        ({"mean_precision": "much"}, r"prior\['mean_precision'\] should be a finite number"),
        ({"mean_precision": np.inf}, r"prior\['mean_precision'\] should be a finite number"),
        ({"degrees_of_freedom": 3}, r"prior\['degrees_of_freedom'\] should be greater than 3"),
        ({"degrees_of_freedom": True}, "should be a finite number, but is True"),
        ({"covariance": np.eye(3)}, r"shape of \(4, 4\).*prior\['covariance'\]"),
        ({"covariance": -np.eye(4)}, r"'covariance of the prior' should be .*positive-definite"),
    ],
)
def test_priors_that_are_none(prior, message):
    model = GaussianMixture(2, prior=prior)
    with pytest.raises(ValueError, match=message):
        model.fit(IRIS.data)
    assert not hasattr(model, "means_")


@pytest.mark.parametrize("prior", ["weak", 3, [1.0]])
def test_priors_of_another_type(prior):
    with pytest.raises(ValueError, match="The 'prior' parameter of GaussianMixture must be"):
        GaussianMixture(2, prior=prior).fit(IRIS.data)


@pytest.mark.parametrize(("name", "same"), [("diag", np.full(4, 0.5)), ("full", np.eye(4) / 2)])
def test_a_covariance_may_be_one_number(name, same):
    options = {"covariance_type": name, "random_state": 0}
    one, each = (
        GaussianMixture(2, prior={"covariance": value, "mean": None}, **options).fit(IRIS.data)
        for value in (0.5, same)
    )
    np.testing.assert_array_equal(one.covariances_, each.covariances_)
    with pytest.raises(ValueError, match="'covariance of the prior' should be"):
        GaussianMixture(2, prior={"covariance": 0.0}, **options).fit(IRIS.data)


def test_prior_and_shrinkage_together():
    with pytest.raises(ValueError, match="Give prior or shrinkage, not both"):
        GaussianMixture(2, prior="conjugate", shrinkage=0.1).fit(IRIS.data)
