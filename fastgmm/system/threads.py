"""How many threads there are, and keeping those of others from waking where they harm."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache, wraps
from typing import Any, TypeVar, cast

import numba
from numba import config
from numba.np.ufunc import parallel
from threadpoolctl import ThreadpoolController

from fastgmm.system.processors import cpu_quota

Method = TypeVar("Method", bound=Callable[..., Any])


# --- of the kernels
def n_threads() -> int:
    """Return the number of threads that the kernels may use, and so the host."""
    return int(numba.get_num_threads())


def on_its_threads(method: Method) -> Method:
    """Run the kernels that a method calls on as many threads as its object's `n_jobs` says.

    None leaves the number as it is, -1 takes all that numba was started with, -2 all but one.
    Afterwards there are as many as before, even if the method is interrupted.
    """

    @wraps(method)
    def limited(self: Any, *arguments: Any, **options: Any) -> Any:
        if self.n_jobs is None:
            return method(self, *arguments, **options)
        set_mask, before = mask_setter(), numba.get_num_threads()
        try:
            set_mask(threads_of(self.n_jobs, int(config.NUMBA_NUM_THREADS)))
            return method(self, *arguments, **options)
        finally:
            set_mask(before)

    return cast(Method, limited)


def threads_of(n_jobs: int, most: int) -> int:
    """Return the number of threads that `n_jobs` asks for, of at most so many."""
    return min(most, n_jobs) if n_jobs > 0 else max(1, most + 1 + n_jobs)


def mask_setter() -> Callable[[int], None]:
    """Return the C function behind `numba.set_num_threads`.

    An interruption is raised between two calls of C, never within one: called in a `finally`, this
    has restored the mask when it comes, and Python's own function may not.
    """
    numba.get_num_threads()  # launches the threads, if nobody has
    setter: Callable[[int], None] = parallel._set_num_threads
    return setter


def max_threads() -> int:
    """Upper bound of the threads of a driver, whatever the mask says."""
    return 1 if config.DISABLE_JIT else int(config.NUMBA_NUM_THREADS)


def most_threads() -> int:
    """Threads that a container's quota leaves worth starting, unless the user says how many."""
    quota = None if "NUMBA_NUM_THREADS" in os.environ else cpu_quota()
    return max_threads() if quota is None else min(quota, max_threads())


def threading_report() -> tuple[int, str]:
    """Return the number of threads, and the threading layer in use."""
    if config.DISABLE_JIT:
        return 1, "none (JIT disabled)"
    mask = numba.get_num_threads()  # starts the layer, so that it has a name
    return min(mask, most_threads()), numba.threading_layer()


# --- of other libraries
_lock = threading.RLock()  # reentrant: a signal's handler may fork where it is held
# Each fit that wants BLAS limited: its thread, and something that is it alone.
_users: list[tuple[int, object]] = []
_before: list[tuple[Any, int]] = []  # the BLAS libraries and their numbers of threads
_forked = False


def _forget_other_threads() -> None:
    """In a forked child: of the threads that wanted the limit only this one is there."""
    global _users, _forked
    _forked = True
    were_any, this = bool(_users), threading.get_ident()
    _users = [user for user in _users if user[0] == this]
    _lock.release()
    if were_any and not _users:
        _restore_blas()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(
        before=_lock.acquire,
        after_in_parent=_lock.release,
        after_in_child=_forget_other_threads,
    )


@lru_cache(maxsize=1)
def _thread_pools() -> ThreadpoolController:
    return ThreadpoolController()  # looks through all the loaded libraries


@contextmanager
def blas_on_one_thread() -> Iterator[None]:
    """Run the host's linear algebra on the calling thread.

    The matrices between two passes are too small to gain by more, and BLAS threads would wait
    for processors on which those of the kernels still spin. The limit holds for the process: the
    first of several fits at once sets it, and the last one lifts it.
    """
    global _before
    user = threading.get_ident(), object()
    try:
        with _lock:
            if not _users:
                _restore_blas()  # if that was interrupted
                libraries = _thread_pools().select(user_api="blas").lib_controllers
                _before = [(library, library.num_threads) for library in libraries]
                for library in libraries:
                    library.set_num_threads(1)
            _users.append(user)
        yield
    finally:
        with _lock:
            if user in _users:  # else it was interrupted before
                _users.remove(user)
            if not _users:
                _restore_blas()


def _restore_blas() -> None:
    """Lift the limit, even if that is interrupted."""
    global _before
    try:
        for library, n in _before:
            library.set_num_threads(n)
    except KeyboardInterrupt:
        _restore_blas()
        raise
    _before = []


@lru_cache(maxsize=1)
def _openmp() -> list[Any]:
    libraries: list[Any] = _thread_pools().select(user_api="openmp").lib_controllers
    return libraries


@contextmanager
def openmp_where_it_pays(pays: bool) -> Iterator[None]:
    """Run OpenMP code of other libraries on the calling thread, unless more threads pay.

    They never do in a forked child, where GNU's would wait forever for the threads that the parent
    had. And where there is little to do, waiting for a second thread while those of BLAS still
    spin makes it take up to eight times as long. The number is the calling thread's own.
    """
    if pays and not _forked:
        yield
        return
    before = [(library, library.num_threads) for library in _openmp()]
    try:
        for library in _openmp():
            library.set_num_threads(1)
        yield
    finally:
        for library, n in before:
            library.set_num_threads(n)
