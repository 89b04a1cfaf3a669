"""The command line of tools/peers."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from datetime import date
from itertools import product
from pathlib import Path

from rich.console import Console

from fastgmm._records import COVARIANCE_TYPES
from fastgmm.benchmarking.environment import describe_environment, load_average
from fastgmm.benchmarking.problems import DTYPES
from fastgmm.benchmarking.report import write_record
from fastgmm.plotting.canvas import require_matplotlib
from fastgmm.system.processors import usable_cores
from peer_table import families, report, samples
from peer_table.grid import Shape, grid
from peer_table.libraries import PEERS, Peer
from peer_table.measurement import PeersResult, measure, with_efficiency
from peer_table.peak import multiply_add_peak
from peer_table.publishing import publish
from peer_table.scaling import SECONDS, SHAPES, measure_scaling
from peer_table.sweeps import VALUES, draw_sweep, sweep
from peer_table.whole_fits import QUICK_TASKS, TASKS, measure_seeding, measure_task

QUICK_SECONDS = 0.2  # of each problem that is taken apart
ROOT = Path(__file__).parents[2]


def main(arguments: list[str] | None = None) -> int:
    """Measure and show, or write the documentation's tables from what was measured."""
    options = parse(arguments)
    if options.publish:
        reports = [json.loads(path.read_text(encoding="utf-8")) for path in options.publish]
        publish(options.root, reports)
        return 0
    peers = [PEERS[name]() for name in options.peers]
    measured = {
        "machine": machine(peers),
        "sweep": options.sweep,
        **{"cells": [], "tasks": [], "seeding": None, "scaling": [], "families": []},
        "samples": [],
    }
    console = Console()
    console.width = max(console.width, 110)  # where the output is no terminal it would be 80
    with Console(stderr=True).status("") as status:
        if options.whole_fits:
            for task in QUICK_TASKS if options.quick else TASKS:
                status.update(task.name)
                result = measure_task(task, options.rounds, options.quick)
                measured["tasks"].append(report.as_record(result))
            status.update("a large default fit")
            seeding = measure_seeding(options.rounds, options.quick)
            measured["seeding"] = report.as_record(seeding)
        elif options.families:
            for name in families.FAMILIES[:: 13 if options.quick else 1]:
                status.update(name)
                result = families.measure_family(name, options.rounds, options.quick)
                measured["families"].append(report.as_record(result))
            measured["machine"]["versions"] |= families.versions()
        elif options.samples:
            status.update("ways to fit many rows")
            ways = samples.measure_ways(options.quick)
            measured["samples"] = [report.as_record(way) for way in ways]
            measured["machine"]["versions"] |= samples.versions()
        elif options.scaling:
            measure_cores(options, measured, status.update)
        else:
            measure_problems(options, peers, measured, status.update)
    measured["machine"]["load average after"] = load_average()
    report.show(measured, console)
    for name, value in measured["machine"].items():
        console.print(f"{name}: {value}", style="dim", highlight=False)
    if options.json:
        write_record(measured, options.json)
    if options.sweep:
        console.print(f"The curves are in {options.picture}.", highlight=False)
    return 0


def measure_problems(
    options: argparse.Namespace,
    peers: list[Peer],
    measured: report.Record,
    on_stage: Callable[[str], object],
) -> None:
    """Add the problems that the options ask for, and the peaks that they are compared with."""
    settings = list(product(options.dtypes, options.threads))
    has_peak = "full" in options.covariance_types
    axis = options.sweep
    peaks = dict.fromkeys(settings, 0.0)
    results: list[PeersResult] = []

    def measure_peaks() -> None:
        on_stage("the peak of multiply-adds")
        for setting in settings:
            peaks[setting] = max(peaks[setting], multiply_add_peak(*setting))
        measured["machine"]["peak, GFLOP/s"] = {
            f"{dtype}, {report.threads_in_words(threads)}": round(peak / 1e9, 1)
            for (dtype, threads), peak in peaks.items()
        }

    def keep() -> None:
        measured["cells"] = [
            report.as_record(
                with_efficiency(r, peaks[r.problem.dtype, r.threads]) if has_peak else r
            )
            for r in results
        ]
        if options.json:  # what is measured stays, whatever interrupts the rest
            write_record(measured, options.json)

    if has_peak:
        measure_peaks()
    for covariance_type, (dtype, threads) in product(options.covariance_types, settings):
        problems = (
            sweep(axis, covariance_type, dtype, quick=options.quick)
            if axis
            else grid(covariance_type, dtype, options.cells, options.quick)
        )
        for problem in problems:
            on_stage(f"{problem}, {report.threads_in_words(threads)}")
            results.append(measure(problem, threads, peers, options.rounds))
            keep()
    if has_peak:  # again, because others may have been busy the first time
        measure_peaks()
        keep()
    if axis:
        draw_sweep(measured["cells"], axis, options.picture)


