"""Files as data: the fit of the array that they hold, in whatever format, and what may be wrong."""

from __future__ import annotations

import gzip
import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as arrow
import pytest
from commands import fail, succeed
from numpy.testing import assert_allclose, assert_array_equal
from problems import ARRAYS, assert_close, assert_same_arrays, fixed_start
from pyarrow import parquet
from sklearn.base import clone

from fastgmm import GaussianMixture
from fastgmm.cli import tables
from fastgmm.cli.progress import LiveProgress
from fastgmm.data import parts
from fastgmm.em import progress as progress_of_fits
from fastgmm.persistence import load
from fastgmm.tables import npy, text_blocks
from fastgmm.tables import parquet as parquet_tables
from fastgmm.tables.columns import ALL
from fastgmm.tables.files import FileBlocks

RNG = np.random.default_rng(0)
X = np.concatenate([RNG.normal(3, 1, (300, 3)), RNG.normal(0, 2, (200, 3))])
X = X[RNG.permutation(len(X))].round(6)
WEIGHT = RNG.integers(0, 4, len(X)).astype(float)
NAMES = ["width", "height", "depth"]
START = {"n_components": 2, "tol": 1e-8, **fixed_start(X, 2, "full")}


@pytest.fixture(autouse=True)
def few_rows_at_once(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(parts, "PART_BYTES", 70 * 3 * 8)
    monkeypatch.setattr(npy, "BYTES_AT_ONCE", 64 * 3 * 8)
    monkeypatch.setattr(parquet_tables, "ROWS_AT_ONCE", 64)
    monkeypatch.setattr(text_blocks, "LINES_AT_ONCE", 64)
    monkeypatch.setattr(text_blocks, "BYTES_AT_ONCE", 2**11)


def frame(rows: slice = slice(None), weighted: bool = False) -> pd.DataFrame:
    table = pd.DataFrame(X[rows], columns=NAMES)
    if weighted:
        table.insert(1, "count", WEIGHT[rows])
    return table


def as_npy(path: Path, order: str = "C") -> str:
    np.save(path / "points.npy", np.asarray(X, order=order))
    return str(path / "points.npy")


def as_parquet(path: Path) -> str:
    parquet.write_table(arrow.table(frame()), path / "points.parquet", row_group_size=150)
    return str(path / "points.parquet")


def as_text(path: Path, **options) -> str:
    frame().to_csv(path / "points.csv", **({"index": False} | options))
    return str(path / "points.csv")


def as_compressed(path: Path) -> str:
    (path / "points.csv.gz").write_bytes(gzip.compress(frame().to_csv(index=False).encode()))
    return str(path / "points.csv.gz")


def as_blanks(path: Path) -> str:
    np.savetxt(path / "points.txt", X, header="a comment\n")
    return str(path / "points.txt")


FORMATS = {
    "npy": as_npy,
    "npy by columns": lambda path: as_npy(path, "F"),
    "parquet": as_parquet,
    "csv": as_text,
    "semicolons": lambda path: as_text(path, sep=";"),
    "pandas' index": lambda path: as_text(path, index=True),
    "without names": lambda path: as_text(path, header=False),
    "gzip": as_compressed,
    "blanks": as_blanks,
    "path": lambda path: Path(as_npy(path)),
}


@pytest.fixture(scope="module")
def expected() -> GaussianMixture:
    return GaussianMixture(**START).fit(X)


@pytest.mark.parametrize("kind", FORMATS)
def test_a_file_fits_as_its_array_does(kind: str, tmp_path: Path, expected: GaussianMixture):
    path = FORMATS[kind](tmp_path)
    fitted = GaussianMixture(**START).fit(path)
    assert fitted.n_iter_ == expected.n_iter_
    for name in ARRAYS:
        assert_close(getattr(fitted, name), getattr(expected, name), 1e-10)
    assert fitted.score(path) == pytest.approx(expected.score(X), rel=1e-12)
    assert_array_equal(fitted.predict(path), expected.predict(X))
    assert_allclose(fitted.predict_proba(path), expected.predict_proba(X), rtol=1e-6, atol=1e-9)
    named = kind in ("parquet", "csv", "semicolons", "pandas' index", "gzip")
    assert hasattr(fitted, "feature_names_in_") == named


def test_text_without_pyarrow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = as_text(tmp_path)
    quick = GaussianMixture(**START).fit(path)
    monkeypatch.setattr(text_blocks, "find_spec", lambda name: None)
    assert_same_arrays(GaussianMixture(**START).fit(path), quick)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_several_files(suffix: str, tmp_path: Path, expected: GaussianMixture):
    """As a list, as a pattern, and Parquet files as their folder."""
    paths = []
    for number, rows in enumerate([slice(0, 10), slice(10, 10), slice(10, 333), slice(333, None)]):
        paths.append(tmp_path / f"points-{number}.{suffix}")
        if suffix == "csv" and rows.start == rows.stop:
            paths.pop()
        elif suffix == "csv":
            frame(rows).to_csv(paths[-1], index=False)
        else:
            frame(rows).to_parquet(paths[-1])
    data = [paths, [str(path) for path in paths], str(tmp_path / f"points-*.{suffix}")]
    data += [tmp_path] if suffix == "parquet" else []
    for given in data:
        fitted = GaussianMixture(**START).fit(given)
        assert_close(fitted.covariances_, expected.covariances_, 1e-10)


@pytest.mark.parametrize("suffix", ["npy", "csv", "parquet"])
def test_a_column_of_weights(suffix: str, tmp_path: Path):
    expected = GaussianMixture(**START).fit(X, sample_weight=WEIGHT)
    path, table = tmp_path / f"points.{suffix}", frame(weighted=True)
    column = "count"
    if suffix == "npy":
        np.save(path, table.to_numpy())
        column = "1"
    elif suffix == "csv":
        table.to_csv(path, index=False)
    else:
        table.to_parquet(path)
    fitted = GaussianMixture(**START).fit(path, sample_weight=column)
    assert_close(fitted.means_, expected.means_, 1e-10)
    score = fitted.score(path, sample_weight=column) if suffix == "npy" else None
    if suffix != "npy":
        assert list(fitted.feature_names_in_) == NAMES
        assert_array_equal(fitted.predict(path), expected.predict(X))
        score = fitted.score(path, sample_weight=column)
    assert score == pytest.approx(expected.score(X, sample_weight=WEIGHT))
    assert fitted.bic(path, sample_weight=column) == pytest.approx(
        expected.bic(X, sample_weight=WEIGHT)
    )


def test_single_precision_stays(tmp_path: Path):
    frame().astype(np.float32).to_parquet(tmp_path / "points.parquet")
    assert GaussianMixture(**START).fit(tmp_path / "points.parquet").means_.dtype == np.float32


def test_columns_are_found_by_their_names(tmp_path: Path, expected: GaussianMixture):
    """In other files in another order, beside others."""
    fitted = GaussianMixture(**START).fit(as_parquet(tmp_path))
    other = frame(weighted=True)[["depth", "count", "height", "width"]]
    other.to_csv(tmp_path / "other.csv", index=False)
    assert_array_equal(fitted.predict(tmp_path / "other.csv"), expected.predict(X))
    other.drop(columns="width").to_csv(tmp_path / "less.csv", index=False)
    with pytest.raises(ValueError, match=r"less.csv: the columns are depth, .*fitted on width"):
        fitted.predict(tmp_path / "less.csv")


# --- bad files --------------------------------------------------------------------------------
def test_no_such_file(tmp_path: Path):
    for path in (tmp_path / "points.npy", str(tmp_path / "*.csv"), tmp_path):
        with pytest.raises(FileNotFoundError):
            GaussianMixture(2).fit(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,b\n1,2\n3,x\n", r"line 3, column 2 \(b\) is 'x'"),
        ("a,b\n1,2\n3,\n", "line 3, column 2 .* is empty"),
        ("a,b\n1,2\n3\n", "line 3 has 1 cells"),
        ("a,b\n1,2\n3,nan\n", "(?i)row 1 of .*points.csv .*NaN in column 1"),
        ("1 2\n3 x\n", "line 2, column 2 is 'x'"),
        ("a,b\n", "no rows"),
    ],
)
def test_faults_of_text_have_their_line(content: str, message: str, tmp_path: Path):
    (tmp_path / "points.csv").write_text(content)
    with pytest.raises(ValueError, match=message):
        GaussianMixture(1).fit(tmp_path / "points.csv")


