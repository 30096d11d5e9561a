"""`taolite demo DIR`: labelled pictures for a first detector, and the commands from them to a pruned, sealed export."""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from taolite.cli.parsing import TaoParser
from taolite.cli.values import count
from taolite.wording import counted

__all__ = ["configure"]

_KEY = "tlt_encode"  # the tutorials' key: what the demonstration makes is no secret
_FEWEST = 12  # pictures: a fifth is held out, and 8 are needed for training
_GROUP = {"detectnet_v2": ("detectnet",), "taolite": ()}
"""The words behind `taolite` that a program's name stands for."""


def configure(parser: TaoParser) -> None:
    """Add the arguments of `taolite demo`."""
    add = parser.add_argument
    add("folder", type=Path, metavar="DIR", help="new folder for pictures, specs and models")
    add("--pictures", type=count(_FEWEST), default=100, metavar="N", help="pictures to draw (default: 100)")
    add("--epochs", type=count(1), default=20, metavar="N", help="epochs of both trainings (default: 20)")
    add("--run", dest="also_run", action="store_true", help="run the commands (default: print them)")
    parser.epilog = (
        "--run needs the extra train. With --epochs 2 it takes a minute or two, and the scores mean nothing."
    )
    parser.set_defaults(run=_demo)


def _demo(options: argparse.Namespace) -> int:
    from taolite.cli.progress import Terminal
    from taolite.stages.demo import draw_pictures

    folder: Path = options.folder
    with Terminal() as show:
        objects = draw_pictures(folder / "pictures", count=options.pictures, listener=show)
    said = ", ".join(counted(number, name) for name, number in objects.items())
    print(f"{folder / 'pictures'}: {counted(options.pictures, 'picture')}, labelled in labelme's format: {said}")
    commands = list(_commands(folder, options.epochs))
    if options.also_run:
        return _run(commands, folder)
    print("next:\n" + "\n".join(f"  {shlex.join(command)}" for command in commands))
    return 0


def _commands(folder: Path, epochs: int) -> Iterator[list[str]]:
    """The life of a detector, from labels to pictures with boxes."""
    made = folder / "experiment"
    trained, retrained = (made / run / "weights" / "detector.tlt" for run in ("trained", "retrained"))
    key = ("-k", _KEY)

    def line(program: str, *words: str | Path) -> list[str]:
        return [program, *map(str, words)]

    yield line("taolite", "spec", "new", "detectnet", folder / "pictures", "-o", made, "--epochs", str(epochs))
    for part in ("train", "val"):
        spec, records = made / f"tfrecords_{part}.txt", made / "tfrecords" / part
        yield line("detectnet_v2", "dataset_convert", "-d", spec, "-o", records)
    yield line("detectnet_v2", "train", "-e", made / "train.txt", "-r", made / "trained", "-n", "detector", *key)
    yield line("detectnet_v2", "evaluate", "-e", made / "train.txt", "-m", trained, *key)
    pruned = made / "pruned" / "detector.tlt"
    yield line(
        "detectnet_v2", "prune", "-m", trained, "-o", pruned, "-eq", "union", "-nf", "64", "--target", "0.2", *key
    )
    yield line("detectnet_v2", "train", "-e", made / "retrain.txt", "-r", made / "retrained", "-n", "detector", *key)
    yield line("detectnet_v2", "evaluate", "-e", made / "retrain.txt", "-m", retrained, *key)
    export = made / "detector.etlt"
    yield line("detectnet_v2", "export", "-m", retrained, "-o", export, *key)
    pictures = made / "data" / "val" / "image_2"
    found = made / "found"
    yield line(
        "detectnet_v2", "inference", "-e", made / "inference.txt", "-i", pictures, "-o", found, "-m", export, *key
    )


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
    print(f"\npictures with boxes: {folder / 'experiment' / 'found' / 'images_annotated'}")
    print(f"total: {minutes} min {seconds} s")
    return 0
