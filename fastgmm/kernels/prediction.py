"""Checked arguments of a pass, the model that is made of them, and what it says of points."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastgmm._contract import check_covariance_type, check_upper_factors
from fastgmm._records import FloatArray
from fastgmm.kernels import drivers
from fastgmm.kernels.drivers import Outputs, Points, PredictionTask
from fastgmm.kernels.layouts import LogDensityModel, Mixture, Model, prepare_model
from fastgmm.kernels.partition import MOST_BLOCKS
from fastgmm.kernels.strided import as_strided
from fastgmm.kernels.workspace import allocate_tiles, tile_length
from fastgmm.system.threads import max_threads


def checked(
    X: FloatArray,
    weights: Any,
    means: Any,
    factors: Any,
    covariance_type: Any,
    log_constants: Any = None,
) -> Mixture:
    """Check the arguments, since compiled code would read beyond an array's end.

    And it does not read what is below the diagonal of a factor, where a covariance has something.
    """
    check_covariance_type(covariance_type)
    weights, means, factors = (np.asarray(array) for array in (weights, means, factors))
    K, d = len(weights), X.shape[1]
    expected = {"full": (K, d, d), "tied": (d, d), "diag": (K, d), "spherical": (K,)}
    if covariance_type == "low_rank":  # of any rank
        expected[covariance_type] = (K, d, max([2, *factors.shape[2:3]]))
    for name, array, shape in [
        ("weights", weights, (K,)),
        ("means", means, (K, d)),
        ("precisions_cholesky", factors, expected[covariance_type]),
    ]:
        if array.shape != shape or 0 in shape:
            raise ValueError(
                f"{name} has shape {array.shape}; expected {shape} for {K} component(s), "
                f"{d} feature(s) and covariance_type={covariance_type!r}."
            )
    check_upper_factors(factors, covariance_type)
    if log_constants is not None and np.shape(log_constants) != (K,):
        raise ValueError(
            f"log_constants has shape {np.shape(log_constants)}; expected ({K},), one for each "
            "component."
        )
    return Mixture(weights, means, factors, covariance_type, log_constants)


def checked_weight(X: FloatArray, sample_weight: FloatArray | None) -> FloatArray:
    """The weights of the points, an empty array for none."""
    if sample_weight is None:
        return np.empty(0, X.dtype)
    # Writable, since numba would compile anew for a read-only array.
    sample_weight = np.require(sample_weight, X.dtype, ["C", "W"])
    if sample_weight.shape != (len(X),):
        raise ValueError(f"sample_weight has shape {sample_weight.shape}; expected ({len(X)},).")
    return sample_weight


def model_of(mixture: Mixture, dtype: np.dtype) -> Model:
    """Lay a mixture out as the workers read it."""
    return prepare_model(*mixture[:4], dtype, mixture.log_constants)


def predict(
    X: FloatArray,
    model: Model,
    *,
    log_density: FloatArray | None = None,
    mixture: FloatArray | None = None,
    responsibilities: FloatArray | None = None,
    labels: np.ndarray | None = None,
) -> None:
    """Fill the outputs that are given; the others reach the kernel without rows."""
    length = tile_length(model, X.dtype)
    n_blocks = min(-(-len(X) // length), MOST_BLOCKS)
    if not n_blocks:
        return
    tiles = allocate_tiles(model, length, X.dtype, min(n_blocks, max_threads()))
    empty_rows, empty = np.empty((0, 0), X.dtype), np.empty(0, X.dtype)
    points = Points(as_strided(X), as_strided(empty_rows), empty, len(X), length)
    outputs = Outputs(
        empty_rows if log_density is None else log_density,
        empty if mixture is None else mixture,
        empty_rows if responsibilities is None else responsibilities,
        np.empty(0, np.intp) if labels is None else labels,
    )
    drivers.prediction_blocks(n_blocks, PredictionTask(points, model, tiles, outputs))


def normalized(weighted_log_density: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Log-density (n,) and responsibilities (n, K) of log-densities (n, K), by tiles."""
    a = weighted_log_density
    n, K = a.shape
    no_means = np.broadcast_to(a.dtype.type(0), (K, K))
    model = LogDensityModel(no_means, np.empty(0, a.dtype))
    density, posterior = np.empty(n, a.dtype), np.empty((n, K), a.dtype)
    predict(a, model, mixture=density, responsibilities=posterior)
    return density, posterior
