"""Components that have collapsed or lost their points, and what is done about them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from scipy.linalg.lapack import dpotrf

from fastgmm._records import FloatArray, Parameters
from fastgmm.data.moments import DataMoments, moments_of_estimate
from fastgmm.data.source import Source
from fastgmm.em.results import EMResult, Repair, RepairAction
from fastgmm.model.families import Family, family_of
from fastgmm.model.maximization import Estimate, Maximization, MaximumLikelihood

# A component is empty when it expects less than this part of an average sample.
EMPTY = 0.01
# It has collapsed when its variance in some direction is what rounding leaves of none: so many
# eps of the distance from the data's mean, or of its own largest variance.
ROUNDING_OF_VARIANCE = 64
# The part of the data's variances that a floor adds.
FLOOR = 1e-6
# Resets that a run may have for each component.
MOST_RESETS = 5
# Points to choose from, beside those that have been chosen.
MOST_CANDIDATES = 1000
# Points are at one place if no feature differs by more than this part of its deviation.
SAME_PLACE = 1e-3


class Repairs(NamedTuple):
    """What has been repaired in a run so far; a further repair makes another record."""

    done: tuple[Repair, ...] = ()
    points: tuple[FloatArray, ...] = ()  # (d,) each, at which components were started again


NO_REPAIRS = Repairs()


@dataclass(frozen=True)
class Repairing:
    """Repairs degenerate components between the two halves of a maximization.

    The action is 'reset': start again at the worst-explained samples, with the covariance of all
    the data, and leave out what collapses time and again; 'drop': leave out at once; or 'floor':
    add a small part of the data's variances.
    """

    action: RepairAction
    source: Source
    maximization: Maximization

    def repair(
        self, estimate: Estimate, n_iter: int, before: Repairs
    ) -> tuple[Parameters, Repairs]:
        """Repair what is degenerate, regularize, factorize; IllDefinedCovariance if in vain."""
        regularize = self.maximization.regularize
        bad = degenerate_components(estimate, self._family, self._moments, self.source.n_weighted)
        if not bad.any() or (bad.all() and self.action != "floor"):  # nothing to lean on
            return regularize(estimate), before
        action = self.action
        points: FloatArray = np.empty((0, self.source.n_features))
        if action == "reset":
            points = self._points_to_reset_to(estimate, bad, before)
            action = "reset" if len(points) else "drop"
        repair = Repair(n_iter, tuple(np.flatnonzero(bad).tolist()), action)
        match action:
            case "reset":
                parameters = regularize(self._reset(estimate, bad, points))
            case "drop":
                parameters = regularize(self._drop(estimate, bad))
            case "floor":
                parameters = regularize(self._floor(estimate, bad))
                if before.done and before.done[-1].components == repair.components:
                    return parameters, before  # as before, so that the lower bound may settle
        return parameters, Repairs((*before.done, repair), (*before.points, *points))

    @property
    def _family(self) -> Family:
        return family_of(self.maximization.covariance_type)

    @property
    def _moments(self) -> DataMoments:
        return self.source.moments(matrix=self._family.is_matrix)

    def _floor(self, estimate: Estimate, bad: np.ndarray) -> Estimate:
        covariances = np.array(estimate.covariances, dtype=np.float64)
        part = ... if self._family.is_shared else bad
        chosen = np.asarray(covariances[part])
        self._family.add_to_variances(chosen, FLOOR * self._moments.variances)
        covariances[part] = chosen
        return estimate._replace(covariances=covariances)

    def _drop(self, estimate: Estimate, bad: np.ndarray) -> Estimate:
        weights, means, covariances = (np.array(array, np.float64) for array in estimate)
        if not self._family.is_shared:
            covariances = covariances[~bad]
        weights = weights[~bad] / weights[~bad].sum()
        return Estimate(weights, means[~bad], covariances)

    def _reset(self, estimate: Estimate, bad: np.ndarray, points: FloatArray) -> Estimate:
        weights, means, covariances = self._drop(estimate, bad)
        K = len(bad)
        reset = Estimate(
            np.full(K, 1 / K),
            np.empty((K, self.source.n_features)),
            self._moments.covariances(K, self._family, self.maximization.rank),
        )
        reset.weights[~bad] = weights * (1 - len(points) / K)
        reset.means[~bad], reset.means[bad] = means, points
        reset.covariances[... if self._family.is_shared else ~bad] = covariances
        return reset

    def _points_to_reset_to(
        self, estimate: Estimate, bad: np.ndarray, before: Repairs
    ) -> FloatArray:
        """A point for each component; none if there are too few, or it has been done often enough.

        They are those of the lowest densities under the other components, no two at one place,
        nor where a component has collapsed.
        """
        n_points, n_used = int(np.count_nonzero(bad)), len(before.points)
        nothing = np.empty((0, self.source.n_features))
        if n_used + n_points > MOST_RESETS * len(bad):
            return nothing
        mixture = self.maximization.regularize(self._drop(estimate, bad))
        candidates = self.source.least_likely(mixture, MOST_CANDIDATES + n_points + n_used)
        chosen: list[FloatArray] = []
        taken = [*estimate.means[bad], *before.points]
        for point in candidates:
            if len(chosen) < n_points and not any(self._same_place(point, one) for one in taken):
                chosen.append(point)
                taken.append(point)
        return np.array(chosen) if len(chosen) == n_points else nothing

    def _same_place(self, one: FloatArray, other: FloatArray) -> bool:
        apart = np.abs(np.asarray(one, np.float64) - other)
        return bool(np.all(apart <= SAME_PLACE * np.sqrt(self._moments.variances)))


def with_degenerate(result: EMResult, source: Source, maximization: MaximumLikelihood) -> EMResult:
    """Add to the result of a run what is degenerate in the end, with no look at the data."""
    family, p = family_of(maximization.covariance_type), result.parameters
    last = result.repairs[-1] if result.repairs else None
    replaced = last is not None and last.n_iter == result.n_iter and last.action != "floor"
    if result.statistics is None or replaced or family.has_loadings:
        found = without_regularization(p, family, maximization.reg_covar)
    else:
        found = maximization.estimate(result.statistics, p)
    eps = float(np.finfo(source.dtype).eps)
    moments = moments_of_estimate(found, family, eps)
    bad = degenerate_components(found, family, moments, source.n_weighted)
    return replace(result, degenerate=np.flatnonzero(bad), statistics=None)


def without_regularization(
    parameters: Parameters, family: Family, reg_covar: float | FloatArray
) -> Estimate:
    """The estimate that was regularized, to rounding."""
    weights, means, regularized = (np.asarray(array, np.float64) for array in parameters[:3])
    covariances, dtype = np.array(regularized), parameters.covariances.dtype
    family.add_to_variances(covariances, -np.asarray(reg_covar, dtype).astype(np.float64))
    return Estimate(weights, means, covariances)


def degenerate_components(
    estimate: Estimate, family: Family, moments: DataMoments, n_samples: int
) -> np.ndarray:
    """Tell which components of an estimate, not regularized, are empty or have collapsed, (K,).

    Variances are compared with those of the data, so that the scales of features do not matter,
    and constant or collinear features, in which every component is degenerate, do not count.
    `n_samples` are those that have weight.
    """
    weights, means, covariances = (np.asarray(array, np.float64) for array in estimate)
    empty = weights * n_samples < EMPTY
    extended = moments.variances > 0
    if not extended.any():  # all the samples are one
        return empty
    variances = moments.variances[extended]
    offsets = 1 + np.max(np.abs(means[:, extended]) / np.sqrt(variances), axis=1)
    nothing = (ROUNDING_OF_VARIANCE * moments.eps * offsets) ** 2
    if family.is_matrix:
        W = moments.extension
        matrices = W.T @ covariances.reshape(-1, *covariances.shape[-2:]) @ W
        relative = np.array([_variances_or_none(matrix, moments.eps) for matrix in matrices])
    elif family.has_loadings:  # singular where a feature has nothing of its own
        relative = covariances[:, extended, -1] / variances
    elif "d" in family.axes:
        relative = np.atleast_2d(covariances)[:, extended] / variances
    else:
        relative = np.atleast_1d(covariances)[:, None] / moments.variances.mean()
    return empty | ~np.all(relative > nothing[:, None], axis=1)


def _variances_or_none(matrix: FloatArray, eps: float) -> FloatArray:
    """The variances (r,) on the diagonal; 0 if rounding in the largest hides an eigenvalue."""
    variances = np.diagonal(matrix).copy()
    lost = ROUNDING_OF_VARIANCE * len(matrix) * eps * np.max(variances)
    np.fill_diagonal(matrix, variances - lost)
    _, failed = dpotrf(matrix, clean=0)
    return np.zeros_like(variances) if failed else variances
