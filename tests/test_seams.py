"""The four seams, each used from outside in a few lines."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from problems import fixed_start, load

from fastgmm import GaussianMixture, Parameters
from fastgmm.data.source import ArraySource
from fastgmm.em.degeneracy import NO_REPAIRS, Repairing
from fastgmm.em.loop import Rules, run_em
from fastgmm.em.step import em_step
from fastgmm.model.factors import (
    covariances_from_cholesky,
    precisions_cholesky_from_covariances,
    precisions_cholesky_from_precisions,
)
from fastgmm.model.families import FAMILIES, Family
from fastgmm.model.maximization import MaximumLikelihood


def start_of(X, K, covariance_type):
    """Parameters to start from."""
    weights, means, precisions = fixed_start(X, K, covariance_type).values()
    U = precisions_cholesky_from_precisions(precisions, covariance_type)
    covariances = covariances_from_cholesky(U, covariance_type)
    return Parameters(weights, means, covariances, U, covariance_type)


def climb(source, maximization, start, **rules):
    def step(parameters, n_iter, repairs):
        return em_step(source, maximization, parameters)

    return run_em(step, start, Rules(**{"tol": 1e-6, "max_iter": 200, **rules}))


# --- source ---------------------------------------------------------------------------------
class TwoChunks:
    """Points in two places: statistics add up."""

    def __init__(self, one, other):
        self.parts = ArraySource(one), ArraySource(other)

    def expectation(self, parameters):
        one, other = (part.expectation(parameters) for part in self.parts)
        return one + other


@pytest.mark.parametrize("covariance_type", FAMILIES)
def test_a_source_of_two_chunks_fits_as_one(covariance_type):
    X, K = load("wine")
    plain = FAMILIES[covariance_type].pass_type
    start = start_of(X, K, plain)
    maximization = MaximumLikelihood(covariance_type, 1e-3)
    # One step from a start of the pass's type leads into the family.
    start = em_step(ArraySource(X), maximization, start).parameters
    whole = climb(ArraySource(X), maximization, start)
    parts = climb(TwoChunks(X[:50], X[50:]), maximization, start)
    assert parts.n_iter == whole.n_iter
    for one, other in zip(parts.parameters[:4], whole.parameters[:4], strict=True):
        assert_allclose(one, other, rtol=1e-7, atol=1e-9)


# --- maximization ---------------------------------------------------------------------------
@dataclass(frozen=True)
class WithPrior(MaximumLikelihood):
    """Maximum a posteriori: an inverse Wishart prior with `strength` samples of `scale`."""

    strength: float = 10.0
    scale: float = 1.0

    def estimate(self, statistics, current):
        found = super().estimate(statistics, current)
        n = statistics.counts[:, None, None] / (statistics.counts + self.strength)[:, None, None]
        prior = self.scale * np.eye(found.means.shape[1])
        return found._replace(covariances=n * found.covariances + (1 - n) * prior)

    def objective(self, statistics, current, following):
        parameters, total = current, statistics.counts.sum()
        half_log_det = np.log(np.diagonal(parameters.precisions_cholesky, axis1=1, axis2=2)).sum()
        trace = np.sum(parameters.precisions_cholesky**2)
        prior = self.strength * (half_log_det - 0.5 * self.scale * trace)
        return (statistics.log_likelihood + prior) / total


def test_a_prior_is_a_maximization_whose_objective_never_falls():
    X, K = load("wine")
    X = X / X.std(axis=0)
    start = start_of(X, K, "full")
    result = climb(ArraySource(X), WithPrior("full"), start, tol=1e-7, max_iter=2000)
    assert result.converged
    assert result.largest_fall < 1e-12
    plain = climb(ArraySource(X), MaximumLikelihood("full", 1e-9), start)
    smallest = [np.linalg.eigvalsh(r.parameters.covariances).min() for r in (result, plain)]
    assert smallest[0] > 2 * smallest[1]  # the prior keeps them from collapsing


# --- step -----------------------------------------------------------------------------------
def digest(*arrays):
    return [np.array(array, copy=True) for array in arrays]


@pytest.mark.parametrize("action", ["reset", "drop", "floor"])
def test_a_step_that_is_rejected_leaves_nothing_behind(action):
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(size=(80, 2)), np.full((20, 2), 5.0)])  # one will collapse
    source, maximization = ArraySource(X), MaximumLikelihood("full", 0.0)
    means, U = np.array([[0.0, 0], [5, 5]]), np.stack([np.eye(2), 1e3 * np.eye(2)])
    start = Parameters(np.full(2, 0.5), means, np.linalg.inv(U @ U), U, "full")
    repairing = Repairing(action, source, maximization)
    before = digest(*start[:4], X)
    tried = em_step(source, maximization, start, repairing=repairing, n_iter=1)
    assert tried.repairs.done
    assert tried.repairs.done[0].action == action
    # It is rejected: the same step again is the same, as if the first had never been.
    again = em_step(source, maximization, start, repairing=repairing, n_iter=1)
    for one, other in zip(tried.parameters[:4], again.parameters[:4], strict=True):
        assert_array_equal(one, other)
    assert tried.repairs.done == again.repairs.done
    assert NO_REPAIRS == ((), ())
    for array, kept in zip((*start[:4], X), before, strict=True):
        assert_array_equal(array, kept)


def test_squared_steps_guarded_by_the_objective():
    """Extrapolation between two steps, taken where the objective is higher (Varadhan, 2008)."""
    X, K = load("iris")
    source, maximization = ArraySource(X), MaximumLikelihood("diag", 1e-6)
    parameters, n_rejected = start_of(X, K, "diag"), 0
    objective = -np.inf
    for _ in range(40):
        one = em_step(source, maximization, parameters)
        two = em_step(source, maximization, one.parameters)
        assert two.objective >= objective - 1e-12
        objective = two.objective
        means = 2 * two.parameters.means - one.parameters.means
        tried = em_step(source, maximization, two.parameters._replace(means=means))
        plain = em_step(source, maximization, two.parameters)
        better = tried.objective >= plain.objective
        n_rejected += not better
        parameters = tried.parameters if better else plain.parameters
    expected = climb(source, maximization, start_of(X, K, "diag"), tol=1e-9, max_iter=1000)
    assert objective == pytest.approx(expected.lower_bound, abs=1e-4)


# --- family ---------------------------------------------------------------------------------
def equal_volumes(covariances, counts, before):
    """Diagonal covariances of one determinant (VEI and such: Celeux and Govaert, 1995)."""
    volumes = np.exp(np.log(covariances).mean(axis=1, keepdims=True))
    common = np.average(volumes, axis=0, weights=counts)
    return covariances / volumes * common


def test_a_family_of_ones_own_is_one_row_and_one_function(monkeypatch):
    monkeypatch.setitem(FAMILIES, "equal_volume", Family(("K", "d"), "diag", equal_volumes))
    X, K = load("iris")
    model = GaussianMixture(K, covariance_type="equal_volume", random_state=0, max_iter=500).fit(X)
    determinants = np.prod(model.covariances_ - 1e-6, axis=1)
    assert_allclose(determinants, determinants[0], rtol=1e-6)
    assert model.score(X) > GaussianMixture(K, covariance_type="tied_diag").fit(X).score(X)
    copies = GaussianMixture.from_parameters(
        model.weights_, model.means_, model.covariances_, "diag"
    )
    assert_array_equal(model.predict(X), copies.predict(X))
    U = precisions_cholesky_from_covariances(model.covariances_, "equal_volume")
    assert_array_equal(U, model.precisions_cholesky_)
