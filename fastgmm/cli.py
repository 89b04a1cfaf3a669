"""The command line: ``fastgmm demo | fit | predict | warmup | bench | info``.

Nothing heavy is imported before a command needs it, so that ``fastgmm --help`` is immediate.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from fastgmm._files import check_writable
from fastgmm._records import COVARIANCE_TYPES, INIT_METHODS
from fastgmm._warmup import DTYPES, FEATURES, Specialization, WarmupResult, warm_up

if TYPE_CHECKING:
    from fastgmm._tables import NumericTable
    from fastgmm.mixture import GaussianMixture

__all__ = ["main"]

FAILURE, INTERRUPTED, PIPE_CLOSED = 2, 130, 141  # exit codes: the last two as shells give them
DEFAULT = "default: %(default)s"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; every failure that is not a bug is one line on stderr.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the process by default.

    Returns
    -------
    int
        The exit code: 0, 2 after a failure, 130 after an interruption, 141 where the reader of
        the output has gone.
    """
    options = parser().parse_args(arguments)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = print_warning
            options.command(options)
            sys.stdout.flush()  # here, where a reader that has gone is no surprise
    except KeyboardInterrupt:
        print("fastgmm: interrupted", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The interpreter flushes once more at exit, which would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except (OSError, ValueError, TypeError, ImportError, MemoryError) as error:
        print(f"fastgmm: error: {one_line(error)}", file=sys.stderr)
        return FAILURE
    return 0


def one_line(error: BaseException) -> str:
    """Say in one line what went wrong."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


def print_warning(message: Warning | str, *unused: Any, **options: Any) -> None:
    """Print a warning as one line, too."""
    print(f"fastgmm: warning: {' '.join(str(message).split())}", file=sys.stderr)


# --- arguments ------------------------------------------------------------------------------
class Parser(argparse.ArgumentParser):
    """A parser whose errors, too, are one line."""

    def error(self, message: str) -> NoReturn:
        """Exit with the message and where to read more."""
        self.exit(FAILURE, f"fastgmm: error: {message} (see {self.prog} --help)\n")


class ShowVersion(argparse.Action):
    """Print the version; it is looked up only then."""

    def __call__(self, parser: argparse.ArgumentParser, *unused: Any) -> NoReturn:
        """Print and exit."""
        from importlib.metadata import version

        print(f"fastgmm {version('fastgmm')}")
        parser.exit()


def parser() -> argparse.ArgumentParser:
    """Describe the commands and their options."""
    top = Parser(prog="fastgmm", description="Gaussian mixtures at the speed of the processor.")
    top.add_argument("--version", action=ShowVersion, nargs=0, help="print the version")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, command, describe, summary in [
        ("demo", run_demo, describe_demo, "segment a photograph, beside scikit-learn"),
        ("fit", run_fit, describe_fit, "fit a mixture to the rows of a file"),
        ("predict", run_predict, describe_predict, "most probable component of each row of a file"),
        ("warmup", run_warmup, describe_warmup, "compile ahead, so that first fits are warm"),
        ("bench", run_bench, describe_bench, "how fast iterations are here, in about a minute"),
        ("info", run_info, None, "versions, processor, threads, cache folder"),
    ]:
        subparser = commands.add_parser(name, help=summary, description=summary.capitalize() + ".")
        subparser.set_defaults(command=command)
        if describe is not None:
            describe(subparser.add_argument)
    return top


def describe_demo(add: Callable[..., object]) -> None:
    """Add the arguments of ``fastgmm demo``."""
    add("--out", metavar="PICTURE", default="fastgmm-demo.png", help=f"the picture; {DEFAULT}")
    add("--components", metavar="K", type=int, default=16, help=DEFAULT)
    add("--max-iter", metavar="N", type=int, default=100, help=DEFAULT)
    add("--seed", metavar="S", type=int, default=0, help=f"of the start; {DEFAULT}")
    every = "use every N-th row and column of the photograph"
    add("--every", metavar="N", type=positive, default=1, help=every)
    add("--no-peer", action="store_true", help="do not run scikit-learn")


def describe_fit(add: Callable[..., object]) -> None:
    """Add the arguments of ``fastgmm fit``: the estimator's, with its defaults."""
    add("data", metavar="FILE", help="points, one a row: .csv, .npy or .npz")
    add("-k", "--components", metavar="K", type=int, required=True, help="number of components")
    add("--out", metavar="MODEL", help="save the model: .npz")
    add("--covariance-type", choices=COVARIANCE_TYPES, default="full", help=DEFAULT)
    tol = f"converged when the mean log-likelihood changes by less; {DEFAULT}"
    add("--tol", metavar="T", type=float, default=1e-3, help=tol)
    reg_covar = f"added to the variances; {DEFAULT}"
    add("--reg-covar", metavar="R", type=float, default=1e-6, help=reg_covar)
    add("--max-iter", metavar="N", type=int, default=100, help=f"most iterations; {DEFAULT}")
    n_init = f"starts, of which the best is kept; {DEFAULT}"
    add("--n-init", metavar="N", type=int, default=1, help=n_init)
    add("--init-params", choices=INIT_METHODS, default="kmeans", help=f"start; {DEFAULT}")
    add("--seed", metavar="S", type=int, default=0, help=f"of the start; {DEFAULT}")


def describe_predict(add: Callable[..., object]) -> None:
    """Add the arguments of ``fastgmm predict``."""
    add("model", metavar="MODEL", help="as saved by fastgmm fit --out")
    add("data", metavar="FILE", help="points, one a row: .csv, .npy or .npz")
    add("--out", metavar="LABELS", help="write a .csv or .npy file in place of the terminal")
    add("--proba", action="store_true", help="the probability of every component")


def describe_warmup(add: Callable[..., object]) -> None:
    """Add the arguments of ``fastgmm warmup``."""
    features = (
        "numbers of features that will be fitted; with full and tied covariances small ones are "
        f"compiled apart, and any large one stands for all; default: {listed(FEATURES)}"
    )
    add("--features", metavar="D", type=int, nargs="+", default=FEATURES, help=features)
    some_of = {"nargs": "+", "help": "default: all"}
    add("--covariance-types", choices=COVARIANCE_TYPES, default=COVARIANCE_TYPES, **some_of)
    add("--dtypes", choices=DTYPES, default=DTYPES, **some_of)


def describe_bench(add: Callable[..., object]) -> None:
    """Add the arguments of ``fastgmm bench``."""
    add("--json", metavar="FILE", help="write everything that was measured")
    against = "an earlier file of --json, to compare with by ratios"
    add("--against", metavar="FILE", help=against)
    mine = (
        "in place of all that, time a function of yours, from a module in the current folder, "
        "beside fastgmm: function(X, n_components) fits a mixture, and may return an object with "
        "score(X), or weights, means and covariances"
    )
    add("--mine", metavar="MODULE:FUNCTION", help=mine)


def listed(values: Sequence[object]) -> str:
    """Write values as they are given to an option."""
    return " ".join(map(str, values))


def positive(text: str) -> int:
    """Parse a number from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)


# --- commands -------------------------------------------------------------------------------
def run_demo(options: argparse.Namespace) -> None:
    """``fastgmm demo``."""
    from fastgmm.demo import show

    show(
        options.out,
        every=options.every,
        n_components=options.components,
        max_iter=options.max_iter,
        seed=options.seed,
        with_peer=not options.no_peer,
    )


def run_fit(options: argparse.Namespace) -> None:
    """``fastgmm fit``: fit, save, summarize."""
    from fastgmm._tables import read_table

    check_output(options.out, (".npz",), options.data)
    points = read_table(options.data)

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
    )
    fit_in_sight(model, points)
    figures = figures_of(model, points)
    if points.feature_names:
        import numpy as np

        model.feature_names_in_ = np.array(points.feature_names, dtype=object)
    if options.out:
        save(model, options.out)
        figures["saved to"] = options.out
    print_summary(model, figures)


def fit_in_sight(model: GaussianMixture, points: NumericTable) -> None:
    """Fit, and show the progress if somebody is watching."""
    from sklearn.exceptions import ConvergenceWarning

    from fastgmm._terminal import LiveProgress

    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore", ConvergenceWarning)  # the summary says so
        if sys.stderr.isatty():
            display = stack.enter_context(LiveProgress(model.n_init, model.max_iter))
            model._progress = lambda: display  # type: ignore[method-assign]
        model.fit(points.X)


def figures_of(model: GaussianMixture, points: NumericTable) -> dict[str, str]:
    """What there is to say about the fit as a whole."""
    n, d = points.X.shape
    end = f"after {model.n_iter_} iteration{'s' * (model.n_iter_ != 1)}"
    remedy = "; raise --max-iter or --tol"
    return {
        "points": f"{n:,} × {d}",
        "covariances": model.covariance_type,
        "converged": f"yes, {end}" if model.converged_ else f"no, {end}{remedy}",
        "mean log-likelihood": f"{model.score(points.X):.6f}",
        "BIC": f"{model.bic(points.X):.2f}",
        "AIC": f"{model.aic(points.X):.2f}",
    }


def print_summary(model: GaussianMixture, figures: dict[str, str]) -> None:
    """Print the components and the figures of the fit."""
    from fastgmm._terminal import Terminal, components_table, key_values

    terminal = Terminal()
    table = components_table(model, terminal.width)
    terminal.print(table)
    if table.caption:
        terminal.print()
    terminal.print(key_values(figures))


def run_predict(options: argparse.Namespace) -> None:
    """``fastgmm predict``: labels or probabilities of the rows of a file."""
    from fastgmm._tables import csv_lines, read_table, write_table

    check_output(options.out, (".csv", ".npy"), options.data)
    points = read_table(options.data)

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


@contextlib.contextmanager
def steps_in_sight(kind: str) -> Iterator[Callable[[int, int, str], None]]:
    """Show how many steps are done, of how many, and what follows, if somebody is watching."""
    from fastgmm._terminal import progress_bar

    bar = progress_bar()
    task = bar.add_task("starting", total=None, state="")

    def show(done: int, total: int, state: str) -> None:
        name = f"{kind} {done + 1} of {total}"
        bar.update(task, description=name, completed=done, total=total, state=state)

    with bar if sys.stderr.isatty() else contextlib.nullcontext():
        yield show


def run_warmup(options: argparse.Namespace) -> None:
    """``fastgmm warmup``: compile what is not on the disk, say what is there."""
    with steps_in_sight("kernels") as show:

        def show_kernel(done: int, total: int, following: Specialization) -> None:
            kinds = ", ".join(following.covariance_types)
            show(done, total, f"{kinds}, features: {following.features}, {following.dtype}")

        result = warm_up(
            options.features, options.covariance_types, options.dtypes, on_next=show_kernel
        )
    print_warmup(result)


def print_warmup(result: WarmupResult) -> None:
    """Print what is on the disk now, and what was new."""
    from fastgmm._terminal import Terminal, key_values, plain_table

    dtypes = list(dict.fromkeys(one.dtype for one in result.compiled))
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for one, compiled in result.compiled.items():
        states = rows.setdefault((", ".join(one.covariance_types), one.features), {})
        states[one.dtype] = "compiled" if compiled else "already there"
    table = plain_table()
    for name in ["covariances", "features", *dtypes]:
        table.add_column(name)
    for problem, states in rows.items():
        table.add_row(*problem, *[states[dtype] for dtype in dtypes])
    n, n_compiled = len(result.compiled), sum(result.compiled.values())
    figures = {
        "compiled": f"{n_compiled} of {n} specialization{'s' * (n != 1)}",
        "already there": str(n - n_compiled),
        "time": f"{result.seconds:.1f} s",
        "cache folder": result.cache_directory,
    }
    terminal = Terminal()
    terminal.print(table)
    terminal.print(key_values(figures))


def run_bench(options: argparse.Namespace) -> None:
    """``fastgmm bench``: iterations of EM here, beside scikit-learn's and an earlier file's."""
    if options.mine is not None:
        run_bench_of_mine(options)
        return
    from fastgmm import _bench
    from fastgmm._terminal import Terminal, key_values

    if options.json:
        check_writable(options.json)
    before = _bench.read_json(options.against) if options.against else None
    with steps_in_sight("problem") as show:
        result = _bench.measure(_bench.CELLS, _bench.BESIDE_SCIKIT_LEARN, on_stage=show)
    if options.json:
        _bench.write_json(result, options.json)
    comparison = _bench.compare(result, before) if before else None
    terminal = Terminal()
    terminal.print(_bench.results_table(result, comparison))
    for note in _bench.comparison_notes(comparison) if comparison else []:
        terminal.print(note, highlight=False, markup=False)
    terminal.print(key_values(result.environment))


def run_bench_of_mine(options: argparse.Namespace) -> None:
    """``fastgmm bench --mine``: whole fits beside a function of the user's."""
    if options.json or options.against:
        raise ValueError("--mine measures something else; leave --json and --against out.")
    from fastgmm import _bench_mine
    from fastgmm._terminal import Terminal

    function = _bench_mine.load_function(options.mine)
    with steps_in_sight("size") as show:
        results = _bench_mine.measure_mine(function, _bench_mine.SIZES, on_stage=show)
    Terminal().print(_bench_mine.mine_table(results))


def run_info(options: argparse.Namespace) -> None:
    """``fastgmm info``."""
    from fastgmm._environment import describe_environment
    from fastgmm._terminal import Terminal, key_values

    Terminal().print(key_values(describe_environment()))


def check_output(path: str | None, suffixes: Sequence[str], data: str) -> None:
    """Refuse a place that cannot be written, or should not be, before any work."""
    if path is None:
        return
    if Path(path).suffix.lower() not in suffixes:
        raise ValueError(f"{path}: this is written as {' or '.join(suffixes)}; name it so.")
    check_writable(path)
    if os.path.exists(path) and os.path.exists(data) and os.path.samefile(path, data):
        raise ValueError(f"{path}: this file has the points; choose another one for --out.")
