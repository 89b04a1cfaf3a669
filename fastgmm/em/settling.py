"""The start of a fit to many rows: k-means on few of them, then EM with momentum on more."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.random import RandomState

from fastgmm._records import FloatArray, Parameters
from fastgmm.data.sampled import Expecting
from fastgmm.data.source import ArraySource, Source
from fastgmm.em.degeneracy import Repairing, Repairs
from fastgmm.em.initialization import Initialization, initial_parameters
from fastgmm.model.factors import IllDefinedCovariance
from fastgmm.model.families import family_of
from fastgmm.model.maximization import MaximumLikelihood

# K-means sees this part of `init_size`, or rows enough for the covariance of each component.
PART, ROWS_PER_FEATURE = 1 / 4, 3
# It ends sooner than scikit-learn's: EM moves the centres further than its last iterations.
COARSE_TOL = 1e-2
# EM sees so many rows for each parameter of the mixture: on fewer it settles somewhere else.
ROWS_PER_PARAMETER = 8
# It has settled when the objective rises by less than so many times `tol`, but never
# goes on for less than this rise or for more iterations: the EM on all the rows ends it.
TIMES_TOL, SMALLEST_RISE, MOST_ITERATIONS = 5, 5e-3, 40
# Momentum waits for rises below this, while components look for their places: it would lead some
# of them astray.
SLOW = 0.1


def settled_start(
    source: Source,
    n_components: int,
    maximization: MaximumLikelihood,
    how: Initialization,
    random_state: RandomState,
    repairing: Repairing | None,
    tol: float,
) -> tuple[Parameters, Repairs]:
    """Starting parameters as of `initial_parameters`, and moved by EM where there are many rows.

    That is done with k-means alone, of more than `init_size` rows; whoever asks for another method
    or gives values gets exactly these. With fewer rows than parameters EM settles soon by itself,
    so that a start would only take its time. A sample, unless it would be most of the rows, and a
    part of it for k-means are drawn from the random state. EM repairs nothing, and stops short of a
    covariance that is not positive definite.
    """
    K, d, size = n_components, source.n_features, how.init_size
    given = any(value is not None for value in how.initial_values)
    by_kmeans = isinstance(how.init_params, str) and how.init_params == "kmeans"
    if size is None or source.n_weighted <= size or given or not by_kmeans:
        return initial_parameters(source, K, maximization, how, random_state, repairing)
    n_parameters = family_of(maximization.covariance_type).n_parameters(K, d, maximization.rank)
    if source.n_weighted < n_parameters:
        return initial_parameters(source, K, maximization, how, random_state, repairing)
    sample = _sample(source, max(size, ROWS_PER_PARAMETER * n_parameters), random_state)
    few = min(size, max(int(PART * size), ROWS_PER_FEATURE * K * d))
    seen = how._replace(init_size=few, kmeans_tol=COARSE_TOL)
    start: Any
    try:
        start, repairs = initial_parameters(sample, K, maximization, seen, random_state, repairing)
    except IllDefinedCovariance:
        start, repairs = initial_parameters(source, K, maximization, how, random_state, repairing)
    if not isinstance(start, Parameters):  # there is no momentum for what else is known of them
        return start, repairs
    return settled(sample, maximization, start, max(TIMES_TOL * tol, SMALLEST_RISE)), repairs


def _sample(source: Source, size: int, random_state: RandomState) -> Source:
    """So many rows drawn at random, or all if there are not many more."""
    if source.n_weighted <= 2 * size:
        return source
    return ArraySource(*source.rows(size, random_state))


class Climb(NamedTuple):
    """Where EM with momentum has arrived, and after how many iterations."""

    parameters: Parameters
    objective: float  # the last, before the maximization
    n_iter: int


def settled(
    source: Expecting,
    maximization: MaximumLikelihood,
    start: Parameters,
    smallest_rise: float,
    most_iterations: int | None = None,
) -> Parameters:
    """Parameters that EM with momentum reaches from `start`, as of `climb`."""
    most = MOST_ITERATIONS if most_iterations is None else most_iterations
    return climb(source, maximization, start, smallest_rise, most).parameters


def climb(
    source: Expecting,
    maximization: MaximumLikelihood,
    start: Parameters,
    smallest_rise: float,
    most_iterations: int,
) -> Climb:
    """Climb from `start` by EM with momentum, until the objective rises by less.

    From xₜ, the t-th maximization since the last restart, the next step begins beyond it, at
    xₜ + βₜ (xₜ - xₜ₋₁) with βₜ = t / (t + 2); where the objective falls, it begins at xₜ and
    momentum starts anew. Where EM creeps, it takes a fraction of the iterations.

    References
    ----------
    Nesterov, A method of solving a convex programming problem with convergence rate O(1/k²),
    Soviet Mathematics Doklady 27 (1983). O'Donoghue and Candès, Adaptive restart for accelerated
    gradient schemes, Foundations of Computational Mathematics 15 (2015).
    """
    best = parameters = start
    before, n_steps, n_iter = -np.inf, 0, 0
    for n_iter in range(1, most_iterations + 1):
        statistics = source.expectation(parameters)
        objective = maximization.objective(statistics, parameters, parameters)
        rise = objective - before
        if not rise >= 0:  # NaN where momentum has led too far
            if parameters is best:  # without it: rounding, or `reg_covar`
                break
            parameters, n_steps = best, 0
            continue
        try:
            following = maximization.maximize(statistics, parameters)
        except IllDefinedCovariance:
            break
        if rise < smallest_rise:
            return Climb(following, objective, n_iter)
        before, n_steps = objective, n_steps + 1 if rise < SLOW else 0
        parameters = beyond(following, best, n_steps / (n_steps + 2)) if n_steps else following
        best = following
    return Climb(best, before, n_iter)


def beyond(parameters: Parameters, before: Parameters, momentum: float) -> Parameters:
    """Parameters as far again from those before them, times `momentum`; covariances stay behind.

    In logarithms, where they are to stay above 0: of the weights, and of the diagonals of factors.
    """

    def in_logarithms(new: FloatArray, old: FloatArray) -> FloatArray:
        return np.asarray(new * (new / old) ** momentum)

    weights = in_logarithms(parameters.weights, before.weights)
    means = parameters.means + momentum * (parameters.means - before.means)
    new, old = parameters.precisions_cholesky, before.precisions_cholesky
    factors: FloatArray
    family = family_of(parameters.covariance_type)
    if family.is_matrix:
        factors = new + momentum * (new - old)
        diagonals = (np.einsum("...ii->...i", array) for array in (new, old))
        np.einsum("...ii->...i", factors)[...] = in_logarithms(*diagonals)
    elif family.has_loadings:
        loadings = new[..., :-1] + momentum * (new[..., :-1] - old[..., :-1])
        factors = np.concatenate([loadings, in_logarithms(new[..., -1:], old[..., -1:])], axis=-1)
    else:
        factors = in_logarithms(new, old)
    return parameters._replace(
        weights=weights / weights.sum(), means=means, precisions_cholesky=factors
    )
