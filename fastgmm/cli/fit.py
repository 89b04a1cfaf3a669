"""``fastgmm fit``: fit a mixture to the points of a file, save and summarize it."""

from __future__ import annotations

import argparse
import contextlib
import math
import sys
import warnings
from collections import Counter
from copy import copy
from typing import TYPE_CHECKING, Any

from fastgmm._records import CRITERIA, INIT_METHODS
from fastgmm.cli._common import (
    DEFAULT,
    JSON,
    MODELS,
    ON_DEGENERATE,
    REG_COVAR,
    STREAM,
    Add,
    check_output,
    describe_data,
    numbers,
    read_data,
    save_model,
    selection_in_json,
    show_json,
)
from fastgmm.model.families import FAMILIES, LOW_RANK

if TYPE_CHECKING:
    from fastgmm.cli.tables import NumericTable
    from fastgmm.mixture import GaussianMixture
    from fastgmm.persistence import Mixture
    from fastgmm.selection.select import Selection

IN_WORDS = {
    "reset": "started again",
    "drop": "left out",
    "floor": "given a floor",
    "lower_bound": "lower bound",
}


def describe(add: Add) -> None:
    """Add the arguments of the command: the estimator's, with its defaults."""
    describe_data(add, several=True)
    components = "number of components; of several, such as 1-9 or 2,4,8, the best is chosen"
    add("-k", "--components", metavar="K", type=numbers, required=True, help=components)
    add("--criterion", choices=CRITERIA, default="bic", help=f"by which; {DEFAULT}")
    add("--out", metavar="MODEL", help="save the model, after Ctrl-C as far as a fit got: .npz")
    kinds = tuple(FAMILIES | LOW_RANK)
    add("--covariance-type", choices=kinds, default="full", help=DEFAULT)
    rank = f"of low_rank, for many features: loadings of each feature; {DEFAULT}"
    add("--rank", metavar="R", type=int, default=1, help=rank)
    tol = f"converged when the mean log-likelihood changes by less; {DEFAULT}"
    add("--tol", metavar="T", type=float, default=1e-3, help=tol)
    add("--reg-covar", metavar="R", type=float, default=1e-6, help=REG_COVAR)
    add("--max-iter", metavar="N", type=int, default=100, help=f"most iterations; {DEFAULT}")
    growing = "begin with samples that grow: few passes over all rows, for many rows and a small T"
    add("--growing-samples", action="store_true", help=growing)
    n_init = "starts, of which the best is kept; default: 1, stability: 10"
    add("--n-init", metavar="N", type=int, help=n_init)
    add("--init-params", choices=INIT_METHODS, default="kmeans", help=f"start; {DEFAULT}")
    on_degenerate = (
        "what to do about components that collapse: fail where that cannot be helped, start them "
        f"again elsewhere, leave them out, or put a floor under their variances; {DEFAULT}"
    )
    add("--on-degenerate", choices=ON_DEGENERATE, default="raise", help=on_degenerate)
    prior = "a weak prior of means and covariances, mclust's default, against collapse"
    add("--prior", action="store_const", const="conjugate", help=prior)
    shrinkage = (
        "part of each covariance matrix, 0 to 1, replaced by a ball, or 'oas' to estimate it"
    )
    add("--shrinkage", metavar="S", type=intensity, help=shrinkage)
    bayes = (
        "variational Bayes: K is the largest number of components, and those that are not needed "
        "lose their weight"
    )
    add("--bayes", action="store_true", help=bayes)
    concentration = "with --bayes: the lower, the fewer components have weight; default: 1 / K"
    add("--concentration", metavar="C", type=float, help=concentration)
    scheduler = (
        "have the workers of this Dask cluster, such as tcp://host:8786, read and fit the files: "
        ".parquet or .csv, where the workers see them too"
    )
    add("--scheduler", metavar="ADDRESS", help=scheduler)
    add("--seed", metavar="S", type=int, default=0, help=f"of the start; {DEFAULT}")
    add("--json", action="store_true", help=JSON)


def run(options: argparse.Namespace) -> None:
    """Fit, save, summarize."""
    check_output(options.out, MODELS, options.data)
    check_bayes(options)
    if options.scheduler is None:
        fit_and_show(read_data(options), options)
        return
    from fastgmm.cli.cluster import points_on_cluster

    with points_on_cluster(options) as points:
        fit_and_show(points, options)


