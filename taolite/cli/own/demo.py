"""`taolite demo DIR`: labelled pictures for a first detector, and the commands from them to a pruned, sealed export."""

from __future__ import annotations

import argparse
import importlib.util
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from taolite.cli.parsing import TaoParser
from taolite.cli.values import count
from taolite.errors import UsageError
from taolite.extras import install_command
from taolite.wording import counted

__all__ = ["configure"]

_KEY = "tlt_encode"  # the tutorials' key: what the demonstration makes is no secret
_FEWEST = 10  # pictures, a fifth of them for validation
_GROUP = {"detectnet_v2": ("detectnet",), "taolite": ()}
"""The words behind `taolite` that a program's name stands for."""


def configure(parser: TaoParser) -> None:
    """Add the arguments of `taolite demo`."""
    add = parser.add_argument
    add("folder", type=Path, metavar="DIR", help="new folder for pictures, specs and models")
    add("--pictures", type=count(_FEWEST), default=100, metavar="N", help="pictures to draw (default: 100)")
    add("--epochs", type=count(1), default=40, metavar="N", help="epochs of each of the two trainings (default: 40)")
    add("--run", dest="also_run", action="store_true", help="run the commands (default: print them)")
    parser.epilog = (
        "--run needs the extra train. With --epochs 2 it takes a minute or two, and the scores mean nothing."
    )
    parser.set_defaults(run=_demo)


def _demo(options: argparse.Namespace) -> int:
    from taolite.cli.progress import Terminal
    from taolite.stages.demo import new_demo

    folder: Path = options.folder
    if options.also_run and importlib.util.find_spec("torch") is None:
        raise UsageError(f"--run needs torch, which is not installed; run {install_command('train')}")
    with Terminal() as show:
        objects = new_demo(folder, count=options.pictures, epochs=options.epochs, listener=show)
    said = ", ".join(counted(number, name) for name, number in objects.items())
    print(f"{folder / 'pictures'}: {counted(options.pictures, 'picture')}, labelled in labelme's format: {said}")
    commands = list(_commands(folder))
    if options.also_run:
        return _run(commands, folder)
    print("next:\n" + "\n".join(f"  {shlex.join(command)}" for command in commands))
    return 0


def _commands(folder: Path) -> Iterator[list[str]]:
    """The life of a detector, from labels to pictures with boxes."""
    specs, records = folder / "specs", folder / "tfrecords" / "demo"
    trained, retrained = (folder / run / "weights" / "detector.tlt" for run in ("trained", "retrained"))
    pruned, export = folder / "pruned" / "detector.tlt", folder / "detector.etlt"

    def line(*words: str | Path) -> list[str]:
        return [*map(str, words)]

    def detectnet(*words: str | Path) -> list[str]:
        return line("detectnet_v2", *words, "-k", _KEY)

    yield line("taolite", "dataset", "convert", folder / "pictures", folder / "kitti", "--to", "kitti")
    yield line("detectnet_v2", "dataset_convert", "-d", specs / "tfrecords.txt", "-o", records)
    yield detectnet("train", "-e", specs / "train.txt", "-r", folder / "trained", "-n", "detector")
    yield detectnet("evaluate", "-e", specs / "train.txt", "-m", trained)
    yield detectnet("prune", "-m", trained, "-o", pruned, "-eq", "union", "-nf", "32", "--target", "0.2")
    yield detectnet("train", "-e", specs / "retrain.txt", "-r", folder / "retrained", "-n", "detector")
    yield detectnet("evaluate", "-e", specs / "retrain.txt", "-m", retrained)
    yield detectnet("export", "-m", retrained, "-o", export)
    pictures, found = folder / "unseen", folder / "found"
    yield detectnet("inference", "-e", specs / "inference.txt", "-i", pictures, "-o", found, "-m", export)


def _run(commands: Sequence[Sequence[str]], folder: Path) -> int:
    """Run each command in a process of its own; stop at the first that does not succeed, with its exit code."""
    began = time.monotonic()
    for number, (program, *words) in enumerate(commands, 1):
        print(f"\n== {number} of {len(commands)}: {shlex.join((program, *words))}", flush=True)
        started = time.monotonic()
        done = subprocess.run([sys.executable, "-m", "taolite", *_GROUP[program], *words])
        if done.returncode:
            return done.returncode
        print(f"   {time.monotonic() - started:.0f} s", flush=True)
    minutes, seconds = divmod(round(time.monotonic() - began), 60)
    print(f"\npictures with boxes: {folder / 'found' / 'images_annotated'}")
    print(f"total: {minutes} min {seconds} s")
    return 0
