"""The starts that scikit-learn does not have: arrays, functions, whole clouds, whitened data."""

import numpy as np
import pytest
from axes import each_covariance_type, each_dtype, each_type_of_its_own
from numpy.testing import assert_allclose, assert_array_equal
from problems import ARRAYS, assert_close, load
from scipy.optimize import linear_sum_assignment
from sklearn.exceptions import ConvergenceWarning

from fastgmm import GaussianMixture, reference
from fastgmm.data.source import ArraySource
from fastgmm.em import initialization
from fastgmm.em.progress import Progress

each_way = pytest.mark.parametrize("way", ["array", "function"])


def start(X, K, init_params, weight=None, **options):
    """The parameters that a fit starts from."""
    options = {"max_iter": 0, "random_state": 0, **options}
    return GaussianMixture(K, init_params=init_params, **options).fit(X, sample_weight=weight)


def assert_same(one, other, rtol=1e-12):
    for name in ARRAYS:
        assert_close(getattr(one, name), getattr(other, name), rtol)


def shares_of(X, K, seed=0):
    return np.random.default_rng(seed).dirichlet(np.ones(K), size=len(X))


# --- responsibilities and labels ------------------------------------------------------------
@each_covariance_type
@each_way
@pytest.mark.parametrize("weighted", [False, True])
def test_responsibilities_start_from_their_maximization(weighted, way, covariance_type):
    X, K = load("wine")
    shares = shares_of(X, K)
    weight = np.arange(1.0, len(X) + 1) if weighted else None
    init_params = shares if way == "array" else lambda rows, K, random_state: shares
    actual = start(X, K, init_params, weight, covariance_type=covariance_type, reg_covar=0.5)
    if weighted:
        shares = shares * weight[:, None]
    counts, means, covariances = reference.weighted_covariances(X, shares, covariance_type, 0.5)
    assert_close(actual.weights_, counts / counts.sum(), 1e-12)
    assert_close(actual.means_, means, 1e-12)
    assert_close(actual.covariances_, covariances, 1e-12)


@each_covariance_type
@each_way
@pytest.mark.parametrize("kind", [np.int64, np.uint8, list, "column-wise"])
def test_labels_are_their_indicators(kind, way, covariance_type):
    X, K = load("iris")
    labels = np.random.default_rng(0).integers(K, size=len(X))
    indicators = np.eye(K)[labels]
    given = {
        list: labels.tolist,
        "column-wise": lambda: np.asfortranarray(indicators),
    }.get(kind, lambda: labels.astype(kind))()
    init_params = given if way == "array" else lambda rows, K, random_state: given
    options = {"covariance_type": covariance_type}
    assert_same(start(X, K, init_params, **options), start(X, K, indicators, **options))


def test_labels_may_be_true_and_false():
    X, _ = load("iris")
    assert_same(start(X, 2, X[:, 0] > 6), start(X, 2, (X[:, 0] > 6).astype(int)))


def test_a_label_without_rows_is_an_empty_component():
    X, _ = load("iris")
    assert start(X, 3, np.arange(len(X)) % 2, reg_covar=0.1).weights_[2] < 1e-15


@each_dtype
def test_the_dtype_is_that_of_the_data(dtype):
    X, K = load("iris")
    actual = start(X.astype(dtype), K, shares_of(X, K).astype(np.float32))
    assert actual.means_.dtype == dtype
    assert_allclose(actual.means_, start(X, K, shares_of(X, K)).means_, rtol=1e-5)


def test_an_array_is_for_all_rows_and_a_single_start():
    X, K = load("iris")
    shares, seen = shares_of(X, K), []
    whole = start(X, K, shares, init_size=50)
    assert_same(whole, start(X, K, shares))
    assert_array_equal(shares, shares_of(X, K))

    progress = Progress(verbose=0, interval=1)
    progress.run_begins = seen.append
    GaussianMixture(K, init_params=shares, n_init=5, max_iter=200)._fit(X, watchers=[progress])
    assert seen == [0]


