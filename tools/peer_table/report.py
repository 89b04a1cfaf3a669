"""Measurements in words: as JSON and as tables in the terminal."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from itertools import groupby
from statistics import geometric_mean
from typing import Any

from rich.console import Console
from rich.table import Table

from fastgmm.benchmarking.report import three_digits
from fastgmm.system.terminal import plain_table

# Reports are read from JSON as well as made, so that everything below works on plain
# dictionaries: machine, cells (PeersResult), tasks (TaskResult), seeding (SeedingResult) and
# scaling (ScalingResult).
Record = dict[str, Any]


def as_record(result: Any) -> Record:
    """Return a dataclass as it looks after a journey through JSON.

    A problem is called a cell there, and has its dtype beside it.
    """
    record = json.loads(json.dumps(dataclasses.asdict(result)))
    if "problem" in record:
        cell = record.pop("problem")
        record = {"cell": cell, "dtype": cell.pop("dtype"), **record}
    return record


# --- words ----------------------------------------------------------------------------------
def nanoseconds(timing: Record, cell: Record) -> str:
    """Nanoseconds per point and component, or why there are none."""
    if timing["seconds"] is None:
        return timing["failure"]
    return three_digits(1e9 * timing["seconds"] / cell["n"] / cell["K"])


def times(ratio: float | None) -> str:
    """A ratio of times."""
    return "" if ratio is None else f"{ratio:.{0 if ratio >= 99.5 else 1}f}×"


def percent(share: float | None) -> str:
    """A share of 1."""
    return "" if share is None else f"{100 * share:.0f} %"


def group_of(result: Record) -> tuple[str, str, int]:
    """What the geometric means are taken over."""
    return result["cell"]["covariance_type"], result["dtype"], result["threads"]


def geometric_means(results: Iterable[Record]) -> dict[str, str]:
    """Geometric mean of each peer's ratios to fastgmm, and over how many cells."""
    ratios: dict[str, list[float]] = {}
    for result in results:
        for timing in result["timings"][1:]:
            if timing["ratio"] is not None:
                ratios.setdefault(timing["peer"], []).append(timing["ratio"])
    return {peer: f"{times(geometric_mean(r))} ({len(r)})" for peer, r in ratios.items()}


def peers_of(results: list[Record]) -> list[str]:
    """Names of the libraries, fastgmm first."""
    return [timing["peer"] for timing in results[0]["timings"]]


def faster_peers(results: list[Record]) -> list[str]:
    """Describe the cells where a peer is faster than fastgmm."""
    return [
        f"{timing['peer']} {times(timing['ratio'])} at {cell['covariance_type']} "
        f"({cell['n']:,}, {cell['d']}, {cell['K']}), {result['dtype']}, "
        f"{threads_in_words(result['threads'])}"
        for result in results
        for cell in [result["cell"]]
        for timing in result["timings"][1:]
        if timing["ratio"] is not None and timing["ratio"] < 1
    ]


def threads_in_words(threads: int) -> str:
    """A number of threads."""
    return f"{threads} thread{'s' * (threads > 1)}"


def beyond_peak(cell: Record) -> bool:
    """Whether fastgmm seems faster than the peak allows, with sums over pairs that count alone."""
    return (cell["efficiency"] or 0) * (1 + cell["counting_pairs"]) / 2 > 1


# --- the terminal ---------------------------------------------------------------------------
def show(report: Record, console: Console) -> None:
    """Print every table that the report has something for."""
    for group, members in groupby(report["cells"], group_of):
        console.print(cells_table(group, list(members)))
    if report["cells"]:
        console.print(means_table(report["cells"]))
        if any(beyond_peak(result) for result in report["cells"]):
            console.print("Above the peak: the machine was busy with something else; repeat this.")
        for line in faster_peers(report["cells"]):
            console.print(f"a peer is faster: {line}")
    if report["tasks"]:
        console.print(tasks_table(report["tasks"]))
    if report["seeding"]:
        console.print(seeding_in_words(report["seeding"]))
    if report.get("families"):
        console.print(families_table(report["families"]))
    if report.get("samples"):
        console.print(samples_table(report["samples"]))
    if report["scaling"]:
        console.print(scaling_table(report["scaling"]))


def cells_table(group: tuple[str, str, int], results: list[Record]) -> Table:
    """The cells of one covariance type, dtype and number of threads."""
    table = plain_table()
    covariance_type, dtype, threads = group
    table.title = f"{covariance_type}, {dtype}, {threads_in_words(threads)}"
    table.caption = "ns of one EM iteration per point and component, and ratio to fastgmm"
    for name in ("n", "d", "K", "pairs that count"):
        table.add_column(name, justify="right")
    ours, *others = peers_of(results)
    table.add_column(ours, justify="right", style="bold")
    table.add_column("of peak", justify="right")
    for name in others:
        table.add_column(name, justify="right")
        table.add_column("", justify="right", style="green")
    for result in results:
        cell, (own, *timings) = result["cell"], result["timings"]
        row = [f"{cell['n']:,}", str(cell["d"]), str(cell["K"]), percent(result["counting_pairs"])]
        row += [nanoseconds(own, cell), percent(result["efficiency"])]
        for timing in timings:
            row += [nanoseconds(timing, cell), times(timing["ratio"])]
        table.add_row(*row)
    return table


