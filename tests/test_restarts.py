"""The best of several starts: which one is kept, what becomes of those that fail."""

import warnings

import numba
import numpy as np
import pytest
from axes import each_covariance_type, each_type_of_its_own
from numpy.testing import assert_array_equal
from problems import ARRAYS, assert_same_fit, load
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture as Peer

from fastgmm import GaussianMixture
from fastgmm._records import Parameters
from fastgmm.em.restarts import Outcome, best_of_starts
from fastgmm.em.results import EMResult, Iteration, Status
from fastgmm.model.factors import IllDefinedCovariance

START = "start"  # a start in the script of a run that fails there
CLIMB = "climb"  # one that fails on the way


class Script:
    """Starts and climbs as they are told: a run for each list of lower bounds, or a failure."""

    def __init__(self, *runs):
        self.runs = list(runs)
        self.index = -1
        self.results = {}
        self.errors = []

    def find_start(self):
        self.index += 1
        if self.runs[self.index] == START:
            raise self.fail()
        return Parameters(*[np.full(1, self.index)] * 4, "spherical")

    def climb(self, start, on_iteration):
        run = self.runs[self.index]
        assert start.means[0] == self.index
        if run == CLIMB:
            raise self.fail()
        for n_iter, lower_bound in enumerate(run, 1):
            on_iteration(Iteration(n_iter, lower_bound, np.inf, start))
        result = EMResult(start, Status.CONVERGED if run else Status.INITIALIZED, run)
        self.results[self.index] = result
        return result

    def fail(self):
        self.errors.append(IllDefinedCovariance())
        return self.errors[-1]

    def run(self, on_iteration):
        return self.climb(self.find_start(), on_iteration)

    def best(self, *watchers, **options):
        return best_of_starts(len(self.runs), self.run, watchers, **options)


class Notes:
    """A watcher that writes down what it is told, and asks to leave runs out after one."""

    def __init__(self, last=None):
        self.told = []
        self.last = last

    def run_begins(self, index):
        self.told.append(("begins", index))

    def iteration_ends(self, iteration):
        self.told.append(("iteration", iteration.n_iter, iteration.lower_bound))

    def run_ends(self, result):
        self.told.append(("ends", result.lower_bound))
        return result.lower_bound == self.last

    def run_fails(self, error):
        self.told.append(("fails", error))


# --- scripted runs --------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("runs", "kept"),
    [
        ([[-3.0]], 0),
        ([[-3.0], [-2.0], [-4.0]], 1),
        ([[-3.0], [-2.0, -1.0], [-1.5]], 1),
        ([[-1.0, -3.0], [-2.0]], 1),  # the last lower bound counts, not the highest on the way
        ([[-2.0], [-2.0], [-2.0]], 0),
        ([[-3.0], [-2.0], [-2.0]], 1),
        ([[], [], []], 2),
        ([START, [-2.0], [-3.0]], 1),
        ([[-3.0], CLIMB, [-2.0], START], 2),
        ([[-2.0], START, CLIMB], 0),
        ([[], START], 0),
    ],
)
def test_the_highest_lower_bound_is_kept_and_failures_are_recorded(runs, kept):
    script = Script(*runs)
    outcome = script.best(Notes())
    assert outcome.best is script.results[kept]
    assert outcome.failures == script.errors
    assert len(outcome.failures) == runs.count(START) + runs.count(CLIMB)
    assert script.index == len(runs) - 1


def test_if_every_start_fails_so_does_the_fit():
    script = Script(START, CLIMB, START)
    with pytest.raises(IllDefinedCovariance) as raised:
        script.best(Notes())
    assert raised.value is script.errors[-1]
    assert len(script.errors) == 3


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("place", ["find_start", "climb"])
def test_other_exceptions_are_not_failures_of_a_start(place, error):
    script, notes = Script([-1.0], [-2.0]), Notes()

    def broken(*arguments):
        raise error("not of this package")

    setattr(script, place, broken)
    with pytest.raises(error, match="not of this package"):
        script.best(notes)
    assert notes.told == [("begins", 0)]


