"""LAPACK on several threads, for matrices too large to factorize one after the other.

SciPy's own functions keep the interpreter's lock; the same routines called through ctypes give
it up.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

from fastgmm._records import FloatArray


def invert_upper_factors(matrices: FloatArray, n_threads: int) -> bool:
    """Replace each Σ = Rᵀ R of (K, d, d) by R⁻¹, upper triangular; False if one is not definite."""
    with ThreadPoolExecutor(n_threads) as pool:
        return all(pool.map(_invert_upper_factor, matrices))


def _invert_upper_factor(matrix: FloatArray) -> bool:
    n, failed, address = ctypes.c_int(len(matrix)), ctypes.c_int(), matrix.ctypes.data
    # What is upper in C's order is lower in Fortran's.
    _routine("dpotrf")(b"L", n, address, n, failed)
    if failed.value:
        return False
    _routine("dtrtri")(b"L", b"N", n, address, n, failed)
    for i in range(1, len(matrix)):
        matrix[i, :i] = 0.0
    return True


@lru_cache
def _routine(name: str) -> Callable[..., None]:
    """Return a routine of `scipy.linalg.cython_lapack` as a function of ctypes."""
    from scipy.linalg import cython_lapack

    number, address = ctypes.POINTER(ctypes.c_int), ctypes.c_void_p
    arguments: dict[str, list[Any]] = {
        "dpotrf": [ctypes.c_char_p, number, address, number, number],
        "dtrtri": [ctypes.c_char_p, ctypes.c_char_p, number, address, number, number],
    }
    capsule = cython_lapack.__pyx_capi__[name]
    get_name = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(
        ("PyCapsule_GetName", ctypes.pythonapi)
    )
    get_pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
        ("PyCapsule_GetPointer", ctypes.pythonapi)
    )
    return ctypes.CFUNCTYPE(None, *arguments[name])(get_pointer(capsule, get_name(capsule)))
