"""``fastgmm bench``: iterations of EM here, beside scikit-learn's and an earlier file's."""

from __future__ import annotations

import argparse

from fastgmm.cli._common import Add, steps_in_sight
from fastgmm.system.files import check_writable


def describe(add: Add) -> None:
    """Add the arguments of the command."""
    add("--json", metavar="FILE", help="write everything that was measured")
    against = "an earlier file of --json, to compare with by ratios"
    add("--against", metavar="FILE", help=against)
    mine = (
        "in place of all that, time a function of yours, from a module in the current folder, "
        "beside fastgmm: function(X, n_components) fits a mixture, and may return an object with "
        "score(X), or weights, means and covariances"
    )
    add("--mine", metavar="MODULE:FUNCTION", help=mine)


def run(options: argparse.Namespace) -> None:
    """Measure, write, compare, print."""
    if options.mine is not None:
        run_mine(options)
        return
    from fastgmm.benchmarking import problems, report, timing
    from fastgmm.system.terminal import Terminal, key_values

    if options.json:
        check_writable(options.json)
    before = report.read_json(options.against) if options.against else None
    with steps_in_sight("problem") as show:
        result = timing.measure(problems.PROBLEMS, problems.BESIDE_SCIKIT_LEARN, on_stage=show)
    if options.json:
        report.write_json(result, options.json)
    comparison = report.compare(result, before) if before else None
    notes = report.comparison_notes(comparison) if comparison else []
    table = report.results_table(result, comparison)
    Terminal().show(table, *notes, key_values(result.environment))


def run_mine(options: argparse.Namespace) -> None:
    """``--mine``: whole fits beside the user's own function."""
    if options.json or options.against:
        raise ValueError("--mine measures something else; leave --json and --against out.")
    from fastgmm.benchmarking import user_function
    from fastgmm.system.terminal import Terminal

    function = user_function.load_function(options.mine)
    with steps_in_sight("size") as show:
        results = user_function.measure_mine(function, user_function.SIZES, on_stage=show)
    Terminal().show(user_function.mine_table(results))
