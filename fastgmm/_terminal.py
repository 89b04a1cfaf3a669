"""What the command line shows: the progress of a fit, the summary of a model, tables."""

from __future__ import annotations

import math
import textwrap
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from rich import box, progress
from rich.console import Console
from rich.table import Table
from rich.text import Text

from fastgmm._progress import Progress
from fastgmm._records import EMResult, FloatArray, Iteration

if TYPE_CHECKING:
    from fastgmm.mixture import GaussianMixture

__all__ = [
    "LiveProgress",
    "Terminal",
    "components_table",
    "key_values",
    "plain_table",
    "progress_bar",
]

MOST_COMPONENTS = 40  # shown of a mixture
SHORTEST_HEADER = 12  # characters, before the name of a feature is broken


class Terminal(Console):
    """A console that leaves a closed pipe to its caller, whatever the version of rich."""

    def on_broken_pipe(self) -> None:
        """Raise, where rich would exit."""
        raise BrokenPipeError


def progress_bar() -> progress.Progress:
    """A bar on stderr that goes away; its tasks have a field `state`, said in words."""
    return progress.Progress(
        progress.SpinnerColumn(),
        progress.TextColumn("{task.description}"),
        progress.BarColumn(bar_width=24),
        progress.TextColumn("{task.fields[state]}"),
        progress.TimeElapsedColumn(),
        console=Terminal(stderr=True),
        transient=True,
    )


class LiveProgress(Progress):
    """Shows the iterations of a fit on stderr while the block lasts, and then goes away.

    Parameters
    ----------
    n_init : int
        Number of starts.
    max_iter : int
        Most iterations from each.
    """

    def __init__(self, n_init: int, max_iter: int) -> None:
        super().__init__(verbose=0, interval=1)
        self._n_init = n_init
        self._bar = progress_bar()
        self._task = self._bar.add_task("starting", total=max_iter, state="")

    def __enter__(self) -> LiveProgress:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def run_begins(self, index: int) -> None:
        """Begin a new bar."""
        name = f"start {index + 1} of {self._n_init}" if self._n_init > 1 else "fitting"
        state = "finding a start" if index else "compiling or loading the kernels"
        self._bar.reset(self._task, description=name, state=state)

    def iteration_ends(self, iteration: Iteration) -> bool:
        """Move on by one iteration."""
        state = f"iteration {iteration.n_iter}, lower bound {iteration.lower_bound:.6f}"
        if np.isfinite(iteration.change):
            state += f" ({iteration.change:+.1e})"
        self._bar.update(self._task, completed=iteration.n_iter, state=state)
        return False

    def run_ends(self, result: EMResult) -> bool:
        """Fill the bar: a run that has converged is complete."""
        self._bar.update(self._task, completed=self._bar.tasks[0].total)
        return False


def components_table(model: GaussianMixture, width: int) -> Table:
    """Weight, means and standard deviations of each component, as far as `width` allows.

    The components keep their numbers, which `predict` gives; of very many, the heaviest are
    shown.
    """
    K, d = model.means_.shape
    shown = np.sort(np.argsort(-model.weights_, kind="stable")[:MOST_COMPONENTS])
    means, deviations = model.means_[shown], standard_deviations(model)[shown]
    names = getattr(model, "feature_names_in_", [f"feature {j + 1}" for j in range(d)])

    table = plain_table()
    table.add_column("component", justify="right", style="dim", no_wrap=True)
    table.add_column("weight", justify="right", style="bold", no_wrap=True)
    columns = [[str(k) for k in shown], [f"{weight:.4f}" for weight in model.weights_[shown]]]
    room = width - 20  # for the two columns, their gaps and the edges
    for j in range(d):
        cells = [with_deviation(*pair) for pair in zip(means[:, j], deviations[:, j], strict=True)]
        widest = max(map(len, cells))
        header = wrapped(str(names[j]), max(widest, SHORTEST_HEADER))
        room -= 3 + max(widest, *map(len, header.split("\n")))
        if room < 0 and j > 0:
            break
        table.add_column(Text(header), justify="right", no_wrap=True)
        columns.append(cells)
    for row in zip(*columns, strict=True):
        table.add_row(*row)
    hidden = [(d + 2 - len(columns), "more feature"), (K - len(shown), "lighter component")]
    notes = [f"{count:,} {what}{'s' * (count > 1)}" for count, what in hidden if count]
    if notes:
        table.caption = "and " + " and ".join(notes)
        table.caption_justify = "left"
    return table


def with_deviation(mean: float, deviation: float) -> str:
    """The mean to the digit that the standard deviation's second digit has."""
    if max(abs(mean), deviation) >= 1e6 or deviation < 1e-5:
        return f"{mean:.4g} ± {deviation:.1e}"
    decimals = max(0, 1 - math.floor(math.log10(deviation)))
    return f"{mean:.{decimals}f} ± {deviation:.{decimals}f}"


def wrapped(name: str, width: int) -> str:
    """The name on at most two lines."""
    return "\n".join(textwrap.wrap(name, width, max_lines=2, placeholder="…"))


def standard_deviations(model: GaussianMixture) -> FloatArray:
    """Square roots of the variances, (K, d) for every covariance type."""
    K, d = model.means_.shape
    match model.covariance_type:
        case "full":
            variances = np.diagonal(model.covariances_, axis1=1, axis2=2)
        case "tied":
            variances = np.broadcast_to(np.diagonal(model.covariances_), (K, d))
        case "diag":
            variances = model.covariances_
        case "spherical":
            variances = np.broadcast_to(model.covariances_[:, None], (K, d))
    return np.sqrt(variances)


def plain_table() -> Table:
    """An empty table with a line under its header and no other."""
    return Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)


def key_values(pairs: dict[str, str]) -> Table:
    """Names and their values in two columns."""
    table = Table.grid(padding=(0, 3))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs.items():
        table.add_row(name, Text(value))
    return table
