"""Columns of tables: by name and by number, an index left out, and tables of Parquet files."""

from __future__ import annotations

import io
import sys
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as arrow
import pytest
from pyarrow import parquet

from fastgmm.cli._common import listed
from fastgmm.cli.tables import read_table
from fastgmm.tables.columns import Choice

TEXT = "name,width,height,kind\nanna,1,2,x\nbo,3,4,y\ncy,5,6,x\n"
NUMBERS = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])


def read(folder, content, columns=(), index="", name="table.csv", header=None):
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(folder / name, header, Choice(tuple(columns), listed(index)))


def refused(*arguments, **options):
    with pytest.raises(ValueError, match="table") as caught:
        read(*arguments, **options)
    return str(caught.value)


def as_parquet(frame, **options):
    stream = io.BytesIO()
    frame.to_parquet(stream, **options)
    return stream.getvalue()


FRAME = pd.read_csv(io.StringIO(TEXT))


# --- by name and by number ------------------------------------------------------------------
@pytest.mark.parametrize("kind", ["text", "parquet"])
@pytest.mark.parametrize("columns", [("width", "height"), ("1", "2"), ("1-2",), ("width", "2")])
def test_columns_by_name_and_by_number(columns, kind, tmp_path):
    content = TEXT if kind == "text" else as_parquet(FRAME)
    table = read(tmp_path, content, columns)
    np.testing.assert_array_equal(table.X, NUMBERS)
    assert table.feature_names == ["width", "height"]
    assert table.X.flags.c_contiguous


@pytest.mark.parametrize("kind", ["text", "parquet"])
def test_columns_in_another_order(kind, tmp_path):
    content = TEXT if kind == "text" else as_parquet(FRAME)
    table = read(tmp_path, content, ["height", "width"])
    np.testing.assert_array_equal(table.X, NUMBERS[:, ::-1])
    assert table.feature_names == ["height", "width"]


def test_an_index_is_left_out(tmp_path):
    without_kind = "\n".join(line.rpartition(",")[0] for line in TEXT.splitlines())
    for index in ("name", "0"):
        table = read(tmp_path, without_kind, index=index)
        np.testing.assert_array_equal(table.X, NUMBERS)
        assert table.feature_names == ["width", "height"]


def test_columns_of_text_are_left_out(tmp_path):
    table = read(tmp_path, TEXT, index="name,kind")
    np.testing.assert_array_equal(table.X, NUMBERS)
    assert table.feature_names == ["width", "height"]


def test_the_index_of_pandas_is_not_counted(tmp_path):
    frame = pd.DataFrame(NUMBERS, columns=["a", "b"], index=[5, 6, 7])
    text = read(tmp_path, frame.to_csv(), ["0-1"])
    packed = read(tmp_path, as_parquet(frame), ["0-1"])
    for table in (text, packed):
        np.testing.assert_array_equal(table.X, NUMBERS)
    assert "the columns, 0 to 1, are a, b" in refused(tmp_path, frame.to_csv(), ["2"])


def test_the_names_of_a_model_are_found(tmp_path):
    (tmp_path / "table.csv").write_text(TEXT)
    table = read_table(tmp_path / "table.csv", None, Choice(expected=("height", "width")))
    np.testing.assert_array_equal(table.X, NUMBERS[:, ::-1])
    with pytest.raises(ValueError, match="is 'anna'"):  # without them, all columns
        read_table(tmp_path / "table.csv", None, Choice(expected=("height", "depth")))


def test_lines_that_are_too_long_are_told_where_columns_are_chosen(tmp_path):
    ragged = "id,price,x,y\na,1,2,3\nb,1,5,2,3\n"
    assert "line 3 has 5 cells, but the first line has 4" in refused(tmp_path, ragged, ["x", "y"])


def test_delimiters_at_the_end_are_no_column(tmp_path):
    trailing = "a,b,c,\n1,2,3,\n4,5,6,\n"
    assert read(tmp_path, trailing, ["0-1"]).X.tolist() == [[1, 2], [4, 5]]
    assert "no column '3'; the columns, 0 to 2, are a, b, c" in refused(tmp_path, trailing, ["3"])


def test_a_comment_within_quotes_is_a_name(tmp_path):
    content = 'n,b,c\n"A#1",2,3\nB,5,x # y\n'
    assert "line 3, column 3 (c) is 'x '" in refused(tmp_path, content, ["b", "c"])


def test_columns_without_names(tmp_path):
    table = read(tmp_path, "1,a,2\n3,b,4\n5,c,6\n", ["0", "2"])
    np.testing.assert_array_equal(table.X, NUMBERS)
    assert table.feature_names is None


def test_a_name_comes_before_a_number(tmp_path):
    table = read(tmp_path, "a,0\n1,2\n3,4\n", ["0"], header=True)
    assert table.X.tolist() == [[2], [4]]


def test_the_index_of_pandas_is_no_news_where_columns_are_chosen(tmp_path):
    indexed = ",a,b\n0,1,2\n1,3,4\n"
    assert read(tmp_path, indexed).notes
    table = read(tmp_path, indexed, ["b"])
    assert (table.X.tolist(), table.notes) == ([[2], [4]], ())


