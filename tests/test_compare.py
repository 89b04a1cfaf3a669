"""The tool that compares two commits: it decides rightly, talks to its processes, and reports."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tools"))

from comparison import cli, measurement, sources  # noqa: E402
from comparison.decision import (  # noqa: E402
    AGAIN,
    PAIRS,
    Verdict,
    estimate,
    is_suspected,
    ratio_of_pair,
    verdict,
)
from comparison.injection import INJECTIONS, PatchError, inject  # noqa: E402
from comparison.memory import MemoryResult, compare_memory  # noqa: E402
from comparison.processes import BenchmarkError, Worker, WorkerDied  # noqa: E402
from comparison.self_test import Tally, main  # noqa: E402
from comparison.worker import discover  # noqa: E402

ROUNDS = measurement.Settings().rounds


# --- the decision ---------------------------------------------------------------------------
class Machine:
    """Makes up the rounds of a pair of processes.

    Each process is of one of two speeds, each time has its noise, and some are far too long.
    """

    def __init__(self, ratio: float, noise: float, bias: float, seed: int) -> None:
        self.ratio, self.noise, self.bias = ratio, noise, bias
        self.random = random.Random(seed)

    def seconds(self, expected: float) -> float:
        time = expected * self.random.lognormvariate(0, self.noise)
        return time * (1 + self.random.expovariate(1)) if self.random.random() < 0.05 else time

    def ratio_of_pair(self) -> float:
        base = self.random.choice((1, self.bias))
        head = self.ratio * self.random.choice((1, self.bias))
        return ratio_of_pair([(self.seconds(base), self.seconds(head)) for _ in range(ROUNDS)])

    def verdict(self) -> Verdict:
        first = estimate([self.ratio_of_pair() for _ in range(PAIRS)])
        if not is_suspected(first):
            return verdict(first)
        return verdict(first, estimate([self.ratio_of_pair() for _ in range(AGAIN * PAIRS)]))


@pytest.mark.parametrize("bias", [1.0, 1.1])
@pytest.mark.parametrize("noise", [0.02, 0.1, 0.2])
def test_a_version_is_never_slower_than_itself(noise: float, bias: float):
    machine = Machine(1.0, noise, bias, seed=0)
    verdicts = [machine.verdict() for _ in range(1000)]
    assert Verdict.SLOWER not in verdicts
    if noise < 0.2:
        assert verdicts.count(Verdict.SAME) > 900


@pytest.mark.parametrize(("noise", "bias"), [(0.1, 1.0), (0.1, 1.1), (0.03, 1.1)])
def test_a_slowdown_is_found(noise: float, bias: float):
    machine = Machine(1.3, noise, bias, seed=1)
    assert [machine.verdict() for _ in range(500)].count(Verdict.SLOWER) >= 0.95 * 500


def test_a_small_slowdown_is_none():
    machine = Machine(1.05, 0.05, 1.05, seed=2)
    assert Verdict.SLOWER not in [machine.verdict() for _ in range(500)]


def test_a_speedup_is_told():
    machine = Machine(0.7, 0.05, 1.05, seed=3)
    assert [machine.verdict() for _ in range(100)].count(Verdict.FASTER) > 90


def test_estimate_is_the_median_and_the_range_of_the_pairs():
    few = estimate([1.3, 1.0, 1.2, 1.1, 5.0])
    assert (few.ratio, few.low, few.high) == (1.2, 1.0, 5.0)
    assert few.confidence == 1 - 2 / 32
    many = estimate([1.0, *[1.2] * 8, 9.0])
    assert (many.low, many.high) == (1.2, 1.2)
    assert many.confidence == 1 - 22 / 1024
    assert estimate([1.5]).confidence == 0


def test_the_interval_covers_what_it_says():
    machine = Machine(1.0, 0.1, 1.1, seed=4)
    estimates = [estimate([machine.ratio_of_pair() for _ in range(10)]) for _ in range(1000)]
    covered = sum(each.low <= 1 <= each.high for each in estimates)
    assert covered / 1000 == pytest.approx(estimates[0].confidence, abs=0.015)


# --- the processes, on a toy ------------------------------------------------------------------
# Its clock shows what it is said to take, however busy the machine is.
TOY = """
import time
from fastgmm import SECONDS, work

