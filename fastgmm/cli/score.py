"""``fastgmm score``: log-densities of the points of a file under a model."""

from __future__ import annotations

import argparse
import sys

from fastgmm.cli._common import Add, check_output, describe_data, read_data
from fastgmm.cli.predict import check_same_features


def describe(add: Add) -> None:
    """Add the arguments of the command."""
    add("model", metavar="MODEL", help="as saved by fastgmm fit --out")
    describe_data(add)
    add("--out", metavar="SCORES", help="write a .csv or .npy file in place of the terminal")
    add("--mean", action="store_true", help="print the mean alone")


def run(options: argparse.Namespace) -> None:
    """Print or write the log-density of each point, or their mean."""
    from fastgmm.cli.tables import csv_lines, write_table

    check_output(options.out, (".csv", ".npy"), options.data)
    points = read_data(options)

    from fastgmm.persistence import load

    model = load(options.model)
    check_same_features(model, points, options.data)
    scores = model.score_samples(points.X)
    if options.mean:
        scores = scores.mean(keepdims=True)
    if options.out:
        write_table(options.out, scores)
    else:
        sys.stdout.writelines(csv_lines(scores))
