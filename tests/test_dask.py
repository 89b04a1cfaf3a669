"""Dask's collections: the same fit as of an array, one graph for a pass, lost workers."""

from __future__ import annotations

import sys
import warnings

import dask
import dask.array as da
import dask.dataframe as dd
import numpy as np
import pandas as pd
import pytest
from dask.callbacks import Callback
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import ConvergenceWarning

from fastgmm import BayesianGaussianMixture, GaussianMixture
from fastgmm.data.dask import FAN_IN, DaskSource, tree
from fastgmm.data.partitions import Kind, Partition, expectation
from fastgmm.model.families import arguments_of_pass

N = 400
KIND = Kind(np.dtype(np.float64), 3)
FITTED = ("weights_", "means_", "covariances_", "precisions_cholesky_", "lower_bounds_")


@pytest.fixture(autouse=True)
def _one_thread():
    """Compute without a pool, as pytest's processes have the machine for themselves already."""
    with dask.config.set(scheduler="synchronous"):
        yield


@pytest.fixture(scope="module")
def points() -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(N, 3)) + rng.choice([-3.0, 3.0], (N, 1))


@pytest.fixture(scope="module")
def weight() -> np.ndarray:
    weight = np.random.default_rng(1).uniform(size=N)
    weight[::7] = 0.0
    return weight


def mixture(**options) -> GaussianMixture:
    return GaussianMixture(2, **{"random_state": 0, "tol": 1e-5, **options})


