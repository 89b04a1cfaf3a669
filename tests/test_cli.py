"""The command line: right answers on stdout; every failure one line on stderr and exit code 2."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from commands import fail, succeed
from processes import run_python
from sklearn.exceptions import ConvergenceWarning

from fastgmm import cli, demo
from fastgmm.cli.summary import advice_on_degenerate, components_table, with_deviation
from fastgmm.cli.tables import read_table
from fastgmm.data.source import ArraySource
from fastgmm.mixture import GaussianMixture
from fastgmm.persistence import load, save
from fastgmm.system.terminal import Terminal, key_values, plain_table


@pytest.fixture(scope="module")
def points():
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(0, 1, (50, 2)), rng.normal([8, -8], 2, (70, 2))])


@pytest.fixture
def folder(points, tmp_path, monkeypatch):
    """A working folder with the points in every kind of file, and a model of them."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    np.savetxt("named.csv", points, fmt="%.17g", delimiter=",", header="x,y", comments="")
    np.savetxt("bare.csv", points, fmt="%.17g", delimiter=",")
    np.save("points.npy", points)
    np.savez("points.npz", something=np.zeros(3), table=points)
    save(GaussianMixture(2, random_state=0).fit(points), "model.npz")
    return tmp_path


def files(folder):
    return sorted(path.name for path in folder.iterdir())


# --- fit ------------------------------------------------------------------------------------
@pytest.mark.parametrize("data", ["named.csv", "bare.csv", "points.npy", "points.npz"])
def test_fit_saves_the_model_of_the_estimator(data, folder, points, capsys):
    out = succeed(capsys, "fit", data, "-k", "2", "--out", "new.npz", "--seed", "3")
    model, expected = load("new.npz"), GaussianMixture(2, random_state=3).fit(points)
    np.testing.assert_array_equal(model.means_, expected.means_)
    assert hasattr(model, "feature_names_in_") == (data == "named.csv")
    for said in ["120 × 2", "full", f"yes, after {expected.n_iter_} iterations", "new.npz"]:
        assert said in out
    assert f"{expected.score(points):.6f}" in out
    assert f"{expected.bic(points):.2f}" in out
    assert f"{expected.aic(points):.2f}" in out
    for mean, covariance in zip(expected.means_, expected.covariances_, strict=True):
        assert with_deviation(mean[1], np.sqrt(covariance[1, 1])) in out


def test_fit_passes_every_option_to_the_estimator(folder, capsys):
    options = ["--covariance-type", "full", "--tol", "0.5", "--reg-covar", "0.01"]
    options += ["--max-iter", "1", "--n-init", "2", "--init-params", "random", "--seed", "5"]
    out = succeed(capsys, "fit", "points.npy", "-k", "2", "--out", "new.npz", *options)
    assert "no, after 1 iteration; raise --max-iter or --tol" in out
    expected = {"covariance_type": "full", "tol": 0.5, "reg_covar": 0.01, "max_iter": 1}
    expected |= {"n_init": 2, "init_params": "random", "random_state": 5, "n_components": 2}
    assert load("new.npz").get_params().items() >= expected.items()


def test_fit_knows_low_rank_and_growing_samples(folder, capsys):
    kind = ["--covariance-type", "low_rank", "--rank", "1"]
    succeed(capsys, "fit", "points.npy", "-k", "2", "--out", "new.npz", *kind)
    assert load("new.npz").covariances_.shape == (2, 2, 2)
    succeed(capsys, "fit", "points.npy", "-k", "2", "--out", "new.npz", "--growing-samples")
    assert load("new.npz").growing_samples


def test_fit_without_out_writes_nothing(folder, capsys):
    before = files(folder)
    succeed(capsys, "fit", "points.npy", "-k", "2")
    assert files(folder) == before


