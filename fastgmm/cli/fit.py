"""``fastgmm fit``: fit a mixture to the points of a file, save and summarize it."""

from __future__ import annotations

import argparse
import contextlib
import sys
import warnings
from collections import Counter
from copy import copy
from typing import TYPE_CHECKING, get_args

from fastgmm._records import INIT_METHODS
from fastgmm.cli._common import DEFAULT, Add, check_output, describe_data, read_data
from fastgmm.em.results import RepairAction
from fastgmm.model.families import FAMILIES

if TYPE_CHECKING:
    from fastgmm.cli.tables import NumericTable
    from fastgmm.mixture import GaussianMixture

IN_WORDS = {"reset": "started again", "drop": "left out", "floor": "given a floor"}


def describe(add: Add) -> None:
    """Add the arguments of the command: the estimator's, with its defaults."""
    describe_data(add)
    add("-k", "--components", metavar="K", type=int, required=True, help="number of components")
    add("--out", metavar="MODEL", help="save the model, after Ctrl-C as far as it got: .npz")
    add("--covariance-type", choices=tuple(FAMILIES), default="full", help=DEFAULT)
    tol = f"converged when the mean log-likelihood changes by less; {DEFAULT}"
    add("--tol", metavar="T", type=float, default=1e-3, help=tol)
    reg_covar = f"added to the variances; {DEFAULT}"
    add("--reg-covar", metavar="R", type=float, default=1e-6, help=reg_covar)
    add("--max-iter", metavar="N", type=int, default=100, help=f"most iterations; {DEFAULT}")
    n_init = f"starts, of which the best is kept; {DEFAULT}"
    add("--n-init", metavar="N", type=int, default=1, help=n_init)
    add("--init-params", choices=INIT_METHODS, default="kmeans", help=f"start; {DEFAULT}")
    actions = ("raise", *get_args(RepairAction))
    on_degenerate = (
        "what to do about components that collapse: fail where that cannot be helped, start them "
        f"again elsewhere, leave them out, or put a floor under their variances; {DEFAULT}"
    )
    add("--on-degenerate", choices=actions, default="raise", help=on_degenerate)
    add("--seed", metavar="S", type=int, default=0, help=f"of the start; {DEFAULT}")


def run(options: argparse.Namespace) -> None:
    """Fit, save, summarize."""
    check_output(options.out, (".npz",), options.data)
    points = read_data(options)

    from fastgmm.mixture import GaussianMixture
    from fastgmm.persistence import save

    model = GaussianMixture(
        options.components,
        covariance_type=options.covariance_type,
        tol=options.tol,
        reg_covar=options.reg_covar,
        max_iter=options.max_iter,
        n_init=options.n_init,
        init_params=options.init_params,
        random_state=options.seed,
        on_degenerate=options.on_degenerate,
    )
    interrupted = fit_in_sight(model, points)
    if options.out:  # before anything else that Ctrl-C may end
        save(named(model, points), options.out)
    figures = figures_of(model, points)
    if options.out:
        figures["saved to"] = options.out
    print_summary(named(model, points), figures)
    if interrupted:
        where = f" and saved to {options.out}" if options.out else ""
        raise KeyboardInterrupt(f"what iteration {model.n_iter_} had found was kept{where}")


def named(model: GaussianMixture, points: NumericTable) -> GaussianMixture:
    """A copy of the model that knows the names of its features, where the file has some."""
    import numpy as np

    model = copy(model)
    if points.feature_names:
        model.feature_names_in_ = np.array(points.feature_names, dtype=object)
    return model


def fit_in_sight(model: GaussianMixture, points: NumericTable) -> bool:
    """Fit, and show the progress if a terminal is watching; tell whether Ctrl-C ended the fit."""
    from sklearn.exceptions import ConvergenceWarning

    from fastgmm.cli.progress import LiveProgress

    progress = LiveProgress(model.n_init, model.max_iter)
    model.keep_on_interrupt = True
    model._validate_params()
    with warnings.catch_warnings(), progress if sys.stderr.isatty() else contextlib.nullcontext():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the summary says so
        model._fit(points.X, watchers=[progress])
    model.keep_on_interrupt = False  # as it was asked for
    return progress.interrupted


def figures_of(model: GaussianMixture, points: NumericTable) -> dict[str, str]:
    """What there is to say about the fit as a whole."""
    n, d = points.X.shape
    end = f"after {model.n_iter_} iteration{'s' * (model.n_iter_ != 1)}"
    remedy = "; raise --max-iter or --tol"
    figures = {
        "points": f"{n:,} × {d}",
        "covariances": model.covariance_type,
        "converged": f"yes, {end}" if model.converged_ else f"no, {end}{remedy}",
        "mean log-likelihood": f"{model.score(points.X):.6f}",
        "BIC": f"{model.bic(points.X):.2f}",
        "AIC": f"{model.aic(points.X):.2f}",
    }
    if model.repairs_:
        figures["repaired"] = repairs_in_words(model)
    return figures


def repairs_in_words(model: GaussianMixture) -> str:
    """How many components were repaired, in which way, and in how many iterations."""
    counts: Counter[str] = Counter()
    for repair in model.repairs_:
        counts[IN_WORDS[repair.action]] += len(repair.components)
    done = ", ".join(f"{count} {action}" for action, count in counts.items())
    return f"{done}; {len(model.means_)} components remain"


def print_summary(model: GaussianMixture, figures: dict[str, str]) -> None:
    """Print the components and the figures of the fit."""
    from fastgmm.cli.summary import advice_on_degenerate, components_table
    from fastgmm.system.terminal import Terminal, key_values

    terminal = Terminal()
    terminal.show(components_table(model, terminal.width), key_values(figures))
    advice = advice_on_degenerate(model)
    if advice:
        terminal.show("", advice)
