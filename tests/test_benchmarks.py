"""Every benchmark runs once, tiny, found and called the way asv finds and calls it."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

import pytest

from fastgmm import reference

SUITES = Path(__file__).parent.parent / "asv_benchmarks" / "benchmarks"

# Both are read when the suites are imported, which happens here, once.
os.environ["FASTGMM_BENCH_TINY"] = "1"
sys.path.insert(0, str(SUITES.parent))

from asv_runner.discovery import disc_benchmarks  # noqa: E402

BENCHMARKS = sorted(disc_benchmarks(str(SUITES)), key=lambda benchmark: benchmark.name)
RUNS = [
    pytest.param(benchmark, index, id=f"{benchmark.name}-{index}")
    for benchmark in BENCHMARKS
    for index in range(math.prod(map(len, benchmark.params)))
]


@pytest.mark.parametrize(("benchmark", "index"), RUNS)
def test_benchmark_runs(benchmark, index: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)  # where a cached setup leaves its files
    if benchmark.params:
        benchmark.set_param_idx(index)
    benchmark.do_setup_cache()
    assert not benchmark.do_setup(), "the benchmark skips itself"
    try:
        result = _run_once(benchmark)
    finally:
        benchmark.do_teardown()
    assert math.isfinite(result)
    assert result > 0


def _run_once(benchmark) -> float:
    """Return the one value that a run of a single repetition measures."""
    if "time" not in benchmark.type:
        return benchmark.do_run()
    benchmark.repeat = benchmark.number = benchmark.min_run_count = 1
    benchmark.warmup_time = 0
    return benchmark.do_run()["samples"][0]


def test_every_suite_holds_benchmarks():
    suites = {path.stem for path in SUITES.glob("*.py")} - {"__init__", "common"}
    assert {benchmark.name.split(".")[0] for benchmark in BENCHMARKS} == suites


def test_the_whole_contract_is_measured():
    kernels = [benchmark for benchmark in BENCHMARKS if benchmark.name.startswith("kernels.")]
    functions = {value.strip("'") for benchmark in kernels for value in benchmark.params[0]}
    assert functions | {"expectation"} >= set(reference.__all__)
