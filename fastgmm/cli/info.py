"""``fastgmm info``: what fastgmm runs on."""

from __future__ import annotations

import argparse

from fastgmm.cli._common import Add


def describe(add: Add) -> None:
    """Add no arguments: the command has none."""


def run(options: argparse.Namespace) -> None:
    """Print names and values."""
    from fastgmm.benchmarking.environment import describe_environment
    from fastgmm.system.terminal import Terminal, key_values

    Terminal().show(key_values(describe_environment()))
