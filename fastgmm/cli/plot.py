"""``fastgmm plot``: a picture of a model and the points of a file."""

from __future__ import annotations

import argparse
import warnings
from typing import Any

from fastgmm.cli._common import (
    PICTURES,
    Add,
    check_output,
    describe_data,
    describe_model,
    read_model_and_data,
    write_picture,
)

# Up to so many features, all pairs of them are drawn.
MOST_PAIRED = 5


def describe(add: Add) -> None:
    """Add the arguments of the command."""
    describe_model(add)
    describe_data(add)
    add("--out", metavar="PICTURE", required=True, help="a .png, .svg or .pdf file")
    add(
        "--features",
        metavar="COLUMN",
        nargs=2,
        help="two of them, by name or by number from 0 on; by default every pair of up to "
        f"{MOST_PAIRED} features, or the first two",
    )


def run(options: argparse.Namespace) -> None:
    """Draw one feature as a histogram, two as clusters, a few more as a matrix of pairs."""
    check_output(options.out, PICTURES, options.data)
    model, points, names = read_model_and_data(options)

    import numpy as np

    from fastgmm.plotting import plot_histogram, plot_mixture, plot_pairs

    d = model.means_.shape[1]
    if names:
        model.feature_names_in_ = np.array(names, object)
    figure: Any
    with warnings.catch_warnings():
        # The columns have been compared; the points are an array all the same.
        warnings.filterwarnings("ignore", "X does not have valid feature names", UserWarning)
        if options.features or d == 2 or d > MOST_PAIRED:
            features = [_feature(text) for text in options.features or ("0", "1")]
            figure = plot_mixture(model, points.X, features=features).figure
        elif d == 1:
            figure = plot_histogram(model, points.X).figure
        else:
            figure = plot_pairs(model, points.X)
    write_picture(figure, options.out)


def _feature(text: str) -> int | str:
    return int(text) if text.isdecimal() else text
