"""Refusing what does not fit into memory, before any of it is allocated."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from fastgmm.system.processors import control_groups

# Bytes that are asked for without looking.
UNQUESTIONED = 2**28
# Limit and use, by the version of control groups.
MEMORY_FILES = {
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes"),
    2: ("memory.max", "memory.current"),
}


def check_memory(n_bytes: int, what: str, remedy: str) -> None:
    """Raise MemoryError if so many bytes are not available.

    The system would promise them, and kill the process when they are used.
    """
    if n_bytes <= UNQUESTIONED:
        return
    available = available_bytes()
    if available is not None and n_bytes > available:
        raise MemoryError(
            f"{what} would take {n_bytes:,} bytes of memory, of which {available:,} are available; "
            f"{remedy}."
        )


def available_bytes(
    meminfo: Path = Path("/proc/meminfo"),
    membership: Path = Path("/proc/self/cgroup"),
    cgroups: Path = Path("/sys/fs/cgroup"),
) -> int | None:
    """Memory that can still be had on this machine and in this container; None if unknown."""
    amounts = [*_of_machine(meminfo), *_of_container(membership, cgroups)]
    if not amounts and hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        amounts = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    return min(amounts, default=None)


def _of_machine(meminfo: Path) -> Iterator[int]:
    """What Linux says could be had without swapping, and the free swap."""
    try:
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        yield sum(1024 * int(lines[name].split()[0]) for name in ("MemAvailable", "SwapFree"))
    except (OSError, KeyError, ValueError):
        return


def _of_container(membership: Path, cgroups: Path) -> Iterator[int]:
    """What the limits of the control groups around this process leave."""
    for folder, version in control_groups("memory", membership, cgroups):
        try:
            amounts = [int((folder / name).read_text()) for name in MEMORY_FILES[version]]
        except (OSError, ValueError):  # no such file, or "max"
            continue
        yield max(0, amounts[0] - amounts[1])
