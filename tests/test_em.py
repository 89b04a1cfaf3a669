import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fastgmm import reference
from fastgmm._records import Parameters, Statistics
from fastgmm.em.loop import Rules, run_em
from fastgmm.em.results import Status
from fastgmm.em.step import em_step
from fastgmm.model.maximization import MaximumLikelihood

START = Parameters(
    weights=np.array([0.25, 0.75]),
    means=np.array([[-1.0], [1.0]]),
    covariances=np.ones(2),
    precisions_cholesky=np.ones(2),
    covariance_type="spherical",
)


class Scripted:
    """A data source with given lower bounds, that records what it was asked."""

    def __init__(self, *lower_bounds, weight=4.0):
        self.remaining = list(lower_bounds)
        self.weight = weight
        self.asked = []

    def expectation(self, parameters):
        self.asked.append(parameters)
        return Statistics(
            log_likelihood=self.remaining.pop(0) * self.weight,
            counts=np.full(2, self.weight / 2),
            first=np.ones((2, 1)),
            second=np.full(2, self.weight),
            reference=parameters.means,
        )


def run(source, start=START, reg_covar=0.0, tol=0.1, max_iter=10, keep_history=False, **options):
    maximization = MaximumLikelihood(start.covariance_type, reg_covar, start.means.dtype)

    def step(parameters, n_iter, repairs):
        return em_step(source, maximization, parameters, n_iter=n_iter, repairs=repairs)

    return run_em(step, start, Rules(tol, max_iter, keep_history), **options)


def test_converges_when_the_lower_bound_changes_by_less_than_tol():
    source = Scripted(-3.0, -2.0, -1.75, -1.7, 0.0)
    result = run(source)
    assert result.lower_bounds == [-3.0, -2.0, -1.75, -1.7]
    assert result.status is Status.CONVERGED
    assert result.converged
    assert result.n_iter == 4
    assert result.lower_bound == -1.7
    assert len(source.asked) == 4


def test_a_change_of_tol_does_not_end_the_run():
    result = run(Scripted(-2.0, -1.5, -1.0), tol=0.5, max_iter=3)
    assert result.status is Status.MAX_ITER
    result = run(Scripted(-2.0, -2.5, -3.0), tol=0.5, max_iter=3)
    assert result.status is Status.MAX_ITER


@pytest.mark.parametrize("level", [-1e6, -1e-3, 0.0, 1e6])
def test_a_small_change_has_converged_up_or_down(level):
    for change in (0.9e-3, -0.9e-3):
        result = run(Scripted(level, level + change), tol=1e-3)
        assert result.status is Status.CONVERGED
        assert result.n_iter == 2


def test_the_largest_fall_of_a_run_is_kept():
    assert run(Scripted(-3.0, -2.0, -1.0), max_iter=3).largest_fall == 0.0
    assert run(Scripted(-2.0, -3.0, -2.5, -2.75, -2.7)).largest_fall == 1.0
    assert run(Scripted(-2.0, -2.0625, -2.0), tol=0.125).largest_fall == 0.0625


def test_a_run_that_fell_earlier_may_converge():
    result = run(Scripted(-2.0, -3.0, -2.5, -2.45))
    assert result.status is Status.CONVERGED


def test_the_change_is_that_of_the_last_lower_bound():
    assert run(Scripted(-3.0, -2.0), max_iter=2).change == 1.0
    assert run(Scripted(-3.0, -2.0, -2.5), max_iter=3).change == -0.5
    assert run(Scripted(-3.0), max_iter=1).change == np.inf
    assert run(Scripted(-3.0), max_iter=1, lower_bound=-5.0).change == 2.0
    assert run(Scripted(), max_iter=0).change == np.inf


def test_tol_zero_never_converges():
    result = run(Scripted(-2.0, -2.0, -2.0), tol=0.0, max_iter=3)
    assert result.n_iter == 3
    assert not result.converged


