"""Pictures of fits: lower bounds, iterations, the choice of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import index
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastgmm import kernels
from fastgmm._records import FloatArray, Parameters
from fastgmm.model.families import arguments_of_pass
from fastgmm.plotting.canvas import (
    INK,
    MARKERS,
    add_axes,
    axes_or_new,
    figure_legend,
    legend,
    new_figure,
    require_matplotlib,
    scatter,
    small_areas,
    whole_numbers,
)
from fastgmm.plotting.clusters import draw_ellipses
from fastgmm.plotting.densities import draw_histogram, histogram_of
from fastgmm.plotting.models import (
    checked_points,
    chosen,
    feature_names,
    fitted_parameters,
    marginal,
)
from fastgmm.system.colours import component_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

USUAL_ITERATIONS = (0, 1, 2, 5, 20)


# Long: for its documentation.
def plot_lower_bound(model: Any, ax: Axes | None = None) -> Axes:
    """Draw the lower bound of each iteration of EM, which is the mean log-likelihood.

    Parameters
    ----------
    model : GaussianMixture, or mapping of names to such
        Fitted, fastgmm's or scikit-learn's from 1.7 on; the fits of a mapping are drawn together.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default on a new figure.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If a model has no iterations, as one that is not fitted or was made of given parameters.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgmm import GaussianMixture, plot_lower_bound
    >>> X = np.random.default_rng(0).normal([0, 5], [1, 3], (200, 2))
    >>> fits = {K: GaussianMixture(K, random_state=0).fit(X) for K in (2, 3)}
    >>> axes = plot_lower_bound(fits)
    """
    require_matplotlib()
    curves = bounds_of(model) if isinstance(model, Mapping) else bounds_of({None: model})
    ax = axes_or_new(ax)
    colours = component_colours(len(curves))
    for i, (label, bounds) in enumerate(curves.items()):
        style = {"marker": MARKERS[i % len(MARKERS)], "markersize": 4, "color": colours[i]}
        ax.plot(np.arange(1, len(bounds) + 1), bounds, label=label, **style)
    ax.set(xlabel="iteration", ylabel="lower bound (mean log-likelihood)")
    whole_numbers(ax)
    legend(ax, beside=False)
    return ax


def bounds_of(models: Mapping[Any, Any]) -> dict[str, FloatArray]:
    """Return the lower bounds of each model, under a name that says how its fit ended."""
    if not models:
        raise ValueError("plot_lower_bound() draws one fitted model or more, and got none.")
    curves: dict[str, FloatArray] = {}
    for name, model in models.items():
        fitted_parameters(model)
        bounds = np.asarray(getattr(model, "lower_bounds_", []), np.float64)
        if not bounds.size:
            which = "this model" if name is None else f"the model {name!r}"
            raise ValueError(
                f"plot_lower_bound() draws the iterations of a fit, and {which} has none in "
                "lower_bounds_; fit it with max_iter of 1 or more."
            )
        counted = "1 iteration" if len(bounds) == 1 else f"{len(bounds)} iterations"
        ended = f"{counted}, {'converged' if model.converged_ else 'not converged'}"
        curves[ended if name is None else f"{name}: {ended}"] = bounds
    return curves


# Long: for its documentation.
def plot_snapshots(
    model: Any,
    X: ArrayLike,
    iterations: Sequence[int] | None = None,
    *,
    features: Sequence[int | str] | None = None,
) -> Figure:
    """Draw how a fit went: the mixture after chosen iterations, on common axes.

    The colour of a point is that of the components, mixed in the proportions of its
    responsibilities. A single feature is drawn as a histogram with densities.

    Parameters
    ----------
    model : GaussianMixture
        fastgmm's, fitted with ``fit_history=True``.
    X : (n, d) array
    iterations : sequence of int, optional
        Which iterations, 0 for the start; by default the start, 1, 2, 5, 20, as far as there are
        so many, and the last.
    features : two numbers or names, or one, optional
        Which features; may be left out for a model of at most two.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the model has no `fit_history_`, there are no such iterations or features, X does not fit
        the model, or it is not fitted.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgmm import GaussianMixture, plot_snapshots
    >>> X = np.random.default_rng(0).normal([0, 5], [1, 3], (200, 2))
    >>> model = GaussianMixture(2, init_params="random_means", fit_history=True, random_state=0)
    >>> figure = plot_snapshots(model.fit(X), X)
    """
    require_matplotlib()
    names = feature_names(model, fitted_parameters(model).means.shape[1])
    history: list[Parameters] = getattr(model, "fit_history_", [])
    if not history:
        raise ValueError(
            "plot_snapshots() draws the iterations of a fit, and this model has kept none; fit it "
            "with GaussianMixture(..., fit_history=True)."
        )
    shown = chosen_iterations(iterations, len(history) - 1)
    n_features = len(names) if features is None else np.size(features)
    columns = chosen(names, features, 1 if n_features == 1 else 2, "plot_snapshots()")
    points = checked_points(model, X)
    n_columns = 2 if len(shown) == 4 else min(3, len(shown))
    n_rows = -(-len(shown) // n_columns)
    figure = new_figure(2.7 * n_columns + 1.7, 2.5 * n_rows + 0.5)
    first = None
    for place, iteration in enumerate(shown):
        ax = add_axes(figure, n_rows, n_columns, place + 1, sharex=first, sharey=first)
        first = first or ax
        draw_snapshot(ax, history[iteration], points, columns, names)
        ax.set_title("start" if iteration == 0 else f"iteration {iteration}", fontsize="medium")
        ax.locator_params(axis="x", nbins=4)
        if place + n_columns < len(shown):  # there is one below it
            ax.set_xlabel("")
            ax.tick_params(labelbottom=False)
        if place % n_columns:
            ax.set_ylabel("")
            ax.tick_params(labelleft=False)
    figure_legend(figure, max(len(history[iteration].weights) for iteration in shown))
    return figure


def chosen_iterations(iterations: Sequence[int] | None, last: int) -> list[int]:
    """Return the numbers of the iterations to draw."""
    if iterations is None:
        return [i for i in USUAL_ITERATIONS if i < last] + [last]
    try:
        shown = [index(i) for i in iterations]
    except TypeError:
        shown = []
    if not shown or min(shown) < 0 or max(shown) > last:
        raise ValueError(
            f"plot_snapshots() draws a list of iterations from 0, the start, to {last}, the last "
            f"of this fit, not {iterations!r}."
        )
    return shown


def draw_snapshot(
    ax: Axes, p: Parameters, points: FloatArray, columns: list[int], names: list[str]
) -> None:
    """Draw the mixture of one iteration with its points."""
    seen = marginal(p, columns, names)
    if len(columns) == 1:
        draw_histogram(ax, histogram_of(seen, points[:, columns[0]].astype(np.float64)))
        ax.set(xlabel=seen.names[0], ylabel="density")
        return
    responsibilities = kernels.responsibilities(points, *arguments_of_pass(p.astype(points.dtype)))
    colours = (responsibilities @ component_colours(seen.n_components)).clip(0, 1)
    scatter(ax, points[:, columns], small_areas(len(points), 12), c=colours, alpha=0.7)
    draw_ellipses(ax, seen, (1, 2), is_small=True)
    ax.set(xlabel=seen.names[0], ylabel=seen.names[1])


# Long: for its documentation.
def plot_selection(
    n_components: ArrayLike,
    criteria: Mapping[str, ArrayLike] | ArrayLike,
    ax: Axes | None = None,
    *,
    criterion: str = "BIC",
) -> Axes:
    """Draw a criterion against the number of components, a line for each type of model.

    The smallest value is marked, and named in the legend.

    Parameters
    ----------
    n_components : (m,) array of int
        Numbers of components that were tried.
    criteria : mapping of names to (m,) arrays, or one such array
        The criterion of each, say for each `covariance_type`; NaN where there is none.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default on a new figure.
    criterion : str, default='BIC'
        What it is called.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If there are not as many values as numbers of components, or none of them is finite.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgmm import GaussianMixture, plot_selection
    >>> X = np.random.default_rng(0).normal([0, 5], [1, 3], (200, 2))
    >>> sizes, types = [1, 2, 3], ["full", "diag"]
    >>> bic = {
    ...     t: [GaussianMixture(K, covariance_type=t, random_state=0).fit(X).bic(X) for K in sizes]
    ...     for t in types
    ... }
    >>> axes = plot_selection(sizes, bic)
    """
    require_matplotlib()
    lines = criteria if isinstance(criteria, Mapping) else {criterion: criteria}
    selection = selection_of(n_components, lines)
    ax = axes_or_new(ax)
    colours = component_colours(len(selection.curves))
    for i, (name, values) in enumerate(selection.curves.items()):
        style = {"marker": MARKERS[i % len(MARKERS)], "markersize": 5, "color": colours[i]}
        ax.plot(selection.sizes, values, label=name, **style)
    counted = f"{selection.size} component{'s' if selection.size != 1 else ''}"
    best = f"{selection.name}, {counted}" if lines is criteria else counted
    ring: dict[str, Any] = {"markersize": 13, "markerfacecolor": "none", "color": INK}
    lowest = [selection.size], [selection.value]
    ax.plot(
        *lowest,
        "o",
        linestyle="none",
        label=f"lowest: {best}",
        zorder=4,
        markeredgewidth=1.6,
        **ring,
    )
    ax.set(xlabel="components", ylabel=criterion)
    whole_numbers(ax)
    legend(ax, beside=False)
    return ax


class Selection(NamedTuple):
    """Curves over numbers of components, and where the lowest value is."""

    sizes: np.ndarray  # in increasing order
    curves: dict[str, FloatArray]
    name: str  # of the curve with the lowest value
    size: int
    value: float


def selection_of(n_components: ArrayLike, criteria: Mapping[Any, Any]) -> Selection:
    """Check that there is a value for each number, and find the lowest."""
    sizes = np.asarray(n_components)
    if sizes.ndim != 1 or not sizes.size or not criteria:
        raise ValueError(
            "plot_selection() draws a line or more over a list of numbers of components, and got "
            f"{len(criteria)} over an array of shape {sizes.shape}."
        )
    order = np.argsort(sizes, kind="stable")
    curves: dict[str, FloatArray] = {}
    for name, given in criteria.items():
        values = np.asarray(given, np.float64)
        if values.shape != sizes.shape:
            raise ValueError(
                f"plot_selection() draws one value for each of the {len(sizes)} numbers of "
                f"components, and {name!r} has values of shape {values.shape}."
            )
        curves[str(name)] = values[order]
    lowest = {name: np.min(v, initial=np.inf, where=np.isfinite(v)) for name, v in curves.items()}
    best = min(lowest, key=lambda name: lowest[name])
    if lowest[best] == np.inf:
        raise ValueError("plot_selection() draws finite values, and there are none.")
    size = sizes[order][curves[best] == lowest[best]][0]
    return Selection(sizes[order], curves, best, int(size), float(lowest[best]))
