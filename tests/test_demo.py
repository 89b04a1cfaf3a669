"""The demo on every sixteenth row and column of its photograph."""

from __future__ import annotations

import dataclasses
import io
import sys

import numpy as np
import pytest

from fastgmm import cli
from fastgmm.demo import DemoResult, Run, comparison, compute, picture_title, results_table
from fastgmm.photographs import load_photograph, read_photograph, thinned
from fastgmm.system.terminal import Terminal

Image = pytest.importorskip("PIL.Image")
pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def result():
    return compute(load_photograph(every=16), n_components=4, seed=1)


def test_photograph():
    image = load_photograph()
    assert image.shape == (427, 640, 3)
    assert image.dtype == np.float64
    assert image.min() == 0
    assert image.max() == 1


def test_both_libraries_take_the_same_steps(result):
    assert result.ours.n_iter == result.peer.n_iter > 2
    assert result.ours.converged
    assert result.peer.converged
    assert result.parameter_difference <= 1e-8
    assert result.log_likelihood_difference <= 1e-9


def test_labels_are_those_of_the_pixels(result):
    assert result.labels.shape == result.image.shape[:2]
    for k in range(4):
        pixels = result.image[result.labels == k]
        if len(pixels):
            distances = np.linalg.norm(result.ours.means - pixels.mean(axis=0), axis=1)
            assert distances.argmin() == k


def test_fastgmm_is_told_of_before_the_peer_begins():
    told = []
    found = compute(
        load_photograph(every=16),
        n_components=4,
        max_iter=2,
        on_stage=told.append,
        on_ours=told.append,
    )
    assert told[-2:] == [found.ours, "fitting with scikit-learn"]


def run_with(**changes):
    values = {"weights": np.array([0.5, 0.5]), "means": np.ones((2, 3)), "seconds": 2.0}
    values |= {"covariances": np.full((2, 3, 3), 10.0), "n_iter": 4, "converged": True}
    return Run(**{"library": "any", "mean_log_likelihood": 1.0} | values | changes)


def test_comparisons_are_what_they_say():
    ours = run_with(mean_log_likelihood=1.5, covariances=np.full((2, 3, 3), 10.2))
    peer = run_with(means=np.array([[1.0, 1, 1], [1, 1, 1.01]]), seconds=30.0, n_iter=5)
    result = DemoResult(np.zeros((1, 1, 3)), np.zeros((1, 1), int), 1.0, ours, peer)
    assert result.parameter_difference == pytest.approx(0.02)
    assert result.log_likelihood_difference == 0.5
    assert result.speedup == 15
    assert result.speedup_per_iteration == 12


def test_without_a_peer_there_is_nothing_to_compare(result):
    alone = dataclasses.replace(result, peer=None)
    assert len(results_table(alone).columns) == 2
    with pytest.raises(ValueError, match="skipped"):
        _ = alone.speedup


def test_table_and_picture(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.chdir(tmp_path)
    arguments = ["demo", "--every", "16", "--components", "4", "--max-iter", "3"]
    assert cli.main([*arguments, "--out", "picture.png"]) == 0
    out = capsys.readouterr().out
    for said in [
        "1,080 pixels",
        "4 components",
        "compilation",
        "iterations",
        "3, not converged",
        "mean log-likelihood",
        "scikit-learn",
        "max|a - b| / max|b|",
    ]:
        assert said in out
    assert out.splitlines()[-1] == "Picture: picture.png"
    with Image.open("picture.png") as picture:
        assert picture.size == (2 * 640 + 3 * 24, 36 + 432 + 24 + 20 + 24)
        assert len(picture.convert("RGB").getcolors(maxcolors=2**24)) > 100
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]


def test_without_scikit_learn(tmp_path, capsys):
    out = tmp_path / "picture.pdf"
    assert (
        cli.main(["demo", "--every", "32", "--components", "2", "--no-peer", "--out", str(out)])
        == 0
    )
    assert "scikit-learn" not in capsys.readouterr().out
    assert out.read_bytes().startswith(b"%PDF")


# --- what it looks like ---------------------------------------------------------------------
DEMO = ["demo", "--every", "16", "--components", "4", "--out", "picture.png"]


