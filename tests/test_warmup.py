"""Compiling ahead: every kind of problem once, and nothing is left for the first fit."""

from __future__ import annotations

import os
import subprocess
import sys

import numba
import numpy as np
import pytest
from axes import each_covariance_type, each_dtype_by_name, each_matrix_type
from commands import fail
from processes import TESTS, run_python

from fastgmm import GaussianMixture, cli, kernels, warmup
from fastgmm._records import COVARIANCE_TYPES
from fastgmm.cli import warmup as cli_warmup
from fastgmm.kernels.jit import cache, target
from fastgmm.kernels.jit.drivers import Driver
from fastgmm.warmup import DTYPES, FEATURES, specializations, warm_up

# The problems are small, and these are tests of the drivers.
pytestmark = pytest.mark.usefixtures("on_drivers")

# What compiles fastest; and both sides of each limit beyond which other code runs: few features,
# and few components.
SMALL_PROBLEM = ["--features", "1", "--covariance-types", "diag", "--dtypes", "float64"]
PROBLEM = ["--features", "3", "32", "--covariance-types", "full", "--dtypes", "float64"]
SIZES = [(3, 2), (32, 2), (32, 100)]  # features, components


def fit(d, K, covariance_type, dtype):
    """Whatever runs kernels."""
    X = np.random.default_rng(0).normal(size=(3 * K + 100, d)).astype(dtype)
    model = GaussianMixture(
        K, covariance_type=covariance_type, init_params="random", tol=1e9, random_state=0
    )
    model.fit(X).fit(X, sample_weight=np.ones(len(X)))
    model.predict(X), model.score_samples(X), model.predict_proba(np.asfortranarray(X))
    kernels.weighted_covariances(X, np.full((len(X), K), 1 / K), covariance_type)
    kernels.normalize_responsibilities(X)


def files(folder):
    """The files below a folder, and when each was written."""
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def run_warmup(problem, **environment):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "fastgmm", "warmup", *problem],
        cwd=TESTS,
        env={**os.environ, "COLUMNS": "500", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


@pytest.fixture(scope="module")
def warm_cache(tmp_path_factory):
    """A folder that the command has filled; no test adds to it."""
    folder = tmp_path_factory.mktemp("cache")
    out = run_warmup(SMALL_PROBLEM, NUMBA_CACHE_DIR=str(folder))
    assert "1 of 1 specialization" in out
    assert str(folder) in out
    assert files(folder)
    return folder


def test_a_process_after_the_command_compiles_nothing(warm_cache):
    before = files(warm_cache)
    code = "from test_warmup import fit; fit(1, 2, 'diag', 'float64')"
    run_python(code, NUMBA_CACHE_DIR=str(warm_cache))
    assert files(warm_cache) == before


def test_the_command_again_compiles_nothing(warm_cache):
    before = files(warm_cache)
    assert "0 of 1 specialization" in run_warmup(SMALL_PROBLEM, NUMBA_CACHE_DIR=str(warm_cache))
    assert files(warm_cache) == before


@pytest.fixture(scope="module")
def warmed_up():
    """What the command compiles where all the tests have their kernels, and need these too."""
    run_warmup(PROBLEM)


@pytest.mark.parametrize(("d", "K"), SIZES)
def test_a_fit_after_the_command_compiles_nothing(d, K, warmed_up):
    code = f"from test_warmup import fit; fit({d}, {K}, 'full', 'float64')"
    output = run_python(code, NUMBA_DEBUG_CACHE="1")
    assert "data loaded from" in output
    assert "data saved to" not in output


def signatures(run, *its_arguments):
    """The drivers that a function calls, and the types of what they are given."""
    seen = set()
    call = Driver.__call__

    def recorded(driver, *arguments):
        seen.add((driver, *map(numba.typeof, arguments)))
        call(driver, *arguments)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Driver, "__call__", recorded)
        run(*its_arguments)
    return seen


@each_dtype_by_name
@each_covariance_type
def test_fits_need_no_other_types(covariance_type, dtype):
    """Nor does the warmup compile what none of them needs."""
    compiled = signatures(warm_up, [3, 32], [covariance_type], [dtype])
    needed = [signatures(fit, d, K, covariance_type, dtype) for d, K in SIZES]
    assert set().union(*needed) == compiled


