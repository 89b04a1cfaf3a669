"""Files of points as blocks: one or several, of one format or another."""

from __future__ import annotations

import bz2
import glob
import gzip
import lzma
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from fastgmm._records import FloatArray
from fastgmm.tables.columns import ALL, Choice
from fastgmm.tables.npy import NPY, NpyTable
from fastgmm.tables.parquet import PARQUET, ParquetTable
from fastgmm.tables.text_blocks import TextTable

ZIP = b"PK\x03\x04"
# What compressed files begin with, and what opens them.
COMPRESSED: dict[bytes, Callable[[Any], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}


class Table(Protocol):
    """The rows of one file."""

    names: list[str] | None  # of the columns that are points
    width: int  # number of these
    notes: tuple[str, ...]  # how the file was understood, where that may surprise

    def __iter__(self) -> Iterator[tuple[FloatArray, FloatArray | None]]:
        """Yield some rows and their weights after the other."""


class FileBlocks:
    """The rows of files after each other, which must have the same columns; read in every pass.

    `weight` names the column that has the weights, if there are any.
    """

    def __init__(
        self,
        paths: Sequence[str],
        header: bool | None = None,
        choice: Choice = ALL,
        weight: str | None = None,
    ) -> None:
        self.paths, self._header, self.choice, self._weight = list(paths), header, choice, weight
        self._ends: list[int] = []  # the number of rows up to the end of each file
        self._n_rows: int | None = None
        self.on_rows: Callable[[int], object] | None = None  # is told how many a pass has read
        first = self._table(self.paths[0])
        self.feature_names, self.notes, self.n_features = first.names, first.notes, first.width

    @property
    def n_rows(self) -> int:
        """Number of rows, which a pass finds out."""
        if self._n_rows is None:
            for _ in self:
                pass
        assert self._n_rows is not None
        return self._n_rows

    def changed(self, choice: Choice | None = None, weight: str | None = None) -> FileBlocks:
        """Return other columns of the files, or the same with weights."""
        weight = self._weight if weight is None else weight
        return FileBlocks(self.paths, self._header, choice or self.choice, weight)

    def of_features(self, names: Sequence[str]) -> FileBlocks:
        """Return the columns of these names, in their order, if the columns have names."""
        if self.feature_names is None or self.feature_names == list(names):
            return self
        found = self.changed(replace(self.choice, expected=tuple(names)))
        if found.feature_names != list(names):
            raise ValueError(
                f"{self.paths[0]}: the columns are {', '.join(found.feature_names or [])}, but the "
                f"model was fitted on {', '.join(names)}; give these columns, in any order."
            )
        return found

    def __iter__(self) -> Iterator[tuple[FloatArray, FloatArray | None] | FloatArray]:
        """Begin with the first file anew."""
        self._ends = []
        n_rows = 0
        for path in self.paths:
            table = self._table(path)
            if table.names != self.feature_names:
                raise ValueError(
                    f"{path}: the columns are {_listed(table.names)}, but those of {self.paths[0]} "
                    f"are {_listed(self.feature_names)}; give files of the same columns."
                )
            try:
                for X, weight in table:
                    n_rows += len(X)
                    if self.on_rows is not None:
                        self.on_rows(n_rows)
                    yield X if weight is None else (X, weight)
            except ValueError as error:
                raise ValueError(f"{path}: {error}") from error
            self._ends.append(n_rows)
        self._n_rows = n_rows

    def place(self, row: int) -> str:
        """Return the file of a row, and its number in there."""
        first = 0
        for path, end in zip(self.paths, [*self._ends, row + 1], strict=False):
            if row < end:
                return f"row {row - first:,} of {path} (counted from 0)"
            first = end
        return f"row {row:,} (counted from 0)"

    def _table(self, path: str) -> Table:
        try:
            return table_of(path, self._header, self.choice, self._weight)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error


def table_of(path: str, header: bool | None, choice: Choice, weight: str | None) -> Table:
    """Return the table of a file, as its first bytes, or else its name, say what it is."""
    with open(path, "rb") as stream:
        start = stream.read(8)
    suffix = Path(path).suffix.lower()
    if start.startswith(NPY) or suffix == ".npy":
        return NpyTable(path, choice, weight)
    if start.startswith(PARQUET) or suffix == ".parquet":
        return ParquetTable(path, choice, weight)
    if start.startswith(ZIP) or suffix == ".npz":
        raise ValueError("an archive is not read in blocks; write .npy, .parquet or text.")
    return TextTable(partial(reopened, path, start), header, choice, weight)


def reopened(path: str, start: bytes) -> BinaryIO:
    """Open a file, whose first bytes say whether it is compressed."""
    for magic, decompressed in COMPRESSED.items():
        if start.startswith(magic):
            stream: BinaryIO = decompressed(path)
            return stream
    return open(path, "rb")


def expanded(given: str | os.PathLike[str]) -> list[str]:
    """Return the files that a path stands for: a file, all Parquet files of a folder, a pattern."""
    path = os.fspath(given)
    if os.path.isdir(path):
        found = sorted(map(str, Path(path).rglob("*.parquet")))
        if not found:
            raise FileNotFoundError(f"{path}: this folder has no .parquet file; name the files.")
        return found
    if os.path.exists(path) or not glob.has_magic(path):
        return [path]
    found = sorted(glob.glob(path, recursive=True))
    if not found:
        raise FileNotFoundError(f"{path}: no file has such a name.")
    return found


def _listed(names: list[str] | None) -> str:
    return "without names" if names is None else ", ".join(names)
