"""Both sides in turn, in many short rounds, in several pairs of processes."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple

from comparison.decision import (
    AGAIN,
    PAIRS,
    THRESHOLD,
    RatioEstimate,
    Round,
    Verdict,
    estimate,
    is_suspected,
    ratio_of_pair,
    verdict,
)
from comparison.processes import BenchmarkError, Worker, WorkerDied, both
from comparison.sources import Source

ROUND_SECONDS = 0.04  # of one side, at least
ALL = 0  # threads

OnStage = Callable[[str], object]


class BenchmarkEntry(NamedTuple):
    """A benchmark, and the threads that it runs on.

    Attributes
    ----------
    benchmark : str
    threads : int
        0 for all.
    """

    benchmark: str
    threads: int = 1

    def __str__(self) -> str:
        return self.benchmark + ("" if self.threads == 1 else f", {self.threads or 'all'} threads")


MIDDLE = "full-float64-n50000-d16-K16-C"

# One for each way through the kernels, and the host's code around them.
QUICK_LIST = (
    *(
        BenchmarkEntry(f"kernels.Expectation.time_expectation({case})")
        for case in (
            "full-float64-n100000-d2-K8-C",
            "full-float64-n50000-d8-K8-C",
            MIDDLE,
            "full-float64-n10000-d64-K32-C",
            "tied-float64-n50000-d16-K16-C",
            "diag-float64-n50000-d16-K16-C",
            "spherical-float64-n100000-d2-K8-C",
        )
    ),
    BenchmarkEntry(f"kernels.OtherFunctions.time_function(weighted_covariances, {MIDDLE})"),
    BenchmarkEntry(f"predict.Predict.time_method(predict, {MIDDLE})"),
    BenchmarkEntry(f"predict.Predict.time_method(predict_proba, {MIDDLE})"),
    BenchmarkEntry("fit.SmallFit.time_hundred_fits"),
    BenchmarkEntry("small.Iteration.time_hundred_iterations(full, 8, 8)"),
    BenchmarkEntry("small.Job.time_job(classifier)"),
    BenchmarkEntry("small.OneRow.time_method(predict)"),
    BenchmarkEntry(f"kernels.Expectation.time_expectation({MIDDLE})", ALL),
)


@dataclass(frozen=True, slots=True)
class Settings:
    """How much is measured."""

    threshold: float = THRESHOLD
    pairs: int = PAIRS
    rounds: int = 10


@dataclass(slots=True)
class BenchmarkTimes:
    """All rounds of a benchmark, pair by pair.

    Attributes
    ----------
    entry : BenchmarkEntry
    first, second : list of list of (float, float)
        Seconds of base and head by pair and round; the second where the first was suspicious.
    """

    entry: BenchmarkEntry
    first: list[list[Round]] = field(default_factory=list)
    second: list[list[Round]] = field(default_factory=list)

    @property
    def estimates(self) -> tuple[RatioEstimate, RatioEstimate | None]:
        """Those of both measurements."""
        first, second = (
            estimate([ratio_of_pair(rounds) for rounds in pairs]) if pairs else None
            for pairs in (self.first, self.second)
        )
        assert first is not None
        return first, second

    @property
    def seconds(self) -> tuple[float, float]:
        """Median times of base and head."""
        rounds = [each for pair in (*self.first, *self.second) for each in pair]
        return median(base for base, _ in rounds), median(head for _, head in rounds)

    def verdict(self, threshold: float) -> Verdict:
        """What is said of it."""
        return verdict(*self.estimates, threshold)


@dataclass(slots=True)
class ComparedBenchmarks:
    """What came of a comparison.

    Attributes
    ----------
    results : list of BenchmarkTimes
    missing : dict of str to str
        Why a benchmark was not compared, as the base lacks something.
    errors : dict of str to str
        Benchmarks that fail with head's package.
    """

    results: list[BenchmarkTimes] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)


def compare_times(
    sides: tuple[Source, Source],
    benchmarks: str | None,
    threads: int,
    settings: Settings,
    on_stage: OnStage = lambda words: None,
) -> ComparedBenchmarks:
    """Measure the quick list, or the benchmarks that a pattern finds; doubtful ones twice."""
    outcome = ComparedBenchmarks()
    entries = survey(sides, benchmarks, threads, outcome, on_stage)
    results = {entry: BenchmarkTimes(entry) for entry in entries}
    outcome.results = list(results.values())
    for number in range(settings.pairs):
        stage = f"processes {number + 1} of {settings.pairs}: "
        for entry, rounds in measure_pair(sides, entries, settings.rounds, on_stage, stage).items():
            results[entry].first.append(rounds)
    suspected = [
        each for each in entries if is_suspected(results[each].estimates[0], settings.threshold)
    ]
    for number in range(AGAIN * settings.pairs if suspected else 0):
        stage = f"again, processes {number + 1} of {AGAIN * settings.pairs}: "
        again = measure_pair(sides, suspected, settings.rounds, on_stage, stage)
        for entry, rounds in again.items():
            results[entry].second.append(rounds)
    return outcome


def survey(
    sides: tuple[Source, Source],
    benchmarks: str | None,
    threads: int,
    outcome: ComparedBenchmarks,
    on_stage: OnStage,
) -> list[BenchmarkEntry]:
    """Return the benchmarks that both sides can run, compiled; note the others.

    It has processes of its own, so that all that are measured load their kernels from the disk.
    """
    on_stage("starting")
    entries = []
    with both(sides) as (base, head):
        hello = greet(base, head)
        for entry in choose(hello["benchmarks"], benchmarks, threads):
            if entry.benchmark not in hello["benchmarks"]:
                outcome.missing[str(entry)] = "head has no such benchmark"
                continue
            on_stage(f"compiling: {entry}")
            failures = prepare(base, head, entry)[1]
            if failures[1]:
                outcome.errors[str(entry)] = failures[1]
            elif failures[0]:
                outcome.missing[str(entry)] = failures[0]
            else:
                entries.append(entry)
        outcome.errors |= hello["failures"]
    return entries


def greet(base: Worker, head: Worker) -> dict:
    """Check that each process has its own side's package; return what head's offers."""
    for worker in (base, head):
        worker.send("hello")
    replies = [worker.receive() for worker in (base, head)]
    for worker, reply in zip((base, head), replies, strict=True):
        if not reply["fastgmm"].startswith(str(worker.side.folder)):
            raise WorkerDied(f"{worker.side.name} runs {reply['fastgmm']}")
    return replies[1]


def choose(names: Sequence[str], benchmarks: str | None, threads: int) -> list[BenchmarkEntry]:
    """Benchmarks of times that a pattern finds, or the quick list."""
    if benchmarks is None:
        return list(QUICK_LIST)
    pattern = re.compile(benchmarks)
    times = [name for name in names if name.split(".")[2].startswith("time_")]
    return [BenchmarkEntry(name, threads) for name in times if pattern.search(name)]


def prepare(base: Worker, head: Worker, entry: BenchmarkEntry) -> tuple[float, tuple[str, str]]:
    """Set a benchmark up on both sides at once; return the longer call's seconds, both failures."""
    seconds, failures = [], []
    for worker in (base, head):
        worker.send("prepare", **entry._asdict())
    for worker in (base, head):
        try:
            seconds.append(worker.receive()["seconds"])
            failures.append("")
        except BenchmarkError as error:
            failures.append(str(error))
    return max(seconds, default=0.0), (failures[0], failures[1])


