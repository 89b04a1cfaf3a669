"""What makes waiting for numba shorter, and less of a riddle."""

from __future__ import annotations

import contextlib
import gc
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

# Seconds that nobody is told of.
UNNOTICED = 2.0
# References that a frame has room for: 1 MiB, of which nothing is touched.
ROOM = 2**17
_told = threading.Event()


def waited_for(what: str, compile_: Callable, /, *arguments: Any, **options: Any) -> Any:
    """Call numba's compiler so that it takes no longer than it must, and say what is compiled."""
    with paused_collector(), explained(what):
        return _with_room(compile_, *arguments, **options)


def _with_room(function: Callable, /, *arguments: Any, **options: Any) -> Any:
    return function(*arguments, **options)


# CPython keeps frames in pieces of 16 KiB (since 3.11). A call that finds its piece full has the
# system map another, and unmaps it on return; where such a border meets an inner loop of the
# compiler, that is up to a third of all time. A frame that is larger than a piece gets a large
# one, and what it calls goes on in there.
_with_room.__code__ = _with_room.__code__.replace(co_stacksize=ROOM)


@contextlib.contextmanager
def paused_collector() -> Iterator[None]:
    """Let Python's garbage collector rest while numba makes many objects, nearly all to be kept.

    It would look through them again and again, which takes a sixth of the time to compile; and
    through all of them afterwards, if they were not old by then. So is whatever else the process
    has made lately: garbage among it waits for the next full collection.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if not gc.get_freeze_count():  # what others have frozen stays so
            gc.freeze()
            gc.unfreeze()  # among the oldest
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
