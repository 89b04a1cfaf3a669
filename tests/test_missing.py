"""Missing values in other dress than NaN."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose

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
