"""A pass takes the memory that it announces, and no more than its results need."""

from __future__ import annotations

import numpy as np
import pytest
from axes import each_dtype
from memory_peak import peak_of

from fastgmm import kernels
from fastgmm.kernels import layouts, workspace
from fastgmm.kernels.partition import bytes_of_pass

# The problems are small, and these are tests of the drivers.
pytestmark = pytest.mark.usefixtures("on_drivers")

PASSES = [
    *(("diag", 2000, 3000, 20, "float32"), ("spherical", 2000, 3000, 20, "float64")),
    *(("tied", 1000, 20, 500, "float64"), ("tied", 100, 300, 3, "float32")),
    *(("full", 1000, 200, 20, "float32"), ("full", 1000, 10, 200, "float64")),
]


@pytest.mark.parametrize(("covariance_type", "n", "d", "K", "dtype"), PASSES)
def test_bytes_of_a_pass_are_about_what_it_takes(covariance_type, n, d, K, dtype):
    X = np.random.default_rng(0).standard_normal((n, d)).astype(dtype)
    factors = full_factors(covariance_type, K, d)
    peak = peak_of(kernels.expectation, X, np.full(K, 1 / K), X[:K], factors, covariance_type)
    expected = bytes_of_pass(n, K, d, covariance_type, X.itemsize)
    assert expected / 4 < peak < 2 * expected


def test_a_tied_pass_of_many_components_takes_their_square():
    """Not that times the features: 256 MB a block here."""
    n, d, K = 64, 16, 1400
    X = np.random.default_rng(0).standard_normal((K, d))
    arguments = np.full(K, 1 / K), X, np.eye(d), "tied"
    assert peak_of(kernels.expectation, X[:n], *arguments) < 8 * K**2 * d / 3


def test_normalization_takes_no_square_of_the_components():
    a = np.zeros((2, 4000))
    assert peak_of(kernels.normalize_responsibilities, a) < 8 * 4000**2 / 4


def full_factors(covariance_type: str, K: int, d: int) -> np.ndarray:
    shapes = {"full": (K, d, d), "tied": (d, d), "diag": (K, d), "spherical": (K,)}
    ones = np.eye(d) if covariance_type in ("full", "tied") else np.ones(())
    return np.broadcast_to(ones, shapes[covariance_type])


@pytest.mark.parametrize(("vector_bytes", "vectors"), [(32, 2), (64, 4)])
@each_dtype
def test_rows_over_the_points_of_a_tile_hold_its_padding(vector_bytes, vectors, dtype, monkeypatch):
    """Of narrow vectors of doubles a tile may hold an odd number of half the padding."""
    monkeypatch.setattr(workspace, "VECTOR_BYTES", vector_bytes)
    monkeypatch.setattr(workspace, "CHUNK_BYTES", vector_bytes * vectors)
    dtype = np.dtype(dtype)
    for d in (1, 5, 17, 120, 130, 333, 1000):
        for covariance_type in ("full", "tied", "diag", "spherical"):
            model = layouts.outline(3, d, covariance_type, dtype)
            length = workspace.tile_length(model, dtype)
            shapes = workspace.tile_shapes(model, length, dtype)
            for name in ("components", "peak", "total", "scale"):
                assert shapes[name][-1] >= -(-length // 16) * 16
