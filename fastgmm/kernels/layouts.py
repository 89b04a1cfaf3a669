"""Parameters laid out for the pass: one record for each kind of model.

`prepare_model` turns weights, means and precisions into what the density workers want. The class
of the record selects the workers at compile time.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from fastgmm._records import CovarianceType, FloatArray

# Up to so many features the triangle of a component is unrolled into registers: always, and where
# the second moments of all components have no more than so many numbers.
ALWAYS_UNROLLED, MOST_UNROLLED, MOST_UNROLLED_MOMENTS = 16, 42, 2**16
# Up to this many, unrolled second moments of every component are cheaper than those of the tied
# model, which pay by the point.
MOST_UNROLLED_TIED = 8
# Standard deviations from the origin of a tied model up to which the means may lie, by the size of
# a number: it takes points and means from there, whose rounding shows beyond. Then each component
# has a copy of the factor.
MOST_DEVIATIONS_APART = {4: 2**8, 8: 2**10}
# Elements of any dtype that fill whole vectors; point-major rows are padded to a multiple.
PADDING = 16
# Columns of a triangular factor that one block works on.
PANEL = 6
# Rows of a covariance that one block works on.
BLOCK_ROWS = 4


class Mixture(NamedTuple):
    """The parameters of a mixture as they are given, each array with its component first."""

    weights: FloatArray  # (K,)
    means: FloatArray  # (K, d)
    factors: FloatArray  # of the precisions: (K, d, d), (d, d), (K, d) or (K,)
    covariance_type: CovarianceType
    log_constants: FloatArray | None = None  # (K,), added to log-densities


class FullModel(NamedTuple):
    """Components with a covariance each; `factors` are U's columns, a panel at a time.

    Those of a panel, down to its last diagonal, are consecutive rows of `factors`.
    """

    means: FloatArray  # (K, d)
    padded_means: FloatArray  # (K, padded): whole vectors
    factors: FloatArray  # (K · panel rows, PANEL)
    log_constants: FloatArray  # (K,): log πₖ + log |Uₖ| - d/2 log 2π


class SmallFullModel(NamedTuple):
    """Components with a covariance each and few features, whose number is part of the type."""

    means: FloatArray  # (K, d)
    factors: FloatArray  # (K, d(d+1)/2): U's columns, down to the diagonal
    log_constants: FloatArray  # (K,)
    features: tuple[int, ...]  # d of them


class TiedModel(NamedTuple):
    """Components with one covariance, whose points and means are whitened by its factor."""

    means: FloatArray  # (K, d)
    origin: FloatArray  # (d,): the centre of the means, taken from all points
    padded_origin: FloatArray  # (1, padded)
    padded_means: FloatArray  # (K, padded), from the origin
    factors: FloatArray  # (panel rows, PANEL), as in FullModel
    whitened_means: FloatArray  # (K, d): Uᵀ(μₖ - origin)
    log_constants: FloatArray  # (K,)


class DiagonalModel(NamedTuple):
    """Components with a variance per feature."""

    means: FloatArray  # (K, d)
    factors: FloatArray  # (K, d): inverse standard deviations
    log_constants: FloatArray  # (K,)


class SphericalModel(NamedTuple):
    """Components with one variance that all features share."""

    means: FloatArray  # (K, d)
    factors: FloatArray  # (K,): inverse standard deviations
    log_constants: FloatArray  # (K,)


class LogDensityModel(NamedTuple):
    """No model at all: the "points" are weighted log-densities already."""

    means: FloatArray  # (K, K), never read: the shape of a model with K "features"
    log_constants: FloatArray  # (K,)


Model = FullModel | SmallFullModel | TiedModel | DiagonalModel | SphericalModel | LogDensityModel


def prepare_model(
    weights: FloatArray,
    means: FloatArray,
    precisions_cholesky: FloatArray,
    covariance_type: CovarianceType,
    dtype: np.dtype,
    log_constants: FloatArray | None = None,
) -> Model:
    """Lay out the parameters of a mixture for the pass, in the dtype of the points."""
    d = means.shape[1]
    U = np.asarray(precisions_cholesky, np.float64)
    with np.errstate(divide="ignore"):
        constants = np.log(np.asarray(weights, np.float64)) - 0.5 * d * np.log(2 * np.pi)
        if covariance_type == "spherical":
            constants = constants + d * np.log(U)
        elif covariance_type == "diag":
            constants = constants + np.log(U).sum(axis=1)
        else:
            constants = constants + np.log(np.diagonal(U, axis1=-2, axis2=-1)).sum(axis=-1)
        if log_constants is not None:
            constants = constants + np.asarray(log_constants, np.float64)

    def cast(array: FloatArray) -> FloatArray:
        # A copy is writable; numba would compile anew for a read-only array.
        return np.array(array, dtype, order="C")

    means, constants = cast(means), cast(constants)
    if covariance_type == "spherical":
        return SphericalModel(means, cast(U), constants)
    if covariance_type == "diag":
        return DiagonalModel(means, cast(U), constants)
    if covariance_type == "tied":
        tied = _tied_model(means, U, constants) if d > MOST_UNROLLED_TIED else None
        if tied and np.max(np.abs(tied.whitened_means)) <= MOST_DEVIATIONS_APART[dtype.itemsize]:
            return tied
        U = np.broadcast_to(U, (len(means), d, d))
    if _is_unrolled(*means.shape):
        return small_full_model(means, cast(U[:, *_columns_of_triangle(d)]), constants)
    return FullModel(means, _padded(means), cast(_panels(U)), constants)


def moments_model(
    means: FloatArray, covariance_type: CovarianceType, dtype: np.dtype, *, far_apart: bool = False
) -> Model:
    """Lay out means alone, for moments about them under given responsibilities.

    Whether those of a tied model are too far apart for its kernel shows afterwards.
    """
    means = np.array(means, dtype, order="C")
    nothing = np.empty((0, 0), dtype)
    if covariance_type == "diag":
        return DiagonalModel(means, nothing, nothing.reshape(0))
    if covariance_type == "spherical":
        return SphericalModel(means, np.ones(len(means), dtype), np.zeros(len(means), dtype))
    d = means.shape[1]
    if covariance_type == "tied" and d > MOST_UNROLLED_TIED and not far_apart:
        return _tied_model(means, np.eye(d), nothing.reshape(0))
    if _is_unrolled(*means.shape):
        return small_full_model(means, nothing, nothing.reshape(0))
    return FullModel(means, _padded(means), nothing, nothing.reshape(0))


def outline(K: int, d: int, covariance_type: CovarianceType, dtype: np.dtype) -> Model:
    """Return a model of such a shape without numbers, to ask how much memory it takes."""
    kind: type[Any] = DiagonalModel if covariance_type == "diag" else SphericalModel
    if covariance_type == "tied" and d > MOST_UNROLLED_TIED:
        kind = TiedModel
    elif covariance_type in ("full", "tied"):
        kind = SmallFullModel if _is_unrolled(K, d) else FullModel
    means = np.broadcast_to(np.zeros((), dtype), (K, d))
    return kind(means, *[means[:0]] * (len(kind._fields) - 1))


def small_full_model(
    means: FloatArray, factors: FloatArray, log_constants: FloatArray
) -> SmallFullModel:
    """Lay out a model of few features."""
    return SmallFullModel(means, factors, log_constants, tuple(range(means.shape[1])))


def _is_unrolled(K: int, d: int) -> bool:
    return d <= ALWAYS_UNROLLED or (
        d <= MOST_UNROLLED and K * d * (d + 1) // 2 <= MOST_UNROLLED_MOMENTS
    )


@lru_cache
def _columns_of_triangle(d: int) -> tuple[np.ndarray, np.ndarray]:
    columns, rows = np.tril_indices(d)
    return rows, columns


def _panels(U: FloatArray) -> FloatArray:
    """Columns of upper triangular factors by panels, each down to its last diagonal."""
    K, d, _ = U.shape
    panels = []
    for columns in np.array_split(np.arange(d), -(-d // PANEL)):
        stop = columns[-1] + 1
        panels.append(np.zeros((K, stop, PANEL)))
        panels[-1][:, :, : len(columns)] = U[:, :stop, columns[0] : stop]
    return np.concatenate(panels, axis=1).reshape(-1, PANEL)


def factor_of_one(model: FullModel | SmallFullModel) -> FloatArray:
    """Return the factor of a model of one component, as it is rounded there, in float64."""
    d, start = model.means.shape[1], 0
    U = np.zeros((d, d))
    if isinstance(model, SmallFullModel):
        U[_columns_of_triangle(d)] = model.factors[0]
        return U
    for columns in np.array_split(np.arange(d), -(-d // PANEL)):
        stop = columns[-1] + 1
        U[:stop, columns] = model.factors[start : start + stop, : len(columns)]
        start += stop
    return U


def _tied_model(means: FloatArray, U: FloatArray, log_constants: FloatArray) -> TiedModel:
    dtype = means.dtype
    origin = means.mean(axis=0, dtype=np.float64).astype(dtype)
    centred = means.astype(np.float64) - origin
    return TiedModel(
        means,
        origin,
        _padded(origin[None]),
        _padded(centred.astype(dtype)),
        _panels(U[None]).astype(dtype),
        (centred @ U).astype(dtype),
        log_constants,
    )


def _padded(means: FloatArray) -> FloatArray:
    d = means.shape[1]
    return np.pad(means, ((0, 0), (0, -d % PADDING)))