def test_fit_shows_its_progress_to_a_terminal(folder, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    assert cli.main(["fit", "points.npy", "-k", "2", "--n-init", "2"]) == 0
    shown = capsys.readouterr().err
    assert "start 2 of 2" in shown
    assert "lower bound" in shown


def test_summary_leaves_out_what_has_no_room():
    rng = np.random.default_rng(0)
    model = GaussianMixture(50, covariance_type="diag")
    model.weights_ = rng.dirichlet(np.ones(50))
    model.means_, model.covariances_ = rng.normal(size=(50, 64)), np.ones((50, 64))
    console = Terminal(file=io.StringIO(), width=80)
    console.print(components_table(model, console.width))
    lines = console.file.getvalue().splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert "more features" in lines[-1]
    assert "10 lighter components" in lines[-1]
    assert f"{model.weights_.max():.4f}" in console.file.getvalue()
    assert f"{model.weights_.min():.4f}" not in console.file.getvalue()


@pytest.mark.parametrize(
    ("mean", "deviation", "expected"),
    [
        (5.0061, 0.3489, "5.01 ± 0.35"),
        (1234.5678, 45.6, "1235 ± 46"),
        (0.0001234, 0.00012, "0.00012 ± 0.00012"),
        (-3e8, 2e7, "-3e+08 ± 2.0e+07"),
        (1.0, 0.0, "1 ± 0.0e+00"),
    ],
)
def test_means_have_the_digits_that_their_deviations_allow(mean, deviation, expected):
    assert with_deviation(mean, deviation) == expected


def collapsed(n_components, numbers, d=2):
    """A mixture, some components of which have collapsed."""
    rng = np.random.default_rng(0)
    model = GaussianMixture(n_components, covariance_type="diag")
    model.weights_ = np.full(n_components, 1 / n_components)
    model.means_, model.covariances_ = (
        rng.normal(size=(n_components, d)),
        np.ones((n_components, d)),
    )
    model.degenerate_components_ = np.array(numbers, dtype=int)
    return model


def summary_of(model):
    console = Terminal(file=io.StringIO(), width=80)
    console.show(components_table(model, console.width), advice_on_degenerate(model))
    return console.file.getvalue()


def test_degenerate_components_are_marked():
    shown = summary_of(collapsed(5, [1, 3]))
    marked = [
        line.split()[1] for line in shown.splitlines() if line.startswith(" ") and "!" in line
    ]
    assert marked == ["1", "3"]
    for said in ["2 of 5 components are degenerate", "fewer components", "--on-degenerate"]:
        assert said in shown
    assert "degenerate" not in summary_of(collapsed(5, []))


@pytest.mark.parametrize("n_healthy", [0, 1, 60])
def test_many_degenerate_components_are_one_line(n_healthy):
    shown = summary_of(collapsed(150, range(n_healthy, 150)))
    assert shown.count("±") == 2 * (min(n_healthy, 40) + 3)
    assert f"{147 - n_healthy} more degenerate components" in shown
    assert f"{150 - n_healthy} of 150 components are degenerate" in shown


@pytest.mark.parametrize(
    ("action", "said"),
    [("drop", "left out"), ("reset", "started again"), ("floor", "given a floor")],
)
def test_fit_repairs_components(action, said, folder, points, capsys):
    np.save("twins.npy", np.concatenate([points, np.full((20, 2), 50.0)]))
    options = ["-k", "3", "--on-degenerate", action, "--out", "new.npz"]
    out = succeed(capsys, "fit", "twins.npy", *options)
    assert said in out
    assert "components remain" in out
    assert load("new.npz").on_degenerate == action


# --- Ctrl-C -----------------------------------------------------------------------------------
def interrupt(monkeypatch, call):
    """Let Ctrl-C fall into the n-th expectation."""
    expectation, calls = ArraySource.expectation, iter(range(1, 10**6))

    def interrupted(*arguments):
        if next(calls) == call:
            raise KeyboardInterrupt
        return expectation(*arguments)

    monkeypatch.setattr(ArraySource, "expectation", interrupted)


@pytest.mark.parametrize("n_init", ["1", "3"])
def test_an_interrupted_fit_is_saved(n_init, folder, points, capsys, monkeypatch):
    interrupt(monkeypatch, 4)
    options = ["-k", "3", "--tol", "0", "--n-init", n_init, "--out", "new.npz"]
    assert cli.main(["fit", "named.csv", *options]) == 130
    captured = capsys.readouterr()
    assert "no, after 3 iterations" in captured.out
    kept = "fastgmm: interrupted; what iteration 3 had found was kept and saved to new.npz\n"
    assert captured.err == kept
    model = load("new.npz")
    expected = GaussianMixture(3, max_iter=3, tol=0, random_state=0)
    with pytest.warns(ConvergenceWarning):
        expected.fit(points)
    if n_init == "1":
        np.testing.assert_array_equal(model.means_, expected.means_)
    assert model.feature_names_in_.tolist() == ["x", "y"]
    assert not model.keep_on_interrupt


def test_an_interrupted_later_start_leaves_the_first(folder, capsys, monkeypatch):
    interrupt(monkeypatch, 3)
    options = ["-k", "2", "--max-iter", "2", "--tol", "0", "--n-init", "3", "--out", "new.npz"]
    assert cli.main(["fit", "points.npy", *options]) == 130
    assert "iteration 2 had found was kept" in capsys.readouterr().err
    assert load("new.npz").n_iter_ == 2


def test_an_interruption_before_there_is_anything(folder, capsys, monkeypatch):
    before = files(folder)
    interrupt(monkeypatch, 1)
    assert cli.main(["fit", "points.npy", "-k", "2", "--out", "new.npz"]) == 130
    assert capsys.readouterr() == ("", "fastgmm: interrupted\n")
    assert files(folder) == before


def test_a_second_interruption_leaves_no_file(folder, capsys, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    before = files(folder)
    interrupt(monkeypatch, 3)
    monkeypatch.setattr(np.lib.format, "write_array", interrupted)
    assert cli.main(["fit", "points.npy", "-k", "3", "--tol", "0", "--out", "new.npz"]) == 130
    assert capsys.readouterr() == ("", "fastgmm: interrupted\n")
    assert files(folder) == before


# --- predict --------------------------------------------------------------------------------
@pytest.mark.parametrize("data", ["named.csv", "bare.csv", "points.npy", "points.npz"])
def test_predict_prints_a_label_a_line(data, folder, points, capsys):
    out = succeed(capsys, "predict", "model.npz", data)
    assert out.split("\n") == [*map(str, load("model.npz").predict(points)), ""]


def test_predict_prints_probabilities_to_the_last_digit(folder, points, capsys):
    out = succeed(capsys, "predict", "model.npz", "points.npy", "--proba")
    printed = np.loadtxt(io.StringIO(out), delimiter=",")
    np.testing.assert_array_equal(printed, load("model.npz").predict_proba(points))


@pytest.mark.parametrize("probabilities", [False, True])
def test_predict_writes_files(probabilities, folder, points, capsys):
    model, option = load("model.npz"), ["--proba"] * probabilities
    expected = model.predict_proba(points) if probabilities else model.predict(points)
    for out in ["out.npy", "out.csv"]:
        assert succeed(capsys, "predict", "model.npz", "points.npy", "--out", out, *option) == ""
    np.testing.assert_array_equal(np.load("out.npy"), expected)
    np.testing.assert_array_equal(np.loadtxt("out.csv", delimiter=","), expected)


def test_predict_compares_the_names_of_the_features(folder, points, capsys):
    succeed(capsys, "fit", "named.csv", "-k", "2", "--out", "named.npz")
    for data in ["named.csv", "bare.csv", "points.npy"]:
        succeed(capsys, "predict", "named.npz", data)
    expected = succeed(capsys, "predict", "named.npz", "named.csv")
    np.savetxt(
        "swapped.csv", points[:, ::-1], fmt="%.17g", delimiter=",", header="y,x", comments=""
    )
    assert succeed(capsys, "predict", "named.npz", "swapped.csv") == expected  # by their names
    np.savetxt("others.csv", points, delimiter=",", header="y,z", comments="")
    assert "columns are y, z" in fail(capsys, "predict", "named.npz", "others.csv")


# --- what cannot be done ------------------------------------------------------------------------
def saved(save_array, *arguments, **arrays):
    stream = io.BytesIO()
    save_array(stream, *arguments, **arrays)
    return stream.getvalue()


UNREADABLE = {
    "empty.csv": (b"", "no rows of numbers"),
    "header.csv": (b"x,y\n", "no rows of numbers"),
    "ragged.csv": (b"x,y\n1,2\n3\n", "line 3 has 1 cells"),
    "wider.csv": (b"x,y\n1,2,3\n4,5,6\n", "line 2 has 3 cells"),
    "text.csv": (b"1,2\n3,two\n", "line 2, column 2 is 'two', not a number"),
    "mixed.csv": (b"1,two\n3,4\n", "line 1, column 2 is 'two', not a number"),
    "quoted.csv": (b'"a\nb",c\n1,2\n\n3,x\n', "line 5, column 2 (c) is 'x'"),
    "hole.csv": (b"1,2\n3,\n", "line 2, column 2 is empty"),
    "binary.csv": (b"\xff\xfe\x00\x01", "utf-8"),
    "long.csv": (b"1,2\n" + b"a" * 10**6 + b",3\n", "field limit"),
    "nan.csv": (b"1,2\nnan,3\n4,5\n", "NaN"),
    "infinite.csv": (b"1,2\ninf,3\n4,5\n", "infinity"),
    "few.csv": (b"1,2\n", "minimum of 2"),
    "one.npy": (saved(np.save, np.ones(5)), "1 dimension; two are needed"),
    "cut.npy": (saved(np.save, np.ones((50, 2)))[:-7], "greater than file size"),
    "huge.npy": (
        saved(np.save, np.ones((50, 2))).replace(b"(50, 2)", b"(9999999999999, 2)"),
        "greater than file size",
    ),
    "junk.npy": (b"junk", "magic string"),
    "empty.npy": (b"", "magic string"),
    "pickled.npy": (saved(np.save, np.array([[{}]]), allow_pickle=True), "Python objects"),
    "letters.npy": (saved(np.save, np.array([["a"]])), "not real numbers"),
    "complex.npy": (saved(np.save, np.ones((5, 2), complex)), "not real numbers"),
    "junk.npz": (b"PK\x03\x04junk", "not a whole .npz"),
    "none.npz": (saved(np.savez, a=np.ones(3)), "0 two-dimensional arrays"),
    "two.npz": (saved(np.savez, a=np.eye(3), b=np.eye(3)), "2 two-dimensional arrays"),
    "points.parquet": (b"PAR1\x15\x04\0\0", "cut off or damaged"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_files_that_are_no_table_of_points(name, folder, capsys):
    content, said = UNREADABLE[name]
    (folder / name).write_bytes(content)
    before = files(folder)
    message = fail(capsys, "fit", name, "-k", "2", "--out", "new.npz")
    assert said in message
    assert files(folder) == before


def test_csv_of_other_systems_is_read(folder):
    content = '\ufeff\r\n"x, m",y\r\n1,"2"\r\n\r\n 3 , 4\r\n5,7'
    (folder / "windows.csv").write_bytes(content.encode())
    table = read_table("windows.csv")
    assert table.feature_names == ["x, m", "y"]
    np.testing.assert_array_equal(table.X, [[1, 2], [3, 4], [5, 7]])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["fit", "nothing.csv", "-k", "2"], "nothing.csv: No such file"),
        (["fit", ".", "-k", "2"], "this folder has no .parquet file"),
        (["fit", "model.npz", "-k", "2"], "saved model"),
        (["fit", "points.npy", "-k", "500"], "n_samples"),
        (["fit", "points.npy", "-k", "2", "--tol", "-1"], "tol"),
        (["fit", "points.npy", "-k", "2", "--reg-covar", "nan"], "reg_covar"),
        (["fit", "points.npy", "-k", "2", "--bayes", "--growing-samples"], "leave one out"),
        (["fit", "points.npy", "-k", "2", "--covariance-type", "low_rank", "--rank", "2"], "rank"),
        (["fit", "points.npy", "-k", "2", "--seed", "-1"], "random_state"),
        (["fit", "points.npy", "-k", "2", "--out", "no/model.npz"], "does not exist"),
        (["fit", "points.npy", "-k", "2", "--out", "model.pkl"], ".npz; name it so"),
        (["fit", "points.npz", "-k", "2", "--out", "points.npz"], "has the points"),
        (["predict", "points.npz", "points.npy"], "no header of fastgmm"),
        (["predict", "named.csv", "points.npy"], "not a .npz archive"),
        (["predict", "nothing.npz", "points.npy"], "No such file"),
        (["predict", "model.npz", "wide.npy"], "3 columns of numbers"),
        (["predict", "model.npz", "points.npy", "--out", "labels.xls"], ".csv or .npy"),
        (["predict", "model.npz", "points.npy", "--out", "points.npy"], "has the points"),
        (["demo", "--out", "no/picture.png"], "does not exist"),
        (["demo", "--out", "picture.xyz"], "not a format for pictures"),
        (["demo", "--components", "0", "--every", "64"], "n_components"),
    ],
)
def test_failures(arguments, said, folder, capsys):
    np.save("wide.npy", np.ones((5, 3)))
    before = {path: path.read_bytes() for path in folder.iterdir()}
    assert said in fail(capsys, *arguments)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_a_model_file_that_is_damaged(folder, capsys):
    with zipfile.ZipFile("model.npz", "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("means_.npy", b"junk")
    assert "cannot be loaded" in fail(capsys, "predict", "model.npz", "points.npy")


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fit", "points.npy"],
        ["fit", "points.npy", "-k", "two"],
        ["fit", "points.npy", "-k", "0"],
        ["fit", "points.npy", "-k", "3-1"],
        ["fit", "points.npy", "-k", "2", "--covariance-type", "round"],
        ["demo", "--every", "0"],
        ["paint"],
    ],
)
def test_wrong_arguments(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        cli.main(arguments)
    assert caught.value.code == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("fastgmm: error: ")
    assert captured.err.count("\n") == 1


def test_interruption_leaves_no_file(folder, capsys, monkeypatch):
    def interrupted(*arguments, **options):
        raise KeyboardInterrupt

    before = files(folder)
    monkeypatch.setattr(np.lib.format, "write_array", interrupted)
    assert cli.main(["predict", "model.npz", "points.npy", "--out", "labels.npy"]) == 130
    assert capsys.readouterr().err == "fastgmm: interrupted\n"
    assert files(folder) == before


def test_warnings_are_one_line(folder, capsys, monkeypatch):
    def warn(*arguments):
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("look\nout", RuntimeWarning, stacklevel=1)

    monkeypatch.setattr(cli.fit, "figures_of", lambda *arguments: warn() or {})
    assert cli.main(["fit", "points.npy", "-k", "2"]) == 0
    assert capsys.readouterr().err == "fastgmm: warning: look out\n"


# --- the process as a whole ------------------------------------------------------------------
def test_help_and_version_import_neither_numba_nor_scikit_learn():
    printed = run_python(
        "import sys\n"
        "from fastgmm import cli\n"
        "for argument in ['--help', '--version']:\n"
        "    try: cli.main([argument])\n"
        "    except SystemExit as end: assert end.code == 0\n"
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    assert "usage: fastgmm" in printed
    assert "fastgmm 0." in printed
    assert not {"numba", "sklearn", "scipy", "matplotlib"} & set(printed.splitlines()[-1].split())


def test_module_runs_as_a_program(folder):
    done = subprocess.run(
        [sys.executable, "-m", "fastgmm", "fit", "nothing.csv", "-k", "2"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == "fastgmm: error: nothing.csv: No such file or directory\n"


@pytest.mark.skipif(sys.platform == "win32", reason="pipes of POSIX")
def test_a_reader_that_goes_away_is_no_error(folder, points):
    np.save("many.npy", np.tile(points, (500, 1)))
    with subprocess.Popen(
        [sys.executable, "-m", "fastgmm", "predict", "model.npz", "many.npy"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 141


def test_the_index_of_pandas_is_left_out_and_said_so(folder, points, capsys):
    lines = [f"{i},{x:.17g},{y:.17g}\n" for i, (x, y) in enumerate(points)]
    (folder / "indexed.csv").write_text("".join([",x,y\n", *lines]))
    assert cli.main(["fit", "indexed.csv", "-k", "2", "--out", "new.npz"]) == 0
    captured = capsys.readouterr()
    assert captured.err.startswith("fastgmm: note: indexed.csv: the first column has no name")
    assert captured.err.count("\n") == 1
    assert "120 × 2" in captured.out
    assert cli.main(["predict", "new.npz", "indexed.csv"]) == 0
    assert capsys.readouterr().out.count("\n") == 120


def test_points_from_standard_input(folder, points, capsys, monkeypatch):
    content = io.BytesIO((folder / "points.npy").read_bytes())
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(content))
    assert "120 × 2" in succeed(capsys, "fit", "-", "-k", "2")


def test_a_header_by_order(folder, capsys):
    assert "119 × 2" in succeed(capsys, "fit", "bare.csv", "-k", "2", "--header")
    assert "line 1, column 1" in fail(capsys, "fit", "named.csv", "-k", "2", "--no-header")


def test_a_folder_that_refuses(folder, capsys, monkeypatch):
    def refuse(path, *arguments):
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr(Path, "open", refuse)
    message = fail(capsys, "fit", "points.npy", "-k", "2", "--out", "new.npz")
    assert message == (
        "fastgmm: error: new.npz cannot be written (read-only file system); choose another place\n"
    )


def test_a_full_disk_is_told_of_with_the_file(folder, capsys, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    arguments = ["predict", "model.npz", "points.npy", "--out", "labels.csv"]
    assert "labels.csv: No space left" in fail(capsys, *arguments)


@pytest.mark.parametrize("columns", ["20", "80"])
def test_nothing_is_wrapped_or_padded_in_a_pipe(columns, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", columns)
    path = "/somewhere/" + 40 * "folder/" + "end"
    table = plain_table()
    table.add_column("covariances")
    table.add_column("what is there")
    table.add_row("full, tied, diag, spherical", "")
    Terminal().show(table, key_values({"a folder": path, "nothing": ""}), "a note " * 30)
    out = capsys.readouterr().out
    assert f"a folder   {path}\n" in out
    assert "full, tied, diag, spherical\n" in out
    assert "a note " * 29 in out
    assert not any(line.endswith(" ") for line in out.splitlines())


def test_info(capsys):
    out = succeed(capsys, "info")
    names = ["fastgmm", "numpy", "numba", "llvmlite", "scikit-learn", "python", "processor"]
    for name in [*names, "cores", "threads", "threading layer", "cache folder"]:
        assert any(line.startswith(name) for line in out.splitlines()), name


def test_demo(folder, capsys, monkeypatch):
    asked = {}
    monkeypatch.setattr(demo, "show", lambda out, **options: asked.update(options, out=out))
    arguments = ["--components", "3", "--max-iter", "4", "--seed", "5", "--every", "6", "--no-peer"]
    succeed(capsys, "demo", "--out", "picture.png", *arguments)
    assert asked == {
        "out": "picture.png",
        "n_components": 3,
        "max_iter": 4,
        "seed": 5,
        "every": 6,
        "image": None,
        "with_peer": False,
    }
