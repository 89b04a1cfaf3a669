"""``fastgmm sample``: points drawn from a model."""

from __future__ import annotations

import argparse

from fastgmm.cli._common import Add, check_output, describe_model, load_model, positive, show


def describe(add: Add) -> None:
    """Add the arguments of the command."""
    describe_model(add)
    add("-n", "--number", metavar="N", type=positive, required=True, help="how many points")
    add("--seed", metavar="S", type=int, help="for the same points again")
    add("--out", metavar="POINTS", help="write a .csv or .npy file in place of the terminal")
    add("--components", action="store_true", help="the component of each point, as a last column")


def run(options: argparse.Namespace) -> None:
    """Print or write points, in random order; text has the names of the columns, if there are any.

    A .npy file has numbers alone.
    """
    check_output(options.out, (".csv", ".npy"), options.model)

    import numpy as np

    model = load_model(options.model)
    random = np.random.RandomState(options.seed)
    points, components = model.sample(options.number, random_state=random)
    if options.components:
        points = np.column_stack([points, components])
    points = points[random.permutation(len(points))]
    names = list(getattr(model, "feature_names_in_", ()))
    if names and options.components:
        names.append("component")
    show(points, options.out, names)