# --- functions ------------------------------------------------------------------------------
@pytest.mark.parametrize(("init_size", "n_rows"), [(None, 178), (1000, 178), (60, 60), (1, 3)])
def test_a_function_receives_rows_of_the_data(init_size, n_rows):
    X, K = load("wine")
    seen = []

    def first_feature(rows, n_components, random_state):
        seen.append((rows.copy(), n_components, random_state))
        order = rows[:, 0].argsort().argsort()
        return order * n_components // len(rows)

    start(X, K, first_feature, init_size=init_size, reg_covar=1e-2)
    ((rows, n_components, random_state),) = seen
    assert n_components == K
    assert isinstance(random_state, np.random.RandomState)
    assert len(rows) == n_rows
    assert set(map(tuple, rows)) <= set(map(tuple, X))
    assert len(np.unique(rows, axis=0)) == n_rows


@each_covariance_type
def test_what_a_function_returns_is_used(covariance_type):
    X, K = load("wine")
    labels = np.arange(len(X)) % K
    for result in (labels, labels.tolist(), shares_of(X, K)):
        by_function = start(X, K, lambda *_: result, covariance_type=covariance_type)  # noqa: B023
        assert_same(by_function, start(X, K, result, covariance_type=covariance_type))


def test_a_function_draws_from_the_random_state_anew_at_each_start():
    X, K = load("iris")
    drawn = []

    def random_labels(rows, n_components, random_state):
        drawn.append(random_state.randint(n_components, size=len(rows)))
        return drawn[-1]

    start(X, K, random_labels, n_init=3, random_state=5)
    again = np.random.RandomState(5)
    assert len(drawn) == 3
    for labels in drawn:
        assert_array_equal(labels, again.randint(K, size=len(X)))


def test_what_a_function_returns_stays_its_own():
    X, K = load("iris")
    shares = shares_of(X, K)
    start(X, K, lambda *_: shares, np.arange(len(X)) + 1.0)
    assert_array_equal(shares, shares_of(X, K))


# --- what is refused ------------------------------------------------------------------------
def with_row(row):
    return np.vstack([row, shares_of(np.ones((149, 1)), 3)])


def with_label(label):
    labels = np.arange(150) % 3
    labels[7] = label
    return labels


BAD = {
    "too few rows": (shares_of(np.ones((149, 1)), 3), r"\(150, 3\).*\(150,\).*\(149, 3\)"),
    "too few labels": (np.zeros(149, int), r"\(150, 3\).*\(150,\).*\(149,\)"),
    "too many components": (shares_of(np.ones((150, 1)), 4), r"\(150, 3\).*\(150, 4\)"),
    "transposed": (shares_of(np.ones((150, 1)), 3).T, r"\(150, 3\).*\(3, 150\)"),
    "a column of labels": (np.zeros((150, 1), int), r"\(150, 3\).*\(150, 1\)"),
    "three axes": (np.ones((150, 3, 1)), "dim <= 2 is required"),
    "label too large": (with_label(3), "from 0 to n_components - 1 = 2"),
    "label too small": (with_label(-1), "from 0 to n_components - 1 = 2"),
    "float labels": (with_label(1).astype(float), "pass integers from 0 to 2"),
    "sums above 1": (with_row([0.5, 0.5, 0.5]), "divide each row by its sum"),
    "sums below 1": (with_row([0.5, 0.1, 0.1]), "divide each row by its sum"),
    "a row of zeros": (with_row([0.0, 0.0, 0.0]), "divide each row by its sum"),
    "negative": (with_row([1.5, -0.5, 0.0]), "0 or more"),
    "NaN": (with_row([np.nan, 0.5, 0.5]), "NaN"),
    "infinite": (with_row([np.inf, 0.5, 0.5]), "infinity"),
    "words": (np.full((150, 3), "a"), "could not convert string"),
    "words for labels": (np.full(150, "a"), "pass integers from 0 to 2"),
    "complex": (np.full((150, 3), 1j), "Complex data not supported"),
    "ragged": ([[1.0, 0.0, 0.0]] * 149 + [[1.0]], "inhomogeneous"),
}


