"""The kernels against the reference, over the registry and at the edges of the contract."""

from __future__ import annotations

import dataclasses
import sys
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType

import numpy as np
import pytest
from axes import compiled_only, each_covariance_type, each_dtype_by_name, over_registry
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from processes import run_python
from registry import (
    CASES,
    SMALL_CASES,
    TOLERANCES,
    Case,
    Inputs,
    assert_agree,
    assert_statistics_agree,
)

from fastgmm import kernels, reference
from fastgmm.kernels import (
    assign,
    expectation,
    log_density,
    log_gaussian_density,
    normalize_responsibilities,
    responsibilities,
    weighted_covariances,
)

# The problems are small; the drivers are to solve them, too.
pytestmark = pytest.mark.usefixtures("both_ways")


# --- the seven functions over the registry ----------------------------------------------------
@over_registry
def test_log_gaussian_density(case: Case):
    X, _, means, factors, _ = case.make()
    actual = log_gaussian_density(X, means, factors, case.covariance_type)
    expected = reference.log_gaussian_density(X, means, factors, case.covariance_type)
    assert actual.dtype == case.dtype
    assert_agree(actual, expected, case.dtype)


@over_registry
def test_normalize_responsibilities(case: Case):
    X, weights, means, factors, _ = case.make()
    a = reference.log_gaussian_density(X, means, factors, case.covariance_type) + np.log(weights)
    log_p, r = normalize_responsibilities(a)
    expected_log_p, expected_r = reference.normalize_responsibilities(a)
    assert log_p.dtype == r.dtype == case.dtype
    assert_agree(log_p, expected_log_p, case.dtype)
    assert_agree(r, expected_r, case.dtype)
    assert_agree(r.sum(axis=1), np.ones(case.n), case.dtype)


@over_registry
@pytest.mark.parametrize("reg_covar", [0.0, 0.25])
def test_weighted_covariances(case: Case, reg_covar: float):
    problem = case.make()
    r = reference.responsibilities(problem.X, *problem.mixture, case.covariance_type)
    actual = weighted_covariances(problem.X, r, case.covariance_type, reg_covar)
    expected = reference.weighted_covariances(problem.X, r, case.covariance_type, reg_covar)
    for actual_array, expected_array in zip(actual, expected, strict=True):
        assert actual_array.dtype == case.dtype
        assert_agree(actual_array, expected_array, case.dtype)


@over_registry
def test_expectation(case: Case):
    X, *mixture, sample_weight = case.make()
    actual = expectation(X, *mixture, case.covariance_type, sample_weight)
    expected = reference.expectation(X, *mixture, case.covariance_type, sample_weight)
    log_p = reference.log_density(X, *mixture, case.covariance_type)
    weight = np.ones(case.n) if sample_weight is None else sample_weight
    assert_statistics_agree(actual, expected, weight * log_p, case.dtype)
    for field in ("counts", "first", "second", "reference"):
        assert getattr(actual, field).dtype == np.float64
    assert isinstance(actual.log_likelihood, float)


@over_registry
def test_log_density(case: Case):
    X, *mixture, _ = case.make()
    actual = log_density(X, *mixture, case.covariance_type)
    assert actual.dtype == case.dtype
    assert_agree(actual, reference.log_density(X, *mixture, case.covariance_type), case.dtype)


@over_registry
def test_responsibilities(case: Case):
    X, *mixture, _ = case.make()
    actual = responsibilities(X, *mixture, case.covariance_type)
    assert actual.dtype == case.dtype
    assert_agree(actual, reference.responsibilities(X, *mixture, case.covariance_type), case.dtype)
    assert_agree(actual.sum(axis=1), np.ones(case.n), case.dtype)


@over_registry
def test_assign(case: Case):
    X, *mixture, _ = case.make()
    labels = assign(X, *mixture, case.covariance_type)
    assert labels.dtype == np.intp
    r = reference.responsibilities(X, *mixture, case.covariance_type)
    # Between components that are equally probable to the last bits either may win.
    assert_agree(r[np.arange(case.n), labels], r.max(axis=1), case.dtype)