@pytest.mark.parametrize("helper", [warmup.HELPER, "raise SystemExit(1)"], ids=["helps", "fails"])
def test_several_processes_share_the_work(helper, tmp_path, monkeypatch):
    """Each does a part, once; what a process fails at, this one does."""
    done_here, told = [], []
    monkeypatch.setattr(warmup, "HELPER", helper)
    monkeypatch.setattr(warmup, "_run", done_here.append)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    result = warm_up([1], ["diag", "spherical"], ["float64"], n_processes=3,
                     on_next=lambda *arguments: told.append(arguments))  # fmt: skip
    assert list(result.compiled) == specializations([1], ["diag", "spherical"], ["float64"])
    assert {total for _, total, _ in told} == {2}
    if helper != warmup.HELPER:
        assert set(done_here) == set(result.compiled)
    assert not any(result.compiled[one] for one in done_here)


# --- what is compiled apart -----------------------------------------------------------------
def test_every_problem_has_one_specialization():
    found = specializations([3, 60, 2, 50, 3], COVARIANCE_TYPES, DTYPES)
    told_apart = {(one.covariance_types, one.features, one.dtype) for one in found}
    assert len(told_apart) == len(found) == 12
    assert {one.dtype for one in found} == set(DTYPES)
    features = {one.features for one in found if "full" in one.covariance_types}
    assert {"2", "3"} < features
    (large,) = features - {"2", "3"}
    assert large.endswith(" and more")
    for one in found:
        if "diag" in one.covariance_types:
            assert one == warmup.Specialization(("diag",), "any number", one.dtype, 2)


def test_the_last_default_stands_for_all_large_numbers():
    for one in specializations(FEATURES[-1:], COVARIANCE_TYPES, DTYPES):
        assert one.features == "any number" or one.features.endswith(" and more")


def test_many_features_are_compiled_with_few():
    assert all(one.n_features < 100 for one in specializations([10**9], COVARIANCE_TYPES, DTYPES))


@each_matrix_type
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
    monkeypatch.setattr(warmup, "_run", lambda specialization: None)
    monkeypatch.setattr(cli_warmup, "processes_at_once", lambda: 1)
    monkeypatch.setenv("COLUMNS", "500")
    assert cli.main(["warmup"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    n = len(specializations(FEATURES, COVARIANCE_TYPES, DTYPES))
    for said in ["full", "tied", "diag", "spherical", "any number", f"0 of {n} specializations"]:
        assert said in captured.out
    assert captured.out.count("already there") == n + 1


def test_the_command_shows_its_progress_to_a_terminal(capsys, monkeypatch):
    monkeypatch.setattr(warmup, "_run", lambda specialization: None)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("COLUMNS", "200")
    assert cli.main(["warmup", *SMALL_PROBLEM]) == 0
    assert "diag, features: any number, float64" in capsys.readouterr().err


def test_progress_is_told_before_each_specialization(monkeypatch):
    monkeypatch.setattr(warmup, "_run", lambda specialization: None)
    told = []
    result = warm_up([2], on_next=lambda *arguments: told.append(arguments))
    assert told == [(done, 6, one) for done, one in enumerate(result.compiled)]
    assert set(result.compiled.values()) == {False}


# --- what cannot be done --------------------------------------------------------------------
@pytest.mark.parametrize("features", ["0", "-3"])
def test_too_few_features(features, capsys):
    message = fail(capsys, "warmup", "--features", "2", features)
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
    assert "Set NUMBA_CACHE_DIR to a writable folder" in fail(capsys, "warmup", *SMALL_PROBLEM)


def test_a_cache_that_cannot_be_written_after_all(capsys, monkeypatch):
    def full_disk(*arguments):
        cache.warn_uncached(OSError("no space left"))

    monkeypatch.setattr(kernels, "expectation", full_disk)
    message = fail(capsys, "warmup", *SMALL_PROBLEM)
    assert "no space left" in message
    assert "Set NUMBA_CACHE_DIR to a writable folder" in message


def test_other_warnings_pass(monkeypatch):
    monkeypatch.setattr(kernels, "expectation", lambda *arguments: np.float64(1) / 0)
    for name in ("log_density", "normalize_responsibilities"):
        monkeypatch.setattr(kernels, name, lambda *arguments: None)
    with pytest.warns(RuntimeWarning, match="divide by zero"):
        warm_up([3], ["full"], ["float64"])


def test_without_a_compiler_there_is_nothing_to_do(capsys, monkeypatch):
    monkeypatch.setattr(target, "JIT_DISABLED", True)
    assert "NUMBA_DISABLE_JIT is set" in fail(capsys, "warmup", *SMALL_PROBLEM)
