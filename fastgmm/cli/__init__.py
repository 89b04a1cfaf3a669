"""The command line: ``fastgmm fit``, ``predict``, ``select`` and so on.

One file per command: `describe` adds its arguments, `run` does the work. Nothing heavy is imported
before a command needs it, so that ``fastgmm --help`` is immediate.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

from fastgmm.cli import bench, demo, fit, info, plot, predict, sample, score, select, warmup

FAILURE, INTERRUPTED, PIPE_CLOSED = 2, 130, 141  # exit codes: the last two as shells give them
EXIT_CODES = (
    f"Exit codes: 0 after success, {FAILURE} after a failure, which is one line on stderr, "
    f"{INTERRUPTED} after Ctrl-C, {PIPE_CLOSED} where the reader of the output has gone."
)
COMMANDS = {
    "demo": (demo, "segment a photograph, beside scikit-learn"),
    "fit": (fit, "fit a mixture to the rows of a file"),
    "predict": (predict, "most probable component of each row of a file"),
    "score": (score, "log-density of each row of a file"),
    "select": (select, "choose the number of components and the covariance type"),
    "sample": (sample, "draw points from a model"),
    "plot": (plot, "draw a model and the rows of a file"),
    "warmup": (warmup, "compile ahead, so that first fits are warm"),
    "bench": (bench, "how fast iterations are here, in about a minute"),
    "info": (info, "versions, processor, threads, cache folder"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; every failure that is not a bug is one line on stderr.

    Return the exit code: 0, 2 after a failure, 130 after an interruption, 141 where the reader of
    the output has gone.
    """
    prepare_output()
    options = parser().parse_args(arguments)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = print_warning
            options.command(options)
            sys.stdout.flush()  # here, where a reader that has gone is no surprise
    except KeyboardInterrupt as interruption:
        print("; ".join(["fastgmm: interrupted", *map(str, interruption.args)]), file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # The interpreter flushes once more at exit, which would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return PIPE_CLOSED
    except (OSError, ValueError, TypeError, ImportError, MemoryError) as error:
        print(f"fastgmm: error: {one_line(error)}", file=sys.stderr)
        return FAILURE
    return 0


def prepare_output() -> None:
    """Have what is printed never fail: for a letter that a stream does not know, or no stream."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        elif isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")


def one_line(error: BaseException) -> str:
    """Say in one line what went wrong."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"{error.filename}: {error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__


def print_warning(message: Warning | str, *unused: Any, **options: Any) -> None:
    """Print a warning as one line, too."""
    print(f"fastgmm: warning: {' '.join(str(message).split())}", file=sys.stderr)


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
    top = Parser(
        prog="fastgmm",
        description="Gaussian mixtures at the speed of the processor.",
        epilog=EXIT_CODES,
    )
    top.add_argument("--version", action=ShowVersion, nargs=0, help="print the version")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, (command, summary) in COMMANDS.items():
        subparser = commands.add_parser(name, help=summary, description=summary.capitalize() + ".")
        subparser.set_defaults(command=command.run)
        command.describe(subparser.add_argument)
    return top
