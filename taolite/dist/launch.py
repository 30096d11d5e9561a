"""Start one command as several processes that train together, on this machine or on several, with PyTorch's own
launcher (torch.distributed.elastic, what torchrun is): it finds the machines, watches the processes, and starts all of
them again when one is lost.

Every machine runs the same command. Machine 0 hosts the rendezvous store, and its first process is the writer.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.elastic.agent.server.api import RunResult, WorkerGroup, WorkerSpec, WorkerState
from torch.distributed.elastic.agent.server.local_elastic_agent import LocalElasticAgent
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.rendezvous import RendezvousConnectionError, RendezvousError, RendezvousParameters
from torch.distributed.elastic.rendezvous.c10d_rendezvous_backend import C10dRendezvousBackend
from torch.distributed.elastic.rendezvous.dynamic_rendezvous import create_handler

from taolite.dist.listening import bound, interface_of
from taolite.dist.pulse import MACHINE, OUTCOMES, forget, noted
from taolite.dist.secret import offered
from taolite.errors import PathError, StoppedError, TaoliteError, TrainingError, UsageError

__all__ = ["Cluster", "launch"]

_ERRORS: Mapping[str, type[TaoliteError]] = {"StoppedError": StoppedError, "PathError": PathError}
_ASKING_S = 30.0  # beyond the time limit
_JOINING_S = 600.0  # for machines to come, or to come back
_SAVING_S = 120  # that a process told to stop may take to finish its step and save


@dataclass(frozen=True)
class Cluster:
    """The processes of one training.

    gpus: processes on each machine. nodes: machines. least_nodes: machines without which training does not start.
    node_rank: number of this machine, from 0. address, port: where machine 0 hosts the rendezvous store.
    timeout_s: seconds without progress after which a process counts as lost. restarts: how often all processes are
    started again after a loss.
    """

    gpus: int
    nodes: int = 1
    least_nodes: int = 1
    node_rank: int = 0
    address: str = ""
    port: int = 29400
    timeout_s: float = 600.0
    restarts: int = 3


def launch(
    command: Sequence[str],
    cluster: Cluster,
    *,
    warn: Callable[[str], None],
    abandon: Callable[[str], None],
    secret: str | None = None,
) -> None:
    """Run `command` until its processes are done; they find each other with `taolite.dist.world.joined`.

    `secret` is what the processes get from `taolite.dist.secret.handed_over`: a key belongs there, not in `command`.
    `abandon` is called with a message, in a thread of its own, when the rendezvous store cannot be reached while a
    request to it is pending: such a request never returns, so `abandon` has to end this process.

    Raises one error for all processes: the TaoliteError that one of them met; StoppedError after a stop with a saved
    checkpoint; TrainingError after more losses than `restarts`; UsageError.
    """
    _check(cluster, warn)
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # `warn` says it in fewer words
    with (
        TemporaryDirectory(prefix="taolite-launch-") as folder,
        _environment(cluster, Path(folder)),
        offered(secret),
    ):
        try:
            rendezvous = _meeting_point(cluster)
            agent = _Agent(command, rendezvous, cluster, folder=Path(folder), warn=warn)
            agent.guard(abandon)
            result = agent.run()
        except SignalException as error:
            _raise_final(Path(folder))
            raise StoppedError("before anything was saved; run the same command again") from error
        except RendezvousError as error:
            _raise_final(Path(folder))
            raise TrainingError(
                f"{cluster.address}:{cluster.port}: the {cluster.nodes} machines did not all connect ({error}); run "
                "the same command on all of them, each with its --node_rank, and see that the port of machine 0 is "
                "open. What was saved stays"
            ) from error
        _raise_final(Path(folder))
        rendezvous.shutdown()
        if result.is_failed():
            raise TrainingError(
                f"{agent.lost}; it was started again {cluster.restarts} times (--max_restarts). The same command goes "
                "on from the last checkpoint"
            )


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
            local_addr=_own_address(cluster),
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
            self.lost = _what_was_lost(result, self._folder)
            self._left -= 1
            if self._left >= 0:
                number = self._restarts - self._left
                self._warn(f"{self.lost}; going on from the last checkpoint (restart {number} of {self._restarts})")
            self._end_workers(worker_group)
        return result


def _what_was_lost(result: RunResult, folder: Path) -> str:
    """Which process failed and how, as text: what the other processes found out, or how the first one ended."""
    killed = [one for one in result.failures.values() if one.exitcode < 0]
    known = [ending.text for ending in noted(folder)]
    if not killed and known:
        return known[0]
    rank, first = next(((rank, one) for rank, one in result.failures.items() if one in killed or not killed))
    how = f"ended by {signal.Signals(-first.exitcode).name}" if first.exitcode < 0 else f"ended with {first.exitcode}"
    return f"rank {rank} on {socket.gethostname()} (process {first.pid}) was {how}"


def _raise_final(folder: Path) -> None:
    """Raise the final error that a process left in `folder`, if there is one."""
    final = [ending for ending in noted(folder) if ending.final]
    if final:
        raise _ERRORS.get(final[0].kind, TaoliteError)(final[0].text)


def _check(cluster: Cluster, warn: Callable[[str], None]) -> None:
    if cluster.nodes > 1 and not cluster.address:
        raise UsageError(f"--num_nodes {cluster.nodes}: give --master_addr, the address of machine 0, on all of them")
    if not 0 <= cluster.node_rank < cluster.nodes:
        raise UsageError(f"--node_rank {cluster.node_rank}: machines are counted from 0 to {cluster.nodes - 1}")
    if cluster.least_nodes > cluster.nodes:
        raise UsageError(f"--min_nodes {cluster.least_nodes} is more than --num_nodes {cluster.nodes}")
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if not found and cluster.gpus > 1:
        warn(f"--gpus {cluster.gpus}: no GPU here; {cluster.gpus} processes share the CPU, which is no faster than one")
    if found and found < cluster.gpus:
        raise UsageError(f"--gpus {cluster.gpus}: this machine has GPUs 0 to {found - 1}")


@contextmanager
def _environment(cluster: Cluster, folder: Path) -> Iterator[None]:
    """Environment variables for the processes; variables that the user has set are kept."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    wanted = {
        "OMP_NUM_THREADS": str(max(1, cores // cluster.gpus)),
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",  # a start has a store of its own: what an earlier one left is gone
        "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(_SAVING_S),
    }
    if name := interface_of(_own_address(cluster)):
        wanted |= {"GLOO_SOCKET_IFNAME": name, "NCCL_SOCKET_IFNAME": name}
    before = dict(os.environ)
    os.environ.update({name: value for name, value in wanted.items() if name not in before})
    os.environ[OUTCOMES] = str(folder)
    os.environ[MACHINE] = str(cluster.node_rank)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _meeting_point(cluster: Cluster) -> Any:
    """Where the machines find each other: a store of PyTorch's on machine 0, which listens on one interface.
    RendezvousError where machine 0 does not answer; UsageError where its port is taken."""
    own, keeps = _own_address(cluster), cluster.node_rank == 0
    address, port, handle = own if keeps else cluster.address, cluster.port, None
    if keeps:
        listener = _listener(cluster, own)
        port, handle = listener.getsockname()[1], listener.detach()  # the store's from now on
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


def _listener(cluster: Cluster, address: str) -> socket.socket:
    try:
        return bound(address, 0 if cluster.nodes == 1 else cluster.port)
    except OSError as error:
        raise UsageError(
            f"--master_port {cluster.port}: this machine cannot listen there ({error.strerror}); choose a free port "
            "and give the same one on all machines"
        ) from error


def _own_address(cluster: Cluster) -> str:
    """This machine's address as the others see it."""
    if cluster.nodes == 1:
        return "127.0.0.1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((cluster.address, cluster.port))  # sends nothing: it only chooses the way
        except OSError as error:
            raise UsageError(f"--master_addr {cluster.address}: no route to this address ({error.strerror})") from error
        return str(probe.getsockname()[0])