elapsed = [0.0]
time.perf_counter = time.process_time = lambda: elapsed[0]

class Toy:
    params = [1, 2]

    def setup(self, times):
        print("not a reply")

    def time_work(self, times):
        work(times)
        elapsed[0] += SECONDS * times

class Newer:
    def time_news(self):
        from fastgmm import news

class Broken:
    def time_nothing(self):
        raise ValueError("out of luck")

class Fatal:
    def time_end(self):
        import os
        print("the end", flush=True)
        os._exit(3)

class Memory:
    def setup_cache(self):
        open("input", "w").close()

    def peakmem_work(self):
        open("input").close()
        assert work(1)
"""
PACKAGE = "SECONDS = {seconds}\ndef work(times):\n    return b'1' * {size}\n"
NEWS = "news = None\n"


def toy(folder: Path, seconds: float, size: int = 1, more: str = "") -> str:
    """Write a package that takes so long, and its benchmarks."""
    for name, text in {
        "fastgmm/__init__.py": PACKAGE.format(seconds=seconds, size=size) + more,
        "asv_benchmarks/benchmarks/__init__.py": "",
        "asv_benchmarks/benchmarks/toy.py": TOY,
        "tests/registry.py": "",
    }.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return str(folder)


@pytest.fixture(scope="module")
def toys(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, str]:
    """Folders of a fast and a slow toy, and of their exports."""
    folder = tmp_path_factory.mktemp("toys")
    fast = toy(folder / "fast", 0.002)
    slow = toy(folder / "slow", 0.004, more=NEWS)
    return fast, slow, str(folder / "exports")


@pytest.fixture(autouse=True)
def _in_a_hurry(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(measurement, "ROUND_SECONDS", 0.001)


def compare(base: str, head: str, exports: str, *options: str) -> int:
    return cli.main([base, head, "--folder", exports, "--pairs", "2", "--rounds", "2", *options])


def test_a_slower_toy_is_named(toys, tmp_path: Path, capsys: pytest.CaptureFixture):
    fast, slow, exports = toys
    path = tmp_path / "report.json"
    options = ["--benchmarks", "Toy", "--json", str(path)]
    assert compare(fast, slow, exports, *options) == cli.REGRESSION
    printed = capsys.readouterr().out
    assert "slower in both measurements: toy.Toy.time_work(2)" in printed
    assert "SLOWER" in printed
    record = json.loads(path.read_text())
    assert record["base"]["name"] == fast
    assert record["machine"]["numba"]
    for cell in record["cells"]:
        assert cell["verdict"] == "SLOWER"
        assert cell["estimate"]["ratio"] == pytest.approx(2)
        assert cell["head_ms"] == pytest.approx(2 * cell["base_ms"])
        assert [len(rounds) for rounds in cell["rounds"]] == [2] * 2
        assert [len(rounds) for rounds in cell["second_rounds"]] == [2] * 4


def test_a_faster_toy_is_fine(toys, capsys: pytest.CaptureFixture):
    fast, slow, exports = toys
    assert compare(slow, fast, exports, "--benchmarks", r"Toy.*\(2\)") == cli.FINE
    printed = capsys.readouterr().out
    assert "faster" in printed
    assert "nothing is slower by more than 1.1×" in printed


def test_a_toy_beside_itself_is_the_same(toys, capsys: pytest.CaptureFixture):
    fast, _, exports = toys
    options = ["--benchmarks", r"Toy.*\(2\)", "--threads", "all"]
    assert compare(fast, fast, exports, *options) == cli.FINE
    assert "toy.Toy.time_work(2), all threads" in capsys.readouterr().out


def test_what_the_base_lacks_is_left_out(toys, capsys: pytest.CaptureFixture):
    fast, slow, exports = toys
    options = ["--benchmarks", r"Newer|Toy.*\(1\)", "--threshold", "9"]
    assert compare(fast, slow, exports, *options) == cli.FINE
    assert "not compared: toy.Newer.time_news: ImportError" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("Broken", "fails: toy.Broken.time_nothing: ValueError: out of luck"),
        ("Fatal", "died:\nthe end"),
        ("no such", "no such benchmark"),
    ],
)
def test_errors_are_told_from_regressions(
    toys, pattern: str, words: str, capsys: pytest.CaptureFixture
):
    fast, _, exports = toys
    assert compare(fast, fast, exports, "--benchmarks", pattern) == cli.FAILURE
    captured = capsys.readouterr()
    assert words in captured.out + captured.err


def test_there_is_no_such_revision(tmp_path: Path, capsys: pytest.CaptureFixture):
    assert compare("no such revision", "HEAD", str(tmp_path)) == cli.FAILURE
    assert "neither a revision nor a folder" in capsys.readouterr().err


@pytest.mark.parametrize("options", [["--threads", "0"], ["--pairs", "0"], ["--benchmarks", "("]])
def test_wrong_options_are_refused(options: list[str], capsys: pytest.CaptureFixture):
    with pytest.raises(SystemExit) as exit_:
        cli.main(["HEAD", *options])
    assert exit_.value.code == cli.FAILURE
    assert options[0] in capsys.readouterr().err


def test_worker_goes_on_after_an_error(toys):
    side = sources.export(toys[0], Path(toys[2]))
    with Worker(side, side) as worker:
        assert worker.ask("hello")["failures"] == {}
        with pytest.raises(BenchmarkError, match="out of luck"):
            worker.ask("prepare", benchmark="toy.Broken.time_nothing", threads=1)
        with pytest.raises(BenchmarkError, match="there is no"):
            worker.ask("prepare", benchmark="toy.Toy.time_nothing", threads=1)
        assert worker.ask("prepare", benchmark="toy.Toy.time_work(1)", threads=1)["seconds"] > 0
        assert worker.ask("measure", calls=2)["seconds"] == pytest.approx(0.002)
        with pytest.raises(WorkerDied, match="the end"):
            worker.ask("prepare", benchmark="toy.Fatal.time_end", threads=1)


def test_suite_that_cannot_be_imported_is_told(tmp_path: Path):
    side = sources.export(toy(tmp_path / "toy", 0.0), tmp_path / "exports")
    package = side.folder / "fastgmm" / "__init__.py"
    package.write_text(package.read_text().replace("SECONDS", "DURATION"))
    with Worker(side, side) as worker:
        assert "cannot import name 'SECONDS'" in worker.ask("hello")["failures"]["toy"]
        with pytest.raises(BenchmarkError, match="cannot import"):
            worker.ask("prepare", benchmark="toy.Toy.time_work(1)", threads=1)


def test_more_memory_is_told(toys, tmp_path: Path, capsys: pytest.CaptureFixture):
    small, _, exports = toys
    large = toy(tmp_path, 0.0, 100_000_000)
    assert compare(small, large, exports, "--memory") == cli.REGRESSION
    assert "LARGER" in capsys.readouterr().out
    result = compare_memory(sources.export_both(large, small, Path(exports)))[0]
    assert not result.is_larger
    assert 80e6 < result.base - result.head < 120e6


def test_a_little_more_memory_is_none():
    assert not MemoryResult("", 100_000_000, 115_000_000).is_larger  # by less than a fifth
    assert not MemoryResult("", 10_000_000, 18_000_000).is_larger  # by less than 8 MB
    assert MemoryResult("", 100_000_000, 130_000_000).is_larger
    assert not MemoryResult("", 0, 130_000_000, missing="why").is_larger


# --- the sources ----------------------------------------------------------------------------
def test_commit_is_exported_once(tmp_path: Path):
    try:
        commit = sources.commit_of("HEAD")
    except sources.SourceError:
        pytest.skip("not a clone")  # an unpacked archive has no commits to export
    source = sources.export("HEAD", tmp_path)
    assert (source.key, source.folder) == (commit, (tmp_path / commit).resolve())
    assert (source.folder / "fastgmm" / "kernels" / "passes.py").is_file()
    assert (source.folder / "asv_benchmarks" / "benchmarks" / "kernels.py").is_file()
    parts = {"fastgmm", "asv_benchmarks", "tests", "tools"}
    assert {path.name for path in source.folder.iterdir()} == parts
    assert [path.name for path in (source.folder / "tools").iterdir()] == ["peer_table"]
    (source.folder / "mark").touch()
    assert (sources.export("HEAD", tmp_path).folder / "mark").exists()
    assert [path.name for path in tmp_path.iterdir()] == [commit]  # and nothing half-made


def test_working_tree_is_named_by_its_content(tmp_path: Path):
    tree, exports = tmp_path / "tree", tmp_path / "exports"
    keys = [sources.export(toy(tree, seconds), exports).key for seconds in (1, 2, 1)]
    assert keys[0] == keys[2] != keys[1]


def test_same_version_twice_has_two_caches(toys):
    base, head = sources.export_both(toys[0], toys[0], Path(toys[2]))
    assert base.folder == head.folder
    assert base.cache != head.cache


# --- what is to be noticed ------------------------------------------------------------------
CHECK = """
import json
import numpy as np
from fastgmm import kernels
from fastgmm.kernels import drivers

