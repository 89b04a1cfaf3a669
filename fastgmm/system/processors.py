"""Which processors there are, and how many of them a container's quota leaves."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

# Quota and period, by the version of control groups.
QUOTA_FILES = {1: ("cpu.cfs_quota_us", "cpu.cfs_period_us"), 2: ("cpu.max",)}


@lru_cache
def cpu_quota(
    membership: Path = Path("/proc/self/cgroup"), cgroups: Path = Path("/sys/fs/cgroup")
) -> int | None:
    """Return the number of processors' worth of time that control groups allow, rounded up.

    None where nothing limits it. More threads than that would be stopped for most of each period.
    """
    quotas = [
        _quota(*(folder / name for name in QUOTA_FILES[version]))
        for folder, version in control_groups("cpu", membership, cgroups)
    ]
    return min((quota for quota in quotas if quota is not None), default=None)


def control_groups(controller: str, membership: Path, cgroups: Path) -> Iterator[tuple[Path, int]]:
    """Folders of the groups around this process that may limit it, and their version, 1 or 2."""
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        version = 2 if controllers == "" else 1
        if version == 2 or controller in controllers.split(","):
            place = cgroups if version == 2 else cgroups / controller
            group = place / path.lstrip("/")
            for folder in (group, *group.parents):
                yield folder, version


def _quota(*files: Path) -> int | None:
    """Quota over period, from one file or two; nothing if there is none."""
    try:
        quota, period = (int(word) for file in files for word in file.read_text().split())
    except (OSError, ValueError):  # no such file, or "max"
        return None
    return max(1, -(-quota // period)) if quota > 0 else None


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
