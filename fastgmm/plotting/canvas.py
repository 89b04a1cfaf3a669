"""What pictures share: axes that notebooks show, points, ellipses, legends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, SupportsInt

import numpy as np

from fastgmm._records import FloatArray
from fastgmm.system.colours import FEW, component_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, PAPER = "#22252a", "#fbfaf7"
DPI = 100
MANY_POINTS = 10_000  # for which a picture made of shapes is slow to open
NAMED = 6  # components that a legend names where there are too many for all


def require_matplotlib() -> None:
    """Raise an ImportError that says how to install matplotlib, when it is missing."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError(
            'Pictures need matplotlib; install it with: pip install "fastgmm[plot]"'
        ) from error


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of this size in inches, which a notebook shows."""
    from fastgmm.plotting.figures import ShownFigure

    return ShownFigure(figsize=(width, height), dpi=DPI, layout="constrained")


def add_axes(figure: Figure, *place: int) -> Axes:
    """Add axes without a box, in a place of a grid as `add_subplot` takes it."""
    from fastgmm.plotting.figures import ShownAxes

    axes: Axes = figure.add_subplot(*place, axes_class=ShownAxes)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def axes_or_new(ax: Axes | None, width: float = 6.4, height: float = 4.8) -> Axes:
    """Return the axes that were given, or those of a new figure."""
    if ax is None:
        return add_axes(new_figure(width, height))
    if not hasattr(ax, "add_patch"):
        raise TypeError(
            f"ax should be the matplotlib axes to draw on, one at a time, not {type(ax).__name__}."
        )
    return ax


def scatter(ax: Axes, points: FloatArray, colours: FloatArray, areas: Any, alpha: float) -> None:
    """Draw points in their colours, in the order in which they come."""
    many = len(points) > MANY_POINTS
    x, y = points.T
    ax.scatter(x, y, s=areas, c=colours, alpha=alpha, linewidths=0, rasterized=many, zorder=1)


def name_components(ax: Axes, n_components: int) -> None:
    """Have the legend name the components, each in its colour; of very many some."""
    colours = component_colours(n_components)
    numbers = np.arange(n_components)
    if n_components > len(FEW):
        numbers = np.unique(np.linspace(0, n_components - 1, NAMED).round().astype(int))
    named = {line.get_label() for line in ax.lines}
    for k in numbers:
        if component_name(k) not in named:
            ax.plot([], [], "o", markersize=6, color=colours[k], label=component_name(k), zorder=0)
    legend(ax)


def component_name(k: SupportsInt) -> str:
    """What a legend calls a component: by its number in `predict` and `weights_`."""
    return f"component {k}"


def legend(ax: Axes) -> None:
    """Name all that has a label: beside the axes, or inside where nothing would make room."""
    figure = ax.figure
    if figure is not None and figure.get_layout_engine() is not None:
        place: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)}
    else:
        n_points = sum(len(np.asarray(one.get_offsets())) for one in ax.collections)
        # The best place is where fewest points are, which takes long to find among many.
        place = {"loc": "best" if n_points <= MANY_POINTS else "upper right"}
    n_entries = len(ax.get_legend_handles_labels()[1])
    ax.legend(
        **place,
        ncols=1 + n_entries // 22,
        fontsize="small",
        frameon="bbox_to_anchor" not in place,
        handletextpad=0.4,
        borderaxespad=0.4,
    )


def whole_numbers(ax: Axes) -> None:
    """Have ticks at whole numbers alone along x."""
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
