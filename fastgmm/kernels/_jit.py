"""The one place with numba's settings: flags, disk cache, threads, the serial twin."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import shutil
import threading
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import llvmlite.binding
import numba
import numpy as np
from numba import config, types
from numba.core import cgutils
from numba.core.caching import CompileResultCacheImpl, FunctionCache, IndexDataCacheFile
from numba.extending import intrinsic, overload

from fastgmm.kernels._processors import cpu_quota

# contract: multiply-adds may fuse; nsz, arcp: signs of zero and reciprocals. Never nnan or
# ninf, which delete the handling of overflow, and reassoc in the reduction loops alone.
FLAGS = {"contract", "nsz", "arcp"}
REDUCTION_FLAGS = {*FLAGS, "reassoc"}

JIT_DISABLED = bool(config.DISABLE_JIT)


# --- the disk cache -------------------------------------------------------------------------
def _digest_of_kernels() -> str:
    """Digest of every source file of this folder, and of numba's version.

    Numba compares the file of the cached function alone and would answer an edit of
    density.py with old machine code of passes.py (numba #8359).
    """
    digest = hashlib.sha256(numba.__version__.encode())
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()


_STAMP = _digest_of_kernels()


class _Entries(IndexDataCacheFile):
    """Files named by what is in them, each with its digest; there is no index.

    Numba numbers the files of a function in an index that processes overwrite for each other, so
    that of two that compile at once one could be handed the machine code of the other.
    """

    def __init__(self, folder: str, function: str):
        super().__init__(folder, function, _STAMP)
        self._function = function

    def _name(self, key: Any) -> str:
        key = (key, config.BOUNDSCHECK)  # which numba's key leaves out
        digest = hashlib.sha256(repr(key).encode()).hexdigest()
        return f"{self._function}.{_STAMP[:16]}-{digest[:32]}.nbc"

    def load(self, key: Any) -> Any:
        digest, content = self._load_data(self._name(key))
        if digest != hashlib.sha256(content).digest():
            raise ValueError("a damaged file")
        return pickle.loads(content)

    def save(self, key: Any, data: Any) -> None:
        path = Path(self._data_path(self._name(key)))
        if path.is_dir():  # nobody knows why
            shutil.rmtree(path)
        content = self._dump(data)
        self._save_data(path.name, (hashlib.sha256(content).digest(), content))
        for other in path.parent.glob(f"{self._function}.*.nbc"):
            if _STAMP[:16] not in other.name:  # of an earlier version
                other.unlink(missing_ok=True)


def _stamped(locator: type, variant: str) -> type:
    """Numba's cache locator with a file name that tells the twins apart."""

    class StampedLocator(locator):
        def get_disambiguator(self) -> str:
            return variant

    return StampedLocator


def _cache_class(variant: str) -> type:
    class KernelCacheImpl(CompileResultCacheImpl):
        _locator_classes = [  # noqa: RUF012  the name and kind are numba's
            _stamped(locator, variant) for locator in CompileResultCacheImpl._locator_classes
        ]

    class KernelCache(FunctionCache):
        _impl_class = KernelCacheImpl
        before_loading: Callable[[Any], object] = staticmethod(lambda signature: None)

        def __init__(self, py_func: Callable):
            super().__init__(py_func)
            self._cache_file = _Entries(self._cache_path, self._impl.filename_base)

        def load_overload(self, sig: Any, target_context: Any) -> Any:
            self.before_loading(sig)
            try:
                return super().load_overload(sig, target_context)
            except Exception:
                # Missing, truncated, foreign or unreadable: compile again and overwrite.
                return None

        def save_overload(self, sig: Any, data: Any) -> None:
            try:
                super().save_overload(sig, data)
            except Exception as error:
                _warn_uncached(error)

    return KernelCache


def _cached(dispatcher: Any, variant: str) -> Any:
    """Give a dispatcher a cache on disk, if there is somewhere to write."""
    try:
        dispatcher._cache = _cache_class(variant)(dispatcher.py_func)
    except (RuntimeError, OSError) as error:
        _warn_uncached(error)
    return dispatcher


_warned = False


def _warn_uncached(error: Exception) -> None:
    """Warn once; the reasons of other kernels are the same."""
    global _warned
    if _warned:
        return
    _warned = True
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
_WORKER: dict[str, Any] = {
    "error_model": "numpy",
    "nogil": True,
    "forceinline": True,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}


def worker(function: Callable) -> Callable:
    """Compile a serial function of one tile or block, lazily, as part of its callers.

    Its statements become the caller's; compiled apart it would be optimized once for itself, and
    again in each function around it.
    """
    return numba.njit(function, fastmath=FLAGS, inline="always", **_WORKER)


def part(function: Callable) -> Callable:
    """Compile a large worker apart from its callers.

    The time that numba takes to infer types grows faster than the number of statements.
    """
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


def dispatch_on_record(name: str, workers: Mapping[type, Any]) -> Callable:
    """Return a function that picks a worker by the class of its first argument, statically.

    Compiled callers are specialized on the class of the record, so that the choice costs
    nothing and no function crosses into a cached kernel as a value.
    """

    def dispatch(record, *arguments):
        return workers[type(record)](record, *arguments)

    dispatch.__name__ = name
    if not JIT_DISABLED:
        # Signatures differ, and the chosen worker itself is compiled here: a function around it
        # would be translated and optimized once more.
        @overload(dispatch, strict=False, jit_options={**_WORKER, "fastmath": FLAGS})
        def select(record, *arguments):  # numba compares signatures: no annotations
            if not isinstance(record, types.BaseNamedTuple):
                return None
            return workers[record.instance_class].py_func

    return dispatch


class Block:
    """A function of one block, (block, thread, n_blocks, ...), compiled as one piece of code.

    A driver calls it by its address. Linked into the `prange` loop like any other function, it
    would be optimized and translated again in each of the four libraries that numba makes of
    such a loop, which takes longer than all the rest.
    """

    def __init__(self, function: Callable):
        options = dict.fromkeys(("nogil", "no_cpython_wrapper", "no_cfunc_wrapper"), True)
        compiled = numba.njit(function, fastmath=FLAGS, error_model="numpy", **options)
        self.dispatcher = _cached(compiled, "block")
        self._symbols: dict[Any, str] = {}

    def symbol(self, types_: tuple[Any, ...]) -> str:
        """Compile or load for these types; return the name that LLVM finds the code under."""
        if types_ not in self._symbols:
            self.dispatcher.compile(types_)
            compiled = self.dispatcher.overloads[types_]
            name = self.dispatcher.py_func.__qualname__ + repr(types_)
            symbol = "fastgmm_" + hashlib.sha256(name.encode()).hexdigest()
            address = compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)
            llvmlite.binding.add_symbol(symbol, address)
            self._symbols[types_] = symbol
        return self._symbols[types_]


