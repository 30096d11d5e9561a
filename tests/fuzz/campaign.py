"""Reads mutations in child processes, and keeps count: `cd tests && python -m fuzz.campaign`.

A child that crashes, takes more than 5 s of processor time for one case, or stands still for 60 s is a finding; so is
every exception that is not a TaoliteError, and memory that rises above the target's bound. The state is kept in a
folder, so a campaign goes on where it was stopped, and its figures add up over many slices:

    python -m fuzz.campaign --state ~/fuzz                      the whole campaign: 280,000 cases
    python -m fuzz.campaign --state ~/fuzz --minutes 10         ten minutes of it
    python -m fuzz.campaign --state ~/fuzz --again              what was found, read again after it was mended
    python -m fuzz.campaign --state ~/fuzz --table              its figures so far
    python -m fuzz.campaign --case "weights zip" 1234 out.bin   the bytes of one case
"""

from __future__ import annotations

import argparse
import json
import mmap
import os
import selectors
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, TypeAlias

from .child import NOTE, case_of
from .target import GROUPS
from .targets import TARGETS

__all__ = ["WANTED", "campaign", "read_again", "read_cases", "table", "wanted"]

WANTED = {"containers": 110_000, "specs and labels": 110_000, "pictures": 21_000, "weights": 6_600,
          "records, caches and models": 30_000}  # fmt: skip
MOST_CPU_S = 5.0  # of one case
STILL_S = 60.0  # without an end of the case, however little processor time it takes

Job: TypeAlias = tuple[str, int, int]
"""Name of the target, first case, last case + 1."""


def wanted(scale: float = 1.0) -> dict[str, int]:
    """Cases of each target: its share of the group's."""
    shares = {group: sum(row.share for row in TARGETS.values() if row.group == group) for group in GROUPS}
    return {
        row.name: max(1, -(-int(WANTED[row.group] * scale * row.share) // shares[row.group]))
        for row in TARGETS.values()
    }


def read_cases(
    jobs: list[Job], *, until: float = float("inf"), most_cpu_s: float = MOST_CPU_S
) -> Iterator[dict[str, Any]]:
    """Read these cases, or as many until that time (`time.monotonic`), in as few processes as possible; gives what they
    say, a line for every slice."""
    left = [job for job in jobs if job[1] < job[2]]
    while left and time.monotonic() < until:
        for line in _child(left, until, most_cpu_s):
            at = next(at for at, job in enumerate(left) if job[0] == line["target"])
            left = [(line["target"], line["next"], left[at][2]), *left[at + 1 :]]
            yield line
        left = [job for job in left if job[1] < job[2]]


def _child(jobs: list[Job], until: float, most_cpu_s: float) -> Iterator[dict[str, Any]]:
    """One child. Where it dies or is ended, the last line holds the case it was at as a finding."""
    here = Path(__file__)
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(here.parents[2])}
    with tempfile.NamedTemporaryFile() as noted, tempfile.TemporaryFile("w+") as errors:
        noted.write(NOTE.pack(0, -1, 0.0))
        noted.flush()
        words = [sys.executable, "-m", "fuzz.child", noted.name, json.dumps(jobs), str(most_cpu_s)]
        with subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=errors, env=environ, cwd=here.parents[1]
        ) as process:
            note = mmap.mmap(noted.fileno(), NOTE.size)
            assert process.stdout is not None
            reached, fault = {job[0]: job[1] for job in jobs}, ""
            for line in _lines(process.stdout, process, note, until, most_cpu_s):
                if isinstance(line, str):
                    fault = line
                    break
                reached[line["target"]] = line["next"]
                yield line
            if fault:
                process.kill()
            code = process.wait()
        job, at, _ = NOTE.unpack(note[:])
        if fault == "time is up" or (code == 0 and not fault):
            return
        errors.seek(0)
        said, name = errors.read()[-3000:], jobs[job][0]
        if at < 0:
            raise RuntimeError(f"{name}: the child ended with {code} outside of any case\n{said}")
        finding = {"case": at, "fault": fault or f"the process ended with {code}\n{said}"}
        counts = Counter(lost=at - reached[name], crashed=1)  # the slice's own counts went with it
        yield {
            "target": name,
            "next": at + 1,
            "counts": counts,
            "slowest_s": 0.0,
            "rise_mib": 0.0,
            "findings": [finding],
        }


def _lines(
    stream: IO[bytes], process: subprocess.Popen[bytes], note: mmap.mmap, until: float, most_cpu_s: float
) -> Iterator[Any]:
    """The child's lines as they come; a text says why it has to be ended."""
    last, since = (0, -1), time.monotonic()
    rest = b""
    with selectors.DefaultSelector() as selector:
        selector.register(stream, selectors.EVENT_READ)
        while True:
            if selector.select(0.25):
                data = os.read(stream.fileno(), 1 << 16)
                if not data:
                    return
                *lines, rest = (rest + data).split(b"\n")
                yield from map(json.loads, lines)
            now = time.monotonic()
            job, at, began = NOTE.unpack(note[:])
            if (job, at) != last:
                last, since = (job, at), now
            if now > until:
                yield "time is up"
            elif at >= 0 and (used := _cpu_s(process.pid) - began) > most_cpu_s + 1:
                yield f"it took more than {used:.0f} s of processor time"
            elif at >= 0 and now - since > STILL_S:
                yield f"it stood still for {now - since:.0f} s"


