"""``fastgmm plot``: a picture of a model and the points of a file."""

from __future__ import annotations

import argparse
import warnings
from typing import Any

from fastgmm.cli._common import Add, check_output, describe_data, read_data
from fastgmm.cli.predict import check_same_features

SUFFIXES = (".png", ".svg", ".pdf")
# Up to so many features, all pairs of them are drawn.
MOST_PAIRED = 5


def describe(add: Add) -> None:
    """Add the arguments of the command."""
    add("model", metavar="MODEL", help="as saved by fastgmm fit --out")
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
    check_output(options.out, SUFFIXES, options.data)
    points = read_data(options)

    import numpy as np

    from fastgmm.persistence import load
    from fastgmm.plotting import plot_histogram, plot_mixture, plot_pairs
    from fastgmm.system.files import atomic_write

    model = load(options.model)
    names = list(getattr(model, "feature_names_in_", ()))
    check_same_features(model, points, options.data)
    d = model.means_.shape[1]
    if points.X.shape[1] != d:
        raise ValueError(
            f"{options.data} has {points.X.shape[1]} columns, but the model was fitted on {d}; "
            "give the same ones."
        )
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
    with atomic_write(options.out) as stream:
        figure.savefig(stream, format=options.out.rpartition(".")[2].lower(), dpi=150)


def _feature(text: str) -> int | str:
    return int(text) if text.isdecimal() else text
