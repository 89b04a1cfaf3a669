"""Rows with missing values: what a mixture says of observed features, and of hidden ones by these.

Rows that miss the same features form a pattern. The observed features of its rows have a mixture of
their own; the hidden ones, given these and the component, are Gaussian.

References
----------
Ghahramani and Jordan, Supervised learning from incomplete data via an EM approach, NIPS 6 (1994).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.random import RandomState

from fastgmm import kernels
from fastgmm._records import CovarianceType, FloatArray, Parameters
from fastgmm.model.families import arguments_of_pass, family_of


class Pattern(NamedTuple):
    """Rows that miss the same features."""

    rows: np.ndarray
    observed: np.ndarray  # numbers of features
    hidden: np.ndarray


def patterns_of(X: FloatArray) -> list[Pattern]:
    """Patterns of the rows of X, in which NaN is missing."""
    missing = np.isnan(X)
    distinct, of_row = np.unique(np.packbits(missing, axis=1), axis=0, return_inverse=True)
    order = np.argsort(of_row.ravel(), kind="stable")
    ends = np.cumsum(np.bincount(of_row.ravel(), minlength=len(distinct)))
    return [
        Pattern(rows, np.flatnonzero(~missing[rows[0]]), np.flatnonzero(missing[rows[0]]))
        for rows in np.split(order, ends[:-1])
    ]


class Observed(NamedTuple):
    """The mixture of the observed features of a pattern, and the hidden ones given these.

    In component k these are at μₕ + Bₖ (x - μₒ), with a covariance that does not depend on x. What
    has no off-diagonal elements has no slopes Bₖ. Components that share a covariance share both.
    """

    arguments: tuple[FloatArray, FloatArray, FloatArray, CovarianceType]  # of a pass
    hidden_means: FloatArray  # μₕ, (K, h)
    slopes: FloatArray | None  # (K or 1, h, o)
    rest: FloatArray  # covariances (K or 1, h, h), variances (K, h), or a number (K, 1) for all

    def mean(self, k: int, values: FloatArray) -> FloatArray:
        """Return the means of the hidden features in a component, (n, h) or (1, h)."""
        if self.slopes is None:
            return self.hidden_means[[k]]
        apart = values - self.arguments[1][k]
        return np.asarray(self.hidden_means[k] + apart @ self.slopes[k % len(self.slopes)].T)

    def scaled(self, k: int, noise: FloatArray) -> FloatArray:
        """Return standard normal numbers (n, h) with the covariance of a component."""
        rest = self.rest[k % len(self.rest)]
        return noise * np.sqrt(rest) if rest.ndim == 1 else noise @ np.linalg.cholesky(rest).T


class Conditions:
    """Parameters, for every pattern of what is observed; factors are inverted once."""

    def __init__(self, parameters: Parameters) -> None:
        self.weights, self.means, self.factors, self.pass_type, _ = arguments_of_pass(parameters)
        self._roots: FloatArray = np.empty(0)
        self._squares: FloatArray = np.empty(0)
        if family_of(self.pass_type).is_matrix:
            d = self.means.shape[1]
            # R with Σ = RᵀR, whose columns are those of the features
            self._roots = np.linalg.inv(np.asarray(self.factors, np.float64).reshape(-1, d, d))
        else:
            self._squares = np.asarray(self.factors, np.float64) ** -2.0

    def given(self, pattern: Pattern) -> Observed:
        """Return the mixture of what is observed, and the rest."""
        o, h = pattern.observed, pattern.hidden
        means, hidden_means = self.means[:, o], np.asarray(self.means[:, h], np.float64)
        slopes: FloatArray | None = None
        match self.pass_type:
            case "spherical":
                factors, rest = self.factors, self._squares[:, None]
            case "diag":
                factors, rest = self.factors[:, o], self._squares[:, h]
            case _:
                factors, slopes, rest = self._of_matrices(o, h)
        return Observed((self.weights, means, factors, self.pass_type), hidden_means, slopes, rest)

    def _of_matrices(
        self, o: np.ndarray, h: np.ndarray
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Factors of the observed features, slopes, and covariances of the rest.

        With the triangle T of a QR decomposition, Σ = TᵀT, and the observed features first, the
        factor is Tₒₒ⁻¹, the slope (Tₒₒ⁻¹ Tₒₕ)ᵀ and the rest Tₕₕᵀ Tₕₕ.
        """
        if not len(h):
            return self.factors, np.empty((1, 0, len(o))), np.empty((1, 0, 0))
        T: Any = np.linalg.qr(self._roots[:, :, np.concatenate([o, h])], mode="r")
        T *= np.where(np.diagonal(T, axis1=1, axis2=2) < 0, -1.0, 1.0)[:, :, None]
        m = len(o)
        inverses = np.linalg.inv(T[:, :m, :m])
        slopes = (inverses @ T[:, :m, m:]).swapaxes(1, 2)
        rest = T[:, m:, m:].swapaxes(1, 2) @ T[:, m:, m:]
        factors = np.triu(inverses).astype(self.means.dtype)
        return factors[0] if self.pass_type == "tied" else factors, slopes, rest