def test_the_parameters_are_those_of_the_last_maximization():
    source = Scripted(-3.0, -2.0)
    result = run(source, max_iter=2)
    # each maximization moves the means by first / count = 1/2 and leaves variance 2 - 1/4
    np.testing.assert_allclose(source.asked[1].means, START.means + 0.5, atol=1e-14)
    np.testing.assert_allclose(result.parameters.means, START.means + 1.0, atol=1e-14)
    np.testing.assert_allclose(result.parameters.covariances, 1.75, rtol=1e-14)
    assert source.asked[0] is START
    assert_array_equal(START.means, [[-1.0], [1.0]])


def test_reg_covar_is_added_to_the_variances():
    result = run(Scripted(-3.0), max_iter=1, reg_covar=0.25)
    np.testing.assert_allclose(result.parameters.covariances, 2.0, rtol=1e-14)


def test_no_iterations_keep_the_start():
    result = run(Scripted(), max_iter=0)
    assert result.parameters is START
    assert result.status is Status.INITIALIZED
    assert result.lower_bounds == []
    assert result.lower_bound == -np.inf


def test_a_resumed_run_compares_with_its_last_lower_bound():
    assert run(Scripted(-1.95), lower_bound=-2.0).n_iter == 1
    assert run(Scripted(-1.95, -1.9)).n_iter == 2


def test_every_iteration_is_reported():
    seen = []
    result = run(Scripted(-3.0, -2.0, -1.95), on_iteration=seen.append)
    assert [iteration.n_iter for iteration in seen] == [1, 2, 3]
    assert [iteration.lower_bound for iteration in seen] == result.lower_bounds
    assert seen[0].change == np.inf
    assert seen[1].change == 1.0
    assert seen[-1].parameters is result.parameters


def test_the_run_stops_where_it_is_asked_to():
    source = Scripted(-3.0, -2.0, -1.0, 0.0)
    result = run(source, on_iteration=lambda iteration: iteration.n_iter == 2)
    assert result.status is Status.STOPPED
    assert not result.converged
    assert result.lower_bounds == [-3.0, -2.0]
    assert result.change == 1.0
    assert len(source.asked) == 2
    np.testing.assert_allclose(result.parameters.means, START.means + 1.0, atol=1e-14)


def test_a_run_that_settles_where_it_is_asked_to_stop_has_converged():
    result = run(Scripted(-3.0, -2.95), on_iteration=lambda iteration: iteration.n_iter == 2)
    assert result.status is Status.CONVERGED


@pytest.mark.parametrize("answer", [None, False, 0])
def test_no_answer_goes_on(answer):
    result = run(Scripted(-3.0, -2.0, -1.95), on_iteration=lambda iteration: answer)
    assert result.n_iter == 3


@pytest.mark.parametrize("max_iter", [0, 1, 3, 10])
def test_the_history_goes_from_the_start_to_the_result(max_iter):
    seen = []
    source = Scripted(-4.0, -3.0, -2.0, -1.95)
    result = run(source, max_iter=max_iter, keep_history=True, on_iteration=seen.append)
    assert len(result.history) == result.n_iter + 1 == min(max_iter, 4) + 1
    assert result.history[0] is START
    assert result.history[-1] is result.parameters
    for kept, asked in zip(result.history, source.asked, strict=False):
        assert kept is asked
    for kept, iteration in zip(result.history[1:], seen, strict=True):
        assert kept is iteration.parameters


def test_no_history_unless_asked():
    assert run(Scripted(-3.0, -2.95)).history == []


def test_the_lower_bound_is_per_unit_of_weight():
    X = np.array([[-2.0], [-1.0], [0.5], [2.0]])
    weight = np.array([1.0, 2.0, 0.5, 3.0])

    class Textbook:
        def expectation(self, p):
            return reference.expectation(X, *p.arguments, weight)

    result = run(Textbook(), max_iter=1)
    log_density = reference.log_density(
        X, START.weights, START.means, START.precisions_cholesky, "spherical"
    )
    assert result.lower_bound == pytest.approx(np.average(log_density, weights=weight), rel=1e-14)


def test_the_dtype_of_the_start_is_kept():
    result = run(Scripted(-3.0, -2.0), start=START.astype(np.float32), max_iter=2)
    assert {array.dtype for array in result.parameters[:4]} == {np.dtype(np.float32)}
