"""``fastgmm predict``: labels or probabilities of the points of a file."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from fastgmm.cli._common import Add, check_output, describe_data, read_data

if TYPE_CHECKING:
    from fastgmm.cli.tables import NumericTable
    from fastgmm.mixture import GaussianMixture


def describe(add: Add) -> None:
    """Add the arguments of the command."""
    add("model", metavar="MODEL", help="as saved by fastgmm fit --out")
    describe_data(add)
    add("--out", metavar="LABELS", help="write a .csv or .npy file in place of the terminal")
    add("--proba", action="store_true", help="the probability of every component")


def run(options: argparse.Namespace) -> None:
    """Print or write what the model says of each point."""
    from fastgmm.cli.tables import csv_lines, write_table

    check_output(options.out, (".csv", ".npy"), options.data)
    points = read_data(options)

    from fastgmm.persistence import load

    model = load(options.model)
    check_same_features(model, points, options.data)
    answer = model.predict_proba(points.X) if options.proba else model.predict(points.X)
    if options.out:
        write_table(options.out, answer)
    else:
        sys.stdout.writelines(csv_lines(answer))


def check_same_features(model: GaussianMixture, points: NumericTable, path: str) -> None:
    """Compare the header with the features that the model was fitted on, where both have names."""
    if not hasattr(model, "feature_names_in_"):
        return
    expected = model.feature_names_in_.tolist()
    del model.feature_names_in_  # it has been compared here, and would ask for a data frame
    if points.feature_names not in (None, expected):
        raise ValueError(
            f"{path}: the columns are {', '.join(points.feature_names or [])}, but the model was "
            f"fitted on {', '.join(expected)}; give the same columns in the same order."
        )