def test_an_interruption_can_leave_the_best_so_far():
    def interrupted(start, on_iteration):
        if script.index == 2:
            raise KeyboardInterrupt
        return Script.climb(script, start, on_iteration)

    script = Script([-3.0], [-4.0], [-2.0], [-1.0])
    script.climb = interrupted
    with pytest.raises(KeyboardInterrupt):
        script.best(Notes())
    script.index = -1
    outcome = script.best(Notes(), keep_on_interrupt=True)
    assert outcome.best.parameters is script.results[0].parameters
    assert outcome.best.status is Status.INTERRUPTED
    assert script.index == 2
    (text,) = outcome.warnings(4, 1e-3)
    assert "interrupted" in text


def test_watchers_are_told_everything_in_order():
    script, one, other = Script([-3.0, -2.0], START, CLIMB, [-2.5]), Notes(), Notes()
    script.best(one, other)
    assert one.told == [
        ("begins", 0),
        ("iteration", 1, -3.0),
        ("iteration", 2, -2.0),
        ("ends", -2.0),
        ("begins", 1),
        ("fails", script.errors[0]),
        ("begins", 2),
        ("fails", script.errors[1]),
        ("begins", 3),
        ("iteration", 1, -2.5),
        ("ends", -2.5),
    ]
    assert other.told == one.told


@pytest.mark.parametrize("asking", [0, 1])
def test_a_watcher_may_leave_out_the_rest(asking):
    script, watchers = Script([-3.0], [-2.0], [-1.0]), [Notes(), Notes()]
    watchers[asking].last = -2.0
    assert script.best(*watchers).best is script.results[1]
    assert script.index == 1
    for notes in watchers:
        assert notes.told[-1] == ("ends", -2.0)


@pytest.mark.parametrize("answers", [(True, False), (False, True), (None, False), (True, True)])
def test_any_watcher_may_stop_a_run_and_all_are_told(answers):
    told, asked = [], []

    class Asking(Notes):
        def __init__(self, answer):
            super().__init__()
            self.answer = answer

        def iteration_ends(self, iteration):
            told.append(iteration)
            return self.answer

    def run(on_iteration):
        asked.append(on_iteration(Iteration(1, -1.0, np.inf, None)))
        return EMResult(None, Status.STOPPED, [-1.0])

    best_of_starts(1, run, [Asking(answer) for answer in answers])
    assert asked == [any(answers)]
    assert len(told) == 2


@pytest.mark.parametrize(
    ("status", "change", "said"),
    [
        (Status.CONVERGED, 1e-4, []),
        (Status.STOPPED, 0.5, []),
        (Status.INITIALIZED, np.inf, []),
        (Status.MAX_ITER, 0.25, ["max_iter=2", "changed by 0.25", "tol=0.001"]),
        (Status.MAX_ITER, np.inf, ["max_iter=2", "before", "could be compared"]),
    ],
)
@pytest.mark.parametrize("n_failures", [0, 2])
def test_what_is_warned_of(status, change, said, n_failures):
    best = EMResult(None, status, [-2.0, -2.0 + change], change)
    texts = list(Outcome(best, [IllDefinedCovariance()] * n_failures).warnings(5, 1e-3))
    if said:
        text = texts.pop(0)
        for words in ["Best performing initialization did not converge", *said]:
            assert words in text
    if n_failures:
        text = texts.pop(0)
        assert text.startswith("2 of 5 initializations failed")
        assert str(IllDefinedCovariance()) in text
    assert texts == []


# --- fits -----------------------------------------------------------------------------------
def few_distinct_points():
    """Points of which a third are one and the same: a component on it alone has no extent."""
    rng = np.random.default_rng(0)
    return np.concatenate([np.zeros((10, 2)), rng.normal(size=(20, 2))])


N_INIT = 10


