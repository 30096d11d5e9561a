"""The machines and processes of one training, as whoever starts them needs it: who they are, where they meet, and which
of them was lost.

Every machine runs the same command. Machine 0 hosts what the processes meet at, and its first process is the writer.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from taolite.dist.listening import bound
from taolite.dist.pulse import noted
from taolite.errors import UsageError

__all__ = ["SAVING_S", "Cluster", "Failure", "listener", "own_address", "what_was_lost"]

SAVING_S = 120
"""Seconds that a process told to stop may take to finish its step and save."""


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


@dataclass(frozen=True)
class Failure:
    """A process of this machine that failed. code: its exit code; below 0, the number of the signal that ended it."""

    pid: int
    code: int


def own_address(cluster: Cluster) -> str:
    """This machine's address as the others see it. UsageError where there is no route to machine 0."""
    if cluster.nodes == 1:
        return "127.0.0.1"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect((cluster.address, cluster.port))  # sends nothing: it only chooses the way
        except OSError as error:
            raise UsageError(f"--master_addr {cluster.address}: no route to this address ({error.strerror})") from error
        return str(probe.getsockname()[0])


def listener(cluster: Cluster, address: str) -> socket.socket:
    """A socket that listens at `address`, of machine 0: on a free port where it is alone. UsageError where the port of
    several machines is taken."""
    try:
        return bound(address, 0 if cluster.nodes == 1 else cluster.port)
    except OSError as error:
        raise UsageError(
            f"--master_port {cluster.port}: this machine cannot listen there ({error.strerror}); choose a free port "
            "and give the same one on all machines"
        ) from error


def what_was_lost(failures: Mapping[int, Failure], folder: Path) -> str:
    """Which process failed and how, as text: what the other processes found out, or how the first one ended.
    `failures` by rank, one or more; `folder` has the endings that processes left."""
    own = {rank: one for rank, one in failures.items() if one.code != -signal.SIGTERM}  # PyTorch sends it to the others
    killed = {rank: one for rank, one in own.items() if one.code < 0}
    known = [ending.text for ending in noted(folder)]
    if not killed and known:
        return known[0]
    rank, first = next(iter((killed or own or failures).items()))
    how = f"ended by {signal.Signals(-first.code).name}" if first.code < 0 else f"ended with {first.code}"
    return f"rank {rank} on {socket.gethostname()} (process {first.pid}) was {how}"
