"""Data in blocks: the fit of the array, however they are cut, and whatever happens on the way."""

from __future__ import annotations

import threading
from contextlib import closing

import numpy as np
import pytest
from axes import each_covariance_type
from memory_peak import peak_of
from numpy.testing import assert_allclose, assert_array_equal
from problems import ARRAYS, assert_close, assert_same_arrays, fixed_start
from sklearn.base import clone

from fastgmm import BayesianGaussianMixture, GaussianMixture
from fastgmm.data import parts
from fastgmm.data.block_source import BlockSource
from fastgmm.data.blocks import RepeatedBlocks
from fastgmm.data.source import ArraySource
from fastgmm.system.ahead import ahead

RNG = np.random.default_rng(0)
X = np.concatenate([RNG.normal(3, 1, (500, 3)), RNG.normal(0, 2, (700, 3))])
X = X[RNG.permutation(len(X))]
WEIGHT = RNG.integers(0, 4, len(X)).astype(float)
CUTS = {
    "1": np.arange(1, len(X)),
    "7": np.arange(7, len(X), 7),
    "1000": [1000],
    "uneven": [0, 0, 3, 3, 400, 401, 1199, 1200, 1200],
}


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch):
    """Many parts of few rows."""
    monkeypatch.setattr(parts, "PART_BYTES", 170 * 3 * 8 + 5)


def cut(array: np.ndarray, where: str = "uneven") -> list[np.ndarray]:
    return np.split(array, CUTS[where])


def pairs(where: str = "uneven") -> list[tuple[np.ndarray, np.ndarray]]:
    return list(zip(cut(X, where), cut(WEIGHT, where), strict=True))


def mixture(covariance_type: str = "full", **options) -> GaussianMixture:
    start = fixed_start(X, 2, covariance_type)
    options = {"tol": 1e-8} | start | options
    return GaussianMixture(2, covariance_type=covariance_type, **options)


def assert_same_fit(actual, expected):
    assert actual.n_iter_ == expected.n_iter_
    assert actual.n_features_in_ == expected.n_features_in_
    for name in ARRAYS:
        assert_close(getattr(actual, name), getattr(expected, name), 1e-10)
    assert_allclose(actual.log_likelihood_, expected.log_likelihood_, rtol=1e-12)


# --- the same as an array ---------------------------------------------------------------------
@each_covariance_type
@pytest.mark.parametrize("where", CUTS)
def test_blocks_fit_as_their_array_does(covariance_type: str, where: str):
    expected = mixture(covariance_type).fit(X)
    assert_same_fit(mixture(covariance_type).fit(cut(X, where)), expected)


@each_covariance_type
def test_blocks_with_weights(covariance_type: str):
    expected = mixture(covariance_type).fit(X, sample_weight=WEIGHT)
    assert_same_fit(mixture(covariance_type).fit(pairs()), expected)
    assert_same_fit(mixture(covariance_type).fit(cut(X), sample_weight=WEIGHT), expected)


def test_how_the_rows_are_cut_changes_no_bit():
    one = mixture().fit(cut(X, "1"))
    for where in CUTS:
        assert_same_arrays(mixture().fit(cut(X, where)), one)


@pytest.mark.parametrize("init_size", [None, 2000, 300])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_start_is_that_of_the_array(init_size: int | None, weighted: bool):
    """That of the same rows, where few are drawn."""
    options = {"init_size": init_size, "random_state": 1}
    weight = WEIGHT if weighted else None
    expected = GaussianMixture(3, **options).fit(X, sample_weight=weight)
    actual = GaussianMixture(3, **options).fit(pairs() if weighted else cut(X))
    assert_same_fit(actual, expected)


def test_what_looks_at_the_data_beside_passes():
    for options in (
        {"prior": "conjugate"},
        {"reg_covar_relative": 0.1},
        {"init_params": "random_means"},
        {"on_degenerate": "reset", "n_components": 5, "tol": 0.1},
    ):
        options = {"n_components": 2, "random_state": 0} | options
        expected = GaussianMixture(**options).fit(X, sample_weight=WEIGHT)
        assert_same_fit(GaussianMixture(**options).fit(pairs()), expected)
    bayes = BayesianGaussianMixture(n_components=3, random_state=0, tol=0.1)
    expected, actual = clone(bayes).fit(X), bayes.fit(cut(X))
    assert_close(actual.means_, expected.means_, 1e-10)


