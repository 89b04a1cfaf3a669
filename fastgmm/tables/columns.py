"""Which columns of a table are points, as a user asks for them by name or by number."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

MOST_NAMED = 8  # columns that an error names


@dataclass(frozen=True, slots=True)
class Choice:
    """What is asked for; nothing is the default."""

    columns: tuple[str, ...] = ()  # names, numbers from 0 on, or ranges such as 2-5
    left_out: tuple[str, ...] = ()  # what names the rows, above all
    expected: tuple[
        str, ...
    ] = ()  # names that are chosen if nothing is asked for and all are there

    def __bool__(self) -> bool:
        return bool(self.columns or self.left_out or self.expected)

    def chosen(self, names: Sequence[str], width: int) -> list[int]:
        """Return the numbers of the columns that are points, in the order that is asked for.

        `names` are of all the columns that could be, or there are none. ValueError is raised if
        there is no such column, or one is asked for twice.
        """
        left_out = {number for text in self.left_out for number in find(text, names, width)}
        if self.columns:
            found = [number for text in self.columns for number in find(text, names, width)]
        elif self.expected and all(names.count(name) == 1 for name in self.expected):
            found = [names.index(name) for name in self.expected]
        else:
            found = [number for number in range(width) if number not in left_out]
        both = next((number for number in found if number in left_out), None)
        if both is not None:
            raise ValueError(f"column {both} is both a point's and the index; choose one.")
        twice = next((number for i, number in enumerate(found) if number in found[:i]), None)
        if twice is not None:
            raise ValueError(f"column {twice} is chosen twice; choose each one once.")
        if not found:
            raise ValueError("no column of numbers is left beside the index.")
        return found


def points_and_weight(
    choice: Choice, weight: str | None, names: Sequence[str], width: int
) -> tuple[list[int], int | None]:
    """Return the numbers of the columns that are points, and of the one that has weights."""
    if weight is None:
        return choice.chosen(names, width), None
    found = find(weight, names, width)
    if len(found) > 1:
        raise ValueError(f"{weight!r} stands for {len(found)} columns; weights are in one.")
    others = replace(choice, left_out=(*choice.left_out, weight))
    return others.chosen(names, width), found[0]


def find(text: str, names: Sequence[str], width: int) -> list[int]:
    """Numbers of the columns that a text stands for: a name, before a number or a range of them."""
    named = [number for number, name in enumerate(names) if name == text]
    if len(named) > 1:
        raise ValueError(f"{len(named)} columns are named {text!r}; choose them by number from 0.")
    if named:
        return named
    match = re.fullmatch(r"(\d+)(?:-(\d+))?", text)
    if match:
        first, last = int(match[1]), int(match[2] or match[1])
        if first <= last < width:
            return list(range(first, last + 1))
    raise ValueError(f"there is no column {text!r}; {_known(names, width)}.")


def _known(names: Sequence[str], width: int) -> str:
    if not any(names):
        return f"the {width} columns have no names, and numbers from 0 to {width - 1}"
    shown = ", ".join(names[:MOST_NAMED]) + (", …" if len(names) > MOST_NAMED else "")
    return f"the columns, 0 to {width - 1}, are {shown}"


ALL = Choice()
