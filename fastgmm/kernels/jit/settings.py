"""The one place with numba's settings: flags, what is compiled apart, drivers of blocks."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

import llvmlite.binding
import numba
import numpy as np
from numba import config, types
from numba.core import cgutils
from numba.extending import intrinsic, overload

from fastgmm.kernels.jit.cache import cached
from fastgmm.kernels.jit.target import JIT_DISABLED
from fastgmm.kernels.jit.threading_layer import layer
from fastgmm.system.threads import mask_setter, most_threads

# contract: multiply-adds may fuse; nsz, arcp: signs of zero and reciprocals. Never nnan or
# ninf, which delete the handling of overflow, and reassoc in the reduction loops alone.
FLAGS = {"contract", "nsz", "arcp"}
REDUCTION_FLAGS = {*FLAGS, "reassoc"}


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
        self.dispatcher = cached(compiled, "block")
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
        dispatcher = cached(numba.njit(loop, parallel=parallel, nogil=True), variant)
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
            if layer.enter():
                self._run(n_blocks, next_block, *arguments)
                return
        finally:
            layer.leave()
        self._plain_loop(1, next_block, n_blocks, *arguments)

    def _run(self, n_blocks: int, next_block: np.ndarray, *arguments: Any) -> None:
        """Run the blocks on threads, of which waking those without work takes the longest."""
        set_mask, mask = mask_setter(), numba.get_num_threads()
        n_threads = max(1, min(mask, n_blocks, most_threads()))
        try:
            if n_threads < mask:
                set_mask(n_threads)
            self._loop(n_threads, next_block, n_blocks, *arguments)
        finally:
            set_mask(mask)
