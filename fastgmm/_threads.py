"""How many threads there are, and keeping BLAS from waking others beside those of the kernels."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import lru_cache

from threadpoolctl import ThreadpoolController

__all__ = ["blas_on_one_thread", "n_threads"]

_lock = threading.Lock()
_limits: ExitStack | None = None
_users = 0


@lru_cache(maxsize=1)
def _thread_pools() -> ThreadpoolController:
    return ThreadpoolController()  # looks through all the loaded libraries


def n_threads() -> int:
    """Return the number of threads that the kernels may use, and so the host."""
    import numba

    return int(numba.get_num_threads())


@contextmanager
def blas_on_one_thread() -> Iterator[None]:
    """Run the host's linear algebra on the calling thread.

    The matrices between two passes are too small to gain by more, and BLAS threads would wait
    for processors on which those of the kernels still spin. The limit holds for the process: the
    first of several fits at once sets it, and the last one lifts it.
    """
    global _limits, _users
    with _lock:
        if _users == 0:
            _limits = ExitStack()
            _limits.enter_context(_thread_pools().limit(limits=1, user_api="blas"))
        _users += 1
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0 and _limits is not None:
                _limits.close()
