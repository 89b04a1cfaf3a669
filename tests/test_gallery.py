"""The gallery's scripts look as sphinx-gallery wants them, and what two of them claim is so.

The documentation's build runs them all, so here they are only read.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

GALLERY = Path(__file__).parent.parent / "docs" / "gallery"
SCRIPTS = sorted(GALLERY.glob("*/*.py"))
each_script = pytest.mark.parametrize(
    "script", SCRIPTS, ids=lambda path: f"{path.parent.name}/{path.stem}"
)
SHOWN = {"print", "subplots", "add_subplot"}  # and whatever begins with plot_


def cells(script: Path) -> list[str]:
    """The code between two texts, and the title with what follows it."""
    return re.split(r"(?m)^# %%.*$", script.read_text(encoding="utf-8"))


def called(code: str) -> set[str]:
    """Names of the functions and methods that are called."""
    functions = [node.func for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call)]
    return {getattr(function, "attr", getattr(function, "id", "")) for function in functions}


def run(script: Path, *numbers: int) -> dict[str, Any]:
    """The names that these cells leave behind."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for number in numbers:
        exec(compile(cells(script)[number], str(script), "exec"), names)
    return names


def test_both_galleries_are_found():
    assert {script.parent.name for script in SCRIPTS} >= {"jobs"}
    assert all((script.parent / "GALLERY_HEADER.rst").exists() for script in SCRIPTS)


@each_script
def test_it_begins_with_a_title(script: Path):
    docstring = ast.get_docstring(ast.parse(script.read_text(encoding="utf-8")))
    assert docstring
    title, line, empty, *text = docstring.splitlines()
    assert line == "=" * len(title)
    assert not empty
    assert text, "what the page is about, in a sentence or two"


@each_script
def test_it_ends_with_a_picture_or_a_table(script: Path):
    shown = called(cells(script)[-1])
    assert shown & SHOWN or any(name.startswith("plot_") for name in shown)


@each_script
def test_it_runs_anywhere(script: Path):
    """No screen, no network, no folder of one machine."""
    code = script.read_text(encoding="utf-8")
    assert "show" not in called(code)
    assert not {name for name in called(code) if name.startswith(("fetch_", "urlopen"))}
    assert not re.search(r"(?<![\w.])/(tmp|home|root|work|Users)\b", code)


@each_script
def test_its_random_numbers_are_seeded(script: Path):
    code = script.read_text(encoding="utf-8")
    assert not re.search(r"(default_rng|RandomState)\(\)", code)
    assert "train_test_split" not in called(code) or "random_state=" in code


def test_a_threshold_flags_strangers_and_few_others(monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("matplotlib")
    monkeypatch.setenv("MPLBACKEND", "agg")
    names = run(GALLERY / "jobs" / "flag_outliers.py", 0)
    ordinary, strangers = np.split(names["flagged"], [len(names["ordinary"])])
    assert 0.005 < ordinary.mean() < 0.025
    assert strangers.mean() > 0.7


def test_chunks_give_the_fit_of_all_the_data():
    pytest.importorskip("matplotlib")
    names = run(GALLERY / "jobs" / "sums_of_statistics.py", 0)
    for name in ("weights", "means", "covariances"):
        fitted = getattr(names["model"], f"{name}_")
        np.testing.assert_allclose(getattr(names["p"], name), fitted, rtol=1e-10, atol=1e-12)


def test_criteria_disagree_on_a_bent_cluster():
    """AIC takes the most components and ICL the fewest, as the page says."""
    pytest.importorskip("matplotlib")
    script = GALLERY / "jobs" / "choose_components.py"
    names: dict[str, Any] = {}
    first, _, bent = cells(script)
    data = first[: first.index("selection = ")]  # its own sweep takes longer than what follows
    exec(data, names)
    exec(bent[: bent.index("figure, axes")], names)
    lowest = [int(np.argmin(names["criteria"][name])) for name in ("AIC", "BIC", "ICL")]
    assert lowest[0] > lowest[1] > lowest[2]
