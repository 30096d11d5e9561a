"""Start the processes of a training and watch them, without PyTorch's launcher.

Each process gets its rank in the environment, with the names that torchrun gives them. When one is lost, those of this
machine are ended and started again. Unlike with PyTorch's launcher the machines are fixed: each has the ranks that
follow from its number, all have to be there, and one machine cannot start the processes of the others again, so that
`launch` asks for no restarts then.
"""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

from taolite.dist.cluster import SAVING_S, Cluster, Failure, listener, own_address, what_was_lost
from taolite.dist.pulse import forget
from taolite.errors import StoppedError

__all__ = ["run"]

_LOOK_S = 0.2  # between two looks at the processes
_SIGNALS = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT")  # those that PyTorch's launcher passes on


class _SignalledError(Exception):
    """This process got the signal `number`."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def run(
    command: Sequence[str],
    cluster: Cluster,
    *,
    folder: Path,
    warn: Callable[[str], None],
    abandon: Callable[[str], None],
) -> str:
    """As `taolite.dist.launch` describes it; StoppedError after a signal. `abandon` is never called: this launcher has
    no store to wait for."""
    for number in range(cluster.restarts + 1):
        forget(folder)  # what ended an earlier start does not end this one
        failures = _once(command, cluster, start=number)
        if not failures:
            return ""
        lost = what_was_lost(failures, folder)
        if number < cluster.restarts:
            warn(f"{lost}; going on from the last checkpoint (restart {number + 1} of {cluster.restarts})")
    return lost


def _once(command: Sequence[str], cluster: Cluster, *, start: int) -> dict[int, Failure]:
    """Start the processes of this machine and wait for them; the first that failed, by rank, or none. All have ended
    when it returns. `start` counts the starts, from 0."""
    shared = {
        "WORLD_SIZE": str(cluster.nodes * cluster.gpus),
        "LOCAL_WORLD_SIZE": str(cluster.gpus),
        "TORCHELASTIC_RUN_ID": "taolite",
        "TORCHELASTIC_RESTART_COUNT": str(start),
        "TORCHELASTIC_USE_AGENT_STORE": "False",  # the first process of machine 0 hosts the store
        **_meeting_point(cluster),
    }
    processes: dict[int, subprocess.Popen[bytes]] = {}
    with _signals():
        try:
            for local in range(cluster.gpus):
                rank = cluster.node_rank * cluster.gpus + local
                environment = {**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(local)}
                processes[rank] = subprocess.Popen(command, env=environment, start_new_session=True)
            return _watched(processes)
        except _SignalledError as signalled:
            with suppress(_SignalledError):  # a second one ends the wait
                _stop(list(processes.values()), signalled.number)
            raise StoppedError("before anything was saved; run the same command again") from signalled
        finally:
            for process in processes.values():  # they wait for the lost one, or are stopped, and have nothing to save
                _send(process, getattr(signal, "SIGKILL", signal.SIGTERM))
                process.wait()


def _meeting_point(cluster: Cluster) -> dict[str, str]:
    """Where the first process of machine 0 will listen, for the environment. UsageError where its port is taken."""
    if cluster.node_rank:
        return {"MASTER_ADDR": cluster.address, "MASTER_PORT": str(cluster.port)}
    address = own_address(cluster)
    with listener(cluster, address) as taken:
        port = taken.getsockname()[1]
    return {"MASTER_ADDR": address, "MASTER_PORT": str(port)}


def _watched(processes: dict[int, subprocess.Popen[bytes]]) -> dict[int, Failure]:
    """Wait until all have ended, or one has failed; those that failed, by rank."""
    while True:
        codes = {rank: process.poll() for rank, process in processes.items()}
        failures = {rank: Failure(processes[rank].pid, code) for rank, code in codes.items() if code}
        if failures or None not in codes.values():
            return failures
        time.sleep(_LOOK_S)


def _stop(processes: Sequence[subprocess.Popen[bytes]], number: int) -> None:
    """Pass a signal on, and give the processes time to finish their step and save."""
    for process in processes:
        _send(process, number)
    until = time.monotonic() + SAVING_S
    while time.monotonic() < until and any(process.poll() is None for process in processes):
        time.sleep(_LOOK_S)


def _send(process: subprocess.Popen[bytes], number: int) -> None:
    """Send a signal to a process and what it has started; nothing where it has ended."""
    if process.poll() is not None:
        return
    with suppress(ProcessLookupError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, number)
        else:  # Windows
            process.terminate()


@contextmanager
def _signals() -> Iterator[None]:
    """Inside, the signals that ask this process to end raise _SignalledError. Python allows it in the main thread
    alone; in another one nothing changes."""

    def note(number: int, frame: FrameType | None) -> None:
        raise _SignalledError(number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {one: signal.signal(one, note) for name in _SIGNALS if (one := getattr(signal, name, None)) is not None}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
