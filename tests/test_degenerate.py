"""Components that have collapsed or lost their points: which they are, and what is done."""

from __future__ import annotations

import numba
import numpy as np
import pytest
from axes import each_covariance_type, each_dtype_by_name, each_type_of_its_own
from numpy.testing import assert_allclose, assert_array_equal
from problems import ARRAYS, load

from fastgmm import GaussianMixture
from fastgmm.data.moments import DataMoments, moments_of
from fastgmm.em.degeneracy import FLOOR, MOST_RESETS, degenerate_components
from fastgmm.kernels import small_problems
from fastgmm.model.families import FAMILIES
from fastgmm.model.maximization import Estimate
from fastgmm.persistence import load as load_mixture
from fastgmm.persistence import save as save_mixture

ACTIONS = ["raise", "reset", "drop", "floor"]
REPAIRS = ACTIONS[1:]
EPS = {"float64": 2.0**-52, "float32": 2.0**-23}
each_repair = pytest.mark.parametrize("action", REPAIRS)
# Few iterations, and k-means on duplicates, may warn; here it is about errors and NaN.
unsettled = pytest.mark.filterwarnings(
    "ignore:Best performing initialization", "ignore:Number of distinct clusters"
)


# --- which components have degenerated --------------------------------------------------------
def estimate_of(matrices: list, covariance_type: str, weights=None, means=None) -> Estimate:
    """An estimate whose components have these covariances; the first is that of 'tied'."""
    full = np.array(matrices, dtype=np.float64)
    K, d = full.shape[:2]
    diagonals = np.einsum("kii->ki", full)
    covariances = {
        "full": full,
        "tied": full[0],
        "diag": diagonals,
        "spherical": diagonals.mean(axis=1),
    }[covariance_type]
    weights = np.full(K, 1 / K) if weights is None else np.array(weights)
    return Estimate(weights, np.zeros((K, d)) if means is None else means, covariances)


def spread(covariance: np.ndarray, dtype: str = "float64") -> DataMoments:
    return DataMoments(np.zeros(len(covariance)), np.asarray(covariance, np.float64), EPS[dtype])


def degenerate(
    estimate: Estimate, covariance_type: str, of: DataMoments, n_samples: int = 300
) -> list:
    return degenerate_components(estimate, FAMILIES[covariance_type], of, n_samples).tolist()


I3 = np.eye(3)


@each_covariance_type
@pytest.mark.parametrize("dtype", EPS)
def test_healthy_components_are_left_alone(covariance_type, dtype):
    Q = np.linalg.qr(np.random.default_rng(0).standard_normal((3, 3)))[0]
    narrow = (Q * [1, 1e-2, 1e-4 if dtype == "float32" else 1e-10]) @ Q.T
    for healthy in (I3, 1e-6 * I3, 1e-4 * narrow, 100 * I3):  # variances; tight clusters are fine
        estimate = estimate_of([healthy, I3], covariance_type)
        assert degenerate(estimate, covariance_type, spread(I3, dtype)) == [False, False]


@each_covariance_type
def test_clusters_a_million_widths_apart_are_healthy(covariance_type):
    estimate = estimate_of([1e-12 * I3, 4e-12 * I3], covariance_type)
    assert degenerate(estimate, covariance_type, spread(I3)) == [False, False]


@each_covariance_type
def test_empty_components(covariance_type):
    estimate = estimate_of([I3, I3], covariance_type, weights=[1 - 3e-5, 3e-5])
    assert degenerate(estimate, covariance_type, spread(I3), 300) == [False, True]
    assert degenerate(estimate, covariance_type, spread(I3), 3_000) == [False, False]


@each_type_of_its_own
@pytest.mark.parametrize("dtype", EPS)
def test_components_on_a_point(covariance_type, dtype):
    rounding = EPS[dtype] ** 2 * I3
    for point in (0 * I3, rounding, -rounding, np.full((3, 3), np.nan)):
        estimate = estimate_of([I3, point], covariance_type)
        assert degenerate(estimate, covariance_type, spread(I3, dtype)) == [False, True]


