"""Waiting for numba: no longer than needed, and not without a word where a terminal is there."""

from __future__ import annotations

import gc
import os
import subprocess
import sys

import numba
import numpy as np
import pytest
from axes import compiled_only
from processes import TESTS

from fastgmm.kernels.jit.settings import worker
from fastgmm.kernels.jit.waiting import waited_for

pytestmark = compiled_only

COMPILE = """
import numpy as np
from fastgmm import kernels
from fastgmm.kernels import small_problems
from fastgmm.kernels.jit import waiting
small_problems.MOST_POINTS = 0  # it is for the drivers
waiting.UNNOTICED = unnoticed
one = np.ones((1, 1))
for kind in ("diag", "spherical"):
    kernels.log_density(one, one[0], one, one if kind == "diag" else one[0], kind)
"""


def said(unnoticed: float, folder: str, *, on_terminal: bool) -> str:
    """What a process says on stderr that compiles twice, or loads where a folder is filled."""
    pty = pytest.importorskip("pty", reason="terminals of one's own are for Unix")
    reader, terminal = pty.openpty() if on_terminal else os.pipe()
    subprocess.run(
        [sys.executable, "-c", f"{unnoticed = }\n{COMPILE}"],
        cwd=TESTS,
        env={**os.environ, "NUMBA_CACHE_DIR": folder},
        stderr=terminal,
        check=True,
    )
    os.write(terminal, b"end")  # so that reading does not wait
    output = os.read(reader, 10_000).decode()
    os.close(reader)
    os.close(terminal)
    return output.removesuffix("end")


def test_a_terminal_is_told_once_what_takes_long(tmp_path):
    output = said(0.1, str(tmp_path), on_terminal=True)
    assert output.count("\n") == 1
    assert "compiling prediction_of_block" in output
    assert said(60, str(tmp_path), on_terminal=True) == ""


def test_nobody_else_is_told(tmp_path):
    assert said(0, str(tmp_path), on_terminal=False) == ""


def test_the_compiler_has_room_for_its_frames():
    frame = waited_for("nothing", sys._getframe)
    larger_than_a_piece = 2**14
    assert frame.f_code.co_stacksize * np.dtype(np.intp).itemsize > larger_than_a_piece


def test_arguments_and_errors_reach_the_compiler():
    assert waited_for("nothing", int, "11", base=2) == 3
    with pytest.raises(ZeroDivisionError):
        waited_for("nothing", divmod, 1, 0)
    assert gc.isenabled()


def test_what_is_part_of_its_callers_has_no_machine_code():
    @worker
    def half(number):
        return number / 2

    @numba.njit
    def quarter(number):
        return half(half(number))

    assert quarter(3.0) == 0.75
    (compiled,) = half.overloads.values()
    name = compiled.fndesc.llvm_func_name
    assert compiled.library.get_function(name)
    assert not compiled.library.codegen._engine.is_symbol_defined(name)
