"""``fastgmm info``: what fastgmm runs on."""

from __future__ import annotations

import argparse

from fastgmm.cli._common import JSON, Add, show_json


def describe(add: Add) -> None:
    """Add the arguments of the command."""
    add("--json", action="store_true", help=JSON)


def run(options: argparse.Namespace) -> None:
    """Print names and values."""
    from fastgmm.benchmarking.environment import describe_environment
    from fastgmm.system.terminal import Terminal, key_values

    if options.json:
        show_json(describe_environment())
    else:
        Terminal().show(key_values(describe_environment()))
