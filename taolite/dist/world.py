"""The processes that train one model together, and what they tell each other (docs/decisions/0005-distribution.md).

PyTorch's launcher starts the processes and gives each its rank in the environment; `joined` connects them. Only the
writer, the first process of machine 0, writes files. After every step all processes have the same weights, statistics
and state.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist

from taolite.dist import wire
from taolite.dist.listening import bound
from taolite.dist.pulse import MACHINE, LostError, Pulse, is_writer

__all__ = ["ALONE", "World", "joined", "launched"]

T = TypeVar("T")


@dataclass(frozen=True)
class World:
    """One process of a training: `rank` of `size`, and `local_rank` of `local_size` on this machine. With one process
    nothing is sent, and every method returns its argument."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1
    writer: int = 0  # rank of the process that writes files and prints
    pulse: Pulse | None = None

    @property
    def writes(self) -> bool:
        """Whether this process is the writer, which alone writes files and prints."""
        return self.rank == self.writer

    def share(self, count: int) -> range:
        """This process's slice of a batch of `count` images; slices differ by one image at most."""
        return range(self.rank * count // self.size, (self.rank + 1) * count // self.size)

    def total(self, tensor: torch.Tensor) -> torch.Tensor:
        """The sum over all processes, in place."""
        return self._reduced(tensor, dist.ReduceOp.SUM)

    def largest(self, tensor: torch.Tensor) -> torch.Tensor:
        """The largest over all processes, element by element, in place."""
        return self._reduced(tensor, dist.ReduceOp.MAX)

    def totals(self, numbers: Sequence[float]) -> list[float]:
        """The sums over all processes, in float64."""
        if self.size == 1:
            return list(numbers)
        sums: list[float] = self.total(torch.tensor(numbers, dtype=torch.float64)).tolist()
        return sums

    def any(self, flag: bool) -> bool:
        """Whether `flag` is set in any process."""
        return self.totals([float(flag)])[0] > 0

    def side_by_side(self, tensor: torch.Tensor) -> torch.Tensor:
        """The tensors of all processes by rank, (size, *shape)."""
        if self.size == 1:
            return tensor[None]
        parts = [torch.empty_like(tensor) for _ in range(self.size)]
        with self._meeting():
            dist.all_gather(parts, tensor)
        return torch.stack(parts)

    def told(self, make: Callable[[], T]) -> T:
        """The value that `make` gives in the writer, in every process. `taolite.dist.wire` says what can be sent."""
        if self.size == 1:
            return make()
        made = make() if self.writes else None
        message = _message(made)
        length = torch.tensor([len(message)])
        with self._meeting():
            dist.broadcast(length, src=self.writer)
            if not self.writes:
                message = torch.empty(int(length), dtype=torch.uint8)
            dist.broadcast(message, src=self.writer)
        return cast("T", made if self.writes else wire.unpack(message.numpy().tobytes()))

    def collected(self, value: T) -> list[T]:
        """In the writer, the values of all processes by rank; in the others, an empty list. `taolite.dist.wire` says
        what can be sent."""
        if self.size == 1:
            return [value]
        message = _message(value)
        lengths = self.side_by_side(torch.tensor(len(message))).tolist()
        padded = torch.zeros(max(lengths), dtype=torch.uint8)  # what is gathered has to be of one size
        padded[: len(message)] = message
        parts = [torch.empty_like(padded) for _ in lengths] if self.writes else None
        with self._meeting():
            dist.gather(padded, parts, dst=self.writer)
        return [
            wire.unpack(part[:length].numpy().tobytes())
            for part, length in zip(parts or (), lengths, strict=bool(parts))
        ]

    def alive(self) -> None:
        """Note progress during long work without a collective operation."""
        if self.pulse is not None:
            self.pulse.moved()

    def _reduced(self, tensor: torch.Tensor, how: dist.ReduceOp.RedOpType) -> torch.Tensor:
        if self.size > 1:
            with self._meeting():
                dist.all_reduce(tensor, op=how)
        return tensor

    @contextmanager
    def _meeting(self) -> Iterator[None]:
        """A collective operation. LostError, naming the process that is missing, where one does not take part."""
        assert self.pulse is not None
        self.pulse.arrived()
        try:
            yield
        except RuntimeError as error:  # gloo's and NCCL's: the connection closed, or the time is up
            raise LostError(self.pulse.missing()) from error
        self.pulse.moved()


def _message(value: Any) -> torch.Tensor:
    """The bytes of `value` as processes send them."""
    return torch.frombuffer(bytearray(wire.pack(value)), dtype=torch.uint8)


ALONE = World()


def launched() -> bool:
    """Whether PyTorch's launcher started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


@contextmanager
def joined(timeout_s: float) -> Iterator[World]:
    """The world of this process: all processes that the launcher started, once they are connected; else `ALONE`.

    A process that does not connect, answer or make progress for `timeout_s` seconds ends the others, which name it.
    """
    if not launched():
        yield ALONE
        return
    rank, size, local_rank, local_size = (
        int(os.environ[name]) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE")
    )
    address, port, limit = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), timedelta(seconds=timeout_s)
    try:
        store = _store(address, port, size, limit, host=rank == 0 and not _is_kept())
        signs = _store(address, port, size, limit, host=False)
    except RuntimeError as error:
        raise LostError(f"rank {rank} on {socket.gethostname()}: rank 0 is not at {address}:{port}") from error
    with Pulse(signs, rank=rank, size=size, timeout_s=timeout_s) as pulse:
        backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
        try:
            dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=limit)
            dist.barrier()
            if is_writer():
                store.set("writer", str(rank))
            writer = int(store.get("writer"))
        except RuntimeError as error:
            raise LostError(pulse.missing()) from error
        try:
            yield World(rank, size, local_rank, local_size, writer, pulse)
        finally:
            dist.destroy_process_group()


def _store(address: str, port: int, size: int, limit: timedelta, *, host: bool) -> Any:
    """A connection to the store of rank 0, which hosts it (`host`). Where our launcher chose `address`, the store
    listens on the interface of that address alone. Our store is new at every start; in torchrun's, which outlives
    restarts, a prefix hides what an earlier start left."""
    options: dict[str, Any] = {"wait_for_workers": False}
    if host and MACHINE in os.environ:
        options["master_listen_fd"] = bound(address, port).detach()  # the store's from now on
    store = dist.TCPStore(address, port, size, host, limit, **options)  # type: ignore[attr-defined]
    if not _is_kept():
        return store
    return dist.PrefixStore(f"taolite/{os.environ['TORCHELASTIC_RESTART_COUNT']}", store)  # type: ignore[attr-defined]


def _is_kept() -> bool:
    """Whether torchrun hosts the store itself."""
    return os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
