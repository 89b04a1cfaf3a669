"""Compiling ahead: every kind of problem once, and nothing is left for the first fit."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from processes import TESTS, run_python

from fastgmm import _warmup, cli, kernels
from fastgmm._records import COVARIANCE_TYPES
from fastgmm._warmup import DTYPES, FEATURES, specializations, warm_up
from fastgmm.kernels import _jit
from fastgmm.kernels._jit import Driver

SMALL_PROBLEM = ["--features", "3", "--covariance-types", "full", "--dtypes", "float64"]

FIT = """
import numpy as np
from fastgmm import GaussianMixture
X = np.random.default_rng(0).normal(size=(300, 3))
model = GaussianMixture(2, random_state=0).fit(X, sample_weight=np.ones(300))
model.predict(X), model.predict_proba(np.asfortranarray(X)), model.score(X)
"""


def files(folder):
    """The files below a folder, and when each was written."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def run_warmup(cache):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "fastgmm", "warmup", *SMALL_PROBLEM],
        cwd=TESTS,
        env={**os.environ, "NUMBA_CACHE_DIR": str(cache), "COLUMNS": "500"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def test_a_fit_after_the_command_compiles_nothing(tmp_path):
    out = run_warmup(tmp_path)
    assert "1 of 1 specialization" in out
    assert str(tmp_path) in out
    before = files(tmp_path)
    assert before
    run_python(FIT, NUMBA_CACHE_DIR=str(tmp_path))
    assert files(tmp_path) == before
    assert "0 of 1 specialization" in run_warmup(tmp_path)
    assert files(tmp_path) == before


# --- what is compiled apart -----------------------------------------------------------------
def test_every_problem_has_one_specialization():
    found = specializations([3, 40, 2, 50, 3], COVARIANCE_TYPES, DTYPES)
    told_apart = {(one.covariance_types, one.features, one.dtype) for one in found}
    assert len(told_apart) == len(found) == 10
    assert {one.dtype for one in found} == set(DTYPES)
    features = {one.features for one in found if "full" in one.covariance_types}
    assert {"2", "3"} < features
    (large,) = features - {"2", "3"}
    assert large.endswith(" and more")
    for one in found:
        if "diag" in one.covariance_types:
            assert one == _warmup.Specialization(("diag", "spherical"), "any number", one.dtype, 2)


def test_many_features_are_compiled_with_few():
    assert all(one.n_features < 100 for one in specializations([10**9], COVARIANCE_TYPES, DTYPES))


@pytest.mark.parametrize("covariance_type", ["full", "tied"])
def test_features_beyond_the_named_ones_share_their_model(covariance_type):
    """What the words promise holds at both ends of the shared range."""
    (shared,) = specializations([64], [covariance_type], ["float64"])
    least = int(shared.features.removesuffix(" and more"))
    (first,) = specializations([least], [covariance_type], ["float64"])
    (below,) = specializations([least - 1], [covariance_type], ["float64"])
    assert first.features == shared.features
    assert below.features == str(least - 1)


# --- reports --------------------------------------------------------------------------------
def test_the_command_says_what_was_there(capsys, monkeypatch):
    monkeypatch.setattr(_warmup, "_run", lambda specialization: None)
    monkeypatch.setenv("COLUMNS", "500")
    assert cli.main(["warmup"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    n = len(specializations(FEATURES, COVARIANCE_TYPES, DTYPES))
    for said in ["full", "tied", "diag, spherical", "any number", f"0 of {n} specializations"]:
        assert said in captured.out
    assert captured.out.count("already there") == n + 1


def test_the_command_shows_its_progress_to_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(_warmup, "_run", lambda specialization: None)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "200")
    assert cli.main(["warmup", *SMALL_PROBLEM]) == 0
    assert "full, features: 3, float64" in capsys.readouterr().err


def test_progress_is_told_before_each_specialization(monkeypatch):
    monkeypatch.setattr(_warmup, "_run", lambda specialization: None)
    told = []
    result = warm_up([2], on_next=lambda *arguments: told.append(arguments))
    assert told == [(done, 4, one) for done, one in enumerate(result.compiled)]
    assert set(result.compiled.values()) == {False}


# --- what cannot be done --------------------------------------------------------------------
def fail(capsys, *arguments):
    assert cli.main(["warmup", *arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("fastgmm: error: ")
    assert captured.err.count("\n") == 1
    return captured.err


@pytest.mark.parametrize("features", ["0", "-3"])
def test_too_few_features(features, capsys):
    message = fail(capsys, "--features", "2", features)
    assert f"is {features}, but must be 1 or more; give the number of columns" in message


@pytest.mark.parametrize(
    "arguments",
    [
        ["--features"],
        ["--features", "two"],
        ["--features", "2.5"],
        ["--covariance-types", "round"],
        ["--dtypes", "float16"],
    ],
)
def test_wrong_arguments(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(["warmup", *arguments])
    assert caught.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_no_folder_for_the_cache(capsys, monkeypatch):
    monkeypatch.setattr(Driver, "cache_directory", None)
    assert "Set NUMBA_CACHE_DIR to a writable folder" in fail(capsys, *SMALL_PROBLEM)


def test_a_cache_that_cannot_be_written_after_all(capsys, monkeypatch):
    def full_disk(*arguments):
        _jit._warn_uncached(OSError("no space left"))

    monkeypatch.setattr(kernels, "expectation", full_disk)
    message = fail(capsys, *SMALL_PROBLEM)
    assert "no space left" in message
    assert "Set NUMBA_CACHE_DIR to a writable folder" in message


def test_other_warnings_pass(monkeypatch):
    monkeypatch.setattr(kernels, "expectation", lambda *arguments: np.float64(1) / 0)
    monkeypatch.setattr(kernels, "log_density", lambda *arguments: None)
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        warm_up([3], ["full"], ["float64"])


def test_without_a_compiler_there_is_nothing_to_do(capsys, monkeypatch):
    monkeypatch.setattr(_jit, "JIT_DISABLED", True)
    assert "NUMBA_DISABLE_JIT is set" in fail(capsys, *SMALL_PROBLEM)
