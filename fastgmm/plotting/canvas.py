"""What pictures share: axes that notebooks show, points, legends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from fastgmm._records import FloatArray
from fastgmm.system.colours import FEW, component_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

INK, PAPER = "#22252a", "#fbfaf7"
DPI = 100
MANY_POINTS = 10_000  # of which a file holds a raster rather than each one's shape
NAMED = 6  # components that a legend names where there are too many for all
ROWS = 24  # of a legend that is as high as a figure
MARKERS = "osD^vPX*"  # so that lines differ in more than colour


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


def add_axes(figure: Figure, *place: int, **options: Any) -> Axes:
    """Add axes without a box, in a place of a grid as `add_subplot` takes it."""
    from fastgmm.plotting.figures import ShownAxes

    axes: Axes = figure.add_subplot(*place, axes_class=ShownAxes, **options)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def axes_or_new(ax: Axes | None) -> Axes:
    """Return the axes that were given, or those of a new figure."""
    from matplotlib.axes import Axes

    if ax is None:
        return add_axes(new_figure(6.4, 4.8))
    if not isinstance(ax, Axes):
        raise TypeError(
            f"ax should be the matplotlib axes to draw on, one at a time, not {type(ax).__name__}."
        )
    return ax


def scatter(ax: Axes, points: FloatArray, areas: float | FloatArray, **options: Any) -> None:
    """Draw points (n, 2), below all else."""
    x, y = points.T
    rasterized = len(points) > MANY_POINTS
    ax.scatter(x, y, areas, linewidths=0, rasterized=rasterized, zorder=1, **options)


def small_areas(n_points: int, largest: float) -> float:
    """Return the area of so many points, such that they do not cover each other."""
    return float(np.clip(2e4 / n_points, 2, largest))


# --- legends ---------------------------------------------------------------------------------
def component_name(k: int) -> str:
    """What a legend calls a component: by its number in `predict` and `weights_`."""
    return f"component {k}"


def component_handles(n_components: int) -> list[Line2D]:
    """Return a mark of each component in its colour, or of some where there are very many."""
    from matplotlib.lines import Line2D

    numbers = list(range(n_components))
    if n_components > len(FEW):
        numbers = np.unique(np.linspace(0, n_components - 1, NAMED).round().astype(int)).tolist()
    colours = component_colours(n_components)
    mark: dict[str, Any] = {"marker": "o", "markersize": 6, "linestyle": "none"}
    return [Line2D([], [], color=colours[k], label=component_name(k), **mark) for k in numbers]


def name_components(ax: Axes, n_components: int) -> None:
    """Have the legend name the components, beside what it names already."""
    _, named = ax.get_legend_handles_labels()
    for handle in component_handles(n_components):
        if handle.get_label() not in named:
            ax.add_line(handle)
    legend(ax)


def legend(ax: Axes, *, beside: bool = True) -> None:
    """Name all that has a label: beside the axes, or inside where nothing would make room."""
    handles, names = ax.get_legend_handles_labels()
    once = dict(zip(names, handles, strict=True))
    figure = ax.figure
    if beside and figure.get_layout_engine() is not None:
        place: dict[str, Any] = {"bbox_to_anchor": (1.0, 1.0), "frameon": False}
        place["loc"] = "upper left"
    else:
        # The best place is where fewest points are, which takes long to find among many.
        n_points = sum(len(np.asarray(one.get_offsets())) for one in ax.collections)
        place = {"loc": "best" if n_points <= MANY_POINTS else "upper right"}
    ax.legend(list(once.values()), list(once), **legend_style(len(once)), **place)


def figure_legend(figure: Figure, n_components: int, *, beside: bool = True) -> None:
    """Name the components of a figure with several axes: beside them, or in a free corner."""
    handles = component_handles(n_components)
    style = legend_style(len(handles))
    place: Any = "outside right upper" if beside else "upper right"
    figure.legend(handles=handles, loc=place, frameon=False, **style)


def legend_style(n_entries: int) -> dict[str, Any]:
    """Return how legends look, and in how many columns."""
    return {
        "fontsize": "small",
        "borderaxespad": 0.4,
        "handletextpad": 0.6,
        "ncols": 1 + (n_entries - 1) // ROWS,
    }


def whole_numbers(ax: Axes) -> None:
    """Have ticks at whole numbers alone along x."""
    from matplotlib.ticker import MaxNLocator

    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
