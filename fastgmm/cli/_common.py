"""What several commands share: help texts, data, output files, progress."""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from fastgmm.em.results import RepairAction
from fastgmm.system.files import check_writable

if TYPE_CHECKING:
    import numpy as np

    from fastgmm.cli.tables import NumericTable
    from fastgmm.persistence import Mixture
    from fastgmm.selection.select import Selection

Add = Callable[..., object]  # add_argument of a parser

DEFAULT = "default: %(default)s"
REG_COVAR = f"added to the variances; {DEFAULT}"
ON_DEGENERATE = ("raise", *get_args(RepairAction))
MODELS = (".npz",)
PICTURES = (".png", ".svg", ".pdf")
DATA = (
    "one point per row: .npy, .npz, .parquet, or text (.csv, .tsv, .txt) with cells between "
    "commas, semicolons, tabs or blanks; # begins a comment; also compressed (.gz, .bz2, .xz); "
    "- reads standard input"
)
HEADER = (
    "whether the first line of a text file has the names of the columns; by default it does if it "
    "has no number, or if its numbers are plainly labels: successive years, or pandas' 0, 1, 2, …. "
    "A first column without a name is an index, as pandas writes it, and is left out"
)
COLUMNS = (
    "those that are points, by name or by number from 0 on (without pandas' index), such as "
    "width,height or 0,2-4; by default all are, or those that the model was fitted on"
)
BLOCKS = (
    "whether the files are read in blocks, anew in every pass, in place of into memory; by default "
    "they are if they would take a third of the memory that is left"
)
INDEX = "those that are left out: what names the rows, or is text"
JSON = "print everything as JSON in place of tables"
STREAM = "-"  # standard input or output


def describe_data(add: Add, *, several: bool = False) -> None:
    """Add the arguments that name the points, which may be in several files of one kind."""
    if several:
        add("data", metavar="FILE", nargs="+", help=f"{DATA}; several files, a pattern or a folder")
        add("--blocks", action=argparse.BooleanOptionalAction, help=BLOCKS)
    else:
        add("data", metavar="FILE", help=DATA)
    add("--header", action=argparse.BooleanOptionalAction, help=HEADER)
    add("--columns", metavar="COLUMNS", type=listed, default=(), help=COLUMNS)
    add("--index", metavar="COLUMNS", type=listed, default=(), help=INDEX)


def describe_model(add: Add) -> None:
    """Add the argument that names the model."""
    add("model", metavar="MODEL", help="as saved by fastgmm fit --out")


def read_data(options: argparse.Namespace, expected: Sequence[str] = ()) -> NumericTable:
    """Read the points, and say on stderr how they were understood where that may surprise.

    Columns of the expected names are chosen if all are there, and nothing else is asked for.
    """
    from fastgmm.cli.tables import read_table, read_tables
    from fastgmm.tables.columns import Choice

    choice = Choice(options.columns, options.index, tuple(expected))
    if isinstance(options.data, str):
        table = read_table(options.data, options.header, choice)
    else:
        table = read_tables(options.data, options.header, choice, options.blocks)
    for note in table.notes:
        print(f"fastgmm: note: {named_data(options)}: {note}", file=sys.stderr)
    return table


def named_data(options: argparse.Namespace) -> str:
    """What is called the data, where there may be several files."""
    return options.data if isinstance(options.data, str) else ", ".join(options.data)


def read_model_and_data(
    options: argparse.Namespace,
) -> tuple[Mixture, NumericTable, list[str]]:
    """Load a model, the points, and the names of its features, which have to be the points'.

    The model itself has no names any more: they have been compared, and would ask for a data frame.
    """
    if STREAM in options.data and options.model == STREAM:
        raise ValueError("the model and the points cannot both come from standard input.")
    model = load_model(options.model)
    expected = list(getattr(model, "feature_names_in_", ()))
    points = read_data(options, expected)
    if expected:
        del model.feature_names_in_
    if expected and points.feature_names not in (None, expected):
        raise ValueError(
            f"{named_data(options)}: the columns are "
            f"{', '.join(points.feature_names or [])}, but the "
            f"model was fitted on {', '.join(expected)}; give these columns, in any order."
        )
    n, d = model.means_.shape[1], points.n_features
    if n != d:
        raise ValueError(
            f"{named_data(options)} has {d} columns of numbers, but the model was fitted on {n} "
            "features; choose the same ones by --columns."
        )
    return model, points, expected