@each_way
@pytest.mark.parametrize("name", BAD)
def test_bad_starts_are_refused_before_any_work(name, way, monkeypatch):
    X, _ = load("iris")
    value, message = BAD[name]

    def forbidden(*arguments):
        raise AssertionError("no work is to be done")

    monkeypatch.setattr(ArraySource, "expectation", forbidden)
    monkeypatch.setattr(initialization, "weighted_moments", forbidden)
    init_params = value if way == "array" else lambda rows, K, random_state: value
    with pytest.raises(ValueError, match=message):
        GaussianMixture(3, init_params=init_params).fit(X)


@pytest.mark.parametrize("value", [None, 3, 1.5, "k-median"])
def test_what_is_no_start_at_all_is_refused(value):
    with pytest.raises(ValueError, match="init_params"):
        GaussianMixture(3, init_params=value).fit(load("iris")[0])


def test_an_error_of_the_function_is_not_hidden():
    def broken(rows, n_components, random_state):
        raise KeyError("its own")

    with pytest.raises(KeyError, match="its own"):
        start(load("iris")[0], 3, broken, n_init=3)


# --- random means ---------------------------------------------------------------------------
def cloud(X, covariance_type, K, reg_covar):
    """The covariance of all the data, for each component."""
    whole = np.cov(X.T, bias=True) + reg_covar * np.eye(X.shape[1])
    return {
        "full": np.stack([whole] * K),
        "tied": whole,
        "diag": np.stack([np.diag(whole)] * K),
        "spherical": np.full(K, np.trace(whole) / X.shape[1]),
    }[covariance_type]


@each_covariance_type
@pytest.mark.parametrize("reg_covar", [0.0, 0.5])
def test_random_means_are_rows_in_the_cloud_of_the_data(reg_covar, covariance_type):
    X, K = load("wine")
    actual = start(X, K, "random_means", covariance_type=covariance_type, reg_covar=reg_covar)
    assert set(map(tuple, actual.means_)) <= set(map(tuple, X))
    assert len(np.unique(actual.means_, axis=0)) == K
    assert_allclose(actual.weights_, 1 / K, rtol=1e-13)
    assert_close(actual.covariances_, cloud(X, covariance_type, K, reg_covar), 1e-12)
    other = start(X, K, "random_means", covariance_type=covariance_type, random_state=1)
    assert not np.array_equal(other.means_, actual.means_)


@each_covariance_type
def test_weighted_random_means_are_those_of_repeated_rows(covariance_type):
    X, K = load("wine")
    weight = np.arange(len(X)) % 4
    options = {"covariance_type": covariance_type}
    actual = start(X, K, "random_means", weight, **options)
    repeated = np.repeat(X, weight, axis=0)
    assert set(map(tuple, actual.means_)) <= set(map(tuple, repeated))
    assert_allclose(actual.weights_, 1 / K, rtol=1e-13)
    assert_close(actual.covariances_, cloud(repeated, covariance_type, K, 1e-6), 1e-12)


def test_heavy_rows_are_the_random_means():
    X, _ = load("wine")
    heavy = [3, 70, 120]
    weight = np.full(len(X), 1e-9)
    weight[heavy] = 1.0
    actual = start(X, 3, "random_means", weight)
    assert_allclose(np.unique(actual.means_, axis=0), np.unique(X[heavy], axis=0), rtol=1e-13)


@each_covariance_type
def test_random_means_are_fitted(covariance_type):
    X, K = load("iris")
    fitted = GaussianMixture(
        K, covariance_type=covariance_type, init_params="random_means", n_init=5, random_state=0
    )
    best = GaussianMixture(K, covariance_type=covariance_type, random_state=0, max_iter=200).fit(X)
    assert fitted.set_params(max_iter=300).fit(X).score(X) > best.score(X) - 0.05


