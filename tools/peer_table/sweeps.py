"""Problems that differ in one size alone, and the curves that their times make."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastgmm._records import CovarianceType
from fastgmm.benchmarking.problems import Problem
from peer_table.report import Record, peers_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Beyond and between what the kernels are cut for.
VALUES: dict[str, tuple[int, ...]] = {
    "d": (1, 2, 3, 4, 6, 8, 10, 12, 14, 16, 17, 18, 20, 24, 28, 32, 36, 40, 41, 44, 48, 52, 60,
          64, 72, 80, 96, 112, 128),
    "K": (1, 2, 3, 4, 8, 16, 32, 64, 128, 256, 512, 1024),
    "n": (100, 300, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000),
}  # fmt: skip
QUICK_VALUES = {"d": (1, 3), "K": (1, 2), "n": (100, 300)}
NAMES = {"d": "features", "K": "components", "n": "points"}
# The sizes that stay as they are, and multiply-adds of an iteration by which points are counted.
FEATURES, COMPONENTS, WORK = 16, 16, 4e9
FEWEST_POINTS, MOST_POINTS = 5_000, 200_000

# As in the charts of the documentation.
COLOURS = {"fastgmm": "#0072B2", "scikit-learn": "#E69F00", "oneDAL": "#009E73"}
LINES = {"float64": "-", "float32": "--"}


def sweep(axis: str, covariance_type: CovarianceType, dtype: str, *, quick: bool) -> list[Problem]:
    """Problems along one axis, ``'d'``, ``'K'`` or ``'n'``; few small ones if quick."""
    problems = []
    for value in (QUICK_VALUES if quick else VALUES)[axis]:
        d = value if axis == "d" else FEATURES
        K = value if axis == "K" else COMPONENTS
        per_point = K * d * (d + 1 if covariance_type == "full" else 16)
        n = max(FEWEST_POINTS, 2 * K * d, min(MOST_POINTS, round(WORK / per_point)))
        n = value if axis == "n" else n // 20 if quick else n
        problems.append(Problem(covariance_type, dtype, n, d, K))
    return problems


def draw_sweep(cells: list[Record], axis: str, path: Path) -> None:
    """Draw the times by covariance type, and fastgmm's share of the peak where it is known."""
    from matplotlib.figure import Figure

    groups = [(kind, list(group)) for kind, group in groupby(cells, _type_of)]
    has_share = any(cell["efficiency"] is not None for cell in cells)
    n_panels = len(groups) + has_share
    figure = Figure(figsize=(4.6 * n_panels, 4.0), layout="constrained")
    for i, (covariance_type, group) in enumerate(groups):
        ax = figure.add_subplot(1, n_panels, i + 1)
        _draw_times(ax, group, axis)
        ax.set(title=covariance_type, yscale="log")
        if i == 0:
            ax.set_ylabel("ns of an iteration per point and component")
            ax.legend(frameon=False)
    if has_share:
        ax = figure.add_subplot(1, n_panels, n_panels)
        for dtype, group in groupby(cells, lambda cell: cell["dtype"]):
            shares = [(_size(cell, axis), cell["efficiency"]) for cell in group
                      if cell["efficiency"] is not None]  # fmt: skip
            ax.plot(*zip(*shares, strict=True), LINES[dtype], marker=".", color=COLOURS["fastgmm"],
                    label=dtype)  # fmt: skip
        ax.set(title="full, share of the multiply-add peak", ylim=(0, 1))
        ax.legend(frameon=False)
    for ax in figure.axes:
        ax.set_xlabel(NAMES[axis])
        ax.set_xscale("log", base=10 if axis == "n" else 2)
        if axis != "n":
            ax.xaxis.set_major_formatter("{x:.0f}")
        ax.grid(alpha=0.3)
        ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path)


def _draw_times(ax: Axes, cells: list[Record], axis: str) -> None:
    for dtype, group in groupby(cells, lambda cell: cell["dtype"]):
        same = list(group)
        for peer in peers_of(same):
            points: list[Any] = [
                (_size(cell, axis), 1e9 * timing["seconds"] / cell["cell"]["n"] / cell["cell"]["K"])
                for cell in same
                for timing in cell["timings"]
                if timing["peer"] == peer and timing["seconds"] is not None
            ]
            if points:
                ax.plot(*zip(*points, strict=True), LINES[dtype], marker=".", color=COLOURS[peer],
                        label=f"{peer}, {dtype}")  # fmt: skip


def _type_of(cell: Record) -> str:
    return cell["cell"]["covariance_type"]


def _size(cell: Record, axis: str) -> int:
    return cell["cell"][axis]
