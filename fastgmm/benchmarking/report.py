"""What `fastgmm bench` measured: as a table, as a file, and beside an earlier file."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import median
from typing import Any

from rich.table import Table

from fastgmm.benchmarking.problems import Problem
from fastgmm.benchmarking.timing import BenchResult, Timing
from fastgmm.system.files import atomic_write
from fastgmm.system.terminal import plain_table

FORMAT = 1  # of the files, which call a problem a cell
CHANGED = 1.25  # times faster or slower, from which on a problem's time counts as changed
FOOTNOTE = "* of one iteration, per point and component"
# What makes times of two files incomparable, by their names in the environment.
MACHINE = ("processor", "compiled for", "cores", "threads", "system")


def results_table(result: BenchResult, against: Comparison | None = None) -> Table:
    """A row for each problem; with a comparison, its ratios in the last column."""
    table = plain_table()
    for name in ("covariances", "dtype", "points × features\n× components"):
        table.add_column(name, no_wrap=True)
    for name in ("ns *", "GFLOP/s", "scikit-\nlearn *"):
        table.add_column(name, justify="right")
    if against is not None:
        table.add_column("now ÷\nbefore", justify="right", style="bold")
    table.caption, table.caption_justify = FOOTNOTE, "left"
    for timing in result.timings:
        problem = timing.problem
        row = [problem.covariance_type, problem.dtype, problem.shape]
        row += [three_digits(timing.nanoseconds), f"{timing.gigaflops:.1f}", peer_in_words(timing)]
        if against is not None:
            ratio = against.ratios.get(problem)
            row.append("" if ratio is None else f"{ratio:.2f}")
        table.add_row(*row)
    return table


def peer_in_words(timing: Timing) -> str:
    """scikit-learn's nanoseconds, and how many times ours they are."""
    if timing.peer_seconds is None:
        return ""
    theirs = timing.peer_seconds / timing.seconds
    return f"{three_digits(theirs * timing.nanoseconds)} ({three_digits(theirs)}×)"


def three_digits(value: float) -> str:
    """A number with three digits at least before or after its point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


# --- files ----------------------------------------------------------------------------------
def write_record(record: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Write a record as JSON, whole or not at all."""
    with atomic_write(path) as stream:
        stream.write((json.dumps(record, indent=1) + "\n").encode())


def write_json(result: BenchResult, path: str | os.PathLike[str]) -> None:
    """Write everything that was measured."""
    cells = [
        {
            **asdict(timing.problem),
            "seconds": timing.seconds,
            "scikit-learn, seconds": timing.peer_seconds,
            "nanoseconds per point and component": timing.nanoseconds,
            "GFLOP/s": timing.gigaflops,
        }
        for timing in result.timings
    ]
    write_record({"format": FORMAT, "environment": result.environment, "cells": cells}, path)


def read_json(path: str | os.PathLike[str]) -> BenchResult:
    """Read a file of `write_json`; raise ValueError if it is anything else."""
    try:
        known = json.loads(Path(path).read_bytes())
        if known["format"] != FORMAT:
            raise ValueError("another format")
        timings = [
            Timing(Problem(*(cell[field.name] for field in fields(Problem))), cell["seconds"])
            for cell in known["cells"]
        ]
        if not all(timing.seconds > 0 for timing in timings):
            raise ValueError("no durations")
        return BenchResult(dict(known["environment"]), timings)
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"{os.fspath(path)}: not a file of this version's fastgmm bench --json."
        ) from error


# --- an earlier file ------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Comparison:
    """How many times as long an iteration takes now, and what of the machine is not as before."""

    ratios: dict[Problem, float]
    differences: dict[str, tuple[str, str]]  # before and now

    def changed(self, slower: bool) -> int:
        """Number of problems so much slower, or faster, that noise is not all of it."""
        return sum((r if slower else 1 / r) > CHANGED for r in self.ratios.values())


def compare(now: BenchResult, before: BenchResult) -> Comparison:
    """Compare the times of the same problems."""
    seconds = {timing.problem: timing.seconds for timing in before.timings}
    ratios = {
        timing.problem: timing.seconds / seconds[timing.problem]
        for timing in now.timings
        if timing.problem in seconds
    }
    pairs = {name: (str(before.environment.get(name, "unknown")), now.environment[name])
             for name in MACHINE if name in now.environment}  # fmt: skip
    return Comparison(ratios, {name: pair for name, pair in pairs.items() if pair[0] != pair[1]})


def comparison_notes(comparison: Comparison) -> list[str]:
    """What there is to say about a comparison, one line for each thing."""
    if not comparison.ratios:
        return ["The earlier file has none of these problems: there is nothing to compare."]
    slower, faster = (comparison.changed(slower) for slower in (True, False))
    return [
        f"Of {len(comparison.ratios)} problems, {slower} slower and {faster} faster by more than "
        f"{CHANGED} times; the median ratio is {median(comparison.ratios.values()):.2f}. Machines "
        "are noisy: measure again before you believe a change, above all one of every problem.",
        *(
            f"Another machine or setting, {name}: {before} before, {now} now."
            for name, (before, now) in comparison.differences.items()
        ),
    ]