def test_faults_of_binary_files(tmp_path: Path):
    path = tmp_path / "points.parquet"
    table = frame()
    table.loc[400] = None
    parquet.write_table(arrow.Table.from_pandas(table), path)
    with pytest.raises(ValueError, match=r"points.parquet: row 400, column width .* is null"):
        GaussianMixture(2).fit(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"points.parquet: it is cut off or damaged"):
        GaussianMixture(2).fit(path)
    bad = X.copy()
    bad[444, 1] = np.nan
    np.save(tmp_path / "points.npy", bad)
    with pytest.raises(ValueError, match=r"Row 444 of .*points.npy .*NaN in column 1"):
        GaussianMixture(2).fit(tmp_path / "points.npy")
    np.save(tmp_path / "points.npy", X[0])
    with pytest.raises(ValueError, match=r"points.npy: the array has the shape \(3,\)"):
        GaussianMixture(2).fit(tmp_path / "points.npy")


def test_files_of_other_columns(tmp_path: Path):
    frame().to_csv(tmp_path / "a.csv", index=False)
    frame()[NAMES[::-1]].to_csv(tmp_path / "b.csv", index=False)
    with pytest.raises(ValueError, match=r"b.csv: the columns are depth, height, width"):
        GaussianMixture(2).fit(str(tmp_path / "?.csv"))