def test_a_tied_covariance_on_a_point_is_that_of_all():
    estimate = estimate_of([0 * I3, I3], "tied")
    assert degenerate(estimate, "tied", spread(I3)) == [True, True]


@pytest.mark.parametrize("dtype", EPS)
def test_components_on_a_line_or_plane(dtype):
    rng = np.random.default_rng(0)
    for rank in (1, 2):
        axes = rng.standard_normal((rank, 3))
        flat = axes.T @ axes + EPS[dtype] * np.diag([1, -1, 1])
        estimate = estimate_of([I3, flat], "full")
        assert degenerate(estimate, "full", spread(I3, dtype)) == [False, True]
    diagonal = estimate_of([I3, np.diag([1, 1, 0])], "diag")
    assert degenerate(diagonal, "diag", spread(I3, dtype)) == [False, True]


@each_covariance_type
def test_constant_features_do_not_count(covariance_type):
    present = np.diag([1.0, 0, 1])
    estimate = estimate_of([present, present / 4], covariance_type)
    assert degenerate(estimate, covariance_type, spread(present)) == [False, False]


@each_covariance_type
def test_collinear_features_do_not_count(covariance_type):
    W = np.array([[1.0, 0, 1], [0, 1, 1]])
    collinear = W.T @ W
    estimate = estimate_of([collinear, collinear / 4], covariance_type)
    assert degenerate(estimate, covariance_type, spread(collinear)) == [False, False]
    line = estimate_of([collinear, np.outer(W[0], W[0])], "full")
    assert degenerate(line, "full", spread(collinear)) == [False, True]


@each_covariance_type
def test_one_sample_repeated_has_no_healthy_directions_to_compare(covariance_type):
    estimate = estimate_of([0 * I3, 0 * I3], covariance_type)
    assert degenerate(estimate, covariance_type, spread(0 * I3)) == [False, False]


@each_type_of_its_own
def test_an_offset_hides_nothing(covariance_type):
    """Whether clusters are tight is told from real data a hundred million away from 0."""
    rng = np.random.default_rng(0)
    X = 1e8 + np.concatenate([rng.normal(0, 1, (100, 2)), rng.normal(9, 1e-3, (100, 2))])
    rows = X[:100], X[100:], X[:1].repeat(9, axis=0)
    estimate = estimate_of([np.cov(part.T, bias=True) for part in rows], covariance_type)
    estimate = estimate._replace(means=np.stack([part.mean(axis=0) for part in rows]))
    assert degenerate(estimate, covariance_type, moments_of(X)) == [False, False, True]


@each_covariance_type
def test_units_do_not_matter(covariance_type):
    scale = np.full(3, 2.0**30) if covariance_type == "spherical" else 2.0 ** np.array([40, -40, 5])
    units = np.outer(scale, scale)
    of = spread(I3 + 0.5)
    for matrix in (I3, 1e-10 * I3, 1e-40 * I3, 0 * I3, np.ones((3, 3))):
        matrices = [matrix, I3]
        here = degenerate(estimate_of(matrices, covariance_type), covariance_type, of)
        scaled = estimate_of([m * units for m in matrices], covariance_type)
        assert degenerate(scaled, covariance_type, spread(of.covariance * units)) == here


# --- what is done: nothing breaks -------------------------------------------------------------
def clusters(n: int = 200, d: int = 2, seed: int = 0) -> np.ndarray:
    """Two clusters of n points, ten widths apart."""
    rng = np.random.default_rng(seed)
    return np.concatenate([rng.normal(0, 1, (n, d)), rng.normal(10, 1, (n, d))])


def with_duplicates() -> np.ndarray:
    """Two clusters and a third place that 15 points share."""
    return np.concatenate([clusters(), np.tile([[30.0, -10.0]], (15, 1))])


X = with_duplicates()
DIFFICULT = {
    "duplicates": (X, 4),
    "constant": (np.column_stack([X, np.ones(len(X))]), 4),
    "collinear": (np.column_stack([X, X.sum(axis=1)]), 4),
    "as many components as samples": (np.random.default_rng(0).standard_normal((6, 2)), 6),
    "one row": (np.ones((50, 3)), 4),
    "mixed scales": (X * [1e-9, 1e9], 4),
}


