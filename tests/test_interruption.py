"""Ctrl-C: a fit ends within an iteration, and leaves all of a result or what was there before."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from problems import ARRAYS
from processes import TESTS, run_python
from sklearn.exceptions import ConvergenceWarning

from fastgmm import GaussianMixture, load
from fastgmm.data.source import ArraySource
from fastgmm.em import initialization
from fastgmm.em.restarts import Outcome
from fastgmm.estimator import base, plan
from fastgmm.model.maximization import MaximumLikelihood

posix = pytest.mark.skipif(os.name == "nt", reason="signals of POSIX")
over_keeping = pytest.mark.parametrize("keep", [False, True])


def points(n: int = 500) -> np.ndarray:
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 2)) * (1 + 3 * rng.integers(2, size=(n, 1)))


def mixture(**options: Any) -> GaussianMixture:
    """Climbs as long as it may."""
    options = {"tol": 0, "max_iter": 50, "init_params": "random_means", "random_state": 0} | options
    return GaussianMixture(3, covariance_type="diag", **options)


def fitted_attributes(model: GaussianMixture) -> dict[str, Any]:
    return {name: value for name, value in vars(model).items() if name.endswith("_")}


def assert_same_attributes(actual: GaussianMixture, expected: dict[str, Any]) -> None:
    found = fitted_attributes(actual)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert_array_equal(found[name], value, err_msg=name)


def interrupt(monkeypatch: pytest.MonkeyPatch, place: Any, name: str, call: int) -> None:
    """Have Ctrl-C hit a function, or a method, in its n-th call."""
    function, calls = getattr(place, name), iter(range(1, 10**6))

    def interrupted(*arguments: Any, **options: Any) -> Any:
        if next(calls) == call:
            raise KeyboardInterrupt
        return function(*arguments, **options)

    monkeypatch.setattr(place, name, interrupted)


PLACES = {
    "start": (initialization, "_moments_of", 1),
    "first pass": (ArraySource, "expectation", 1),
    "fifth pass": (ArraySource, "expectation", 5),
    "maximization": (MaximumLikelihood, "estimate", 3),
    "between two parts": (MaximumLikelihood, "objective", 3),
}
over_places = pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())


@over_places
@pytest.mark.parametrize("fitted", [False, True])
def test_an_interrupted_fit_leaves_the_estimator_alone(
    fitted: bool, place: tuple, monkeypatch: pytest.MonkeyPatch
):
    model = mixture(max_iter=1)
    if fitted:
        with pytest.warns(ConvergenceWarning):
            model.fit(points()[:, :1])
    before = fitted_attributes(model)
    interrupt(monkeypatch, *place)
    with pytest.raises(KeyboardInterrupt):
        model.set_params(max_iter=50).fit(points())
    assert_same_attributes(model, before)


@pytest.mark.filterwarnings("ignore:Best performing")
@over_places
def test_the_last_whole_iteration_is_kept(place: tuple, monkeypatch: pytest.MonkeyPatch):
    model, X = mixture(keep_on_interrupt=True, fit_history=True), points()
    n_complete = place[2] - 1
    with monkeypatch.context() as patch:
        interrupt(patch, *place)
        if n_complete == 0:
            with pytest.raises(KeyboardInterrupt):
                model.fit(X)
            assert not fitted_attributes(model)
            return
        with pytest.warns(ConvergenceWarning, match=f"interrupted.* after {n_complete} iter"):
            model.fit(X)
    assert model.n_iter_ == n_complete
    assert not model.converged_
    expected = mixture(max_iter=n_complete, fit_history=True).fit(X)
    for name in (*ARRAYS, "lower_bounds_", "log_likelihood_"):
        assert_array_equal(getattr(model, name), getattr(expected, name))
    assert len(model.fit_history_) == n_complete + 1
    assert_array_equal(model.predict(X), expected.predict(X))


@pytest.mark.filterwarnings("ignore:Best performing")
@pytest.mark.parametrize("call", [11, 14, 20])
def test_of_several_starts_the_best_so_far_is_kept(call: int, monkeypatch: pytest.MonkeyPatch):
    """Ten iterations each; the second one is interrupted in its first, its fourth, its tenth."""
    X, options = points(), {"n_init": 3, "max_iter": 10}
    with monkeypatch.context() as patch:
        interrupt(patch, ArraySource, "expectation", call)
        model = mixture(keep_on_interrupt=True, **options)
        with pytest.warns(ConvergenceWarning, match="interrupted"):
            model.fit(X)
    first = mixture(max_iter=10).fit(X)
    assert model.lower_bound_ >= first.lower_bound_
    if model.lower_bound_ == first.lower_bound_:
        assert model.n_iter_ == 10
        assert_array_equal(model.means_, first.means_)
    else:
        assert model.n_iter_ == call - 11


@over_keeping
def test_an_interrupted_last_pass_costs_the_likelihood_alone(
    keep: bool, monkeypatch: pytest.MonkeyPatch
):
    expected = mixture(tol=1e-3).fit(points())
    interrupt(monkeypatch, base, "mean_log_likelihood", 1)
    model = mixture(tol=1e-3, keep_on_interrupt=keep)
    if not keep:
        with pytest.raises(KeyboardInterrupt):
            model.fit(points())
        assert not fitted_attributes(model)
        return
    model.fit(points())
    assert np.isnan(model.log_likelihood_)
    model.log_likelihood_ = expected.log_likelihood_
    assert_same_attributes(model, fitted_attributes(expected))


def test_repairs_of_an_interrupted_iteration_are_not_told(monkeypatch: pytest.MonkeyPatch):
    X = np.concatenate([points(60), np.zeros((20, 2))])
    labels = np.repeat([0, 1, 2, 3], 20)
    options = {"init_params": labels, "on_degenerate": "drop", "keep_on_interrupt": True}
    estimator = GaussianMixture(4, tol=0, max_iter=3, **options)
    interrupt(monkeypatch, ArraySource, "expectation", 3)
    with pytest.warns(ConvergenceWarning, match="interrupted"):
        estimator.fit(X)
    assert estimator.repairs_
    assert max(repair.n_iter for repair in estimator.repairs_) <= estimator.n_iter_ == 2


@over_keeping
def test_a_fit_after_an_interrupted_one_is_as_ever(keep: bool, monkeypatch: pytest.MonkeyPatch):
    X = points()
    with pytest.warns(ConvergenceWarning):
        expected = mixture(max_iter=4).fit(X)
    model = mixture(max_iter=4, keep_on_interrupt=keep)
    with monkeypatch.context() as patch:
        interrupt(patch, ArraySource, "expectation", 1)
        with pytest.raises(KeyboardInterrupt):
            model.fit(X)
    with pytest.warns(ConvergenceWarning):
        model.fit(X)
    assert_same_attributes(model, fitted_attributes(expected))


# --- signals ----------------------------------------------------------------------------------
LONG = """
import os, signal, threading, time, warnings
import numpy as np
from fastgmm.data.source import ArraySource
from test_interruption import ARRAYS, fitted_attributes, mixture, points
signal.signal(signal.SIGINT, signal.default_int_handler)
warnings.simplefilter("ignore")
X, begun, at_signal = points(2_000_000), [], []
expectation = ArraySource.expectation
def counted(*arguments):
    begun.append(time.monotonic())
    return expectation(*arguments)
