"""Pictures of images: many on a grid, one beside its segmentation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastgmm._records import FloatArray
from fastgmm.plotting.canvas import DPI, INK, PAPER, require_matplotlib

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SLACK = 0.5  # by which colours may exceed their range, as the means of a mixture may


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
    from fastgmm.plotting.figures import ShownFigure

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


# Long: for its documentation.
def plot_images(
    images: ArrayLike, shape: tuple[int, int] | None = None, *, columns: int | None = None
) -> Figure:
    """Put images on a grid, such as samples of a mixture of images or its means.

    Parameters
    ----------
    images : (n, h, w), (n, h, w, 3), (n, h * w) or (n, h * w * 3) array
        Grey, or red, green and blue. Grey is scaled over all images together, from its lowest
        value, black, to its highest, white. Colours are from 0 to 1, or integers as
        `plot_segmentation` takes them; what samples exceed that by is cut.
    shape : (int, int), optional
        Height h and width w of an image, for rows of pixels.
    columns : int, optional
        Images in a row of the grid; by default such that it is about as wide as high.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If these are no images, or rows of pixels of another shape.

    Examples
    --------
    >>> from fastgmm import GaussianMixture, plot_images
    >>> from sklearn.datasets import load_digits
    >>> X = load_digits().data
    >>> model = GaussianMixture(10, covariance_type="tied", random_state=0).fit(X)
    >>> figure = plot_images(model.sample(30)[0], shape=(8, 8), columns=10)
    """
    require_matplotlib()
    from fastgmm.plotting.figures import ShownFigure

    pictures = _pictures(images, shape)
    n, height, width = pictures.shape[:3]
    if columns is not None and columns < 1:
        raise ValueError(f"plot_images() draws one column of images or more, not {columns}.")
    n_columns = min(n, columns or math.ceil(math.sqrt(n * height / width)))
    n_rows = -(-n // n_columns)
    zoom = max(1, round(min(640 / (n_columns * width), 960 / (n_rows * height))))
    gap = min(1 + zoom // 2, 8)
    tall, wide = height * zoom + gap, width * zoom + gap
    grid = np.full((n_rows * tall + gap, n_columns * wide + gap, 3), _rgb_of(PAPER))
    for i, picture in enumerate(pictures):
        top, left = i // n_columns * tall + gap, i % n_columns * wide + gap
        block = picture.repeat(zoom, axis=0).repeat(zoom, axis=1)
        grid[top : top + tall - gap, left : left + wide - gap] = block
    size = grid.shape[1] / DPI, grid.shape[0] / DPI
    figure = ShownFigure(figsize=size, dpi=DPI, facecolor=PAPER)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.imshow(grid, interpolation="nearest", aspect="auto")
    return figure


def _pictures(images: ArrayLike, shape: tuple[int, int] | None) -> FloatArray:
    """Red, green and blue from 0 to 1 of each picture, (n, h, w, 3)."""
    array = np.asarray(images)
    if array.ndim == 2 and shape is not None and array.shape[1]:
        height, width = shape
        colours = {height * width: [], 3 * height * width: [3]}.get(array.shape[1])
        if colours is None:
            raise ValueError(
                f"plot_images() draws images of {height} × {width} pixels, grey or of three "
                f"colours, and rows of {array.shape[1]} numbers are neither."
            )
        array = array.reshape(-1, height, width, *colours)
    if array.ndim not in (3, 4) or not array.size or array.shape[3:] not in [(), (1,), (3,)]:
        raise ValueError(
            "plot_images() draws images of shape (n, h, w) or (n, h, w, 3), or rows of their "
            f"pixels with shape=(h, w), and not an array of shape {array.shape}."
        )
    if array.shape[3:] == (3,):
        return _rgb(array, 4, "images", slack=2.0)
    if array.dtype.kind not in "buif" or not np.all(np.isfinite(array)):
        raise ValueError("plot_images() draws finite real numbers.")
    grey = array.astype(np.float64).reshape(array.shape[:3])
    low, high = grey.min(), grey.max()
    scaled = (grey - low) / (high - low) if high > low else np.zeros_like(grey)
    return np.repeat(scaled[..., None], 3, axis=-1)


def _rgb_of(colour: str) -> FloatArray:
    return np.array(list(bytes.fromhex(colour[1:]))) / 255


def _rgb(values: ArrayLike, n_dimensions: int, name: str, slack: float = SLACK) -> FloatArray:
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
        full, suits = 1, bool(low >= -slack and high <= 1 + slack)
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