@pytest.mark.parametrize("reg_covar", [0, 1e-6])
@pytest.mark.parametrize("action", ACTIONS)
@each_covariance_type
@pytest.mark.parametrize("data", DIFFICULT)
@unsettled
def test_difficult_data(data, covariance_type, action, reg_covar):
    """Finite parameters, or the one error; on most of the data the repairs find parameters."""
    rows, K = DIFFICULT[data]
    options = {"covariance_type": covariance_type, "random_state": 0, "max_iter": 100}
    mixture = GaussianMixture(K, reg_covar=reg_covar, on_degenerate=action, **options)
    try:
        mixture.fit(rows)
    except ValueError as error:
        if "ill-defined empirical covariance" not in str(error):
            raise
        # Where all the components are single samples, none is left to keep.
        all_single = data == "as many components as samples" and action in ("reset", "drop")
        assert reg_covar == 0 or all_single
        return
    assert all(np.all(np.isfinite(getattr(mixture, name))) for name in ARRAYS)
    assert np.all(np.isfinite(mixture.lower_bounds_))
    assert np.isfinite(mixture.log_likelihood_)
    assert_allclose(mixture.predict_proba(rows).sum(axis=1), 1, rtol=1e-12)
    n_dropped = sum(len(r.components) for r in mixture.repairs_ if r.action == "drop")
    assert len(mixture.means_) == K - n_dropped
    if action == "raise":
        assert mixture.repairs_ == []


@each_repair
@each_type_of_its_own
@unsettled
def test_duplicates_are_repaired_without_regularization(action, covariance_type):
    options = {"covariance_type": covariance_type, "reg_covar": 0, "random_state": 0}
    with pytest.raises(ValueError, match="ill-defined"):
        GaussianMixture(4, **options).fit(X)
    mixture = GaussianMixture(4, on_degenerate=action, max_iter=300, **options).fit(X)
    assert mixture.repairs_
    assert mixture.log_likelihood_ > GaussianMixture(1, **options).fit(X).log_likelihood_


@each_covariance_type
@pytest.mark.parametrize("data", ["iris", "random 0"])
def test_raise_is_the_default_to_the_last_bit(data, covariance_type):
    rows, K = load(data)
    options = {"covariance_type": covariance_type, "random_state": 0}
    default = GaussianMixture(K, **options).fit(rows)
    for action in ACTIONS:  # as nothing degenerates here, the others are too
        mixture = GaussianMixture(K, on_degenerate=action, **options).fit(rows)
        assert mixture.lower_bounds_ == default.lower_bounds_
        assert mixture.repairs_ == []
        for name in ARRAYS:
            assert_array_equal(getattr(mixture, name), getattr(default, name))


# --- a start in which one component has collapsed ---------------------------------------------
def collapsed_start(rows: np.ndarray, K: int = 3) -> np.ndarray:
    """Labels that leave the last component a single row, of the first cluster."""
    labels = np.arange(len(rows)) * (K - 1) // len(rows)
    labels[0] = K - 1
    return labels


def fit_from_collapsed(rows: np.ndarray, action: str, *, weight=None, **options) -> GaussianMixture:
    options = {"reg_covar": 0, "tol": 1e-6, "max_iter": 500, **options}
    mixture = GaussianMixture(3, init_params=collapsed_start(rows), on_degenerate=action, **options)
    return mixture.fit(rows, sample_weight=weight)


@each_type_of_its_own
def test_drop_leaves_fewer_components_that_work(covariance_type, tmp_path):
    rows = clusters()
    mixture = fit_from_collapsed(rows, "drop", covariance_type=covariance_type, random_state=0)
    assert [tuple(repair) for repair in mixture.repairs_] == [(0, (2,), "drop")]
    assert mixture.converged_
    assert len(mixture.weights_) == len(mixture.means_) == len(mixture.covariances_) == 2
    assert_allclose(mixture.weights_.sum(), 1, rtol=1e-12)
    two = GaussianMixture(2, covariance_type=covariance_type, random_state=0).fit(rows)
    order = np.argsort(mixture.means_[:, 0]), np.argsort(two.means_[:, 0])
    assert_allclose(mixture.means_[order[0]], two.means_[order[1]], atol=1e-3)
    assert set(mixture.predict(rows)) == {0, 1}
    assert mixture.predict_proba(rows).shape == (len(rows), 2)
    assert_allclose(mixture.score(rows), mixture.log_likelihood_, rtol=1e-12)
    assert_allclose(
        [mixture.aic(rows), mixture.bic(rows)], [two.aic(rows), two.bic(rows)], rtol=1e-4
    )
    assert mixture.sample(50)[0].shape == (50, 2)
    save_mixture(mixture, tmp_path / "mixture.npz")
    again = load_mixture(tmp_path / "mixture.npz")
    assert_array_equal(again.predict_proba(rows), mixture.predict_proba(rows))


