"""Pictures of fitted mixtures.

They are made with matplotlib's objects alone and never with pyplot, so that drawing needs no
screen, opens no window and leaves no figure behind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastgmm._records import FloatArray
from fastgmm.model.families import FAMILIES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from fastgmm.mixture import GaussianMixture

__all__ = ["plot_mixture", "plot_segmentation", "require_matplotlib"]

INK, PAPER = "#22252a", "#fbfaf7"
DPI = 100
SLACK = 0.5  # by which colours may exceed their range, as the means of a mixture may


def require_matplotlib() -> None:
    """Raise an ImportError that says how to install matplotlib, when it is missing."""
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise ImportError(
            'Pictures need matplotlib; install it with: pip install "fastgmm[plot]"'
        ) from error


# Long: for its documentation, and one picture is one piece.
def plot_segmentation(
    image: ArrayLike, labels: ArrayLike, colours: ArrayLike, *, title: str | None = None
) -> Figure:
    """Put a photograph beside its segmentation, over a bar of the segments' colours.

    A pixel of the photograph is a whole number of pixels of the figure, so nothing is blurred.
    In the bar each colour is as wide as its share of the picture, the darkest first.

    Parameters
    ----------
    image : (height, width, 3) or (height, width) array
        Red, green and blue, or grey. Floating-point numbers are from 0 to 1; integers from 0 to
        255, or, where there are larger ones, from 0 to 65535 or to the largest of their type.
    labels : (height, width) or (height * width,) array of int
        The segment of each pixel, as `GaussianMixture.predict` gives it.
    colours : (K, 3) or (K,) array
        The colour of each segment, in numbers as those of the image. What exceeds the range from
        0 to 1 by little, as means may, is cut.
    title : str, optional
        Over the segmentation.

    Returns
    -------
    matplotlib.figure.Figure
        A notebook shows it; save it with ``figure.savefig(path)``.

    Raises
    ------
    ValueError
        If shapes do not fit together, or numbers are in none of these ranges.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgmm import GaussianMixture, plot_segmentation
    >>> image = np.zeros((40, 60, 3))
    >>> image[:, 30:] = [1.0, 0.5, 0.0]
    >>> model = GaussianMixture(2, random_state=0).fit(image.reshape(-1, 3))
    >>> labels = model.predict(image.reshape(-1, 3))
    >>> figure = plot_segmentation(image, labels, model.means_)
    """
    require_matplotlib()
    from fastgmm._figures import ShownFigure

    image = _rgb(image, 3, "the image")
    colours = _rgb(colours, 2, "colours")
    height, width = image.shape[:2]
    labels = np.asarray(labels)
    if labels.size != height * width:
        raise ValueError(
            f"labels has {labels.size} entries, and the image {height} × {width} pixels; give one "
            "label for each pixel."
        )
    labels = labels.reshape(height, width)
    if labels.min() < 0 or labels.max() >= len(colours):
        raise ValueError(
            f"labels run from {labels.min()} to {labels.max()}, but there are {len(colours)} "
            "colours; give one for each component."
        )
    # So that a thumbnail, too, has room for its titles.
    zoom = max(1, round(min(640 / width, 960 / height)))
    wide, tall = zoom * width, zoom * height
    margin, heading, bar = 24, 36, 20  # pixels
    total = (2 * wide + 3 * margin, heading + tall + margin + bar + margin)

    figure = ShownFigure(figsize=(total[0] / DPI, total[1] / DPI), dpi=DPI, facecolor=PAPER)

    def place(pixels: ArrayLike, left: int, bottom: int, wide: int, tall: int, title: str) -> None:
        box = (left / total[0], bottom / total[1], wide / total[0], tall / total[1])
        axes = figure.add_axes(box)
        axes.set_axis_off()
        axes.imshow(pixels, interpolation="nearest", aspect="auto")
        axes.set_title(title, loc="left", fontsize=11, color=INK, pad=9)

    base = margin + bar + margin
    segments = title or f"Segmentation into {len(colours)} Gaussian components"
    place(image, margin, base, wide, tall, "Photograph")
    place(colours[labels], 2 * margin + wide, base, wide, tall, segments)
    shares = _shares_bar(labels, colours, 2 * wide + margin)
    place(shares, margin, margin, 2 * wide + margin, bar, "")
    return figure


def _rgb(values: ArrayLike, n_dimensions: int, name: str) -> FloatArray:
    """Red, green and blue from 0 to 1 in the last of so many dimensions."""
    array = np.asarray(values)
    if array.ndim == n_dimensions - 1:
        array = array[..., None]
    if array.ndim != n_dimensions or array.shape[-1] not in (1, 3) or not array.size:
        raise ValueError(
            f"{name}: an array of shape {np.shape(values)} has no colours; its last dimension is "
            "red, green and blue, or it is left out for grey."
        )
    if array.dtype.kind not in "buif":
        raise ValueError(f"{name}: {array.dtype} are not real numbers.")
    low, high = array.min(), array.max()
    if array.dtype.kind in "ui":
        full = next(top for top in (255, 65535, np.iinfo(array.dtype).max) if high <= top)
        suits, remedy = low >= 0, "integers are from 0 to 255, or up to the largest of their type"
    else:
        full, suits = 1, bool(low >= -SLACK and high <= 1 + SLACK)
        remedy = "floating-point numbers are from 0 to 1; divide by the largest possible, say 255"
    if not suits:
        raise ValueError(f"{name}: values run from {low:.6g} to {high:.6g}, but {remedy}.")
    fractions = np.clip(array.astype(np.float64) / full, 0, 1)
    return np.repeat(fractions, 3, axis=-1) if fractions.shape[-1] == 1 else fractions


def _shares_bar(labels: NDArray[np.integer], colours: FloatArray, width: int) -> FloatArray:
    """One row of `width` pixels that gives each colour its share, from dark to light."""
    shares = np.bincount(labels.ravel(), minlength=len(colours)) / labels.size
    luminance = colours @ np.array([0.2126, 0.7152, 0.0722])
    order = np.argsort(luminance)
    ends = np.cumsum(shares[order])
    position = (np.arange(width) + 0.5) / width
    return colours[order[np.searchsorted(ends, position).clip(max=len(order) - 1)]][None]


# Long: for its documentation, and one picture is one piece.
def plot_mixture(
    model: GaussianMixture, X: ArrayLike | None = None, ax: Axes | None = None
) -> Axes:
    """Draw a mixture of two features: each component's mean and 1- and 2-sigma ellipses.

    Parameters
    ----------
    model : GaussianMixture
        Fitted on two features.
    X : (n, 2) array, optional
        Points, drawn in the colour of their most probable component.
    ax : matplotlib.axes.Axes, optional
        Where to draw; by default on a new figure, which is ``axes.figure`` of the answer.

    Returns
    -------
    matplotlib.axes.Axes
        Those of a new figure are shown by a notebook; save it with
        ``axes.figure.savefig(path)``.

    Raises
    ------
    ValueError
        If the model has more or fewer than two features.

    Examples
    --------
    >>> import numpy as np
    >>> from fastgmm import GaussianMixture, plot_mixture
    >>> X = np.random.default_rng(0).normal([0, 5], [1, 3], (200, 2))
    >>> axes = plot_mixture(GaussianMixture(2, random_state=0).fit(X), X)
    """
    require_matplotlib()
    from matplotlib.patches import Ellipse
    from sklearn.utils.validation import check_is_fitted

    from fastgmm._figures import ShownAxes, ShownFigure

    check_is_fitted(model)
    if model.n_features_in_ != 2:
        raise ValueError(
            f"plot_mixture() draws two features, and the model has {model.n_features_in_}; "
            "fit two of them, or two principal components."
        )
    if ax is None:
        figure = ShownFigure(figsize=(6.4, 5.2), layout="constrained")
        ax = figure.add_subplot(axes_class=ShownAxes)
    colours = component_colours(len(model.means_))
    if X is not None:
        points = np.asarray(X)
        size = np.clip(2e4 / max(len(points), 1), 2, 18)
        ax.scatter(
            points[:, 0],
            points[:, 1],
            s=size,
            c=colours[model.predict(X)],
            alpha=0.55,
            linewidths=0,
        )
    covariances = FAMILIES[model.covariance_type].dense(model.covariances_, *model.means_.shape)
    for mean, covariance, colour in zip(model.means_, covariances, colours, strict=True):
        variances, axes = np.linalg.eigh(covariance)
        angle = np.degrees(np.arctan2(axes[1, 1], axes[0, 1]))
        long, short = np.sqrt(np.maximum(variances[::-1], 0))
        for sigmas, strength in [(1, 0.28), (2, 0.14)]:
            shape = (mean, 2 * sigmas * long, 2 * sigmas * short)
            ax.add_patch(
                Ellipse(*shape, angle=angle, facecolor=(*colour, strength), edgecolor=colour)
            )
        ax.plot(*mean, marker="+", markersize=8, color=INK)
    names = getattr(model, "feature_names_in_", ["feature 1", "feature 2"])
    ax.set(xlabel=names[0], ylabel=names[1])
    ax.spines[["top", "right"]].set_visible(False)
    ax.autoscale_view()
    return ax


def component_colours(n_components: int) -> FloatArray:
    """Red, green and blue for each component: ten that are easily told apart, or a long scale."""
    from matplotlib import colormaps

    if n_components <= 10:
        return colormaps["tab10"](np.arange(n_components))[:, :3]
    return colormaps["turbo"](np.linspace(0.03, 0.97, n_components))[:, :3]