@pytest.mark.parametrize("columns", ["60", "80", "120", None])
def test_nothing_is_wrapped_or_cut_in_a_pipe(columns, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    assert cli.main(DEMO) == 0
    captured = capsys.readouterr()
    lines = captured.out.splitlines()
    assert captured.err == ""
    assert "…" not in captured.out
    assert max(map(len, lines)) <= 60
    assert not any(line.endswith(" ") for line in lines)
    assert lines[0] == "1,080 pixels of china.jpg × 3 colours, float64"
    assert lines[2].startswith("fastgmm: ")
    assert lines[3].startswith("scikit-learn: ")
    (row,) = [line.split() for line in lines if "compilation" in line]
    assert row[-1] == "none"


@pytest.mark.parametrize("columns", ["60", "80", "120"])
def test_nothing_is_cut_on_a_terminal(columns, result):
    console = Terminal(file=io.StringIO(), width=int(columns), force_terminal=True)
    slow = dataclasses.replace(result.peer, converged=False, n_iter=100, seconds=1234.5)
    for peer in (result.peer, slow):
        shown = dataclasses.replace(result, peer=peer)
        console.show(results_table(shown), comparison(shown))
    assert "…" not in console.file.getvalue()
    assert "mean log-likelihood" in console.file.getvalue()


def test_different_numbers_of_iterations_are_said():
    ours, peer = run_with(n_iter=4), run_with(n_iter=5, seconds=30.0)
    said = comparison(DemoResult(np.zeros((1, 1, 3)), np.zeros((1, 1), int), 1.0, ours, peer))
    assert "15.0 times faster" in said
    assert "12.0 times faster" in said


def test_a_clock_runs_on_a_terminal(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.chdir(tmp_path)
    assert cli.main(DEMO) == 0
    captured = capsys.readouterr()
    assert "fitting with scikit-learn" in captured.err
    assert "0:00:0" in captured.err
    assert "scikit-learn: " not in captured.out


# --- a photograph of one's own --------------------------------------------------------------
def painted(mode):
    """Four by three pixels, red in the upper left corner where there are colours."""
    if mode == "I;16":
        return Image.fromarray(np.linspace(0, 65535, 12).reshape(3, 4).astype(np.uint16))
    if mode == "F":
        return Image.fromarray(np.linspace(0, 1, 12).reshape(3, 4).astype(np.float32))
    picture = Image.new("RGB", (4, 3), (0, 0, 255))
    picture.putpixel((0, 0), (255, 0, 0))
    return picture.convert(mode)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "L", "LA", "1", "CMYK", "I;16", "F"])
def test_photographs_of_all_kinds(mode, tmp_path):
    path = tmp_path / "own.tif"
    (painted(mode) if mode != "LA" else painted("L").convert("LA")).save(path)
    image = read_photograph(path)
    assert image.shape == (3, 4, 3)
    assert image.dtype == np.float64
    assert 0 <= image.min() <= image.max() <= 1
    if mode in ("RGB", "RGBA", "P", "CMYK"):
        np.testing.assert_array_equal(image[0, 0], [1, 0, 0])
        np.testing.assert_array_equal(image[1, 1], [0, 0, 1])
    else:
        np.testing.assert_array_equal(image[:, :, 0], image[:, :, 2])
    if mode in ("I;16", "F"):
        np.testing.assert_allclose(image[:, :, 0].ravel(), np.linspace(0, 1, 12), atol=1e-4)


def test_transparent_pixels_lie_on_white(tmp_path):
    Image.new("RGBA", (2, 2), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    np.testing.assert_array_equal(read_photograph(tmp_path / "clear.png"), np.ones((2, 2, 3)))


def test_photographs_are_turned_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    painted("RGB").save(tmp_path / "own.png", exif=exif)
    image = read_photograph(tmp_path / "own.png")
    assert image.shape == (4, 3, 3)
    np.testing.assert_array_equal(image[0, 2], [1, 0, 0])


def test_large_photographs_are_thinned():
    assert thinned(np.zeros((427, 640, 3)), None, 16, "own").shape == (427, 640, 3)
    assert thinned(np.zeros((3000, 4000, 3)), None, 16, "own").shape == (600, 800, 3)
    assert thinned(np.zeros((3000, 4000, 3)), 1, 16, "own").shape == (3000, 4000, 3)


def test_the_demo_of_a_photograph_of_ones_own(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    colours = np.random.default_rng(0).integers(256, size=(30, 20, 3), dtype=np.uint8)
    Image.fromarray(colours).save("own.png")
    arguments = ["demo", "--image", "own.png", "--components", "3", "--max-iter", "3", "--no-peer"]
    assert cli.main([*arguments, "--out", "picture.png"]) == 0
    assert "600 pixels of own.png" in capsys.readouterr().out
    with Image.open("picture.png") as picture:
        assert picture.size == (2 * 640 + 3 * 24, 36 + 960 + 24 + 20 + 24)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("missing.png", "missing.png: No such file"),
        ("text.png", "text.png: pillow cannot read it as an image"),
        ("cut.png", "cut.png: the image cannot be read"),
        ("small.png", "small.png: 2 × 2 pixels are too few for 16 components"),
        (".", "Is a directory"),
    ],
)
def test_photographs_that_cannot_be_used(name, said, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "text.png").write_text("no picture")
    Image.new("RGB", (2, 2)).save("small.png")
    noise = np.random.default_rng(0).integers(256, size=(90, 90, 3), dtype=np.uint8)
    Image.fromarray(noise).save("whole.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "whole.png").read_bytes()[:9000])
    assert cli.main(["demo", "--image", name]) == 2
    captured = capsys.readouterr()
    assert said in captured.err
    assert (captured.out, captured.err.count("\n")) == ("", 1)


def test_times_are_in_the_picture(result):
    title = picture_title(result)
    assert title.startswith("4 components: fastgmm ")
    assert "scikit-learn" in title
    assert "scikit-learn" not in picture_title(dataclasses.replace(result, peer=None))
