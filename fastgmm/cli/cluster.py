"""Points in files that the workers of a Dask cluster read, for ``--scheduler``."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fastgmm.cli.tables import NumericTable
from fastgmm.tables.columns import Choice
from fastgmm.tables.files import expanded

READABLE = (".parquet", ".csv")


@contextmanager
def points_on_cluster(options: argparse.Namespace) -> Iterator[NumericTable]:
    """Connect to the scheduler; give the points of the files, which workers have to see too."""
    paths = [file for path in options.data for file in expanded(path)]
    suffixes = {Path(path).suffix.lower() for path in paths}
    if len(suffixes) != 1 or not suffixes & set(READABLE):
        raise ValueError(
            f"workers read {' or '.join(READABLE)} files, and all of one kind; without --scheduler "
            "the others are read too."
        )
    try:
        from distributed import Client
    except ImportError as error:
        raise ImportError(
            "--scheduler needs Dask, which is not installed: pip install 'fastgmm[dask]'."
        ) from error
    with Client(options.scheduler):
        frame = frame_of(paths, suffixes.pop(), options.header)
        choice = Choice(options.columns, options.index)
        names = [str(name) for name in frame.columns]
        frame = frame[[frame.columns[number] for number in choice.chosen(names, len(names))]]
        is_named = options.header is not False
        yield NumericTable(frame, [str(name) for name in frame.columns] if is_named else None)


def frame_of(paths: Sequence[str], suffix: str, header: bool | None) -> Any:
    """Return files as one data frame of Dask."""
    import dask.dataframe as dd

    absolute = [str(Path(path).resolve()) for path in paths]  # where workers look, too
    if suffix == ".parquet":
        return dd.read_parquet(absolute)
    return dd.read_csv(absolute, header=None if header is False else "infer")
