"""Tables of numbers in text, as pandas, numpy, spreadsheets and R write them."""

from __future__ import annotations

import codecs
import csv
import io
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import BinaryIO, TextIO

import numpy as np

from fastgmm._records import FloatArray
from fastgmm.tables.columns import ALL, Choice, points_and_weight

MISSING = "fill it, or leave out the line"
NO_VALUE = {"", "na", "n/a", "#n/a", "null", "none", "?", "-", "."}
DELIMITERS = {";": "semicolons", "\t": "tabs", ",": "commas", " ": "blanks"}
BYTE_ORDER_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")
COMMENT = re.compile(r'("[^"]*")|#.*')  # but not within quotes
YEARS = range(1500, 2200)
SAMPLE = 2**16  # characters that the layout is found out from
ROWS_AT_ONCE = 2**16  # looked at for values that are not finite


@dataclass(frozen=True, slots=True)
class Layout:
    """How the lines of a file are to be read."""

    delimiter: str  # a blank stands for any white space
    names: list[str]  # of all columns; empty without a header
    width: int  # number of cells of a line
    has_index: bool  # in the first column, which is left out
    has_tail: bool  # every line ends with a delimiter, after which nothing follows
    columns: list[int]  # those that hold points


def read_text(
    stream: BinaryIO, header: bool | None = None, choice: Choice = ALL
) -> tuple[FloatArray, list[str] | None, tuple[str, ...]]:
    """Return the numbers, the names of the columns if there are any, and notes for the reader.

    The stream is in UTF-8, or in UTF-16 with a byte order mark; other bytes are taken as Latin-1.
    ValueError is raised if this is not a table of finite numbers; the message has the line.
    """
    text = as_text(stream)
    try:
        return read_lines(text, header, choice)
    finally:
        text.detach()  # the stream is its owner's to close


def read_lines(
    text: io.TextIOWrapper, header: bool | None, choice: Choice
) -> tuple[FloatArray, list[str] | None, tuple[str, ...]]:
    """Do so for decoded text."""
    layout, notes = chosen_layout(text, header, choice)
    try:
        X = parse(text, layout)
    except ValueError as error:
        raise ValueError(first_fault(text, layout) or str(error)) from error
    if not X.size:
        marked = text.encoding == "utf-16"
        read_as = " (read as utf-16, for its byte order mark, not utf-8)" if marked else ""
        raise ValueError(f"it has no rows of numbers{read_as}.")
    if X.shape[1] != layout.width:
        raise ValueError(first_fault(text, layout) or "lines have different numbers of cells.")
    X = np.ascontiguousarray(X[:, layout.columns])
    if not X.shape[1]:
        raise ValueError("it has no column of numbers beside the index.")
    if first_fault_of_values(X) is not None:
        raise ValueError(first_fault(text, layout) or "it has values that are not finite.")
    names = [layout.names[column] for column in layout.columns] if layout.names else None
    return X, names, notes


def chosen_layout(
    text: TextIO, header: bool | None, choice: Choice, weight: str | None = None
) -> tuple[Layout, tuple[str, ...]]:
    """Find out how lines are to be read for the columns chosen; a weight's comes after them."""
    layout, notes = layout_of(text, header)
    if choice or weight is not None:
        first = int(layout.has_index)  # which is not counted
        known = layout.names[first : layout.width - layout.has_tail]
        chosen, own = points_and_weight(choice, weight, known, len(layout.columns))
        chosen += [] if own is None else [own]
        layout = replace(layout, columns=[first + column for column in chosen])
        notes = notes[1:] if first and choice.columns else notes
    return layout, notes


def as_text(stream: BinaryIO) -> io.TextIOWrapper:
    """Decode; bytes that are not UTF-8 are taken as Latin-1, which has a letter for each."""
    start = stream.read(4)
    stream.seek(0)
    marks = (mark for mark in BYTE_ORDER_MARKS if start.startswith(mark))
    encoding = BYTE_ORDER_MARKS.get(next(marks, b""), "utf-8")
    codecs.register_error("latin-1", _as_latin_1)
    return io.TextIOWrapper(stream, encoding, errors="latin-1", newline="")


def _as_latin_1(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeDecodeError):
        raise error
    return error.object[error.start : error.end].decode("latin-1"), error.end


