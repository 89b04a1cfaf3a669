"""The command line of tools/compare."""

from __future__ import annotations

import argparse
import dataclasses
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from comparison import report
from comparison.decision import PAIRS, THRESHOLD
from comparison.measurement import ALL, Settings, compare_times
from comparison.memory import compare_memory
from comparison.processes import BenchmarkError, WorkerDied
from comparison.sources import FOLDER, WORKTREE, SourceError, export_both
from fastgmm.benchmarking.environment import describe_environment, load_average
from fastgmm.benchmarking.report import write_record

FINE, REGRESSION, FAILURE = 0, 1, 2


def main(arguments: list[str] | None = None) -> int:
    """Compare and show; the exit status tells the result."""
    options = parse(arguments)
    console = Console()
    console.width = max(console.width, 110)  # where the output is no terminal it would be 80
    try:
        sides = export_both(options.base, options.head, options.folder)
        with Console(stderr=True).status("") as status:
            compare = compare_peaks if options.memory else compare_speeds
            return compare(options, sides, status.update, console)
    except (SourceError, BenchmarkError, WorkerDied) as error:
        print(f"tools/compare: {error}", file=sys.stderr)
        return FAILURE
    except Exception:  # Python's own status of a traceback is that of a regression
        traceback.print_exc()
        return FAILURE


def compare_speeds(
    options: argparse.Namespace,
    sides: tuple,
    on_stage: Callable[[str], object],
    console: Console,
) -> int:
    """Compare times."""
    settings = Settings(options.threshold, options.pairs, options.rounds)
    record = header(sides) | {"settings": dataclasses.asdict(settings)}
    outcome = compare_times(sides, options.benchmarks, options.threads, settings, on_stage)
    report.show_times(outcome, settings, console)
    record |= {
        "load average after": load_average(),
        "cells": [report.as_record(result, settings) for result in outcome.results],
        "missing": outcome.missing,
        "errors": outcome.errors,
    }
    if options.json:
        write_record(record, options.json)
    if outcome.errors or not outcome.results:
        if not (outcome.errors or outcome.missing):
            console.print("no such benchmark")
        return FAILURE
    return REGRESSION if report.slower(outcome, settings) else FINE


def compare_peaks(
    options: argparse.Namespace,
    sides: tuple,
    on_stage: Callable[[str], object],
    console: Console,
) -> int:
    """Compare peak memory."""
    results = compare_memory(sides, on_stage)
    console.print(report.memory_table(results))
    if options.json:
        peaks = [dataclasses.asdict(result) for result in results]
        write_record(header(sides) | {"peaks": peaks}, options.json)
    if not results or any(result.error for result in results):
        return FAILURE
    return REGRESSION if any(result.is_larger for result in results) else FINE


def header(sides: tuple) -> dict[str, Any]:
    """What was compared, and on what."""
    known = describe_environment()
    names = ("processor", "system", "numba", "numpy", "python")
    return {
        **{
            side: {"name": source.name, "key": source.key}
            for side, source in zip(("base", "head"), sides, strict=True)
        },
        "machine": {name: known[name] for name in names},
        "load average before": load_average(),
    }


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(
        prog="tools/compare",
        description="Compare the speed of two commits, in turn and in several pairs of processes. "
        "Exits with 1 if something has become slower, in two measurements; with 2 on errors.",
    )
    add = parser.add_argument
    add("base", metavar="BASE", help=f"a revision, a folder with fastgmm, or {WORKTREE}")
    add("head", metavar="HEAD", nargs="?", default=WORKTREE,
        help="the same; its benchmarks run on both sides (default: %(default)s)")  # fmt: skip
    add("--benchmarks", metavar="REGEX", type=pattern,
        help="in place of a short list of telling ones; such as Expectation.*full")  # fmt: skip
    add("--threads", type=threads, default=1,
        help="a number or 'all', for --benchmarks (default: %(default)s)")  # fmt: skip
    add("--threshold", type=float, default=THRESHOLD,
        help="ratio up to which nothing is reported (default: %(default)s)")  # fmt: skip
    add("--pairs", type=positive, default=PAIRS,
        help="of processes; twice as many when in doubt (default: %(default)s)")  # fmt: skip
    add("--rounds", type=positive, default=Settings().rounds,
        help="in each pair of processes (default: %(default)s)")  # fmt: skip
    add("--memory", action="store_true", help="peak memory in place of times")
    add("--json", type=Path, metavar="FILE", help="write everything that was measured")
    add("--folder", type=Path, default=FOLDER,
        help="of sources and kernels by commit (default: asv_benchmarks/env/compare)")  # fmt: skip
    return parser.parse_args(arguments)


def pattern(words: str) -> str:
    """Read a regular expression."""
    try:
        re.compile(words)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{words}: {error}") from None
    return words


def positive(word: str) -> int:
    """Read a number of at least 1."""
    number = int(word)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number


def threads(word: str) -> int:
    """Read a number of threads."""
    return ALL if word == "all" else positive(word)