def three_clusters() -> np.ndarray:
    """Two clusters of two hundred points, and thirty points far away from both."""
    rng = np.random.default_rng(1)
    return np.concatenate([clusters(), rng.normal([40, -40], 0.5, (30, 2))])


@each_type_of_its_own
def test_reset_goes_where_the_others_explain_least(covariance_type):
    rows = three_clusters()
    options = {"covariance_type": covariance_type}
    start = fit_from_collapsed(rows, "reset", max_iter=0, **options)
    assert [tuple(repair) for repair in start.repairs_] == [(0, (2,), "reset")]
    others = fit_from_collapsed(rows, "drop", max_iter=0, **options)
    worst = rows[np.argmin(others.score_samples(rows))]
    assert_array_equal(start.means_[2], worst)
    assert start.weights_[2] == pytest.approx(1 / 3)
    assert_allclose(start.means_[:2], others.means_, rtol=1e-12)
    matrix = np.cov(rows.T, bias=True)
    expected = {"full": matrix, "diag": np.diag(matrix), "spherical": np.diag(matrix).mean()}
    assert_allclose(start.covariances_[2], expected[covariance_type], rtol=1e-12)


@each_type_of_its_own
def test_reset_finds_the_cluster_that_drop_misses(covariance_type):
    rows = three_clusters()
    reset, drop = (
        fit_from_collapsed(rows, action, covariance_type=covariance_type)
        for action in ("reset", "drop")
    )
    assert len(reset.means_) == 3
    assert len(drop.means_) == 2
    assert reset.log_likelihood_ >= drop.log_likelihood_
    assert_allclose(np.sort(reset.weights_), [30 / 430, 200 / 430, 200 / 430], rtol=1e-2)


@each_type_of_its_own
@unsettled
def test_what_collapses_time_and_again_is_dropped(covariance_type, monkeypatch):
    """All the points of a cluster are at one place: a component on it can only collapse."""
    # By the drivers: rounding decides whether a component leaves such a place in time.
    monkeypatch.setattr(small_problems, "MOST_POINTS", 0)
    rows = np.concatenate([np.tile(p, (20, 1)) for p in np.eye(4) + np.arange(4)[:, None]])
    rows = np.concatenate([rows, clusters(20, 4)])
    options = {"covariance_type": covariance_type, "reg_covar": 0, "random_state": 0}
    mixture = GaussianMixture(6, on_degenerate="reset", max_iter=500, **options).fit(rows)
    resets = [len(r.components) for r in mixture.repairs_ if r.action == "reset"]
    assert sum(resets) <= MOST_RESETS * 6
    assert any(repair.action == "drop" for repair in mixture.repairs_)
    assert len(mixture.means_) < 6
    assert all(np.all(np.isfinite(getattr(mixture, name))) for name in ARRAYS)


@each_type_of_its_own
def test_floor_converges_with_variances_of_a_part_of_the_datas(covariance_type):
    mixture = GaussianMixture(
        3,
        covariance_type=covariance_type,
        reg_covar=0,
        random_state=0,
        on_degenerate="floor",
        max_iter=500,
        tol=1e-6,
    ).fit(X)
    assert mixture.converged_
    assert {repair.action for repair in mixture.repairs_} == {"floor"}
    full = mixture.covariances_
    variances = np.einsum("kii->ki", full) if covariance_type == "full" else full
    data = X.var(axis=0)
    least = FLOOR * (data.mean() if covariance_type == "spherical" else data)
    assert np.all(variances >= least * (1 - 1e-9))
    assert_allclose(variances.min(axis=0), least, rtol=1e-6)  # that of the fifteen at one place


