"""Compiling ahead: fill the cache on disk, so that the first fit of later processes is warm."""

from __future__ import annotations

import json
import os
import sys
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import count, product
from subprocess import DEVNULL, PIPE, Popen
from threading import Lock, Thread
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

from fastgmm._records import COVARIANCE_TYPES, CovarianceType, FloatArray, Statistics
from fastgmm.model.families import family_of

if TYPE_CHECKING:
    from fastgmm.kernels.layouts import Model

DTYPES = ("float64", "float32")
# Few features are what is fitted most; the last stands for all the numbers that share code.
FEATURES = (2, 3, 4, 64)
SEVERAL_TILES = 2000  # points: more than the longest tile


# Memory of a process that compiles.
PROCESS_BYTES = 2**29


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
    n_processes: int = 1,
    on_next: Callable[[int, int, Specialization], object] = lambda done, total, following: None,
) -> WarmupResult:
    """Compile the kernels for these problems, or load what is on the disk already.

    Machine code is for the kind of processor that this runs on. Further processes begin at the end
    of the list; whatever they leave undone, this one does. `on_next` is told how many
    specializations are done or begun, of how many, and which one follows. ValueError is raised if
    a number of features is below 1 or numba's compiler is off, OSError if machine code cannot be
    kept.
    """
    began = perf_counter()
    todo = specializations(features, covariance_types, dtypes)
    directory = _cache_directory()
    work = _Work(todo, on_next)
    with _helpers(work, min(n_processes, len(todo)) - 1) as wait_for_helpers:
        while work.left:
            while (specialization := work.take()) is not None:
                with _uncached_is_an_error():
                    work.compiled[specialization] = _compiles(specialization)
            wait_for_helpers()  # who put back what they fail at
    compiled = {one: work.compiled[one] for one in todo}
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
    factors = family_of(covariance_type).identity(K, d)
    return np.full(K, 1 / K), np.zeros((K, d)), factors, covariance_type


def _compiles(specialization: Specialization) -> bool:
    """Compile, or load what is on the disk; return whether anything was not."""
    from fastgmm.kernels.jit.cache import KernelCache

    before = KernelCache.n_missing
    _run(specialization)
    return KernelCache.n_missing > before


def _run(specialization: Specialization) -> None:
    """Run all the drivers, those of fits and those of predictions, and what small problems run.

    Given responsibilities share the code of the expectation.
    """
    from fastgmm import kernels
    from fastgmm.kernels.common_centre import POINTS_PER_FEATURE
    from fastgmm.kernels.small_problems import MOST_POINTS
    from fastgmm.model.maximization import MaximumLikelihood

    covariance_type = specialization.covariance_types[0]
    d, dtype = specialization.n_features, specialization.dtype
    for n in (2, max(SEVERAL_TILES, MOST_POINTS + 1, POINTS_PER_FEATURE * d)):
        points = np.zeros((n, d), dtype)
        for n_components in _numbers_of_components(covariance_type, d, dtype):
            weights, means, factors, _ = _mixture(covariance_type, d, n_components)
            for apart in (0, 100):  # of large models, other drivers run where all pairs count
                shifted = means + apart * np.arange(n_components)[:, None]
                kernels.expectation(points, weights, shifted, factors, covariance_type)
        kernels.log_density(points, *_mixture(covariance_type, d, 2))
        # Without a model, this is the same for all the specializations of a dtype.
        kernels.normalize_responsibilities(points)
    _, means, moments, _ = _mixture(covariance_type, d, 2)
    statistics = Statistics(0.0, np.ones(2), means, moments, means, covariance_type)
    MaximumLikelihood(covariance_type).maximize(statistics)


def _numbers_of_components(covariance_type: CovarianceType, d: int, dtype: str) -> list[int]:
    """Few components, and so many that other drivers run, where there are others."""
    from fastgmm.kernels.layouts import FullModel
    from fastgmm.kernels.partition import is_large

    if _kind(covariance_type, d, dtype)[0] is not FullModel:
        return [2]
    doubled = (2**power for power in count(1))
    many = next(K for K in doubled if is_large(_model(covariance_type, d, dtype, K)))
    return [2, many]


def processes_at_once() -> int:
    """Return how many processes may compile here: one for each core, if memory permits."""
    from fastgmm.system.memory import available_bytes
    from fastgmm.system.processors import cpu_quota, usable_cores

    cores = min(usable_cores(), cpu_quota() or usable_cores())
    available = available_bytes()
    return cores if available is None else max(1, min(cores, available // PROCESS_BYTES))


# --- several processes ----------------------------------------------------------------------
class _Work:
    """What is left to do, taken from both ends by several threads."""

    def __init__(
        self, todo: list[Specialization], on_next: Callable[[int, int, Specialization], object]
    ):
        self.left = deque(todo)
        self.compiled: dict[Specialization, bool] = {}
        self._total, self._on_next, self._lock = len(todo), on_next, Lock()

    def take(self, *, last: bool = False) -> Specialization | None:
        """Return the first or the last that is left, if any, and say that it follows."""
        with self._lock:
            if not self.left:
                return None
            taken = self.left.pop() if last else self.left.popleft()
            self._on_next(self._total - len(self.left) - 1, self._total, taken)
            return taken


# Imports by its name what this module defines: a script that calls `warm_up` need not be guarded
# against being run again, as it would by `multiprocessing`.
HELPER = """
import json, sys
from fastgmm.warmup import Specialization, _compiles, _uncached_is_an_error
for line in sys.stdin:
    with _uncached_is_an_error():
        print(int(_compiles(Specialization(**json.loads(line)))), flush=True)
"""


@contextmanager
def _helpers(work: _Work, n: int) -> Iterator[Callable[[], None]]:
    """Have processes take work from its end; yields a function that waits for them."""
    pipes: dict[str, Any] = {"stdin": PIPE, "stdout": PIPE, "stderr": DEVNULL, "text": True}
    path = os.pathsep.join(filter(None, sys.path))
    environment = {**os.environ, "PYTHONPATH": path}
    processes = [Popen([sys.executable, "-c", HELPER], env=environment, **pipes) for _ in range(n)]
    threads = [Thread(target=_hand_on, args=(work, process)) for process in processes]

    def wait() -> None:
        for thread in threads:
            thread.join()

    try:
        for thread in threads:
            thread.start()
        yield wait
    finally:
        work.left.clear()
        for process in processes:
            process.kill()
        wait()
        for process in processes:
            process.communicate()


def _hand_on(work: _Work, process: Popen[str]) -> None:
    """Hand work on to a process until nothing is left, or it has failed: put that back."""
    assert process.stdin is not None
    assert process.stdout is not None
    while (specialization := work.take(last=True)) is not None:
        try:
            process.stdin.write(json.dumps(asdict(specialization)) + "\n")
            process.stdin.flush()
            work.compiled[specialization] = bool(int(process.stdout.readline()))
        except (OSError, ValueError):
            work.left.append(specialization)
            return


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
