"""Tables of numbers in files: reading the data of the command line, writing its answers."""

from __future__ import annotations

import csv
import io
import lzma
import os
import sys
import zipfile
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from fastgmm._records import FloatArray
from fastgmm.system.files import atomic_write
from fastgmm.system.memory import available_bytes
from fastgmm.tables.columns import ALL, Choice
from fastgmm.tables.files import COMPRESSED, ZIP, FileBlocks, expanded
from fastgmm.tables.npy import NPY, damage_in_words
from fastgmm.tables.parquet import PARQUET, read_parquet
from fastgmm.tables.text import MISSING, first_fault_of_values, read_text

STREAM = "-"
UNPACKED = 4  # times as large as a compressed file are its numbers, roughly
ROWS_AT_ONCE = 10_000  # of a table written as text


class NumericTable(NamedTuple):
    """The points of files, and how these were understood, where that may surprise."""

    X: Any  # an array, or `FileBlocks`
    feature_names: list[str] | None
    notes: tuple[str, ...] = ()

    @property
    def in_blocks(self) -> bool:
        """Whether they are read anew in every pass."""
        return isinstance(self.X, FileBlocks)

    @property
    def n_features(self) -> int:
        """Number of features."""
        return int(self.X.n_features if self.in_blocks else self.X.shape[1])

    @property
    def n_rows(self) -> int:
        """Number of points, which blocks know after a pass."""
        return int(self.X.n_rows if self.in_blocks else len(self.X))


def read_table(
    path: str | os.PathLike[str], header: bool | None = None, choice: Choice = ALL
) -> NumericTable:
    """Read the points of a text, ``.npy``, ``.npz`` or Parquet file, compressed or not.

    ``-`` is standard input. Text has its cells between commas, semicolons, tabs or blanks; whether
    its first line has names is found out, unless `header` says so. A ``.npz`` file has one
    two-dimensional array, or one that is named X. Nothing is unpickled. All columns are points but
    those that `choice` leaves out. ValueError is raised if the
    file is not a table of finite numbers; the message names the file, and the line if it can.
    """
    name = "standard input" if os.fspath(path) == "-" else os.fspath(path)
    with opened(path) as stream:  # the operating system's own error, if that fails
        try:
            return read_stream(stream, Path(path), header, choice)
        except ImportError:
            raise
        except Exception as error:  # zipfile and numpy raise a dozen types on damaged bytes
            raise ValueError(f"{name}: {in_words(error)}") from error


def read_tables(
    given: Sequence[str], header: bool | None, choice: Choice, in_blocks: bool | None
) -> NumericTable:
    """Read files, or leave them to be read in blocks, if `in_blocks` says so or memory does."""
    paths = [STREAM] if list(given) == [STREAM] else [f for path in given for f in expanded(path)]
    if in_blocks is None:
        in_blocks = STREAM not in paths and are_large(paths)
    if len(paths) == 1 and not in_blocks:
        return read_table(paths[0], header, choice)
    if STREAM in paths:
        raise ValueError("standard input comes once; write it to a file, to read that in blocks.")
    blocks = FileBlocks(paths, header, choice)
    if in_blocks:
        return NumericTable(blocks, blocks.feature_names, blocks.notes)
    # Readers use their memory again.
    parts = [np.array(block) for block in blocks]
    X = np.concatenate(parts) if parts else np.empty((0, blocks.n_features))
    check_array(X)
    return NumericTable(X, blocks.feature_names, blocks.notes)


def are_large(paths: Sequence[str]) -> bool:
    """Whether files would take a third of the memory that is left; an array is mapped instead."""
    if len(paths) == 1 and Path(paths[0]).suffix.lower() == ".npy":
        return False
    n_bytes = 0
    for path in filter(os.path.isfile, paths):
        is_packed = Path(path).suffix.lower() in (".parquet", ".gz", ".bz2", ".xz")
        n_bytes += os.path.getsize(path) * (UNPACKED if is_packed else 1)
    available = available_bytes()
    return available is not None and 3 * n_bytes > available


def opened(path: str | os.PathLike[str]) -> BinaryIO:
    """Open for reading from the start, more than once; pipes are read into memory."""
    if os.fspath(path) == "-":
        return standard_input()
    stream = open(path, "rb")  # noqa: SIM115
    if stream.seekable():
        return stream
    with stream:
        return io.BytesIO(stream.read())


def standard_input() -> BinaryIO:
    """What is read from standard input, if there is any."""
    if sys.stdin is None:
        raise ValueError("standard input is closed; name a file.")
    return io.BytesIO(sys.stdin.buffer.read())