def fit_and_show(points: NumericTable, options: argparse.Namespace) -> None:
    """Fit to the points, save, summarize."""
    if (points.in_blocks or options.scheduler) and len(options.components) > 1:
        raise ValueError(
            "several numbers of components are tried on points in memory; give one, or fewer "
            "points, with --no-blocks."
        )
    selection = None if len(options.components) == 1 else selected(points, options)
    if selection is None:
        model, interrupted = fitted(points, options)
    else:
        model, interrupted = selection.best_model_, False
    if options.out:  # before anything else that Ctrl-C may end
        save_model(named(model, points), options.out)
    if options.json:
        show_json(in_json(model, points, options, selection), options.out)
    else:
        figures = figures_of(model, points, options, selection)
        print_summary(named(model, points), figures, options)
    if interrupted:
        where = f" and saved to {options.out}" if options.out else ""
        raise KeyboardInterrupt(f"what iteration {model.n_iter_} had found was kept{where}")


def check_bayes(options: argparse.Namespace) -> None:
    """Refuse what variational Bayes does without, or what only it has."""
    if not options.bayes and options.concentration is not None:
        raise ValueError("--concentration is for --bayes; give both.")
    if options.bayes and (len(options.components) > 1 or options.on_degenerate != "raise"):
        raise ValueError(
            "--bayes chooses among components itself; give the largest number alone, without "
            "--on-degenerate."
        )
    if options.bayes and (options.prior or options.shrinkage is not None):
        raise ValueError("--bayes has priors of its own; leave out --prior and --shrinkage.")
    if options.bayes and options.growing_samples:
        raise ValueError("--bayes does not know --growing-samples; leave one out.")


def intensity(text: str) -> float | str:
    """Return a part, or 'oas'; the estimator says what is out of its range."""
    try:
        return text if text == "oas" else float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor 'oas'") from None


def arguments_of(options: argparse.Namespace) -> dict[str, Any]:
    """Return what the estimator is told, beside the number of components and the covariance type.

    What is not said of the start is left out, since a selection has defaults of its own.
    """
    arguments = {
        "tol": options.tol,
        "reg_covar": options.reg_covar,
        "max_iter": options.max_iter,
        "random_state": options.seed,
        "on_degenerate": options.on_degenerate,
    }
    if options.growing_samples:
        arguments["growing_samples"] = True
    if options.covariance_type in LOW_RANK:
        arguments["rank"] = options.rank
    if options.n_init is not None:
        arguments["n_init"] = options.n_init
    for name in ("prior", "shrinkage"):
        if getattr(options, name) is not None:
            arguments[name] = getattr(options, name)
    if options.init_params != "kmeans":
        arguments["init_params"] = options.init_params
    return arguments


def fitted(points: NumericTable, options: argparse.Namespace) -> tuple[Mixture, bool]:
    """Fit one model; tell whether Ctrl-C ended the fit."""
    from fastgmm.bayesian import BayesianGaussianMixture
    from fastgmm.mixture import GaussianMixture

    own = {"covariance_type": options.covariance_type, **arguments_of(options)}
    (own["n_components"],) = options.components
    model: Mixture
    if options.bayes:
        own["weight_concentration_prior"] = options.concentration
        del own["on_degenerate"]
        model = BayesianGaussianMixture(**own)
    else:
        model = GaussianMixture(**own)
    return model, fit_in_sight(model, points)


def selected(points: NumericTable, options: argparse.Namespace) -> Selection:
    """Fit models of all the numbers of components."""
    from fastgmm.selection.select import select_mixture

    return select_mixture(
        points.X,
        options.components,
        [options.covariance_type],
        options.criterion,
        verbose=int(sys.stderr.isatty()),
        **arguments_of(options),
    )


def named(model: Mixture, points: NumericTable) -> Mixture:
    """A copy of the model that knows the names of its features, where the file has some."""
    import numpy as np

    model = copy(model)
    if points.feature_names:
        model.feature_names_in_ = np.array(points.feature_names, dtype=object)
    return model


