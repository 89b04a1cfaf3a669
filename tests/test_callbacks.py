"""Scikit-learn's callbacks: what they are told, what they may stop, and that fits do not change."""

from __future__ import annotations

import re
import sys
from typing import Any, NamedTuple

import numpy as np
import pytest
from axes import each_covariance_type
from numpy.testing import assert_array_equal
from problems import assert_close, assert_same_arrays, load
from processes import run_python
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from fastgmm import GaussianMixture, persistence
from fastgmm.estimator import callbacks

callback = pytest.importorskip("sklearn.callback", reason="scikit-learn 1.9 brings the callbacks")

X, K = load("iris")
BEGIN, END = "on_fit_task_begin", "on_fit_task_end"


class Event(NamedTuple):
    """A hook that was called: of which task (its ids from the root on), with what."""

    hook: str
    task: str
    path: tuple[int, ...]
    estimator: str
    given: dict[str, Any]


class Recorder:
    """Writes down the hooks as they are called; `stops` says after which tasks to stop."""

    def __init__(self, stops=lambda event: False):
        self.stops = stops
        self.events = []

    def record(self, hook, context, **given):
        path, parent = (context.task_id,), context.parent
        while parent is not None:
            path, parent = (parent.task_id, *path), parent.parent
        event = Event(hook, context.task_name, path, context.estimator_name, given)
        self.events.append(event)
        return event

    def setup(self, estimator, context):
        self.record("setup", context)

    def teardown(self, estimator, context):
        self.record("teardown", context)

    def on_fit_task_begin(self, estimator, context, *, X, y, metadata, fitted_estimator):
        self.record(BEGIN, context, X=X, y=y, metadata=metadata, fitted_estimator=fitted_estimator)

    def on_fit_task_end(self, estimator, context, *, X, y, metadata, fitted_estimator):
        given = {"X": X, "y": y, "metadata": metadata, "fitted_estimator": fitted_estimator}
        return self.stops(self.record(END, context, **given))

    def order(self):
        return [event[:3] for event in self.events]

    def ends(self, task):
        return [event for event in self.events if event.hook == END and event.task == task]


class Propagated(Recorder):
    """One that meta-estimators hand on to what they fit."""

    max_propagation_depth = None


def starts(n_iters):
    """Hooks of starts with so many iterations each."""
    for i, n_iter in enumerate(n_iters):
        yield BEGIN, "start", (0, i)
        for j in range(n_iter):
            yield BEGIN, "iteration", (0, i, j)
            yield END, "iteration", (0, i, j)
        yield END, "start", (0, i)


def whole_fit(n_iters):
    """Hooks of a whole fit."""
    before = [("setup", "fit", (0,)), (BEGIN, "fit", (0,))]
    return [*before, *starts(n_iters), (END, "fit", (0,)), ("teardown", "fit", (0,))]


def watched(recorder, **options):
    options = {"n_components": K, "random_state": 0, **options}
    return GaussianMixture(**options).set_callbacks(recorder)


# --- what they are told ---------------------------------------------------------------------
@pytest.mark.parametrize("method", ["fit", "fit_predict"])
def test_every_task_begins_and_ends_in_order(method):
    options = {"init_params": "random_from_data", "max_iter": 1000}
    shared = np.random.RandomState(3)  # the starts come one after another from one state
    n_iters = [GaussianMixture(K, random_state=shared, **options).fit(X).n_iter_ for _ in range(3)]
    assert len(set(n_iters)) > 1
    recorder = Recorder()
    fitted = watched(recorder, random_state=3, n_init=3, **options)
    getattr(fitted, method)(X)
    assert recorder.order() == whole_fit(n_iters)
    assert [end.given["fitted_estimator"].n_iter_ for end in recorder.ends("start")] == n_iters
    for end in recorder.ends("iteration"):
        assert end.given["fitted_estimator"].n_iter_ == end.path[-1] + 1
    assert fitted.n_iter_ in n_iters


def test_without_iterations_there_are_starts_alone():
    recorder = Recorder()
    watched(recorder, max_iter=0, n_init=2).fit(X)
    assert recorder.order() == whole_fit([0, 0])


def test_a_resumed_fit_is_one_start():
    recorder = Recorder()
    fitted = watched(recorder, n_init=3, warm_start=True).fit(X)
    recorder.events.clear()
    fitted.fit(X)
    assert recorder.order() == whole_fit([fitted.n_iter_])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("labelled", [False, True])
