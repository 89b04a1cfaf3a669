"""The one place with numba's settings: flags, and what is compiled as part of its callers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numba
from numba import types
from numba.extending import intrinsic, overload

from fastgmm.kernels.jit.cache import cached
from fastgmm.kernels.jit.pieces import PieceCompiler
from fastgmm.kernels.jit.target import JIT_DISABLED
from fastgmm.kernels.jit.waiting import waited_for

# contract: multiply-adds may fuse; nsz, arcp: signs of zero and reciprocals. Never nnan or
# ninf, which delete the handling of overflow, and reassoc in the reduction loops alone.
FLAGS = {"contract", "nsz", "arcp"}
REDUCTION_FLAGS = {*FLAGS, "reassoc"}


# --- decorators -----------------------------------------------------------------------------
# A worker is inlined into its driver by force: it has no machine code of its own, and the driver's
# is the same in the process that compiles it and in those that load it from the disk. Nobody
# calls it from Python, so wrappers would only take time to compile.
_WORKER: dict[str, Any] = {
    "error_model": "numpy",
    "nogil": True,
    "forceinline": True,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
    "pipeline_class": PieceCompiler,
}


def worker(function: Callable) -> Callable:
    """Compile a serial function of one tile or block, lazily, as part of its callers."""
    return numba.njit(function, fastmath=FLAGS, **_WORKER)


def compiled_alone(function: Callable) -> Callable:
    """Compile, and keep on disk, a serial function that is called from Python."""
    options = {"nogil": True, "no_cfunc_wrapper": True}
    dispatcher = numba.njit(function, fastmath=FLAGS, error_model="numpy", **options)
    if JIT_DISABLED:
        return dispatcher
    compile_for_arguments = dispatcher._compile_for_args

    def compile_soon(*arguments: Any, **options: Any) -> Any:
        return waited_for(function.__qualname__, compile_for_arguments, *arguments, **options)

    dispatcher._compile_for_args = compile_soon  # numba calls it by this name
    return cached(dispatcher, "alone")


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


def dispatch_on_record(
    name: str,
    workers: Mapping[type, Any],
    sized_workers: Mapping[type, Callable[[int], Any]] | None = None,
) -> Callable:
    """Return a function that picks a worker by the class of its first argument, statically.

    Compiled callers are specialized on the class of the record, so that the choice costs
    nothing and no function crosses into a cached kernel as a value. For a class among
    `sized_workers` a worker is made for the length of the record's last field, a tuple.
    """
    sized = sized_workers or {}

    def dispatch(record, *arguments):
        kind = type(record)
        chosen = sized[kind](len(record[-1])) if kind in sized else workers[kind]
        return chosen(record, *arguments)

    dispatch.__name__ = name
    if not JIT_DISABLED:
        # Signatures differ, and the chosen worker itself is compiled here: a function around it
        # would be translated and optimized once more.
        @overload(dispatch, strict=False, jit_options={**_WORKER, "fastmath": FLAGS})
        def select(record, *arguments):  # numba compares signatures: no annotations
            if not isinstance(record, types.BaseNamedTuple):
                return None
            kind = record.instance_class
            chosen = sized[kind](len(record.types[-1])) if kind in sized else workers[kind]
            return chosen.py_func

    return dispatch


def element(record, index):
    """Return a record of the elements at an index of each array, also of records within."""
    arrays = (
        element(field, index) if isinstance(field, tuple) else field[index] for field in record
    )
    return type(record)(*arrays)


if not JIT_DISABLED:

    @overload(element, strict=False, jit_options={**_WORKER, "fastmath": FLAGS})
    def _element(record, index):
        fields = [
            f"element(record[{i}], index)"
            if isinstance(kind, types.BaseTuple)
            else f"record[{i}][index]"
            for i, kind in enumerate(record.types)
        ]
        names = {"element": element, "kind": record.instance_class}
        exec(f"def taken(record, index): return kind({', '.join(fields)})", names)
        return names["taken"]