def measure_cores(
    options: argparse.Namespace, measured: report.Record, on_stage: Callable[[str], object]
) -> None:
    """Predict what many cores gain on the problems that the options ask for."""
    shapes = options.cells or SHAPES
    for covariance_type, dtype in product(options.covariance_types, options.dtypes):
        for problem in grid(covariance_type, dtype, shapes, options.quick):
            on_stage(f"{problem}, taken apart")
            result = measure_scaling(problem, QUICK_SECONDS if options.quick else SECONDS)
            measured["scaling"].append(report.as_record(result))


def machine(peers: list[Peer]) -> dict:
    """What the measurements depend on."""
    known = describe_environment()
    versions = {peer.name: peer.version() for peer in peers}
    return {
        "date": date.today().isoformat(),
        "processor": known["processor"],
        "compiled for": known["compiled for"],
        "cores": usable_cores(),
        "system": known["system"],
        "threading layer": known["threading layer"],
        "versions": {
            **versions,
            **{name: known[name] for name in ("numba", "numpy", "python")},
        },
        "load average before": load_average(),
    }


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the options."""
    installed = [name for name, peer in PEERS.items() if peer.is_installed()]
    cores = usable_cores()
    parser = argparse.ArgumentParser(
        prog="tools/peers",
        description="Measure one EM iteration of fastgmm beside the other libraries that are "
        "installed (oneDAL: pip install scikit-learn-intelex), or whole fits beside scikit-learn; "
        "or along one size of the problem, or predict what more cores than there are would gain.",
    )
    add = parser.add_argument
    add("--covariance-types", nargs="+", choices=COVARIANCE_TYPES, metavar="TYPE",
        help="default: all; with --scaling: full")  # fmt: skip
    add("--dtypes", nargs="+", choices=DTYPES, metavar="DTYPE",
        help="default: both; with --scaling: float64")  # fmt: skip
    add("--threads", nargs="+", type=int, choices=range(1, cores + 1), metavar="THREADS",
        help="default: 1 and as many as there are cores; with --sweep: all cores")  # fmt: skip
    add("--cells", nargs="+", type=shape, metavar="NxDxK", help="such as 100000x8x8")
    add("--peers", nargs="+", choices=installed, default=installed)
    add("--rounds", type=int, default=5, help="of all libraries in turn (default: %(default)s)")
    add("--quick", action="store_true", help="a fraction of the points, to try the tool itself")
    add("--whole-fits", action="store_true", help="whole default fits in place of iterations")
    add(
        "--families",
        action="store_true",
        help="mclust's fourteen families beside R's mclust and pymclustR, if they are installed",
    )
    add(
        "--samples",
        action="store_true",
        help="two million rows: scikit-learn on some, Spark, if it is installed, and fastgmm",
    )
    add("--scaling", action="store_true",
        help="take an iteration apart, and predict it for 2 to 64 cores")  # fmt: skip
    add("--sweep", choices=list(VALUES),
        help="one size from small to large in place of the grid, drawn as curves")  # fmt: skip
    add("--picture", type=Path, metavar="FILE", default=Path("sweep.svg"),
        help="of a sweep (default: %(default)s; the ending tells the format)")  # fmt: skip
    add("--json", type=Path, metavar="FILE", help="write everything that was measured")
    add("--publish", nargs="+", type=Path, metavar="FILE",
        help="measure nothing; put such files into the documentation, and its tables")  # fmt: skip
    add("--root", type=Path, default=ROOT, metavar="FOLDER", help="default: this checkout")
    options = parser.parse_args(arguments)
    first = slice(1 if options.scaling else None)
    options.covariance_types = options.covariance_types or list(COVARIANCE_TYPES)[first]
    options.dtypes = options.dtypes or list(DTYPES)[first]
    options.threads = options.threads or ([cores] if options.sweep else sorted({1, cores}))
    options.peers = ["fastgmm", *(name for name in options.peers if name != "fastgmm")]
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    if options.sweep:
        check_sweep(options, parser.error)
    return options


def check_sweep(options: argparse.Namespace, error: Callable[[str], object]) -> None:
    """Refuse what would only show when everything is measured, or would be left out."""
    if options.cells or options.whole_fits or options.scaling:
        error("--sweep has problems of its own: leave --cells, --whole-fits and --scaling out")
    if len(options.threads) > 1:
        error("--sweep draws one number of threads at a time: give --threads one number")
    require_matplotlib()
    from matplotlib.backend_bases import FigureCanvasBase

    formats = FigureCanvasBase.get_supported_filetypes()
    if options.picture.suffix[1:] not in formats:
        error(f"--picture must end in one of {', '.join('.' + name for name in sorted(formats))}")


def shape(words: str) -> Shape:
    """Read NxDxK."""
    n, d, K = (int(word) for word in words.split("x"))
    return n, d, K