def block(function: Callable) -> Callable:
    """Make a function of one block callable from a driver, by address."""
    if JIT_DISABLED:
        return function
    compiled = Block(function)

    @intrinsic
    def call_by_address(typingctx, *arguments):
        symbol = compiled.symbol(arguments)

        def codegen(context, builder, signature, values):
            values = cgutils.unpack_tuple(builder, values[0])
            convention = context.call_conv
            kind = convention.get_function_type(types.none, arguments)
            function = cgutils.get_or_insert_function(builder.module, kind, symbol)
            status, _ = convention.call_function(builder, function, types.none, arguments, values)
            if config.BOUNDSCHECK:  # nothing else raises
                with cgutils.if_unlikely(builder, status.is_error):
                    convention.return_status_propagate(builder, status)
            return context.get_dummy_value()

        return types.void(types.StarArgTuple.from_types(arguments)), codegen

    call_by_address.block = compiled
    return call_by_address


@intrinsic
def take_number(typingctx, counter):
    """counter[0], which is one more for whoever comes next on any thread."""

    def codegen(context, builder, signature, arguments):
        view = context.make_array(counter)(context, builder, arguments[0])
        one = context.get_constant(types.int64, 1)
        return builder.atomic_rmw("add", view.data, one, "monotonic")

    return types.int64(counter), codegen


