"""Charts of the measurements in `benchmarks/`, which `tools/peers --publish` puts there."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from statistics import geometric_mean
from typing import Any

import matplotlib
from matplotlib.figure import Figure

# Told apart by all eyes (Okabe and Ito), on white and on paper.
COLOURS = {"fastgmm": "#0072B2", "scikit-learn": "#E69F00", "oneDAL": "#009E73"}
STYLE = {"font.size": 11, "svg.hashsalt": "fastgmm", "axes.spines.top": False,
         "axes.spines.right": False, "figure.constrained_layout.use": True}  # fmt: skip
DTYPE = "float64"  # the tables have float32, too
WIDTH = 5.2  # inches: legible on a phone, too

Record = dict[str, Any]


def draw_charts(measured: Path, folder: Path) -> None:
    """Draw them all from the files of one folder into another."""
    iterations, fits = (
        json.loads((measured / f"{name}.json").read_text(encoding="utf-8"))
        for name in ("iterations", "whole_fits")
    )
    measured_cells = [cell for cell in iterations["cells"] if cell["dtype"] == DTYPE]
    folder.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(STYLE):
        figures = {
            "overview": overview(measured_cells),
            "whole_fits": whole_fits(fits["tasks"]),
        }
        for covariance_type, cells in by_type(measured_cells).items():
            figures[covariance_type] = grid(covariance_type, cells)
        for name, figure in figures.items():
            figure.savefig(folder / f"{name}.svg", metadata={"Date": None})


def by_type(cells: list[Record]) -> dict[str, list[Record]]:
    """The cells of each covariance type."""
    groups = defaultdict(list)
    for cell in cells:
        groups[cell["cell"]["covariance_type"]].append(cell)
    return groups


def peers_in(cells: list[Record]) -> list[str]:
    """Libraries that were timed in any of the cells, fastgmm first."""
    timed = [t["peer"] for cell in cells for t in cell["timings"] if t["seconds"] is not None]
    return list(dict.fromkeys(timed))


def overview(cells: list[Record]) -> Figure:
    """How many times as long the others take, by covariance type."""
    figure = Figure(figsize=(WIDTH, 2.7))
    ax = figure.add_subplot()
    ticks, y = [], 0.0
    for covariance_type, group in by_type(cells).items():
        first = y
        for peer in peers_in(group)[1:]:
            ratios = [t["ratio"] for c in group for t in c["timings"] if t["peer"] == peer]
            mean = geometric_mean([ratio for ratio in ratios if ratio is not None])
            ax.barh(y, mean, 0.85, color=COLOURS[peer])
            ax.text(mean, y, f" {mean:.1f}×", va="center")
            y += 1
        ticks.append(((first + y - 1) / 2, covariance_type))
        y += 0.6
    ax.axvline(1, color=COLOURS["fastgmm"], linewidth=2.5)
    ax.set(xlabel="time of an iteration, as a multiple of fastgmm's", xlim=(0, None))
    ax.set_yticks(*zip(*ticks, strict=True))
    ax.tick_params(axis="y", length=0)
    ax.invert_yaxis()
    ax.margins(x=0.12)
    legend(ax, list(COLOURS), loc="lower right")
    return figure


def whole_fits(tasks: list[Record]) -> Figure:
    """Seconds of default fits, seeding included."""
    figure = Figure(figsize=(WIDTH, 4.6))
    ax = figure.add_subplot()
    for i, task in enumerate(tasks):
        for shift, name in [(0.0, "fastgmm"), (0.27, "scikit-learn")]:
            seconds = task["seconds" if name == "fastgmm" else "peer_seconds"]
            ax.barh(i + shift, seconds, 0.26, color=COLOURS[name])
            ax.text(seconds, i + shift, f" {seconds:.2g} s", va="center", fontsize=10)
        shape = " × ".join(f"{length:,}" for length in task["shape"])
        ax.text(1.1e-3, i - 0.17, f"{task['name']} ({shape})", va="bottom", fontsize=10)
    ax.set(xscale="log", xlim=(1e-3, 1e3), xlabel="seconds of a whole fit", yticks=[])
    ax.set_ylim(len(tasks) - 0.5, -0.6)
    below = {"loc": "upper center", "bbox_to_anchor": (0.5, -0.14), "ncols": 2}
    legend(ax, ["fastgmm", "scikit-learn"], **below)
    return figure


def grid(covariance_type: str, cells: list[Record]) -> Figure:
    """Nanoseconds per point and component, over the grid."""
    figure = Figure(figsize=(WIDTH, 3.4))
    ax = figure.add_subplot()
    for peer in peers_in(cells):
        points = [
            (i, 1e9 * t["seconds"] / cell["cell"]["n"] / cell["cell"]["K"])
            for i, cell in enumerate(cells)
            for t in cell["timings"]
            if t["peer"] == peer and t["seconds"] is not None
        ]
        ax.plot(*zip(*points, strict=True), marker="o", color=COLOURS[peer], label=peer)
    labels = [f"{cell['cell']['d']}\n{cell['cell']['K']}" for cell in cells]
    ax.set_xticks(range(len(cells)), labels)
    ax.set(yscale="log", ylabel="ns per point and component", title=covariance_type)
    ax.set_xlabel("features d, and components K below")
    ax.grid(axis="y", alpha=0.3)
    ax.legend(frameon=False)
    return figure


def legend(ax: Any, names: list[str], **options: Any) -> None:
    """Name the colours of bars."""
    handles = [matplotlib.patches.Patch(color=COLOURS[name], label=name) for name in names]
    ax.legend(handles=handles, frameon=False, **options)