def test_the_data_of_each_task_are_those_of_the_fit(weighted, labelled):
    data = X.astype(np.float32)
    y = np.arange(len(X)) % 3 if labelled else None
    weight = np.arange(1.0, len(X) + 1) if weighted else None
    recorder = Recorder()
    watched(recorder).fit(data, y, sample_weight=weight)
    tasks = [event.given for event in recorder.events if event.given]
    assert len(tasks) > 6
    for given in tasks:
        assert given["X"].dtype == np.float32
        assert_array_equal(given["X"], data)
        # without labels they are unknown: scikit-learn's monitor scores nothing without any
        assert_array_equal(given["y"], y if labelled else np.full(len(X), np.nan))
        if weighted:
            assert given["metadata"].keys() == {"sample_weight"}
            assert_array_equal(given["metadata"]["sample_weight"], weight)
        else:
            assert given["metadata"] is None


@each_covariance_type
def test_after_each_iteration_there_is_a_mixture_with_its_parameters(covariance_type):
    recorder = Recorder()
    fitted = watched(recorder, covariance_type=covariance_type, fit_history=True).fit(X)
    so_far = [end.given["fitted_estimator"] for end in recorder.ends("iteration")]
    assert len(so_far) == fitted.n_iter_ > 2
    for i, (model, parameters) in enumerate(zip(so_far, fitted.fit_history_[1:], strict=True), 1):
        assert type(model) is GaussianMixture
        assert model is not fitted
        assert model.get_params() == fitted.get_params()
        assert_array_equal(model.weights_, parameters.weights)
        assert_array_equal(model.means_, parameters.means)
        assert_array_equal(model.covariances_, parameters.covariances)
        assert_array_equal(model.precisions_cholesky_, parameters.precisions_cholesky)
        assert model.n_iter_ == i
        assert model.lower_bounds_ == fitted.lower_bounds_[:i]
        assert model.lower_bound_ == fitted.lower_bounds_[i - 1]
        assert model.predict(X).shape == (len(X),)
        assert model.sample(3)[0].shape == (3, X.shape[1])
    assert_array_equal(so_far[-1].predict_proba(X), fitted.predict_proba(X))
    assert np.all(np.diff([model.score(X) for model in so_far]) > 0)


def test_a_mixture_in_between_is_saved(tmp_path):
    recorder = Recorder()
    watched(recorder).fit(X)
    for end in recorder.ends("iteration"):
        model = end.given["fitted_estimator"]
        persistence.save(model, tmp_path / "model.npz")
        assert_same_arrays(persistence.load(tmp_path / "model.npz"), model)


def test_a_mixture_in_between_has_nothing_of_an_earlier_fit():
    recorder = Recorder()
    fitted = watched(recorder, fit_history=True).fit(X)
    likelihood, history = fitted.log_likelihood_, fitted.fit_history_
    recorder.events.clear()
    fitted.fit(X + 1 + X**2)
    for end in recorder.ends("iteration"):
        so_far = vars(end.given["fitted_estimator"])
        assert so_far.get("log_likelihood_") != likelihood
        assert so_far.get("fit_history_") is not history


def test_the_end_of_a_fit_comes_with_the_best_start():
    recorder = Recorder()
    fitted = watched(recorder, n_init=3, init_params="random_from_data", max_iter=1000).fit(X)
    results = [end.given["fitted_estimator"] for end in recorder.ends("start")]
    assert len({result.lower_bound_ for result in results}) > 1
    best = max(results, key=lambda result: result.lower_bound_)
    (end,) = recorder.ends("fit")
    for model in (best, end.given["fitted_estimator"]):
        assert_same_arrays(model, fitted)
        assert model.converged_ == fitted.converged_ is True


# --- what fails ------------------------------------------------------------------------------
def test_when_every_start_fails_callbacks_are_torn_down():
    recorder = Recorder()
    with pytest.raises(ValueError, match="ill-defined"):
        watched(recorder, reg_covar=0, init_params="random", n_init=2).fit(np.zeros((20, 2)))
    expected = whole_fit([0, 0])
    expected.remove((END, "fit", (0,)))
    assert recorder.order() == expected
    assert [end.given["fitted_estimator"] for end in recorder.ends("start")] == [None, None]


def test_a_failed_start_ends_and_the_next_begins():
    labels = iter([np.arange(len(X)) == 0, np.arange(len(X)) < 50])

    def first_fails(rows, n_components, random_state):
        shares = next(labels)
        return np.column_stack([shares, ~shares]).astype(float)

    recorder = Recorder()
    fitted = watched(recorder, n_components=2, init_params=first_fails, n_init=2, reg_covar=0)
    with pytest.warns(ConvergenceWarning, match="1 of 2 initializations failed"):
        fitted.fit(X)
    assert recorder.order() == whole_fit([0, fitted.n_iter_])
    failed, kept = (end.given["fitted_estimator"] for end in recorder.ends("start"))
    assert failed is None
    assert_same_arrays(kept, fitted)


