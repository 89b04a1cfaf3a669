"""A picture of many features at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from fastgmm.plotting.canvas import component_name, new_figure, require_matplotlib
from fastgmm.plotting.clusters import draw_ellipses, draw_points
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
    from matplotlib.figure import Figure

MOST_FEATURES = 8  # that are drawn without being asked for


def plot_pairs(model: Any, X: ArrayLike, *, features: Sequence[int | str] | None = None) -> Figure:
    """Draw every pair of features, and each feature's densities on the diagonal.

    Points have the colour of their most probable component; ellipses, of one and two standard
    deviations, and densities are those of the exact marginal distributions.

    Parameters
    ----------
    model : GaussianMixture
        Fitted, fastgmm's or scikit-learn's.
    X : (n, d) array
    features : sequence of numbers or names, optional
        Which features, two at least; may be left out for a model of at most eight.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there are no such features, too many to draw all, X does not fit the model, or it is not
        fitted.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgmm import GaussianMixture, plot_pairs
    >>> X = np.random.default_rng(0).normal([0, 5, 9], [1, 3, 2], (200, 3))
    >>> figure = plot_pairs(GaussianMixture(2, random_state=0).fit(X), X)
    """
    require_matplotlib()
    p = fitted_parameters(model)
    K, d = p.means.shape
    names = feature_names(model, d)
    columns = chosen(names, features, None, "plot_pairs()")
    if len(columns) < 2 or (features is None and d > MOST_FEATURES):
        raise ValueError(
            f"plot_pairs() draws two to {MOST_FEATURES} features, or more if they are chosen, and "
            f"the model has {d}, of which {len(columns)} are asked for; choose with features."
        )
    points = checked_points(model, X)
    labels = model.predict(X)
    m = len(columns)
    size = max(1.7, 6.4 / m)
    figure = new_figure(size * m + 1.2, size * m)
    axes = np.empty((m, m), object)
    for i in range(m):
        for j in range(i + 1):
            above = axes[j, j] if i > j else None
            beside = axes[i, 0] if 0 < j < i else None
            ax = figure.add_subplot(m, m, i * m + j + 1, sharex=above, sharey=beside)
            axes[i, j] = ax
            ax.spines[["top", "right"]].set_visible(False)
            if i == j:
                x = np.asarray(points[:, columns[i]], np.float64)
                draw_histogram(ax, marginal(p, [columns[i]], names), x, bin_edges(x, "auto"))
                ax.set_yticks([])
            else:
                seen = marginal(p, [columns[j], columns[i]], names)
                draw_points(ax, seen, points, labels)
                draw_ellipses(ax, seen, (1, 2))
                ax.autoscale_view()
            if i == m - 1:
                ax.set_xlabel(names[columns[j]])
            else:
                ax.tick_params(labelbottom=False)
            if j == 0 and i > 0:
                ax.set_ylabel(names[columns[i]])
            elif j > 0:
                ax.tick_params(labelleft=False)
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], marker="o", linestyle="none", color=colour, label=component_name(k))
        for k, colour in enumerate(component_colours(K))
    ]
    figure.legend(handles=handles[:24], loc="upper right", frameon=False, fontsize="small")
    return figure
