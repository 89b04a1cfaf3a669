"""Shrunk covariances: scikit-learn's for one component, and what they are for."""

from __future__ import annotations

import numpy as np
import pytest
from axes import each_dtype
from sklearn.covariance import oas, shrunk_covariance
from sklearn.datasets import load_iris, load_wine
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold

from fastgmm import GaussianMixture, load, reference, save, select_mixture
from fastgmm.model.families import FAMILIES, arguments_of_pass

X = load_iris().data
MATRICES = [name for name, family in FAMILIES.items() if family.is_matrix]
DIAGONAL = [name for name, family in FAMILIES.items() if not family.is_matrix]


@pytest.mark.parametrize("n", [3, 10, 150])
@pytest.mark.parametrize("name", ["full", "tied"])
def test_one_component_is_scikit_learns_oas(name, n):
    model = GaussianMixture(1, covariance_type=name, shrinkage="oas", reg_covar=0).fit(X[:n])
    (covariance,) = model.covariances_ if name == "full" else [model.covariances_]
    np.testing.assert_allclose(covariance, oas(X[:n])[0], rtol=1e-10, atol=1e-15)


@pytest.mark.parametrize("intensity", [0.0, 0.3, 1.0])
def test_one_component_is_scikit_learns_shrunk_covariance(intensity):
    model = GaussianMixture(1, shrinkage=intensity, reg_covar=0).fit(X)
    expected = shrunk_covariance(np.cov(X.T, bias=True), intensity)
    np.testing.assert_allclose(model.covariances_[0], expected, rtol=1e-10)


def test_each_component_by_its_own_count():
    """Every step is that of plain loops over components."""
    rng = np.random.default_rng(0)
    labels, K = rng.integers(3, size=len(X)), 3
    options = {"shrinkage": "oas", "reg_covar": 0.0, "fit_history": True, "tol": 0}
    model = GaussianMixture(K, init_params=labels, max_iter=4, **options)
    with pytest.warns(ConvergenceWarning, match="did not converge"):
        model.fit(X)
    shares = (labels[:, None] == np.arange(K)).astype(float)
    for parameters in model.fit_history_:
        counts, _, covariances = reference.weighted_covariances(X, shares, "full")
        for k in range(K):
            S, N, d = covariances[k], counts[k], X.shape[1]
            mean_square, square = np.mean(S**2), (np.trace(S) / d) ** 2
            rho = min(1.0, (mean_square + square) / ((N + 1) * (mean_square - square / d)))
            expected = (1 - rho) * S + rho * np.trace(S) / d * np.eye(d)
            np.testing.assert_allclose(parameters.covariances[k], expected, rtol=1e-10, atol=1e-13)
        shares = reference.responsibilities(X, *arguments_of_pass(parameters)[:4])


@pytest.mark.parametrize("name", MATRICES)
@pytest.mark.parametrize("shrinkage", ["oas", 0.2])
def test_every_family_of_matrices(name, shrinkage):
    options = {"covariance_type": name, "shrinkage": shrinkage, "random_state": 0}
    model = GaussianMixture(3, max_iter=500, **options).fit(X)
    assert model.converged_
    plain = GaussianMixture(3, covariance_type=name, max_iter=500, random_state=0).fit(X)
    assert model.score(X) < plain.score(X)


@each_dtype
def test_fewer_samples_than_features(dtype):
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(20, 60)) + 3 * rng.integers(2, size=(20, 1))).astype(dtype)
    model = GaussianMixture(2, shrinkage="oas", reg_covar=0, random_state=0).fit(rows)
    assert model.converged_
    assert np.linalg.cond(model.covariances_).max() < 1e3


def test_wines_that_were_not_seen_are_more_likely():
    """178 wines of 13 features: full covariances of three components overfit, diagonal ones too."""
    wines = load_wine().data
    wines = (wines - wines.mean(axis=0)) / wines.std(axis=0)
    scores = {}
    for name, options in {
        "plain": {}, "diagonal": {"covariance_type": "diag"}, "shrunk": {"shrinkage": "oas"},
    }.items():  # fmt: skip
        densities = []
        for seen, unseen in KFold(5, shuffle=True, random_state=0).split(wines):
            model = GaussianMixture(3, random_state=0, **options).fit(wines[seen])
            densities.append(model.score(wines[unseen]))
        scores[name] = np.mean(densities)
    assert scores["shrunk"] > max(scores["plain"], scores["diagonal"]) + 0.5


def test_saved_and_loaded(tmp_path):
    model = GaussianMixture(3, shrinkage="oas", random_state=0).fit(X)
    save(model, tmp_path / "model.npz")
    assert load(tmp_path / "model.npz").shrinkage == "oas"


@pytest.mark.parametrize("name", DIAGONAL)
def test_nothing_to_shrink(name):
    model = GaussianMixture(2, covariance_type=name, shrinkage=0.1)
    with pytest.raises(ValueError, match=r"have none; use 'full' or 'tied', or\s+prior"):
        model.fit(X)
    assert not hasattr(model, "means_")


def test_a_selection_names_the_types_that_have_nothing_to_shrink():
    with pytest.raises(ValueError, match="those of 'diag', 'spherical' have none"):
        select_mixture(X, [1, 2], shrinkage="oas")


@pytest.mark.parametrize("shrinkage", [-0.1, 1.5, "ledoit_wolf", [0.1]])
def test_intensities_that_are_none(shrinkage):
    with pytest.raises(ValueError, match="The 'shrinkage' parameter of GaussianMixture must be"):
        GaussianMixture(2, shrinkage=shrinkage).fit(X)
