"""The one place with numba's settings: flags, disk cache, threads, the serial twin."""

from __future__ import annotations

import hashlib
import os
import threading
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numba
from numba import config, types
from numba.core.caching import CompileResultCacheImpl, FunctionCache
from numba.extending import intrinsic, overload

# contract: multiply-adds may fuse; nsz, arcp: signs of zero and reciprocals. Never nnan or
# ninf, which delete the handling of overflow, and reassoc in the reduction loops alone.
FLAGS = {"contract", "nsz", "arcp"}
REDUCTION_FLAGS = {*FLAGS, "reassoc"}

JIT_DISABLED = bool(config.DISABLE_JIT)


# --- the disk cache -------------------------------------------------------------------------
def _digest_of_kernels() -> str:
    """Digest of every source file of this folder, the stamp of every cache entry.

    Numba compares the file of the cached function alone and would answer an edit of
    density.py with old machine code of passes.py (numba #8359).
    """
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


_STAMP = _digest_of_kernels()


def _stamped(locator: type, variant: str) -> type:
    """Numba's cache locator with our stamp, and a file name that tells the twins apart."""

    class StampedLocator(locator):
        def get_source_stamp(self) -> str:
            return _STAMP

        def get_disambiguator(self) -> str:
            return f"{variant}-{super().get_disambiguator()}"

    return StampedLocator


def _cache_class(variant: str) -> type:
    class KernelCacheImpl(CompileResultCacheImpl):
        _locator_classes = [  # noqa: RUF012  the name and kind are numba's
            _stamped(locator, variant) for locator in CompileResultCacheImpl._locator_classes
        ]

    class KernelCache(FunctionCache):
        _impl_class = KernelCacheImpl

        def load_overload(self, sig: Any, target_context: Any) -> Any:
            try:
                return super().load_overload(sig, target_context)
            except Exception:
                # Truncated, foreign or unreadable: compile again and overwrite.
                return None

        def save_overload(self, sig: Any, data: Any) -> None:
            try:
                super().save_overload(sig, data)
            except Exception as error:
                _warn_uncached(error)

    return KernelCache


_CACHES = {variant: _cache_class(variant) for variant in ("serial", "parallel")}


def _warn_uncached(error: Exception) -> None:
    warnings.warn(
        f"fastgmm's compiled kernels cannot be kept on disk ({error}); every new process will "
        "compile them again. Set NUMBA_CACHE_DIR to a writable folder.",
        RuntimeWarning,
        stacklevel=4,
    )


# --- decorators -----------------------------------------------------------------------------
# Workers are inlined into their driver by force: a call might be bound to the worker's own
# machine code in the process that compiles it, and to the copy beside the driver in those that
# load it from the disk, and two copies need not round alike. Nobody calls them from Python, so
# wrappers would only take time to compile.
_WORKER = {
    "error_model": "numpy",
    "nogil": True,
    "forceinline": True,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}


def worker(function: Callable) -> Callable:
    """Compile a serial function of one tile or block, lazily, as part of its callers."""
    return numba.njit(function, fastmath=FLAGS, **_WORKER)


def reduction(function: Callable) -> Callable:
    """Compile a worker whose loops add up over points, in whatever order fills the registers."""
    return numba.njit(function, fastmath=REDUCTION_FLAGS, **_WORKER)


def register_block(twin: Callable) -> Callable:
    """Replace a plain-numpy function by the intrinsic that the decorated generator emits.

    The twin says what the block computes and runs when the JIT is disabled.
    """

    def decorate(generator: Callable) -> Callable:
        return twin if JIT_DISABLED else intrinsic(prefer_literal=True)(generator)

    return decorate


def dispatch_on_record(name: str, workers: Mapping[type, Callable]) -> Callable:
    """Return a function that picks a worker by the class of its first argument, statically.

    Compiled callers are specialized on the class of the record, so that the choice costs
    nothing and no function crosses into a cached kernel as a value.
    """

    def dispatch(record, *arguments):
        return workers[type(record)](record, *arguments)

    dispatch.__name__ = name
    if not JIT_DISABLED:

        @overload(dispatch)
        def select(record, *arguments):  # numba compares signatures: no annotations
            if not isinstance(record, types.BaseNamedTuple):
                return None
            chosen = workers[record.instance_class]

            def call(record, *arguments):
                return chosen(record, *arguments)

            return call

    return dispatch


class Driver:
    """A `prange` loop over blocks, for numba's threads and, as a serial twin, for one thread.

    The twin runs, and is compiled, only where the threads must not be entered; it computes the
    same, block by block.
    """

    def __init__(self, function: Callable):
        self.name = function.__name__
        options = {"fastmath": FLAGS, "error_model": "numpy", "nogil": True}
        self.serial = numba.njit(function, **options)
        self.parallel = numba.njit(function, parallel=True, **options)
        if not JIT_DISABLED:
            for variant in ("serial", "parallel"):
                try:
                    getattr(self, variant)._cache = _CACHES[variant](function)
                except (RuntimeError, OSError) as error:  # nowhere to write
                    _warn_uncached(error)

    def __call__(self, n_blocks: int, *arguments: Any) -> None:
        """Run `n_blocks` blocks, on numba's threads where that is possible."""
        # Starts the layer: code from the disk must not ask for a thread's index before.
        mask = numba.get_num_threads()
        if JIT_DISABLED or not _threads.enter():
            self.serial(n_blocks, *arguments)
            return
        try:
            if n_blocks < mask:  # waking threads without work takes longer than a small pass
                numba.set_num_threads(n_blocks)
            self.parallel(n_blocks, *arguments)
        finally:
            numba.set_num_threads(mask)
            _threads.leave()


# --- threads --------------------------------------------------------------------------------
class _Threads:
    """Guards numba's threading layer against being entered where it would abort.

    The workqueue layer aborts the process when two threads enter it (numba #9288), and the
    OpenMP layer one that was forked after its first use (numba's omppool). Whoever may not
    enter runs the serial twin.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._first_pid: int | None = None

    def enter(self) -> bool:
        if self._first_pid not in (None, os.getpid()):
            return False
        if not self._lock.acquire(blocking=False):
            return False
        self._first_pid = os.getpid()
        return True

    def leave(self) -> None:
        self._lock.release()


_threads = _Threads()


def max_threads() -> int:
    """Upper bound of `thread_index()`, whatever the thread mask says."""
    return 1 if JIT_DISABLED else int(config.NUMBA_NUM_THREADS)


if JIT_DISABLED:

    def thread_index() -> int:
        """Index of the running thread: always 0 without the JIT."""
        return 0

else:
    thread_index = numba.get_thread_id


def threading_report() -> dict[str, object]:
    """Return the number of threads, the threading layer in use, and the folder of the cache."""
    from fastgmm.kernels import blocks

    if JIT_DISABLED:
        return {"threads": 1, "threading_layer": "none (JIT disabled)", "cache_directory": None}
    numba.set_num_threads(numba.get_num_threads())  # starts the layer, so that it has a name
    cache = blocks.expectation_blocks.parallel._cache
    return {
        "threads": numba.get_num_threads(),
        "threading_layer": numba.threading_layer(),
        "cache_directory": getattr(cache, "cache_path", None),
    }
