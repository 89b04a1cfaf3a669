"""mclust's fourteen families: its likelihoods from its partitions, and what each holds equal."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from commands import succeed
from processes import TESTS
from sklearn.datasets import load_iris

from fastgmm import GaussianMixture, load, save, select_mixture
from fastgmm.model.factors import IllDefinedCovariance
from fastgmm.model.families import FAMILIES

REFERENCE = json.loads((TESTS / "data" / "mclust.json").read_text())
DATA = {
    "iris": load_iris().data,
    **{
        name: np.loadtxt(TESTS / "data" / f"{name}.csv", delimiter=",", skiprows=1)
        for name in ("faithful", "diabetes")
    },
}
MCLUST = ("EII", "VII", "EEI", "VEI", "EVI", "VVI", "EEE", "VEE", "EVE", "VVE", "EEV", "VEV",
          "EVV", "VVV")  # fmt: skip
ADDED = [name for name, family in FAMILIES.items() if family.free]
SAME = {"EII": "tied_spherical", "VII": "spherical", "EEI": "tied_diag", "VVI": "diag",
        "EEE": "tied", "VVV": "full"}  # fmt: skip
each_added = pytest.mark.parametrize("name", ADDED)


# --- beside mclust --------------------------------------------------------------------------
@pytest.mark.parametrize("name", MCLUST)
def test_likelihoods_are_mclusts(name):
    rows = [row for row in REFERENCE["results"] if row[2] == name]
    assert len(rows) == 9
    for dataset, K, _, log_likelihood, n_parameters, bic in rows:
        X, partition = DATA[dataset], REFERENCE["partitions"][f"{dataset} {K}"]
        start = np.array([int(label) for label in partition])
        options = {"reg_covar": 0.0, "tol": 1e-13, "max_iter": 20_000}
        model = GaussianMixture(K, covariance_type=name, init_params=start, **options).fit(X)
        assert model.score(X) * len(X) == pytest.approx(log_likelihood, rel=1e-6)
        assert model._n_parameters() == n_parameters
        assert model.bic(X) == pytest.approx(-bic, rel=1e-6)  # theirs is the other way up


def test_the_reference_has_all_of_them():
    assert Counter(row[2] for row in REFERENCE["results"]) == dict.fromkeys(MCLUST, 9)


@pytest.mark.parametrize(("name", "other"), SAME.items())
def test_names_of_the_same_are_the_same(name, other):
    X = DATA["faithful"]
    one, two = (
        GaussianMixture(3, covariance_type=kind, random_state=0).fit(X) for kind in (name, other)
    )
    np.testing.assert_array_equal(one.covariances_, two.covariances_)
    assert one.bic(X) == two.bic(X)


# --- what is equal --------------------------------------------------------------------------
def some(name, K=4, d=5, seed=0):
    """Covariances of the pass of a family, and counts."""
    rng = np.random.default_rng(seed)
    A = rng.normal(size=(K, d, 2 * d)) * rng.uniform(0.5, 2, size=(K, 1, 1))
    matrices = A @ A.swapaxes(1, 2) / (2 * d)
    counts = rng.uniform(5, 50, size=K)
    if FAMILIES[name].pass_type == "diag":
        return np.einsum("kii->ki", matrices).copy(), counts
    return matrices, counts


def parts(name, covariances):
    """Volumes (K,), shapes (K, d) in order and axes (K, d, d) of covariances."""
    K, d = covariances.shape[:2]
    dense = FAMILIES[name].dense(covariances, K, d)
    eigenvalues, axes = np.linalg.eigh(dense)
    volumes = np.exp(np.log(eigenvalues).mean(axis=1))
    return volumes, eigenvalues / volumes[:, None], axes


@each_added
@pytest.mark.parametrize("seed", range(3))
def test_what_a_name_says_is_equal(name, seed):
    family = FAMILIES[name]
    covariances = family.combined(*some(name, seed=seed))
    assert covariances.shape == family.shape(4, 5)
    volume, shape, orientation = family.free
    volumes, shapes, axes = parts(name, covariances)
    assert (np.ptp(volumes) < 1e-10) == (volume == "E")
    assert (np.ptp(shapes, axis=0).max() < 1e-8) == (shape == "E")
    if orientation == "E":
        common = axes[0].T @ FAMILIES[name].dense(covariances, 4, 5) @ axes[0]
        off = common - np.einsum("kii->ki", common)[:, :, None] * np.eye(5)
        assert np.abs(off).max() < 1e-8 * np.abs(common).max()
    elif orientation == "I":
        assert family.axes == ("K", "d")


def lack_of_fit(name, covariances, observed, counts):
    """-2 log-likelihood but for constants: Σ N (log |Σ| + tr(Σ⁻¹ S))."""
    K, d = observed.shape[:2]
    dense, seen = (FAMILIES[name].dense(array, K, d) for array in (covariances, observed))
    traces = np.trace(np.linalg.solve(dense, seen), axis1=1, axis2=2)
    return counts @ (np.linalg.slogdet(dense)[1] + traces)


@pytest.mark.parametrize("name", [name for name in ADDED if name != "VVE"])
def test_no_member_of_the_family_fits_better(name):
    """Whatever the family makes of other covariances is one of its members."""
    observed, counts = some(name)
    best = lack_of_fit(name, FAMILIES[name].combined(observed, counts), observed, counts)
    for seed in range(20):
        others, _ = some(name, seed=100 + seed)
        for part in (1e-4, 1e-2, 0.3, 1.0):
            member = FAMILIES[name].combined((1 - part) * observed + part * others, counts)
            assert lack_of_fit(name, member, observed, counts) >= best - 1e-9 * abs(best)


def test_common_axes_fit_better_than_mclusts():
    observed, counts = some("VVE")
    fits = {
        name: lack_of_fit(name, FAMILIES[name].combined(observed, counts), observed, counts)
        for name in ("VVE", "common_axes")
    }
    assert fits["common_axes"] < fits["VVE"] - 1e-6


@pytest.mark.parametrize("name", [name for name in ADDED if name != "VVE"])
@pytest.mark.parametrize("dataset", DATA)
def test_likelihoods_never_fall(name, dataset):
    model = GaussianMixture(3, covariance_type=name, random_state=0, tol=1e-10, max_iter=2000)
    model.fit(DATA[dataset])
    assert model.largest_fall_ < 1e-10


@each_added
def test_the_order_of_components_does_not_matter(name):
    observed, counts = some(name)
    order = [2, 0, 3, 1]
    np.testing.assert_allclose(
        FAMILIES[name].combined(observed[order], counts[order]),
        FAMILIES[name].combined(observed, counts)[order],
        rtol=1e-6,
    )


@each_added
def test_units_do_not_matter(name):
    observed, counts = some(name)
    np.testing.assert_allclose(
        FAMILIES[name].combined(observed * 1e12, counts),
        FAMILIES[name].combined(observed, counts) * 1e12,
        rtol=1e-6,
    )


# --- in use ---------------------------------------------------------------------------------
@each_added
def test_mixtures_of_a_family_do_what_mixtures_do(name, tmp_path):
    X = DATA["iris"].astype(np.float32)
    model = GaussianMixture(3, covariance_type=name, random_state=0).fit(X)
    assert model.means_.dtype == np.float32
    save(model, tmp_path / "model.npz")
    np.testing.assert_array_equal(load(tmp_path / "model.npz").predict(X), model.predict(X))
    assert model.sample(10)[0].shape == (10, 4)
    assert model.conditional([0], X[:5, :1]).means.shape == (5, 3, 3)
    assert model.predict_proba(X).sum(axis=1) == pytest.approx(1.0, abs=1e-5)
    with pytest.raises(ValueError, match="scikit-learn has no covariance_type"):
        model.to_sklearn()


@each_added
def test_one_component_is_that_of_the_pass(name):
    X = DATA["iris"]
    plain = {"diag": "diag", "full": "full"}[FAMILIES[name].pass_type]
    one, other = (
        GaussianMixture(covariance_type=kind, reg_covar=0.0).fit(X) for kind in (name, plain)
    )
    np.testing.assert_allclose(one.covariances_, other.covariances_, rtol=1e-9)
    assert one._n_parameters() == other._n_parameters()


@each_added
def test_one_feature_has_nothing_to_share(name):
    with pytest.raises(ValueError, match=r"for two or more features.*'EII'.*'VII'"):
        GaussianMixture(2, covariance_type=name).fit(DATA["iris"][:, :1])


@each_added
def test_singular_covariances_are_refused(name):
    X = np.repeat(DATA["iris"][:2], 20, axis=0)
    with pytest.raises(IllDefinedCovariance):
        GaussianMixture(2, covariance_type=name, random_state=0, reg_covar=0.0).fit(X)


def test_a_selection_among_all_of_them():
    X = DATA["diabetes"]
    selection = select_mixture(X, [3], MCLUST, random_state=0)
    assert np.all(selection.table.failure == "")
    assert selection.best_covariance_type_ in ("VVV", "VVE", "EVV", "EVE")


def test_the_command_knows_them(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("points.npy", DATA["diabetes"])
    assert "VEV" in succeed(capsys, "fit", "points.npy", "-k", "3", "--covariance-type", "VEV")
