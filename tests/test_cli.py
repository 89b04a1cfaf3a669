"""The command line: right answers on stdout; every failure one line on stderr and exit code 2."""

from __future__ import annotations

import io
import subprocess
import sys
import warnings
import zipfile

import numpy as np
import pytest
from processes import run_python

from fastgmm import cli, demo
from fastgmm._tables import read_table
from fastgmm._terminal import Terminal, components_table, with_deviation
from fastgmm.mixture import GaussianMixture
from fastgmm.persistence import load, save


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


def succeed(capsys, *arguments):
    assert cli.main(arguments) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def fail(capsys, *arguments):
    """The one line that a failure prints; nothing else is printed, and no file is written."""
    assert cli.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("fastgmm: error: ")
    assert captured.err.count("\n") == 1
    return captured.err


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
    np.savetxt("swapped.csv", points, delimiter=",", header="y,x", comments="")
    assert "columns are y, x" in fail(capsys, "predict", "named.npz", "swapped.csv")


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
    "quoted.csv": (b'"a\nb",c\n1,2\n\n3,x\n', "line 5, column 2 is 'x'"),
    "hole.csv": (b"1,2\n3,\n", "line 2, column 2 is empty"),
    "binary.csv": (b"\xff\xfe\x00\x01", "utf-8"),
    "long.csv": (b"1,2\n" + b"a" * 10**6 + b",3\n", "field limit"),
    "nan.csv": (b"1,2\nnan,3\n4,5\n", "NaN"),
    "infinite.csv": (b"1,2\ninf,3\n4,5\n", "infinity"),
    "few.csv": (b"1,2\n", "minimum of 2"),
    "one.npy": (saved(np.save, np.ones(5)), "1 dimensions"),
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
    "points.parquet": (b"PAR1\x15\x04\0\0", "neither text, .npy nor .npz"),
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
        (["fit", ".", "-k", "2"], "Is a directory"),
        (["fit", "model.npz", "-k", "2"], "saved model"),
        (["fit", "points.npy", "-k", "0"], "n_components"),
        (["fit", "points.npy", "-k", "500"], "n_samples"),
        (["fit", "points.npy", "-k", "2", "--tol", "-1"], "tol"),
        (["fit", "points.npy", "-k", "2", "--reg-covar", "nan"], "reg_covar"),
        (["fit", "points.npy", "-k", "2", "--seed", "-1"], "random_state"),
        (["fit", "points.npy", "-k", "2", "--out", "no/model.npz"], "does not exist"),
        (["fit", "points.npy", "-k", "2", "--out", "model.pkl"], ".npz; name it so"),
        (["fit", "points.npz", "-k", "2", "--out", "points.npz"], "has the points"),
        (["predict", "points.npz", "points.npy"], "no header of fastgmm"),
        (["predict", "named.csv", "points.npy"], "not a .npz archive"),
        (["predict", "nothing.npz", "points.npy"], "No such file"),
        (["predict", "model.npz", "wide.npy"], "3 features"),
        (["predict", "model.npz", "points.npy", "--out", "labels.xls"], ".csv or .npy"),
        (["predict", "model.npz", "points.npy", "--out", "points.npy"], "has the points"),
        (["demo", "--out", "no/picture.png"], "does not exist"),
        (["demo", "--out", "picture.xyz"], "no format of pictures"),
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
