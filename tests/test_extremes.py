"""Fits of data at the ends of what numbers can hold: offsets, scales, outliers, float32."""

from __future__ import annotations

import numpy as np
import pytest
from axes import each_covariance_type
from numpy.testing import assert_allclose, assert_array_equal
from problems import ARRAYS, assert_close, fixed_start, load

from fastgmm import GaussianMixture
from fastgmm._records import INIT_METHODS
from fastgmm.model.factors import IllDefinedCovariance

# The problems are small; the drivers are to solve them, too.
pytestmark = pytest.mark.usefixtures("both_ways")

each_data_set = pytest.mark.parametrize("data", ["iris", "wine", "random 0", "random 1"])
# tol=0 for numbers of iterations that do not depend on the last digits
unsettled = pytest.mark.filterwarnings("ignore:Best performing initialization")
TWENTY = {"tol": 0, "max_iter": 20}


def scaled_start(X: np.ndarray, K: int, covariance_type: str, scale: np.ndarray | float) -> dict:
    """A fixed start for X, and the same for X · scale."""
    start = fixed_start(X, K, covariance_type)
    precisions = start["precisions_init"]
    match covariance_type:
        case "full" | "tied":
            precisions = precisions / np.outer(scale * np.ones(X.shape[1]), scale)
        case "diag":
            precisions = precisions / np.square(scale)
        case "spherical":
            precisions = precisions / scale**2
    return {**start, "means_init": start["means_init"] * scale, "precisions_init": precisions}


# --- offsets ----------------------------------------------------------------------------------
@each_covariance_type
@each_data_set
@pytest.mark.parametrize(("offset", "bar"), [(1e4, 1e-10), (1e8, 1e-7), (1e12, 1e-3)])
@unsettled
def test_offsets(data, covariance_type, offset, bar):
    """All that an offset costs is what rounding the data costs, which the other fit does not see.

    The offset is taken away exactly, so that both fits have the same points.
    """
    X, K = load(data)
    moved = X + offset
    back = moved - offset
    options = {"covariance_type": covariance_type, "random_state": 0, **TWENTY}
    there, here = (GaussianMixture(K, **options).fit(rows) for rows in (moved, back))
    assert_array_equal(there.predict(moved), here.predict(back))
    assert_allclose(
        there.covariances_, here.covariances_, rtol=0, atol=bar * np.abs(here.covariances_).max()
    )


# --- scales -----------------------------------------------------------------------------------
@each_covariance_type
@each_data_set
@pytest.mark.parametrize("scale", [1e-150, 1e150])
def test_scales(data, covariance_type, scale):
    X, K = load(data)
    options = {"covariance_type": covariance_type, "reg_covar": 0, "random_state": 0}
    here, there = (GaussianMixture(K, **options).fit(rows) for rows in (X, X * scale))
    shift = -X.shape[1] * np.log(scale)
    assert_allclose(there.lower_bound_, here.lower_bound_ + shift, rtol=0, atol=1e-9)
    assert_array_equal(there.predict(X * scale), here.predict(X))
    assert_allclose(there.means_ / scale, here.means_, rtol=1e-9)


@each_covariance_type
@pytest.mark.parametrize("scale", [2.0**-490, 2.0**-3, 2.0**490])
@unsettled
def test_scales_that_round_nothing(covariance_type, scale):
    X, K = load("iris")
    options = {"covariance_type": covariance_type, "reg_covar": 0, **TWENTY}
    here, there = (
        GaussianMixture(K, **options, **scaled_start(X, K, covariance_type, s)).fit(X * s)
        for s in (1.0, scale)
    )
    assert_array_equal(there.predict(X * scale), here.predict(X))
    # Logarithms of the scale are rounded all the same.
    assert_allclose(there.means_ / scale, here.means_, rtol=1e-11)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag"])
@pytest.mark.parametrize("data", ["iris", "random 0", "random 1", "random 2"])
@unsettled
def test_scales_that_differ_between_features(data, covariance_type):
    X, K = load(data)
    scale = 10.0 ** np.resize([12, -12, 0, 6, -3], X.shape[1])
    options = {"covariance_type": covariance_type, "reg_covar": 0, **TWENTY}
    here, there = (
        GaussianMixture(K, **options, **scaled_start(X, K, covariance_type, s)).fit(X * s)
        for s in (np.ones(X.shape[1]), scale)
    )
    assert_array_equal(there.predict(X * scale), here.predict(X))
    assert_allclose(there.means_ / scale, here.means_, rtol=1e-9)


@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag"])
def test_a_start_of_features_that_differ_in_scale(covariance_type):
    """Precisions are positive definite in any units, those of correlated features too."""
    X, K = load("wine")
    scale = 10.0 ** np.resize([12, -12, 0, 6, -3], X.shape[1])
    start = scaled_start(X, K, covariance_type, scale)
    fitted = GaussianMixture(K, covariance_type=covariance_type, max_iter=0, **start).fit(X * scale)
    assert_allclose(fitted.precisions_, start["precisions_init"], rtol=1e-9)


