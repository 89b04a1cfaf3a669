"""Covariances that share volume, shape or orientation: mclust's families that the pass has not.

Σₖ = λₖ Dₖ Aₖ Dₖᵀ, of volume λₖ, shape Aₖ (diagonal, |Aₖ| = 1) and orientation Dₖ (orthogonal). The
three letters of a name say of each in this order whether it is equal (E) for all components, varies
(V) between them, or is the identity (I). Each function makes of the covariances of the pass and the
expected counts those of the highest likelihood in its family; what was before saves some rounds.

References
----------
Banfield and Raftery, Model-based Gaussian and non-Gaussian clustering, Biometrics 49 (1993). Celeux
and Govaert, Gaussian parsimonious clustering models, Pattern Recognition 28 (1995).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TypeAlias

import numpy as np

from fastgmm._records import FloatArray

# Updates that depend on each other are repeated until none changes by more than this part.
EXACT, MOST_ROUNDS = 1e-13, 1000
# Or as often as this where an iteration before has begun it, and the next will go on: the
# likelihood rises all the same, and where EM has settled they have, too.
FEW_ROUNDS = 2
# What a rotation gains beside this part of the number of points is rounding.
ROUNDING = 1e-16

# (variances (K, d) along axes, counts) → those of the family
Constraint: TypeAlias = Callable[[FloatArray, FloatArray], FloatArray]
# Covariances of the family, of the iteration before.
Before: TypeAlias = FloatArray | None


# --- along the axes -------------------------------------------------------------------------
def vei(variances: FloatArray, counts: FloatArray, before: Before = None) -> FloatArray:
    """λₖ B: volumes of their own, one diagonal shape."""
    return _volumes_of_one_shape(variances, counts)


def evi(variances: FloatArray, counts: FloatArray, before: Before = None) -> FloatArray:
    """λ Bₖ: one volume, diagonal shapes of their own."""
    volumes = _geometric_mean(variances)
    return np.asarray(variances * (_mean(volumes, counts) / volumes)[:, None])


# --- in any direction -----------------------------------------------------------------------
def vee(covariances: FloatArray, counts: FloatArray, before: Before = None) -> FloatArray:
    """λₖ C: volumes of their own, one shape and orientation."""
    d = covariances.shape[1]
    volumes = np.exp(np.linalg.slogdet(covariances)[1] / d)
    for _ in range(MOST_ROUNDS):
        shape = _of_volume_1(np.tensordot(counts / volumes, covariances, 1))
        last, volumes = volumes, np.einsum("kij,ji->k", covariances, np.linalg.inv(shape)) / d
        if _is_exact(volumes, last):
            break
    return volumes[:, None, None] * shape


def evv(covariances: FloatArray, counts: FloatArray, before: Before = None) -> FloatArray:
    """λ Cₖ: one volume, shapes and orientations of their own."""
    volumes = np.exp(np.linalg.slogdet(covariances)[1] / covariances.shape[1])
    return np.asarray(covariances * (_mean(volumes, counts) / volumes)[:, None, None])


def eev(covariances: FloatArray, counts: FloatArray, before: Before = None) -> FloatArray:
    """λ Dₖ A Dₖᵀ: one volume and shape, orientations of their own."""
    eigenvalues, axes = np.linalg.eigh(covariances)
    return _turned(np.broadcast_to(_mean(eigenvalues, counts), eigenvalues.shape), axes)


def vev(covariances: FloatArray, counts: FloatArray, before: Before = None) -> FloatArray:
    """λₖ Dₖ A Dₖᵀ: one shape, volumes and orientations of their own."""
    eigenvalues, axes = np.linalg.eigh(covariances)
    return _turned(_volumes_of_one_shape(eigenvalues, counts), axes)


def eve(covariances: FloatArray, counts: FloatArray, before: Before = None) -> FloatArray:
    """λ D Aₖ Dᵀ: one volume and orientation, shapes of their own."""
    return _of_common_axes(covariances, counts, before, evi)


def vve(covariances: FloatArray, counts: FloatArray, before: Before = None) -> FloatArray:
    """λₖ D Aₖ Dᵀ: one orientation, volumes and shapes of their own, with mclust's orientation.

    mclust (6.0) takes the axes that are best if the λₖ were equal. So its likelihood is not the
    highest, and need not rise in every iteration; that of `common_axes` is and does.
    """
    return _of_common_axes(covariances, counts, before, _as_they_are, as_mclust=True)


def common_axes(covariances: FloatArray, counts: FloatArray, before: Before = None) -> FloatArray:
    """λₖ D Aₖ Dᵀ of the highest likelihood: common principal components.

    References
    ----------
    Flury, Common principal components in k groups, Journal of the American Statistical Association
    79 (1984).
    """
    return _of_common_axes(covariances, counts, before, _as_they_are)


# --- what they share ------------------------------------------------------------------------
def _volumes_of_one_shape(variances: FloatArray, counts: FloatArray) -> FloatArray:
    """λₖ B, (K, d), of the highest likelihood for variances (K, d) along given axes."""
    volumes = _geometric_mean(variances)
    for _ in range(MOST_ROUNDS):
        shape = (counts / volumes) @ variances
        shape = shape / _geometric_mean(shape)
        last, volumes = volumes, np.mean(variances / shape, axis=1)
        if _is_exact(volumes, last):
            break
    return volumes[:, None] * shape


def _of_common_axes(
    covariances: FloatArray,
    counts: FloatArray,
    before: Before,
    constrain: Constraint,
    *,
    as_mclust: bool = False,
) -> FloatArray:
    """D Bₖ Dᵀ with axes in common, and the Bₖ that a function makes of the variances along them.

    Axes and variances are found in turn, the axes for given variances by rotations of pairs; those
    that the covariances before had in common are near, where there are any. With `as_mclust`, the
    axes are for shapes alone, whatever the volumes.
    """
    known = covariances if before is None else np.asarray(before, np.float64)
    _, axes = np.linalg.eigh(np.tensordot(counts, known, 1))
    turned = axes.T @ covariances @ axes
    for _ in range(MOST_ROUNDS if before is None else FEW_ROUNDS):
        variances = constrain(np.einsum("kii->ki", turned), counts)
        precisions = 1 / variances
        if as_mclust:
            volumes = _geometric_mean(variances)
            precisions *= (volumes / volumes.mean())[:, None]
        axes, turned, gain = _rotated(turned, counts, precisions, axes)
        if not gain > EXACT * counts.sum():  # NaN, too
            break
    return _turned(constrain(np.einsum("kii->ki", turned), counts), axes)


def _rotated(
    turned: FloatArray, counts: FloatArray, precisions: FloatArray, axes: FloatArray
) -> tuple[FloatArray, FloatArray, float]:
    """Rotate each pair of axes to the least Σₖ Nₖ tr(Dᵀ Σₖ D Bₖ⁻¹), where `turned` is DᵀΣₖD.

    In the plane of two axes the sum is m + ½ (a cos 2θ + b sin 2θ), whose minimum is known: steps
    of coordinate descent, as Flury and Gautschi take them for common principal components. Pairs
    without an axis in common do not see each other, and are rotated at once. Returns the axes,
    what is turned, and by how much the sum has fallen.

    References
    ----------
    Flury and Gautschi, An algorithm for simultaneous orthogonal transformation of several positive
    definite symmetric matrices to nearly diagonal form, SIAM Journal on Scientific and Statistical
    Computing 7 (1986). Browne and McNicholas, Estimating common principal components in high
    dimensions, Advances in Data Analysis and Classification 8 (2014), minimize the same sum.
    """
    gain, nothing = 0.0, ROUNDING * counts.sum()
    axes, turned, weighted = axes.copy(), turned.copy(), counts[:, None] * precisions
    for i, j in _disjoint_pairs(len(axes)):
        weights = weighted[:, i] - weighted[:, j]
        along = np.einsum("kp,kp->p", weights, turned[:, i, i] - turned[:, j, j])
        across = 2 * np.einsum("kp,kp->p", weights, turned[:, i, j])
        falls = 0.5 * (along + np.hypot(along, across))
        pays = falls > nothing
        if not pays.any():
            continue
        angles = np.where(pays, 0.5 * np.arctan2(-across, -along), 0.0)
        cosines, sines = np.cos(angles), np.sin(angles)
        _rotate_columns(axes, i, j, cosines, sines)
        _rotate_columns(turned, i, j, cosines, sines)
        _rotate_columns(turned.swapaxes(1, 2), i, j, cosines, sines)
        gain += float(falls[pays].sum())
    return axes, turned, gain


def _rotate_columns(
    matrices: FloatArray, i: np.ndarray, j: np.ndarray, cosines: FloatArray, sines: FloatArray
) -> None:
    """Rotate columns i and j in their planes, in place."""
    first, second = matrices[..., i], matrices[..., j]
    matrices[..., i] = cosines * first + sines * second
    matrices[..., j] = cosines * second - sines * first


@lru_cache
def _disjoint_pairs(d: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """All pairs of d axes, in rounds in which each axis has at most one: a tournament's.

    In a round the first axis stays in its place and the others move on by one.
    """
    places = list(range(d + d % 2))  # with an odd number one rests
    rounds = []
    for _ in range(len(places) - 1):
        pairs = zip(places[: len(places) // 2], places[::-1], strict=False)
        rounds.append(np.array([sorted(pair) for pair in pairs if max(pair) < d]).T)
        places[1:] = [places[-1], *places[1:-1]]
    return [(first, second) for first, second in rounds]


def _as_they_are(variances: FloatArray, counts: FloatArray) -> FloatArray:
    return variances


def _turned(variances: FloatArray, axes: FloatArray) -> FloatArray:
    """D diag(variances) Dᵀ, (K, d, d), for axes in common or of each."""
    return np.asarray((axes * variances[:, None, :]) @ np.swapaxes(axes, -2, -1))


def _mean(values: FloatArray, counts: FloatArray) -> FloatArray:
    """Over the components, each as often as its count."""
    return np.asarray(np.tensordot(counts / counts.sum(), values, 1))


def _geometric_mean(values: FloatArray) -> FloatArray:
    """Along the last axis."""
    return np.asarray(np.exp(np.mean(np.log(values), axis=-1)))


def _of_volume_1(matrix: FloatArray) -> FloatArray:
    return np.asarray(matrix / np.exp(np.linalg.slogdet(matrix)[1] / len(matrix)))


def _is_exact(values: FloatArray, last: FloatArray) -> bool:
    """Whether nothing changes any more; also where there is nothing but NaN."""
    return not np.any(np.abs(values - last) > EXACT * np.abs(values))