# --- weights, units, the rest of the house ----------------------------------------------------
@each_type_of_its_own
def test_rows_without_weight_are_not_there(covariance_type):
    """Those of no weight lie farthest away, and a component is never reset to them."""
    rows = three_clusters()
    absent = np.full((20, 2), 1e3) + np.arange(20)[:, None]
    weight = np.concatenate([np.zeros(20), np.ones(len(rows))])
    labels = np.concatenate([np.zeros(20, int), collapsed_start(rows)])
    for action in REPAIRS:
        options = {"covariance_type": covariance_type, "reg_covar": 0, "on_degenerate": action}
        options |= {"max_iter": 0}
        present = GaussianMixture(3, init_params=labels[20:], **options).fit(rows)
        mixture = GaussianMixture(3, init_params=labels, **options)
        mixture.fit(np.concatenate([absent, rows]), sample_weight=weight)
        assert mixture.repairs_ == present.repairs_
        assert_allclose(mixture.means_, present.means_, rtol=1e-12)
        assert_allclose(mixture.covariances_, present.covariances_, rtol=1e-9)


@each_repair
@each_type_of_its_own
@unsettled
def test_repairs_do_not_see_units(action, covariance_type):
    rows = three_clusters()
    scale = np.full(2, 2.0**20) if covariance_type == "spherical" else 2.0 ** np.array([40, -30])
    here, there = (
        fit_from_collapsed(data, action, covariance_type=covariance_type)
        for data in (rows, rows * scale)
    )
    assert there.repairs_ == here.repairs_
    assert here.repairs_
    assert_array_equal(there.predict(rows * scale), here.predict(rows))
    assert_allclose(there.means_ / scale, here.means_, rtol=1e-6)
    shift = -np.log(scale).sum()
    assert there.log_likelihood_ == pytest.approx(here.log_likelihood_ + shift, abs=1e-9)


@each_repair
@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="there is one thread")
def test_repairs_do_not_depend_on_threads(action):
    rows = np.tile(three_clusters(), (40, 1)) + np.random.default_rng(0).normal(size=(17_200, 2))
    one, two = (fit_from_collapsed(rows, action, n_jobs=n, max_iter=20, tol=0.1) for n in (1, 2))
    assert one.repairs_ == two.repairs_
    assert one.repairs_
    for name in ARRAYS:
        assert_array_equal(getattr(one, name), getattr(two, name))


@each_repair
def test_iterations_are_printed_as_ever(action, capsys):
    mixture = fit_from_collapsed(three_clusters(), action, verbose=1, verbose_interval=1)
    printed = capsys.readouterr().out
    assert printed.count("Iteration") == mixture.n_iter_
    assert len(mixture.lower_bounds_) == mixture.n_iter_


# --- a floor that knows the scales of the features --------------------------------------------
@each_covariance_type
def test_a_relative_floor_is_an_absolute_one_for_standardized_data(covariance_type):
    rows, K = load("iris")
    rows = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    options = {"covariance_type": covariance_type, "random_state": 0, "tol": 1e-5}
    relative = GaussianMixture(K, reg_covar=0, reg_covar_relative=1e-3, **options).fit(rows)
    absolute = GaussianMixture(K, reg_covar=1e-3, **options).fit(rows)
    assert relative.n_iter_ == absolute.n_iter_
    assert_allclose(relative.covariances_, absolute.covariances_, rtol=1e-9, atol=1e-12)
    assert_array_equal(relative.predict(rows), absolute.predict(rows))