@pytest.mark.parametrize("task", ["iteration", "start", "fit"])
@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_error_in_a_callback_ends_the_fit_and_tears_down(task, error):
    def fail(event):
        if event.task == task:
            raise error("of the callback")

    recorder = Recorder(fail)
    fitted = watched(recorder)
    with pytest.raises(error, match="of the callback"):
        fitted.fit(X)
    assert recorder.events[-2][:2] == (END, task)
    assert recorder.events[-1][:2] == ("teardown", "fit")
    recorder.stops = lambda event: False
    assert fitted.fit(X).converged_  # nothing is left of the fit that failed


# --- what they may stop ----------------------------------------------------------------------
def test_a_callback_stops_a_run():
    recorder = Recorder(lambda event: event.path == (0, 0, 3) and event.task == "iteration")
    stopped = watched(recorder, tol=0, fit_history=True).fit(X)  # warnings are errors here
    whole = GaussianMixture(K, random_state=0, tol=1e-6, max_iter=500, fit_history=True).fit(X)
    assert recorder.order() == whole_fit([4])
    assert stopped.n_iter_ == 4 < whole.n_iter_
    assert stopped.converged_ is False
    assert stopped.lower_bounds_ == whole.lower_bounds_[:4]
    assert_array_equal(stopped.means_, whole.fit_history_[4].means)


def test_a_run_that_is_stopped_leaves_the_others():
    recorder = Recorder(lambda event: event.path == (0, 0, 1))
    watched(recorder, n_init=2).fit(X)
    first, second = (end.given["fitted_estimator"] for end in recorder.ends("start"))
    assert (first.n_iter_, first.converged_) == (2, False)
    assert second.n_iter_ > 2
    assert second.converged_


def test_a_callback_stops_further_starts():
    recorder = Recorder(lambda event: event.task == "start" and event.path == (0, 1))
    options = {"init_params": "random_from_data", "max_iter": 1000, "random_state": 3}
    stopped = watched(recorder, n_init=5, **options).fit(X)
    two = GaussianMixture(K, n_init=2, **options).fit(X)
    assert [end.path for end in recorder.ends("start")] == [(0, 0), (0, 1)]
    assert stopped.converged_
    assert_same_arrays(stopped, two)


@pytest.mark.parametrize("stopping", [0, 1])
def test_one_of_several_callbacks_is_enough_to_stop(stopping):
    recorders = [Recorder(), Recorder()]
    recorders[stopping].stops = lambda event: event.task == "iteration"
    fitted = GaussianMixture(K, random_state=0).set_callbacks(*recorders).fit(X)
    assert fitted.n_iter_ == 1
    assert recorders[0].order() == recorders[1].order() == whole_fit([1])


# --- scikit-learn's own callbacks ------------------------------------------------------------
def log_likelihood(estimator, X, y, sample_weight=None):
    return {"log_likelihood": estimator.score(X, sample_weight=sample_weight)}


@pytest.mark.parametrize("weight", [None, np.arange(1.0, len(X) + 1)], ids=["equal", "weighted"])
def test_scoring_monitor_sees_the_likelihood_rise(weight):
    monitor = callback.ScoringMonitor(scoring=log_likelihood)
    fitted = GaussianMixture(K, random_state=0, tol=1e-5, max_iter=500).set_callbacks(monitor)
    fitted.fit(X, sample_weight=weight)
    rows = monitor.get_logs().data
    assert [row["task_name"] for row in rows] == ["fit", "start"] + ["iteration"] * fitted.n_iter_
    scores = [row["log_likelihood"] for row in rows]
    # the parameters after an iteration are those that the next one takes its lower bound of
    assert_close(scores[2:-1], fitted.lower_bounds_[1:], 1e-12)
    assert scores[0] == scores[1] == scores[-1] == fitted.score(X, sample_weight=weight)
    assert_close(scores[0], fitted.log_likelihood_, 1e-12)


def test_scoring_monitor_keeps_the_runs_apart():
    monitor = callback.ScoringMonitor(scoring=log_likelihood)
    fitted = GaussianMixture(K, random_state=0, n_init=2).set_callbacks(monitor)
    fitted.fit(X).fit(X)
    first, second = monitor.get_logs(select="all")
    assert first.data == second.data
    assert {row["task_id_path"][:2] for row in first.data} == {(0,), (0, 0), (0, 1)}


