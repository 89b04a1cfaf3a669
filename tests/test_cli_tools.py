"""The commands select, score, sample and plot: right answers, and one line for what is wrong."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from commands import fail, succeed
from processes import TESTS

from fastgmm import GaussianMixture, cli, load, save, select_mixture
from fastgmm.cli._common import numbers

PICTURES = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with points of two clusters, and models with names and without."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    rng = np.random.default_rng(0)
    X = np.concatenate([rng.normal(0, 1, (50, 2)), rng.normal([8, -8], 2, (70, 2))])
    np.savetxt("named.csv", X, fmt="%.17g", delimiter=",", header="x,y", comments="")
    np.save("points.npy", X)
    np.save("wide.npy", np.column_stack([X, X]))
    bare = GaussianMixture(2, random_state=0).fit(X)
    save(bare, "bare.npz")
    bare.feature_names_in_ = np.array(["x", "y"], object)
    save(bare, "model.npz")
    return tmp_path


def table_of(out):
    return np.loadtxt(io.StringIO(out), delimiter=",", ndmin=1)


# --- score ----------------------------------------------------------------------------------
def test_score_prints_log_densities(folder, capsys):
    X, model = np.load("points.npy"), load("bare.npz")
    scores = model.score_samples(X)
    for data in ("points.npy", "named.csv"):
        printed = table_of(succeed(capsys, "score", "model.npz", data))
        np.testing.assert_array_equal(printed, scores)
    mean = table_of(succeed(capsys, "score", "model.npz", "points.npy", "--mean"))
    np.testing.assert_allclose(mean, [model.score(X)], rtol=1e-12)
    assert succeed(capsys, "score", "model.npz", "points.npy", "--out", "scores.npy") == ""
    np.testing.assert_array_equal(np.load("scores.npy"), scores)


# --- sample ---------------------------------------------------------------------------------
def test_sample_draws_from_the_model(folder, capsys):
    out = succeed(capsys, "sample", "model.npz", "-n", "500", "--seed", "1")
    header, _, rest = out.partition("\n")
    assert header == "x,y"
    points = table_of(rest)
    assert points.shape == (500, 2)
    model = load("bare.npz")
    drawn, _ = model.sample(500, random_state=np.random.RandomState(1))
    np.testing.assert_array_equal(np.sort(points[:, 0]), np.sort(drawn[:, 0]))
    assert np.any(np.diff(model.predict(points)) < 0)  # in random order
    assert out == succeed(capsys, "sample", "model.npz", "-n", "500", "--seed", "1")
    assert out != succeed(capsys, "sample", "model.npz", "-n", "500", "--seed", "2")
    assert succeed(capsys, "sample", "bare.npz", "-n", "3").count("\n") == 3  # without names


def test_samples_are_points_for_fit(folder, capsys):
    arguments = ["sample", "model.npz", "-n", "200", "--seed", "0", "--components"]
    succeed(capsys, *arguments, "--out", "drawn.csv")
    lines = (folder / "drawn.csv").read_text().splitlines()
    assert lines[0] == "x,y,component"
    labels = table_of("\n".join(lines[1:]))[:, 2]
    assert set(labels) == {0, 1}
    succeed(capsys, *arguments[:-1], "--out", "drawn.npy")
    assert np.load("drawn.npy").shape == (200, 2)
    assert "200 × 3" in succeed(capsys, "fit", "drawn.csv", "-k", "2")


# --- select ---------------------------------------------------------------------------------
def test_select_prints_and_saves_the_best(folder, capsys):
    arguments = ["-k", "1-4", "--covariance-types", "full", "diag", "--out", "best.npz"]
    out = succeed(capsys, "select", "named.csv", *arguments, "--plot", "bic.svg")
    expected = select_mixture(np.load("points.npy"), range(1, 5), ["full", "diag"], random_state=0)
    assert f"{expected.table.value.min():.4f}" in out
    kind, K = expected.best_covariance_type_, expected.best_n_components_
    for said in ("bic", f"{K} components, {kind}", "best.npz", "bic.svg", "8, the best 8"):
        assert said in out
    best = load("best.npz")
    np.testing.assert_array_equal(best.means_, expected.best_model_.means_)
    assert list(best.feature_names_in_) == ["x", "y"]
    assert (folder / "bic.svg").read_bytes().startswith(PICTURES["svg"])
    assert max(map(len, out.splitlines())) <= 60


def test_select_tells_what_failed(folder, capsys):
    np.save("few.npy", np.arange(6.0).reshape(3, 2))
    out = succeed(capsys, "select", "few.npy", "-k", "1,9", "--covariance-types", "spherical")
    assert "1; the last: 9 components need as many rows, and there are 3." in out


@pytest.mark.parametrize(
    ("text", "expected"), [("3", [3]), ("1-3", [1, 2, 3]), ("2, 4-5", [2, 4, 5])]
)
def test_numbers_of_components(text, expected):
    assert numbers(text) == expected


@pytest.mark.parametrize("text", ["", "0-2", "5-3", "a", "1.5", "-2", "1-2-3", "1,,2"])
def test_bad_numbers_of_components_are_told(text, folder, capsys):
    with pytest.raises(SystemExit) as ended:
        succeed(capsys, "select", "points.npy", f"-k={text}")
    assert ended.value.code == 2
    assert "is not like 3, 1-9 or 2,4,8" in capsys.readouterr().err


# --- plot -----------------------------------------------------------------------------------
@pytest.mark.parametrize("suffix", PICTURES)
def test_plot_writes_pictures(suffix, folder, capsys):
    pytest.importorskip("matplotlib", reason="pictures are of matplotlib")
    out = f"picture.{suffix}"
    for model, data in (("model.npz", "named.csv"), ("bare.npz", "points.npy")):
        assert succeed(capsys, "plot", model, data, "--out", out) == ""
        assert (folder / out).read_bytes().startswith(PICTURES[suffix])


@pytest.mark.parametrize("d", [1, 3, 7])
def test_plot_draws_any_number_of_features(d, folder, capsys):
    pytest.importorskip("matplotlib", reason="pictures are of matplotlib")
    X = np.random.default_rng(0).normal(size=(60, d))
    np.save("x.npy", X)
    save(GaussianMixture(2, random_state=0).fit(X), "of.npz")
    succeed(capsys, "plot", "of.npz", "x.npy", "--out", "of.png")
    if d > 1:
        features = ["--features", "0", str(d - 1)]
        succeed(capsys, "plot", "of.npz", "x.npy", "--out", "of.png", *features)
    assert (folder / "of.png").stat().st_size > 5000


def test_plot_takes_names(folder, capsys):
    pytest.importorskip("matplotlib", reason="pictures are of matplotlib")
    features = ["--features", "y", "x"]
    succeed(capsys, "plot", "model.npz", "named.csv", "--out", "a.svg", *features)
    assert "nothing" in fail(
        capsys, "plot", "model.npz", "named.csv", "--out", "b.svg", "--features", "y", "nothing"
    )
    assert not (folder / "b.svg").exists()


# --- one of several numbers of components ---------------------------------------------------
def test_fit_chooses_among_numbers_of_components(folder, capsys):
    out = succeed(capsys, "fit", "named.csv", "-k", "1-4", "--out", "new.npz", "--tol", "1e-4")
    assert "2, the best of 4 numbers by bic" in out
    model, X = load("new.npz"), np.load("points.npy")
    expected = select_mixture(X, range(1, 5), ["full"], random_state=0, tol=1e-4).best_model_
    np.testing.assert_array_equal(model.means_, expected.means_)
    assert (model.n_components, model.tol, model.random_state) == (2, 1e-4, 0)
    assert model.feature_names_in_.tolist() == ["x", "y"]


def test_fit_chooses_by_stability(folder, capsys):
    assert "by stability" in succeed(
        capsys, "fit", "points.npy", "-k", "2,3", "--criterion", "stability"
    )


def test_fit_tells_of_what_failed(folder, capsys):
    out = succeed(capsys, "fit", "points.npy", "-k", "1,121,2,2")
    assert "2, the best of 3 numbers by bic, of which 1 failed" in out


def test_degenerate_cells_are_marked(folder, capsys):
    X = np.load("points.npy")
    X[:8] = X[0]
    np.save("equal.npy", X)
    options = ["-k", "2-8", "--n-init", "5", "--covariance-types", "full"]
    out = succeed(capsys, "select", "equal.npy", *options)
    assert "! " in out
    assert "has a degenerate component, and is chosen only if all have" in out
    succeed(capsys, "select", "equal.npy", *options, "--on-degenerate", "drop")


def test_fit_chooses_as_it_is_asked_to(folder, capsys):
    options = ["--criterion", "icl", "--covariance-type", "diag", "--init-params", "k-means++"]
    out = succeed(capsys, "fit", "points.npy", "-k", "1,2,3", *options, "--seed", "1")
    assert "by icl" in out
    assert "diag" in out


# --- for other programs ---------------------------------------------------------------------
def test_fit_in_json(folder, capsys):
    told = json.loads(succeed(capsys, "fit", "named.csv", "-k", "2", "--json", "--out", "new.npz"))
    model, X = load("new.npz"), np.load("points.npy")
    np.testing.assert_array_equal(told["means"], model.means_)
    np.testing.assert_array_equal(told["weights"], model.weights_)
    assert (told["features"], told["n_points"], told["saved_to"]) == (["x", "y"], 120, "new.npz")
    bare = load("bare.npz")
    assert told["bic"] == bare.bic(X)
    assert told["converged"] is True
    assert told["selection"] is None
    np.testing.assert_array_equal(told["covariances"], model.covariances_)
    several = json.loads(succeed(capsys, "fit", "named.csv", "-k", "1-3", "--json"))
    assert [row["n_components"] for row in several["selection"]["table"]] == [1, 2, 3]
    assert several["n_components"] == 2


def test_select_in_json(folder, capsys):
    out = succeed(capsys, "select", "points.npy", "-k", "1,121", "--json")
    told = json.loads(out)
    assert told["best"] == {"n_components": 1, "covariance_type": "full"}
    assert len(told["table"]) == 8
    failed = next(row for row in told["table"] if row["n_components"] == 121)
    assert failed["value"] is None  # JSON has no NaN
    assert "need as many rows" in failed["failure"]


def test_info_and_warmup_in_json(folder, capsys):
    assert json.loads(succeed(capsys, "info", "--json"))["fastgmm"]
    options = ["--features", "2", "--covariance-types", "diag", "--dtypes", "float64"]
    told = json.loads(succeed(capsys, "warmup", *options, "--json"))
    assert [one["dtype"] for one in told["specializations"]] == ["float64"]


# --- standard input and output --------------------------------------------------------------
def test_a_model_through_standard_output_and_input(folder, capfdbinary, monkeypatch):
    assert cli.main(["fit", "named.csv", "-k", "2", "--out", "-"]) == 0
    captured = capfdbinary.readouterr()
    assert b"120 \xc3\x97 2" in captured.err  # the summary stands beside
    model = load(io.BytesIO(captured.out))
    np.testing.assert_array_equal(model.means_, load("model.npz").means_)
    for command in (["predict", "-", "named.csv"], ["sample", "-", "-n", "3"]):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(captured.out)))
        assert cli.main(command) == 0
        assert capfdbinary.readouterr().out


def test_answers_go_to_standard_output_by_its_name(folder, capsys):
    plain = succeed(capsys, "score", "model.npz", "points.npy")
    assert succeed(capsys, "score", "model.npz", "points.npy", "--out", "-") == plain


def test_json_stands_beside_a_model(folder, capfdbinary):
    assert cli.main(["fit", "named.csv", "-k", "2", "--out", "-", "--json"]) == 0
    captured = capfdbinary.readouterr()
    assert json.loads(captured.err)["saved_to"] is None
    load(io.BytesIO(captured.out))


def test_a_model_is_not_for_a_terminal(folder, capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    assert "not for a terminal" in fail(capsys, "fit", "named.csv", "-k", "2", "--out", "-")


def test_streams_that_are_closed(folder):
    command = f'"{sys.executable}" -m fastgmm'
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS.parent), *sys.path])}
    for line, code in ((f"{command} fit points.npy -k 2 >&-", 0), (f"{command} fit - -k 2 <&-", 2)):
        ended = subprocess.run(
            ["sh", "-c", line], capture_output=True, text=True, check=False, env=environment
        )
        assert ended.returncode == code
        assert "Traceback" not in ended.stderr


def test_letters_that_the_output_does_not_know(folder):
    environment = {"PYTHONIOENCODING": "ascii"}
    ended = run_alone("fit", "points.npy", "-k", "2", **environment)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "component" in ended.stdout


def test_damaged_standard_input(folder, capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"PK nothing")))
    assert "standard input: The file cannot be loaded: it is not a .npz archive" in fail(
        capsys, "predict", "-", "points.npy"
    )


# --- bad input ------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["score", "missing.npz", "points.npy"], "missing.npz: No such file"),
        (["score", "points.npy", "points.npy"], "points.npy"),
        (["score", "model.npz", "wide.npy"], "2 features"),
        (["score", "model.npz", "points.npy", "--out", "x.txt"], "written as .csv or .npy"),
        (["sample", "missing.npz", "-n", "3"], "missing.npz: No such file"),
        (["sample", "model.npz", "-n", "3", "--out", "x.txt"], "written as .csv or .npy"),
        (["plot", "model.npz", "points.npy", "--out", "x.gif"], "written as .png or .svg or .pdf"),
        (
            ["plot", "model.npz", "wide.npy", "--out", "x.png"],
            "4 columns of numbers, but",
        ),
        (["select", "missing.csv"], "missing.csv: No such file"),
        (["select", "points.npy", "--out", "x.csv"], "written as .npz"),
        (["select", "points.npy", "-k", "500"], "500 components need as many rows"),
        (["plot", "model.npz", "points.npy", "--out", "-"], "written as .png or .svg or .pdf"),
        (["score", "-", "-"], "both"),
        (
            ["fit", "points.npy", "-k", "1-2", "--criterion", "held-out", "--n-init", "0"],
            "1 or more",
        ),
        (["select", "points.npy", "--n-init", "1", "--criterion", "stability"], "2 or more"),
    ],
)
def test_bad_input_is_one_line(arguments, message, folder, capsys):
    before = sorted(folder.iterdir())
    assert message in fail(capsys, *arguments)
    assert sorted(folder.iterdir()) == before


# --- every command as a process of its own --------------------------------------------------
COMMANDS = {
    "fit": (["named.csv", "-k", "1-2"], ["missing.csv", "-k", "2"]),
    "predict": (["model.npz", "points.npy"], ["missing.npz", "points.npy"]),
    "score": (["model.npz", "points.npy", "--mean"], ["missing.npz", "points.npy"]),
    "sample": (["model.npz", "-n", "10"], ["missing.npz", "-n", "10"]),
    "select": (["points.npy", "-k", "1-2"], ["missing.csv"]),
    "plot": (
        ["model.npz", "points.npy", "--out", "picture.png"],
        ["missing.npz", "points.npy", "--out", "picture.png"],
    ),
    "demo": (
        ["--every", "32", "--components", "2", "--max-iter", "2", "--no-peer"],
        ["--image", "missing.jpg"],
    ),
    "warmup": (
        ["--features", "2", "--covariance-types", "diag", "--dtypes", "float64"],
        ["--features", "0"],
    ),
    "bench": (["--mine", "mine:fit"], ["--against", "missing.json"]),
    "info": ([], ["missing"]),
}


def test_no_command_is_forgotten():
    assert set(COMMANDS) == set(cli.COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_runs_by_itself(command, folder):
    (folder / "mine.py").write_text("def fit(X, n_components):\n    pass\n")
    good, bad = COMMANDS[command]
    ended = run_alone(command, *good)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout or (folder / "picture.png").exists()
    before = sorted(folder.iterdir())
    ended = run_alone(command, *bad)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("fastgmm: error: ")
    assert ended.stderr.count("\n") == 1
    assert sorted(folder.iterdir()) == before


def run_alone(*arguments, **settings):
    command = [sys.executable, "-W", "error", "-m", "fastgmm", *arguments]
    path = os.pathsep.join([str(TESTS.parent), *sys.path])
    environment = {**os.environ, "PYTHONPATH": path, **settings}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
