"""Printing for people: a console, tables, a progress bar."""

from __future__ import annotations

import io
from collections.abc import Iterable

from rich import box, progress
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

UNLIMITED = 100_000  # characters of a line in a pipe or a file


class Terminal(Console):
    """A console that leaves a closed pipe to its caller, whatever the version of rich."""

    def on_broken_pipe(self) -> None:
        """Raise, where rich would exit."""
        raise BrokenPipeError

    def show(self, *renderables: RenderableType) -> None:
        """Print; anywhere but on a terminal, nothing is wrapped or padded with blanks."""
        if self.is_terminal:
            print_each(self, renderables)
            return
        wide = Console(file=io.StringIO(), width=UNLIMITED, color_system=None)
        print_each(wide, renderables)
        lines = wide.file.getvalue().splitlines()  # type: ignore[attr-defined]
        self.file.write("".join(f"{line.rstrip()}\n" for line in lines))
        self.file.flush()


def print_each(console: Console, renderables: Iterable[RenderableType]) -> None:
    """Print, and leave text that must not be wrapped in one piece."""
    for renderable in renderables:
        text = Text(renderable) if isinstance(renderable, str) else renderable
        whole = isinstance(text, Text) and text.no_wrap
        console.print(text, crop=False, no_wrap=whole, overflow="ignore" if whole else None)


def progress_bar() -> progress.Progress:
    """A bar on stderr that goes away; its tasks have a field `state`, said in words."""
    return progress.Progress(
        progress.SpinnerColumn(),
        progress.TextColumn("{task.description}"),
        progress.BarColumn(bar_width=24),
        progress.TextColumn("{task.fields[state]}"),
        progress.TimeElapsedColumn(),
        console=Terminal(stderr=True),
        transient=True,
    )


def plain_table() -> Table:
    """An empty table with a line under its header and no other."""
    return Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False)


def key_values(pairs: dict[str, str], gap: int = 3) -> Text:
    """Names and their values in two columns; long values, paths above all, stay in one piece."""
    width = max(map(len, pairs), default=0)
    lines = [Text.assemble((name.ljust(width), "dim"), " " * gap, pairs[name]) for name in pairs]
    return Text("\n", no_wrap=True).join(lines)
