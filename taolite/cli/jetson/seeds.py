"""`--seeds N` of train.py and train_ssd.py: the same command with one seed after the other."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from taolite.cli import processes
from taolite.errors import UsageError

if TYPE_CHECKING:
    from taolite.stages.training.train import TrainReport

__all__ = ["in_processes", "run_seeds"]

_SEED = 42  # where --seed is not given


def in_processes(run: Callable[[argparse.Namespace], int], options: argparse.Namespace) -> int:
    """`processes.in_processes`; UsageError for --seeds with more than one process."""
    if options.seeds is not None and options.gpus * options.num_nodes > 1:
        raise UsageError("--seeds with several processes: train one seed at a time with --seed")
    return processes.in_processes(run, options)


def run_seeds(options: argparse.Namespace, train: Callable[[argparse.Namespace], TrainReport], *, seed: str) -> int:
    """Call `train` with the options of each seed, and print the scores. `seed`: the name of the option --seed.

    Each run continues where it stopped, so --resume is not for it: UsageError.
    """
    from taolite.cli.render import seeds_block
    from taolite.stages.training.seeds import each_seed

    if options.resume is not None:
        raise UsageError("--seeds with --resume: repeat the command without --resume, and each run continues")

    def run(number: int, folder: Path) -> TrainReport:
        print(f"=> seed {number}: {folder}", flush=True)
        return train(argparse.Namespace(**{**vars(options), seed: number, "model_dir": str(folder), "seeds": None}))

    first = getattr(options, seed)
    root = Path(options.model_dir).expanduser()
    print(seeds_block(each_seed(_SEED if first is None else first, options.seeds, root, run)))
    return 0