@pytest.mark.parametrize(
    "case", [case for case in SMALL_CASES if case.order != "C"] or CASES, ids=lambda case: case.name
)
def test_input_is_left_alone(case: Case):
    problem = case.make()
    kept = [None if array is None else array.copy() for array in problem]
    call_all(kernels, problem, case.covariance_type)
    for array, before in zip(problem, kept, strict=True):
        np.testing.assert_array_equal(array, before)


def call_all(module: ModuleType, problem: Inputs, covariance_type: str) -> list[np.ndarray]:
    """Return the results of all seven functions of `kernels` or `reference`, as arrays."""
    X, *mixture, sample_weight = problem
    r = module.responsibilities(X, *mixture, covariance_type)
    density = module.log_gaussian_density(X, *mixture[1:], covariance_type)
    statistics = module.expectation(X, *mixture, covariance_type, sample_weight)
    return [
        r,
        density,
        *module.normalize_responsibilities(density),
        *module.weighted_covariances(X, r, covariance_type),
        *(
            np.asarray(value) for value in dataclasses.astuple(statistics)[:-2]
        ),  # but its type and directions
        module.log_density(X, *mixture, covariance_type),
        module.assign(X, *mixture, covariance_type),
    ]


# --- difficult numbers ------------------------------------------------------------------------
@each_covariance_type
@pytest.mark.parametrize(
    ("dtype", "distance"),
    [
        *(("float64", distance) for distance in (1e150, 1e154, 1e200, 1e308)),
        *(("float32", distance) for distance in (1e15, 1e20, 1e30, 3e38)),
    ],
)
@pytest.mark.parametrize("d", [1, 3, 17])
@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid")  # their second moments overflow
def test_points_far_from_everything(covariance_type: str, dtype: str, distance: float, d: int):
    X, *mixture, _ = Case(covariance_type, dtype, 40, d, 3).make()
    far = X.copy()
    far[::4] = distance
    far[1::4, 0] = -distance
    r = responsibilities(far, *mixture, covariance_type)
    assert np.all(np.isfinite(r))
    assert_agree(r.sum(axis=1), np.ones(40), dtype)
    assert np.all(np.isfinite(log_density(far, *mixture, covariance_type)))
    assert np.all(log_density(far, *mixture, covariance_type)[::4] < -1e10)
    assert set(assign(far, *mixture, covariance_type)) <= {0, 1, 2}
    statistics = expectation(far, *mixture, covariance_type)
    assert np.isfinite(statistics.log_likelihood)
    assert_agree(statistics.counts.sum(), 40.0, dtype)
    # The points among them that are near do not notice.
    near = np.arange(40) % 4 >= 2
    assert_agree(r[near], reference.responsibilities(X[near], *mixture, covariance_type), dtype)


@each_covariance_type
@pytest.mark.parametrize(("dtype", "offset"), [("float64", 1e8), ("float32", 1e4)])
@pytest.mark.parametrize("d", [2, 8, 17])
def test_offset_cancels_nothing(covariance_type: str, dtype: str, offset: float, d: int):
    problem = Case(covariance_type, dtype, 300, d, 3).make()
    X, means = (array + np.dtype(dtype).type(offset) for array in (problem.X, problem.means))
    mixture = problem.weights, means, problem.precisions_cholesky
    actual = expectation(X, *mixture, covariance_type)
    expected = reference.expectation(X, *mixture, covariance_type)
    log_p = reference.log_density(X, *mixture, covariance_type)
    assert_statistics_agree(actual, expected, log_p, dtype)
    r = reference.responsibilities(X, *mixture, covariance_type)
    actual_covariances = weighted_covariances(X, r, covariance_type)[2]
    expected_covariances = reference.weighted_covariances(X, r, covariance_type)[2]
    assert_agree(actual_covariances, expected_covariances, dtype)