# --- the layout -----------------------------------------------------------------------------
def layout_of(text: TextIO, header: bool | None) -> tuple[Layout, tuple[str, ...]]:
    """Find out from the first lines how all of them are to be read."""
    text.seek(0)
    sample = text.read(SAMPLE)
    if "\0" in sample:
        raise ValueError("it is neither text, .npy, .npz nor .parquet; convert it to one of them.")
    delimiter = delimiter_of(sample)
    text.seek(0)
    rows = rows_of(text, delimiter)
    _, first = next(rows, (0, []))
    _, second = next(rows, (0, []))
    named = is_header(first, second) if header is None else header and bool(first)
    row = second if named and second else first
    has_index = named and not first[0].strip() and len(first) > 1
    tail_has_name = named and len(first) == len(row) and bool(first[-1].strip())
    has_tail = len(row) > 1 and not row[-1].strip() and not tail_has_name
    width = len(row) if has_tail else len(first)
    names = [name.strip() for name in first] if named else []
    if named and has_tail and len(names) < width:
        names.append("")
    notes = []
    if has_index:
        notes.append(
            "the first column has no name, as pandas writes an index, and is left out; give it a "
            "name to fit it, too."
        )
    if header is None and first and (named or may_be_header(first, second)):
        notes += note_on_header(first, named)
    columns = list(range(int(has_index), width - int(has_tail)))
    return Layout(delimiter, names, width, has_index, has_tail, columns), tuple(notes)


def note_on_header(first: list[str], named: bool) -> list[str]:
    """Say what a first line with numbers was taken for."""
    if not any(map(is_number, first)):
        return []
    line = shortened(", ".join(filter(None, first)))
    if named:
        return [f"the first line, {line}, has names of columns; --no-header makes it a point."]
    return [f"the first line, {line}, is a point; --header makes it names of columns."]


def delimiter_of(sample: str) -> str:
    """What stands between the cells of most lines; a blank for any white space."""
    lines = [re.sub(r'"[^"]*"|#.*', "", line).strip(" \r") for line in sample.splitlines()]
    lines = list(filter(None, lines))
    counts = {mark: sum(mark in line for line in lines) for mark in DELIMITERS}
    best = max(counts, key=counts.__getitem__)  # of equals the first, as 1,5;2,5 needs it
    return best if 2 * counts[best] > len(lines) else ","


