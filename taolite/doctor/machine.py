"""The machine: its GPU and driver, memory, processor cores, and what belongs to pictures: fonts, a display, cameras."""

from __future__ import annotations

import ctypes
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from taolite.cores import allowed, of_group, quota, system_text, within
from taolite.doctor.finding import Finding

__all__ = ["Driver", "cores", "driver", "fonts", "gpu", "memory", "screens"]

_LITTLE_MIB = 2048  # memory with which a training is likely to fail
_LETTERS = "éж日한"  # one of each script that class names are likely to have
_UNLIMITED = 1 << 60  # bytes: what the older control groups have for "no limit" is near 2**63


@dataclass(frozen=True)
class Driver:
    """NVIDIA's driver. cuda: the newest CUDA it runs, e.g. (13, 0). gpus: the names of the GPUs."""

    cuda: tuple[int, int]
    gpus: tuple[str, ...]


def driver() -> Driver | None:
    """NVIDIA's driver on this machine; None where there is none."""
    try:
        library = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return None
    version, count, names = ctypes.c_int(), ctypes.c_int(), []
    library.cuDriverGetVersion(ctypes.byref(version))
    if library.cuInit(0) == 0:
        library.cuDeviceGetCount(ctypes.byref(count))
    for index in range(count.value):
        text = ctypes.create_string_buffer(256)
        library.cuDeviceGetName(text, len(text), index)  # a device's handle is its index
        names.append(text.value.decode(errors="replace"))
    return Driver((version.value // 1000, version.value % 1000 // 10), tuple(names))


def gpu(found: Driver | None, torch_cuda: str) -> Finding:
    """The GPU, and whether its driver runs the CUDA that PyTorch was built for ("" for none)."""
    if found is None:
        return Finding("gpu", "absent", "no driver")
    facts = {"cuda": f"{found.cuda[0]}.{found.cuda[1]}", "gpus": list(found.gpus), "torch_cuda": torch_cuda}
    if not found.gpus:
        return Finding("gpu", "warning", "no gpu", facts)
    if torch_cuda and int(torch_cuda.split(".")[0]) > found.cuda[0]:
        return Finding("gpu", "broken", "driver", facts)
    return Finding("gpu", "ok", "", facts)


def memory(*, proc: Path = Path("/proc"), groups: Path = Path("/sys/fs/cgroup")) -> Finding:
    """Memory in MiB: of the machine, what is free of it, and the limit of this control group (a container's)."""
    text = system_text(proc / "meminfo")
    total, free = (_meminfo_mib(text, name) for name in ("MemTotal", "MemAvailable"))
    found = [
        *of_group("memory.max", proc=proc, groups=groups),
        system_text(groups / "memory" / "memory.limit_in_bytes"),
    ]
    limits = [int(value) for value in found if value.strip().isdigit() and int(value) < _UNLIMITED]
    limit = min(limits) >> 20 if limits else None
    facts = {"total_mib": total, "free_mib": free, "limit_mib": limit}
    known = [value for value in (free, limit) if value is not None]
    if known and min(known) < _LITTLE_MIB:
        return Finding("memory", "warning", "little", {**facts, "wanted_mib": _LITTLE_MIB})
    return Finding("memory", "ok", "", facts)


def cores(
    environ: Mapping[str, str],
    *,
    usable: int | None = None,
    proc: Path = Path("/proc"),
    groups: Path = Path("/sys/fs/cgroup"),
) -> Finding:
    """Cores of the machine, those this process may use, and the processor time of its control group, in cores."""
    usable = usable or allowed()
    share = quota(proc=proc, groups=groups)
    asked = environ.get("OMP_NUM_THREADS", "")
    threads = int(asked) if asked.isdigit() else None
    facts = {"cores": os.cpu_count(), "usable": usable, "quota": share, "threads": threads}
    most = within(usable, share)
    if threads is not None and threads > most:
        return Finding("cores", "warning", "threads", {**facts, "most": most})
    return Finding("cores", "ok", "", facts)


def fonts(letters: str = _LETTERS) -> Finding:
    """Whether this system has fonts for the letters of class names on pictures."""
    from taolite.media.fonts import font_warning

    missing = [letter for letter in letters if font_warning([letter])]
    return Finding("fonts", "warning" if missing else "ok", "missing" if missing else "", {"missing": missing})


def screens(environ: Mapping[str, str], *, devices: Sequence[Path] | None = None) -> Finding:
    """A display for windows, and cameras that this user may read."""
    cameras = sorted(Path("/dev").glob("video*")) if devices is None else devices
    refused = [str(path) for path in cameras if not os.access(path, os.R_OK | os.W_OK)]
    shown = sys.platform in ("win32", "darwin") or bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))
    facts = {"display": shown, "cameras": [str(path) for path in cameras], "refused": refused}
    return Finding("display", "warning" if refused else "ok", "refused" if refused else "", facts)


def _meminfo_mib(text: str, name: str) -> int | None:
    """A value of /proc/meminfo, in MiB."""
    found = re.search(rf"^{name}:\s+(\d+) kB", text, re.MULTILINE)
    return int(found[1]) >> 10 if found else None
