"""Whose code a warning is about."""

from __future__ import annotations

import sys

# Packages between a warning and the code that it is about.
BETWEEN = ("fastgmm", "sklearn", "contextlib")


def level_of_caller() -> int:
    """Return the `stacklevel` by which a warning of whoever calls this is about other code."""
    frame, level = sys._getframe(1), 1
    while frame.f_back and frame.f_globals.get("__name__", "").partition(".")[0] in BETWEEN:
        frame, level = frame.f_back, level + 1
    return level
