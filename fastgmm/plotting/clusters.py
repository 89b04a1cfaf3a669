"""Pictures of clusters: points and components of two features, and responsibilities."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from fastgmm._records import FloatArray
from fastgmm.plotting.canvas import (
    INK,
    axes_or_new,
    name_components,
    require_matplotlib,
    scatter,
    small_areas,
    whole_numbers,
)
from fastgmm.plotting.models import View, checked_points, fitted_parameters, view
from fastgmm.system.colours import FEW, component_colours, point_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FULL_AREA = 50.0  # square points, of a point that surely belongs to its component
FEW_POINTS = 1000  # that have room for such areas
ROWS = 1000  # of a heat map, more than a screen shows
KNOWN_BY_COLOUR = 8  # components; of more, each has its number at its mean


# Long: for its documentation.
def plot_mixture(
    model: Any,
    X: ArrayLike | None = None,
    ax: Axes | None = None,
    *,
    features: Sequence[int | str] | None = None,
) -> Axes:
    """Draw two features of a mixture: points, and each component's mean and ellipses.

    Parameters
    ----------
    model : GaussianMixture
        Fitted, fastgmm's or scikit-learn's.
    X : (n, d) array, optional
        Points, drawn in the colour of their most probable component.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default on a new figure, which is ``axes.figure`` of the answer.
    features : two numbers or names, optional
        Which features; may be left out for a model of two. The ellipses are those of the exact
        marginal distribution, the colours of the points take all features into account.

    Returns
    -------
    matplotlib.axes.Axes
        Those of a new figure are shown by a notebook; save it with
        ``axes.figure.savefig(path)``.

    Raises
    ------
    ValueError
        If there are no such features, X does not fit the model, or it is not fitted.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgmm import GaussianMixture, plot_mixture
    >>> X = np.random.default_rng(0).normal([0, 5], [1, 3], (200, 2))
    >>> axes = plot_mixture(GaussianMixture(2, random_state=0).fit(X), X)
    """
    require_matplotlib()
    seen = view(model, features, 2, "plot_mixture()")
    points = None if X is None else checked_points(model, X)
    ax = axes_or_new(ax)
    if points is not None:
        draw_points(ax, seen, points, model.predict(X))
    draw_ellipses(ax, seen, (1, 2))
    finish(ax, seen)
    return ax


# Long: for its documentation.
def plot_scatter(
    model: Any,
    X: ArrayLike,
    ax: Axes | None = None,
    *,
    features: Sequence[int | str] | None = None,
) -> Axes:
    """Draw points in the colour of their most probable component, larger the surer it is.

    The area of a point is 50 times the square of its largest responsibility, in square points (a
    point is 1/72 inch). With more than a thousand points all are smaller, in inverse proportion
    to their number.

    Parameters
    ----------
    model : GaussianMixture
        Fitted, fastgmm's or scikit-learn's.
    X : (n, d) array
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default on a new figure.
    features : two numbers or names, optional
        Which features; may be left out for a model of two. The responsibilities take all
        features into account.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If there are no such features, X does not fit the model, or it is not fitted.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgmm import GaussianMixture, plot_scatter
    >>> X = np.random.default_rng(0).normal([0, 5], [1, 3], (200, 2))
    >>> axes = plot_scatter(GaussianMixture(2, random_state=0).fit(X), X)
    """
    require_matplotlib()
    seen = view(model, features, 2, "plot_scatter()")
    points = checked_points(model, X)
    responsibilities = np.asarray(model.predict_proba(X))
    ax = axes_or_new(ax)
    largest = responsibilities.max(axis=1)
    areas = FULL_AREA * min(1.0, FEW_POINTS / len(points)) * largest**2
    colours = point_colours(seen.n_components)[responsibilities.argmax(axis=1)]
    scatter(ax, points[:, seen.features], areas, c=colours, alpha=0.7)
    finish(ax, seen)
    return ax


# Long: for its documentation.
def plot_ellipses(
    model: Any,
    ax: Axes | None = None,
    *,
    features: Sequence[int | str] | None = None,
    sigmas: Sequence[float] = (1, 2),
) -> Axes:
    """Draw each component as ellipses of so many standard deviations about its mean.

    The ellipse of one standard deviation holds 39 % of its component, that of two 86 %.

    Parameters
    ----------
    model : GaussianMixture
        Fitted, fastgmm's or scikit-learn's.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default on a new figure.
    features : two numbers or names, optional
        Which features; may be left out for a model of two. The ellipses are those of the exact
        marginal distribution.
    sigmas : sequence of float, default=(1, 2)
        Half axes of the ellipses, in standard deviations.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If there are no such features, the model is not fitted, or `sigmas` are not positive.

    Examples
    --------
    >>> from fastgmm import GaussianMixture, plot_ellipses
    >>> covariances = [[[1, 0.5], [0.5, 1]], [[1, -0.5], [-0.5, 1]]]
    >>> model = GaussianMixture.from_parameters([0.5, 0.5], [[0, 0], [4, 0]], covariances)
    >>> axes = plot_ellipses(model, sigmas=(1, 2, 3))
    """
    require_matplotlib()
    seen = view(model, features, 2, "plot_ellipses()")
    sizes = np.atleast_1d(np.asarray(sigmas, float))
    if sizes.ndim != 1 or not sizes.size or not np.all((sizes > 0) & np.isfinite(sizes)):
        raise ValueError(
            f"plot_ellipses() draws ellipses of positive numbers of standard deviations, such as "
            f"sigmas=(1, 2), not {sigmas!r}."
        )
    ax = axes_or_new(ax)
    draw_ellipses(ax, seen, sizes)
    finish(ax, seen)
    return ax


# Long: for its documentation.
def plot_responsibilities(
    model: Any, X: ArrayLike, ax: Axes | None = None, *, sort: bool = True
) -> Axes:
    """Draw the responsibilities of points as a heat map: a row a point, a column a component.

    The surer a point belongs to a component, the fuller that component's colour. Of more than a
    thousand points neighbours are drawn together, as their mean.

    Parameters
    ----------
    model : GaussianMixture
        Fitted, fastgmm's or scikit-learn's.
    X : (n, d) array
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default on a new figure.
    sort : bool, default=True
        Whether the points of a component come one after another, the surest first, rather than
        all in the order of X.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If X does not fit the model, or it is not fitted.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgmm import GaussianMixture, plot_responsibilities
    >>> X = np.random.default_rng(0).normal([0, 5], [1, 3], (200, 2))
    >>> axes = plot_responsibilities(GaussianMixture(2, random_state=0).fit(X), X)
    """
    require_matplotlib()
    K = len(fitted_parameters(model).weights)
    checked_points(model, X)
    responsibilities = np.asarray(model.predict_proba(X), np.float64)
    n = len(responsibilities)
    ax = axes_or_new(ax)
    if sort:
        labels, largest = responsibilities.argmax(axis=1), responsibilities.max(axis=1)
        responsibilities = responsibilities[np.lexsort((-largest, labels))]
    if n > ROWS:
        starts = np.arange(ROWS) * n // ROWS
        counts = np.diff(starts, append=n)
        responsibilities = np.add.reduceat(responsibilities, starts) / counts[:, None]
    shade = responsibilities[:, :, None]
    columns = responsibilities.shape[1]  # one more with noise
    colours = 1 - shade * (1 - point_colours(K)[:columns])
    box = (-0.5, columns - 0.5, n - 0.5, -0.5)
    ax.imshow(colours.clip(0, 1), aspect="auto", interpolation="nearest", extent=box)
    ax.set(xlabel="component", ylabel="point")
    whole_numbers(ax)
    return ax


# --- what these pictures are made of ---------------------------------------------------------
def draw_points(ax: Axes, seen: View, points: FloatArray, labels: np.ndarray) -> None:
    """Draw points in the colours of their components."""
    colours = point_colours(seen.n_components)[labels]
    areas = small_areas(len(points), 18)
    scatter(ax, points[:, seen.features], areas, c=colours, alpha=0.55)


def draw_ellipses(
    ax: Axes, seen: View, sigmas: Sequence[float] | FloatArray, *, is_small: bool = False
) -> None:
    """Draw the components as ellipses, fainter the larger, and their means or numbers."""
    from matplotlib.patches import Ellipse

    colours = component_colours(seen.n_components)
    for colour, mean, covariance in zip(colours, seen.means, seen.covariances, strict=True):
        variances, axes = np.linalg.eigh(covariance)
        angle = np.degrees(np.arctan2(axes[1, 1], axes[0, 1]))
        long, short = np.sqrt(np.maximum(variances[::-1], 0))
        for i, sigma in enumerate(sigmas):
            shape = (mean, 2 * sigma * long, 2 * sigma * short)
            edge = {"angle": angle, "facecolor": (*colour, 0.28 / 2**i), "edgecolor": colour}
            ax.add_patch(Ellipse(*shape, zorder=2, **edge))
    ax.autoscale_view()
    if KNOWN_BY_COLOUR < seen.n_components <= len(FEW) and not is_small:
        number_means(ax, seen.means)
    else:
        is_crowded = seen.n_components > KNOWN_BY_COLOUR
        mark_means(ax, seen.means, 4 if is_small or is_crowded else 8)


def mark_means(ax: Axes, means: FloatArray, size: float) -> None:
    """Draw a cross at each mean."""
    for x, y in means:
        ax.plot(x, y, marker="+", markersize=size, color=INK, zorder=3)


def number_means(ax: Axes, means: FloatArray) -> None:
    """Write each component's number at its mean, but for those that would cover an earlier one."""
    from matplotlib.patheffects import withStroke

    to_points = 72 / ax.figure.dpi
    places = ax.transData.transform(means) * to_points
    taken = np.empty((0, 2))
    halo = [withStroke(linewidth=2, foreground="white")]
    for k, (x, y) in enumerate(means):
        if np.any(np.all(np.abs(taken - places[k]) < (14, 10), axis=1)):
            mark_means(ax, means[k : k + 1], 5)
            continue
        taken = np.vstack([taken, places[k]])
        text = ax.text(x, y, str(k), ha="center", va="center", fontsize="small", zorder=3)
        text.set(color=INK, clip_on=True, path_effects=halo)


def finish(ax: Axes, seen: View) -> None:
    """Name the axes and the components."""
    ax.set(xlabel=seen.names[0], ylabel=seen.names[1])
    name_components(ax, seen.n_components)
