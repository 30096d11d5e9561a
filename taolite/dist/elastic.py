"""PyTorch's own launcher (torch.distributed.elastic, what torchrun is): it finds the machines, watches the processes,
and starts all of them again when one is lost.

The one module that uses its private parts. Importing it raises ImportError with a PyTorch that has other parts.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch.distributed as dist
from torch.distributed.elastic.agent.server.api import RunResult, WorkerGroup, WorkerSpec, WorkerState
from torch.distributed.elastic.agent.server.local_elastic_agent import LocalElasticAgent
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.rendezvous import RendezvousConnectionError, RendezvousError, RendezvousParameters
from torch.distributed.elastic.rendezvous.c10d_rendezvous_backend import C10dRendezvousBackend
from torch.distributed.elastic.rendezvous.dynamic_rendezvous import create_handler

from taolite.dist.cluster import Cluster, Failure, listener, own_address, what_was_lost
from taolite.dist.pulse import forget
from taolite.errors import StoppedError, TrainingError

__all__ = ["run"]

_ASKING_S = 30.0  # beyond the time limit
_JOINING_S = 600.0  # for machines to come, or to come back
_EXTENDED = ("_restart_workers", "_start_workers", "_monitor_workers")  # methods of PyTorch's agent

for _name in _EXTENDED:  # one of another name would never be called
    if not hasattr(LocalElasticAgent, _name):
        raise ImportError(f"LocalElasticAgent has no {_name}")


def run(
    command: Sequence[str],
    cluster: Cluster,
    *,
    folder: Path,
    warn: Callable[[str], None],
    abandon: Callable[[str], None],
) -> str:
    """As `taolite.dist.launch` describes it; StoppedError after a signal, TrainingError where machines are missing."""
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # `warn` says it in fewer words
    try:
        rendezvous = _meeting_point(cluster)
        agent = _Agent(command, rendezvous, cluster, folder=folder, warn=warn)
        agent.guard(abandon)
        result = agent.run()
    except SignalException as error:
        raise StoppedError("before anything was saved; run the same command again") from error
    except RendezvousError as error:
        raise TrainingError(
            f"{cluster.address}:{cluster.port}: the {cluster.nodes} machines did not all connect ({error}); run "
            "the same command on all of them, each with its --node_rank, and see that the port of machine 0 is "
            "open. What was saved stays"
        ) from error
    rendezvous.shutdown()
    return agent.lost if result.is_failed() else ""


class _Agent(LocalElasticAgent):
    """PyTorch's agent; it reports each lost process in one line."""

    def __init__(
        self, command: Sequence[str], rendezvous: Any, cluster: Cluster, *, folder: Path, warn: Callable[[str], None]
    ) -> None:
        spec = WorkerSpec(
            role="train",
            local_world_size=cluster.gpus,
            entrypoint=command[0],
            args=tuple(command[1:]),
            rdzv_handler=rendezvous,
            max_restarts=cluster.restarts,
            monitor_interval=0.5,
            local_addr=own_address(cluster),
        )
        super().__init__(spec, DefaultLogsSpecs(log_dir=str(folder)), exit_barrier_timeout=60)
        self.lost = ""
        self._left = cluster.restarts
        self._restarts = cluster.restarts
        self._folder = folder
        self._warn = warn
        self._place = f"{cluster.address}:{cluster.port}"
        self._limit_s = cluster.timeout_s + _ASKING_S
        self._asked_s: float | None = None  # when the pending request to the rendezvous store began

    def guard(self, abandon: Callable[[str], None]) -> None:
        """Watch for a request to the rendezvous store that never returns."""

        def watch() -> None:
            while True:
                time.sleep(1)
                if self._asked_s is not None and time.monotonic() - self._asked_s > self._limit_s:
                    self._end_workers(self._worker_group)
                    abandon(f"{self._place}: machine 0 is out of reach; run the same command again to come back to it")

        threading.Thread(target=watch, name="taolite-guard", daemon=True).start()

    def _restart_workers(self, worker_group: WorkerGroup) -> None:
        self._asked_s = None
        super()._restart_workers(worker_group)

    def _start_workers(self, worker_group: WorkerGroup) -> dict[int, Any]:
        forget(self._folder)  # what ended an earlier start does not end this one
        started: dict[int, Any] = super()._start_workers(worker_group)
        return started

    def _end_workers(self, worker_group: WorkerGroup) -> None:
        """Kill the processes: they wait for the lost one, or are stopped, and have nothing to save."""
        for worker in worker_group.workers:
            with suppress(ProcessLookupError):
                os.kill(worker.id, signal.SIGKILL)

    def _monitor_workers(self, worker_group: WorkerGroup) -> RunResult:
        self._asked_s = None
        result: RunResult = super()._monitor_workers(worker_group)
        if result.state is WorkerState.HEALTHY:
            self._asked_s = time.monotonic()
        if result.state in (WorkerState.FAILED, WorkerState.UNHEALTHY):
            failures = {rank: Failure(one.pid, one.exitcode) for rank, one in result.failures.items()}
            self.lost = what_was_lost(failures, self._folder)
            self._left -= 1
            if self._left >= 0:
                number = self._restarts - self._left
                self._warn(f"{self.lost}; going on from the last checkpoint (restart {number} of {self._restarts})")
            self._end_workers(worker_group)
        return result


def _meeting_point(cluster: Cluster) -> Any:
    """Where the machines find each other: a store of PyTorch's on machine 0, which listens on one interface.
    RendezvousError where machine 0 does not answer; UsageError where its port is taken."""
    own, keeps = own_address(cluster), cluster.node_rank == 0
    address, port, handle = own if keeps else cluster.address, cluster.port, None
    if keeps:
        taken = listener(cluster, own)
        port, handle = taken.getsockname()[1], taken.detach()  # the store's from now on
    limit_s = max(1, round(min(cluster.timeout_s, 60)))
    try:
        store = dist.TCPStore(  # type: ignore[attr-defined]
            address,
            port,
            is_master=keeps,
            multi_tenant=True,
            timeout=timedelta(seconds=limit_s),
            master_listen_fd=handle,
        )
    except (ValueError, RuntimeError) as error:
        raise RendezvousConnectionError("machine 0 does not answer") from error
    parameters = RendezvousParameters(
        backend="c10d",
        endpoint=f"{address}:{port}",
        run_id="taolite",
        min_nodes=cluster.least_nodes,
        max_nodes=cluster.nodes,
        local_addr=own,
        join_timeout=round(max(cluster.timeout_s, _JOINING_S)),
    )
    return create_handler(store, C10dRendezvousBackend(store, parameters.run_id), parameters)