@pytest.mark.parametrize("weighted", [False, True])
def test_the_source_answers_as_that_of_an_array(weighted: bool):
    p = mixture(tol=0.1).fit(X)._parameters()
    blocks = pairs() if weighted else cut(X)
    source = BlockSource(RepeatedBlocks(lambda: blocks))
    plain = ArraySource(X, WEIGHT if weighted else None)
    assert source.log_likelihood(p) == source.expectation(p).log_likelihood
    for name in ("dtype", "n_rows", "n_features", "n_weighted", "total_weight"):
        assert getattr(source, name) == getattr(plain, name)
    for matrix in (False, True):
        one, other = source.moments(matrix=matrix), plain.moments(matrix=matrix)
        assert_allclose(one.mean, other.mean, rtol=1e-12)
        assert_allclose(one.covariance, other.covariance, rtol=1e-12)
    assert_allclose(source.variances(), plain.variances(), rtol=1e-12)
    assert_array_equal(source.least_likely(p, 9), plain.least_likely(p, 9))
    expected, weight = next(plain.responsibilities(p, 2000))
    first = 0
    for found, own in source.responsibilities(p, 50):
        rows = slice(first, first := first + len(found))
        assert len(found) <= 50
        assert_array_equal(found, expected[rows])
        assert_array_equal(own, None if weight is None else weight[rows])
    assert first == len(X)


def test_predictions_and_scores_are_those_of_the_array():
    fitted = mixture().fit(X)
    for method in ("predict", "predict_proba", "score_samples"):
        assert_array_equal(getattr(fitted, method)(cut(X)), getattr(fitted, method)(X))
    for method in ("score", "bic", "aic", "icl"):
        of = getattr(fitted, method)
        assert of(cut(X)) == pytest.approx(of(X), rel=1e-12)
        expected = of(X, sample_weight=WEIGHT)
        assert of(pairs()) == pytest.approx(expected, rel=1e-12)
        assert of(cut(X), sample_weight=WEIGHT) == pytest.approx(expected, rel=1e-12)
    assert_array_equal(mixture().fit_predict(cut(X)), fitted.predict(X))


# --- kinds of blocks --------------------------------------------------------------------------
class Dataset:
    """Rows in a file, as h5py and zarr give them."""

    chunks = (64, 2)

    def __init__(self, array: np.ndarray) -> None:
        self._array, self.shape, self.dtype = array, array.shape, array.dtype
        self.largest = 0

    def __getitem__(self, rows: slice) -> np.ndarray:
        self.largest = max(self.largest, rows.stop - rows.start)
        return self._array[rows]

    def __array__(self, *arguments, **options) -> np.ndarray:
        raise AssertionError("not all rows are to be read at once")


class Loader:
    """Batches that can be gone through again, as PyTorch's loaders give them."""

    def __iter__(self):
        return iter(cut(X))

    def __len__(self) -> int:
        return len(cut(X))


