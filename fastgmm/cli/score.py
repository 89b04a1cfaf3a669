"""``fastgmm score``: log-densities of the points of a file under a model."""

from __future__ import annotations

import argparse

from fastgmm.cli._common import (
    Add,
    answers,
    check_output,
    describe_data,
    describe_model,
    read_model_and_data,
    show,
)


def describe(add: Add) -> None:
    """Add the arguments of the command."""
    describe_model(add)
    describe_data(add, several=True)
    add("--out", metavar="SCORES", help="write a .csv or .npy file in place of the terminal")
    add("--mean", action="store_true", help="the mean alone")


def run(options: argparse.Namespace) -> None:
    """Print or write the log-density of each point, or their mean."""
    check_output(options.out, (".csv", ".npy"), options.data)
    model, points, _ = read_model_and_data(options)
    import numpy as np

    if options.mean and points.in_blocks:
        show(np.array([model.score(points.X)]), options.out)
    elif options.mean:
        show(model.score_samples(points.X).mean(keepdims=True), options.out)
    else:
        show(answers(points, model.score_samples), options.out)
