"""Measurements in the documentation: two files of them, the tables of a page, one in the README."""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

from fastgmm.benchmarking.report import write_record
from fastgmm.system.files import atomic_write
from peer_table.report import (
    SAMPLES_HEADER,
    SAMPLES_IN_WORDS,
    TASK_HEADER,
    Record,
    families_header,
    families_in_words,
    family_row,
    faster_peers,
    geometric_means,
    group_of,
    nanoseconds,
    peers_of,
    percent,
    sample_row,
    seeding_in_words,
    task_row,
    threads_in_words,
    times,
)

BEGIN, END = "<!-- peers table -->", "<!-- /peers table -->"
# The files of each kind of measurement, which the charts of the documentation are drawn from.
FOLDER, FILES = (
    "docs/benchmarks",
    {
        "cells": "iterations.json",
        "tasks": "whole_fits.json",
        "families": "families.json",
        "samples": "samples.json",
    },
)
PAGE, README = "docs/benchmarks.md", "README.md"


def publish(root: Path, reports: list[Record]) -> None:
    """Keep the reports under `root`, and write what they and those kept before say into pages."""
    if any(report.get("sweep") for report in reports):
        raise ValueError("a sweep is not the grid that the pages show: leave its file out")
    for report in reports:
        for kind, name in FILES.items():
            if report.get(kind):
                write_record(report, root / FOLDER / name)
    kept = [root / FOLDER / name for name in FILES.values()]
    known = [json.loads(path.read_text(encoding="utf-8")) for path in kept if path.exists()]
    replace_between_marks(root / PAGE, "\n\n".join(in_full(report) for report in known))
    replace_between_marks(root / README, in_brief(known))


def replace_between_marks(page: Path, body: str) -> None:
    """Write between the two marks of a page."""
    text = page.read_text(encoding="utf-8")
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page.name} has no lines {BEGIN} and {END} to write between")
    with atomic_write(page) as stream:
        stream.write(f"{head}{begin}\n{body}\n{end}{tail}".encode())


# --- in brief -------------------------------------------------------------------------------
def in_brief(reports: list[Record]) -> str:
    """One small table: ratios by covariance type, and of whole fits."""
    rows: list[list[str]] = []
    peers: list[str] = []
    for report in reports:
        for (covariance_type, dtype, threads), members in groupby(report["cells"], group_of):
            results = list(members)
            peers = peers or peers_of(results)[1:]
            means = geometric_means(results)
            ratios = [means.get(peer, "").partition(" ")[0] for peer in peers]
            setting = f"{dtype}, {threads_in_words(threads)}"
            rows.append([f"an iteration, `'{covariance_type}'`, {setting}", *ratios])
    for report in reports:
        for task in report["tasks"]:
            others = [""] * (len(peers) - 1)
            shape = " × ".join(f"{length:,}" for length in task["shape"])
            rows.append([f"a default fit: {task['name']}, {shape}", times(task["ratio"]), *others])
    machine = reports[0]["machine"]
    return "\n\n".join([
        markdown_table(["times as long as fastgmm", *(peers or ["scikit-learn"])], rows),
        f"Geometric means over the grid, where all arrive at the same parameters; on "
        f"{machine['processor']} ({machine['compiled for']}), {machine['cores']} cores, "
        f"{machine['date']}. `tools/peers` measures this, and `tools/peers --publish` writes it.",
    ])  # fmt: skip


# --- in full --------------------------------------------------------------------------------
def in_full(report: Record) -> str:
    """Everything that the report has."""
    parts = []
    if report["cells"]:
        parts += cells_in_markdown(report["cells"])
    if report["tasks"]:
        parts += [
            "Whole default fits, seeding included; log-likelihoods are per point, fastgmm's "
            "first, and the loss is what it falls short of scikit-learn's:",
            markdown_table(TASK_HEADER, [task_row(task) for task in report["tasks"]]),
        ]
    if report.get("samples"):
        rows = [sample_row(result) for result in report["samples"]]
        parts += [f"{SAMPLES_IN_WORDS}:", markdown_table(SAMPLES_HEADER, rows)]
    if report.get("families"):
        results = report["families"]
        rows = [family_row(result) for result in results]
        parts += [f"{families_in_words(results)}:", markdown_table(families_header(results), rows)]
    if report["seeding"]:
        parts += [seeding_in_words(report["seeding"])]
    return "\n\n".join([*parts, machine_in_words(report)])


def cells_in_markdown(results: list[Record]) -> list[str]:
    """Every cell in the wider precision on the most threads, and the geometric means of all."""
    dtype = max(result["dtype"] for result in results)
    threads = max(result["threads"] for result in results)
    shown = [r for r in results if (r["dtype"], r["threads"]) == (dtype, threads)]
    names = peers_of(results)
    rows = []
    for result in shown:
        cell, (own, *timings) = result["cell"], result["timings"]
        words = [f"{nanoseconds(t, cell)} {bracketed(times(t['ratio']))}" for t in timings]
        key = [cell["covariance_type"], f"{cell['n']:,}", str(cell["d"]), str(cell["K"])]
        shares = [percent(result["efficiency"]), percent(result["counting_pairs"])]
        rows.append([*key, nanoseconds(own, cell), *words, *shares])
    header = ["covariance", "n", "d", "K", *names, "of peak", "pairs that count"]
    means = [
        [*map(str, group), *(geometric_means(members).get(name, "") for name in names[1:])]
        for group, members in ((g, list(m)) for g, m in groupby(results, group_of))
    ]
    faster = faster_peers(results)
    return [
        "One iteration of EM from the same start, in nanoseconds per point and component, in "
        f"{dtype} on {threads_in_words(threads)}; in brackets how many times fastgmm's. "
        "Libraries are timed where all arrive at the same parameters. The peak is that of "
        "multiply-adds, against 2 n K d (d + 1) operations; sums leave out the pairs of point "
        "and component with responsibilities below 1e-16, so where few pairs count the share "
        "of the peak is flattered.",
        markdown_table(header, rows),
        "Geometric means of the ratios to fastgmm, and over how many cells:",
        markdown_table(["covariance", "dtype", "threads", *names[1:]], means),
        f"A peer is faster in {len(faster)} of the {len(results)} cells measured"
        + (": " + "; ".join(faster) if faster else "")
        + ".",
    ]


def bracketed(words: str) -> str:
    """The words in brackets, if there are any."""
    return f"({words})" if words else ""


def markdown_table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table in Markdown."""
    lines = [list(header), ["---"] * len(list(header)), *rows]
    return "\n".join(f"| {' | '.join(word.strip() for word in line)} |" for line in lines)


def machine_in_words(report: Record) -> str:
    """Where, when and with what it was measured."""
    machine = report["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    option = "--whole-fits " if report["tasks"] else ""
    return (
        f"Measured on {machine['date']} by `tools/peers {option}--json FILE` on "
        f"{machine['processor']} ({machine['compiled for']}), {machine['cores']} cores, with "
        f"{versions}. `tools/peers --publish FILE` writes this."
    )