def fit_in_sight(model: Mixture, points: NumericTable) -> bool:
    """Fit, and show the progress if a terminal is watching; tell whether Ctrl-C ended the fit."""
    from sklearn.exceptions import ConvergenceWarning

    from fastgmm.cli.progress import LiveProgress

    progress = LiveProgress(model.n_init, model.max_iter)
    if points.in_blocks:
        points.X.on_rows = progress.rows_read
    model.keep_on_interrupt = True
    model._validate_params()
    with warnings.catch_warnings(), progress if sys.stderr.isatty() else contextlib.nullcontext():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the summary says so
        model._fit(points.X, watchers=[progress])
    model.keep_on_interrupt = False  # as it was asked for
    return progress.interrupted


def figures_of(
    model: Mixture,
    points: NumericTable,
    options: argparse.Namespace,
    selection: Selection | None,
) -> dict[str, str]:
    """What there is to say about the fit as a whole."""
    end = f"after {model.n_iter_} iteration{'s' * (model.n_iter_ != 1)}"
    remedy, criteria = "; raise --max-iter or --tol", criteria_of(model, points)
    figures = {
        "points": f"{points.n_rows:,} × {points.n_features}",
        "covariances": model.covariance_type,
        "converged": f"yes, {end}" if model.converged_ else f"no, {end}{remedy}",
        "mean log-likelihood": f"{score_of(model, points):.6f}",
        **{IN_WORDS.get(name, name.upper()): f"{value:.2f}" for name, value in criteria.items()},
    }
    if selection is not None:
        n_failed = int((selection.table.failure != "").sum())
        failed = f", of which {n_failed} failed" if n_failed else ""
        figures["components"] = (
            f"{selection.best_n_components_}, the best of {len(selection.table)} numbers by "
            f"{options.criterion}{failed}"
        )
    if getattr(model, "repairs_", []):
        figures["repaired"] = repairs_in_words(model)
    if options.out:
        figures["saved to"] = options.out
    return figures


def in_json(
    model: Mixture,
    points: NumericTable,
    options: argparse.Namespace,
    selection: Selection | None,
) -> dict[str, Any]:
    """The fit and its components, and what else was tried."""
    from fastgmm.cli.summary import standard_deviations

    return {
        "n_points": points.n_rows,
        "n_features": points.n_features,
        "features": points.feature_names,
        "covariance_type": model.covariance_type,
        "converged": model.converged_,
        "n_iter": model.n_iter_,
        "log_likelihood": model.log_likelihood_,
        **criteria_of(model, points),
        "n_components": len(model.weights_),
        "weights": model.weights_,
        "means": model.means_,
        "covariances": model.covariances_,
        "standard_deviations": standard_deviations(model),
        "degenerate_components": getattr(model, "degenerate_components_", []),
        "saved_to": None if options.out == STREAM else options.out,
        "selection": None if selection is None else selection_in_json(selection),
    }


def criteria_of(model: Mixture, points: NumericTable) -> dict[str, float]:
    """Return what there is to compare the model with others by."""
    if not hasattr(model, "bic"):
        return {"lower_bound": model.lower_bound_}
    n, n_parameters = points.n_rows, model._n_parameters()
    deviance = -2 * n * score_of(model, points)
    return {"bic": deviance + math.log(n) * n_parameters, "aic": deviance + 2 * n_parameters}


def score_of(model: Mixture, points: NumericTable) -> float:
    """Mean log-likelihood, for which nothing is read again unless Ctrl-C left no time for it."""
    score = model.log_likelihood_
    return score if math.isfinite(score) else float(model.score(points.X))


def repairs_in_words(model: GaussianMixture) -> str:
    """How many components were repaired, in which way, and in how many iterations."""
    counts: Counter[str] = Counter()
    for repair in model.repairs_:
        counts[IN_WORDS[repair.action]] += len(repair.components)
    done = ", ".join(f"{count} {action}" for action, count in counts.items())
    return f"{done}; {len(model.means_)} components remain"


def print_summary(model: Mixture, figures: dict[str, str], options: argparse.Namespace) -> None:
    """Print the components and the figures of the fit, beside a model that goes to stdout."""
    from fastgmm.cli.summary import advice_on_degenerate, components_table
    from fastgmm.system.terminal import Terminal, key_values

    terminal = Terminal(stderr=options.out == STREAM)
    terminal.show(components_table(model, terminal.width), key_values(figures))
    advice = advice_on_degenerate(model)
    if advice:
        terminal.show("", advice)