@pytest.mark.parametrize("name", ["table.npy", "table.npz"])
def test_columns_of_arrays(name, tmp_path):
    stream, table = io.BytesIO(), np.column_stack([np.arange(3.0), NUMBERS])
    if name.endswith("y"):
        np.save(stream, table)
    else:
        np.savez(stream, table)
    chosen = read(tmp_path, stream.getvalue(), ["1-2"], name=name)
    np.testing.assert_array_equal(chosen.X, NUMBERS)
    left_out = read(tmp_path, stream.getvalue(), index="0", name=name)
    np.testing.assert_array_equal(left_out.X, NUMBERS)


def test_holes_elsewhere_do_not_matter(tmp_path):
    content = "a,b\n1,\n2,x\n3,4\n"
    assert read(tmp_path, content, ["a"]).X.tolist() == [[1], [2], [3]]
    assert "line 2, column 2 (b) is empty" in refused(tmp_path, content, ["a", "b"])


@pytest.mark.parametrize(
    ("columns", "index", "said"),
    [
        (["depth"], "", "no column 'depth'; the columns, 0 to 3, are name, width, height, kind"),
        (["4"], "", "no column '4'"),
        (["2-1"], "", "no column '2-1'"),
        (["1", "width"], "", "column 1 is chosen twice"),
        (["name"], "", "line 2, column 1 (name) is 'anna', not a number"),
        ([], "name,width,height,kind", "no column of numbers is left"),
        (["1", "0"], "name", "column 0 is both a point's and the index"),
        (
            [],
            "",
            "line 2, column 1 (name) is 'anna', not a number; leave its column out by --index",
        ),
    ],
)
def test_what_cannot_be_chosen(columns, index, said, tmp_path):
    assert said in refused(tmp_path, TEXT, columns, index)


def test_what_cannot_be_chosen_without_names(tmp_path):
    assert "the 2 columns have no names, and numbers from 0 to 1" in refused(
        tmp_path, "1,2\n3,4\n", ["a"]
    )
    assert "2 columns are named 'a'; choose them by number" in refused(
        tmp_path, "a,a\n1,2\n", ["a"]
    )
    assert "no column of numbers is left" in refused(tmp_path, "1\n2\n", index="0")


# --- Parquet --------------------------------------------------------------------------------
def test_a_table_of_numbers(tmp_path):
    frame = pd.DataFrame({"a": [1, 2], "b": [0.5, 1.5], "c": [True, False]})
    table = read(tmp_path, as_parquet(frame), name="table.parquet")
    np.testing.assert_array_equal(table.X, frame.to_numpy(float))
    assert (table.feature_names, table.notes) == (["a", "b", "c"], ())


def test_single_precision_is_kept(tmp_path):
    frame = pd.DataFrame(NUMBERS.astype(np.float32), columns=["a", "b"])
    assert read(tmp_path, as_parquet(frame)).X.dtype == np.float32
    assert read(tmp_path, as_parquet(frame.assign(c=1))).X.dtype == np.float64


def test_the_index_that_pandas_writes_is_left_out(tmp_path):
    frame = pd.DataFrame(NUMBERS, columns=["a", "b"], index=pd.Index([7, 8, 9], name="number"))
    table = read(tmp_path, as_parquet(frame))
    np.testing.assert_array_equal(table.X, NUMBERS)
    assert table.notes == ("the column number is pandas' index, and is left out.",)
    everything = read(tmp_path, as_parquet(frame), ["number", "a"])
    assert (everything.X[:, 0].tolist(), everything.notes) == ([7, 8, 9], ())


def test_from_standard_input(monkeypatch):
    content = as_parquet(FRAME[["width", "height"]])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    np.testing.assert_array_equal(read_table("-").X, NUMBERS)


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (FRAME, "column name holds"),
        (pd.DataFrame({"a": [1.0, np.inf]}), "row 1, column 0 (counted from 0) is inf"),
        (pd.DataFrame({"a": pd.array([1, None], "Int64")}), "row 1, column a (rows counted"),
        (pd.DataFrame({"a": [1.0][:0]}), "it has no rows of numbers"),
    ],
)
def test_what_is_wrong_with_a_table(frame, said, tmp_path):
    message = refused(tmp_path, as_parquet(frame))
    assert said in message
    assert "'fastgmm[files]'" not in message


def test_a_damaged_file(tmp_path):
    whole = as_parquet(FRAME[["width", "height"]])
    assert "cut off or damaged" in refused(tmp_path, whole[:-20], name="table.parquet")


def test_columns_of_one_name(tmp_path):
    stream = io.BytesIO()
    parquet.write_table(arrow.table([[1.0], [2.0]], names=["a", "a"]), stream)
    assert "two columns are named a; rename one" in refused(tmp_path, stream.getvalue())


def test_decimal_numbers(tmp_path):
    stream, prices = io.BytesIO(), arrow.array([Decimal("1.00"), Decimal("2.00")])
    parquet.write_table(arrow.table({"price": prices}), stream)
    assert read(tmp_path, stream.getvalue()).X.tolist() == [[1], [2]]


def test_without_pandas_metadata(tmp_path):
    stream = io.BytesIO()
    parquet.write_table(arrow.table({"a": [1.0, 2.0]}), stream)
    assert read(tmp_path, stream.getvalue()).feature_names == ["a"]


def test_without_pyarrow(tmp_path, monkeypatch):
    content = as_parquet(FRAME)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"pip install 'fastgmm\[files\]'"):
        read(tmp_path, content)
