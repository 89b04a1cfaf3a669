"""Tables of numbers in Parquet files, by pyarrow."""

from __future__ import annotations

import json
from typing import Any, BinaryIO

import numpy as np

from fastgmm._records import FloatArray
from fastgmm.cli.columns import Choice
from fastgmm.cli.text_tables import MISSING

PARQUET = b"PAR1"  # what such a file begins and ends with


def read_parquet(stream: BinaryIO, choice: Choice) -> tuple[FloatArray, list[str], tuple[str, ...]]:
    """Return the numbers, the names of the columns, and notes for the reader.

    The index that pandas writes is left out. ImportError is raised without pyarrow, and ValueError
    if a column is not of numbers or has nulls; other columns than those chosen are not read.
    """
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError as error:
        raise ImportError(
            "a Parquet file is read by pyarrow, which is not installed: pip install "
            "'fastgmm[files]'."
        ) from error
    try:
        file = parquet.ParquetFile(stream)
        names = file.schema_arrow.names
        twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
        if twice is not None:
            raise ValueError(f"two columns are named {twice}; rename one.")
        index = [name for name in _index_of_pandas(file.schema_arrow) if name in names]
        if not set(index) & {*choice.columns, *choice.expected}:  # is not counted
            names = [name for name in names if name not in index]
        chosen = [names[number] for number in choice.chosen(names, len(names))]
        table = file.read(columns=chosen)
    except arrow.ArrowException as error:
        raise ValueError(f"it is cut off or damaged ({error}); write it again.") from error
    columns = [_numbers(name, table.column(name)) for name in chosen]
    if not table.num_rows:
        raise ValueError("it has no rows of numbers.")
    single = all(column.dtype == np.float32 for column in columns)
    X = np.empty((table.num_rows, len(chosen)), np.float32 if single else np.float64)
    for j, column in enumerate(columns):
        X[:, j] = column
    left_out = [name for name in index if name not in chosen and not choice.columns]
    notes = [f"the column {name} is pandas' index, and is left out." for name in left_out]
    return X, chosen, tuple(notes)


def _index_of_pandas(schema: Any) -> list[str]:
    """Names of the columns that pandas takes for the index, of a table that it has written."""
    metadata = (schema.metadata or {}).get(b"pandas")
    columns = json.loads(metadata)["index_columns"] if metadata else []
    return [column for column in columns if isinstance(column, str)]


def _numbers(name: str, column: Any) -> np.ndarray:
    """The numbers of a column; ValueError if it has something else."""
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
        row = column.is_null().index(True).as_py()
        raise ValueError(f"row {row}, column {name} (rows counted from 0) is null; {MISSING}.")
    return np.asarray(column.to_numpy())