# --- whitening ------------------------------------------------------------------------------
def clusters(seed=0, n=300, d=4, K=3):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % K
    return rng.normal(scale=12, size=(K, d))[labels] + rng.normal(size=(n, d)), labels


def agreement(labels, expected):
    """Share of rows with equal labels, after the best renaming."""
    table = np.zeros((labels.max() + 1, expected.max() + 1))
    np.add.at(table, (labels, expected), 1)
    return table[linear_sum_assignment(-table)].sum() / len(labels)


def transform(seed, d=4):
    """A linear map of well-conditioned directions whose scales go from 1e-6 to 1e6."""
    rng = np.random.default_rng(seed)
    rotation = np.linalg.qr(rng.normal(size=(d, d)))[0]
    return np.geomspace(1e-6, 1e6, d)[:, None] * (rotation + 0.3 * np.eye(d)), rng.normal(size=d)


@pytest.mark.parametrize("init_params", ["kmeans", "k-means++"])
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("weighted", [False, True])
def test_whitened_starts_do_not_depend_on_scales_and_correlations(weighted, seed, init_params):
    X, _ = clusters(seed)
    A, b = transform(seed)
    weight = np.random.default_rng(seed).uniform(0.5, 2, size=len(X)) if weighted else None
    options = {"init_whiten": True, "random_state": seed, "reg_covar": 0}
    if init_params == "k-means++":
        options["reg_covar"] = 1e-20  # single points need some extent
        options["covariance_type"] = "tied"
    one, other = (start(data, 3, init_params, weight, **options) for data in (X, X @ A.T + b))
    assert_allclose(other.weights_, one.weights_, rtol=1e-12)
    expected = one.means_ @ A.T + b
    scales = np.abs(A).sum(axis=1)
    assert_allclose((other.means_ - b) / scales, (expected - b) / scales, atol=1e-8)


@pytest.mark.parametrize("init_params", ["kmeans", "k-means++"])
@each_dtype
def test_constant_and_duplicate_columns_do_not_matter_to_whitening(dtype, init_params):
    X, labels = clusters()
    odd = np.column_stack([X, X[:, 0], np.full(len(X), 1e4), X[:, 1] + X[:, 2], np.zeros(len(X))])
    options = {"init_params": init_params, "init_whiten": True, "random_state": 0}
    fitted = GaussianMixture(3, covariance_type="diag", **options).fit(odd.astype(dtype))
    assert np.all(np.isfinite(fitted.means_))
    assert agreement(fitted.predict(odd.astype(dtype)), labels) == 1


@pytest.mark.parametrize("scale", [1e4, 1e-4])
def test_whitening_finds_clusters_that_scales_hide(scale):
    rng = np.random.default_rng(0)
    labels = np.arange(400) % 2
    apart = np.where(labels, 5.0, -5.0) + rng.normal(size=400)  # noise hides these clusters
    X = np.column_stack([apart, 1e3 * rng.uniform(-1, 1, size=400)]) * scale
    found = {}
    for whiten in (False, True):
        options = {"covariance_type": "diag", "reg_covar": 0, "max_iter": 0, "random_state": 0}
        mixture = GaussianMixture(2, init_whiten=whiten, **options).fit(X)
        found[whiten] = agreement(mixture.predict(X), labels)
    assert found[False] < 0.6
    assert found[True] > 0.99


@pytest.mark.parametrize("init_params", ["random", "random_from_data", "random_means"])
def test_whitening_has_no_part_in_random_starts(init_params):
    X, K = load("wine")
    one, other = (start(X, K, init_params, init_whiten=whiten) for whiten in (False, True))
    for name in ARRAYS:
        assert_array_equal(getattr(one, name), getattr(other, name))


