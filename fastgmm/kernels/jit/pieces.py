"""Functions that only ever become part of others: compiled as far as their callers need them.

Numba would optimize each by itself, and turn it into machine code that nobody calls: with many
small functions that is half of all that LLVM does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import _dynfunc
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler


class Piece(JITCodeLibrary):
    """What LLVM knows of a function, to be linked into its callers and optimized there."""

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._verify_declare_only_symbols()
        self._finalized = True


class PieceCompiler(Compiler):
    """Numba's compiler without its last step."""

    def compile_extra(self, func: Callable) -> Any:
        """Compile into a piece."""
        context = self.state.targetctx  # a copy that is this compiler's own
        context.get_executable = without_machine_code
        self.state.library = Piece(context.codegen(), func.__qualname__)
        return super().compile_extra(func)


def without_machine_code(library: Piece, description: Any, environment: Any) -> Any:
    """Return what callers refer to a function by. There is no code at its address.

    Nor is there an environment, so that a piece can neither print nor raise what it formats.
    """
    library._ensure_finalized()
    name, module = description.qualname, description.lookup_module()
    return _dynfunc.make_function(module, name, name, 0, environment, (library,))
