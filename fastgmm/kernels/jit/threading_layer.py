"""Numba's threading layer: how its threads wait, and who may enter it."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from importlib import import_module
from pathlib import Path

import llvmlite.binding
import numba
from numba import config
from numba.core.compiler_lock import global_compiler_lock

from fastgmm.kernels.jit.target import JIT_DISABLED

# Turns of its waiting loop before a thread of GNU's OpenMP goes to sleep: about a tenth of a
# millisecond. Its own 300,000 are milliseconds, for which the threads of another fit on the same
# cores do without a processor; asv's `scaling.SideBySide` measures both.
SPIN_COUNT = 10_000
SPIN_SETTINGS = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")
# Of a process that was forked and has not replaced its program since; from Linux's sched.h.
FORKED_WITHOUT_EXEC = 0x40


def load_openmp() -> None:
    """Load GNU's OpenMP so that its waiting threads soon give up their processor.

    It reads its settings once, when it is loaded. Those of the user win, and where somebody has
    loaded it before, nothing changes.
    """
    if any(name in os.environ for name in SPIN_SETTINGS) or not sys.platform.startswith("linux"):
        return
    if str(config.THREADING_LAYER).lower() in ("tbb", "workqueue"):
        return
    os.environ["GOMP_SPINCOUNT"] = str(SPIN_COUNT)
    try:
        with contextlib.suppress(ImportError):  # no libgomp: numba takes another layer
            import_module("numba.np.ufunc.omppool")
    finally:
        del os.environ["GOMP_SPINCOUNT"]


class ThreadingLayer:
    """Guards numba's threading layer against being entered where it would abort.

    The workqueue layer aborts the process when two threads enter it (numba #9288), and the
    OpenMP layer one that was forked after somebody had launched it (numba's omppool). Whoever may
    not enter runs the serial twin.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._left_behind = is_launched() and was_forked()

    def enter(self) -> bool:
        """Return whether this thread may run kernels on threads; if so, nobody else may."""
        if self._left_behind or (self._pid != os.getpid() and is_launched()):
            return False
        return self._lock.acquire(blocking=False)

    def leave(self) -> None:
        """Leave if this thread is there, and release what an interruption kept it from."""
        with contextlib.suppress(RuntimeError):  # it is not there
            while True:
                self._lock.release()

    def begin_child(self) -> None:
        """In a forked child: the threads of a layer that the parent has launched are not there."""
        self._lock = threading.RLock()
        self._pid = os.getpid()
        self._left_behind = self._left_behind or is_launched()


def is_launched() -> bool:
    """Whether numba's threads were launched, by whomever."""
    try:
        numba.threading_layer()
    except ValueError:
        return False
    return True


def was_forked() -> bool:
    """Whether this process is a fork of one that ran the same program, as far as Linux tells."""
    try:
        flags = Path("/proc/self/stat").read_text().rpartition(")")[2].split()[6]
    except (OSError, IndexError):
        return False
    return bool(int(flags) & FORKED_WITHOUT_EXEC)


# --- forking --------------------------------------------------------------------------------
def hold_the_compiler() -> None:
    """Wait until no other thread compiles: its locks would stay locked in the child forever."""
    global_compiler_lock.acquire()
    llvmlite.binding.ffi.lib._lock.__enter__()


def release_the_compiler() -> None:
    """Let others compile again."""
    llvmlite.binding.ffi.lib._lock.__exit__(None, None, None)
    global_compiler_lock.release()


def begin_child() -> None:
    """Begin the life of a forked child."""
    release_the_compiler()
    layer.begin_child()


if not JIT_DISABLED:
    load_openmp()
layer = ThreadingLayer()
if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(
        before=hold_the_compiler,
        after_in_parent=release_the_compiler,
        after_in_child=begin_child,
    )