def test_a_function_sees_the_data_as_they_are():
    X, K = load("wine")
    seen = []

    def labels(rows, n_components, random_state):
        seen.append(rows)
        return np.arange(len(rows)) % n_components

    start(X, K, labels, init_whiten=True)
    assert_array_equal(seen[0], X)


# --- starts of components of next to no extent -------------------------------------------------
def one_far_value(dtype):
    """500 values and another: its component has no extent but what reg_covar adds."""
    values = np.append(np.random.default_rng(0).normal(40_000, 20_000, 500), 1e6)
    return values[:, None].astype(dtype)


def microseconds(dtype):
    """Times since 1970; in float32, which tells no two of them apart, others as large."""
    rng = np.random.default_rng(1)
    times = 1.6e15 + np.append(rng.normal(0, 2e7, 500), 2e9)
    return times[:, None].astype(dtype) if dtype == np.float64 else one_far_value(dtype) * 1e6


ALONE = {"far value": one_far_value, "microseconds": microseconds}
TO_A_SINGLE_POINT = ["kmeans", "labels", "points"]


def start_with_point_alone(X, way):
    """Arguments of a start whose second component has the last point alone."""
    labels = (np.arange(len(X)) == len(X) - 1).astype(int)
    if way == "kmeans":
        return {"init_params": "kmeans"}
    if way == "labels":
        return {"init_params": labels}
    means = np.array([X[labels == k].mean(axis=0, dtype=float) for k in (0, 1)])
    return {"init_params": "kmeans", "means_init": means}


@pytest.mark.parametrize("way", TO_A_SINGLE_POINT)
@pytest.mark.parametrize("data", ALONE)
@each_dtype
@each_type_of_its_own
def test_a_point_alone_keeps_its_component(covariance_type, dtype, data, way):
    X = ALONE[data](dtype)
    options = {"covariance_type": covariance_type, "random_state": 0}
    fitted = GaussianMixture(2, **options, **start_with_point_alone(X, way)).fit(X)
    assert sorted(fitted.weights_ * len(X)) == pytest.approx([1, len(X) - 1], rel=1e-3)
    assert len(np.unique(fitted.predict(X))) == 2


@pytest.mark.parametrize("d", [2, 5, 20])
@each_covariance_type
def test_a_point_alone_keeps_its_component_in_many_features(covariance_type, d):
    X = np.random.default_rng(0).normal(40_000, 20_000, (200, d)).astype(np.float32)
    X[-1] = 1e6
    fitted = GaussianMixture(2, covariance_type=covariance_type, random_state=0).fit(X)
    assert fitted.weights_.min() * 200 == pytest.approx(1, rel=1e-3)
    assert fitted.score(X) > GaussianMixture(1, covariance_type=covariance_type).fit(X).score(X)


@pytest.mark.parametrize("init_params", ["k-means++", "random_from_data"])
@each_type_of_its_own
@pytest.mark.parametrize("data", ALONE)
def test_single_points_start_within_reach_of_themselves(data, covariance_type, init_params):
    X = ALONE[data](np.float32)
    options = {"covariance_type": covariance_type, "init_params": init_params}
    first = GaussianMixture(2, max_iter=0, random_state=3, **options).fit(X)
    counts = first.predict_proba(X).sum(axis=0)
    assert counts.min() > 0.4


@pytest.mark.parametrize("seed", range(20))
def test_clusters_of_few_rows_start_in_float32(seed):
    """Their covariances are of low rank; rounded before reg_covar was added they were not even."""
    rng = np.random.default_rng(seed)
    X = np.concatenate([rng.normal(size=(200, 6)) * 30, rng.normal(size=(4, 6)) * 30 + 3000])
    fitted = GaussianMixture(3, random_state=0, max_iter=1, tol=1e9, reg_covar=1e-3)
    with pytest.warns(ConvergenceWarning):
        fitted.fit(X.astype(np.float32))
    assert np.all(np.isfinite(fitted.precisions_cholesky_))
