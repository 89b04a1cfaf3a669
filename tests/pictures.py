"""What the tests of pictures draw, and how they look at it."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

import fastgmm
from fastgmm import GaussianMixture, plot_segmentation

TYPES = ["full", "tied", "diag", "spherical", "tied_diag", "tied_spherical"]


def four_features(n=300, seed=0):
    """Three clusters that differ in each of four features."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(3, 4, 4)) / 2
    centres = np.array([[0, 0, 0, 0], [6, 1, -5, 3], [-4, 7, 2, -6]])
    return np.concatenate(
        [rng.normal(size=(n // 3, 4)) @ A + c for A, c in zip(mixing, centres, strict=True)]
    )


def fitted(X, n_components=3, **options):
    return GaussianMixture(n_components, random_state=0, fit_history=True, **options).fit(X)


def empty_axes():
    return Figure().add_subplot()


def pixels(figure):
    """Red, green and blue of each pixel."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[:, :, :3]


def legend_of(drawn):
    """The names of a legend with the colours of their marks."""
    legends = [drawn.get_legend()] if hasattr(drawn, "get_legend") else drawn.legends
    entries = {}
    for legend in legends:
        for handle, text in zip(legend.legend_handles, legend.get_texts(), strict=True):
            colour = handle.get_color() if hasattr(handle, "get_color") else None
            entries[text.get_text()] = None if colour is None else to_rgb(colour)
    return entries


def segmented(height=20, width=32):
    """Left half red, right half green, both of pure colours."""
    labels = np.zeros((height, width), int)
    labels[:, width // 2 :] = 1
    colours = np.array([[1.0, 0, 0], [0, 1.0, 0], [0, 0, 1.0]])
    return np.zeros((height, width, 3)), labels, colours


# Each function that draws a mixture, on four features: (model, X, **options) → what is drawn.
ON_AXES = {
    "plot_mixture": lambda model, X, **o: fastgmm.plot_mixture(model, X, features=(0, 2), **o),
    "plot_scatter": lambda model, X, **o: fastgmm.plot_scatter(model, X, features=(0, 2), **o),
    "plot_ellipses": lambda model, X, **o: fastgmm.plot_ellipses(model, features=(0, 2), **o),
    "plot_contours": lambda model, X, **o: fastgmm.plot_contours(model, X, features=(0, 2), **o),
    "plot_histogram": lambda model, X, **o: fastgmm.plot_histogram(model, X, feature=1, **o),
    "plot_lower_bound": lambda model, X, **o: fastgmm.plot_lower_bound(model, **o),
    "plot_responsibilities": lambda model, X, **o: fastgmm.plot_responsibilities(model, X, **o),
}
FIGURES = {
    "plot_pairs": lambda model, X: fastgmm.plot_pairs(model, X),
    "plot_snapshots": lambda model, X: fastgmm.plot_snapshots(model, X, features=(0, 2)),
}
OF_MODELS = ON_AXES | FIGURES
OF_OTHERS = {
    "plot_images": lambda: fastgmm.plot_images(np.eye(4)[None]),
    "plot_segmentation": lambda: plot_segmentation(*segmented()),
    "plot_selection": lambda: fastgmm.plot_selection([1, 2, 3], [3.0, 1.0, 2.0]),
}
