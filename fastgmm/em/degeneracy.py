"""What is done about components that have collapsed or lost their points."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
from scipy.linalg.lapack import dpotrf

from fastgmm import kernels
from fastgmm._records import CovarianceType, FloatArray, Parameters
from fastgmm.data.moments import Spread, spread_of, spread_of_estimate
from fastgmm.em.results import EMResult, Repair, RepairAction
from fastgmm.model.maximization import Estimate, add_to_variances, complete, estimate
from fastgmm.system.lazy import lazy

__all__ = ["Caretaker", "degenerate_components"]

# A component is empty when it expects less than this part of an average sample.
EMPTY = 0.01
# It has collapsed when its variance in some direction is what rounding leaves of none: so many
# eps of the distance from the data's mean, or of its own largest variance.
ROUNDING = 64
# The part of the data's variances that a floor adds.
FLOOR = 1e-6
# Resets that a run may have for each component.
MOST_RESETS = 5
# Rows to choose from, beside those that have been chosen.
MOST_CANDIDATES = 1000
# Points are at one place if no feature differs by more than this part of its deviation.
SAME_PLACE = 1e-3
# Rows whose log-densities are in memory at a time.
CHUNK = 2**18


class Caretaker:
    """Completes the estimates of one run, and repairs degenerate components on the way.

    Parameters
    ----------
    action : {'raise', 'reset', 'drop', 'floor'}
        Look for none; start again at the worst-explained samples, with the covariance of all the
        data, and leave out what collapses time and again; leave out at once; or add a small part
        of the data's variances.
    X : (n, d) array
    sample_weight : (n,) array or None
    covariance_type : {'full', 'tied', 'diag', 'spherical'}
    reg_covar : float or (d,) array

    Attributes
    ----------
    repairs : list of Repair
        What has been done.
    """

    def __init__(
        self,
        action: Literal["raise"] | RepairAction,
        X: FloatArray,
        sample_weight: FloatArray | None,
        covariance_type: CovarianceType,
        reg_covar: float | FloatArray,
    ) -> None:
        self.repairs: list[Repair] = []
        self._action = action
        self._X, self._sample_weight = X, sample_weight
        self._covariance_type = covariance_type
        self._reg_covar = reg_covar
        self._used: list[int] = []  # rows that a component was reset to

    def complete(self, estimate: Estimate, n_iter: int) -> tuple[Parameters, Repair | None]:
        """Repair what is degenerate, regularize, factorize; tell what was repaired.

        Raises
        ------
        IllDefinedCovariance
            If that does not help.
        """
        if self._action == "raise":
            return self._completed(estimate), None
        bad = degenerate_components(
            estimate, self._covariance_type, self._spread, len(self._present)
        )
        if not bad.any() or (bad.all() and self._action != "floor"):  # nothing to lean on
            return self._completed(estimate), None
        action, rows = self._action, []
        if action == "reset":
            rows = self._rows_to_reset_to(estimate, bad)
            action = "reset" if rows else "drop"
        repair = Repair(n_iter, tuple(np.flatnonzero(bad).tolist()), action)
        match action:
            case "reset":
                parameters = self._completed(self._reset(estimate, bad, rows))
            case "drop":
                parameters = self._completed(self._drop(estimate, bad))
            case "floor":
                parameters = self._completed(self._floor(estimate, bad))
                if self.repairs and self.repairs[-1].components == repair.components:
                    return parameters, None  # as before, so that the lower bound may settle
        self.repairs.append(repair)
        return parameters, repair

    def account_for(self, result: EMResult) -> EMResult:
        """Add to the result of the run what was repaired, and what is degenerate in the end."""
        done = [repair for repair in self.repairs if repair.n_iter <= result.n_iter]
        replaced = bool(done) and done[-1].n_iter == result.n_iter and done[-1].action != "floor"
        dtype = self._X.dtype
        if result.statistics is None or replaced:
            found = _without_regularization(result.parameters, self._reg_covar)
        else:
            found = estimate(result.statistics, self._covariance_type, dtype)
        spread = spread_of_estimate(*found, self._covariance_type, float(np.finfo(dtype).eps))
        bad = degenerate_components(found, self._covariance_type, spread, len(self._present))
        return replace(result, repairs=done, degenerate=np.flatnonzero(bad), statistics=None)

    @lazy
    def _spread(self) -> Spread:
        return spread_of(self._X, self._sample_weight, self._covariance_type)

    @lazy
    def _present(self) -> np.ndarray:
        """Rows that have weight."""
        weight = self._sample_weight
        return np.arange(len(self._X)) if weight is None else np.flatnonzero(weight)

    def _completed(self, estimate: Estimate) -> Parameters:
        return complete(estimate, self._covariance_type, self._reg_covar, self._X.dtype)

    def _floor(self, estimate: Estimate, bad: np.ndarray) -> Estimate:
        covariances = np.array(estimate.covariances, dtype=np.float64)
        part = ... if self._covariance_type == "tied" else bad
        chosen = covariances[part]
        add_to_variances(chosen, FLOOR * self._spread.variances, self._covariance_type)
        covariances[part] = chosen
        return estimate._replace(covariances=covariances)

    def _drop(self, estimate: Estimate, bad: np.ndarray) -> Estimate:
        weights, means, covariances = (np.array(array, np.float64) for array in estimate)
        if self._covariance_type != "tied":
            covariances = covariances[~bad]
        weights = weights[~bad] / weights[~bad].sum()
        return Estimate(weights, means[~bad], covariances)

    def _reset(self, estimate: Estimate, bad: np.ndarray, rows: list[int]) -> Estimate:
        weights, means, covariances = self._drop(estimate, bad)
        K = len(bad)
        reset = Estimate(
            np.full(K, 1 / K),
            np.empty((K, self._X.shape[1])),
            self._spread.covariances(K, self._covariance_type),
        )
        reset.weights[~bad] = weights * (1 - len(rows) / K)
        reset.means[~bad], reset.means[bad] = means, self._X[rows]
        reset.covariances[... if self._covariance_type == "tied" else ~bad] = covariances
        return reset

    def _rows_to_reset_to(self, estimate: Estimate, bad: np.ndarray) -> list[int]:
        """A row for each component; none if there are too few, or it has been done often enough.

        They are those of the lowest densities under the other components, no two at one place,
        nor where a component has collapsed.
        """
        n_rows = int(np.count_nonzero(bad))
        if len(self._used) + n_rows > MOST_RESETS * len(bad):
            return []
        mixture = self._completed(self._drop(estimate, bad))
        n_lowest = MOST_CANDIDATES + n_rows + len(self._used)
        rows, log_density = np.empty(0, np.intp), np.empty(0)
        for start in range(0, len(self._present), CHUNK):
            chunk = self._present[start : start + CHUNK]
            rows = np.concatenate([rows, chunk])
            new = kernels.log_density(self._X[chunk], *mixture.arguments)
            log_density = np.concatenate([log_density, new])
            lowest = np.argsort(log_density, kind="stable")[:n_lowest]
            rows, log_density = rows[lowest], log_density[lowest]
        chosen: list[int] = []
        taken = [*estimate.means[bad], *self._X[self._used]]
        for row in rows.tolist():
            point = self._X[row]
            if len(chosen) < n_rows and not any(self._same_place(point, other) for other in taken):
                chosen.append(row)
                taken.append(point)
        if len(chosen) < n_rows:
            return []
        self._used.extend(chosen)
        return chosen

    def _same_place(self, one: FloatArray, other: FloatArray) -> bool:
        apart = np.abs(np.asarray(one, np.float64) - other)
        return bool(np.all(apart <= SAME_PLACE * np.sqrt(self._spread.variances)))


def _without_regularization(parameters: Parameters, reg_covar: float | FloatArray) -> Estimate:
    """The estimate that was regularized, to rounding."""
    weights, means, regularized = (np.asarray(array, np.float64) for array in parameters[:3])
    covariances, dtype = np.array(regularized), parameters.covariances.dtype
    added = np.asarray(reg_covar, dtype).astype(np.float64)
    add_to_variances(covariances, -added, parameters.covariance_type)
    return Estimate(weights, means, covariances)


def degenerate_components(
    estimate: Estimate, covariance_type: CovarianceType, spread: Spread, n_samples: int
) -> np.ndarray:
    """Tell which components are empty or have collapsed.

    Variances are compared with those of the data, so that the scales of features do not matter,
    and constant or collinear features, in which every component is degenerate, do not count.

    Parameters
    ----------
    estimate : Estimate
        Not regularized.
    covariance_type : {'full', 'tied', 'diag', 'spherical'}
    spread : Spread
    n_samples : int
        Samples that have weight.

    Returns
    -------
    degenerate : (K,) bool array
    """
    weights, means, covariances = (np.asarray(array, np.float64) for array in estimate)
    empty = weights * n_samples < EMPTY
    extended = spread.variances > 0
    if not extended.any():  # all the samples are one
        return empty
    variances = spread.variances[extended]
    offsets = 1 + np.max(np.abs(means[:, extended]) / np.sqrt(variances), axis=1)
    nothing = (ROUNDING * spread.eps * offsets) ** 2
    match covariance_type:
        case "spherical":
            relative = covariances[:, None] / spread.variances.mean()
        case "diag":
            relative = covariances[:, extended] / variances
        case "full" | "tied":
            W = spread.extension
            matrices = covariances.reshape(-1, *covariances.shape[-2:])
            relative = np.array([_variances_or_none(W.T @ m @ W, spread.eps) for m in matrices])
    return empty | ~np.all(relative > nothing[:, None], axis=1)


def _variances_or_none(matrix: FloatArray, eps: float) -> FloatArray:
    """The variances (r,) on the diagonal; 0 if rounding in the largest hides an eigenvalue."""
    variances = np.diagonal(matrix)
    lost = ROUNDING * len(matrix) * eps * np.max(variances)
    _, failed = dpotrf(matrix - lost * np.eye(len(matrix)), clean=0)
    return np.zeros_like(variances) if failed else variances