def some_fail(covariance_type, **options):
    """An estimator of whose starts some fail on these points, as there is no reg_covar."""
    options = {"reg_covar": 0, "init_params": "random_means", "max_iter": 200, **options}
    return GaussianMixture(2, covariance_type=covariance_type, **options)


def fit_quietly(estimator, X):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return estimator.fit(X)


def one_by_one(covariance_type):
    """The fits from the same starts, None for those that fail."""
    X, random_state = few_distinct_points(), np.random.RandomState(0)
    fits = []
    for _ in range(N_INIT):
        estimator = some_fail(covariance_type, random_state=random_state)
        try:
            fits.append(fit_quietly(estimator, X))
        except IllDefinedCovariance:
            fits.append(None)
    return fits


@each_type_of_its_own
def test_the_best_of_the_starts_that_do_not_fail_is_kept(covariance_type):
    fits = one_by_one(covariance_type)
    n_failures = fits.count(None)
    assert 0 < n_failures < N_INIT
    estimator = some_fail(covariance_type, n_init=N_INIT, random_state=0)
    with pytest.warns(
        ConvergenceWarning, match=f"{n_failures} of {N_INIT} initializations failed"
    ) as caught:
        best = estimator.fit(few_distinct_points())
    assert caught[0].filename == __file__
    expected = max((fit for fit in fits if fit is not None), key=lambda fit: fit.lower_bound_)
    assert best.lower_bounds_ == expected.lower_bounds_
    for name in ARRAYS:
        assert_array_equal(getattr(best, name), getattr(expected, name))


@each_type_of_its_own
def test_failures_are_printed(covariance_type, capsys):
    n_failures = one_by_one(covariance_type).count(None)
    options = {"n_init": N_INIT, "random_state": 0, "verbose": 1}
    fit_quietly(some_fail(covariance_type, **options), few_distinct_points())
    printed = capsys.readouterr().out
    assert printed.count("Initialization failed: Fitting the mixture model failed") == n_failures
    assert printed.count("Initialization converged") == N_INIT - n_failures
    assert [f"Initialization {i}\n" in printed for i in range(N_INIT)] == [True] * N_INIT


@each_covariance_type
def test_if_every_start_of_a_fit_fails_it_is_refused(covariance_type):
    estimator = GaussianMixture(
        2, covariance_type=covariance_type, reg_covar=0, init_params="random", n_init=3
    )
    with pytest.raises(ValueError, match="ill-defined"):
        estimator.fit(np.zeros((20, 2)))


# Not from k-means, whose starts often lead to the same optimum: rounding would choose among them.
@pytest.mark.parametrize("init_params", ["random", "k-means++"])
@pytest.mark.parametrize("data", ["iris", "wine", "random 1"])
@each_covariance_type
def test_the_best_of_three_is_scikit_learns(data, covariance_type, init_params):
    X, K = load(data)
    options = {"covariance_type": covariance_type, "init_params": init_params}
    ours, theirs = (
        fit_quietly(estimator(K, n_init=3, random_state=1, reg_covar=1e-4, **options), X)
        for estimator in (GaussianMixture, Peer)
    )
    assert_same_fit(ours, theirs)


@each_covariance_type
@pytest.mark.parametrize("init_params", ["random", "random_from_data", "random_means"])
def test_the_number_of_threads_does_not_matter(init_params, covariance_type):
    X, K = load("digits")  # some blocks of points
    options = {"covariance_type": covariance_type, "init_params": init_params, "n_init": 2}
    fits, before = [], numba.get_num_threads()
    try:
        for n_threads in (1, numba.config.NUMBA_NUM_THREADS):
            numba.set_num_threads(n_threads)
            estimator = GaussianMixture(K, random_state=0, max_iter=10, reg_covar=0.1, **options)
            fits.append(fit_quietly(estimator, X))
    finally:
        numba.set_num_threads(before)
    one, many = fits
    assert one.lower_bounds_ == many.lower_bounds_
    assert one.log_likelihood_ == many.log_likelihood_
    for name in ARRAYS:
        assert_array_equal(getattr(one, name), getattr(many, name))