def answers(
    points: NumericTable, method: Callable[[Any], np.ndarray]
) -> np.ndarray | Iterable[np.ndarray]:
    """Return what a method of a model says of each point, part by part of those in blocks."""
    from fastgmm.estimator.collections import BlockCollection

    return BlockCollection(points.X).outputs(method) if points.in_blocks else method(points.X)


def load_model(path: str) -> Mixture:
    """Load a model from a file, or from standard input."""
    from fastgmm.cli.tables import standard_input
    from fastgmm.persistence import load

    if path != STREAM:
        return load(path)
    try:
        return load(standard_input())
    except ValueError as error:
        raise ValueError(f"standard input: {error}") from error


def save_model(model: Mixture, path: str) -> None:
    """Save a model in a file, or write it to standard output."""
    from fastgmm.persistence import save

    save(model, sys.stdout.buffer if path == STREAM else path)


def show(
    answer: np.ndarray | Iterable[np.ndarray], path: str | None, names: Sequence[str] = ()
) -> None:
    """Write rows to a file, or print them, below the names of their columns if there are any.

    Those that come in parts are written as they come.
    """
    import numpy as np

    from fastgmm.cli.tables import csv_lines, write_table

    parts = [answer] if isinstance(answer, np.ndarray) else answer
    if path and path != STREAM:
        write_table(path, parts, names)
    else:
        sys.stdout.writelines(csv_lines(parts, names))


def show_json(value: Any, out: str | None = None) -> None:
    """Print as JSON, which has no NaN: null stands for it. A model may have stdout for itself."""
    stream = sys.stderr if out == STREAM else sys.stdout
    print(json.dumps(_plain(value), indent=1, allow_nan=False), file=stream)


def selection_in_json(selection: Selection) -> dict[str, Any]:
    """Everything that was tried, and the best of it."""
    names = selection.table.dtype.names or ()
    return {
        "criterion": selection.criterion,
        "best": {
            "n_components": selection.best_n_components_,
            "covariance_type": selection.best_covariance_type_,
        },
        "table": [dict(zip(names, row, strict=True)) for row in selection.table.tolist()],
    }


def _plain(value: Any) -> Any:
    """What JSON holds in place of arrays, numpy's numbers, and numbers that are not finite."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_picture(figure: Any, path: str) -> None:
    """Write a figure of matplotlib, whole or not at all, in the format that the name ends with."""
    from fastgmm.system.files import atomic_write

    with atomic_write(path) as stream:
        figure.savefig(stream, format=Path(path).suffix[1:].lower(), dpi=150)


def listed(text: str) -> tuple[str, ...]:
    """Parse what stands between commas; quotes keep a comma within a name."""
    return tuple(cell.strip() for cell in next(csv.reader([text], skipinitialspace=True), []))


def positive(text: str) -> int:
    """Parse a number from 1 on."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)


def numbers(text: str) -> list[int]:
    """Parse numbers of components: 3, 1-9, or 2,4,8-10."""
    found: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part.strip())
        first, last = (match[1], match[2] or match[1]) if match else ("1", "0")
        if int(first) < 1 or int(last) < int(first):
            raise argparse.ArgumentTypeError(f"{text!r} is not like 3, 1-9 or 2,4,8")
        found += range(int(first), int(last) + 1)
    return list(dict.fromkeys(found))


def check_output(path: str | None, suffixes: Sequence[str], data: str | Sequence[str]) -> None:
    """Refuse a place that cannot be written, or should not be, before any work."""
    if path == STREAM and suffixes == MODELS and sys.stdout.isatty():
        raise ValueError("a model is not for a terminal; name a file for --out, or pipe it on.")
    if path is None or (path == STREAM and suffixes is not PICTURES):
        return
    if Path(path).suffix.lower() not in suffixes:
        raise ValueError(f"{path}: this is written as {' or '.join(suffixes)}; name it so.")
    check_writable(path)
    files = [data] if isinstance(data, str) else data
    if os.path.exists(path) and any(
        os.path.exists(file) and os.path.samefile(path, file) for file in files
    ):
        raise ValueError(f"{path}: this file has the points; choose another one for --out.")


@contextlib.contextmanager
def steps_in_sight(kind: str) -> Iterator[Callable[[int, int, str], None]]:
    """Show how many steps are done, of how many, and what follows, if a terminal is watching."""
    from fastgmm.system.terminal import progress_bar

    bar = progress_bar()
    task = bar.add_task("starting", total=None, state="")

    def show(done: int, total: int, state: str) -> None:
        name = f"{kind} {done + 1} of {total}"
        bar.update(task, description=name, completed=done, total=total, state=state)

    with bar if sys.stderr.isatty() else contextlib.nullcontext():
        yield show
