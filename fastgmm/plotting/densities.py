"""Pictures of densities: contours of two features, curves of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from fastgmm._records import FloatArray
from fastgmm.plotting.canvas import (
    INK,
    axes_or_new,
    legend,
    name_components,
    require_matplotlib,
    scatter,
    small_areas,
)
from fastgmm.plotting.models import View, checked_points, view
from fastgmm.system.colours import component_colours

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SHARES = (0.1, 0.3, 0.5, 0.7, 0.9, 0.99)
REACH = 4.0  # standard deviations about each mean in which a curve is drawn
DRAWS = 40_000  # of the mixture, whose densities tell which level holds which share
MOST_BINS = 200
MOST_CLOSE = 400  # places along either axis of a grid for narrow components, however many


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
    contours = contours_of(seen, shares)
    ax = axes_or_new(ax)
    if points is not None:
        areas = small_areas(len(points), 9)
        scatter(ax, points[:, seen.features], areas, c="0.55", label="points")
    draw_contours(ax, contours, shares)
    ax.set(xlabel=seen.names[0], ylabel=seen.names[1])
    legend(ax)
    return ax


class Contours(NamedTuple):
    """The log-density on a grid, and where the contours are."""

    x: FloatArray  # (w,)
    y: FloatArray  # (h,)
    log_density: FloatArray  # (h, w)
    thresholds: FloatArray  # log-density on the border of each region


def contours_of(seen: View, shares: FloatArray) -> Contours:
    """Compute the density where the regions that hold these shares can lie."""
    thresholds = log_density_about(seen, shares)
    # Component k reaches as far as πₖ N(x; μₖ, Σₖ) exceeds a K-th of the lowest threshold.
    peaks = np.diag(seen.component_densities(seen.means)) * seen.n_components
    with np.errstate(divide="ignore"):  # of a component without weight
        heights = np.maximum(np.log(peaks) - thresholds.min(), 0)
    reach = np.sqrt(2 * heights) + 0.1
    x, y = (grid_of(seen, axis, reach, 300, MOST_CLOSE) for axis in (0, 1))
    grid = np.stack(np.meshgrid(x, y), axis=-1)
    log_density = seen.log_density(grid.reshape(-1, 2)).reshape(grid.shape[:2])
    return Contours(x, y, log_density, thresholds)


def log_density_about(seen: View, shares: FloatArray) -> FloatArray:
    """Log-density on the border of the smallest region that holds each share.

    A share p of random points of the mixture have a higher density there.
    """
    rng = np.random.default_rng(0)
    counts = rng.multinomial(DRAWS, seen.weights / seen.weights.sum())
    components = np.repeat(np.arange(seen.n_components), counts)
    noise = rng.standard_normal((DRAWS, 2))
    deviations = np.einsum("nij,nj->ni", seen.lower_factors()[components], noise)
    return np.quantile(seen.log_density(seen.means[components] + deviations), 1 - shares)


def grid_of(
    seen: View, axis: int, reach: float | FloatArray, n_even: int, most_close: int
) -> FloatArray:
    """Places along an axis: even ones, and close ones in components narrower than those tell."""
    means, deviations = seen.means[:, axis], np.sqrt(seen.covariances[:, axis, axis])
    ends = means + np.multiply.outer([-1, 1], reach * deviations)
    even = np.linspace(ends.min(), ends.max(), n_even)
    is_narrow = deviations < 4 * (even[1] - even[0])
    n_close = min(33, most_close // max(1, int(is_narrow.sum())))
    steps = np.linspace(-REACH, REACH, n_close)
    close = means[is_narrow] + np.multiply.outer(steps, deviations[is_narrow])
    return np.unique(np.concatenate([even, close.clip(even[0], even[-1]).ravel()]))


def draw_contours(ax: Axes, contours: Contours, shares: FloatArray) -> None:
    """Draw the line about each share of the probability, and name it for the legend."""
    from matplotlib import colormaps

    colours = colormaps["viridis"](np.linspace(0, 0.85, len(shares)))
    limits = ax.dataLim.frozen()
    x, y, log_density, thresholds = contours
    drawn = ax.contour(x, y, log_density, thresholds[::-1], colors=colours[::-1], zorder=2)
    ax.dataLim.set(limits)  # to that of the lines, which the grid's exceeds
    ax.update_datalim(np.concatenate([path.vertices for path in drawn.get_paths()]))
    ax.autoscale_view()
    for share, colour in zip(shares, colours, strict=True):
        ax.plot([], [], color=colour, label=f"{100 * share:.4g} % inside")


# Long: for its documentation.
def plot_histogram(
    model: Any,
    X: ArrayLike,
    ax: Axes | None = None,
    *,
    feature: int | str | None = None,
    bins: int | str | Sequence[float] | None = None,
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
    bins : int, str or sequence of float, optional
        Number of bins, their edges, or a rule that `numpy.histogram_bin_edges` knows; by default
        bins half as wide as the standard deviation of the median component, but not so many that
        they are empty.

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
    seen = view(model, None if feature is None else [feature], 1, "plot_histogram()")
    x = checked_points(model, X)[:, seen.features[0]].astype(np.float64)
    histogram = histogram_of(seen, x, bins)
    ax = axes_or_new(ax)
    draw_histogram(ax, histogram)
    ax.set(xlabel=seen.names[0], ylabel="density")
    name_components(ax, seen.n_components)
    return ax


class Histogram(NamedTuple):
    """The bars of the points, and the densities of the components."""

    edges: FloatArray  # (m + 1,) of the bins
    heights: FloatArray  # (m,) such that the area is 1
    places: FloatArray  # (g,)
    densities: FloatArray  # (g, K)


def histogram_of(
    seen: View, x: FloatArray, bins: int | str | Sequence[float] | None = None
) -> Histogram:
    """Count the values and compute the densities beside which they are drawn."""
    places, x = grid_of(seen, 0, REACH, 400, 20_000), x[~np.isnan(x)]
    densities = seen.component_densities(places[:, None])
    heights, edges = np.histogram(x, bin_edges(seen, x) if bins is None else bins, density=True)
    return Histogram(edges, heights, places, densities)


def bin_edges(seen: View, x: FloatArray) -> FloatArray:
    """Return bins of half a standard deviation of most components, as far as points fill them."""
    deviations = np.sqrt(seen.covariances[:, 0, 0])
    n_bins = 2 * np.ptp(x) / np.median(deviations)
    most = min(MOST_BINS, max(10, len(x) // 5))
    return np.histogram_bin_edges(x, int(np.clip(n_bins, 10, most)))


def draw_histogram(ax: Axes, histogram: Histogram) -> None:
    """Draw the bars of the values, the components' densities and their sum."""
    edges, heights, places, densities = histogram
    ax.stairs(heights, edges, fill=True, color="0.85", label="points", zorder=1)
    for density, colour in zip(densities.T, component_colours(densities.shape[1]), strict=True):
        ax.fill_between(places, density, color=colour, alpha=0.25, linewidth=0, zorder=2)
        ax.plot(places, density, color=colour, linewidth=1.2, zorder=3)
    ax.plot(places, densities.sum(axis=1), color=INK, linewidth=1.6, label="mixture", zorder=4)
    ax.set_ylim(bottom=0)
