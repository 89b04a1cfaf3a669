"""``fastgmm select``: choose the number of components and the covariance type."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from fastgmm._records import COVARIANCE_TYPES, CRITERIA
from fastgmm.cli._common import (
    DEFAULT,
    JSON,
    MODELS,
    ON_DEGENERATE,
    PICTURES,
    REG_COVAR,
    STREAM,
    Add,
    check_output,
    describe_data,
    numbers,
    positive,
    read_data,
    save_model,
    selection_in_json,
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
    add("--reg-covar", metavar="R", type=float, default=1e-6, help=REG_COVAR)
    add("--on-degenerate", choices=ON_DEGENERATE, default="raise", help=f"as for fit; {DEFAULT}")
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
        reg_covar=options.reg_covar,
        on_degenerate=options.on_degenerate,
    )
    best = selection.best_model_
    if points.feature_names:
        best.feature_names_in_ = np.array(points.feature_names, dtype=object)
    if options.out:
        save_model(best, options.out)
    if options.plot:
        write_picture(selection.plot().figure, options.plot)
    if options.json:
        own = {"saved_to": None if options.out == STREAM else options.out, "picture": options.plot}
        show_json({**selection_in_json(selection), **own}, options.out)
    else:
        print_selection(selection, options)


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
        mark = "! " if row.n_degenerate else ""
        ended = "yes" if row.converged else "no"
        table.add_row(row.covariance_type, str(row.n_components), f"{mark}{row.value:.4f}", ended)
    figures = {
        "best": f"{selection.best_n_components_} components, {selection.best_covariance_type_}",
        "tried": f"{len(selection.table)}, the best {min(len(rows), MOST_ROWS)} are shown",
    }
    if rows.n_degenerate.any():
        figures["!"] = "has a degenerate component, and is chosen only if all have"
    failed = selection.table[selection.table.failure != ""]
    if len(failed):
        figures["failed"] = f"{len(failed)}; the last: {failed[-1].failure}"
    if options.out:
        figures["saved to"] = options.out
    if options.plot:
        figures["picture"] = options.plot
    Terminal(stderr=options.out == STREAM).show(table, key_values(figures))
