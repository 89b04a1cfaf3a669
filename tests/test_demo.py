"""The demo on every sixteenth row and column of its photograph."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from fastgmm import cli
from fastgmm.demo import DemoResult, Run, compute, load_photograph, results_table

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
