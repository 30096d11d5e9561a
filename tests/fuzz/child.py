"""The process in which mutations are read: `python -m fuzz.child NOTE JOBS SECONDS`, with `tests` as the
folder. JOBS is JSON, a list of [target, first case, last case + 1].

It prints a line of JSON after every slice of cases. Before every case it writes the case's number and its own processor
time to the file NOTE, so that its parent knows which case it is at, also when a library ends the process or never
returns.
"""

from __future__ import annotations

import faulthandler
import json
import mmap
import os
import re
import resource
import struct
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from taolite.errors import TaoliteError
from taolite.pictures import MAX_PIXELS_VARIABLE

from .photos import PIXELS
from .target import Reader, Target
from .targets import CHECKS, TARGETS

__all__ = ["NOTE", "case_of", "mutation", "run"]

NOTE = struct.Struct("<qqd")  # job, number of the case (-1 between cases), processor time at its start in seconds
LONGEST_MESSAGE = 100_000  # characters; a spec shows 200 problems
SLICE = 250  # cases between two lines
HARD_MIB = 4096  # of address space above the start, in which a wrong size fails before it harms the machine


def mutation(reader: Reader, target: str, number: int) -> bytes:
    """The bytes of one case."""
    return reader.mutate(Random(f"{target} {number}"))


def case_of(target: Target, number: int) -> bytes:
    """The bytes of one case, made anew."""
    with tempfile.TemporaryDirectory() as folder:
        return mutation(target.make(Path(folder)), target.name, number)


def peak_mib() -> float:
    """The most memory that was resident since `forget_peak`."""
    found = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found is not None, "Linux is needed"
    return int(found[1]) / 1024


def forget_peak() -> None:
    """Begin to measure anew: the peak is now what is resident."""
    Path("/proc/self/clear_refs").write_text("5")


def bound_memory() -> None:
    """Bound the address space of this process to what it has and HARD_MIB more."""
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + (HARD_MIB << 20), resource.RLIM_INFINITY))


def outcome(reader: Reader, data: bytes) -> tuple[str, str]:
    """How reading ends ("read", or the class of the error), and what is wrong with that; "" where nothing is."""
    try:
        reader.read(data)
    except TaoliteError as error:
        return type(error).__name__, _fault_of(error, reader)
    except (Exception, SystemExit) as error:
        return type(error).__name__, "".join(traceback.format_exception(error))[-4000:]
    return "read", ""


def _fault_of(error: TaoliteError, reader: Reader) -> str:
    """What is wrong with an error of ours: it hides a lack of memory, does not say where, or says a secret."""
    text, cause = str(error), error.__cause__
    while cause is not None:
        if isinstance(cause, MemoryError):
            return "a size of the file was believed, and memory ran out:\n" + "".join(traceback.format_exception(error))
        cause = cause.__cause__
    if reader.where not in text:
        return f"the message does not say which file: {text[:1000]}"
    if reader.secret and reader.secret in text:
        return "the message holds the key"
    return f"the message has {len(text)} characters" if len(text) > LONGEST_MESSAGE else ""


def run(
    target: Target, start: int, stop: int, *, noted: Callable[[int], float], folder: Path, most_cpu_s: float
) -> Iterator[dict[str, Any]]:
    """Read the cases from `start` up to `stop`; gives the figures of each slice. `noted` writes a case's number into
    the note, and gives the time."""
    reader = target.make(folder)
    for seed in reader.seeds:
        outcome(reader, seed)
    bound_memory()
    forget_peak()
    base, begin = peak_mib(), start
    counts, findings, slowest, high = Counter[str](), list[dict[str, Any]](), 0.0, 0.0
    for number in range(start, stop):
        data = mutation(reader, target.name, number)
        before = noted(number)
        ending, fault = outcome(reader, data)
        took, rise = time.process_time() - before, peak_mib() - base
        noted(-1)
        slowest, high = max(slowest, took), max(high, rise)
        counts[ending] += 1
        if not fault and took > most_cpu_s:
            fault = f"it took {took:.1f} s"
        if rise > target.most_mib:
            fault = fault or f"memory rose by {rise:.0f} MiB; {target.most_mib} are allowed"
            forget_peak()
        if fault:
            findings.append({"case": number, "fault": fault})
        if fault or number + 1 == stop or number + 1 - begin == SLICE:  # a finding is not kept back: the next may crash
            yield {
                "target": target.name,
                "next": number + 1,
                "counts": counts,
                "slowest_s": round(slowest, 3),
                "rise_mib": round(max(0.0, high), 1),
                "findings": findings,
            }
            begin = number + 1
            counts, findings, slowest, high = Counter[str](), [], 0.0, 0.0


def main(note: str, jobs: str, most_cpu_s: str) -> None:
    faulthandler.enable()
    lines = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints is no line of ours
    with open(note, "r+b") as stream, tempfile.TemporaryDirectory() as folder:
        os.environ |= {"XDG_CACHE_HOME": folder, MAX_PIXELS_VARIABLE: str(PIXELS)}
        shared = mmap.mmap(stream.fileno(), NOTE.size)
        for job, (name, start, stop) in enumerate(json.loads(jobs)):

            def noted(number: int, job: int = job) -> float:
                now = time.process_time()
                NOTE.pack_into(shared, 0, job, number, now)
                return now

            noted(-1)
            work = Path(folder, str(job))
            work.mkdir()
            for line in run(
                (TARGETS | CHECKS)[name], start, stop, noted=noted, folder=work, most_cpu_s=float(most_cpu_s)
            ):
                print(json.dumps(line), file=lines, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