def rows_of(text: Iterable[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Cells of each line that has some, and its number in the file.

    No line is read ahead, so that others can read on.
    """
    reader = csv.reader((significant(line, delimiter) for line in text), delimiter=delimiter)
    for row in reader:
        if row:
            yield reader.line_num, row


def significant(line: str, delimiter: str) -> str:
    """The line; nothing of it if it is a comment, and single blanks if they are delimiters."""
    if line.lstrip().startswith("#"):
        return "\n"
    return " ".join(line.split()) + "\n" if delimiter == " " else line


def is_header(row: list[str], following: list[str]) -> bool:
    """Whether a first row holds names: some text and no number, or numbers that are labels.

    A row with an empty first cell is not a point, so that pandas' own labels 0, 1, 2, … over an
    index are told; without an index there have to be three, over numbers that are not integers.
    """
    numbers = [cell for cell in row if is_number(cell)]
    if not numbers:
        return any(cell.strip() and not DECIMAL_COMMA.fullmatch(cell.strip()) for cell in row)
    if not are_integers(numbers):
        return False
    labels = [int(cell) for cell in numbers]
    indexed = not row[0].strip()
    if labels == list(range(len(labels))):
        return indexed or (len(row) >= 3 and may_be_header(row, following))
    years_follow = are_integers(following) and are_years([int(cell) for cell in following], indexed)
    return are_years(labels, indexed) and not years_follow


def may_be_header(row: list[str], following: list[str]) -> bool:
    """Whether a first row is 0, 1, 2, …, as pandas numbers columns, over other than integers."""
    numbered = [cell.strip() for cell in row] == list(map(str, range(len(row))))
    return numbered and len(row) > 1 and bool(following) and not are_integers(following)


def are_integers(cells: list[str]) -> bool:
    """Whether all cells are integers without a sign."""
    return all(cell.strip().isdecimal() for cell in cells)


def are_years(labels: list[int], indexed: bool) -> bool:
    """Whether these are years in equal steps: two successive ones, more, or one over an index."""
    steps = {after - before for before, after in pairwise(labels)}
    regular = len(steps) == 1 and 0 not in steps and (len(labels) > 2 or steps <= {-1, 1})
    return all(label in YEARS for label in labels) and (regular or (indexed and len(labels) == 1))


def is_number(cell: str) -> bool:
    """Whether a cell can be read as a number."""
    try:
        float(cell)
    except ValueError:
        return False
    return "_" not in cell  # which Python allows between digits


# --- the numbers ----------------------------------------------------------------------------
def parse(text: TextIO, layout: Layout) -> FloatArray:
    """Parse with numpy at its speed; columns that are left out are zeros."""
    text.seek(0)
    if layout.names:
        next(rows_of(text, layout.delimiter))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "loadtxt: input contained no data")
        return parse_lines(text, layout)


def parse_lines(lines: Iterable[str], layout: Layout) -> FloatArray:
    """Parse lines below the header."""
    converters: dict[int | str, Callable[[str], float]] = {}
    for column in set(range(layout.width)) - set(layout.columns):
        converters[column] = lambda cell: 0.0
    if layout.has_tail:
        converters[layout.width - 1] = zero_if_empty
    return np.loadtxt(
        lines,
        delimiter=None if layout.delimiter == " " else layout.delimiter,
        comments="#",
        quotechar='"',
        converters=converters or None,
        ndmin=2,
    )


def zero_if_empty(cell: str) -> float:
    """Refuse a cell after the last delimiter, where the other lines have none."""
    if cell.strip():
        raise ValueError("one line has more cells than the others")
    return 0.0


def first_fault_of_values(X: FloatArray) -> tuple[int, int, float] | None:
    """Row, column and value of the first number that is not finite."""
    for start in range(0, len(X), ROWS_AT_ONCE):
        finite = np.isfinite(X[start : start + ROWS_AT_ONCE])
        if not finite.all():
            row, column = np.argwhere(~finite)[0].tolist()
            return start + row, column, float(X[start + row, column])
    return None


def first_fault(text: TextIO, layout: Layout) -> str | None:
    """Say which line is not a row of the table, and how to mend it."""
    text.seek(0)
    before = next(rows_of(text, layout.delimiter))[0] if layout.names else 0
    without_comments = (COMMENT.sub(lambda match: match[1] or "", line) for line in text)
    for number, row in rows_of(without_comments, layout.delimiter):
        line = before + number
        if layout.has_tail and len(row) == layout.width and not row[-1].strip():
            row = row[:-1]
        width = layout.width - layout.has_tail
        if len(row) != width:
            return (
                f"line {line} has {len(row)} cells, but the first line has {width}; "
                "give all lines as many."
            )
        for column in layout.columns:
            said = fault_of(row[column], layout)
            if said:
                name = f" ({layout.names[column]})" if layout.names else ""
                return f"line {line}, column {column + 1}{name} is {said}"
    return None


def fault_of(cell: str, layout: Layout) -> str | None:
    """What is wrong with a cell, and how to mend it."""
    bare = cell.strip()
    if not bare:
        return f"empty; {MISSING}."
    if is_number(cell):
        value = float(cell)
        if np.isfinite(value):
            return None
        kind = "NaN, which is not a number" if np.isnan(value) else "infinity"
        return f"{shortened(cell)}: {kind}; {MISSING}."
    if bare.lower() in NO_VALUE:
        return f"{shortened(cell)}, not a number; {MISSING}."
    if DECIMAL_COMMA.fullmatch(bare):
        return (
            f"{shortened(cell)}: decimal commas are not read; write decimal points, such as "
            f"{bare.replace(',', '.')} (pandas.read_csv(…, decimal=',') reads such a file)."
        )
    if layout.names:
        return f"{shortened(cell)}, not a number; leave its column out by --index, or by --columns."
    return (
        f"{shortened(cell)}, not a number; cells are numbers with {DELIMITERS[layout.delimiter]} "
        "between them (--header, if the first line has names; --index, to leave a column out)."
    )


def shortened(cell: str) -> str:
    """The cell in quotes, cut where it is long."""
    return repr(cell if len(cell) <= 24 else cell[:23] + "…")
