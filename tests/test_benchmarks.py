"""Every benchmark runs once, tiny, found and called the way asv finds and calls it."""

from __future__ import annotations

import dataclasses
import math
import os
import sys
from itertools import count
from pathlib import Path
from types import ModuleType

import pytest

from fastgmm import Statistics, kernels, reference
from fastgmm.kernels import low_rank
from fastgmm.kernels.accumulation import Accumulator
from fastgmm.kernels.convolution import Convolution
from fastgmm.kernels.passes import Pass
from fastgmm.kernels.small_problems import SmallProblem

SUITES = Path(__file__).parent.parent / "asv_benchmarks" / "benchmarks"

# Both are read when the suites are imported, which happens here, once.
os.environ["FASTGMM_BENCH_TINY"] = "1"
sys.path.insert(0, str(SUITES.parent))

from asv_runner.discovery import disc_benchmarks  # noqa: E402

BENCHMARKS = sorted(disc_benchmarks(str(SUITES)), key=lambda benchmark: benchmark.name)
# Begin processes, which take seconds: of their parameters one in so many, of each kind some.
SLOW = {"latency.First.track_first_fit": 5, "latency.First.track_first_predict": 7}
RUNS = [
    pytest.param(benchmark, index, id=f"{benchmark.name}-{index}")
    for benchmark in BENCHMARKS
    for index in range(0, math.prod(map(len, benchmark.params)), SLOW.get(benchmark.name, 1))
]

# Where another library is not installed, or there is one thread.
MAY_SKIP = ("ratios.Library", "scaling.TwoThreads")


@pytest.mark.parametrize(("benchmark", "index"), RUNS)
def test_benchmark_runs(benchmark, index: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)  # where a cached setup leaves its files
    result = _run_once(benchmark, index)
    assert math.isfinite(result)
    assert result > 0


def _run_once(benchmark, index: int) -> float:
    """Return the one value that a run of a single repetition measures."""
    if benchmark.params:
        benchmark.set_param_idx(index)
    benchmark.do_setup_cache()
    if benchmark.do_setup():
        assert benchmark.name.startswith(MAY_SKIP), "the benchmark skips itself"
        pytest.skip("needs another library, or another thread")  # and only those of MAY_SKIP
    try:
        return _measure(benchmark)
    finally:
        benchmark.do_teardown()


def _measure(benchmark) -> float:
    if "time" not in benchmark.type:
        return benchmark.do_run()
    benchmark.repeat = benchmark.number = benchmark.min_run_count = 1
    benchmark.warmup_time = 0
    return benchmark.do_run()["samples"][0]


# --- a benchmark that no longer measures what its name says fails ------------------------------
@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda benchmark: benchmark.name)
def test_benchmark_sees_nonsense(benchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    if benchmark.name == "memory.PeakMemory.peakmem_input":
        pytest.skip("calls nothing")  # it is the memory of the input, to be subtracted
    if ".timeraw_" in benchmark.name:
        assert "assert" in benchmark.func()  # the code that a process runs
        return
    suite = sys.modules[f"{SUITES.name}.{benchmark.name.split('.')[0]}"]
    if ".SideBySide." in benchmark.name:
        assert "assert" in suite.PASSES  # the same
        return
    monkeypatch.chdir(tmp_path)
    _spoil(suite, monkeypatch)
    _forget_everything()
    with pytest.raises(Exception):  # noqa: B017, PT011  # assertions, or what the package raises
        _run_once(benchmark, 0)
    _forget_everything()


def _spoil(suite: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let everything that benchmarks call return as much as it should, but nothing right."""
    values = count(1)

    def nonsense(result):
        if isinstance(result, Statistics):  # still such that a fit goes on
            likelihood, counts = nonsense(result.log_likelihood), result.counts * (1 + next(values))
            return dataclasses.replace(result, log_likelihood=likelihood, counts=counts)
        if isinstance(result, tuple):
            return result[0] * (1 + next(values)), *result[1:]
        return result * 0 - next(values)  # never the same twice, and less every time

    def spoil(module: ModuleType, name: str) -> None:
        function = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *given, **more: nonsense(function(*given, **more)))

    for name in kernels.__all__:
        spoil(kernels, name)
    for part in (Pass, SmallProblem):
        spoil(part, "log_likelihood")
    for part in (Accumulator, SmallProblem):
        spoil(part, "statistics")
    spoil(Convolution, "expectation")
    spoil(low_rank, "expectation")
    if hasattr(suite, "repeated"):  # tricks.py: the trick does nothing
        repeated = suite.repeated
        idle = lambda function, flags: repeated(function, flags) if flags else lambda *given: None  # noqa: E731
        monkeypatch.setattr(suite, "FLAGS", set())
        monkeypatch.setattr(suite, "repeated", idle)
    if hasattr(suite, "FIRST_FIT"):
        monkeypatch.setattr(suite, "FIRST_FIT", "print(0)")


def _forget_everything() -> None:
    """Empty the caches of the suites, which hold what was prepared."""
    for name, suite in list(sys.modules.items()):
        if name.startswith(SUITES.name + "."):
            for value in vars(suite).values():
                getattr(value, "cache_clear", lambda: None)()


def test_every_suite_holds_benchmarks():
    suites = {path.stem for path in SUITES.glob("*.py")} - {"__init__", "common"}
    assert {benchmark.name.split(".")[0] for benchmark in BENCHMARKS} == suites


def test_the_whole_contract_is_measured():
    kernels = [benchmark for benchmark in BENCHMARKS if benchmark.name.startswith("kernels.")]
    functions = {value.strip("'") for benchmark in kernels for value in benchmark.params[0]}
    assert functions | {"expectation"} >= set(reference.__all__)
