"""What every benchmark of speed shares: ways of doing the same work, timed in turn, and a table that says where.

A busy machine slows neighbours in time alike: ways take turns, and what counts is the median of each turn's ratio.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

Clock = Callable[[], float]


def in_turn(
    ways: Mapping[str, Callable[[], object]], rounds: int, *, warm_up: int = 1, clock: Clock = time.perf_counter
) -> dict[str, list[float]]:
    """Seconds of each way in each round, measured by `clock` (`time.process_time` for processor time)."""
    for way in ways.values():
        for _ in range(warm_up):
            way()
    taken_s: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds):
        # Every second round runs backwards: no way always follows the same other.
        for name in [*ways] if number % 2 == 0 else [*ways][::-1]:
            began = clock()
            ways[name]()
            taken_s[name].append(clock() - began)
    return taken_s


def ratio(taken_s: Mapping[str, Sequence[float]], name: str, base: str) -> float:
    """How many times the seconds of `base` are those of `name`: the median over the rounds."""
    return median(one / other for one, other in zip(taken_s[name], taken_s[base], strict=True))


def machine(*packages: str) -> str:
    """The processor, the cores that this process may use, and the versions of `packages`."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "a processor")
    flags = {flag for line in lines if line.startswith("flags") for flag in line.split()}
    special = ", ".join(flag for flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if flag in flags)
    cores = len(os.sched_getaffinity(0))
    return ", ".join(
        [f"{model}, {cores} cores ({special})", f"Python {platform.python_version()}", *map(_version, packages)]
    )


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def _version(package: str) -> str:
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"no {package}"