# --- predictions ----------------------------------------------------------------------------
def log_density(X: FloatArray, parameters: Parameters) -> FloatArray:
    """Log-density (n,) of what is observed; 0 where nothing is."""
    nothing = np.zeros(len(X), X.dtype)
    return np.asarray(_by_pattern(X, parameters, kernels.log_density, nothing))


def responsibilities(X: FloatArray, parameters: Parameters) -> FloatArray:
    """Responsibilities (n, K) for what is observed; the weights where nothing is."""
    weights = np.tile(parameters.weights.astype(X.dtype), (len(X), 1))
    return np.asarray(_by_pattern(X, parameters, kernels.responsibilities, weights))


def assign(X: FloatArray, parameters: Parameters) -> np.ndarray:
    """Most probable components (n,) for what is observed."""
    heaviest = np.full(len(X), np.argmax(parameters.weights), np.intp)
    return np.asarray(_by_pattern(X, parameters, kernels.assign, heaviest))


def _by_pattern(
    X: FloatArray, parameters: Parameters, function: Callable[..., Any], answers: np.ndarray
) -> np.ndarray:
    """What a function of the kernels says of each row; where nothing is observed, as it was."""
    conditions = Conditions(parameters.astype(X.dtype))
    for pattern in patterns_of(X):
        if len(pattern.observed):
            answers[pattern.rows] = function(
                X[pattern.rows][:, pattern.observed], *conditions.given(pattern).arguments
            )
    return answers


# --- imputation -----------------------------------------------------------------------------
# (shares (n, K), what is observed (n, o), what follows from it) → hidden values (n, h)
Fill = Callable[[FloatArray, FloatArray, Observed], FloatArray]


def expected(X: FloatArray, parameters: Parameters) -> FloatArray:
    """X with the expected values of what is missing, given what is observed.

    E[xₕ | xₒ] = Σₖ rₖ (μₖₕ + Bₖ (xₒ - μₖₒ)), with the responsibilities of what is observed.
    """

    def fill(shares: FloatArray, values: FloatArray, given: Observed) -> FloatArray:
        total = np.zeros((len(values), given.hidden_means.shape[1]))
        for k in range(shares.shape[1]):
            total += shares[:, [k]] * given.mean(k, values)
        return total

    return _filled(X, parameters, fill)


def drawn(X: FloatArray, parameters: Parameters, random_state: RandomState) -> FloatArray:
    """X with values drawn for what is missing, given what is observed."""

    def fill(shares: FloatArray, values: FloatArray, given: Observed) -> FloatArray:
        ends = np.cumsum(shares, axis=1)
        points = random_state.uniform(size=(len(values), 1)) * ends[:, -1:]
        components = np.sum(points >= ends[:, :-1], axis=1)
        hidden = random_state.standard_normal((len(values), given.hidden_means.shape[1]))
        for k in np.unique(components):
            own = components == k
            hidden[own] = given.mean(k, values[own]) + given.scaled(k, hidden[own])
        return hidden

    return _filled(X, parameters, fill)


def _filled(X: FloatArray, parameters: Parameters, fill: Fill) -> FloatArray:
    conditions, complete = Conditions(parameters.astype(X.dtype)), X.copy()
    for pattern in patterns_of(X):
        rows, o, h = pattern
        if not len(h):
            continue
        given, values = conditions.given(pattern), X[rows][:, o]
        if len(o):
            shares = kernels.responsibilities(values, *given.arguments).astype(np.float64)
        else:
            shares = np.tile(np.asarray(parameters.weights, np.float64), (len(rows), 1))
        complete[np.ix_(rows, h)] = fill(shares, values.astype(np.float64), given)
    return complete
