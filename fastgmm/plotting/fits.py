"""Pictures of fits: lower bounds, iterations, the choice of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from fastgmm import reference
from fastgmm._records import FloatArray, Parameters
from fastgmm.model.families import arguments_of_pass
from fastgmm.plotting.canvas import (
    axes_or_new,
    legend,
    new_figure,
    require_matplotlib,
    whole_numbers,
)
from fastgmm.plotting.clusters import draw_ellipses
from fastgmm.plotting.densities import bin_edges, draw_histogram
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
COLUMNS = 3
MARKERS = "osD^vPX*"


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
    models = dict(model) if isinstance(model, Mapping) else {"": model}
    if not models:
        raise ValueError("plot_lower_bound() draws one fitted model or more, and got none.")
    curves = {}
    for name, one in models.items():
        fitted_parameters(one)
        bounds = np.asarray(getattr(one, "lower_bounds_", []), np.float64)
        if not bounds.size:
            raise ValueError(
                "plot_lower_bound() draws the iterations of a fit, and "
                f"{f'the model {name!r}' if name != '' else 'this model'} has none in "
                "lower_bounds_; fit it with max_iter of 1 or more."
            )
        state = "converged" if one.converged_ else "not converged"
        counted = f"{len(bounds)} iteration{'s' if len(bounds) > 1 else ''}, {state}"
        curves[f"{name}: {counted}" if name != "" else counted] = bounds
    ax = axes_or_new(ax)
    colours = component_colours(len(curves))
    for i, (label, bounds) in enumerate(curves.items()):
        style = {"marker": MARKERS[i % len(MARKERS)], "markersize": 4, "color": colours[i]}
        ax.plot(np.arange(1, len(bounds) + 1), bounds, label=label, **style)
    ax.set(xlabel="iteration", ylabel="lower bound (mean log-likelihood)")
    whole_numbers(ax)
    ax.legend(fontsize="small", loc="lower right")
    return ax


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
    >>> figure = plot_snapshots(model.fit(X), X, [0, 1, 5])
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
    given = features if features is not None or len(names) <= 2 else None
    n_features = 1 if len(names) == 1 else 2
    if given is not None:
        n_features = 1 if np.ndim(given) == 0 or len(given) == 1 else 2
    columns = chosen(names, given, n_features, "plot_snapshots()")
    points = checked_points(model, X)
    n_columns = min(COLUMNS, len(shown))
    n_rows = -(-len(shown) // n_columns)
    figure = new_figure(max(3.0 * n_columns + 0.8, 4.6), 2.6 * n_rows + 0.6)
    first = None
    for place, iteration in enumerate(shown):
        ax = figure.add_subplot(n_rows, n_columns, place + 1, sharex=first, sharey=first)
        first = first or ax
        draw_snapshot(ax, history[iteration], points, columns, names)
        ax.set_title("start" if iteration == 0 else f"iteration {iteration}", fontsize="medium")
        ax.label_outer()
    return figure


def chosen_iterations(iterations: Sequence[int] | None, last: int) -> list[int]:
    """Return the numbers of the iterations to draw."""
    if iterations is None:
        return [i for i in USUAL_ITERATIONS if i < last] + [last]
    shown = [int(i) for i in np.atleast_1d(np.asarray(iterations))]
    if not shown or min(shown) < 0 or max(shown) > last:
        raise ValueError(
            f"plot_snapshots() draws iterations from 0, the start, to {last}, the last of this "
            f"fit, not {list(shown)}."
        )
    return shown


def draw_snapshot(
    ax: Axes, p: Parameters, points: FloatArray, columns: list[int], names: list[str]
) -> None:
    """Draw the mixture of one iteration with its points."""
    seen = marginal(p, columns, names)
    if len(columns) == 1:
        x = np.asarray(points[:, columns[0]], np.float64)
        draw_histogram(ax, seen, x, bin_edges(x, "auto"))
        ax.set(xlabel=seen.names[0], ylabel="density")
        return
    arguments = arguments_of_pass(p.astype(points.dtype))
    responsibilities = reference.responsibilities(points, *arguments)
    colours = responsibilities @ component_colours(seen.n_components)
    size = float(np.clip(1e4 / len(points), 2, 12))
    x, y = points[:, columns].T
    ax.scatter(x, y, s=size, c=colours.clip(0, 1), alpha=0.7, linewidths=0)
    draw_ellipses(ax, seen, (1, 2))
    ax.set(xlabel=seen.names[0], ylabel=seen.names[1])
    ax.autoscale_view()


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
    sizes = np.asarray(n_components)
    lines = dict(criteria) if isinstance(criteria, Mapping) else {criterion: criteria}
    curves = {name: np.asarray(values, np.float64) for name, values in lines.items()}
    if sizes.ndim != 1 or not sizes.size or not curves:
        raise ValueError(
            "plot_selection() draws a criterion for each of a list of numbers of components, not "
            f"{len(curves)} lines over an array of shape {sizes.shape}."
        )
    for name, values in curves.items():
        if values.shape != sizes.shape:
            raise ValueError(
                f"plot_selection() draws one value for each of the {len(sizes)} numbers of "
                f"components, and {name!r} has values of shape {values.shape}."
            )
    if not any(np.isfinite(values).any() for values in curves.values()):
        raise ValueError("plot_selection() draws finite values, and there are none.")
    ax = axes_or_new(ax)
    order = np.argsort(sizes, kind="stable")
    colours = component_colours(len(curves))
    for i, (name, values) in enumerate(curves.items()):
        style = {"marker": MARKERS[i % len(MARKERS)], "markersize": 5, "color": colours[i]}
        ax.plot(sizes[order], values[order], label=str(name), **style)
    finite = {
        name: np.where(np.isfinite(values), values, np.inf) for name, values in curves.items()
    }
    best = min(finite, key=lambda name: finite[name].min())
    at = int(finite[best].argmin())
    ax.plot(
        sizes[at], curves[best][at], "o", markersize=13, markerfacecolor="none",
        markeredgecolor="#22252a", markeredgewidth=1.6, linestyle="none",
        label=f"lowest: {best}, {sizes[at]} components",
    )  # fmt: skip
    ax.set(xlabel="components", ylabel=criterion)
    whole_numbers(ax)
    legend(ax)
    return ax
