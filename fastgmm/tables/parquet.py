"""Tables of numbers in Parquet files, by pyarrow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np

from fastgmm._records import FloatArray
from fastgmm.tables.columns import ALL, Choice, points_and_weight
from fastgmm.tables.text import MISSING

PARQUET = b"PAR1"  # what such a file begins and ends with
# Rows that are decoded, and bytes of a column that are read at a time; each column has its own.
ROWS_AT_ONCE, BUFFER = 2**14, 2**18


class ParquetTable:
    """The points of a file, and one column of weights if there is one, a few rows at a time.

    The index that pandas writes is left out. ImportError is raised without pyarrow, and ValueError
    if a column is not of numbers or has nulls; other columns than those chosen are not read.
    """

    def __init__(
        self, source: str | BinaryIO, choice: Choice = ALL, weight: str | None = None
    ) -> None:
        parquet = _parquet()
        self._source = source
        with whole_or_damaged():
            file = parquet.ParquetFile(source)
        names, index = file.schema_arrow.names, _index_of_pandas(file.schema_arrow)
        twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
        if twice is not None:
            raise ValueError(f"two columns are named {twice}; rename one.")
        index = [name for name in index if name in names]
        if not set(index) & {*choice.columns, *choice.expected}:  # is not counted
            names = [name for name in names if name not in index]
        chosen, own = points_and_weight(choice, weight, names, len(names))
        self.names: list[str] | None = [names[number] for number in chosen]
        self._weight, self.width = None if own is None else names[own], len(chosen)
        kinds = [file.schema_arrow.field(name).type for name in self.names]
        self.dtype = np.dtype(np.float32 if set(map(str, kinds)) == {"float"} else np.float64)
        self.n_rows = file.metadata.num_rows
        left_out = [name for name in index if name not in self.names and not choice.columns]
        self.notes: tuple[str, ...] = tuple(
            f"the column {name} is pandas' index, and is left out." for name in left_out
        )

    def __iter__(self) -> Iterator[tuple[FloatArray, FloatArray | None]]:
        """Yield points and weights from the first row on; no row group is decoded as a whole."""
        names, weight, first = self.names or [], self._weight, 0
        columns = names if weight is None else [*names, weight]
        with whole_or_damaged():
            file = _parquet().ParquetFile(self._source, buffer_size=BUFFER, pre_buffer=False)
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=columns, use_threads=False):
                X = np.empty((batch.num_rows, len(names)), self.dtype)
                for j, name in enumerate(names):
                    X[:, j] = _numbers(name, batch.column(name), first)
                own = None if weight is None else _numbers(weight, batch.column(weight), first)
                first += len(X)
                yield X, own


def read_parquet(stream: BinaryIO, choice: Choice) -> tuple[FloatArray, list[str], tuple[str, ...]]:
    """Return the numbers, the names of the columns, and notes for the reader."""
    table = ParquetTable(stream, choice)
    names = table.names or []
    if not table.n_rows:
        raise ValueError("it has no rows of numbers.")
    X, first = np.empty((table.n_rows, len(names)), table.dtype), 0
    for rows, _ in table:
        X[first : first + len(rows)] = rows
        first += len(rows)
    return X, names, table.notes


def _parquet() -> Any:
    try:
        from pyarrow import parquet
    except ImportError as error:
        raise ImportError(
            "a Parquet file is read by pyarrow, which is not installed: pip install "
            "'fastgmm[files]'."
        ) from error
    return parquet


@contextmanager
def whole_or_damaged() -> Iterator[None]:
    """Say in words what pyarrow finds wrong with a file."""
    import pyarrow as arrow

    try:
        yield
    except (arrow.ArrowException, EOFError) as error:
        raise ValueError(f"it is cut off or damaged ({error}); write it again.") from error
    except OSError as error:
        if error.errno is not None:  # the operating system's own
            raise
        raise ValueError(f"it is cut off or damaged ({error}); write it again.") from error


def _index_of_pandas(schema: Any) -> list[str]:
    """Names of the columns that pandas takes for the index, of a table that it has written."""
    metadata = (schema.metadata or {}).get(b"pandas")
    columns = json.loads(metadata)["index_columns"] if metadata else []
    return [column for column in columns if isinstance(column, str)]


def _numbers(name: str, column: Any, first: int) -> np.ndarray:
    """The numbers of a column from a row on; ValueError if it has something else."""
    import pyarrow as arrow

    kind = column.type
    if arrow.types.is_decimal(kind):
        column, kind = column.cast(arrow.float64()), arrow.float64()
    known = (arrow.types.is_floating, arrow.types.is_integer, arrow.types.is_boolean)
    if not any(is_known(kind) for is_known in known):
        raise ValueError(
            f"column {name} holds {kind}, not real numbers; leave it out by --index, or by "
            "--columns."
        )
    if column.null_count:
        row = first + column.is_null().index(True).as_py()
        raise ValueError(f"row {row}, column {name} (rows counted from 0) is null; {MISSING}.")
    return np.asarray(column.to_numpy(zero_copy_only=False))
