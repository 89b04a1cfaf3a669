"""Drivers: loops over numbered blocks on all threads, and how they call the code of one block."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import lru_cache
from typing import Any

import llvmlite.binding
import numba
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target

from fastgmm.kernels.jit.cache import cached
from fastgmm.kernels.jit.records import RecordAt, address_of, describe
from fastgmm.kernels.jit.settings import FLAGS
from fastgmm.kernels.jit.target import JIT_DISABLED
from fastgmm.kernels.jit.threading_layer import layer
from fastgmm.kernels.jit.waiting import waited_for
from fastgmm.system.threads import mask_setter, most_threads

# Number of a block, number of its thread, number of blocks.
NUMBERS = (types.int64, types.int64, types.int64)
i64, pointer = ir.IntType(64), ir.IntType(64).as_pointer()
# How numba calls what it compiles: places for a result and an exception, then the arguments.
BLOCK = ir.FunctionType(ir.IntType(32), [pointer, pointer, i64, i64, i64, pointer])
# What numba's threading layers run: addresses in some arrays, how many elements from there on,
# the steps between them, and whatever else.
LOOP = ir.FunctionType(ir.VoidType(), [pointer] * 4)
Loop = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4)
ParallelLoop = ctypes.CFUNCTYPE(
    None, *[ctypes.c_void_p] * 5, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int
)
# A call is described by numbers at these places; what is written is two cache lines away from
# what is only read. There is one array, of bytes from address 0 on, which nobody reads: the
# address of an element is the number of a thread.
NEXT_NUMBER, FAILED, CODE, N_BLOCKS, ARRAY, N_THREADS, STEP, TASK = 0, 1, 16, 17, 18, 19, 20, 21


class Block:
    """A function of one block, (number, thread, n_blocks, task), compiled as one piece of code."""

    def __init__(self, function: Callable):
        options = dict.fromkeys(("nogil", "no_cpython_wrapper", "no_cfunc_wrapper"), True)
        compiled = numba.njit(function, fastmath=FLAGS, error_model="numpy", **options)
        self.dispatcher = cached(compiled, "block")
        self._addresses: dict[Any, int] = {}

    def address(self, task: Any, kind: tuple[Any, ...]) -> int:
        """Compile or load for a task of this kind; return where the machine code is."""
        if kind not in self._addresses:
            signature = (*NUMBERS, RecordAt(numba.typeof(task)))
            waited_for(self.dispatcher.py_func.__qualname__, self.dispatcher.compile, signature)
            compiled = self.dispatcher.overloads[signature]
            name = compiled.fndesc.llvm_func_name
            self._addresses[kind] = compiled.library.get_pointer_to_function(name)
        return self._addresses[kind]


@lru_cache(maxsize=1)
def loop() -> tuple[int, Any]:
    """Return the address of a thread's loop, which runs blocks until none is left, and its library.

    It is written in LLVM's language, for numba would make four libraries of a `prange` loop, and
    compiled once for all drivers.
    """
    with global_compiler_lock:
        library = cpu_target.target_context.codegen().create_library("fastgmm_loop")
        module = library.create_ir_module("fastgmm_loop")
        emit_loop(ir.Function(module, LOOP, "fastgmm_loop"))
        library.add_ir_module(module)
        library.finalize()
        return library.get_pointer_to_function("fastgmm_loop"), library


def emit_loop(function: ir.Function) -> None:
    """Emit the loop, as LLVM's language has it."""
    array, n_elements, _, call = function.args
    builder = ir.IRBuilder(function.append_basic_block())
    unread = [builder.alloca(i64), builder.alloca(i64)]

    def at(place: int) -> ir.Value:
        return builder.gep(call, [i64(place)])

    code = builder.inttoptr(builder.load(at(CODE)), BLOCK.as_pointer())
    n_blocks, first_thread = builder.load(at(N_BLOCKS)), builder.load(array)
    with cgutils.for_range(builder, builder.load(n_elements)) as elements:
        thread = builder.add(first_thread, elements.index)
        blocks, end = builder.append_basic_block(), builder.append_basic_block()
        builder.branch(blocks)
        builder.position_at_end(blocks)
        number = builder.atomic_rmw("add", at(NEXT_NUMBER), i64(1), "monotonic")
        with builder.if_then(builder.icmp_signed("<", number, n_blocks)):
            status = builder.call(code, [*unread, number, thread, n_blocks, at(TASK)])
            with cgutils.if_unlikely(builder, cgutils.is_not_null(builder, status)):
                builder.store(i64(1), at(FAILED))
            builder.branch(blocks)
        builder.branch(end)
        builder.position_at_end(end)
    builder.ret_void()


class Driver:
    """Threads that take numbered blocks until none is left; a plain loop where that must not be.

    Whoever comes first takes the next block, as components differ in work and machines have other
    things to do; as each block has its own place for its results, these do not depend on it. Both
    loops run the same machine code block by block. The function of one block takes its number, that
    of the thread, the number of blocks, and a record of everything that is read and written.
    """

    def __init__(self, function: Callable):
        self._function = function
        self._block = None if JIT_DISABLED else Block(function)

    @property
    def cache_directory(self) -> str | None:
        """Where machine code is kept on disk."""
        dispatcher = getattr(self._block, "dispatcher", None)
        return getattr(getattr(dispatcher, "_cache", None), "cache_path", None)

    def __call__(self, n_blocks: int, task: Any) -> None:
        """Run `n_blocks` blocks, on numba's threads where that is possible."""
        if self._block is None:
            for index in range(n_blocks):
                self._function(index, 0, n_blocks, task)
            return
        call = self.described(n_blocks, task)
        try:
            # Waking threads takes longer than a small block.
            if n_blocks > 1 and layer.enter():
                run_on_threads(call)
            else:
                run(call)
        finally:
            layer.leave()
        if call[FAILED]:  # where bounds are checked; nothing else raises
            raise IndexError("index is out of bounds")

    def described(self, n_blocks: int, task: Any) -> np.ndarray:
        """Return the numbers that describe a call, on one thread as yet; the task outlives them."""
        assert self._block is not None
        numbers: list[int] = [0] * TASK
        kinds: list[Any] = []
        describe(task, numbers, kinds)
        numbers[CODE] = self._block.address(task, tuple(kinds))
        numbers[N_BLOCKS], numbers[N_THREADS], numbers[STEP] = n_blocks, 1, 1
        return np.array(numbers, np.int64)


def run(call: np.ndarray) -> None:
    """Run the blocks on this thread."""
    Loop(loop()[0])(*addresses(call))


def run_on_threads(call: np.ndarray) -> None:
    """Run the blocks on threads, of which waking those without work takes the longest."""
    set_mask, mask = mask_setter(), numba.get_num_threads()
    n_threads = max(1, min(mask, int(call[N_BLOCKS]), most_threads()))
    call[N_THREADS] = n_threads
    try:
        parallel_loop()(loop()[0], *addresses(call), 0, 1, n_threads)
    finally:
        set_mask(mask)  # the threading layer leaves the number of these


def addresses(call: np.ndarray) -> list[int]:
    """Return the arguments of the loop."""
    first = address_of(call)
    return [first + call.itemsize * place for place in (ARRAY, N_THREADS, STEP, 0)]


@lru_cache(maxsize=1)
def parallel_loop() -> Callable:
    """Return the C function of numba's threading layer, once that is launched."""
    return ParallelLoop(llvmlite.binding.address_of_symbol("numba_parallel_for"))
