"""How much of the processors a container may use, which numba does not ask."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

__all__ = ["cpu_quota"]


@lru_cache
def cpu_quota(
    membership: Path = Path("/proc/self/cgroup"), cgroups: Path = Path("/sys/fs/cgroup")
) -> int | None:
    """Return the number of processors' worth of time that control groups allow, rounded up.

    None where nothing limits it. More threads than that would be stopped for most of each period.
    """
    try:
        lines = membership.read_text().splitlines()
    except OSError:
        return None
    quotas = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":  # version 2
            group = cgroups / path.lstrip("/")
            quotas += [_quota(folder / "cpu.max") for folder in (group, *group.parents)]
        elif "cpu" in controllers.split(","):
            group = cgroups / "cpu" / path.lstrip("/")
            names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
            quotas += [_quota(*(f / name for name in names)) for f in (group, *group.parents)]
    found = [quota for quota in quotas if quota is not None]
    return min(found, default=None)


def _quota(*files: Path) -> int | None:
    """Quota over period, from one file or two; nothing if there is none."""
    try:
        quota, period = (int(word) for file in files for word in file.read_text().split())
    except (OSError, ValueError):  # no such file, or "max"
        return None
    return max(1, -(-quota // period)) if quota > 0 else None