def test_progress_bar_shows_the_fit_and_its_starts(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    GaussianMixture(K, random_state=0, n_init=2).set_callbacks(callback.ProgressBar()).fit(X)
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", capsys.readouterr().out)
    last = {}
    for task, percent in re.findall(r"(GaussianMixture - \w+(?: #\d)?) .*?(\d+)%", shown):
        last[task] = int(percent)
    fit, *runs = (f"GaussianMixture - {task}" for task in ("fit", "start #0", "start #1"))
    assert last == dict.fromkeys([fit, *runs], 100)


# --- meta-estimators -------------------------------------------------------------------------
def test_callbacks_are_handed_on_by_a_grid_search():
    recorder = Propagated()
    search = GridSearchCV(GaussianMixture(random_state=0), {"n_components": [1, 2]}, cv=3)
    search.set_callbacks(recorder).fit(X)
    fits = [end for end in recorder.ends("fit") if end.estimator == "GaussianMixture"]
    assert len(fits) == 2 * 3 + 1  # and the best on all the data
    assert [len(end.given["X"]) for end in fits] == [100] * 6 + [150]
    assert_same_arrays(fits[-1].given["fitted_estimator"], search.best_estimator_)
    assert [event.hook for event in recorder.events].count("setup") == 1
    assert not hasattr(search.best_estimator_, "_skl_callbacks")


def test_callbacks_are_handed_on_by_a_pipeline():
    recorder = Propagated()
    pipeline = Pipeline([("mixture", GaussianMixture(K, random_state=0))])
    pipeline.set_callbacks(recorder).fit(X)
    ours = [event[:2] for event in recorder.events if event.estimator == "GaussianMixture"]
    expected = [event[:2] for event in whole_fit([pipeline[-1].n_iter_])]
    assert ours == expected[1:-1]  # set up and torn down by the pipeline
    assert recorder.events[0].estimator == recorder.events[-1].estimator == "Pipeline"


def test_a_callback_of_the_mixture_sees_every_fit_of_a_search():
    recorder = Recorder()
    GridSearchCV(watched(recorder), {"tol": [1e-2, 1e-3]}, cv=2).fit(X)
    assert len(recorder.ends("fit")) == 2 * 2 + 1
    assert [event.hook for event in recorder.events].count("teardown") == 2 * 2 + 1


def test_clones_keep_their_callbacks():
    recorder = Recorder()
    fitted = clone(watched(recorder)).fit(X)
    assert recorder.order() == whole_fit([fitted.n_iter_])
    recorder.events.clear()
    fitted.set_callbacks().fit(X)
    assert recorder.events == []


# --- and none of it matters to a fit ---------------------------------------------------------
@each_covariance_type
def test_callbacks_do_not_change_a_bit(covariance_type):
    options = {"covariance_type": covariance_type, "random_state": 0, "n_init": 2}
    without = GaussianMixture(K, **options).fit(X)
    recorder = Recorder()
    labels = watched(recorder, **options).fit_predict(X)
    fitted = watched(recorder, **options).fit(X)
    assert_same_arrays(fitted, without)
    assert fitted.lower_bounds_ == without.lower_bounds_
    assert fitted.log_likelihood_ == without.log_likelihood_
    assert_array_equal(labels, without.predict(X))


def test_without_callbacks_nothing_is_made_for_them(monkeypatch):
    with_them = watched(Recorder()).fit(X)

    def forbidden(*arguments, **options):
        raise AssertionError("nobody listens")

    monkeypatch.setattr(callbacks, "Callbacks", forbidden)
    fitted = GaussianMixture(K, random_state=0).fit(X)
    assert not [name for name in vars(fitted) if name.startswith("_")]
    assert vars(with_them).keys() - vars(fitted).keys() == {"_skl_callbacks"}


def test_without_scikit_learns_callbacks_the_mixture_works():
    printed = run_python(
        "import sys\n"
        "import sklearn.callback as theirs\n"
        "sys.modules['sklearn.callback'] = None\n"  # cannot be imported
        "import fastgmm.estimator.callbacks\n"
        "sys.modules['sklearn.callback'] = theirs\n"  # scikit-learn itself needs it to fit
        "from fastgmm import GaussianMixture\n"
        "from problems import load\n"
        "assert not hasattr(GaussianMixture, 'set_callbacks')\n"
        "X, K = load('iris')\n"
        "print(GaussianMixture(K, random_state=0).fit(X).means_.tobytes().hex())"
    )
    assert printed.strip() == GaussianMixture(K, random_state=0).fit(X).means_.tobytes().hex()
