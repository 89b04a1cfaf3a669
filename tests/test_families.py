"""Covariance families that the host adds to the kernels' four: tied diagonal, tied spherical."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from problems import load
from scipy.stats import multivariate_normal
from sklearn.base import clone

from fastgmm import GaussianMixture, cli, maximization, precisions_cholesky, reference
from fastgmm import load as load_mixture
from fastgmm import save as save_mixture
from fastgmm.model.families import FAMILIES
from fastgmm.reference.moments import shared_variances

ADDED = ["tied_diag", "tied_spherical"]
PLAIN = {"tied_diag": "diag", "tied_spherical": "spherical"}
each_added = pytest.mark.parametrize("covariance_type", ADDED)


def fitted(covariance_type, data="iris", **options):
    X, K = load(data)
    options = {"random_state": 0, "max_iter": 500, "tol": 1e-8, **options}
    return X, GaussianMixture(K, covariance_type=covariance_type, **options).fit(X)


def spread_out(model):
    """The same mixture, of the type in which each component has a copy."""
    kind = PLAIN[model.covariance_type]
    shape = FAMILIES[kind].shape(*model.means_.shape)
    covariances = np.broadcast_to(model.covariances_, shape)
    return GaussianMixture.from_parameters(model.weights_, model.means_, covariances, kind)


@each_added
@pytest.mark.parametrize("data", ["iris", "wine", "random 1"])
def test_each_iteration_is_that_of_the_textbook(covariance_type, data):
    X, K = load(data)
    options = {"covariance_type": covariance_type, "reg_covar": 1e-3, "init_params": "random"}
    model = GaussianMixture(K, max_iter=4, tol=0, random_state=0, fit_history=True, **options)
    with pytest.warns(UserWarning, match="did not converge"):
        model.fit(X)
    for before, after in zip(model.fit_history_, model.fit_history_[1:], strict=False):
        densities = [
            multivariate_normal(mean, np.eye(X.shape[1]) * before.covariances).pdf(X)
            for mean in before.means
        ]
        joint = before.weights * np.transpose(densities)
        r = joint / joint.sum(axis=1, keepdims=True)
        assert_allclose(after.weights, r.mean(axis=0), rtol=1e-9)
        assert_allclose(after.means, r.T @ X / r.sum(axis=0)[:, None], rtol=1e-9)
        variances = shared_variances(X, r, covariance_type)
        assert_allclose(after.covariances, variances + 1e-3, rtol=1e-9)


@each_added
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_predictions_are_those_of_copies_of_the_covariance(covariance_type, dtype):
    X, model = fitted(covariance_type)
    X = X.astype(dtype)
    copies = spread_out(model)
    for method in ("predict", "predict_proba", "score_samples"):
        assert_allclose(getattr(model, method)(X), getattr(copies, method)(X), rtol=1e-6)
    assert model.score(X) == pytest.approx(copies.score(X), rel=1e-6)
    for ours, theirs in zip(
        model.sample(20), copies.set_params(random_state=0).sample(20), strict=True
    ):
        assert_array_equal(ours, theirs)


@each_added
def test_the_likelihood_never_falls(covariance_type):
    _, model = fitted(covariance_type, reg_covar=0.0)
    assert model.converged_
    assert model.largest_fall_ < 1e-12
    assert model.score(load("iris")[0]) >= model.lower_bounds_[0]


def test_a_family_within_another_fits_no_better():
    bounds = {kind: fitted(kind)[1].lower_bound_ for kind in ("tied", *ADDED)}
    assert bounds["tied"] > bounds["tied_diag"] > bounds["tied_spherical"]


@pytest.mark.parametrize(
    ("covariance_type", "expected"),
    [("tied_diag", 2 + 3 * 4 + 4), ("tied_spherical", 2 + 3 * 4 + 1)],
)
def test_parameters_are_counted(covariance_type, expected):
    X, model = fitted(covariance_type)
    assert FAMILIES[covariance_type].n_parameters(3, 4) == expected
    deviance = -2 * model.score(X) * len(X)
    assert model.aic(X) == pytest.approx(deviance + 2 * expected)
    assert model.bic(X) == pytest.approx(deviance + np.log(len(X)) * expected)


@each_added
def test_shapes(covariance_type):
    _, model = fitted(covariance_type)
    shape = {"tied_diag": (4,), "tied_spherical": ()}[covariance_type]
    for name in ("covariances_", "precisions_", "precisions_cholesky_"):
        assert np.shape(getattr(model, name)) == shape
    assert_allclose(model.precisions_ * model.covariances_, 1.0)


@each_added
def test_everything_that_a_mixture_can_do(covariance_type, tmp_path):
    X, model = fitted(covariance_type)
    path = tmp_path / "model.npz"
    save_mixture(model, path)
    for other in (load_mixture(path), copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert_array_equal(other.predict_proba(X), model.predict_proba(X))
    again = clone(model).set_params(max_iter=300).fit(X)
    assert_array_equal(again.means_, model.means_)
    given = GaussianMixture(
        3,
        covariance_type=covariance_type,
        weights_init=model.weights_,
        means_init=model.means_,
        precisions_init=model.precisions_,
    ).fit(X)
    assert given.score(X) == pytest.approx(model.score(X), abs=1e-6)
    made = GaussianMixture.from_parameters(
        model.weights_, model.means_, model.covariances_, covariance_type
    )
    assert_allclose(made.score_samples(X), model.score_samples(X))


@each_added
@pytest.mark.parametrize("init_params", ["kmeans", "k-means++", "random_from_data", "random_means"])
@pytest.mark.parametrize("weighted", [False, True])
def test_every_start(covariance_type, init_params, weighted):
    X, K = load("wine")
    weight = np.random.default_rng(0).uniform(size=len(X)) if weighted else None
    options = {"init_params": init_params, "random_state": 3, "max_iter": 300}
    model = GaussianMixture(K, covariance_type=covariance_type, **options)
    model.fit(X, sample_weight=weight)
    assert np.all(np.isfinite(model.means_))
    assert np.all(model.covariances_ > 0)


@each_added
@pytest.mark.parametrize("action", ["reset", "drop", "floor"])
def test_empty_components_are_repaired(covariance_type, action):
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(60, 2)), rng.normal(8, 1, (60, 2))])
    labels = np.repeat([0, 1], 60)  # nothing is left for the third
    options = {"init_params": labels, "on_degenerate": action, "reg_covar": 0.0, "max_iter": 300}
    model = GaussianMixture(3, covariance_type=covariance_type, **options).fit(X)
    assert model.repairs_[0].action == action
    assert len(model.means_) == (2 if action == "drop" else 3)


@each_added
def test_they_are_refused_where_scikit_learn_has_none(covariance_type):
    _, model = fitted(covariance_type)
    with pytest.raises(ValueError, match=f"{covariance_type}.*from_parameters"):
        model.to_sklearn()


@each_added
def test_public_functions_take_them(covariance_type):
    X, model = fitted(covariance_type, reg_covar=0.0)
    factors = precisions_cholesky(model.covariances_, covariance_type)
    assert_allclose(factors, model.precisions_cholesky_)
    copies = spread_out(model)
    kind = PLAIN[covariance_type]
    arguments = copies.weights_, copies.means_, copies.precisions_cholesky_, kind
    p = maximization(reference.expectation(X, *arguments), covariance_type)
    assert_allclose(p.covariances, model.covariances_, rtol=1e-4)


@each_added
def test_the_command_line_fits_them(covariance_type, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    X, _ = load("iris")
    np.save("iris.npy", X)
    options = ["-k", "3", "--covariance-type", covariance_type, "--out", "model.npz"]
    assert cli.main(["fit", "iris.npy", *options]) == 0
    assert covariance_type in capsys.readouterr().out
    assert load_mixture("model.npz").covariance_type == covariance_type