@each_covariance_type
@unsettled  # what is added to covariances may make the likelihood fall
def test_a_relative_floor_has_the_units_of_the_features(covariance_type):
    rows, K = load("iris")
    scale = (
        np.full(4, 2.0**9) if covariance_type == "spherical" else 2.0 ** np.array([20, -9, 3, 0])
    )
    labels = np.arange(150) // 50
    options = {"covariance_type": covariance_type, "reg_covar": 0, "init_params": labels}
    here, there = (
        GaussianMixture(K, reg_covar_relative=1e-2, **options).fit(data)
        for data in (rows, rows * scale)
    )
    assert there.n_iter_ == here.n_iter_
    assert_array_equal(there.predict(rows * scale), here.predict(rows))
    shift = -np.log(scale).sum()
    assert there.log_likelihood_ == pytest.approx(here.log_likelihood_ + shift, abs=1e-11)
    without = GaussianMixture(K, **options).fit(rows)
    assert np.all(np.isfinite(here.means_))
    assert not np.array_equal(here.covariances_, without.covariances_)


@each_covariance_type
def test_a_relative_floor_of_zero_is_none(covariance_type):
    rows, K = load("iris")
    options = {"covariance_type": covariance_type, "random_state": 0}
    one = GaussianMixture(K, **options).fit(rows)
    two = GaussianMixture(K, reg_covar_relative=0, **options).fit(rows)
    for name in ARRAYS:
        assert_array_equal(getattr(one, name), getattr(two, name))


# --- what a fit says of its components ------------------------------------------------------
@each_covariance_type
@each_dtype_by_name
def test_healthy_fits_have_no_degenerate_components(covariance_type, dtype):
    for data in ("iris", "wine", "random 0"):
        X, K = load(data)
        options = {"covariance_type": covariance_type, "random_state": 0}
        found = GaussianMixture(K, **options).fit(X.astype(dtype)).degenerate_components_
        assert isinstance(found, np.ndarray)
        assert found.dtype.kind == "i"
        assert found.tolist() == []


@each_type_of_its_own
@each_dtype_by_name
@pytest.mark.parametrize("reg_covar", [1e-6, 1e-3, 0.5])
def test_a_fit_names_the_component_that_has_collapsed(covariance_type, dtype, reg_covar):
    """Whatever reg_covar adds to it."""
    X = np.concatenate([np.zeros((40, 2)), np.random.default_rng(0).normal(size=(60, 2)) + 9])
    options = {"covariance_type": covariance_type, "reg_covar": reg_covar, "random_state": 0}
    fitted = GaussianMixture(2, **options).fit(X.astype(dtype))
    assert fitted.degenerate_components_.tolist() == fitted.predict([[0.0, 0.0]]).tolist()


def test_collapsed_components_of_iris():
    """Of thirty components some have a few flowers, which lie in a plane."""
    X, _ = load("iris")
    fitted = GaussianMixture(30, random_state=0).fit(X)
    found = fitted.degenerate_components_
    smallest = np.linalg.eigvalsh(fitted.covariances_)[:, 0]
    assert 0 < len(found) < 30
    assert np.all(smallest[found] < 2 * fitted.reg_covar)
    healthy = np.delete(smallest, found)
    assert np.all(healthy > 1.5 * fitted.reg_covar)


@each_covariance_type
def test_constant_and_collinear_features_make_no_component_degenerate_in_a_fit(covariance_type):
    X, K = load("iris")
    wide = np.column_stack([X, np.full(len(X), 7.0), X[:, 0] + X[:, 1]])
    fitted = GaussianMixture(K, covariance_type=covariance_type, random_state=0).fit(wide)
    assert fitted.degenerate_components_.tolist() == []


def test_the_names_of_degenerate_components_are_of_the_last_fit(tmp_path):
    collapsed = np.concatenate([np.zeros((40, 2)), np.eye(2)[np.arange(60) % 2] + 9])
    model = GaussianMixture(2, random_state=0).fit(collapsed)
    assert len(model.degenerate_components_) > 0
    save_mixture(model, tmp_path / "model.fgmm")
    again = load_mixture(tmp_path / "model.fgmm")
    assert again.degenerate_components_.tolist() == model.degenerate_components_.tolist()
    X, _ = load("iris")
    assert model.fit(X).degenerate_components_.tolist() == []


@each_covariance_type
def test_repaired_components_are_no_longer_degenerate(covariance_type):
    X = with_duplicates()
    options = {"covariance_type": covariance_type, "on_degenerate": "drop", "reg_covar": 0}
    fitted = GaussianMixture(3, random_state=0, max_iter=200, **options).fit(X)
    assert fitted.degenerate_components_.tolist() == []