def in_words(error: Exception) -> str:
    """What is wrong with a file, and what may help."""
    if isinstance(error, EOFError | lzma.LZMAError | zipfile.BadZipFile):
        return f"it is cut off or damaged ({error}); write it again."
    return str(error) or "it is damaged; write it again."


def read_stream(stream: BinaryIO, path: Path, header: bool | None, choice: Choice) -> NumericTable:
    """Read what the first bytes, or else the name, say that this is."""
    start = peek(stream)
    for magic, decompressed in COMPRESSED.items():
        if start.startswith(magic):
            with decompressed(stream) as inner:
                return read_stream(inner, path.with_suffix(""), header, choice)
    suffix = path.suffix.lower()
    if start.startswith(NPY) or suffix == ".npy":
        array = read_npy(stream, path)
    elif start.startswith(ZIP) or suffix == ".npz":
        array = read_npz(stream)
    elif start.startswith(PARQUET) or suffix == ".parquet":
        array, names, notes = read_parquet(stream, choice)
        check_array(array)
        return NumericTable(array, names, notes)
    else:
        return NumericTable(*read_text(stream, header, choice))
    if choice and array.ndim == 2:
        array = array[:, choice.chosen((), array.shape[1])]
    check_array(array)
    return NumericTable(array, None)


def peek(stream: BinaryIO) -> bytes:
    """The first bytes, which stay to be read."""
    start = stream.read(8)
    stream.seek(0)
    return start


def check_array(array: np.ndarray) -> None:
    """Raise if an array is not a table of finite numbers."""
    if array.ndim != 2:
        raise ValueError(
            f"the array has {array.ndim} dimension{'s' * (array.ndim != 1)}; two are needed, one "
            "row for each point and one column for each feature (array.reshape(-1, 1) for a single "
            "one)."
        )
    if array.dtype.kind not in "biuf":
        raise ValueError(f"the array holds {array.dtype}, not real numbers.")
    fault = first_fault_of_values(array)
    if fault is not None:
        row, column, value = fault
        raise ValueError(f"row {row}, column {column} (counted from 0) is {value}; {MISSING}.")


def read_npy(stream: BinaryIO, path: Path) -> FloatArray:
    """Map a file into memory, so that its declared size is checked against the file's."""
    is_file = isinstance(stream, io.BufferedReader)
    with damage_in_words():
        if not is_file:  # a pipe's bytes, or decompressed ones
            return np.lib.format.read_array(stream, allow_pickle=False)
        return np.asarray(np.lib.format.open_memmap(path, mode="r"))


def read_npz(stream: BinaryIO) -> FloatArray:
    """Return the array named X, or the only one that has two dimensions."""
    if not zipfile.is_zipfile(stream):
        raise ValueError("it is not a whole .npz archive; write it again with numpy.savez.")
    stream.seek(0)
    with np.load(stream, allow_pickle=False) as archive:
        if "X" in archive.files:
            return archive["X"]
        if "header.json" in archive.files:
            raise ValueError("it is a saved model, not a table of points.")
        arrays = [archive[name] for name in archive.files]
    if not all(isinstance(array, np.ndarray) for array in arrays):
        raise ValueError("it is an archive or a spreadsheet; save its table as a .csv file.")
    tables = [array for array in arrays if array.ndim == 2]
    if len(tables) != 1:
        raise ValueError(
            f"it has {len(tables)} two-dimensional arrays; name the one with the points X."
        )
    return tables[0]


def csv_lines(parts: Iterable[np.ndarray], names: Sequence[str] = ()) -> Iterator[str]:
    """Lines of a ``.csv`` file, each number in the fewest digits that tell it apart.

    The first has the names of the columns, if there are any.
    """
    if names:
        yield _row_of_names(names)
    for array in parts:
        rows = array.reshape(len(array), -1)
        for first in range(0, len(rows), ROWS_AT_ONCE):
            for row in rows[first : first + ROWS_AT_ONCE].astype(str).tolist():
                yield ",".join(row) + "\n"


def _row_of_names(names: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(names)
    return line.getvalue()


def write_table(
    path: str | os.PathLike[str], parts: Iterable[np.ndarray], names: Sequence[str] = ()
) -> None:
    """Write rows to a ``.npy`` file, or else their lines as text; whole or not at all."""
    with atomic_write(path) as stream:
        if Path(path).suffix.lower() == ".npy":
            np.save(stream, np.concatenate(list(parts)), allow_pickle=False)
        else:
            stream.writelines(line.encode() for line in csv_lines(parts, names))
