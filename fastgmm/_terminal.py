"""What the command line shows: the progress of a fit, the summary of a model, tables."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Iterable
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
from rich import box, progress
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from fastgmm._progress import Progress
from fastgmm._records import EMResult, FloatArray, Iteration, Status

if TYPE_CHECKING:
    from fastgmm.mixture import GaussianMixture

__all__ = [
    "LiveProgress",
    "Terminal",
    "advice_on_degenerate",
    "components_table",
    "key_values",
    "plain_table",
    "progress_bar",
]

MOST_COMPONENTS = 40  # shown of a mixture
MOST_DEGENERATE = 3  # of them, degenerate
MARK = "!"  # of a degenerate component
UNLIMITED = 100_000  # characters of a line in a pipe or a file
SHORTEST_HEADER = 12  # characters, before the name of a feature is broken


class Terminal(Console):
    """A console that leaves a closed pipe to its caller, whatever the version of rich."""

    def on_broken_pipe(self) -> None:
        """Raise, where rich would exit."""
        raise BrokenPipeError

    def show(self, *renderables: RenderableType) -> None:
        """Print; anywhere but on a terminal, nothing is wrapped or padded with blanks."""
        if self.is_terminal:
            print_each(self, renderables)
            return
        wide = Console(file=io.StringIO(), width=UNLIMITED, color_system=None)
        print_each(wide, renderables)
        lines = wide.file.getvalue().splitlines()  # type: ignore[attr-defined]
        self.file.write("".join(f"{line.rstrip()}\n" for line in lines))
        self.file.flush()


def print_each(console: Console, renderables: Iterable[RenderableType]) -> None:
    """Print, and leave text that must not be wrapped in one piece."""
    for renderable in renderables:
        text = Text(renderable) if isinstance(renderable, str) else renderable
        whole = isinstance(text, Text) and text.no_wrap
        console.print(text, crop=False, no_wrap=whole, overflow="ignore" if whole else None)


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
        self.interrupted = False  # whether Ctrl-C ended the fit, or the run that goes on

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
        self.interrupted = True  # until it ends: a start that is cut short is not told of
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
        self.interrupted = result.status is Status.INTERRUPTED
        self._bar.update(self._task, completed=self._bar.tasks[0].total)
        return False

    def run_fails(self, error: Exception) -> None:
        """A start that fails has not been interrupted."""
        self.interrupted = False


def components_table(model: GaussianMixture, width: int) -> RenderableType:
    """Weight, means and standard deviations of each component, as far as `width` allows.

    The components keep their numbers, which `predict` gives; of very many, the heaviest are
    shown, and of degenerate ones, which are marked, a few.
    """
    d = model.means_.shape[1]
    degenerate = set(degenerate_components(model))
    order = np.argsort(-model.weights_, kind="stable").tolist()
    healthy = [k for k in order if k not in degenerate]
    collapsed = [k for k in order if k in degenerate]
    shown = sorted(healthy[:MOST_COMPONENTS] + collapsed[:MOST_DEGENERATE])
    means, deviations = model.means_[shown], standard_deviations(model)[shown]
    names = getattr(model, "feature_names_in_", [f"feature {j + 1}" for j in range(d)])

    table = plain_table()
    table.add_column("component", justify="right", style="dim", no_wrap=True)
    table.add_column("weight", justify="right", style="bold", no_wrap=True)
    columns = [
        [f"{MARK if k in degenerate else ''} {k}" for k in shown],
        [f"{weight:.4f}" for weight in model.weights_[shown]],
    ]
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
    hidden = [
        (d + 2 - len(columns), "more feature"),
        (len(healthy) - MOST_COMPONENTS, "lighter component"),
        (len(collapsed) - MOST_DEGENERATE, "more degenerate component"),
    ]
    notes = [f"{count:,} {what}{'s' * (count > 1)}" for count, what in hidden if count > 0]
    if notes:
        return Group(table, Text("and " + " and ".join(notes), style="dim"))
    return table


def degenerate_components(model: GaussianMixture) -> list[int]:
    """Numbers of the components that the fit found to have collapsed or lost their points."""
    return np.asarray(getattr(model, "degenerate_components_", ()), dtype=int).tolist()


def advice_on_degenerate(model: GaussianMixture) -> str:
    """Say what degenerate components are and what to do about them; nothing if there are none."""
    n_degenerate = len(degenerate_components(model))
    if not n_degenerate:
        return ""
    return (
        f"{n_degenerate} of {len(model.means_)} components "
        f"{'is' if n_degenerate == 1 else 'are'} degenerate, marked {MARK}: collapsed onto too few "
        "points, with nothing but --reg-covar for variances, or empty. Use fewer components, or "
        "--on-degenerate reset, drop or floor."
    )


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


def key_values(pairs: dict[str, str], gap: int = 3) -> Text:
    """Names and their values in two columns; long values, paths above all, stay in one piece."""
    width = max(map(len, pairs), default=0)
    lines = [Text.assemble((name.ljust(width), "dim"), " " * gap, pairs[name]) for name in pairs]
    return Text("\n", no_wrap=True).join(lines)