calls = dict.fromkeys(("tile_log_density", "tile_moments"), 0)
for name in calls:
    def counting(*arguments, name=name, function=getattr(drivers, name)):
        calls[name] += 1
        return function(*arguments)
    setattr(drivers, name, counting)
rng = np.random.default_rng(0)
X = rng.standard_normal((5000, 1))
mixture = np.full(2, 0.5), rng.standard_normal((2, 1)), np.ones((2, 1))
s = kernels.expectation(X, *mixture, "diag")
density = kernels.log_density(X, *mixture, "diag")
moments = kernels.weighted_covariances(X, rng.dirichlet(np.ones(2), 5000), "diag")
results = [s.log_likelihood, s.counts, s.first, s.second, density, *moments]
print(json.dumps({"calls": calls, "results": [np.sum(r).item() for r in results]}))
"""


def run_check(tree: Path) -> dict:
    """Run the passes of a version as plain Python, where calls can be counted."""
    variables = {**os.environ, "PYTHONPATH": str(tree), "NUMBA_DISABLE_JIT": "1"}
    output = subprocess.run(
        [sys.executable, "-P", "-c", CHECK],
        env=variables,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    return json.loads(output)


@pytest.fixture(scope="module")
def unpatched() -> dict:
    return run_check(ROOT)


@pytest.mark.parametrize("kind", [kind for kind in INJECTIONS if kind != "nothing"])
def test_injections_repeat_work_and_nothing_else(kind: str, unpatched: dict, tmp_path: Path):
    result = run_check(inject(kind, ROOT, tmp_path, 1.5))
    assert result["results"] == pytest.approx(unpatched["results"], rel=1e-12)
    more = {name: calls - unpatched["calls"][name] for name, calls in result["calls"].items()}
    assert (more["tile_log_density"] > 0) == (kind in ("expectation", "prediction"))
    assert (more["tile_moments"] > 0) == (kind in ("expectation", "moments"))


def test_patch_that_finds_nothing_is_an_error(tmp_path: Path):
    tree = Path(toy(tmp_path / "toy", 0.0))
    (tree / "fastgmm" / "kernels").mkdir()
    (tree / "fastgmm" / "kernels" / "passes.py").write_text("")
    with pytest.raises(PatchError, match="0 times"):
        inject("memory", tree, tmp_path / "worse", 1.3)


def test_quick_list_and_expected_names_exist(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(ROOT / "asv_benchmarks")
    found, failures = discover()
    assert failures == {}
    cells = measurement.QUICK_LIST
    assert {cell.benchmark for cell in cells} <= set(found)
    assert len(set(cells)) == len(cells)
    for injection in INJECTIONS.values():
        if not injection.is_memory:
            assert any(re.search(injection.expected, name) for name in map(str, cells))


def test_tally_counts_what_is_named():
    tally = Tally("moments")
    tally.add(["kernels.OtherFunctions.time_function(weighted_covariances, case)"])
    assert tally.is_satisfied
    tally.add(["fit.Fit.time_fit(case)"])
    tally.add([])
    assert (tally.runs, tally.alarms, tally.right) == (3, 2, 1)
    assert not tally.is_satisfied
    nothing = Tally("nothing")
    nothing.add([])
    assert nothing.is_satisfied
    nothing.add(["fit.Fit.time_fit(case)"])
    assert not nothing.is_satisfied


def test_self_test_compares_a_version_with_itself(toys, capsys: pytest.CaptureFixture):
    options = ["--commit", toys[0], "--folder", toys[2], "--benchmarks", r"Toy.*\(2\)"]
    assert main(["nothing", *options, "--runs", "1", "--pairs", "1", "--rounds", "2"]) == 0
    assert "nothing, run 1 of 1: nothing" in capsys.readouterr().out
