"""What the suites share: the registry's cases, and their size.

asv calls `setup` before every single timing, so whatever is costly there (data, compilation,
checks) is prepared once per process by a cached function of the benchmark's parameters.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from registry import BENCHMARK_CASES, Case, Problem, relative_error

__all__ = ["ITERATIONS", "TINY", "Case", "case_names", "prepared_problem", "relative_error"]

# With FASTGMM_BENCH_TINY=1 every benchmark still runs, on so little that it measures nothing.
TINY = os.environ.get("FASTGMM_BENCH_TINY") == "1"

ITERATIONS = 2 if TINY else 10

_CASES = {case.name: case for case in BENCHMARK_CASES}


def case_names(**fixed: object) -> list[str]:
    """Names of the registry's benchmark cases that have the given attributes."""
    return [
        name
        for name, case in _CASES.items()
        if all(getattr(case, attribute) == value for attribute, value in fixed.items())
    ]


@lru_cache(maxsize=1)
def prepared_problem(name: str) -> tuple[Case, Problem]:
    """Return a case of the registry and its arrays, written and therefore resident."""
    case = _CASES[name]
    if TINY:
        case = replace(case, n=min(case.n, 200), K=min(case.K, 3))
    return case, case.make()
