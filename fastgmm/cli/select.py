"""``fastgmm select``: choose the number of components and the covariance type."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from fastgmm._records import COVARIANCE_TYPES, CRITERIA
from fastgmm.cli._common import (
    DEFAULT,
    JSON,
    MODELS,
    PICTURES,
    STREAM,
    Add,
    check_output,
    describe_data,
    numbers,
    positive,
    read_data,
    save_model,
    show_json,
    write_picture,
)
from fastgmm.model.families import FAMILIES

if TYPE_CHECKING:
    from fastgmm.selection.select import Selection

MOST_ROWS = 12  # of the table that is printed


def describe(add: Add) -> None:
    """Add the arguments of the command."""
    describe_data(add)
    add(
        "-k", "--components", metavar="K", type=numbers, default="1-9",
        help=f"such as 1-9 or 2,4,8; {DEFAULT}",
    )  # fmt: skip
    add(
        "--covariance-types", metavar="TYPE", nargs="+", choices=tuple(FAMILIES),
        default=COVARIANCE_TYPES,
        help=f"of {', '.join(FAMILIES)}; default: {' '.join(COVARIANCE_TYPES)}",
    )  # fmt: skip
    add("--criterion", choices=CRITERIA, default="bic", help=DEFAULT)
    add("--n-init", metavar="N", type=positive, help="starts of each; default: 1, stability: 10")
    add("--seed", metavar="S", type=int, default=0, help=f"of the starts; {DEFAULT}")
    add("--out", metavar="MODEL", help="save the best model: .npz")
    add("--plot", metavar="PICTURE", help="draw the criterion: .png, .svg or .pdf")
    add("--json", action="store_true", help=JSON)


def run(options: argparse.Namespace) -> None:
    """Select, save, draw, print."""
    check_output(options.out, MODELS, options.data)
    check_output(options.plot, PICTURES, options.data)
    points = read_data(options)

    import numpy as np

    from fastgmm.selection.select import select_mixture

    selection = select_mixture(
        points.X,
        options.components,
        options.covariance_types,
        options.criterion,
        n_init=options.n_init,
        random_state=options.seed,
        verbose=int(sys.stderr.isatty()),
    )
    best = selection.best_model_
    if points.feature_names:
        best.feature_names_in_ = np.array(points.feature_names, dtype=object)
    if options.out:
        save_model(best, options.out)
    if options.plot:
        write_picture(selection.plot().figure, options.plot)
    if options.json:
        show_json(in_json(selection, options), options.out)
    else:
        print_selection(selection, options)


def in_json(selection: Selection, options: argparse.Namespace) -> dict[str, Any]:
    """Everything that was tried, and the best of it."""
    names = selection.table.dtype.names or ()
    return {
        "criterion": options.criterion,
        "best": {
            "n_components": selection.best_n_components_,
            "covariance_type": selection.best_covariance_type_,
        },
        "table": [dict(zip(names, row, strict=True)) for row in selection.table.tolist()],
        "saved_to": options.out,
        "picture": options.plot,
    }


def print_selection(selection: Selection, options: argparse.Namespace) -> None:
    """Print the best cells, what was chosen, and what failed."""
    import numpy as np

    from fastgmm.selection.select import HIGHER_IS_BETTER
    from fastgmm.system.terminal import Terminal, key_values, plain_table

    table = plain_table()
    for name in ("covariances", "components", options.criterion, "converged"):
        table.add_column(name, justify="left" if name == "covariances" else "right")
    rows = selection.table[~np.isnan(selection.table.value)]
    sign = -1 if options.criterion in HIGHER_IS_BETTER else 1
    for row in rows[np.argsort(sign * rows.value, kind="stable")][:MOST_ROWS]:
        marks = "yes" if row.converged else "no"
        table.add_row(row.covariance_type, str(row.n_components), f"{row.value:.4f}", marks)
    figures = {
        "best": f"{selection.best_n_components_} components, {selection.best_covariance_type_}",
        "tried": f"{len(selection.table)}, the best {min(len(rows), MOST_ROWS)} are shown",
    }
    failed = selection.table[selection.table.failure != ""]
    if len(failed):
        figures["failed"] = f"{len(failed)}; the last: {failed[-1].failure}"
    if options.out:
        figures["saved to"] = options.out
    if options.plot:
        figures["picture"] = options.plot
    Terminal(stderr=options.out == STREAM).show(table, key_values(figures))
