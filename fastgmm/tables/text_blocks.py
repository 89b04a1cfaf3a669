"""Text a few rows at a time: by pyarrow where it can, which takes all processors, or by numpy."""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from itertools import islice
from typing import Any, BinaryIO

import numpy as np

from fastgmm._records import FloatArray
from fastgmm.tables.columns import ALL, Choice
from fastgmm.tables.text import (
    SAMPLE,
    Layout,
    as_text,
    chosen_layout,
    first_fault,
    parse_lines,
    rows_of,
)

# Lines that numpy parses at a time, and bytes that pyarrow does: it keeps a few such pieces.
LINES_AT_ONCE, BYTES_AT_ONCE = 2**15, 2**18


class TextTable:
    """The points of a text file, and one column of weights if there is one, a few rows at a time.

    `reopen` returns the bytes from the start on.
    """

    def __init__(
        self,
        reopen: Callable[[], BinaryIO],
        header: bool | None = None,
        choice: Choice = ALL,
        weight: str | None = None,
    ) -> None:
        self._reopen, self._has_weight = reopen, weight is not None
        with as_text(reopen()) as text:
            self._layout, self.notes = chosen_layout(text, header, choice, weight)
            self._is_simple = is_simple(text, self._layout)
        columns = self._layout.columns[: -1 if weight is not None else None]
        named, self.width = bool(self._layout.names), len(columns)
        self.names = [self._layout.names[column] for column in columns] if named else None

    def __iter__(self) -> Iterator[tuple[FloatArray, FloatArray | None]]:
        """Yield points and weights from the first row on."""
        blocks = by_pyarrow if self._is_simple else by_numpy
        try:
            for X in blocks(self._reopen(), self._layout):
                yield (X[:, :-1], X[:, -1]) if self._has_weight else (X, None)
        except ValueError as error:  # pyarrow's are, too
            raise ValueError(self._fault() or str(error)) from error

    def _fault(self) -> str | None:
        with as_text(self._reopen()) as text:
            return first_fault(text, self._layout)


def is_simple(text: Any, layout: Layout) -> bool:
    """Whether pyarrow is there, and reads such lines: nothing but cells between single marks."""
    text.seek(0)
    first, sample = text.readline(), text.read(SAMPLE)
    below_names = not layout.names or len(next(rows_of([first], layout.delimiter))[1]) > 0
    plain = layout.delimiter != " " and "#" not in first + sample and bool(first.strip())
    is_utf8 = codecs.lookup(text.encoding).name in ("utf-8", "utf-8-sig")
    return plain and below_names and is_utf8 and find_spec("pyarrow") is not None


def by_pyarrow(stream: BinaryIO, layout: Layout) -> Iterator[FloatArray]:
    """Yield the columns of a few megabytes of text after the other."""
    import pyarrow as arrow
    from pyarrow import csv

    names = [str(number) for number in range(layout.width)]
    chosen = [names[column] for column in layout.columns]
    reading = csv.ReadOptions(
        column_names=names, skip_rows=int(bool(layout.names)), block_size=BYTES_AT_ONCE
    )
    options = {
        "read_options": reading,
        "parse_options": csv.ParseOptions(delimiter=layout.delimiter),
        "convert_options": csv.ConvertOptions(
            column_types=dict.fromkeys(chosen, arrow.float64()),
            include_columns=chosen,
            null_values=[],
        ),
    }
    with stream:
        for batch in csv.open_csv(stream, **options):
            X = np.empty((batch.num_rows, len(chosen)))
            for j in range(len(chosen)):
                X[:, j] = batch.column(j).to_numpy(zero_copy_only=False)
            yield X


def by_numpy(stream: BinaryIO, layout: Layout) -> Iterator[FloatArray]:
    """Yield the columns of some thousand lines after the other."""
    with as_text(stream) as text:
        if layout.names:
            next(rows_of(text, layout.delimiter))
        while lines := list(islice(text, LINES_AT_ONCE)):
            lines = [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
            if lines:
                X = parse_lines(lines, layout)
                if X.shape[1] != layout.width:
                    raise ValueError("lines have different numbers of cells.")
                yield np.ascontiguousarray(X[:, layout.columns])
