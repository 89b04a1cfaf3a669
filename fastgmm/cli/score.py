"""``fastgmm score``: log-densities of the points of a file under a model."""

from __future__ import annotations

import argparse

from fastgmm.cli._common import (
    Add,
    check_output,
    describe_data,
    describe_model,
    read_model_and_data,
    show,
)


def describe(add: Add) -> None:
    """Add the arguments of the command."""
    describe_model(add)
    describe_data(add)
    add("--out", metavar="SCORES", help="write a .csv or .npy file in place of the terminal")
    add("--mean", action="store_true", help="the mean alone")


def run(options: argparse.Namespace) -> None:
    """Print or write the log-density of each point, or their mean."""
    check_output(options.out, (".csv", ".npy"), options.data)
    model, points, _ = read_model_and_data(options)
    scores = model.score_samples(points.X)
    show(scores.mean(keepdims=True) if options.mean else scores, options.out)