ArraySource.expectation = counted
def press():
    while len(begun) < 4:
        time.sleep(0.001)
    at_signal.extend([len(begun), time.monotonic()])
    os.kill(os.getpid(), signal.SIGINT)
model = mixture(max_iter=10**6, keep_on_interrupt=keep)
threading.Thread(target=press).start()
try:
    model.fit(X)
except KeyboardInterrupt:
    assert not keep and not fitted_attributes(model)
else:
    assert keep and model.n_iter_ >= 3
waited, iteration = time.monotonic() - at_signal[1], max(np.diff(begun[1:]))
print(len(begun) - at_signal[0], waited / iteration, iteration)
if keep:
    expected = mixture(max_iter=model.n_iter_).fit(X)
    assert all(np.array_equal(getattr(model, a), getattr(expected, a)) for a in ARRAYS)
    assert model.predict(X[:9]).shape == (9,)
"""

AFTER_THE_LAST_ITERATION = [
    (plan, "run_em", False),
    (base, "best_of_starts", False),
    *((base, "mean_log_likelihood", before) for before in (False, True)),
    *((plan, "with_degenerate", before) for before in (False, True)),
    *((Outcome, "warnings", before) for before in (False, True)),
]


@pytest.mark.parametrize(("owner", "name", "before"), AFTER_THE_LAST_ITERATION)
@over_keeping
def test_a_finished_fit_is_not_lost(keep, owner, name, before, monkeypatch):
    """Ctrl-C before and after each thing that is done between the last iteration and the end."""
    expected = fitted_attributes(mixture(tol=1e-3).fit(points()))
    original = getattr(owner, name)

    def interrupted(*arguments, **options):
        monkeypatch.setattr(owner, name, original)
        if not before:
            original(*arguments, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(owner, name, interrupted)
    model = mixture(tol=1e-3, keep_on_interrupt=keep)
    if not keep:
        with pytest.raises(KeyboardInterrupt):
            model.fit(points())
        assert fitted_attributes(model) == {}
        return
    model.fit(points())
    found = fitted_attributes(model)
    assert found.keys() == expected.keys()
    for attribute in set(expected) - {"log_likelihood_"}:  # for which there may be no time
        assert_array_equal(found[attribute], expected[attribute], err_msg=attribute)


@posix
@over_keeping
def test_ctrl_c_ends_a_long_fit_within_an_iteration(keep: bool):
    more, iterations, _ = map(float, run_python(f"{keep = }\n{LONG}").split())
    assert more <= 1  # which may begin between the count and the signal
    assert iterations < 20  # generous: other processes may have the processors


STORM = """
import random, signal, threading, time, warnings
import numba
from fastgmm.kernels.jit import threading_layer
from test_threads import blas_threads, digest, fit, points
def interrupted(number, frame):
    raise KeyboardInterrupt
