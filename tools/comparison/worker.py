"""A process that runs the benchmarks of one side: a line of JSON in, a line of JSON out.

It runs as a script and imports nothing of this package: `PYTHONPATH` leads to one side's fastgmm
and to the benchmarks of HEAD, which both sides run, as asv does it. `{"do": NAME, ...}` calls a
method of `Session` with the rest as its arguments.
"""

from __future__ import annotations

import importlib
import itertools
import json
import os
import pkgutil
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from threadpoolctl import threadpool_limits

PAUSE = 0.005  # seconds before a round: threads of the other side may wait actively at first
KINDS = ("time_", "peakmem_")


class Benchmark(NamedTuple):
    """A method of a class of a suite, and its parameters."""

    suite: type
    method: str
    values: tuple

    @property
    def name(self) -> str:
        """A readable name, such as fit.Fit.time_fit(full-…)."""
        module = self.suite.__module__.rpartition(".")[2]
        values = f"({', '.join(map(str, self.values))})" if self.values else ""
        return f"{module}.{self.suite.__name__}.{self.method}{values}"


def benchmarks_of_suite(suite: type) -> Iterator[Benchmark]:
    """Every method that is measured, with every combination of parameters."""
    params: Any = getattr(suite, "params", ())
    if params and not isinstance(params[0], (list, tuple)):
        params = (params,)  # asv allows the values of a single parameter by themselves
    for method in vars(suite):
        if method.startswith(KINDS):
            for values in itertools.product(*params):
                yield Benchmark(suite, method, values)


def discover() -> tuple[dict[str, Benchmark], dict[str, str]]:
    """Benchmarks by name, and why a module of them cannot be imported."""
    found: dict[str, Benchmark] = {}
    failures: dict[str, str] = {}
    package = importlib.import_module("benchmarks")
    for info in pkgutil.iter_modules(package.__path__):
        try:
            module = importlib.import_module(f"benchmarks.{info.name}")
        except Exception as error:  # an older fastgmm lacks something that the suite wants
            failures[info.name] = in_words(error)
            continue
        for value in vars(module).values():
            is_own = isinstance(value, type) and value.__module__ == module.__name__
            if is_own and not value.__name__.startswith("_"):
                found |= {each.name: each for each in benchmarks_of_suite(value)}
    return found, failures


def in_words(error: Exception) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]


class Session:
    """One benchmark at a time, ready to be called."""

    def __init__(self) -> None:
        self.benchmarks, self.failures = discover()
        self._call: Callable[[], object] = lambda: None
        self._end: Callable[[], object] = lambda: None
        self._clock = time.perf_counter
        self._limits: threadpool_limits | None = None

    def hello(self) -> dict:
        """What there is, and from where."""
        import fastgmm

        file = fastgmm.__file__
        names = list(self.benchmarks)
        return {"fastgmm": file, "benchmarks": names, "failures": self.failures}

    def prepare(self, benchmark: str, threads: int) -> dict:
        """Set a benchmark up and compile it; tell how long a call takes. 0 threads: all."""
        self._set_up(benchmark)
        self._use_threads(threads)
        self._call()
        return {"seconds": self._seconds()}

    def measure(self, calls: int) -> dict:
        """Call so often; tell the shortest time, which others on the machine disturb least."""
        time.sleep(PAUSE)
        return {"seconds": min(self._seconds() for _ in range(calls))}

    def fill_cache(self, benchmark: str) -> dict:
        """Let the suite leave its files in the current folder."""
        fill = getattr(self._find(benchmark).suite(), "setup_cache", None)
        if fill is not None:
            fill()
        return {}

    def peak(self, benchmark: str) -> dict:
        """Call once; tell the most memory that this process ever had."""
        self._set_up(benchmark)
        self._call()
        return {"bytes": peak_bytes()}

    def _find(self, name: str) -> Benchmark:
        if name not in self.benchmarks:
            raise LookupError(self.failures.get(name.split(".")[0], f"there is no {name}"))
        return self.benchmarks[name]

    def _use_threads(self, threads: int) -> None:
        """Limit numba's threads, and those of the libraries that threadpoolctl knows."""
        if self._limits is not None:
            self._limits.restore_original_limits()
        self._limits = threadpool_limits(threads) if threads else None
        # On one thread the time of the processor: it stands still while others have the core.
        self._clock = time.process_time if threads == 1 else time.perf_counter
        numba: Any = sys.modules.get("numba")
        if numba is not None:
            most = numba.config.NUMBA_NUM_THREADS
            numba.set_num_threads(min(threads or most, most))

    def _set_up(self, name: str) -> None:
        self._end()
        self._call = self._end = lambda: None
        benchmark = self._find(name)
        instance: Any = benchmark.suite()
        if hasattr(instance, "setup"):
            instance.setup(*benchmark.values)
        if hasattr(instance, "teardown"):
            self._end = lambda: instance.teardown(*benchmark.values)
        method = getattr(instance, benchmark.method)
        self._call = lambda: method(*benchmark.values)

    def _seconds(self) -> float:
        began = self._clock()
        self._call()
        return self._clock() - began


def peak_bytes() -> int:
    """Peak memory of this process; `ru_maxrss` may be that of the parent before `exec`."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    except (OSError, StopIteration):
        import resource  # there is none on Windows

        unit = 1 if sys.platform == "darwin" else 1024
        return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    """Answer until the input ends."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # whatever a benchmark prints is no reply
    session = Session()
    for line in sys.stdin:
        request = json.loads(line)
        try:
            reply = getattr(session, request.pop("do"))(**request)
        except Exception as error:
            reply = {"error": in_words(error)}
        print(json.dumps(reply), file=replies, flush=True)


if __name__ == "__main__":
    main()
