"""Pictures of mixtures, of their fits and of what they are fitted to.

They are made with matplotlib's objects alone and never with pyplot, so that drawing needs no
screen, opens no window and leaves no figure behind. Notebooks show what the functions return.
"""

from fastgmm.plotting.canvas import require_matplotlib
from fastgmm.plotting.clusters import (
    plot_ellipses,
    plot_mixture,
    plot_responsibilities,
    plot_scatter,
)
from fastgmm.plotting.densities import plot_contours, plot_histogram
from fastgmm.plotting.fits import plot_lower_bound, plot_selection, plot_snapshots
from fastgmm.plotting.images import plot_images, plot_segmentation
from fastgmm.plotting.pairs import plot_pairs
from fastgmm.system.colours import component_colours

__all__ = [
    "component_colours",
    "plot_contours",
    "plot_ellipses",
    "plot_histogram",
    "plot_images",
    "plot_lower_bound",
    "plot_mixture",
    "plot_pairs",
    "plot_responsibilities",
    "plot_scatter",
    "plot_segmentation",
    "plot_selection",
    "plot_snapshots",
    "require_matplotlib",
]