signal.signal(signal.SIGALRM, interrupted)
X, blas, mask = points(6000), blas_threads(), numba.get_num_threads()
expected, begin = digest(fit(X)), time.monotonic()
for again in range(10):
    fit(X)
usual, interruptions = (time.monotonic() - begin) / 10, 0
for again in range(150):
    try:
        signal.setitimer(signal.ITIMER_REAL, random.Random(again).uniform(1e-5, usual))
        fit(X)
        signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        interruptions += 1
assert interruptions > 15, interruptions
assert digest(fit(X)) == expected
assert blas_threads() == blas
free = []
other = threading.Thread(target=lambda: free.append(threading_layer.layer.enter()))
other.start()
other.join()
assert free == [True]
print("as before")
"""


@posix
def test_hundreds_of_interruptions_leave_threads_as_they_were():
    assert run_python(STORM) == "as before\n"


# A signal's handler runs where Python enters a function, and after each call of one in C: an
# interruption at every such moment in turn, until the work ends before it comes.
EVERYWHERE = """
import sys, warnings
import numba
from fastgmm import GaussianMixture, kernels
from test_threads import points
X = points(2000)
model = GaussianMixture(3, covariance_type="diag", random_state=0, n_jobs=1).fit(X)
mask, works = numba.get_num_threads(), {
    "a kernel": lambda: kernels.log_density(X, *model._arguments(X)),
    "on its threads": lambda: model.predict(X),
}
for name, work in works.items():
    work()
    moment, interrupted = 0, True
    while interrupted:
        moment, interrupted, count = moment + 1, False, 0
        def interrupt(frame, event, argument):
            global count, interrupted
            if event in ("call", "c_return") and not interrupted:
                count += 1
                if count == moment:
                    interrupted = True
                    raise KeyboardInterrupt
        sys.setprofile(interrupt)
        try:
            work()
        except KeyboardInterrupt:
            pass
        finally:
            sys.setprofile(None)
        assert numba.get_num_threads() == mask, (name, moment)
    print(moment > 40)
"""


@posix
def test_an_interruption_anywhere_restores_the_number_of_threads():
    assert run_python(EVERYWHERE, NUMBA_NUM_THREADS="2") == "True\nTrue\n"


COMMAND = """
import signal, sys
from fastgmm import cli
from fastgmm.data.source import ArraySource
signal.signal(signal.SIGINT, signal.default_int_handler)
expectation = ArraySource.expectation
def tell(*arguments):
    result = expectation(*arguments)
    print("iterating", flush=True)
    return result
ArraySource.expectation = tell
sys.exit(cli.main(sys.argv[1:]))
"""


@posix
def test_the_command_line_saves_what_there_is(tmp_path: Path):
    np.save(tmp_path / "points.npy", points())
    (tmp_path / "model.npz").write_text("of before")
    options = ["--tol", "0", "--max-iter", "1000000000", "--out", "model.npz", "-k", "3"]
    command = [sys.executable, "-c", COMMAND, "fit", "points.npy", *options]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    path = os.pathsep.join(filter(None, [str(TESTS), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": path}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, **pipes) as process:
        for _ in range(3):  # so that an iteration is complete
            assert process.stdout.readline() == "iterating\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    assert process.returncode == 130
    assert errors.startswith("fastgmm: interrupted; what iteration ")
    assert errors.endswith(" had found was kept and saved to model.npz\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.npz", "points.npy"]
    assert load(tmp_path / "model.npz").n_iter_ >= 2