@each_covariance_type
@each_dtype_by_name
def test_component_of_zero_weight(covariance_type: str, dtype: str):
    problem = Case(covariance_type, dtype, 50, 3, 3).make()
    X, means, factors = problem.X, problem.means, problem.precisions_cholesky
    weights = np.array([0.25, 0.0, 0.75], dtype)
    r = responsibilities(X, weights, means, factors, covariance_type)
    assert np.all(r[:, 1] == 0)
    statistics = expectation(X, weights, means, factors, covariance_type)
    assert statistics.counts[1] == 0
    assert np.all(statistics.first[1] == 0)
    assert 1 not in assign(X, weights, means, factors, covariance_type)
    rest = factors if covariance_type == "tied" else factors[[0, 2]]
    without = reference.log_density(X, weights[[0, 2]], means[[0, 2]], rest, covariance_type)
    assert_agree(log_density(X, weights, means, factors, covariance_type), without, dtype)


@each_covariance_type
@each_dtype_by_name
def test_component_without_points(covariance_type: str, dtype: str):
    X = Case(covariance_type, dtype, 50, 3, 3).make().X
    r = np.tile(np.array([1.0, 0.0], dtype), (50, 1))
    actual = weighted_covariances(X, r, covariance_type, 1e-3)
    expected = reference.weighted_covariances(X, r, covariance_type, 1e-3)
    for actual_array, expected_array in zip(actual, expected, strict=True):
        assert_agree(actual_array, expected_array, dtype)
    assert_agree(actual[1][1], X.mean(axis=0), dtype)


@each_dtype_by_name
@pytest.mark.filterwarnings("ignore:invalid")  # -inf - -inf, uncompiled
def test_rows_of_zero_density(dtype: str):
    inf = np.inf
    a = np.array([[np.log(0.1), np.log(0.3)], [-inf, -inf], [np.log(0.5), -inf]], dtype)
    log_p, r = normalize_responsibilities(a)
    np.testing.assert_allclose(r, [[0.25, 0.75], [0.5, 0.5], [1.0, 0.0]], rtol=1e-6)
    np.testing.assert_allclose(log_p, [np.log(0.4), -np.inf, np.log(0.5)], rtol=1e-6)


@each_dtype_by_name
@pytest.mark.parametrize("n_components", [1, 2, 3, 8, 40])
def test_log_sum_exp_over_a_wide_range(dtype: str, n_components: int):
    """Differences from nothing to far below the smallest exponential, at any level."""
    rng = np.random.default_rng(5)
    spread = 10.0 ** rng.uniform(-12, 4, (700, 1))
    level = rng.choice([-1e4, -700.0, 0.0, 700.0, 1e4], (700, 1))
    a = (level + spread * rng.standard_normal((700, n_components))).astype(dtype)
    log_p, r = normalize_responsibilities(a)
    expected_log_p, expected_r = reference.normalize_responsibilities(a)
    assert_agree(r, expected_r, dtype)
    assert_agree(log_p, expected_log_p, dtype)
    assert np.all((r >= 0) & (r <= 1))