def driver(of: Callable) -> Callable[[Callable], Driver]:
    """Turn a `prange` loop that calls `of` for each block into a `Driver`."""
    return lambda function: Driver(function, of)


class Driver:
    """Threads that take numbered blocks until none is left; a plain loop where that must not be.

    The loop is a `prange` over threads whose first arguments are their number, an array that
    holds the next number, and the number of blocks. Whoever comes first takes the next block, as
    components differ in work and machines have other things to do; as each block has its own
    place for its results, these do not depend on it. Both loops run the same machine code block
    by block.
    """

    def __init__(self, loop: Callable, block: Callable):
        self._loop: Any = loop
        self._plain_loop: Any = loop
        self._plain_block: Callable = block
        if not JIT_DISABLED:
            compiled: Block = block.block  # type: ignore[attr-defined]
            self._loop = self._compiled(loop, compiled, "driver", parallel=True)
            self._plain_loop = self._compiled(loop, compiled, "serial", parallel=False)

    @staticmethod
    def _compiled(loop: Callable, block: Block, variant: str, *, parallel: bool) -> Any:
        dispatcher = _cached(numba.njit(loop, parallel=parallel, nogil=True), variant)
        # Machine code from the disk names the block's symbol, which must exist by then.
        dispatcher._cache.before_loading = lambda signature: block.symbol(
            (types.int64, types.int64, *signature[2:])
        )
        return dispatcher

    @property
    def cache_directory(self) -> str | None:
        """Where machine code is kept on disk."""
        return getattr(getattr(self._loop, "_cache", None), "cache_path", None)

    def __call__(self, n_blocks: int, *arguments: Any) -> None:
        """Run `n_blocks` blocks, on numba's threads where that is possible."""
        if JIT_DISABLED:
            for index in range(n_blocks):
                self._plain_block(index, 0, n_blocks, *arguments)
            return
        next_block = np.zeros(1, np.int64)
        try:
            if _threads.enter():
                self._run(n_blocks, next_block, *arguments)
                return
        finally:
            _threads.leave()
        self._plain_loop(1, next_block, n_blocks, *arguments)

    def _run(self, n_blocks: int, next_block: np.ndarray, *arguments: Any) -> None:
        """Run the blocks on threads, of which waking those without work takes the longest."""
        mask = numba.get_num_threads()
        n_threads = max(1, min(mask, n_blocks, most_threads()))
        try:
            if n_threads < mask:
                numba.set_num_threads(n_threads)
            self._loop(n_threads, next_block, n_blocks, *arguments)
        finally:
            numba.set_num_threads(mask)


# --- threads --------------------------------------------------------------------------------
class _Threads:
    """Guards numba's threading layer against being entered where it would abort.

    The workqueue layer aborts the process when two threads enter it (numba #9288), and the
    OpenMP layer one that was forked after its first use (numba's omppool). Whoever may not
    enter runs the serial twin.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._first_pid: int | None = None

    def enter(self) -> bool:
        if self._first_pid not in (None, os.getpid()):
            return False
        if not self._lock.acquire(blocking=False):
            return False
        self._first_pid = os.getpid()
        return True

    def leave(self) -> None:
        """Leave if this thread is there, and release what an interruption kept it from."""
        with contextlib.suppress(RuntimeError):  # it is not there
            while True:
                self._lock.release()


_threads = _Threads()


def max_threads() -> int:
    """Upper bound of the threads of a driver, whatever the mask says."""
    return 1 if JIT_DISABLED else int(config.NUMBA_NUM_THREADS)


def most_threads() -> int:
    """Threads that a container's quota leaves worth starting, unless the user says how many."""
    quota = None if "NUMBA_NUM_THREADS" in os.environ else cpu_quota()
    return max_threads() if quota is None else min(quota, max_threads())


def threading_report() -> tuple[int, str]:
    """Return the number of threads, and the threading layer in use."""
    if JIT_DISABLED:
        return 1, "none (JIT disabled)"
    numba.set_num_threads(numba.get_num_threads())  # starts the layer, so that it has a name
    return min(numba.get_num_threads(), most_threads()), numba.threading_layer()
