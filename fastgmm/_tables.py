"""Tables of numbers in files: reading the data of the command line, writing its answers."""

from __future__ import annotations

import csv
import os
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fastgmm._files import written_whole
from fastgmm._records import FloatArray

__all__ = ["NumericTable", "csv_lines", "read_table", "write_table"]

SUFFIXES = (".csv", ".npy", ".npz")
ROWS_AT_ONCE = 10_000  # of a table written as text


class NumericTable(NamedTuple):
    """The points of a file.

    Attributes
    ----------
    X : (n, d) array of numbers
    feature_names : list of str or None
        From the header of a ``.csv`` file that has one.
    """

    X: FloatArray
    feature_names: list[str] | None


def read_table(path: str | os.PathLike[str]) -> NumericTable:
    """Read the points of a ``.csv``, ``.npy`` or ``.npz`` file.

    A ``.csv`` file is comma-separated; a first row without any number is its header. A ``.npz``
    file has one two-dimensional array, or one that is named X. Nothing is unpickled.

    Raises
    ------
    ValueError
        If the file is no table of numbers; the message names the file, and the line if it can.
    OSError
        If the file cannot be read.
    """
    path = Path(path)
    path.open("rb").close()  # the operating system's own error, if it cannot be read
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"{path}: the name ends in none of {', '.join(SUFFIXES)}; convert it.")
    try:
        if suffix == ".csv":
            return read_csv(path)
        array = read_npy(path) if suffix == ".npy" else read_npz(path)
    except Exception as error:  # zipfile and numpy raise a dozen types on damaged bytes
        raise ValueError(f"{path}: {str(error) or 'it is damaged; write it again'}") from error
    if array.ndim != 2:
        raise ValueError(
            f"{path}: the array has {array.ndim} dimensions; "
            "two are needed, one row for each point and one column for each feature."
        )
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{path}: the array holds {array.dtype}, not real numbers.")
    return NumericTable(array, None)


def read_npy(path: Path) -> FloatArray:
    """Map the array into memory, so that its declared size is checked against the file's."""
    return np.asarray(np.lib.format.open_memmap(path, mode="r"))


def read_npz(path: Path) -> FloatArray:
    """Return the array named X, or the only one that has two dimensions."""
    if not zipfile.is_zipfile(path):
        raise ValueError("it is not a whole .npz archive; write it again with numpy.savez.")
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
        if "X" in archive.files:
            return archive["X"]
        if "header.json" in archive.files:
            raise ValueError("it is a saved model, not a table of points.")
        tables = [array for array in map(archive.get, archive.files) if array.ndim == 2]
    if len(tables) != 1:
        raise ValueError(
            f"it has {len(tables)} two-dimensional arrays; name the one with the points X."
        )
    return tables[0]


def read_csv(path: Path) -> NumericTable:
    """Parse with numpy at its speed; only if that fails, look for the line that is wrong."""
    with path.open(newline="", encoding="utf-8-sig") as stream, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "loadtxt: input contained no data")
        names = next((row for row in csv.reader(stream) if row), [])
        if not is_header(names):
            names = []
            stream.seek(0)
        try:
            X = np.loadtxt(stream, delimiter=",", comments=None, quotechar='"', ndmin=2)
        except UnicodeDecodeError:
            raise
        except ValueError as error:
            raise ValueError(first_fault(path) or str(error)) from error
    if not X.size:
        raise ValueError("it has no rows of numbers.")
    if names and len(names) != X.shape[1]:
        raise ValueError(first_fault(path))
    return NumericTable(X, names or None)


def is_header(row: list[str]) -> bool:
    """Whether a first row holds names: some text, and no number."""
    return any(cell.strip() for cell in row) and not any(map(is_number, row))


def is_number(cell: str) -> bool:
    """Whether a cell can be read as a number."""
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell  # which Python allows between digits


def first_fault(path: Path) -> str | None:
    """Say which line of a ``.csv`` file is no row of the table, and how to mend it."""
    with path.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.reader(stream)
        width = 0
        for row in filter(None, reader):
            if not width:
                width = len(row)
                if is_header(row):
                    continue
            where = f"line {reader.line_num}"
            if len(row) != width:
                return (
                    f"{where} has {len(row)} cells, but the first line has {width}; "
                    "give all lines as many."
                )
            for column, cell in enumerate(row, start=1):
                if not cell.strip():
                    return f"{where}, column {column} is empty; fill it, or leave out the line."
                if not is_number(cell):
                    return (
                        f"{where}, column {column} is {shortened(cell)}, not a number; "
                        "cells are numbers with commas between them."
                    )
    return None


def shortened(cell: str) -> str:
    """The cell in quotes, cut where it is long."""
    return repr(cell if len(cell) <= 24 else cell[:23] + "…")


def csv_lines(array: np.ndarray) -> Iterator[str]:
    """Lines of a ``.csv`` file, each number in the fewest digits that tell it apart."""
    rows = array.reshape(len(array), -1)
    for first in range(0, len(rows), ROWS_AT_ONCE):
        for row in rows[first : first + ROWS_AT_ONCE].astype(str).tolist():
            yield ",".join(row) + "\n"


def write_table(path: str | os.PathLike[str], array: np.ndarray) -> None:
    """Write an array to a ``.npy`` file, or else its lines as text; whole or not at all."""
    with written_whole(path) as stream:
        if Path(path).suffix.lower() == ".npy":
            np.save(stream, array, allow_pickle=False)
        else:
            stream.writelines(line.encode() for line in csv_lines(array))
