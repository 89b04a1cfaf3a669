"""What fastgmm runs on: versions, processor, threads."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version

from fastgmm.system.processors import processor_name, usable_cores


def describe_environment() -> dict[str, str]:
    """Return names and values in words, for people and their bug reports."""
    import llvmlite.binding
    from numba import config

    from fastgmm.kernels.drivers import expectation_blocks
    from fastgmm.system.threads import threading_report

    threads, threading_layer = threading_report()
    libraries = ("fastgmm", "numpy", "numba", "llvmlite", "scikit-learn")
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


def load_average() -> list[float]:
    """How busy the machine was in the last 1, 5 and 15 minutes, where the system tells it."""
    return [round(load, 2) for load in os.getloadavg()] if hasattr(os, "getloadavg") else []
