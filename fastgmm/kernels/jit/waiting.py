"""What makes waiting for numba shorter, and less of a riddle."""

from __future__ import annotations

import contextlib
import gc
import sys
import threading
from collections.abc import Iterator

# Seconds that nobody is told of.
UNNOTICED = 2.0
_told = threading.Event()


@contextlib.contextmanager
def paused_collector() -> Iterator[None]:
    """Let Python's garbage collector rest while numba makes many objects, nearly all to be kept.

    It would look through them again and again, which takes a sixth of the time to compile.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


@contextlib.contextmanager
def explained(what: str) -> Iterator[None]:
    """Say on a terminal, once in a process, what the user is waiting for.

    Somebody who has put a progress bar in the terminal's place says so there.
    """
    if _told.is_set() or sys.stderr is not sys.__stderr__ or not _is_terminal():
        yield
        return
    timer = threading.Timer(UNNOTICED, _tell, [what])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _is_terminal() -> bool:
    return sys.stderr is not None and sys.stderr.isatty()


def _tell(what: str) -> None:
    _told.set()
    message = "which takes some seconds; later processes load it from the disk"
    print(f"fastgmm: compiling {what}, {message}", file=sys.stderr, flush=True)
