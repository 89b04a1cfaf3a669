"""Drivers: loops over numbered blocks on all threads, and how they call the code of one block."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from types import FunctionType
from typing import Any

import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from numba import config, prange, types
from numba.core import cgutils
from numba.extending import intrinsic

from fastgmm.kernels.jit.cache import cached
from fastgmm.kernels.jit.settings import FLAGS
from fastgmm.kernels.jit.target import JIT_DISABLED
from fastgmm.kernels.jit.threading_layer import layer
from fastgmm.system.threads import mask_setter, most_threads

BOUNDSCHECK = bool(config.BOUNDSCHECK)
# Number of a block, number of its thread, number of blocks.
NUMBERS = (types.int64, types.int64, types.int64)
i64 = ir.IntType(64)
CALLER = ir.FunctionType(ir.VoidType(), [i64] * 4)  # those numbers, and the address of the task


class Block:
    """A function of one block, (number, thread, n_blocks, task), compiled as one piece of code.

    A driver calls it by its address. Linked into the `prange` loop like any other function, it
    would be optimized and translated again in each of the four libraries that numba makes of
    such a loop, which takes longer than all the rest.
    """

    def __init__(self, function: Callable):
        options = dict.fromkeys(("nogil", "no_cpython_wrapper", "no_cfunc_wrapper"), True)
        compiled = numba.njit(function, fastmath=FLAGS, error_model="numpy", **options)
        self.dispatcher = cached(compiled, "block")
        self._symbols: dict[Any, str] = {}

    def symbol(self, task: Any) -> str:
        """Compile or load for this type of task; return the name that LLVM finds the code by."""
        if task not in self._symbols:
            self.dispatcher.compile((*NUMBERS, task))
            compiled = self.dispatcher.overloads[(*NUMBERS, task)]
            name = self.dispatcher.py_func.__qualname__ + repr(task)
            symbol = "fastgmm_" + hashlib.sha256(name.encode()).hexdigest()
            address = compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name)
            llvmlite.binding.add_symbol(symbol, address)
            self._symbols[task] = symbol
        return self._symbols[task]


def placing(block: Block) -> Callable:
    """Return a function that puts a task on the stack, with code that runs blocks of it.

    Numba hands every array of a tuple to a `prange` loop by itself, and no tuple within a tuple.
    Two addresses are all that the loop needs, and sooner compiled.
    """

    @intrinsic
    def place(typingctx, task):
        symbol = block.symbol(task)

        def codegen(context, builder, signature, values):
            failed = cgutils.alloca_once_value(builder, i64(0))
            arrays = _unowned(context, builder, task, values[0])
            both = context.make_tuple(
                builder, types.Tuple((task, types.int64)), (arrays, builder.ptrtoint(failed, i64))
            )
            stored = cgutils.alloca_once_value(builder, both)
            code = _caller(context, builder.module, symbol, task, stored.type)
            addresses = [builder.ptrtoint(pointer, i64) for pointer in (code, stored, failed)]
            return context.make_tuple(builder, signature.return_type, addresses)

        return types.UniTuple(types.int64, 3)(task), codegen

    return place


def _unowned(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    """Return a task whose arrays nobody owns, as the caller keeps them alive.

    Numba counts references to an array wherever a name is bound to it, and all threads would wait
    for each other to count those that they share.
    """
    if isinstance(kind, types.Array):
        array = context.make_array(kind)(context, builder, value)
        array.meminfo = cgutils.get_null_value(array.meminfo.type)
        array.parent = cgutils.get_null_value(array.parent.type)
        return array._getvalue()
    if isinstance(kind, types.BaseTuple):
        for i, field in enumerate(kind.types):
            part = _unowned(context, builder, field, builder.extract_value(value, i))
            value = builder.insert_value(value, part, i)
    return value


def _caller(context: Any, module: ir.Module, symbol: str, task: Any, place: Any) -> ir.Function:
    """Emit a function of three numbers and the address of a task that calls the code of a block."""
    code = ir.Function(module, CALLER, f"{symbol}_caller")
    code.linkage = "internal"
    builder = ir.IRBuilder(code.append_basic_block())
    both = builder.load(builder.inttoptr(code.args[3], place))
    convention = context.call_conv
    kind = convention.get_function_type(types.none, (*NUMBERS, task))
    function = cgutils.get_or_insert_function(module, kind, symbol)
    values = [*code.args[:3], builder.extract_value(both, 0)]
    status, _ = convention.call_function(builder, function, types.none, (*NUMBERS, task), values)
    if config.BOUNDSCHECK:  # nothing else raises
        with cgutils.if_unlikely(builder, status.is_error):
            failed = builder.inttoptr(builder.extract_value(both, 1), i64.as_pointer())
            builder.store(i64(1), failed)
    builder.ret_void()
    return code


@intrinsic
def run_block(typingctx, code, number, thread, n_blocks, task):
    """Call the code that `place` returned, for the task that it has put on the stack."""

    def codegen(context, builder, signature, values):
        builder.call(builder.inttoptr(values[0], CALLER.as_pointer()), values[1:])
        return context.get_dummy_value()

    return types.void(*[types.int64] * 5), codegen


@intrinsic
def value_at(typingctx, address):
    """The integer at an address."""

    def codegen(context, builder, signature, values):
        return builder.load(builder.inttoptr(values[0], i64.as_pointer()))

    return types.int64(types.int64), codegen


@intrinsic
def take_next(typingctx, counter):
    """counter[0], which is one more for whoever comes next on any thread."""

    def codegen(context, builder, signature, arguments):
        view = context.make_array(counter)(context, builder, arguments[0])
        one = context.get_constant(types.int64, 1)
        return builder.atomic_rmw("add", view.data, one, "monotonic")

    return types.int64(counter), codegen


def loop(n_threads, next_number, n_blocks, task):
    """Have each thread run blocks until none is left; `place` is that of a driver."""
    code, address, failed = place(task)  # type: ignore[name-defined]  # noqa: F821
    for thread in prange(n_threads):
        number = take_next(next_number)
        while number < n_blocks:
            # numba's index of threads is unsigned (#10641)
            run_block(code, number, np.int64(thread), n_blocks, address)
            number = take_next(next_number)
    if BOUNDSCHECK and value_at(failed) != 0:
        raise IndexError("index is out of bounds")


class Driver:
    """Threads that take numbered blocks until none is left; a plain loop where that must not be.

    Whoever comes first takes the next block, as components differ in work and machines have other
    things to do; as each block has its own place for its results, these do not depend on it. Both
    loops run the same machine code block by block. The function of one block takes its number, that
    of the thread, the number of blocks, and a record of everything that is read and written.
    """

    def __init__(self, function: Callable, loop: Callable = loop):
        self._function = function
        self._loop: Any = None
        self._plain_loop: Any = None
        if not JIT_DISABLED:
            compiled = Block(function)
            # The loop is written once, and sees the block of each driver through a global.
            names = {**globals(), "place": placing(compiled)}
            own = FunctionType(loop.__code__, names, function.__name__)
            own.__module__, own.__qualname__ = function.__module__, function.__qualname__
            self._loop = self._compiled(own, compiled, "driver", parallel=True)
            self._plain_loop = self._compiled(own, compiled, "serial", parallel=False)

    @staticmethod
    def _compiled(loop: Callable, block: Block, variant: str, *, parallel: bool) -> Any:
        dispatcher = cached(numba.njit(loop, parallel=parallel, nogil=True), variant)
        # Machine code from the disk names the block's symbol, which must exist by then.
        dispatcher._cache.before_loading = lambda signature: block.symbol(signature[-1])
        return dispatcher

    @property
    def cache_directory(self) -> str | None:
        """Where machine code is kept on disk."""
        return getattr(getattr(self._loop, "_cache", None), "cache_path", None)

    def __call__(self, n_blocks: int, task: Any) -> None:
        """Run `n_blocks` blocks, on numba's threads where that is possible."""
        if JIT_DISABLED:
            for index in range(n_blocks):
                self._function(index, 0, n_blocks, task)
            return
        next_number = np.zeros(1, np.int64)
        try:
            if n_blocks > 1 and layer.enter():  # waking threads takes longer than a small block
                self._run(n_blocks, next_number, task)
                return
        finally:
            layer.leave()
        self._plain_loop(1, next_number, n_blocks, task)

    def _run(self, n_blocks: int, next_number: np.ndarray, task: Any) -> None:
        """Run the blocks on threads, of which waking those without work takes the longest."""
        set_mask, mask = mask_setter(), numba.get_num_threads()
        n_threads = max(1, min(mask, n_blocks, most_threads()))
        try:
            if n_threads < mask:
                set_mask(n_threads)
            self._loop(n_threads, next_number, n_blocks, task)
        finally:
            set_mask(mask)