@given(
    arrays(
        np.float64,
        array_shapes(min_dims=2, max_dims=2, max_side=9),
        elements=st.floats(-1e300, 1e300) | st.sampled_from([-np.inf, 0.0, -745.0, -1e-300]),
    )
)
@settings(derandomize=True, deadline=None)
@pytest.mark.filterwarnings("ignore:invalid")  # -inf - -inf, uncompiled
def test_log_sum_exp_of_anything(a: np.ndarray):
    log_p, r = normalize_responsibilities(a)
    expected_log_p, expected_r = reference.normalize_responsibilities(a)
    np.testing.assert_allclose(r, expected_r, rtol=1e-11, atol=1e-300)
    np.testing.assert_allclose(log_p, expected_log_p, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(r.sum(axis=1), 1, rtol=1e-14)


@each_covariance_type
def test_every_point_of_weight_zero(covariance_type: str):
    X, *mixture, _ = Case(covariance_type, "float64", 30, 2, 3).make()
    statistics = expectation(X, *mixture, covariance_type, np.zeros(30))
    assert statistics.log_likelihood == 0
    assert not np.any(statistics.counts)
    assert not np.any(statistics.second)


@each_covariance_type
def test_sample_weights_are_repetitions(covariance_type: str):
    X, *mixture, _ = Case(covariance_type, "float64", 200, 3, 4).make()
    times = np.arange(200) % 3
    weighted = expectation(X, *mixture, covariance_type, times.astype(float))
    repeated = expectation(np.repeat(X, times, axis=0), *mixture, covariance_type)
    assert_statistics_agree(weighted, repeated, repeated.log_likelihood, "float64")


@each_covariance_type
def test_statistics_of_chunks_add_up(covariance_type: str):
    X, *mixture, _ = Case(covariance_type, "float64", 1000, 3, 4).make()
    whole = expectation(X, *mixture, covariance_type)
    chunks = [expectation(X[i : i + 300], *mixture, covariance_type) for i in range(0, 1000, 300)]
    total = chunks[0] + chunks[1] + chunks[2] + chunks[3]
    assert_statistics_agree(total, whole, whole.log_likelihood, "float64")


# --- the edges of the contract ----------------------------------------------------------------
FULL = Case("full", "float64", 10, 3, 2)
WRONG_SHAPES = {
    "X with one axis": {"X": np.zeros(3)},
    "X with other features": {"X": np.zeros((10, 4))},
    "means with other features": {"means": np.zeros((2, 4))},
    "means with other components": {"means": np.zeros((3, 3))},
    "weights with other components": {"weights": np.full(3, 1 / 3)},
    "weights with two axes": {"weights": np.full((1, 2), 0.5)},
    "factors with other components": {"precisions_cholesky": np.zeros((3, 3, 3))},
    "factors with other features": {"precisions_cholesky": np.zeros((2, 4, 4))},
    "factors of another covariance type": {"precisions_cholesky": np.ones((2, 3))},
}


@pytest.mark.parametrize("change", WRONG_SHAPES.values(), ids=WRONG_SHAPES.keys())
def test_shapes_that_disagree(change: dict[str, np.ndarray]):
    X, *mixture, _ = FULL.make()._replace(**change)
    for function in (expectation, log_density, responsibilities, assign):
        with pytest.raises(ValueError, match=r"shape|dimension"):
            function(X, *mixture, "full")
    if "weights" not in change:
        with pytest.raises(ValueError, match=r"shape|dimension"):
            log_gaussian_density(X, *mixture[1:], "full")


@each_covariance_type
def test_factors_of_another_shape(covariance_type: str):
    X, weights, means, *_ = Case(covariance_type, "float64", 10, 3, 2).make()
    for shape in {(2, 3, 3), (3, 3), (2, 3), (2,)} - {
        {"full": (2, 3, 3), "tied": (3, 3), "diag": (2, 3), "spherical": (2,)}[covariance_type]
    }:
        with pytest.raises(ValueError, match=r"shape|dimension"):
            responsibilities(X, weights, means, np.ones(shape), covariance_type)


def test_other_shapes_that_disagree():
    X, *mixture, _ = FULL.make()
    for sample_weight in (np.ones(9), np.ones((10, 1))):
        with pytest.raises(ValueError, match=r"shape|dimension"):
            expectation(X, *mixture, "full", sample_weight)
    for r in (np.ones((9, 2)), np.ones(10)):
        with pytest.raises(ValueError, match=r"shape|dimension"):
            weighted_covariances(X, r, "full")
    with pytest.raises(ValueError, match=r"shape|dimension"):
        normalize_responsibilities(np.zeros(10))


def test_unknown_covariance_type():
    X, *mixture, _ = FULL.make()
    with pytest.raises(ValueError, match="covariance_type"):
        responsibilities(X, *mixture, "round")


# --- threads, memory, modes -------------------------------------------------------------------
DIGEST = """
import hashlib, numpy as np
from registry import Case
from fastgmm import kernels
from test_kernels import call_all
for case in (
    Case("full", "float64", 20_000, 8, 5, weighted=True), Case("tied", "float32", 20_000, 3, 7),
    Case("diag", "float64", 9_000, 17, 4), Case("spherical", "float32", 70_000, 1, 2),
    Case("full", "float32", 3_000, 33, 6),
):
    results = call_all(kernels, case.make(), case.covariance_type)
    print(hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in results)).hexdigest())
"""


@compiled_only
def test_any_number_of_threads_gives_the_same_bits():
    digests = {threads: run_python(DIGEST, NUMBA_NUM_THREADS=threads) for threads in "12"}
    assert digests["1"] == digests["2"]
    assert len(digests["1"].split()) == 5


@compiled_only
def test_calls_from_several_python_threads():
    """The threading layer may refuse a second caller: the results are the same regardless."""
    X, *mixture, _ = Case("full", "float64", 20_000, 2, 7).make()
    expected = expectation(X, *mixture, "full")
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(expectation, X, *mixture, "full") for _ in range(16)]
    for future in futures:
        np.testing.assert_array_equal(future.result().second, expected.second)