def in_partitions(X: np.ndarray, n: int) -> da.Array:
    return da.from_array(X, chunks=(-(-len(X) // n), *X.shape[1:]))


def assert_same(model: GaussianMixture, expected: GaussianMixture) -> None:
    assert model.n_iter_ == expected.n_iter_
    for name in FITTED:
        one, other = getattr(model, name), getattr(expected, name)
        assert_allclose(one, other, rtol=1e-10, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("n_partitions", [1, 2, 13])
@pytest.mark.parametrize("covariance_type", ["full", "tied", "diag", "spherical"])
def test_a_fit_is_that_of_an_array(points, weight, covariance_type, n_partitions):
    X, w = in_partitions(points, n_partitions), in_partitions(weight, n_partitions)
    expected = mixture(covariance_type=covariance_type).fit(points)
    assert_same(mixture(covariance_type=covariance_type).fit(X), expected)
    expected = mixture(covariance_type=covariance_type).fit(points, sample_weight=weight)
    for given in (w, weight):
        model = mixture(covariance_type=covariance_type).fit(X, sample_weight=given)
        assert_same(model, expected)
        assert_allclose(model.score(X, sample_weight=given), expected.score(points, None, weight))


@pytest.mark.parametrize(
    "options",
    [
        {"init_size": 50, "init_params": "random_from_data"},  # a sample
        {"init_size": 50},  # a sample, and a start that is settled
        {"init_params": "random_means"},  # moments of all rows
        {"reg_covar_relative": 1e-3, "reg_covar": 0.0},  # variances of all rows
        {"prior": "conjugate"},
        {"on_degenerate": "reset", "means_init": [[0.0] * 3, [50.0] * 3]},  # an empty component
    ],
    ids=str,
)
def test_what_a_start_asks_of_the_rows_it_gets(points, weight, options):
    X = in_partitions(points, 5)
    for given in (None, weight):
        expected = mixture(**options).fit(points, sample_weight=given)
        assert_same(mixture(**options).fit(X, sample_weight=given), expected)


def test_variational_bayes(points):
    arguments = {"n_components": 3, "random_state": 0, "max_iter": 20}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        expected = BayesianGaussianMixture(**arguments).fit(points)
        model = BayesianGaussianMixture(**arguments).fit(in_partitions(points, 3))
    assert_allclose(model.means_, expected.means_, rtol=1e-9)
    assert_array_equal(model.predict(in_partitions(points, 3)), expected.predict(points))


def test_criteria(points, weight):
    model, X = mixture().fit(points), in_partitions(points, 3)
    for name in ("aic", "bic", "icl"):
        assert_allclose(getattr(model, name)(X), getattr(model, name)(points))
    assert_allclose(model.bic(X, sample_weight=weight), model.bic(points, sample_weight=weight))


def test_float32_stays_float32(points):
    X = in_partitions(points.astype(np.float32), 4)
    model = mixture().fit(X)
    assert model.means_.dtype == np.float32
    assert model.score_samples(X).dtype == np.float32
    assert model.score_samples(X).compute().dtype == np.float32


# --- predictions
def test_predictions_are_lazy_arrays_of_the_same_chunks(points):
    model, calls = mixture().fit(points), []

    def upstream(block):
        calls.append(len(block))
        return block

    X = in_partitions(points, 4).map_blocks(upstream, dtype=points.dtype, meta=points[:0])
    for method in ("predict", "predict_proba", "score_samples"):
        calls.clear()
        lazy, expected = getattr(model, method)(X), getattr(model, method)(points)
        assert not calls
        assert isinstance(lazy, da.Array)
        assert lazy.shape == expected.shape
        assert lazy.dtype == expected.dtype
        assert lazy.chunks[0] == X.chunks[0]
        assert_array_equal(lazy.compute(), expected)
        assert len(calls) == 4


def test_a_prediction_is_of_the_mixture_that_was_asked(points):
    model, X = mixture().fit(points), in_partitions(points, 2)
    expected = model.score_samples(points)
    lazy = model.score_samples(X)
    model.fit(2 * points)
    assert_array_equal(lazy.compute(), expected)


def test_predictions_of_unknown_chunks_and_empty_ones(points):
    model, X = mixture().fit(points), in_partitions(points, 4)
    some = X[X[:, 0] > -3]
    assert np.isnan(some.shape[0])
    rows = points[points[:, 0] > -3]
    assert_array_equal(model.predict(some).compute(), model.predict(rows))
    none = X[X[:, 0] > 1e9]
    assert model.predict_proba(none).compute().shape == (0, 2)
    assert_same(mixture().fit(some), mixture().fit(rows))


def test_fit_predict(points):
    labels = mixture().fit_predict(in_partitions(points, 3))
    assert_array_equal(labels.compute(), mixture().fit_predict(points))


def test_columns_in_several_chunks(points):
    X = da.from_array(points, chunks=(100, 1))
    assert_same(mixture().fit(X), mixture().fit(points))
    assert mixture().fit(points).predict(X).compute().shape == (N,)


# --- data frames
@pytest.fixture(scope="module")
def table(points) -> pd.DataFrame:
    return pd.DataFrame(points, columns=list("abc"), index=np.arange(N) * 10)


def test_a_data_frame_is_fitted_as_that_of_pandas(table, weight):
    frame = dd.from_pandas(table.assign(w=weight), npartitions=5)
    expected = mixture().fit(table, sample_weight=weight)
    model = mixture().fit(frame[list("abc")], sample_weight=frame.w)
    assert_same(model, expected)
    assert list(model.feature_names_in_) == list("abc")
    assert_allclose(model.score(frame), expected.score(table))  # the columns that it knows


def test_a_column_of_a_data_frame_has_the_weights(table, weight):
    frame = dd.from_pandas(table.assign(w=weight), npartitions=5)
    expected, model = mixture().fit(table, None, weight), mixture().fit(frame, None, "w")
    assert_same(model, expected)
    assert list(model.feature_names_in_) == list("abc")
    assert_allclose(model.score(frame, None, "w"), expected.score(table, None, weight))
    with pytest.raises(ValueError, match="no column v"):
        mixture().fit(frame, None, "v")


def test_tasks_run_on_as_many_threads_as_n_jobs_says(points, monkeypatch):
    asked = []

    def threads_of(n_jobs, most):
        asked.append(n_jobs)
        return 1

    X = in_partitions(points, 2)
    monkeypatch.setattr("fastgmm.system.threads.threads_of", threads_of)
    mixture().fit(X)
    assert set(asked) == {1}
    asked.clear()
    mixture(n_jobs=2).fit(X)
    assert set(asked) == {1, 2}  # 1: while partitions are made


def test_predictions_of_a_data_frame_keep_its_index(table):
    frame, model = dd.from_pandas(table, npartitions=5), mixture().fit(table)
    for method in ("predict", "predict_proba", "score_samples"):
        lazy = getattr(model, method)(frame)
        found, expected = lazy.compute(), getattr(model, method)(table)
        assert_array_equal(found, expected)
        assert_array_equal(found.index, table.index)
        assert lazy.npartitions == 5
        kinds = [lazy.dtype] if expected.ndim == 1 else list(lazy.dtypes)
        assert set(kinds) == {expected.dtype}
    assert (frame.assign(label=model.predict(frame)).label == 0).sum().compute() > 0


def test_a_data_frame_of_other_columns_is_refused(table):
    model = mixture().fit(table)
    frame = dd.from_pandas(table.rename(columns={"b": "d"}), npartitions=2)
    with pytest.raises(ValueError, match="has no column b"):
        model.predict(frame)
    text = dd.from_pandas(table.assign(b="text"), npartitions=2)
    with pytest.raises(ValueError, match="Column b of X holds"):
        mixture().fit(text)


def test_a_data_array_of_xarray(points):
    xarray = pytest.importorskip("xarray")
    X = xarray.DataArray(in_partitions(points, 3), dims=("row", "feature"))
    model = mixture().fit(X)
    assert_same(model, mixture().fit(points))
    assert_array_equal(model.predict(X).compute(), model.predict(points))


# --- graphs
class Counted(Callback):
    """How many tasks each graph has."""

    def __init__(self):
        super().__init__()
        self.sizes = []

    def _start(self, dsk):
        self.sizes.append(len(dsk))


def test_each_block_upstream_is_made_once(points):
    calls = []

    def upstream(block):
        calls.append(len(block))
        return block + 0.0

    base = in_partitions(points, 5).map_blocks(upstream, dtype=points.dtype, meta=points[:0])
    model = mixture(n_init=2, init_size=50).fit(base - 1.0)
    assert model.n_iter_ > 2
    assert calls == [80] * 5


@pytest.mark.parametrize("n_partitions", [1, 13, 100])
def test_the_graph_of_a_pass_has_always_one_size(points, n_partitions):
    X = in_partitions(points, n_partitions)
    source = DaskSource(list(X.to_delayed().ravel()), KIND)
    p = mixture().fit(points)._parameters()
    assert source.n_rows == N  # once they are made
    with Counted() as counted:
        for _ in range(3):
            source.expectation(p)
    additions = {1: 0, 13: 2 + 1, 100: 13 + 2 + 1}[n_partitions]
    (size,) = set(counted.sizes)
    # Partitions, their statistics, and the mixture, which may have another name besides.
    assert 0 <= size - (2 * n_partitions + 1 + additions) <= 1


def test_a_tree_adds_in_order():
    def add(parts):
        assert len(parts) <= FAN_IN
        return "(" + "".join(parts) + ")"

    letters = [chr(ord("a") + i) for i in range(20)]
    assert tree(letters, add) == "((abcdefgh)(ijklmnop)(qrst))"
    assert tree(["a"], add) == "a"


def test_a_partition_tells_its_size_and_leaves_workspaces_behind(points):
    import pickle

    partition = Partition(points, np.ones(N))
    empty = pickle.dumps(partition)
    expectation(partition, arguments_of_pass(mixture().fit(points)._parameters()))
    assert len(pickle.dumps(partition)) == len(empty)
    assert sys.getsizeof(partition) > points.nbytes + 8 * N


# --- bad input
def with_value(points: np.ndarray, row: int, value: float) -> da.Array:
    X = points.copy()
    X[row, 1] = value
    return in_partitions(X, 4)


@pytest.mark.parametrize(
    ("row", "value", "said"),
    [
        (203, np.nan, "Partition 2, row 3: X has NaN in column 1"),
        (3, np.inf, "Partition 0, row 3: X has infinity in column 1"),
    ],
)
def test_the_place_of_what_is_no_number(points, row, value, said):
    model = mixture().fit(points)
    before = dict(vars(model))
    with pytest.raises(ValueError, match=said):
        model.fit(with_value(points, row, value))
    assert vars(model) == before
    with pytest.raises(ValueError, match=said):
        model.score(with_value(points, row, value))


def refused_arguments(points):
    X, ones = in_partitions(points, 4), np.ones(N)
    negative = np.where(np.arange(N) == 105, -1.0, 1.0)
    return {
        "Partition 1, row 5: the weight is -1": (X, in_partitions(negative, 4)),
        "one weight for each row": (X, ones[:-1]),
        "squares are too large": (with_value(points, 399, -1e200), None),
        "has 3 partitions, and X has 4": (X[X[:, 0] > -1e9], in_partitions(ones, 3)),
        "cut sample_weight as X is cut": (X[X[:, 0] > 0], in_partitions(ones, 4)),
        "The weights sum to 0": (X, 0 * ones),
        "X has no rows": (X[X[:, 0] > 1e9], None),
        "a minimum of 2 is required": (X[:1], None),
        "Only 1 samples have a positive": (X, in_partitions(np.eye(1, N)[0], 4)),
        "Dask array of 1 dimension": (X[:, 0], None),
        "of complex128": (X.astype(complex), None),
        "a Delayed.* of Dask": (dask.delayed(points), None),
    }


def test_bad_input_is_refused(points):
    for said, (X, weight) in refused_arguments(points).items():
        model = mixture()
        with pytest.raises((ValueError, TypeError), match=said):
            model.fit(X, sample_weight=weight)
        assert not hasattr(model, "means_")
        assert not hasattr(model, "n_features_in_")


def test_arguments_are_checked_before_anything_is_made(points):
    def upstream(block):
        raise AssertionError

    X = in_partitions(points, 2).map_blocks(upstream, dtype=points.dtype, meta=points[:0])
    for bad in ({"tol": -1.0}, {"means_init": np.zeros((2, 4))}, {"shrinkage": 2.0}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            mixture(**bad).fit(X)


def test_other_features_than_those_of_the_fit_are_refused(points):
    model, X = mixture().fit(points), in_partitions(points, 4)
    for method in ("predict", "predict_proba", "score_samples", "score"):
        with pytest.raises(ValueError, match="2 features"):
            getattr(model, method)(X[:, :2])
