"""Missing values in other dress than NaN, and weights of any size."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose
from problems import COVARIANCE_TYPES

from fastgmm import GaussianMixture

RNG = np.random.default_rng(0)
X = np.concatenate([RNG.normal(size=(100, 2)), RNG.normal(size=(100, 2)) + 5])
WEIGHT = RNG.uniform(0.5, 1, 200)
TIMES = np.datetime64("2026-01-01", "ns") + np.arange(20).reshape(10, 2).astype("m8[h]")


def with_missing(times):
    times = times.copy()
    times[3, 1] = "NaT"
    return times


def masked(array, *places):
    result = np.ma.masked_array(array, mask=np.zeros(array.shape, bool))
    for place in places:
        result[place] = np.ma.masked
    return result


MISSING_TIMES = {
    "datetimes": with_missing(TIMES),
    "durations": with_missing(TIMES - TIMES[0, 0]),
    "seconds": with_missing(TIMES).astype("M8[s]"),
    "nested lists": [list(row) for row in with_missing(TIMES)],
    "list of rows": list(with_missing(TIMES)),
    "objects": with_missing(TIMES).astype("M8[s]").astype(object).astype("M8[s]"),
    "frame of datetimes": pd.DataFrame(with_missing(TIMES), columns=["a", "b"]),
    "frame of durations": pd.DataFrame(with_missing(TIMES - TIMES[0, 0]), columns=["a", "b"]),
}


@pytest.mark.parametrize("data", MISSING_TIMES)
def test_missing_times_are_refused_as_nan_is(data):
    with pytest.raises(ValueError, match="Input X contains NaT"):
        GaussianMixture(1).fit(MISSING_TIMES[data])
    fitted = GaussianMixture(1, reg_covar=1e24).fit(TIMES)
    with pytest.raises(ValueError, match="Input X contains NaT"):
        fitted.predict(with_missing(TIMES))


def test_times_that_are_all_there_are_numbers():
    one = GaussianMixture(1, reg_covar=1e24).fit(TIMES)
    other = GaussianMixture(1, reg_covar=1e24).fit(TIMES.astype("int64").astype(float))
    assert_allclose(one.means_, other.means_, rtol=0)


@pytest.mark.parametrize("as_list", [False, True])
@pytest.mark.parametrize("method", ["fit", "fit_predict", "predict", "score_samples", "bic"])
def test_masked_values_are_refused_as_nan_is(method, as_list):
    data = masked(X, (0, 0), (7, 1))
    mixture = GaussianMixture(2, random_state=0)
    if not method.startswith("fit"):
        mixture.fit(X)
    with pytest.raises(ValueError, match="Input X contains masked values"):
        getattr(mixture, method)(list(data) if as_list else data)


def test_masked_arrays_without_masked_values_are_arrays():
    one, other = (GaussianMixture(2, random_state=0).fit(data) for data in (X, masked(X)))
    assert_allclose(one.means_, other.means_, rtol=0)


def test_masked_weights_and_starts_are_refused():
    with pytest.raises(ValueError, match="Input sample_weight contains masked values"):
        GaussianMixture(2).fit(X, sample_weight=masked(WEIGHT, 3))
    with pytest.raises(ValueError, match="Input means_init contains masked values"):
        GaussianMixture(2, means_init=masked(X[:2], (0, 0))).fit(X)


# --- weights --------------------------------------------------------------------------------
SCALES = [1e-300, np.exp(-120), 1e-30, np.exp(95), 3e37, 1e200, 1e300]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("covariance_type", COVARIANCE_TYPES)
def test_the_scale_of_weights_does_not_matter(covariance_type, dtype, scale):
    options = {"covariance_type": covariance_type, "random_state": 0}
    data = X.astype(dtype)
    one = GaussianMixture(2, **options).fit(data, sample_weight=WEIGHT)
    other = GaussianMixture(2, **options).fit(data, sample_weight=WEIGHT * scale)
    rtol = 1e-4 if dtype == np.float32 else 1e-10
    assert_allclose(other.weights_, one.weights_, rtol=rtol)
    assert_allclose(other.means_, one.means_, rtol=rtol, atol=rtol)
    assert_allclose(other.covariances_, one.covariances_, rtol=rtol, atol=rtol)
    assert other.converged_ == one.converged_
    scores = [m.score(data, sample_weight=w) for m, w in ((one, WEIGHT), (other, WEIGHT * scale))]
    assert scores[1] == pytest.approx(scores[0], rel=rtol)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_criteria_are_of_the_true_total(dtype, scale):
    data = X.astype(dtype)
    mixture = GaussianMixture(2, random_state=0).fit(data)
    total = np.sum(WEIGHT * scale)
    deviance = -2 * mixture.score(data, sample_weight=WEIGHT) * total
    bic = deviance + np.log(total) * mixture._n_parameters()
    assert mixture.bic(data, sample_weight=WEIGHT * scale) == pytest.approx(bic, rel=1e-5)
    entropy = -WEIGHT * scale @ np.log(mixture.predict_proba(data).max(axis=1).astype(float))
    icl = mixture.icl(data, sample_weight=WEIGHT * scale)
    assert icl == pytest.approx(bic + 2 * entropy, rel=1e-5)


@pytest.mark.parametrize("weight", [1e-315, 5e-324])
def test_equal_weights_below_the_normal_numbers(weight):
    fitted = GaussianMixture(2, random_state=0).fit(X, sample_weight=np.full(200, weight))
    expected = GaussianMixture(2, random_state=0).fit(X)
    assert_allclose(fitted.means_, expected.means_, rtol=1e-8)


def test_float32_weights_whose_sum_overflows():
    weight = np.full(200, 3e37, np.float32)
    for init_params in ("kmeans", "k-means++", "random", "random_from_data"):
        fitted = GaussianMixture(2, init_params=init_params, random_state=0).fit(
            X.astype(np.float32), sample_weight=weight
        )
        assert np.all(np.isfinite(fitted.means_))