FORK = """
import multiprocessing, warnings, numpy as np
from registry import Case
from fastgmm.kernels import expectation
X, *mixture, _ = Case("full", "float64", 20_000, 2, 7).make()
expected = expectation(X, *mixture, "full")
warnings.simplefilter("ignore", DeprecationWarning)  # forking beside threads is the point here
with multiprocessing.get_context("fork").Pool(2) as pool:
    results = [pool.apply_async(expectation, (X, *mixture, "full")) for _ in range(2)]
    assert all(np.array_equal(r.get(120).second, expected.second) for r in results)
print("same")
"""


@compiled_only
@pytest.mark.skipif(sys.platform != "linux", reason="forking beside threads is safe on Linux only")
def test_children_forked_after_a_pass():
    assert run_python(FORK) == "same\n"


# The peak comes from /proc: the process's ru_maxrss would start at that of pytest's process.
MEMORY = """
import numpy as np
from registry import Case
from fastgmm.kernels import expectation
def peak():
    with open("/proc/self/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmHWM")) / 1024
few, *mixture, _ = Case("full", "float64", 20_000, 8, 16).make()
expectation(few, *mixture, "full")
X = np.random.default_rng(0).standard_normal((2_000_000, 8))
before = peak()
statistics = expectation(X, *mixture, "full")
assert abs(statistics.counts.sum() - len(X)) < 1e-3
print(peak() - before)
"""


@compiled_only
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is read from /proc")
def test_expectation_needs_no_memory_beside_its_input():
    assert float(run_python(MEMORY)) < 64


UNCOMPILED = """
import numba
from fastgmm import kernels, reference
from registry import SMALL_CASES, relative_error
from test_kernels import call_all
assert numba.config.DISABLE_JIT
for case in SMALL_CASES[::5]:
    uncompiled = call_all(kernels, case.make(), case.covariance_type)
    expected = call_all(reference, case.make(), case.covariance_type)
    print(max(map(relative_error, uncompiled, expected)), case.dtype)
"""


@compiled_only
def test_without_compilation():
    errors = run_python(UNCOMPILED, NUMBA_DISABLE_JIT="1").splitlines()
    assert len(errors) == len(SMALL_CASES[::5])
    for line in errors:
        error, dtype = line.split()
        assert float(error) < 10 * TOLERANCES[dtype]


@pytest.mark.parametrize("covariance_type", ["diag", "spherical"])
def test_points_of_no_weight_may_be_anywhere(covariance_type):
    """Their squared distances overflow, and 0 · ∞ must not spoil the sums."""
    X = np.random.default_rng(0).standard_normal((40, 3))
    means, factors = X[:2], np.ones((2, 3) if covariance_type == "diag" else 2)
    weights, sample_weight = np.full(2, 0.5), np.append(np.ones(40), 0)
    far = np.vstack([X, np.full(3, 1e200)])
    expected = kernels.expectation(X, weights, means, factors, covariance_type)
    with np.errstate(over="ignore"):  # without compilation it is numpy that computes, and warns
        actual = kernels.expectation(far, weights, means, factors, covariance_type, sample_weight)
    for field in ("log_likelihood", "counts", "first", "second"):
        assert_agree(getattr(actual, field), getattr(expected, field), "float64")
