"""What the documentation shows of the shell runs as it stands there."""

from __future__ import annotations

import gzip
import os
import re
import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest
from processes import TESTS
from sklearn.datasets import load_iris

from fastgmm import cli
from fastgmm.benchmarking import problems, timing

ROOT = TESTS.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def examples():
    """Blocks of the shell in which a line begins with the command, or a pipe leads to it."""
    for page in PAGES:
        if "_build" in page.parts:
            continue
        blocks = re.findall(r"^```sh\n(.*?)^```", page.read_text("utf-8"), re.MULTILINE | re.DOTALL)
        for number, block in enumerate(blocks):
            lines = [line for line in block.splitlines() if re.search(r"(^|\| )fastgmm ", line)]
            if lines:
                yield pytest.param(lines, id=f"{page.stem}-{number}")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with the files that the pages speak of, and a bench in a hurry."""
    image = pytest.importorskip("PIL.Image", reason="the demo reads photographs by pillow")
    pytest.importorskip("matplotlib", reason="pictures are of matplotlib")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "agg")
    tiny = (problems.Problem("full", "float64", 300, 2, 3),)
    monkeypatch.setattr(problems, "PROBLEMS", tiny)
    monkeypatch.setattr(problems, "BESIDE_SCIKIT_LEARN", tiny)
    monkeypatch.setattr(timing, "SECONDS", 0.0)
    X, kinds = load_iris(return_X_y=True)
    rows = [
        f"{petal},{sepal},kind {k}" for petal, sepal, k in zip(X[:, 2], X[:, 0], kinds, strict=True)
    ]
    (tmp_path / "flowers.csv").write_text("\n".join(["petal,sepal,kind", *rows]))
    points = "".join(f"{x},{y},{z}\n" for x, y, z in X[:, :3])
    (tmp_path / "points.csv").write_text(points)
    (tmp_path / "points.csv.gz").write_bytes(gzip.compress(points.encode()))
    numbered = [f"{n},{line}" for n, line in enumerate(points.splitlines())]
    (tmp_path / "numbered.csv").write_text("\n".join(["number,x,y,z", *numbered]))
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow", reason="Parquet is read by pyarrow")
    for day in (1, 2):
        pandas.DataFrame(X[day::2], columns=list("abcd")).to_parquet(f"day-{day}.parquet")
    colours = np.random.default_rng(0).integers(256, size=(48, 64, 3), dtype=np.uint8)
    image.fromarray(colours).save(tmp_path / "photo.jpg")
    return tmp_path


@pytest.mark.parametrize("lines", list(examples()))
def test_shell_examples(lines, folder, capsys):
    for line in lines:
        if re.search(r"[|>]", line):
            run_in_shell(line)
            continue
        program, *arguments = shlex.split(line, comments=True)
        assert program == "fastgmm"
        assert cli.main(arguments) == 0, capsys.readouterr().err


def run_in_shell(line):
    """Run a pipeline with the command of this Python."""
    if shutil.which("bash") is None:  # as on Windows; the commands in them are tested elsewhere
        pytest.skip("pipelines are shown for a POSIX shell")
    command = f'fastgmm() {{ "{sys.executable}" -m fastgmm "$@"; }}; set -o pipefail; {line}'
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}
    ended = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, check=False, env=environment
    )
    assert ended.returncode == 0, ended.stderr


def test_examples_are_found():
    assert len(list(examples())) >= 5
