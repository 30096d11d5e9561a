"""Trainings in processes of their own, as a user starts them: to be killed, stopped and cut off."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from taolite.artifacts.bundle import read_bundle, weights_hash
from taolite.artifacts.keys import Key

KEY = "tlt_encode"
PATIENCE_S = 400.0  # two processes on a busy machine take a while to start


def command(spec: Path, results: Path, *words: object, task: str = "detectnet") -> list[str]:
    """A training in float32; a detector is called m."""
    return [
        *(sys.executable, "-m", "taolite", task, "train", "-e", str(spec), "-r", str(results)),
        *(("-n", "m") if task == "detectnet" else ()),
        *("-k", KEY, "--precision", "fp32", "--workers", "1", *map(str, words)),
    ]


def start(words: Sequence[str], **variables: str) -> subprocess.Popen[str]:
    """The command, one thread a process; what it says is kept."""
    root = Path(__file__).parents[2]
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(root), **variables}
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environ)


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code and everything that was said."""
    try:
        said, _ = process.communicate(timeout=PATIENCE_S)
    finally:
        process.kill()
    return process.returncode, said


def rows(results: Path, name: str) -> dict[int, float]:
    """A value of metrics.jsonl by epoch."""
    found = map(json.loads, (results / "metrics.jsonl").read_text().splitlines())
    return {row["epoch"]: row[name] for row in found if name in row}


def weights(results: Path) -> str:
    return weights_hash(read_bundle(results / "weights" / "m.tlt", key=Key(KEY)).tensors)


def wait_for(what: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Until `what` is true, while the process runs."""
    until = time.monotonic() + PATIENCE_S
    while not what():
        assert process.poll() is None, f"the command ended first:\n{process.communicate()[0]}"
        assert time.monotonic() < until, "nothing happened"
        time.sleep(0.05)


def checkpoints(results: Path) -> list[str]:
    return sorted(path.name for path in results.glob("checkpoints/*.ckpt"))


def worker(launcher: int, rank: int) -> int:
    """The process number of a launcher's `rank`-th process; 0 where it has none now."""
    for entry in Path("/proc").iterdir():
        if not entry.name.isdecimal():
            continue
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            variables = (entry / "environ").read_bytes().split(b"\0")
        except OSError:  # it has ended meanwhile
            continue
        if parent == launcher and f"RANK={rank}".encode() in variables:
            return int(entry.name)
    return 0
