"""The runs of a sweep on a Ray cluster: an actor for each, which starts the training on the machine that Ray chooses.

The training is the process that it is without Ray, and writes to the same folder, which all machines see. Ray's usage
statistics are off. Ray sends its messages between machines as pickles; none of taolite's files is one.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from taolite.errors import TrainingError

__all__ = ["RayRun", "connect"]


def connect(address: str) -> Any:
    """Ray, connected to the cluster at `address`: `auto` for that of this machine, `local` for a new one on it.

    Raises TrainingError where no cluster answers.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # also for the processes that Ray starts
    import ray

    try:
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError) as error:
        way = "start one with `ray start --head`, or give --ray local for one on this machine"
        raise TrainingError(f"--ray {address}: no Ray cluster answers; {way}") from error
    return ray


class RayRun:
    """A training on some machine, with what a sweep uses of subprocess.Popen. It has failed where its machine is lost.

    It gets the processors of OMP_NUM_THREADS (1 where that is not set), and a GPU where the cluster has any.
    """

    def __init__(self, ray: Any, words: Sequence[str], *, log: Path, environment: Mapping[str, str]) -> None:
        own = {name: value for name, value in environment.items() if name.startswith(("TAOLITE_", "OMP_", "LAUNCHER_"))}
        gpus = 1 if ray.cluster_resources().get("GPU") else 0
        actor = ray.remote(num_cpus=int(own.get("OMP_NUM_THREADS") or 1), num_gpus=gpus)(_Starter)
        self.returncode: int | None = None
        self._ray, self._actor = ray, actor.remote()
        self._begun = self._asked = self._actor.start.remote(words, str(log), own, str(Path.cwd()))

    def poll(self) -> int | None:
        """The exit code, None before the end."""
        if self.returncode is None and self._ray.wait([self._asked], timeout=0)[0]:
            try:
                self.returncode = self._ray.get(self._asked)
            except self._ray.exceptions.RayError:
                self.returncode = 1
            self._asked = self._actor.poll.remote()
        return self.returncode

    def wait(self) -> int:
        """The exit code, after the end."""
        while (code := self.poll()) is None:
            time.sleep(0.2)
        return code

    def send_signal(self, number: int) -> None:
        """Pass a signal on. A training that waits for a machine is given up."""
        if not self._ray.wait([self._begun], timeout=0)[0]:
            self._ray.kill(self._actor)
            self.returncode = os.EX_TEMPFAIL  # as a training that was stopped
        else:
            self._actor.send_signal.remote(number)

    def terminate(self) -> None:
        """SIGTERM: the training saves its state and ends."""
        self.send_signal(signal.SIGTERM)


class _Starter:
    """The actor, in a process of Ray's on the machine of the training."""

    def start(self, words: Sequence[str], log: str, environment: Mapping[str, str], folder: str) -> None:
        with open(log, "ab") as stream:
            command = [sys.executable, *words[1:]]
            environment = {**os.environ, **environment}
            self.child = subprocess.Popen(
                command, stdout=stream, stderr=stream, env=environment, cwd=folder, start_new_session=True
            )

    def poll(self) -> int | None:
        return self.child.poll()

    def send_signal(self, number: int) -> None:
        self.child.send_signal(number)
