"""What becomes of a launch, with PyTorch's launcher and with ours."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from taolite.dist import elastic
from taolite.dist.launch import Cluster, launch
from taolite.errors import PathError, TrainingError

from .launchers import FALLBACK, LAUNCHERS, launcher

pytestmark = [
    pytest.mark.sockets,
    pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX"),
]

PROCESS = """
import json, os, signal, sys, time
from pathlib import Path
from taolite.dist.pulse import Ending

folder, what = Path(sys.argv[1]), sys.argv[2]
rank, start = os.environ["RANK"], os.environ["TORCHELASTIC_RESTART_COUNT"]
(folder / f"{start}.{rank}.started").write_text(str(os.getpid()))
names = ("WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "TAOLITE_NODE_RANK")
(folder / f"{rank}.json").write_text(json.dumps([os.environ[name] for name in names]))


def wait():
    parent = os.getppid()
    while os.getppid() == parent:  # else the test has ended
        time.sleep(0.05)


def save(number, frame):
    (folder / f"{rank}.saved").write_text(signal.Signals(number).name)
    Ending("StoppedError", "after epoch 1 of 2", final=True).leave()
    sys.exit(0)


if what == "killed" and rank == "1" and start == "0":
    os.kill(os.getpid(), signal.SIGKILL)
if what == "killed" and rank == "0" and start == "0":
    wait()
if what == "failing" and rank == "1":
    sys.exit(3)
if what == "failing":
    wait()
if what == "wrong":
    Ending("PathError", "data: no such folder", final=True).leave()
if what == "waiting":
    signal.signal(signal.SIGTERM, save)
    (folder / f"{rank}.waits").touch()
    wait()
"""


@pytest.fixture(params=LAUNCHERS)
def way(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def start(way: str, folder: Path, what: str, *, restarts: int = 1) -> list[str]:
    """Launch two of PROCESS, and return the warnings, but for those that every launch without a GPU here has."""
    (folder / "process.py").write_text(PROCESS, encoding="utf-8")
    command = [sys.executable, str(folder / "process.py"), str(folder), what]
    said: list[str] = []
    try:
        with launcher(way):
            launch(command, Cluster(gpus=2, restarts=restarts), warn=said.append, abandon=said.append)
    finally:
        general = [text for text in said if text.startswith("--gpus 2: no GPU here")]
        own = [text for text in said if text not in general]
        assert own[:1] == [FALLBACK] if way == "plain" else FALLBACK not in own
    return own[way == "plain" :]


def pid_of(folder: Path, rank: int, *, start: int = 0) -> int:
    return int((folder / f"{start}.{rank}.started").read_text())


def test_processes_get_their_ranks_and_end(way, tmp_path):
    assert start(way, tmp_path, "good") == []

    assert [(tmp_path / f"{rank}.json").read_text() for rank in (0, 1)] == [
        '["2", "0", "2", "127.0.0.1", "0"]',
        '["2", "1", "2", "127.0.0.1", "0"]',
    ]


def test_a_killed_process_is_named_and_all_start_again(way, tmp_path):
    said = start(way, tmp_path, "killed")

    name = f"rank 1 on {socket.gethostname()} (process {pid_of(tmp_path, 1)})"
    assert said == [f"{name} was ended by SIGKILL; going on from the last checkpoint (restart 1 of 1)"]
    assert pid_of(tmp_path, 0, start=1) != pid_of(tmp_path, 0)
    assert not is_running(pid_of(tmp_path, 0))


def test_more_losses_than_restarts_end_the_launch_and_all_processes(way, tmp_path):
    with pytest.raises(TrainingError) as caught:
        start(way, tmp_path, "failing")

    name = f"rank 1 on {socket.gethostname()} (process {pid_of(tmp_path, 1, start=1)})"
    assert str(caught.value) == (
        f"{name} was ended with 3; it was started again 1 time (--max_restarts). The same command goes on from the "
        "last checkpoint"
    )
    assert not is_running(pid_of(tmp_path, 0, start=1))


def test_what_a_restart_would_meet_again_is_raised_once(way, tmp_path):
    with pytest.raises(PathError) as caught:
        start(way, tmp_path, "wrong")

    assert str(caught.value) == "data: no such folder"
    assert not (tmp_path / "1.0.started").exists()


LAUNCH = """
import sys
from pathlib import Path

sys.path.insert(0, {here!r})
from tests.dist.test_launchers import start
from taolite.errors import StoppedError

try:
    start(sys.argv[1], Path(sys.argv[2]), "waiting")
except StoppedError as error:
    print(error)
"""


def test_sigterm_is_passed_on_and_all_may_save(way, tmp_path):
    code = LAUNCH.format(here=str(Path(__file__).parents[2]))
    command = [sys.executable, "-c", code, way, str(tmp_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        until = time.monotonic() + 300
        while not all((tmp_path / f"{rank}.waits").exists() for rank in (0, 1)):
            assert process.poll() is None
            assert time.monotonic() < until
            time.sleep(0.05)

        process.send_signal(signal.SIGTERM)
        said, _ = process.communicate(timeout=300)
    finally:
        process.kill()

    assert said == "after epoch 1 of 2\n"
    assert [(tmp_path / f"{rank}.saved").read_text() for rank in (0, 1)] == ["SIGTERM"] * 2


def test_an_agent_without_a_method_that_is_extended_counts_as_another_launcher(monkeypatch):
    agent = elastic.LocalElasticAgent
    for one in agent.__mro__:
        if "_monitor_workers" in vars(one):
            monkeypatch.delattr(one, "_monitor_workers")

    with pytest.raises(ImportError) as caught:
        exec(compile(Path(elastic.__file__).read_text(encoding="utf-8"), elastic.__file__, "exec"), {"__name__": "x"})

    assert str(caught.value) == "LocalElasticAgent has no _monitor_workers"


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