def _cpu_s(pid: int) -> float:
    """Processor time of a process, seconds; 0 once it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def campaign(folder: Path, *, names: list[str], scale: float = 1.0, minutes: float = float("inf")) -> None:
    """Go on with a campaign; its state and findings are in `folder`."""
    until, counts = time.monotonic() + minutes * 60, wanted(scale)
    folder.mkdir(parents=True, exist_ok=True)
    states = {name: _state(folder, name) for name in names}
    for line in read_cases([(name, states[name]["next"], counts[name]) for name in names], until=until):
        name = line["target"]
        states[name] = _added(states[name], line)
        path = folder / f"{name}.json"
        path.with_suffix(".new").write_text(json.dumps(states[name], indent=1))
        path.with_suffix(".new").replace(path)
        for finding in line["findings"]:
            print(f"{name} {finding['case']}: {finding['fault'].strip().splitlines()[-1][:200]}", flush=True)


def read_again(folder: Path) -> None:
    """Read every finding's case again; one that ends well now counts as mended."""
    for path in sorted(folder.glob("*.json")):
        state, name = json.loads(path.read_text()), path.stem
        cases = {finding["case"]: finding for finding in state["findings"]}
        left: list[dict[str, Any]] = []
        for line in (line for case in cases for line in read_cases([(name, case, case + 1)])):
            left += line["findings"]
            for finding in line["findings"]:
                print(f"{name} {finding['case']}: {finding['fault'].strip().splitlines()[-1][:200]}", flush=True)
        mended = [finding for case, finding in cases.items() if case not in {finding["case"] for finding in left}]
        path.write_text(
            json.dumps({**state, "findings": left, "mended": [*state.get("mended", []), *mended]}, indent=1)
        )


def _state(folder: Path, name: str) -> dict[str, Any]:
    path = folder / f"{name}.json"
    return json.loads(path.read_text()) if path.is_file() else _fresh()


def _fresh() -> dict[str, Any]:
    return {"next": 0, "counts": {}, "slowest_s": 0.0, "rise_mib": 0.0, "findings": []}


def _added(state: dict[str, Any], line: dict[str, Any]) -> dict[str, Any]:
    return {
        **state,
        "next": line["next"],
        "counts": dict(Counter(state["counts"]) + Counter(line["counts"])),
        "slowest_s": max(state["slowest_s"], line["slowest_s"]),
        "rise_mib": max(state["rise_mib"], line["rise_mib"]),
        "findings": [*state["findings"], *line["findings"]],
    }


def table(folder: Path) -> Iterator[str]:
    """The figures of a campaign as a table in Markdown, a row a target and a sum for each group."""
    yield "| target | cases | read | refused | slowest, s | memory, MiB | mended | open |"
    yield "|---|---|---|---|---|---|---|---|"
    for group in GROUPS:
        states = {
            name: _state(folder, name)
            for name, row in TARGETS.items()
            if row.group == group and (folder / f"{name}.json").is_file()
        }
        for name, state in states.items():
            yield _row(name, [state])
        if states:
            yield _row(f"**{group}**", list(states.values()))


def _row(name: str, states: list[dict[str, Any]]) -> str:
    cases, read = (
        sum(value) for value in zip(*((one["next"], one["counts"].get("read", 0)) for one in states), strict=True)
    )
    slowest, rise = max(one["slowest_s"] for one in states), max(one["rise_mib"] for one in states)
    left, mended = (sum(len(one.get(kind, [])) for one in states) for kind in ("findings", "mended"))
    refused = cases - read - left - mended
    return f"| {name} | {cases:,} | {read:,} | {refused:,} | {slowest:.2f} | {rise:.0f} | {mended} | {left} |"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m fuzz.campaign", description="Read mutations, and keep count.")
    add = parser.add_argument
    add("--state", type=Path, metavar="DIR", help="folder of the campaign's state")
    add("--target", action="append", choices=list(TARGETS), metavar="NAME", help="a target (default: all)")
    add("--scale", type=float, default=1.0, metavar="X", help="times the usual number of cases (default: 1)")
    add("--minutes", type=float, default=float("inf"), metavar="M", help="stop after M minutes (default: at the end)")
    add("--again", action="store_true", help="read the cases of all findings again")
    add("--table", action="store_true", help="print the figures so far")
    add("--case", nargs=3, metavar=("NAME", "NUMBER", "FILE"), help="write the bytes of one case to a file")
    options = parser.parse_args()
    if options.case:
        name, number, file = options.case
        Path(file).write_bytes(case_of(TARGETS[name], int(number)))
    elif options.state is None:
        parser.error("--state DIR is needed")
    elif options.table:
        print("\n".join(table(options.state)))
    elif options.again:
        read_again(options.state)
    else:
        campaign(options.state, names=options.target or list(TARGETS), scale=options.scale, minutes=options.minutes)


if __name__ == "__main__":
    main()
