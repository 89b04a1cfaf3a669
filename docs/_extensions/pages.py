"""The code of a page: its Python blocks in their order, and what they print.

A block ```` ```output ```` after one ```` ```python ```` is what that prints, to the letter.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

FENCES = re.compile(
    r"^```python\n(?P<code>.*?)^```$(?:\n+^```output\n(?P<output>.*?)^```$)?",
    re.MULTILINE | re.DOTALL,
)


class Block(NamedTuple):
    """Code of a page, the line that it begins in, and what it should print, if that is said."""

    code: str
    line: int
    output: str | None


def blocks_of(text: str) -> Iterator[Block]:
    """Find the Python blocks of a page in Markdown."""
    for found in FENCES.finditer(text):
        yield Block(found["code"], text.count("\n", 0, found.start()) + 2, found["output"])


def run_page(path: Path, folder: Path) -> None:
    """Run the blocks of a page one after another, as one program, in a folder.

    AssertionError is raised where a block prints something else than the page says, blanks at the
    ends of lines aside.
    """
    names: dict[str, object] = {"__name__": "__main__"}
    with contextlib.chdir(folder):
        for block in blocks_of(path.read_text(encoding="utf-8")):
            source = "\n" * (block.line - 1) + block.code  # so that errors name the page's line
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile(source, str(path.name), "exec"), names)
            if block.output is not None and _lines(printed.getvalue()) != _lines(block.output):
                raise AssertionError(
                    f"{path.name}, line {block.line}: the page says\n{block.output}\n"
                    f"and this is printed:\n{printed.getvalue()}"
                )


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.splitlines()]
