"""``fastgmm predict``: labels or probabilities of the points of a file."""

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
    add("--out", metavar="LABELS", help="write a .csv or .npy file in place of the terminal")
    add("--proba", action="store_true", help="the probability of every component")


def run(options: argparse.Namespace) -> None:
    """Print or write what the model says of each point."""
    check_output(options.out, (".csv", ".npy"), options.data)
    model, points, _ = read_model_and_data(options)
    method = model.predict_proba if options.proba else model.predict
    show(answers(points, method), options.out)
