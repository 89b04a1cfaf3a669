"""A picture of many features at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from fastgmm.plotting.canvas import add_axes, figure_legend, new_figure, require_matplotlib
from fastgmm.plotting.clusters import draw_ellipses, draw_points
from fastgmm.plotting.densities import draw_histogram, histogram_of
from fastgmm.plotting.models import (
    checked_points,
    chosen,
    feature_names,
    fitted_parameters,
    marginal,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MOST_FEATURES = 8  # that are drawn without being asked for
FEW_NAMES = 8  # which have room where there are no panels


# Long: for its documentation.
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
            f"plot_pairs() draws two to {MOST_FEATURES} features, or more where they are chosen; "
            f"here are {len(columns)}."
        )
    points = checked_points(model, X)
    labels = np.asarray(model.predict(X))
    m = len(columns)
    size = max(1.5, 5.4 / m)  # inches of a panel
    figure = new_figure(size * m + 1.0, size * m)
    axes = np.empty((m, m), object)
    for place in np.argwhere(np.tri(m)):
        i, j = place.tolist()
        shared = {"sharex": axes[j, j], "sharey": axes[i, 0] if i > j else None}
        ax = axes[i, j] = add_axes(figure, m, m, i * m + j + 1, **shared)
        if i == j:
            x = points[:, columns[i]].astype(np.float64)
            draw_histogram(ax, histogram_of(marginal(p, [columns[i]], names), x))
            ax.set_yticks([])
            ax.spines["left"].set_visible(False)
        else:
            seen = marginal(p, [columns[j], columns[i]], names)
            draw_points(ax, seen, points, labels)
            draw_ellipses(ax, seen, (1, 2), is_small=True)
        ax.locator_params(axis="x", nbins=4)
        ax.tick_params(labelbottom=i == m - 1, labelleft=j == 0, labelsize="small")
        if i == m - 1:
            ax.set_xlabel(names[columns[j]])
        if i > j == 0:
            ax.set_ylabel(names[columns[i]])
    figure.align_labels()
    figure_legend(figure, K, beside=K > FEW_NAMES)
    return figure
