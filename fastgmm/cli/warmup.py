"""``fastgmm warmup``: compile what is not on the disk, say what is there."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from fastgmm._records import COVARIANCE_TYPES
from fastgmm.cli._common import JSON, Add, show_json, steps_in_sight
from fastgmm.warmup import (
    DTYPES,
    FEATURES,
    Specialization,
    WarmupResult,
    processes_at_once,
    warm_up,
)


def describe(add: Add) -> None:
    """Add the arguments of the command."""
    features = (
        "numbers of features that will be fitted; with full and tied covariances small ones are "
        f"compiled apart, and any large one stands for all; default: {listed(FEATURES)}"
    )
    add("--features", metavar="D", type=int, nargs="+", default=FEATURES, help=features)
    some_of = {"nargs": "+", "help": "default: all"}
    add("--covariance-types", choices=COVARIANCE_TYPES, default=COVARIANCE_TYPES, **some_of)
    add("--dtypes", choices=DTYPES, default=DTYPES, **some_of)
    add("--json", action="store_true", help=JSON)


def listed(values: Sequence[object]) -> str:
    """Write values as they are given to an option."""
    return " ".join(map(str, values))


def run(options: argparse.Namespace) -> None:
    """Compile, and say so."""
    with steps_in_sight("kernels") as show:

        def show_kernel(done: int, total: int, following: Specialization) -> None:
            kinds = ", ".join(following.covariance_types)
            show(done, total, f"{kinds}, features: {following.features}, {following.dtype}")

        result = warm_up(
            options.features,
            options.covariance_types,
            options.dtypes,
            n_processes=processes_at_once(),
            on_next=show_kernel,
        )
    if options.json:
        show_json(in_json(result))
    else:
        print_warmup(result)


def in_json(result: WarmupResult) -> dict[str, Any]:
    """What is on the disk now, and what was new."""
    return {
        "specializations": [
            {**asdict(one), "compiled": compiled} for one, compiled in result.compiled.items()
        ],
        "seconds": result.seconds,
        "cache_directory": result.cache_directory,
    }


def print_warmup(result: WarmupResult) -> None:
    """Print what is on the disk now, and what was new."""
    from fastgmm.system.terminal import Terminal, key_values, plain_table

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
    Terminal().show(table, key_values(figures))
