"""Peak memory of both sides, a new process for each measurement."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from comparison.measurement import OnStage
from comparison.processes import BenchmarkError, Worker
from comparison.sources import Source

LARGEST_RATIO, LARGEST_GROWTH = 1.2, 8 * 2**20  # beyond both it is a regression
TRIES = 2  # the least counts


@dataclass(frozen=True, slots=True)
class MemoryResult:
    """Peak bytes of a benchmark on both sides, or why there are none."""

    benchmark: str
    base: int = 0
    head: int = 0
    missing: str = ""
    error: str = ""

    @property
    def is_larger(self) -> bool:
        """Whether head needs much more than base."""
        if self.missing or self.error:
            return False
        return self.head > LARGEST_RATIO * self.base and self.head - self.base > LARGEST_GROWTH


def compare_memory(
    sides: tuple[Source, Source], on_stage: OnStage = lambda words: None
) -> list[MemoryResult]:
    """Compare every benchmark of peak memory.

    The input is made, and the kernels are compiled, in processes before those that are measured.
    """
    head = sides[1]
    with Worker(head, head) as worker:
        names = worker.ask("hello")["benchmarks"]
    names = [name for name in names if name.split(".")[2].startswith("peakmem_")]
    filled: set[tuple[str, str]] = set()
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        for name in names:
            on_stage(name)
            peaks, failures = [0, 0], ["", ""]
            for i, side in enumerate(sides):
                folder = Path(scratch) / str(i)
                folder.mkdir(exist_ok=True)
                try:
                    fill_once(side, head, name, folder, filled)
                    peaks[i] = min(peak(side, head, name, folder) for _ in range(TRIES))
                except BenchmarkError as error:
                    failures[i] = str(error)
            missing = "" if failures[1] else failures[0]
            results.append(MemoryResult(name, peaks[0], peaks[1], missing, failures[1]))
    return results


def fill_once(
    side: Source, definitions: Source, name: str, folder: Path, filled: set[tuple[str, str]]
) -> None:
    """Let a suite prepare its files and kernels, unless it has."""
    suite = name.rpartition(".")[0]
    if (str(folder), suite) not in filled:
        with Worker(side, definitions, folder) as worker:
            worker.ask("fill_cache", benchmark=name)
            worker.ask("peak", benchmark=name)
        filled.add((str(folder), suite))


def peak(side: Source, definitions: Source, name: str, folder: Path) -> int:
    """Peak bytes of a new process."""
    with Worker(side, definitions, folder) as worker:
        return int(worker.ask("peak", benchmark=name)["bytes"])