@pytest.mark.parametrize("kind", ["npy", "npy by columns", "csv"])
def test_a_file_that_is_cut_off_while_it_is_read(kind: str, tmp_path: Path):
    """After some iterations, of which nothing is left."""
    path = FORMATS[kind](tmp_path)
    fitted = GaussianMixture(**START).fit(X)
    before = clone(fitted), dict(vars(fitted))

    class CutsOff:
        def run_begins(self, index):
            pass

        def iteration_ends(self, iteration):
            if iteration.n_iter == 2:
                os.truncate(path, os.path.getsize(path) * 2 // 3)
            return False

    with pytest.raises(ValueError, match=r"points\.\w+: (.*the file is cut off|line \d+)"):
        fitted._fit(path, watchers=[CutsOff()])
    assert vars(fitted).keys() == before[1].keys()
    assert fitted.means_ is before[1]["means_"]


@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_that_is_cut_off_within_a_pass(order: str, tmp_path: Path):
    path = as_npy(tmp_path, order)
    rows = iter(npy.NpyTable(path))
    next(rows)
    os.truncate(path, 2000)
    with pytest.raises(ValueError, match=r"it ends among rows 64 to 127 of 500; it was cut off"):
        list(rows)


@pytest.mark.skipif(sys.platform == "win32", reason="a file that is open stays")
def test_parquet_that_is_written_again_meanwhile(tmp_path: Path):
    path = as_parquet(tmp_path)

    class WritesAgain:
        def run_begins(self, index):
            pass

        def iteration_ends(self, iteration):
            if iteration.n_iter == 2:
                (frame() + 1).to_parquet(path)
            return False

    with pytest.raises(ValueError, match="X has changed since the first pass, between row 0 of"):
        GaussianMixture(**START)._fit(path, watchers=[WritesAgain()])


# --- the command line -------------------------------------------------------------------------
@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with the points in a few files, and in one."""
    monkeypatch.chdir(tmp_path)
    for number, rows in enumerate([slice(0, 10), slice(10, 333), slice(333, None)]):
        frame(rows).to_csv(f"part-{number}.csv", index=False)
    as_text(tmp_path)
    as_parquet(tmp_path)
    return tmp_path


@pytest.mark.parametrize("blocks", ["--blocks", "--no-blocks"])
@pytest.mark.parametrize("data", [["part-0.csv", "part-1.csv", "part-2.csv"], ["part-*.csv"]])
def test_commands_take_several_files(data, blocks, folder, capsys):
    fit = ["-k", "2", "--out"]
    succeed(capsys, "fit", "points.csv", *fit, "one.npz")
    out = succeed(capsys, "fit", *data, *fit, "several.npz", blocks)
    assert "500 × 3" in out
    one, several = load("one.npz"), load("several.npz")
    assert_close(several.means_, one.means_, 1e-10)
    assert list(several.feature_names_in_) == NAMES
    expected = succeed(capsys, "predict", "one.npz", "points.csv")
    assert succeed(capsys, "predict", "one.npz", *data, blocks) == expected
    mean = float(succeed(capsys, "score", "one.npz", "points.csv", "--mean"))
    assert float(succeed(capsys, "score", "one.npz", *data, blocks, "--mean")) == pytest.approx(
        mean
    )


def test_answers_in_blocks_go_to_files(folder, capsys):
    succeed(capsys, "fit", "points.parquet", "-k", "2", "--out", "model.npz")
    expected = load("model.npz").score_samples("points.parquet")
    for name in ("scores.npy", "scores.csv"):
        for blocks in ("--blocks", "--no-blocks"):
            succeed(capsys, "score", "model.npz", "points.parquet", "--out", name, blocks)
            read = np.load if name.endswith("npy") else np.loadtxt
            assert_array_equal(read(name), expected)


def test_figures_of_a_fit_in_blocks(folder, capsys):
    """Are those of points in memory, and all that JSON has."""
    said = [
        json.loads(succeed(capsys, "fit", "points.csv", "-k", "2", "--json", blocks))
        for blocks in ("--blocks", "--no-blocks")
    ]
    for one, other in zip(*(figures.values() for figures in said), strict=True):
        if isinstance(one, str | bool | None):
            assert one == other
        elif one and not isinstance(one[0] if isinstance(one, list) else one, str):
            assert_allclose(one, other, rtol=1e-9)


def test_memory_decides_whether_files_are_read_in_blocks(folder, monkeypatch):
    """Beside the option; an array is mapped."""
    as_npy(folder)
    sizes = {name: os.path.getsize(name) for name in ("points.csv", "points.parquet")}
    for name, factor in (("points.csv", 3), ("points.parquet", 12)):
        for few, expected in ((0, True), (2, False)):
            left = factor * sizes[name] - 1 + few
            monkeypatch.setattr(tables, "available_bytes", lambda left=left: left)
            assert tables.read_tables([name], None, ALL, None).in_blocks is expected
    monkeypatch.setattr(tables, "available_bytes", lambda: 1)
    assert not tables.read_tables(["points.npy"], None, ALL, None).in_blocks


def test_what_commands_refuse_of_several_files(folder, capsys):
    assert "give one" in fail(capsys, "fit", "part-*.csv", "--blocks", "-k", "1-3")
    assert "standard input comes once" in fail(capsys, "fit", "-", "points.csv", "-k", "1")
    assert "no file has such a name" in fail(capsys, "fit", "none-*.csv", "-k", "1")
    (folder / "part-9.csv").write_text("width,height\n1,2\n")
    assert "part-9.csv: the columns are" in fail(capsys, "fit", "part-*.csv", "-k", "1")
    assert "choose another one" in fail(
        capsys, "predict", "model.npz", "part-*.csv", "points.csv", "--out", "points.csv"
    )


def test_a_pass_over_files_tells_how_far_it_is(folder):
    told = []
    blocks = FileBlocks(["points.csv"])
    blocks.on_rows = told.append
    assert sum(map(len, blocks)) == told[-1] == len(X)
    progress = LiveProgress(1, 10)
    progress.run_begins(0)
    progress.rows_read(10)
    progress._told = -1.0
    progress.rows_read(20)
    assert "20 rows, " in progress._bar.tasks[0].fields["state"]


def test_a_long_pass_has_its_rate_printed(capsys, monkeypatch):
    monkeypatch.setattr(progress_of_fits, "LONG_PASS", 0.0)
    GaussianMixture(**START | {"tol": 1e-2}, verbose=2, verbose_interval=1).fit(X)
    assert re.search(r"ll change \S+\t [\d,]+ rows/s", capsys.readouterr().out)
