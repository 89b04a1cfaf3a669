"""`fastgmm bench`: what it measures, its files, its comparisons, and functions of the user's."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from commands import fail, succeed

from fastgmm import GaussianMixture, cli
from fastgmm.benchmarking import problems, report, timing, user_function
from fastgmm.benchmarking.problems import BESIDE_SCIKIT_LEARN, PROBLEMS, Problem, draw
from fastgmm.benchmarking.timing import BenchResult, Timing

TINY = (Problem("full", "float64", 300, 2, 3), Problem("diag", "float32", 300, 3, 2))

MINE = '''
"""Fits of the user's, right and wrong."""
import numpy as np
from sklearn.mixture import GaussianMixture

number = 3

def estimator(X, n_components):
    return GaussianMixture(n_components, random_state=0).fit(X)

def parameters(X, n_components):
    model = estimator(X, n_components)
    return model.weights_, model.means_, model.covariances_

def spherical(X, n_components):
    return np.full(n_components, 1 / n_components), X[:n_components], np.ones(n_components)

def silent(X, n_components):
    X[:] = 0

def failing(X, n_components):
    raise RuntimeError("out\\nof luck")
'''


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A working folder with modules of the user's, and a bench in a hurry."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "140")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(problems, "PROBLEMS", TINY)
    monkeypatch.setattr(problems, "BESIDE_SCIKIT_LEARN", TINY[:1])
    monkeypatch.setattr(timing, "SECONDS", 0.0)
    monkeypatch.setattr(user_function, "SIZES", ((300, 2, 3),))
    monkeypatch.setattr(user_function, "SECONDS", 0.0)
    (tmp_path / "my_fits.py").write_text(MINE)
    (tmp_path / "broken_fits.py").write_text("def fit(:\n")
    (tmp_path / "raising_fits.py").write_text("1 / 0\n")
    (tmp_path / "lacking_fits.py").write_text("import not_there_at_all\n")
    yield tmp_path
    for name in [name for name in sys.modules if name.endswith("_fits")]:
        del sys.modules[name]


# --- iterations -----------------------------------------------------------------------------
def test_bench_prints_and_writes_what_it_measured(folder, capsys):
    out = succeed(capsys, "bench", "--json", "now.json")
    for said in ["300 × 2 × 3", "300 × 3 × 2", "float32", "GFLOP/s", "×)", "processor"]:
        assert said in out
    written = json.loads((folder / "now.json").read_text())
    assert written["environment"]["fastgmm"]
    full, diag = written["cells"]
    assert full["seconds"] > 0
    assert full["scikit-learn, seconds"] > 0
    assert diag["scikit-learn, seconds"] is None
    assert full["nanoseconds per point and component"] == pytest.approx(full["seconds"] * 1e9 / 900)
    assert full["GFLOP/s"] == pytest.approx(2 * 900 * 2 * 3 / full["seconds"] / 1e9)
    read = report.read_json("now.json")
    assert [each.problem for each in read.timings] == list(TINY)
    assert [each.seconds for each in read.timings] == [full["seconds"], diag["seconds"]]


def test_the_problems_are_a_dozen_and_have_names():
    assert len(set(PROBLEMS)) == 12
    assert {problem.covariance_type for problem in PROBLEMS} == {
        "full",
        "tied",
        "diag",
        "spherical",
    }
    assert set(BESIDE_SCIKIT_LEARN) < set(PROBLEMS)
    assert all(problem.flops > 0 for problem in PROBLEMS)


def test_an_iteration_is_the_slope(monkeypatch):
    # When a measurement begins; begin and end of few iterations, and of many; when it ends.
    clock = iter([0, 0, 3, 3, 16, 16, 0, 0, 1, 1, 12, 12, 0, 0, 5, 5, 8, 8])
    monkeypatch.setattr(timing, "perf_counter", lambda: next(clock))
    for expected in (2, 2, pytest.approx(0, abs=1e-9)):
        seconds = timing.iteration_seconds(lambda n_iterations: None, 0.0)
        assert seconds == expected
        assert seconds > 0, "though noise exceed the work"


def test_a_different_likelihood_is_not_timed(monkeypatch, capsys):
    honest = timing.fitted_from

    def fitted_from(estimator, *given):
        model = honest(estimator, *given)
        if estimator is GaussianMixture:
            model.lower_bound_ += 1e-3
        return model

    monkeypatch.setattr(timing, "fitted_from", fitted_from)
    assert "report this as a bug" in fail(capsys, "bench")


def test_progress_is_shown_to_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    assert cli.main(["bench"]) == 0
    assert "problem 2 of 2" in capsys.readouterr().err


# --- an earlier file ------------------------------------------------------------------------
def result_with(*seconds, **environment):
    timings = [Timing(problem, s) for problem, s in zip(TINY, seconds, strict=False)]
    return BenchResult({"processor": "one", "threads": "2"} | environment, timings)


def test_ratios_and_what_changed():
    comparison = report.compare(result_with(3.0, 1.0), result_with(2.0, 1.1))
    assert comparison.ratios == {TINY[0]: 1.5, TINY[1]: pytest.approx(1 / 1.1)}
    assert (comparison.changed(slower=True), comparison.changed(slower=False)) == (1, 0)
    (note,) = report.comparison_notes(comparison)
    assert "1 slower and 0 faster by more than 1.25 times" in note
    assert "median ratio is 1.20" in note
    assert "noisy" in note
    comparison = report.compare(result_with(1.0), result_with(2.0, 1.1))
    assert (comparison.changed(slower=True), comparison.changed(slower=False)) == (0, 1)


def test_another_machine_is_compared_but_said_so():
    comparison = report.compare(result_with(1.0), result_with(1.0, processor="[another]"))
    assert list(comparison.ratios.values()) == [1]
    assert comparison.differences == {"processor": ("[another]", "one")}
    assert "Another machine" in report.comparison_notes(comparison)[1]


def test_no_problem_in_common():
    comparison = report.compare(result_with(1.0), BenchResult({}, []))
    assert "nothing to compare" in report.comparison_notes(comparison)[0]


def test_against_a_file(folder, capsys, monkeypatch):
    monkeypatch.setattr(timing, "iteration_seconds", lambda *given: 0.5)
    succeed(capsys, "bench", "--json", "before.json")
    written = json.loads((folder / "before.json").read_text())
    written["environment"]["processor"] = "[bold]quicker"
    for cell in written["cells"]:
        cell["seconds"] /= 1e6
    (folder / "before.json").write_text(json.dumps(written))
    out = succeed(capsys, "bench", "--against", "before.json", "--json", "before.json")
    assert "2 slower and 0 faster" in out
    assert "[bold]quicker before" in out
    assert json.loads((folder / "before.json").read_text())["cells"][0]["seconds"] == 0.5


BAD_FILES = {
    "junk.json": "junk",
    "list.json": "[]",
    "other.json": '{"format": 2}',
    "lacking.json": '{"format": 1, "environment": {}, "cells": [{"d": 2}]}',
    "zero.json": '{"format": 1, "environment": {}, "cells": [{"covariance_type": "full", '
    '"dtype": "float64", "n": 3, "d": 2, "K": 1, "seconds": 0}]}',
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_files_that_are_none_of_ours(name, folder, capsys):
    (folder / name).write_text(BAD_FILES[name])
    assert f"{name}: not a file" in fail(capsys, "bench", "--against", name)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--against", "nothing.json"], "nothing.json: No such file"),
        (["--json", "no/now.json"], "does not exist"),
        (["--json", "."], "is a folder"),
        (["--mine", "my_fits"], "not of the form module:function"),
        (["--mine", "my_fits.py:estimator"], "name it without .py"),
        (["--mine", "../my_fits:estimator"], "not of the form"),
        (["--mine", "nothing_fits:fit"], "no module 'nothing_fits'"),
        (["--mine", "broken_fits:fit"], "SyntaxError"),
        (["--mine", "raising_fits:fit"], "ZeroDivisionError"),
        (["--mine", "lacking_fits:fit"], "not_there_at_all"),
        (["--mine", "my_fits:nothing"], "no function 'nothing'"),
        (["--mine", "my_fits:number"], "no function 'number'"),
        (["--mine", "my_fits:failing"], "RuntimeError: out of luck"),
        (["--mine", "my_fits:estimator", "--json", "now.json"], "leave --json"),
    ],
)
def test_failures(arguments, said, folder, capsys, monkeypatch):
    monkeypatch.setattr(timing, "measure", None)  # found before any work
    before = sorted(folder.glob("*.json"))
    assert said in fail(capsys, "bench", *arguments)
    assert sorted(folder.glob("*.json")) == before


# --- functions of the user's ----------------------------------------------------------------
@pytest.mark.parametrize("name", ["estimator", "parameters", "spherical"])
def test_mine_beside_fastgmm(name, folder, capsys):
    function = user_function.load_function(f"my_fits:{name}")
    (result,) = user_function.measure_mine(function, user_function.SIZES)
    X, _ = draw(TINY[0])
    expected = GaussianMixture(3, random_state=0).fit(X).score(X)
    assert result.log_likelihood == pytest.approx(expected)
    if name == "spherical":
        assert result.mine_log_likelihood < expected
    else:
        assert result.mine_log_likelihood == pytest.approx(expected)
    assert result.speedup == result.mine_seconds / result.seconds > 0
    out = succeed(capsys, "bench", "--mine", f"my_fits:{name}")
    assert f"{expected:.4f}" in out
    assert "× faster" in out or "× slower" in out


def test_mine_that_tells_nothing_and_writes_into_its_points(capsys):
    assert "unknown" in succeed(capsys, "bench", "--mine", "my_fits:silent")


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((3, 2, 2), "full"), ((2, 2), "tied"), ((3, 2), "diag"), ((3,), "spherical")],
)
def test_covariance_type_of_a_shape(shape, expected):
    assert user_function.type_of_covariances(np.ones(shape), (3, 2)) == expected


def test_a_long_call_is_not_repeated(monkeypatch):
    monkeypatch.setattr(user_function, "LONG", -1)
    calls = []
    user_function.shortest(lambda: calls.append(1))
    assert len(calls) == 1
