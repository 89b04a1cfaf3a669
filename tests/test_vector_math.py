"""The kernels' own exponential and logarithm, against mpmath."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import mpmath
import numba
import numpy as np
from axes import compiled_only, each_dtype_by_name

from fastgmm.kernels.codegen.logarithm import log
from fastgmm.kernels.codegen.tiles import exponentials
from fastgmm.kernels.jit.target import VECTOR_BYTES

pytestmark = compiled_only
SAMPLES = 100_000


@numba.njit
def exponentials_of(shares, peak, total):
    exponentials(shares, shares.shape[1], peak, total, VECTOR_BYTES)


@numba.njit
def logarithms_of(x, result):
    for i in range(x.size):
        result[i] = log(x[i])


def exp_of_negative(x: np.ndarray) -> np.ndarray:
    """Shares of a second component beside a first one of log-density 0, in whole vectors."""
    padded = np.zeros((2, -(-len(x) // 64) * 64), x.dtype)
    padded[1, : len(x)] = x
    peak, total = np.empty((2, padded.shape[1]), x.dtype)
    exponentials_of(padded, peak, total)
    assert not np.any(peak)
    np.testing.assert_array_equal(padded[0], 1)
    np.testing.assert_array_equal(total, 1 + padded[1])
    return padded[1, : len(x)]


def log_of_positive(x: np.ndarray) -> np.ndarray:
    result = np.empty_like(x)
    logarithms_of(x, result)
    return result


def error(actual: np.ndarray, function: Callable, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Exact values rounded to float64, and how far from the exact ones `actual` is."""
    if x.dtype == np.float32:
        rounded = getattr(np, function.__name__)(x.astype(np.float64))
        return rounded, np.abs(actual - rounded)
    with mpmath.workprec(80):
        exact = [function(mpmath.mpf(value)) for value in x.tolist()]
        rounded = np.array([float(value) for value in exact])
        rest = np.array([float(e - r) for e, r in zip(exact, rounded.tolist(), strict=True)])
    return rounded, np.abs((actual - rounded) - rest)


# --- the exponential --------------------------------------------------------------------------
def lowest(dtype: str) -> float:
    """Where the exponentials fall to the smallest normal number."""
    return float(np.log(np.finfo(dtype).smallest_normal))


@cache
def exponents(dtype: str) -> np.ndarray:
    """From 0 to where shares vanish: all over, near nothing, and at steps of the reduction."""
    rng = np.random.default_rng(0)
    low = lowest(dtype) + 0.7
    steps = np.log(2) * np.arange(0.5, -low / np.log(2))
    return np.concatenate(
        [
            rng.uniform(low, 0, SAMPLES // 2),
            rng.uniform(-2, 0, SAMPLES // 4),
            -(10.0 ** rng.uniform(-20, np.log10(-low), SAMPLES // 4)),
            *(-steps * factor for factor in (1 - 1e-15, 1, 1 + 1e-15)),
            [0.0, -0.0, low],
        ]
    ).astype(dtype)


@each_dtype_by_name
def test_exponentials(dtype: str):
    x = exponents(dtype)
    exact, off = error(exp_of_negative(x), mpmath.exp, x)
    assert np.all(off <= 2 * np.spacing(exact.astype(dtype)))


@each_dtype_by_name
def test_an_exponential_of_nothing_is_one_and_none_is_more(dtype: str):
    assert exp_of_negative(np.array([0.0, -0.0], dtype)).tolist() == [1, 1]
    assert np.all(exp_of_negative(exponents(dtype)) <= 1)


@each_dtype_by_name
def test_exponentials_below_the_normal_numbers_are_nothing(dtype: str):
    """And no others are, but for the last factor of √2 or so."""
    info = np.finfo(dtype)
    x = np.linspace(lowest(dtype) - 40, lowest(dtype) + 2, SAMPLES).astype(dtype)
    x = np.concatenate([x, np.array([-1e4, -1e30, info.min, -np.inf], dtype)])
    with np.errstate(under="ignore", over="ignore"):
        actual = exp_of_negative(x)
    assert np.all(actual[x < lowest(dtype)] == 0)
    assert np.all((actual == 0) | (actual >= info.smallest_normal))
    assert np.all(actual[x > lowest(dtype) + 0.35] > 0)


@each_dtype_by_name
def test_equal_exponents_have_equal_exponentials(dtype: str):
    """In whatever lane of a vector they are."""
    x = np.repeat(exponents(dtype)[:1000], 64 + 1)
    actual = exp_of_negative(x).reshape(-1, 64 + 1)
    np.testing.assert_array_equal(actual, actual[:, :1] * np.ones(64 + 1, dtype))


# --- the logarithm ----------------------------------------------------------------------------
@cache
def positive(dtype: str) -> np.ndarray:
    """Normal numbers: all over, about 1, between 1 and many components, at steps."""
    rng = np.random.default_rng(1)
    info = np.finfo(dtype)
    low, high = np.log2(info.smallest_normal), np.log2(info.max)
    powers = 2.0 ** np.arange(low, high)
    roots = np.sqrt(0.5) * (1 + info.eps * np.arange(-4, 5))
    return np.concatenate(
        [
            2.0 ** rng.uniform(low, high - 1e-6, SAMPLES // 4),
            rng.uniform(0.5, 2, SAMPLES // 4),
            1 + 10.0 ** rng.uniform(np.log10(info.eps), 0, SAMPLES // 4),
            rng.uniform(1, 1000, SAMPLES // 4),
            *(powers[2:-2] * root for root in roots),
            powers,
            np.nextafter(np.ones(1, dtype), np.array([0, 2], dtype)),
            [info.smallest_normal, info.max],
        ]
    ).astype(dtype)


@each_dtype_by_name
def test_logarithms(dtype: str):
    x = positive(dtype)
    exact, off = error(log_of_positive(x), mpmath.log, x)
    assert np.all(off <= 2 * np.spacing(np.abs(exact).astype(dtype)))


@each_dtype_by_name
def test_the_logarithm_of_one_is_nothing(dtype: str):
    """So that one component's responsibilities and densities are exact."""
    assert log_of_positive(np.ones(1, dtype)).tolist() == [0]


@each_dtype_by_name
def test_the_logarithm_rises(dtype: str):
    """But for its rounding."""
    x = np.sort(positive(dtype))
    actual = log_of_positive(x)
    assert np.all(np.diff(actual) >= -4 * np.spacing(np.abs(actual[1:])))
