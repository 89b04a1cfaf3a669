"""The house itself: the contract's two sides agree, and rooms stay small."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

import fastgmm
from fastgmm import kernels, reference

ROOT = Path(__file__).parent.parent
PACKAGE = Path(fastgmm.__file__).parent
SOURCES = sorted(PACKAGE.rglob("*.py"))


def test_kernels_and_reference_export_the_same_names():
    assert sorted(kernels.__all__) == sorted(reference.__all__)


@pytest.mark.parametrize("name", reference.__all__)
def test_kernels_and_reference_have_the_same_signatures(name: str):
    ours, theirs = (
        inspect.signature(getattr(module, name), eval_str=False) for module in (kernels, reference)
    )
    assert list(ours.parameters) == list(theirs.parameters)
    for mine, other in zip(ours.parameters.values(), theirs.parameters.values(), strict=True):
        assert (mine.kind, mine.default) == (other.kind, other.default)
    assert inspect.getdoc(getattr(kernels, name))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_files_are_read_from_top_to_bottom(path: Path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    assert text.startswith('"""'), "a module says what it is for in its first line"


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_functions_are_short_and_narrow_or_say_why(path: Path):
    lines = path.read_text(encoding="utf-8").splitlines()
    for node in ast.walk(ast.parse("\n".join(lines))):
        if not isinstance(node, ast.FunctionDef) or node.name == "__init__":
            continue
        names = [argument.arg for argument in (*node.args.args, *node.args.kwonlyargs)]
        n_names = len([name for name in names if name not in ("self", "cls")])
        if node.end_lineno - node.lineno >= 50 or n_names > 8:
            first = min([node.lineno, *(one.lineno for one in node.decorator_list)])
            nested = lines[first - 1].startswith(" " * 4)  # its parent has the reason
            assert nested or lines[first - 2].startswith(("# Long: ", "# Wide: ")), node.name


def test_few_modules_lie_outside_of_the_rooms():
    assert len(list(PACKAGE.glob("*.py"))) <= 14


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_no_kernel_drops_infinities_or_nans(path: Path):
    """`fastmath=True` and the flags `nnan` and `ninf` delete the handling of overflow."""
    text = path.read_text(encoding="utf-8")
    assert not re.search(r"fastmath\s*=\s*True|[\"']n(nan|inf)[\"']", text)
