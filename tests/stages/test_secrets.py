"""During a life and after it the key is in no file, in no list of processes, and in no environment of a child."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from .conftest import write_spec

SENTINEL = "Swordfish7Sentinel"


def run(words: Sequence[str], folder: Path, **variables: str) -> tuple[list[str], str]:
    """`taolite WORDS` in a process of its own: what its processes showed of the key while they ran, and its output.

    The command's own process shows the key until it has begun; it is looked at from then on.
    """
    environ = {**{name: value for name, value in os.environ.items() if name != "TAOLITE_KEY"}, **variables}
    log, leaks = folder / "log", []
    with open(log, "wb") as stream:
        process = subprocess.Popen(
            [sys.executable, "-m", "taolite", *words], env=environ, cwd=folder, stdout=stream, stderr=subprocess.STDOUT
        )
        begun = False
        while process.poll() is None:
            own = shown(process.pid)
            begun = begun or (
                b"-m\0taolite\0" in own and SENTINEL.encode() not in own
            )  # before, it is still a fork of us
            if begun and SENTINEL.encode() in own:
                leaks.append(f"{words[:2]}: the command itself")
            leaks += [
                f"{words[:2]}: {text!r}"
                for pid in descendants(process.pid)
                if SENTINEL.encode() in (text := shown(pid))
            ]
            time.sleep(0.02)
    said = log.read_text()
    log.unlink()
    assert process.returncode == 0, said
    return leaks, said


def shown(pid: int) -> bytes:
    """The command line and the environment of a process; nothing of one that has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() + Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def descendants(pid: int) -> Iterator[int]:
    """The processes below a process."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_bytes().rpartition(b") ")[2].split()[1])
            except OSError:  # it has ended
                continue
    yield from below(pid, parents)


def below(pid: int, parents: Mapping[int, int]) -> Iterator[int]:
    for child, parent in parents.items():
        if parent == pid:
            yield child
            yield from below(child, parents)


@pytest.mark.slow
@pytest.mark.sockets
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")
def test_a_life_leaves_the_key_nowhere(tiny, tmp_path):
    spec = write_spec(tiny, "secret.txt")
    weights = tmp_path / "run" / "weights" / "m.tlt"
    key, held = ["-k", SENTINEL], {"TAOLITE_KEY": SENTINEL}
    leaks, said = [], ""
    for words, variables in (
        (["detectnet", "train", "-e", spec, "-r", tmp_path / "run", "-n", "m", "--gpus", "2", *key], {}),
        (["detectnet", "evaluate", "-e", spec, "-m", weights, "-r", tmp_path / "scores"], held),
        (["detectnet", "prune", "-m", weights, "-o", tmp_path / "p.tlt", "-pth", "0.1", *key], {}),
        (["detectnet", "train", "-e", spec, "-r", tmp_path / "again", "-n", "m", "--gpus", "2"], held),
        (["detectnet", "export", "-m", weights, "-o", tmp_path / "m.etlt", *key], {}),
        (["run", tmp_path / "m.etlt", tiny / "kitti" / "image_2", tmp_path / "seen", "--headless"], held),
        (["show", tmp_path / "run"], held),
        (["rekey", tmp_path / "m.etlt", "--old", SENTINEL, "--new", f"{SENTINEL}2"], {}),
    ):
        found, text = run([str(word) for word in words], tmp_path, **variables)
        leaks += found
        said += text

    assert leaks == []
    assert SENTINEL not in said
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 20, "the life left its files"
    assert [path for path in written if SENTINEL.encode() in path.read_bytes()] == []


def test_a_traceback_has_no_key(tmp_path):
    code = (
        "import sys\n"
        "from taolite.artifacts import describe\n"
        "def broken(path, *, key): raise RuntimeError(f'a fault of ours with {key}')\n"
        "describe.describe = broken\n"
        "from taolite.cli.main import started\n"
        "started([])\n"
    )
    (tmp_path / "m.tlt").write_bytes(b"")
    done = subprocess.run(
        [sys.executable, "-c", code, "show", str(tmp_path / "m.tlt"), "-k", SENTINEL],
        capture_output=True,
        text=True,
        check=False,
    )

    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-1] == "RuntimeError: a fault of ours with Key(hidden)"
    assert SENTINEL not in done.stderr
