"""The documentation does what it says: its code runs and prints what stands beside it."""

from __future__ import annotations

import doctest
import importlib
import re
import sys
from pathlib import Path

import pytest

import fastgmm

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
README = ROOT / "README.md"
sys.path.insert(0, str(DOCS / "_extensions"))

from pages import blocks_of, run_page  # noqa: E402

PAGES = [README, *sorted(page for page in DOCS.rglob("*.md") if "_build" not in page.parts)]
SOURCES = sorted(Path(fastgmm.__file__).parent.rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def has_code(page: Path) -> bool:
    return any(blocks_of(page.read_text(encoding="utf-8")))


def test_pages_that_begin_show_code():
    beginnings = [README, *(DOCS / f"{name}.md" for name in ("index", "tour"))]
    assert all(has_code(page) for page in beginnings)


@pytest.mark.parametrize("page", [page for page in PAGES if has_code(page)], ids=name_of)
def test_code_of_pages(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """All of a page as one program, with matplotlib drawing into files."""
    monkeypatch.setenv("MPLBACKEND", "agg")
    run_page(page, tmp_path)
    own = f"_pictures/{page.relative_to(ROOT).with_suffix('').as_posix().removeprefix('docs/')}/"
    shown = re.findall(rf"{own}([^/\s)]+)", page.read_text(encoding="utf-8"))
    assert {path.name for path in tmp_path.iterdir()} >= set(shown)


def test_a_page_that_prints_something_else_is_found(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text("```python\nprint(1)\n```\n\n```output\n2\n```\n")
    with pytest.raises(AssertionError, match=r"page.md, line 2: the page says\n2\n"):
        run_page(page, tmp_path)


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_pages_that_are_linked_to_exist(page: Path):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if "://" not in target and "_pictures/" not in target and "auto_" not in target:
            assert (page.parent / target).exists(), target


def test_readme_commands_come_first():
    """The command that runs the main job, that for the tests, that for the documentation."""
    text = README.read_text(encoding="utf-8")
    commands = re.findall(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    ends = ["fastgmm demo", "-m pytest", "docs/_build/html"]
    for command, end in zip(commands, ends, strict=True):
        assert command.strip().endswith(end)
        assert "\n" not in command.strip()
        assert command.startswith("python3 -m venv .venv && ")


@pytest.mark.parametrize(
    "path",
    [path for path in SOURCES if ">>> " in path.read_text(encoding="utf-8")],
    ids=name_of,
)
def test_examples_in_docstrings(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MPLBACKEND", "agg")
    parts = path.relative_to(ROOT).with_suffix("").parts
    module = importlib.import_module(".".join(parts).removesuffix(".__init__"))
    results = doctest.testmod(module)
    assert results.attempted > 0
    assert results.failed == 0
