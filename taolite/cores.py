"""Cores that this process may use: of the machine, of its affinity, and of its control group (a container's limit)."""

from __future__ import annotations

import os
import re
from pathlib import Path

__all__ = ["allowed", "of_group", "quota", "system_text", "usable", "within"]

_PROC, _GROUPS = Path("/proc"), Path("/sys/fs/cgroup")


def usable() -> int:
    """Threads that can compute at once here, at least 1: the cores of the affinity, or the quota where it is less."""
    return within(allowed(), quota())


def within(cores: int, share: float | None) -> int:
    """Threads that `cores` compute with in a processor time of `share` cores; None where it is not limited."""
    return cores if share is None else min(cores, max(1, round(share)))


def allowed() -> int:
    """Cores that this process may run on, whatever share of their time it gets."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def quota(*, proc: Path = _PROC, groups: Path = _GROUPS) -> float | None:
    """Processor time of the control group, in cores; None where it is not limited."""
    words = [text.split() for text in of_group("cpu.max", proc=proc, groups=groups)]
    limits = [int(w[0]) / int(w[1]) for w in words if len(w) == 2 and w[0].isdigit() and int(w[1]) > 0]
    old = groups / "cpu"  # version 1 of control groups, seen from inside a container
    limit, period = (system_text(old / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period"))
    if limit.isdigit() and period.isdigit() and int(period) > 0:
        limits.append(int(limit) / int(period))
    return min(limits, default=None)


def of_group(name: str, *, proc: Path = _PROC, groups: Path = _GROUPS) -> list[str]:
    """The file `name` of this process's control group and of those above it, as far as they can be read."""
    own = re.search(r"^0::/(.*)$", system_text(proc / "self" / "cgroup"), re.MULTILINE)
    folder = groups / own[1] if own else groups
    return [system_text(place / name) for place in (folder, *folder.parents) if place.is_relative_to(groups)]


def system_text(path: Path) -> str:
    """The text of a file of the system; "" where it is not there."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