KINDS = {
    "list": lambda: cut(X),
    "tuple": lambda: tuple(cut(X)),
    "function": lambda: lambda: iter(cut(X)),
    "loader": Loader,
    "data set": lambda: Dataset(X),
    "Fortran": lambda: [np.asfortranarray(block) for block in cut(X)],
    "two in a list": lambda: [X[:700], X[700:]],
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_blocks(kind: str):
    data = KINDS[kind]()
    expected = mixture().fit(cut(X))
    fitted = mixture().fit(data)
    assert_same_arrays(fitted, expected)
    assert_array_equal(fitted.predict(data), expected.predict(X))


def test_an_array_of_xarray_is_one():
    xarray = pytest.importorskip("xarray")
    labelled = xarray.DataArray(X, dims=("sample", "feature"))
    assert_same_arrays(mixture().fit(labelled), mixture().fit(X))


def test_whole_chunks_are_read_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("fastgmm.data.blocks.SLICE_BYTES", 200 * 3 * 8)
    data = Dataset(X)
    mixture().fit(data)
    assert data.largest == 3 * 64


def test_other_numbers_become_float64_and_float32_stays():
    whole = np.round(4 * X).astype(np.int16)
    assert_same_arrays(mixture().fit(cut(whole)), mixture().fit(cut(whole.astype(float))))
    single = mixture().fit(cut(X.astype(np.float32)))
    assert {getattr(single, name).dtype for name in ARRAYS} == {np.dtype(np.float32)}


def test_what_is_an_array_stays_one():
    rows = [[0.0, 1.0], [2.0, 3.0], [4.0, 6.0]]
    expected = GaussianMixture(1).fit(np.array(rows))
    for same in (rows, tuple(rows), [np.array(row) for row in rows]):
        assert_same_arrays(GaussianMixture(1).fit(same), expected)


def test_a_generator_is_refused_with_the_remedy():
    for data in ((block for block in cut(X)), iter(cut(X)), map(np.asarray, cut(X))):
        with pytest.raises(TypeError, match="pass the function that makes it"):
            mixture().fit(data)


# --- reading --------------------------------------------------------------------------------
def test_the_next_block_is_read_while_kernels_run():
    """In a thread of its own, which ends with the pass, and never far ahead."""
    main, threads, ahead = threading.get_ident(), set(), []
    read = worked = 0

    def blocks():
        nonlocal read
        for block in np.array_split(X, 7):
            read += 1
            threads.add(threading.get_ident())
            ahead.append(read - worked)
            yield block

    monkey = BlockSource(RepeatedBlocks(blocks))
    for part in monkey.parts:
        worked += 1
        del part
    assert main not in threads
    assert max(ahead) <= 3  # the one in work, the next, and the one that is under way
    assert not [one for one in threading.enumerate() if one.name.startswith("fastgmm-reader")]


def test_reading_ends_where_the_caller_does():
    ended = []

    def items():
        try:
            yield from range(100)
        finally:
            ended.append(True)

    with closing(ahead(items())) as found:
        assert next(found) == 0
    assert ended == [True]
    assert not [one for one in threading.enumerate() if one.name.startswith("fastgmm-reader")]


def test_a_reader_may_use_its_memory_again():
    memory = np.empty((100, 3))

    def blocks():
        for block in np.split(X, 12):
            memory[:] = block
            yield memory

    assert_same_arrays(mixture().fit(blocks), mixture().fit(cut(X)))


# --- bad input --------------------------------------------------------------------------------
def with_value(row: int, value: float) -> list[np.ndarray]:
    return cut(np.where(np.arange(len(X))[:, None] == row, value, X), "7")


def in_pass(n: int, before, after):
    """A function of blocks that change in the n-th pass."""
    count = 0

    def blocks():
        nonlocal count
        count += 1
        return iter(before if count < n else after)

    return blocks


BAD = {
    "NaN": (lambda: with_value(7 * 17 + 3, np.nan), "Row 3 of block 17 .*: X has NaN in column 0"),
    "infinity": (lambda: with_value(0, -np.inf), "Row 0 of block 0 .*infinity"),
    "too large": (lambda: with_value(8, 1e200), "values up to 1e.200 in size, .*too large"),
    "width": (lambda: [X, X[:, :2]], "Block 1 has 2 features, and those before it 3"),
    "type": (lambda: [X, X.astype("f4")], "Block 1 has the type float32.*astype"),
    "text": (lambda: [X, X.astype(str)], "Block 1 holds <U32, not real numbers"),
    "dimensions": (lambda: [X, X[0]], "Block 1 has 1 dimension"),
    "masked": (lambda: [np.ma.masked_less(X, 0)], "Block 0 has masked values"),
    "all empty": (lambda: [X[:0], X[:0]], "X has no rows"),
    "no block": (lambda: lambda: iter([]), "X has no rows"),
    "few rows": (lambda: [X[:1]], "Found 1 sample"),
    "fewer than K": (lambda: [X[:1], X[:2]], "n_components = 4, n_samples = 3"),
    "some weights": (lambda: [(X, WEIGHT), X], "Block 1 has no weights"),
    "negative weight": (lambda: [(X, WEIGHT - 1)], "weight is -1.0"),
    "weights of another length": (lambda: [(X, WEIGHT[1:])], "1200 rows and weights of .*1199"),
    "no weight": (lambda: [(X, 0 * WEIGHT)], "weights sum to 0.0"),
    "changed": (
        lambda: in_pass(4, cut(X, "7"), with_value(500, 1.0)),
        "changed since the first pass, between row 4 of block 48 .* and row 5 of block 72",
    ),
    "ended": (lambda: in_pass(4, cut(X), cut(X)[:-4]), "ended after 401 rows, and had 1,200"),
    "grown": (lambda: in_pass(3, cut(X), [*cut(X), X]), "more rows than the 1,200"),
    "exhausted": (lambda: (lambda once: lambda: once)(iter(cut(X))), "ended after 0 rows"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_blocks(case: str):
    make, message = BAD[case]
    options = {"n_components": 4} if case == "fewer than K" else {"n_components": 2}
    fitted = GaussianMixture(**options, random_state=0)
    with pytest.raises(ValueError, match=message):
        fitted.fit(make())
    assert vars(fitted) == vars(GaussianMixture(**options, random_state=0))


def test_a_failing_reader_is_told_of_with_its_block():
    def blocks():
        yield from cut(X)[:5]
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone") as caught:
        mixture().fit(blocks)
    assert caught.value.__notes__ == ["This happened while block 5 of X was read."]


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (WEIGHT[:-1], "more rows than sample_weight, 1,199"),
        (np.ones(1201), "X has 1,200 rows, and sample_weight 1,201"),
        ("w", "shape"),
    ],
)
def test_bad_weights_of_blocks(weight, message: str):
    with pytest.raises(ValueError, match=message):
        mixture().fit(cut(X), sample_weight=weight)
    with pytest.raises(ValueError, match="weights already"):
        mixture().fit(pairs(), sample_weight=WEIGHT)


def test_what_needs_all_rows_is_refused():
    for options in (
        {"missing": "em"},
        {"semi_supervised": True},
        {"init_params": np.zeros(len(X), int)},
    ):
        with pytest.raises(ValueError, match=r"(?i)pass .*an array"):
            GaussianMixture(2, **options).fit(cut(X))
    with pytest.raises(ValueError, match="3 features"):
        GaussianMixture(1).fit(X[:, :2]).score(cut(X))
    with pytest.raises(ValueError, match="3 features"):
        GaussianMixture(1).fit(X[:, :2]).predict(cut(X))


class WithHook(GaussianMixture):
    def _m_step(self, X, log_resp):
        super()._m_step(X, log_resp)


def test_scikit_learns_loop_is_for_arrays():
    with pytest.raises(ValueError, match=r"_m_step of WithHook is overridden.*an array"):
        WithHook(2).fit(cut(X))


def test_arguments_are_checked_before_all_is_read():
    n_read = 0

    def blocks():
        nonlocal n_read
        for block in cut(X, "7"):
            n_read += 1
            yield block

    for bad in ({"means_init": np.zeros((2, 2))}, {"freeze": "colours"}):
        with pytest.raises(ValueError, match=r"means|freeze"):
            GaussianMixture(2, **bad).fit(blocks)
    assert n_read < 4


def test_large_values_are_refused_by_fits_alone():
    """As those of arrays are."""
    large, fitted = with_value(5, 1e154), GaussianMixture(1).fit(X)
    assert_array_equal(fitted.predict(large), fitted.predict(np.concatenate(large)))
    for data in (large, np.concatenate(large)):
        with pytest.raises(ValueError, match=r"values up to 1e\+154 in size, .*too large"):
            GaussianMixture(1).fit(data)


def test_an_interrupted_reader_interrupts_the_fit():
    def blocks():
        yield X
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        mixture().fit(blocks)


# --- memory -----------------------------------------------------------------------------------
LONG = 2_000_000  # rows, of which even an array of truth values would be seen


@pytest.fixture(scope="module")
def mapped(tmp_path_factory: pytest.TempPathFactory) -> np.ndarray:
    """Many rows in a file."""
    path = tmp_path_factory.mktemp("mapped") / "points.npy"
    many = np.lib.format.open_memmap(path, "w+", np.float64, (LONG, 2))
    many[:] = np.random.default_rng(0).normal(size=(LONG, 2))
    many[::2] += 4
    many.flush()
    return np.load(path, mmap_mode="r")


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize(
    "options", [{}, {"reg_covar_relative": 0.1}, {"on_degenerate": "reset"}], ids=str
)
def test_a_file_in_memory_maps_takes_no_memory_of_its_length(options, mapped: np.ndarray):
    model = GaussianMixture(2, max_iter=2, random_state=0, **options)
    assert peak_of(model.fit, mapped) < 3 * LONG / 4
    assert peak_of(model.bic, mapped) < LONG / 8


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_no_more_than_two_blocks_are_in_memory(mapped: np.ndarray, monkeypatch: pytest.MonkeyPatch):
    """And two parts, what the start looks at, and workspaces."""
    monkeypatch.setattr(parts, "PART_BYTES", 2**18)
    length = 250_000
    block_bytes = 2 * 8 * length

    def blocks():
        return (np.array(mapped[i : i + length]) for i in range(0, LONG // 2, length))

    model = GaussianMixture(2, max_iter=2, random_state=0)
    assert peak_of(model.fit, blocks) < 2 * block_bytes + 2**20