@each_covariance_type
@pytest.mark.parametrize("d", [1, 3])
def test_clusters_a_million_widths_apart(covariance_type, d):
    rng = np.random.default_rng(0)
    labels = np.arange(300) % 3
    widths = 1e-6 * np.array([1.0, 2.0, 0.5])
    factors = rng.standard_normal((3, d, d)) * widths[:, None, None]
    centres = np.array([7.0, 4.0, 12.0])[:, None] * np.ones(d)
    offsets = np.einsum("nij,nj->ni", factors[labels], rng.standard_normal((300, d)))
    X = centres[labels] + offsets
    options = {"covariance_type": covariance_type, "reg_covar": 0, "init_params": labels}
    fitted = GaussianMixture(3, **options).fit(X)
    assert_array_equal(fitted.predict(X), labels)

    def covariance(rows: np.ndarray) -> np.ndarray:
        return np.cov((rows - rows[0]).T, bias=True).reshape(d, d)  # differences are exact

    full = np.stack([covariance(X[labels == k]) for k in range(3)])
    diagonals = np.einsum("kii->ki", full)
    expected = {
        "full": full,
        "tied": full.mean(axis=0),
        "diag": diagonals,
        "spherical": diagonals.mean(axis=1),
    }[covariance_type]
    assert_close(fitted.covariances_, expected, 1e-9)


# --- outliers ---------------------------------------------------------------------------------
OUTLIERS = [
    *(("float64", size) for size in (1e10, 1e100, 1e153, 1e154, 1e200, 1e308)),
    *(("float32", size) for size in (1e10, 1e18, 1e20, 1e38)),
]
over_outliers = pytest.mark.parametrize(("dtype", "size"), OUTLIERS)


def with_outliers(dtype: str, size: float) -> tuple[np.ndarray, int]:
    X, K = load("iris")
    far = [[size] * 4, [-size] * 4, [size, 0, 0, 0]]
    return np.vstack([X, far]).astype(dtype), K


@each_covariance_type
@over_outliers
def test_outliers_are_predicted(covariance_type, dtype, size):
    X, K = load("iris")
    fitted = GaussianMixture(K, covariance_type=covariance_type, random_state=0).fit(X)
    far, _ = with_outliers(dtype, size)
    r = fitted.predict_proba(far).astype(np.float64)
    assert np.all(np.isfinite(r))
    assert_allclose(r.sum(axis=1), 1, rtol=0, atol=1e-12 if dtype == "float64" else 1e-6)
    assert np.all(np.isfinite(fitted.score_samples(far)))
    assert np.all(fitted.score_samples(far)[-3:] < -1e10)


@each_covariance_type
@pytest.mark.parametrize("init_params", INIT_METHODS)
@over_outliers
@unsettled
def test_outliers_are_fitted_or_refused(dtype, size, init_params, covariance_type):
    """One error that names the remedy, without a warning beside it; or else the fit is right."""
    X, K = with_outliers(dtype, size)
    options = {"covariance_type": covariance_type, "init_params": init_params, "random_state": 0}
    estimator = GaussianMixture(K, max_iter=30, **options)
    if size > np.sqrt(np.finfo(dtype).max) / 4:
        with pytest.raises(ValueError, match="Leave such samples out, or scale the data"):
            estimator.fit(X)
        return
    try:
        estimator.fit(X)
    except IllDefinedCovariance as error:
        if "scale the input data" not in str(error):
            raise
        return
    assert all(np.all(np.isfinite(getattr(estimator, name))) for name in ARRAYS)
    assert np.all(np.isfinite(estimator.lower_bounds_))
    assert np.all(np.isfinite(estimator.score_samples(X)))
    # A maximization leaves the mean of the mixture where that of the data is.
    assert_allclose(
        estimator.weights_ @ estimator.means_.astype(np.float64),
        X.mean(axis=0, dtype=np.float64),
        rtol=0,
        atol=size * (1e-12 if dtype == "float64" else 1e-5),
    )


@each_covariance_type
@unsettled
def test_a_failed_fit_leaves_an_earlier_one_untouched(covariance_type):
    X, K = load("iris")
    options = {"reg_covar": 0, "init_params": "random", "random_state": 0}
    fitted = GaussianMixture(K, covariance_type=covariance_type, **options).fit(X)
    before = dict(vars(fitted))
    copies = {name: getattr(fitted, name).copy() for name in ARRAYS}
    for other in (with_outliers("float64", 1e200)[0], X * np.nan, X[:2], np.ones((9, 7))):
        with pytest.raises(ValueError, match=r"squares|NaN|n_samples|ill-defined"):
            fitted.fit(other)
        assert {name: id(value) for name, value in vars(fitted).items()} == {
            name: id(value) for name, value in before.items()
        }
    for name, array in copies.items():
        assert_array_equal(getattr(fitted, name), array)


# --- float32 ----------------------------------------------------------------------------------
@each_covariance_type
@each_data_set
@unsettled
def test_float32_with_an_offset(data, covariance_type):
    """Parameters as float64 finds them for the same points, beside how far the data extend."""
    X, K = load(data)
    X = X.astype(np.float32) + np.float32(1e4)
    options = {"covariance_type": covariance_type, "random_state": 0, **TWENTY}
    single, double = (GaussianMixture(K, **options).fit(rows) for rows in (X, X.astype(np.float64)))
    spread = X.std(axis=0, dtype=np.float64).max()
    assert_allclose(single.weights_, double.weights_, rtol=0, atol=1e-3)
    assert_allclose(single.means_, double.means_, rtol=0, atol=1e-3 * spread)
    assert_allclose(single.covariances_, double.covariances_, rtol=0, atol=1e-3 * spread**2)
