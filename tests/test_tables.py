"""Tables in files: whatever pandas, numpy, spreadsheets and R write is read, or said why not."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sys
import zipfile

import numpy as np
import pytest

from fastgmm.cli.tables import read_table

EXPECTED = np.array([[1.5, 2.0, -3.0], [4.0, 5.25, 6.0], [7.0, 8.0, 9e3]])
ROWS = "1.5,2,-3\n4,5.25,6\n7,8,9e3\n"
NAMED = "a,b,c\n" + ROWS


def read(folder, content, name="table.csv", **options):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_table(path, **options)


def refused(folder, content, name="table.csv", **options):
    with pytest.raises(ValueError, match=name) as caught:
        read(folder, content, name, **options)
    return str(caught.value)


SPELLINGS = {
    "commas": NAMED,
    "semicolons": NAMED.replace(",", ";"),
    "tabs": NAMED.replace(",", "\t"),
    "blanks": NAMED.replace(",", " "),
    "many blanks": "  a \t b  c\n" + "".join(f"  {x}   {y} {z} \n" for x, y, z in EXPECTED),
    "comma and blank": NAMED.replace(",", ", "),
    "quoted": "".join(f'"{line}"\n'.replace(",", '","') for line in NAMED.splitlines()),
    "quoted by semicolons": "".join(
        f'"{line}"\n'.replace(",", '";"') for line in NAMED.splitlines()
    ),
    "CRLF": NAMED.replace("\n", "\r\n"),
    "no last line end": NAMED.rstrip(),
    "blank lines": "\n\n" + NAMED.replace("\n", "\n\n"),
    "comments": "# made, by; hand\n"
    + NAMED.replace("4,", "# and\n4,").replace("6\n", "6 # x, y\n"),
    "trailing commas": NAMED.replace("\n", ",\n"),
    "trailing commas below": "a,b,c\n" + ROWS.replace("\n", ",\n"),
    "trailing semicolons": NAMED.replace(",", ";").replace("\n", ";\r\n"),
}


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_spellings_of_one_table(spelling, tmp_path):
    table = read(tmp_path, SPELLINGS[spelling])
    np.testing.assert_array_equal(table.X, EXPECTED)
    assert table.feature_names == ["a", "b", "c"]
    assert table.notes == ()


@pytest.mark.parametrize("spelling", [name for name in SPELLINGS if "below" not in name])
def test_spellings_without_a_header(spelling, tmp_path):
    content = SPELLINGS[spelling]
    line = next(
        line for line in content.splitlines(keepends=True) if "b" in line and "#" not in line
    )
    table = read(tmp_path, content.replace(line, "", 1))
    np.testing.assert_array_equal(table.X, EXPECTED)
    assert table.feature_names is None


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1", pytest.param("utf-16-be-sig")]
)
def test_encodings(encoding, tmp_path):
    content = NAMED.replace("a", "größe in µm")
    encoded = (
        ("\ufeff" + content).encode("utf-16-be")
        if encoding == "utf-16-be-sig"
        else content.encode(encoding)
    )
    table = read(tmp_path, encoded)
    np.testing.assert_array_equal(table.X, EXPECTED)
    assert table.feature_names == ["größe in µm", "b", "c"]


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
@pytest.mark.parametrize("name", ["table.csv.gz", "table.csv"])
def test_compressed_text(compress, name, tmp_path):
    np.testing.assert_array_equal(read(tmp_path, compress(NAMED.encode()), name).X, EXPECTED)


def arrays():
    npy, npz = io.BytesIO(), io.BytesIO()
    np.save(npy, EXPECTED)
    np.savez(npz, X=EXPECTED)
    return npy.getvalue(), npz.getvalue()


def piped(monkeypatch, content):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    return read_table("-")


@pytest.mark.parametrize(
    "content",
    [NAMED.encode(), *arrays(), gzip.compress(arrays()[0])],
    ids=["text", "npy", "npz", "gzip"],  # archives have the time in them
)
def test_standard_input(content, monkeypatch):
    np.testing.assert_array_equal(piped(monkeypatch, content).X, EXPECTED)


def test_what_is_wrong_with_standard_input(monkeypatch):
    with pytest.raises(ValueError, match=r"standard input: line 2, column 2 is 'x'"):
        piped(monkeypatch, b"1,2\n3,x\n")
    with pytest.raises(ValueError, match=r"standard input: .*cut off or damaged"):
        piped(monkeypatch, arrays()[0][:-8])


def test_other_names_of_text_files(tmp_path):
    for name in ["table.tsv", "table.txt", "table.data", "table"]:
        np.testing.assert_array_equal(read(tmp_path, NAMED.replace(",", "\t"), name).X, EXPECTED)


def test_tables_of_numpy(tmp_path):
    np.savetxt(tmp_path / "plain.txt", EXPECTED)
    np.savetxt(tmp_path / "named.txt", EXPECTED, header="a b c")
    for name in ["plain.txt", "named.txt"]:
        np.testing.assert_array_equal(read_table(tmp_path / name).X, EXPECTED)


def test_a_single_column(tmp_path):
    table = read(tmp_path, "sepal length\n1\n2\n3\n")
    np.testing.assert_array_equal(table.X, [[1], [2], [3]])
    assert table.feature_names == ["sepal length"]
    assert read(tmp_path, "1\n2\n3\n").X.shape == (3, 1)


def test_names_may_repeat_and_have_signs(tmp_path):
    assert read(tmp_path, "a,a\n1,2\n").feature_names == ["a", "a"]
    assert read(tmp_path, "item #,b\n1,2\n").feature_names == ["item #", "b"]


# --- the index of pandas --------------------------------------------------------------------
INDEXED = {
    "0, 1, 2": (",a,b\n0,1.5,2\n1,3,4\n", ["a", "b"]),
    "any integers": (",a,b\n7,1.5,2\n3,3,4\n", ["a", "b"]),
    "text": ('"","a","b"\n"one",1.5,2\n"two",3,4\n', ["a", "b"]),
    "dates": (",a,b\n2020-01-01,1.5,2\n2020-01-02,3,4\n", ["a", "b"]),
    "semicolons": (";a;b\n0;1.5;2\n1;3;4\n", ["a", "b"]),
    "tabs": ("\ta\tb\n0\t1.5\t2\n1\t3\t4\n", ["a", "b"]),
    "numbered": (",0,1\n0,1.5,2\n1,3,4\n", ["0", "1"]),
    "years": (",2019,2020\n0,1.5,2\n1,3,4\n", ["2019", "2020"]),
}


@pytest.mark.parametrize("kind", INDEXED)
def test_a_first_column_without_name_is_left_out(kind, tmp_path):
    content, names = INDEXED[kind]
    table = read(tmp_path, content)
    np.testing.assert_array_equal(table.X, [[1.5, 2], [3, 4]])
    assert table.feature_names == names
    assert "is left out" in table.notes[0]


def test_pandas_itself(tmp_path):
    pandas = pytest.importorskip("pandas")
    for labels in (["a", "b", "c"], [2019, 2020, 2021], [0, 1, 2]):
        for index in (True, False):
            frame = pandas.DataFrame(EXPECTED, columns=labels)
            frame.to_csv(tmp_path / "frame.csv", index=index)
            table = read_table(tmp_path / "frame.csv")
            np.testing.assert_array_equal(table.X, EXPECTED)
            assert table.feature_names == list(map(str, labels))


def test_an_index_alone(tmp_path):
    assert "line 1, column 1 is empty" in refused(tmp_path, ",\n0,\n1,\n")


# --- headers --------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "line", ["2019,2020,2021", "2021,2020,2019", "2010,2015,2020", "id,2019,2020", "0,1,2"]
)
def test_labels_that_are_numbers(line, tmp_path):
    table = read(tmp_path, f"{line}\n{ROWS}")
    np.testing.assert_array_equal(table.X, EXPECTED)
    assert table.feature_names == line.split(",")
    assert "--no-header" in table.notes[0]
    if "id" not in line:
        assert len(read(tmp_path, f"{line}\n{ROWS}", header=False).X) == 4


@pytest.mark.parametrize(
    "rows",
    [
        "1,2,3\n4,5,6\n",
        "0,1\n1,0\n",
        "0,1,0\n1,0,1\n",
        "0,1,2\n3,4,5\n",
        "2019,2020\n2020,2021\n",
        "1999,1205,1800\n3,4,5\n",
        "1.5,2\n3,4\n",
    ],
)
def test_points_that_are_no_labels(rows, tmp_path):
    table = read(tmp_path, rows)
    assert len(table.X) == 2
    assert table.feature_names is None
    assert table.notes == ()


def test_doubtful_labels_are_points_and_said_so(tmp_path):
    table = read(tmp_path, "0,1\n0.5,0.75\n")
    assert len(table.X) == 2
    assert "--header" in table.notes[0]
    assert read(tmp_path, "0,1\n0.5,0.75\n", header=True).X.tolist() == [[0.5, 0.75]]


def test_a_header_by_order(tmp_path):
    table = read(tmp_path, "7,9\n1,2\n", header=True)
    assert table.feature_names == ["7", "9"]
    assert table.X.tolist() == [[1, 2]]
    assert "line 1, column 1 is 'a'" in refused(tmp_path, "a,b\n1,2\n", header=False)


# --- what cannot be read --------------------------------------------------------------------
@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("1,5;2,5\n3,5;4,5\n", "line 1, column 1 is '1,5': decimal commas"),
        ("a;b\n1;2\n-3,25e4;4\n", "line 3, column 1 (a) is '-3,25e4': decimal commas"),
        ("1,5\t2,5\n3,5\t4,5\n", "write decimal points, such as 1.5"),
        ("a,b\n1,2\n# c\n3,-inf\n", "line 4, column 2 (b) is '-inf': infinity"),
        ("a,b\n1,1e999\n", "line 2, column 2 (b) is '1e999': infinity"),
        ("1,2\n\n3,nan\n", "line 3, column 2 is 'nan': NaN"),
        ("1,2\n3,NA\n", "line 2, column 2 is 'NA', not a number; fill it"),
        ("a,b\n1,2,\n3,4,5\n", "line 3 has 3 cells, but the first line has 2"),
        ("1 2\n3 4 5\n", "line 2 has 3 cells"),
        ("1;2\n3;x # y\n", "line 2, column 2 is 'x ', not a number; cells are numbers with semi"),
        (",2\n3,4\n", "line 1, column 1 is empty"),
        ("", "no rows of numbers"),
        ("# nothing\n", "no rows of numbers"),
        (b"\x7fELF\x02\x01\x00\x00", "neither text"),
        (gzip.compress(NAMED.encode(), mtime=0)[:-9], "cut off or damaged"),
    ],
)
def test_what_is_wrong_with_text(content, said, tmp_path):
    assert said in refused(tmp_path, content)


def test_what_is_wrong_with_arrays(tmp_path):
    npy, _ = arrays()
    assert "cut off or damaged" in refused(tmp_path, npy[:-8], "cut.npy")
    infinite = io.BytesIO()
    np.save(infinite, np.where(EXPECTED == 6, np.inf, EXPECTED))
    assert "row 1, column 2 (counted from 0) is inf" in refused(
        tmp_path, infinite.getvalue(), "infinite.npy"
    )
    book = io.BytesIO()
    with zipfile.ZipFile(book, "w") as archive:
        archive.writestr("xl/sheet.xml", "<x/>")
    assert "spreadsheet" in refused(tmp_path, book.getvalue(), "book.xlsx")