def measure_pair(
    sides: tuple[Source, Source],
    entries: Sequence[BenchmarkEntry],
    rounds: int,
    on_stage: OnStage,
    stage: str,
) -> dict[BenchmarkEntry, list[Round]]:
    """All rounds of all benchmarks in one new pair of processes."""
    measured = {}
    with both(sides) as (base, head):
        for entry in entries:
            on_stage(f"{stage}{entry}")
            seconds, failures = prepare(base, head, entry)
            if any(failures):
                raise BenchmarkError(f"{entry}: {failures[0] or failures[1]}")
            calls = calls_of_round(seconds)
            measured[entry] = [measure_round(base, head, calls, i) for i in range(rounds)]
    return measured


def calls_of_round(seconds: float) -> int:
    """How often a round calls what takes so long: twice at least, but for the longest."""
    return (
        1 if seconds > 2 * ROUND_SECONDS else max(2, math.ceil(ROUND_SECONDS / max(seconds, 1e-6)))
    )


def measure_round(base: Worker, head: Worker, calls: int, number: int) -> Round:
    """One side and then the other, while the first sleeps; every second round the other way."""
    seconds = {}
    for worker in (base, head) if number % 2 == 0 else (head, base):
        seconds[worker] = worker.ask("measure", calls=calls)["seconds"]
    return seconds[base], seconds[head]
