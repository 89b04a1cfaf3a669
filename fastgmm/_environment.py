"""What fastgmm runs on: versions, processor, threads."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

__all__ = ["describe_environment"]


def describe_environment() -> dict[str, str]:
    """Return names and values in words, for people and their bug reports."""
    import llvmlite.binding
    from numba import config

    from fastgmm.kernels._threading_layer import threading_report
    from fastgmm.kernels.blocks import expectation_blocks

    threads, threading_layer = threading_report()
    libraries = ["fastgmm", "numpy", "numba", "llvmlite", "scikit-learn"]
    return {
        **{library: version(library) for library in libraries},
        "python": f"{platform.python_version()} ({platform.python_implementation()})",
        "system": platform.platform(),
        "processor": processor_name(),
        "compiled for": config.CPU_NAME or llvmlite.binding.get_host_cpu_name(),
        "cores": f"{usable_cores()} usable of {os.cpu_count()}",
        "threads": str(threads),
        "threading layer": threading_layer,
        "cache folder": expectation_blocks.cache_directory or "none",
    }


def processor_name() -> str:
    """The processor's own name where the system tells it, its architecture otherwise."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def usable_cores() -> int:
    """Number of logical cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
