"""Training in several processes, on one machine or many: the flags, the launch, and how one of the processes ends;
and the threads of each.

The user's command starts the same command once for each GPU; in those, `world_of` connects the processes.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any

from taolite.cli.parsing import positive, whole, without_keys
from taolite.cores import allowed, usable
from taolite.errors import TaoliteError

if TYPE_CHECKING:
    from taolite.dist.world import World

__all__ = ["TITLE", "Add", "add_flags", "in_processes", "set_threads", "threads_flag", "world_of"]


Add = Callable[..., Any]
"""The `add_argument` of a parser or of a group."""

TITLE = "several machines, with the same command on each (--gpus is per machine)"
"""Title of the group of `add_flags`."""


def add_flags(add: Add) -> None:
    """Add the flags of several machines with `add`, a parser's `add_argument` or one like it."""
    add("--num_nodes", type=int, default=1, metavar="N", help="number of machines (default: 1)")
    text = "continue while at least N machines remain (default: all of --num_nodes)"
    add("--min_nodes", type=int, metavar="N", help=text)
    add("--node_rank", type=int, default=0, metavar="I", help="number of this machine; machine 0 writes (default: 0)")
    add("--master_addr", default="", metavar="HOST", help="address of machine 0")
    add("--master_port", type=int, default=29400, metavar="PORT", help="free port of machine 0 (default: 29400)")
    text = "seconds until a missing process counts as lost (default: 600)"
    add("--dist_timeout", type=float, default=600.0, metavar="S", help=text)
    text = "restarts from the last checkpoint after a lost process (default: 3)"
    add("--max_restarts", type=int, default=3, metavar="N", help=text)


def threads_flag(add: Add) -> None:
    """Add --threads, which `set_threads` heeds."""
    text = "threads each process computes with (default: OMP_NUM_THREADS, or every core this process may use)"
    whole(add("--threads", type=int, metavar="N", help=text))


def set_threads(options: argparse.Namespace) -> None:
    """Let torch compute with --threads; without the flag, with no more than the control group gives time for.

    Call it before torch is imported. Several processes share the cores among them (`taolite.dist.launch`).
    """
    threads = positive("--threads", getattr(options, "threads", None))
    alone = getattr(options, "gpus", 1) * getattr(options, "num_nodes", 1) == 1
    if threads is None and alone and "OMP_NUM_THREADS" not in os.environ and usable() < allowed():
        threads = usable()
    if threads is not None:
        os.environ["OMP_NUM_THREADS"] = str(threads)
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(threads)


def in_processes(run: Callable[[argparse.Namespace], int], options: argparse.Namespace) -> int:
    """Launch as many processes as asked for; in a launched process, or with one process only, run the training here."""
    if os.environ.get("TORCHELASTIC_RUN_ID"):
        from taolite.dist.pulse import is_writer
        from taolite.dist.secret import handed_over

        if (key := handed_over()) is not None:
            options.key = key
        with ExitStack() as stack:
            if not is_writer():
                null = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
                stack.enter_context(redirect_stdout(null))
                stack.enter_context(redirect_stderr(null))
            return run(options)
    if options.gpus * options.num_nodes == 1:
        return run(options)
    from taolite.artifacts.keys import variable
    from taolite.cli.keys import option_of
    from taolite.dist.launch import Cluster, launch

    cluster = Cluster(
        gpus=options.gpus,
        nodes=positive("--num_nodes", options.num_nodes) or 1,
        least_nodes=positive("--min_nodes", options.min_nodes) or options.num_nodes,
        node_rank=options.node_rank,
        address=options.master_addr,
        port=options.master_port,
        timeout_s=options.dist_timeout,
        restarts=options.max_restarts,
    )
    launch(
        [sys.executable, "-m", "taolite", *without_keys(options.given)],
        cluster,
        warn=lambda text: print(f"warning: {text}", file=sys.stderr, flush=True),
        abandon=_end_at_once,
        secret=options.key or option_of(variable()),
    )
    return 0


def _end_at_once(text: str) -> None:
    """End the process from any thread, without waiting for the other threads."""
    print(f"error: {text}", file=sys.stderr, flush=True)
    os._exit(1)


@contextmanager
def world_of(options: argparse.Namespace) -> Iterator[World]:
    """The processes that train together. An error that ends one of several is left for the launching command to report,
    and ends this process."""
    from taolite.dist.pulse import Ending, LostError
    from taolite.dist.world import joined

    try:
        with joined(options.dist_timeout) as world:
            try:
                yield world
            except (TaoliteError, RuntimeError) as error:
                out_of_memory = type(error).__name__ == "OutOfMemoryError"
                if world.pulse is None or not (isinstance(error, TaoliteError) or out_of_memory):
                    raise
                ending = Ending(type(error).__name__, str(error), final=True)
                world.pulse.end(ending)
                raise SystemExit(ending.code) from error
    except LostError as error:
        ending = Ending("LostError", str(error), final=False)
        ending.leave()
        raise SystemExit(ending.code) from error
