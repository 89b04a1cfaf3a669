"""Compiling ahead: fill the cache on disk, so that the first fit of later processes is warm."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, product
from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

from fastgmm._records import COVARIANCE_TYPES, CovarianceType, FloatArray
from fastgmm.model.families import FAMILIES

if TYPE_CHECKING:
    from fastgmm.kernels.layouts import Model

DTYPES = ("float64", "float32")
# Few features are what is fitted most; the last stands for all the numbers that share code.
FEATURES = (2, 3, 4, 32)
SEVERAL_TILES = 2000  # points: more than the longest tile


@dataclass(frozen=True, slots=True)
class Specialization:
    """A problem for which the kernels have machine code of its own."""

    covariance_types: tuple[CovarianceType, ...]  # that were asked for and share it
    features: str  # the numbers of features that share it, in words
    dtype: str
    n_features: int  # one such number, to compile with


@dataclass(frozen=True, slots=True)
class WarmupResult:
    """Which specializations were compiled, rather than on the disk; how long it took."""

    compiled: dict[Specialization, bool]
    seconds: float
    cache_directory: str


def warm_up(
    features: Sequence[int] = FEATURES,
    covariance_types: Sequence[CovarianceType] = COVARIANCE_TYPES,
    dtypes: Sequence[str] = DTYPES,
    *,
    on_next: Callable[[int, int, Specialization], object] = lambda done, total, following: None,
) -> WarmupResult:
    """Compile the kernels for these problems, or load what is on the disk already.

    Machine code is for the kind of processor that this runs on. `on_next` is told how many
    specializations are done, of how many, and which one follows. ValueError is raised if a number
    of features is below 1 or numba's compiler is off, OSError if machine code cannot be kept.
    """
    began = perf_counter()
    todo = specializations(features, covariance_types, dtypes)
    directory = _cache_directory()
    compiled = {}
    for done, specialization in enumerate(todo):
        on_next(done, len(todo), specialization)
        before = _machine_code(directory)
        with _uncached_is_an_error():
            _run(specialization)
        compiled[specialization] = _machine_code(directory) != before
    return WarmupResult(compiled, perf_counter() - began, directory)


def specializations(
    features: Sequence[int], covariance_types: Sequence[CovarianceType], dtypes: Sequence[str]
) -> list[Specialization]:
    """Return what the kernels are compiled for apart, once each."""
    if min(features, default=1) < 1:
        raise ValueError(
            f"The number of features is {min(features)}, but must be 1 or more; give the number "
            "of columns of the data that will be fitted."
        )
    with _uncached_is_an_error():
        from fastgmm.kernels.layouts import MOST_UNROLLED, MOST_UNROLLED_TIED

    # Beyond this, numbers of features are not told apart; large ones would only take memory.
    most = max(MOST_UNROLLED, MOST_UNROLLED_TIED) + 1
    sharing: dict[tuple[object, str], list[tuple[CovarianceType, int]]] = {}
    numbers = sorted({min(d, most) for d in features})
    for d, covariance_type, dtype in product(numbers, covariance_types, dtypes):
        key = _kind(covariance_type, d, dtype), dtype
        sharing.setdefault(key, []).append((covariance_type, d))
    return [
        Specialization(
            tuple(dict.fromkeys(covariance_type for covariance_type, _ in problems)),
            _features_in_words(*problems[0], dtype),
            dtype,
            problems[0][1],
        )
        for (_, dtype), problems in sharing.items()
    ]


def _model(covariance_type: CovarianceType, d: int, dtype: str, n_components: int = 2) -> Model:
    """The record whose class selects the workers at compile time."""
    from fastgmm.kernels.layouts import prepare_model

    return prepare_model(*_mixture(covariance_type, d, n_components), np.dtype(dtype))


def _kind(covariance_type: CovarianceType, d: int, dtype: str) -> tuple[type, object]:
    """What machine code is specialized on: the class of a model, and its features if few."""
    model = _model(covariance_type, d, dtype)
    return type(model), getattr(model, "features", None)


def _features_in_words(covariance_type: CovarianceType, d: int, dtype: str) -> str:
    """The numbers of features that share machine code with `d`."""
    kind = _kind(covariance_type, d, dtype)
    if _kind(covariance_type, d + 1, dtype) != kind:
        return str(d)
    least = next(i for i in count(1) if _kind(covariance_type, i, dtype) == kind)
    return "any number" if least == 1 else f"{least} and more"


def _mixture(
    covariance_type: CovarianceType, d: int, n_components: int
) -> tuple[FloatArray, FloatArray, FloatArray, CovarianceType]:
    """Weights, means, Cholesky factors of the precisions: all components standard normal."""
    K = n_components
    factors = FAMILIES[covariance_type].identity(K, d)
    return np.full(K, 1 / K), np.zeros((K, d)), factors, covariance_type


def _run(specialization: Specialization) -> None:
    """Run all the drivers, those of fits and those of predictions, on few points and on more.

    Given responsibilities share the drivers of the expectation.
    """
    from fastgmm import kernels

    covariance_type = specialization.covariance_types[0]
    d, dtype = specialization.n_features, specialization.dtype
    for n in (2, SEVERAL_TILES):  # with one block, drivers do without threads
        points = np.zeros((n, d), dtype)
        for n_components in _numbers_of_components(covariance_type, d, dtype):
            kernels.expectation(points, *_mixture(covariance_type, d, n_components))
        kernels.log_density(points, *_mixture(covariance_type, d, 2))
        # Without a model, this is the same for all the specializations of a dtype.
        kernels.normalize_responsibilities(points)


def _numbers_of_components(covariance_type: CovarianceType, d: int, dtype: str) -> list[int]:
    """Few components, and so many that other drivers run, where there are others."""
    from fastgmm.kernels.layouts import FullModel
    from fastgmm.kernels.partition import is_large

    if _kind(covariance_type, d, dtype)[0] is not FullModel:
        return [2]
    doubled = (2**power for power in count(1))
    many = next(K for K in doubled if is_large(_model(covariance_type, d, dtype, K)))
    return [2, many]


# --- the disk -------------------------------------------------------------------------------
def _cache_directory() -> str:
    """Where machine code is kept; an error if that is nowhere."""
    from fastgmm.kernels.drivers import expectation_blocks
    from fastgmm.kernels.jit.target import JIT_DISABLED

    if JIT_DISABLED:
        raise ValueError("NUMBA_DISABLE_JIT is set, so there is nothing to compile; unset it.")
    directory = expectation_blocks.cache_directory
    if directory is None:
        raise OSError(
            "No folder is writable that compiled kernels could be kept in. Set NUMBA_CACHE_DIR "
            "to a writable folder."
        )
    return directory


def _machine_code(directory: str) -> dict[str, int]:
    """The files with machine code, and when each was written."""
    with os.scandir(directory) as entries:
        return {e.name: e.stat().st_mtime_ns for e in entries if e.name.endswith(".nbc")}


@contextmanager
def _uncached_is_an_error() -> Iterator[None]:
    """Raise when the kernels have warned that they cannot be kept; pass other warnings on."""
    text = "fastgmm's compiled kernels cannot be kept on disk"
    with warnings.catch_warnings(record=True) as caught:
        warnings.filterwarnings("always", text, RuntimeWarning)
        yield
    for warning in caught:
        if str(warning.message).startswith(text):
            raise OSError(str(warning.message))
        warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
