"""The command line of tools/slowdown: whether tools/compare finds what is slower, alone."""

from __future__ import annotations

import argparse
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from comparison import report
from comparison.cli import pattern, positive
from comparison.decision import PAIRS
from comparison.injection import INJECTIONS, inject
from comparison.measurement import Settings, compare_times
from comparison.memory import compare_memory
from comparison.sources import FOLDER, Source, export, export_both
from fastgmm.system.terminal import plain_table


@dataclass(slots=True)
class Tally:
    """How often something was reported, and how often all that was reported was to be expected."""

    kind: str
    runs: int = 0
    alarms: int = 0
    right: int = 0

    def add(self, named: list[str]) -> None:
        """Count a run in which these benchmarks were reported."""
        self.runs += 1
        self.alarms += bool(named)
        expected = INJECTIONS[self.kind].expected
        self.right += bool(named and expected and all(re.search(expected, n) for n in named))

    @property
    def is_satisfied(self) -> bool:
        """Whether nine of ten were caught and named, or nothing was reported of nothing."""
        if self.kind == "nothing":
            return self.alarms == 0
        return self.right >= 0.9 * self.runs


def main(arguments: list[str] | None = None) -> int:
    """Make it worse, compare, count."""
    options = parse(arguments)
    settings = Settings(pairs=options.pairs, rounds=options.rounds)
    console = Console()
    console.width = max(console.width, 110)
    original = export(options.commit, options.folder)
    tallies = []
    for kind in options.kinds:
        tally = Tally(kind)
        tallies.append(tally)
        with tempfile.TemporaryDirectory() as scratch:
            worse = inject(kind, original.folder, Path(scratch), options.factor)
            sides = export_both(options.commit, str(worse), options.folder)
        with Console(stderr=True).status("") as status:
            for run in range(options.runs):
                prefix = f"{kind}, run {run + 1} of {options.runs}: "
                named = names_reported(
                    kind, sides, options.benchmarks, settings,
                    lambda words, prefix=prefix: status.update(prefix + words),
                )  # fmt: skip
                tally.add(named)
                console.print(f"{prefix}{named or 'nothing'}", markup=False)
    console.print(tallies_table(tallies, options.factor))
    return 0 if all(tally.is_satisfied for tally in tallies) else 1


def names_reported(
    kind: str,
    sides: tuple[Source, Source],
    benchmarks: str | None,
    settings: Settings,
    on_stage: Callable[[str], object],
) -> list[str]:
    """Compare once."""
    if INJECTIONS[kind].is_memory:
        return [r.benchmark for r in compare_memory(sides, on_stage) if r.is_larger]
    outcome = compare_times(sides, benchmarks, 1, settings, on_stage)
    if outcome.errors or outcome.missing or not outcome.results:
        raise SystemExit(f"not everything was compared: {outcome.errors | outcome.missing}")
    return report.slower(outcome, settings)


def tallies_table(tallies: list[Tally], factor: float) -> object:
    """A line for each kind."""
    table = plain_table()
    table.add_column(f"made worse, {factor:g}×")
    for header in ("runs", "reported", "and rightly named", ""):
        table.add_column(header, justify="right")
    for tally in tallies:
        right = "" if tally.kind == "nothing" else str(tally.right)
        fine = "fine" if tally.is_satisfied else "NOT FINE"
        table.add_row(tally.kind, str(tally.runs), str(tally.alarms), right, fine)
    return table


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(
        prog="tools/slowdown",
        description="Make a copy of a commit slower and let tools/compare find out; and let it "
        "compare the commit with itself, of which nothing is to be reported. Exits with 1 if "
        "fewer than nine of ten were caught, or if there was a false alarm.",
    )
    add = parser.add_argument
    add("kinds", nargs="*", type=kind, metavar="KIND", help=f"default: {' '.join(INJECTIONS)}")
    add("--commit", default="HEAD", help="a revision, a folder, WORKTREE (default: %(default)s)")
    add("--factor", type=factor, default=1.3, help="from 1 to 2 (default: %(default)s)")
    add("--runs", type=positive, default=10, help="of each kind (default: %(default)s)")
    add("--benchmarks", type=pattern, metavar="REGEX", help="as of tools/compare")
    add("--pairs", type=positive, default=PAIRS, help="as of tools/compare")
    add("--rounds", type=positive, default=Settings().rounds, help="as of tools/compare")
    add("--folder", type=Path, default=FOLDER, help="as of tools/compare")
    options = parser.parse_args(arguments)
    options.kinds = options.kinds or list(INJECTIONS)
    return options


def kind(word: str) -> str:
    """Read the name of an injection."""
    if word not in INJECTIONS:
        raise argparse.ArgumentTypeError(f"{word} is none of {', '.join(INJECTIONS)}")
    return word


def factor(word: str) -> float:
    """Read how many times slower."""
    number = float(word)
    if not 1 <= number <= 2:
        raise argparse.ArgumentTypeError("must be from 1 to 2")
    return number
