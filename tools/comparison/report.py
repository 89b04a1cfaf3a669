"""A comparison as tables and as JSON."""

from __future__ import annotations

import dataclasses
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from comparison.decision import Verdict
from comparison.measurement import BenchmarkTimes, ComparedBenchmarks, Settings
from comparison.memory import MemoryResult
from fastgmm.system.terminal import plain_table

STYLES = {Verdict.SLOWER: "bold red", Verdict.UNCONFIRMED: "yellow", Verdict.FASTER: "green"}


# --- times ----------------------------------------------------------------------------------
def as_record(result: BenchmarkTimes, settings: Settings) -> dict[str, Any]:
    """Everything that was measured of a benchmark, and what is said of it."""
    first, second = result.estimates
    return {
        "benchmark": result.entry.benchmark,
        "threads": result.entry.threads or "all",
        "base_ms": 1e3 * result.seconds[0],
        "head_ms": 1e3 * result.seconds[1],
        "verdict": result.verdict(settings.threshold).value,
        "estimate": dataclasses.asdict(first),
        "second_estimate": second and dataclasses.asdict(second),
        "rounds": result.first,
        "second_rounds": result.second,
    }


def slower(outcome: ComparedBenchmarks, settings: Settings) -> list[str]:
    """Names of the benchmarks that have become slower."""
    return [
        str(result.entry)
        for result in outcome.results
        if result.verdict(settings.threshold) is Verdict.SLOWER
    ]


def times_table(outcome: ComparedBenchmarks, settings: Settings) -> Table:
    """A line for each benchmark."""
    table = plain_table()
    table.add_column("benchmark", overflow="fold")
    for header in ("base, ms", "head, ms", "ratio", "interval"):
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for result in outcome.results:
        verdict = result.verdict(settings.threshold)
        base, head = (f"{1e3 * seconds:.3g}" for seconds in result.seconds)
        first, second = result.estimates
        shown = second or first
        interval = f"{shown.low:.2f} … {shown.high:.2f}"
        table.add_row(
            escape(str(result.entry)), base, head, f"{shown.ratio:.2f}", interval, verdict.value,
            style=STYLES.get(verdict, ""),
        )  # fmt: skip
    return table


def show_times(outcome: ComparedBenchmarks, settings: Settings, console: Console) -> None:
    """Print the table, what is not in it, and the result in words."""
    if outcome.results:
        console.print(times_table(outcome, settings))
    for name, why in outcome.missing.items():
        console.print(f"not compared: {name}: {why}", markup=False)
    for name, why in outcome.errors.items():
        console.print(f"fails: {name}: {why}", markup=False)
    names = slower(outcome, settings)
    for name in names:
        console.print(f"slower in both measurements: {name}", markup=False)
    if outcome.results and not names:
        console.print(f"nothing is slower by more than {settings.threshold:g}×")


# --- memory ---------------------------------------------------------------------------------
def memory_table(results: list[MemoryResult]) -> Table:
    """Peaks in megabytes."""
    table = plain_table()
    table.add_column("benchmark", overflow="fold")
    for header in ("base, MB", "head, MB", "ratio"):
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("verdict")
    for result in results:
        words = result.missing or result.error
        if words:
            cells = ["", "", "", escape(words)]
        else:
            base, head = (f"{peak / 1e6:.0f}" for peak in (result.base, result.head))
            ratio = f"{result.head / result.base:.2f}"
            cells = [base, head, ratio, "LARGER" if result.is_larger else "same"]
        table.add_row(escape(result.benchmark), *cells, style="red" if result.is_larger else "")
    return table
