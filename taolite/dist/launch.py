"""Start one command as several processes that train together, on this machine or on several, and start all of them
again when one is lost.

PyTorch's own launcher does it (`taolite.dist.elastic`). Parts of it that we need are private, and may change with any
PyTorch; with one that has other parts, `taolite.dist.plain` starts the processes.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol

import torch

from taolite.cores import usable
from taolite.dist import plain
from taolite.dist.cluster import SAVING_S, Cluster, own_address
from taolite.dist.listening import interface_of
from taolite.dist.pulse import MACHINE, OUTCOMES, noted
from taolite.dist.secret import offered
from taolite.errors import PathError, StoppedError, TaoliteError, TrainingError, UsageError
from taolite.wording import counted

__all__ = ["Cluster", "launch"]

_ERRORS: Mapping[str, type[TaoliteError]] = {"StoppedError": StoppedError, "PathError": PathError}


class _Run(Protocol):
    """Start the processes of this machine and watch them. Returns "" when all are done, or, after more losses than
    `cluster.restarts`, what was lost. Raises TaoliteError."""

    def __call__(
        self,
        command: Sequence[str],
        cluster: Cluster,
        *,
        folder: Path,
        warn: Callable[[str], None],
        abandon: Callable[[str], None],
    ) -> str: ...


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
    run = _launcher(cluster, warn)
    if run is plain.run and cluster.nodes > 1:
        cluster = replace(cluster, restarts=0)
    with (
        TemporaryDirectory(prefix="taolite-launch-") as folder,
        _environment(cluster, Path(folder)),
        offered(secret),
    ):
        try:
            lost = run(command, cluster, folder=Path(folder), warn=warn, abandon=abandon)
        except TaoliteError:
            _raise_final(Path(folder))  # a process knows more
            raise
        _raise_final(Path(folder))
        if lost:
            raise TrainingError(
                f"{lost}; it was started again {counted(cluster.restarts, 'time')} (--max_restarts). The same command "
                "goes on from the last checkpoint"
            )


def _launcher(cluster: Cluster, warn: Callable[[str], None]) -> _Run:
    """PyTorch's launcher, or ours, with a warning, where PyTorch's has other parts than are needed."""
    try:
        from taolite.dist import elastic
    except ImportError as error:
        lost = "; a lost process ends this training, and the same command continues it" if cluster.nodes > 1 else ""
        warn(
            f"PyTorch {torch.__version__} has another launcher than taolite knows ({error}): taolite starts the "
            f"processes itself{lost}"
        )
        return plain.run
    return elastic.run


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
    wanted = {
        "OMP_NUM_THREADS": str(max(1, usable() // cluster.gpus)),
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",  # a start has a store of its own: what an earlier one left is gone
        "TORCH_ELASTIC_SHUTDOWN_TIMEOUT": str(SAVING_S),
    }
    if name := interface_of(own_address(cluster)):
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
