"""Pictures of densities: contours of two features, curves of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from fastgmm._records import FloatArray
from fastgmm.plotting.canvas import (
    INK,
    MANY_POINTS,
    axes_or_new,
    legend,
    name_components,
    require_matplotlib,
)
from fastgmm.plotting.models import View, checked_points, view
from fastgmm.system.colours import component_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHARES = (0.1, 0.3, 0.5, 0.7, 0.9, 0.99)
REACH = 4.0  # standard deviations about each mean that are drawn
DRAWS = 40_000  # of the mixture, whose densities tell which level holds which share
MOST_BINS = 200


# Long: for its documentation.
def plot_contours(
    model: Any,
    X: ArrayLike | None = None,
    ax: Axes | None = None,
    *,
    features: Sequence[int | str] | None = None,
    levels: Sequence[float] = SHARES,
) -> Axes:
    """Draw contours of the density of two features, each about a share of the probability.

    A contour is a line of equal density. That of 0.9 is the border of the smallest region that
    holds nine tenths of the probability, so that the same levels suit every mixture.

    Parameters
    ----------
    model : GaussianMixture
        Fitted, fastgmm's or scikit-learn's.
    X : (n, d) array, optional
        Points, drawn in grey below the contours.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default on a new figure.
    features : two numbers or names, optional
        Which features; may be left out for a model of two. The density is that of the exact
        marginal distribution.
    levels : sequence of float, default=(0.1, 0.3, 0.5, 0.7, 0.9, 0.99)
        Shares of the probability, between 0 and 1.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If there are no such features, X does not fit the model, it is not fitted, or `levels` are
        not between 0 and 1.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgmm import GaussianMixture, plot_contours
    >>> X = np.random.default_rng(0).normal([0, 5], [1, 3], (200, 2))
    >>> axes = plot_contours(GaussianMixture(2, random_state=0).fit(X), X, levels=(0.5, 0.95))
    """
    require_matplotlib()
    seen = view(model, features, 2, "plot_contours()")
    shares = np.unique(np.atleast_1d(np.asarray(levels, float)))
    if not shares.size or not np.all((shares > 0) & (shares < 1)):
        raise ValueError(
            "plot_contours() draws regions that hold shares of the probability between 0 and 1, "
            f"such as levels=(0.5, 0.9), not {levels!r}."
        )
    points = None if X is None else checked_points(model, X)
    ax = axes_or_new(ax)
    if points is not None:
        many = len(points) > MANY_POINTS
        size = float(np.clip(1e4 / len(points), 1, 9))
        x, y = points[:, seen.features].T
        ax.scatter(x, y, s=size, c="0.55", linewidths=0, rasterized=many, label="points", zorder=1)
    draw_contours(ax, seen, shares)
    ax.set(xlabel=seen.names[0], ylabel=seen.names[1])
    legend(ax)
    return ax


def draw_contours(ax: Axes, seen: View, shares: FloatArray) -> None:
    """Draw a contour about each share of the probability, and name them for the legend."""
    from matplotlib import colormaps

    x, y = (grid_of(seen, axis) for axis in (0, 1))
    grid = np.stack(np.meshgrid(x, y), axis=-1)
    log_density = seen.log_density(grid.reshape(-1, 2)).reshape(grid.shape[:2])
    thresholds = log_density_about(seen, shares)
    colours = colormaps["viridis"](np.linspace(0.85, 0.0, len(shares)))[::-1]
    ax.contour(x, y, log_density, levels=thresholds[::-1], colors=colours[::-1], zorder=2)
    for share, colour in zip(shares, colours, strict=True):
        ax.plot([], [], color=colour, label=f"{100 * share:.4g} % inside")


def log_density_about(seen: View, shares: FloatArray) -> FloatArray:
    """Log-density on the border of the smallest region that holds each share, by random points."""
    rng = np.random.default_rng(0)
    components = rng.choice(seen.n_components, DRAWS, p=seen.weights / seen.weights.sum())
    lower = np.linalg.cholesky(seen.covariances)
    noise = rng.standard_normal((DRAWS, seen.means.shape[1]))
    points = seen.means[components] + np.einsum("nij,nj->ni", lower[components], noise)
    return np.quantile(seen.log_density(points), 1 - shares)


def grid_of(seen: View, axis: int, n_even: int = 200) -> FloatArray:
    """Places along an axis: even ones, and close ones about the means of narrow components."""
    means = seen.means[:, axis]
    deviations = np.sqrt(seen.covariances[:, axis, axis])
    low, high = (means - REACH * deviations).min(), (means + REACH * deviations).max()
    close = means[:, None] + deviations[:, None] * np.linspace(-REACH, REACH, 33)
    step = (high - low) / n_even
    narrow = close[deviations < 8 * step].ravel()
    return np.unique(np.concatenate([np.linspace(low, high, n_even), narrow]))


def plot_histogram(
    model: Any,
    X: ArrayLike,
    ax: Axes | None = None,
    *,
    feature: int | str | None = None,
    bins: int | str | Sequence[float] = "auto",
) -> Axes:
    """Draw the histogram of one feature, the densities of the components, and their sum.

    Parameters
    ----------
    model : GaussianMixture
        Fitted, fastgmm's or scikit-learn's.
    X : (n, d) array
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default on a new figure.
    feature : int or str, optional
        Number or name of the feature; may be left out for a model of one. The densities are those
        of the exact marginal distribution.
    bins : int, str or sequence of float, default='auto'
        Number of bins, a rule that `numpy.histogram_bin_edges` knows, or their edges.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    ValueError
        If there is no such feature, X does not fit the model, or it is not fitted.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgmm import GaussianMixture, plot_histogram
    >>> rng = np.random.default_rng(0)
    >>> X = np.concatenate([rng.normal(0, 1, (300, 1)), rng.normal(5, 2, (300, 1))])
    >>> axes = plot_histogram(GaussianMixture(2, random_state=0).fit(X), X)
    """
    require_matplotlib()
    one = None if feature is None else [feature]
    seen = view(model, one, 1, "plot_histogram()")
    points = checked_points(model, X)
    x = np.asarray(points[:, seen.features[0]], np.float64)
    edges = bin_edges(x, bins)
    ax = axes_or_new(ax)
    draw_histogram(ax, seen, x, edges)
    ax.set(xlabel=seen.names[0], ylabel="density")
    name_components(ax, seen.n_components)
    return ax


def bin_edges(x: FloatArray, bins: int | str | Sequence[float]) -> FloatArray:
    """Return the edges of the bins; numpy's rules make millions where there are outliers."""
    if not isinstance(bins, str):
        return np.histogram_bin_edges(x, bins)
    try:
        edges = np.histogram_bin_edges(x, bins)
    except MemoryError:
        edges = np.empty(MOST_BINS + 2)
    return edges if len(edges) <= MOST_BINS + 1 else np.histogram_bin_edges(x, MOST_BINS)


def draw_histogram(ax: Axes, seen: View, x: FloatArray, edges: FloatArray) -> None:
    """Draw the bars of the values, the components' densities and their sum."""
    ax.hist(x, list(edges), density=True, color="0.85", label="points", zorder=1)
    places = grid_of(seen, 0, 400)
    densities = seen.component_densities(places[:, None])
    for density, colour in zip(densities.T, component_colours(seen.n_components), strict=True):
        ax.fill_between(places, density, color=colour, alpha=0.25, linewidth=0, zorder=2)
        ax.plot(places, density, color=colour, zorder=3)
    ax.plot(places, densities.sum(axis=1), color=INK, linewidth=1.6, label="mixture", zorder=4)
    ax.set_ylim(bottom=0)