def means_table(results: list[Record]) -> Table:
    """Geometric means over the cells of each covariance type, dtype and number of threads."""
    table = plain_table()
    table.title = "geometric means of the ratios to fastgmm (number of cells)"
    names = peers_of(results)[1:]
    for name in ("covariance", "dtype", "threads", *names):
        table.add_column(name, justify="right")
    for group, members in groupby(results, group_of):
        means = geometric_means(members)
        table.add_row(*map(str, group), *(means.get(name, "") for name in names))
    return table


TASK_HEADER = ("", "points", "fastgmm", "scikit-learn", "ratio", "log-likelihoods", "loss")


def task_row(task: Record) -> list[str]:
    """One task in words, as in `TASK_HEADER`."""
    return [
        task["name"],
        " × ".join(f"{length:,}" for length in task["shape"]),
        f"{task['seconds']:.3g} s",
        f"{task['peer_seconds']:.3g} s",
        times(task["ratio"]),
        f"{task['log_likelihood']:.4f}, {task['peer_log_likelihood']:.4f}",
        f"{round(100 * task['loss'], 3) + 0.0:.3f} %",  # + 0.0: no minus before zero
    ]


def tasks_table(tasks: list[Record]) -> Table:
    """Whole default fits."""
    table = plain_table()
    table.title = "whole default fits, seeding included"
    for name in TASK_HEADER:
        table.add_column(name, justify="right" if name else "left")
    for task in tasks:
        table.add_row(*task_row(task))
    return table


def seeding_in_words(seeding: Record) -> str:
    """How long a large default fit takes, and its start."""
    n, d = seeding["shape"]
    return (
        f"A default fit of {n:,} × {d}, K = {seeding['components']}, takes fastgmm "
        f"{seeding['seconds']:.3g} s for {seeding['n_iter']} iterations; finding the start is "
        f"{percent(seeding['seeding_share'])} of it."
    )


def families_header(results: list[Record]) -> list[str]:
    """Names of columns, for `family_row`."""
    return ["family", *(timing["peer"] for timing in results[0]["timings"])]


def family_row(result: Record) -> list[str]:
    """One family in words: milliseconds of an iteration, and times fastgmm's."""
    own, *others = result["timings"]
    words = [
        timing["failure"] or f"{1e3 * timing['seconds']:.4g} ({times(timing['ratio'])})"
        for timing in others
    ]
    return [result["name"], f"{1e3 * own['seconds']:.3g}", *words]


def families_in_words(results: list[Record]) -> str:
    """What the table is of."""
    n, d = results[0]["shape"]
    return (
        f"One iteration of EM in mclust's families, {n:,} × {d}, K = {results[0]['components']}, "
        "from the same partition, in milliseconds; in brackets how many times fastgmm's"
    )


def families_table(results: list[Record]) -> Table:
    """mclust's families, beside those who have them."""
    table = plain_table()
    table.title = families_in_words(results)
    for name in families_header(results):
        table.add_column(name, justify="right")
    for result in results:
        table.add_row(*family_row(result))
    return table


SAMPLES_HEADER = ["fit", "time", "rows not seen", "fastgmm as likely in", "times as soon"]
SAMPLES_IN_WORDS = (
    "2,000,000 × 8 in single precision, K = 16, full covariances that overlap: the mean "
    "log-likelihood of rows that were not seen, and how soon fastgmm reaches it to 1e-4, by "
    "default fits of 1 to 256 iterations or by growing samples"
)


def sample_row(result: Record) -> list[str]:
    """One way to fit in words."""
    if result["failure"]:
        return [result["name"], result["failure"], "", "", ""]
    ours, seconds = result["ours"], result["seconds"]
    sooner = ["", ""] if ours is None else [f"{ours:.2f} s", times(seconds / ours)]
    return [result["name"], f"{seconds:.2f} s", f"{result['held_out']:.5f}", *sooner]


def samples_table(results: list[Record]) -> Table:
    """Ways to fit many rows."""
    table = plain_table()
    table.title = SAMPLES_IN_WORDS
    for name in SAMPLES_HEADER:
        table.add_column(name, justify="right")
    for result in results:
        table.add_row(*sample_row(result))
    return table


def scaling_table(results: list[Record]) -> Table:
    """What many cores gain, and what keeps them from more."""
    table = plain_table()
    cores = results[0]["cores"]
    table.title = "gain of an iteration by many cores, predicted from what it is made of"
    table.caption = (
        f"in ms: an iteration on one core; the host's serial part; on {cores[-1]} cores, calls of "
        "drivers without their blocks. Busy: the busiest of their threads over the average. GB/s: "
        "at which they read the points. Seen: measured on two threads, where there are two."
    )
    names = ("", "n", "d", "K", "1 core", "serial", "calls", "busy", "GB/s", "seen")
    for name in (*names, *map(str, cores)):
        table.add_column(name, justify="right", no_wrap=True)
    for result in results:
        table.add_row(*scaling_row(result))
    return table


def scaling_row(result: Record) -> list[str]:
    """One problem in words."""
    cell, itemsize = result["cell"], 4 if result["dtype"] == "float32" else 8
    seconds = result["seconds"] / result["speedups"][-1]
    return [
        f"{cell['covariance_type']}, {result['dtype']}",
        *(str(cell[name]) for name in ("n", "d", "K")),
        f"{1e3 * result['seconds']:.1f}",
        f"{1e3 * result['serial']:.2f}",
        f"{1e3 * result['overheads'][-1]:.2f}",
        f"{result['imbalances'][-1]:.2f}",
        f"{cell['n'] * cell['d'] * itemsize / seconds / 1e9:.0f}",
        "" if result["two_threads"] is None else f"{result['two_threads']:.2f}",
        *(f"{speedup:.1f}" for speedup in result["speedups"]),
    ]
