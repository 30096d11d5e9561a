"""Heartbeats between the processes of a run: a missing process is named, and a final error of one ends all.

Each process has a thread that increments a counter of its own in a store that all processes reach. Beside it stands
the number of collective operations the process has reached. A process whose counter stands still is dead, stopped or
cut off; a process that has reached fewer collective operations than the others is the one they wait for. Clocks are
not compared.
"""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from taolite.files import write_text

__all__ = ["MACHINE", "OUTCOMES", "Ending", "LostError", "Pulse", "forget", "is_writer", "noted"]

OUTCOMES = "TAOLITE_OUTCOMES"
"""Environment variable: the folder in which processes leave what became of them for the one that launched them."""

MACHINE = "TAOLITE_NODE_RANK"
"""Environment variable: which of several machines this is. The launcher's ranks need not follow it."""

_BEAT_S = 0.5
_GRACE_S = 10.0  # beyond the time limit, for whoever can say more


class LostError(RuntimeError):
    """Another process is dead, stopped, stuck or out of reach. The launcher restarts the run; the user does nothing."""


def is_writer() -> bool:
    """Whether this process is the writer, which alone writes files and prints: the first process of machine 0."""
    if machine := os.environ.get(MACHINE):
        return machine == "0" and os.environ["LOCAL_RANK"] == "0"
    return os.environ["RANK"] == "0"


@dataclass(frozen=True)
class Ending:
    """How a process ended: class name and text of an error. `final`: a restart would meet the same error."""

    kind: str
    text: str
    final: bool

    @property
    def code(self) -> int:
        """The exit code. After 0 no launcher restarts; ours reads the final ending, torchrun takes it for success."""
        return 0 if self.final and OUTCOMES in os.environ else 1

    def leave(self) -> None:
        """Write it to the file in which the launcher (ours, or torchrun) looks for it."""
        if folder := os.environ.get(OUTCOMES):
            path = Path(folder) / f"{os.environ['RANK']}.ending"
            write_text(path, json.dumps(vars(self)), durable=False)
        elif file := os.environ.get("TORCHELASTIC_ERROR_FILE"):
            text = json.dumps({"message": self.text, "timestamp": int(time.time())})
            write_text(Path(file), text, durable=False)


def noted(folder: Path) -> list[Ending]:
    """The endings in `folder`, by rank."""
    found = sorted(folder.glob("*.ending"), key=lambda path: int(path.stem))
    return [Ending(**json.loads(path.read_text(encoding="utf-8"))) for path in found]


def forget(folder: Path) -> None:
    """Remove the endings in `folder`."""
    for path in folder.glob("*.ending"):
        path.unlink()


class Pulse:
    """Heartbeat of this process, and a view of the others'; a context manager."""

    def __init__(self, store: Any, *, rank: int, size: int, timeout_s: float) -> None:
        self._store = store  # a torch.distributed.Store of its own: the thread must not wait for anybody
        self._rank, self._size = rank, size
        self._timeout_s = timeout_s
        self._meetings = 0
        self._moved_s = time.monotonic()
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=work, name="taolite-pulse", daemon=True) for work in (self._beat, self._guard)
        ]

    def __enter__(self) -> Pulse:
        self._store.set(f"who/{self._rank}", f"rank {self._rank} on {socket.gethostname()} (process {os.getpid()})")
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._over.set()
        for thread in self._threads:  # one that is in the store when the process ends would abort it
            thread.join(_GRACE_S)

    def arrived(self) -> None:
        """Note that this process has reached the next collective operation."""
        self._meetings += 1

    def moved(self) -> None:
        """Note progress of this process."""
        self._moved_s = time.monotonic()

    def missing(self) -> str:
        """Which processes have no heartbeat or are behind, as text."""
        try:
            before = self._signs()
            time.sleep(4 * _BEAT_S)
            now = self._signs()
            who = [self._name(rank) for rank in range(self._size)]
        except RuntimeError:
            return f"rank {self._rank} on {socket.gethostname()} does not reach rank 0: one of them is dead or cut off"
        silent = [who[rank] for rank in range(self._size) if rank != self._rank and before[rank][0] == now[rank][0]]
        if silent:
            return f"no sign of life of {', '.join(silent)}"
        most = max(meetings for _, meetings in now)
        behind = [who[rank] for rank, (_, meetings) in enumerate(now) if meetings < most]
        return f"waited for {', '.join(behind)}" if behind else f"{who[self._rank]} lost the others"

    def end(self, ending: Ending) -> None:
        """Write `ending` and announce it to all processes, which then end too. Returns when all have read it, or after
        10 s."""
        ending.leave()
        try:
            self._store.compare_set("ended", "", json.dumps(vars(ending)))
            until = time.monotonic() + _GRACE_S
            self._store.add("know", 1)
            while self._store.add("know", 0) < self._size and time.monotonic() < until:
                time.sleep(0.1)
        except RuntimeError:  # the store is with rank 0, which may be gone
            return

    def _signs(self) -> list[tuple[int, int]]:
        """(beats, meetings) of every process."""
        rows = [
            json.loads(self._store.get(f"beat/{rank}")) if self._shown(rank) else (0, 0) for rank in range(self._size)
        ]
        return [(beats, meetings) for beats, meetings in rows]

    def _shown(self, rank: int) -> bool:
        return bool(self._store.check([f"beat/{rank}"]))

    def _name(self, rank: int) -> str:
        known = self._store.check([f"who/{rank}"])
        return self._store.get(f"who/{rank}").decode() if known else f"rank {rank}"

    def _beat(self) -> None:
        """The heartbeat thread; it ends the process when another process has announced the end of the run."""
        count = 0
        try:
            while not self._over.wait(_BEAT_S):
                count += 1
                self._store.set(f"beat/{self._rank}", json.dumps([count, self._meetings]))
                if self._store.check(["ended"]) and not self._over.is_set():
                    ending = Ending(**json.loads(self._store.get("ended")))
                    ending.leave()
                    self._store.add("know", 1)
                    os._exit(ending.code)
        except RuntimeError:  # rank 0 is gone: the next meeting, or the guard, tells of it
            return

    def _guard(self) -> None:
        """The thread that ends this process when it makes no progress: it is stuck, or waits forever."""
        while not self._over.wait(_BEAT_S):
            idle_s = time.monotonic() - self._moved_s
            if idle_s > self._timeout_s + _GRACE_S / 2:
                threading.Thread(target=self._give_up, name="taolite-pulse", daemon=True).start()
                self._over.wait(_GRACE_S)
                self._leave(f"rank {self._rank} on {socket.gethostname()} did not get on for {idle_s:.0f} s")

    def _give_up(self) -> None:
        self._leave(f"nothing moved for {self._timeout_s:.0f} s: {self.missing()}")

    def _leave(self, text: str) -> None:
        if not self._over.is_set():
            Ending("LostError", text, final=False).leave()
            os._exit(1)
