"""What the programs of jetson-inference and pytorch-ssd share: the key, inputs, runs to resume, and the flags that
imagenet and detectnet have in common."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from taolite.cli.parsing import TaoParser, whole, without_effect
from taolite.cli.progress import FRAME, Terminal
from taolite.errors import PathError
from taolite.events import Progress

if TYPE_CHECKING:
    from taolite.artifacts.keys import Key
    from taolite.media.sources import Source

__all__ = ["CAMERA", "OPEN_KEY", "add_key", "add_stream", "key_of", "ours", "paced", "place", "resume_place"]

_Seen = TypeVar("_Seen")

OPEN_KEY = "nvidia_tlt"
"""The key that seals models where none is given. It is public: NVIDIA's published models use it."""

CAMERA = "/dev/video0"
"""The input of imagenet and detectnet where none is given."""

_STREAM = (
    "--width", "--height", "--input-width", "--input-height", "--input-rate", "--framerate", "--input-codec",
    "--input-decoder", "--input-flip", "--flip-method", "--input-loop", "--loop", "--input-save", "--output-save",
    "--input-latency", "--output-latency", "--output-codec", "--codec", "--output-encoder", "--bitrate",
    "--num-buffers", "--stun-server", "--ssl-key", "--ssl-cert", "--batch-size", "--log-level", "--log-file",
)  # fmt: skip
_SWITCHES = ("--headless", "--no-display", "--maximized", "--fullscreen", "--profile", "--verbose", "--debug")


class _Refused(argparse.Action):
    """A flag for something that taolite does not have; `const` says what to give instead."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        raise argparse.ArgumentError(self, f"{values}: {self.const}")


def add_key(add: Any) -> None:
    """Add -k with `add`, a parser's or a group's `add_argument`."""
    text = f"key that seals and opens models: KEY, @FILE, or the variable TAOLITE_KEY (default: {OPEN_KEY})"
    add("-k", "--key", metavar="KEY", help=text)


def add_stream(parser: TaoParser) -> None:
    """Add the input and display flags of imagenet and detectnet (reference/jetson_workflows.md 8, 9, 11)."""
    add = parser.add_argument
    text = f"picture, folder, quoted pattern, video or camera (default: {CAMERA})"
    add("input", nargs="?", default=CAMERA, metavar="IN", help=text)
    add("output", nargs="?", metavar="OUT", help="annotated pictures: file, name with %%i in it, folder or video")
    whole(add("--camera", metavar="N", help="camera to read instead of IN: a number or /dev/videoN"))
    refused = "taolite downloads no models; give --model FILE and --labels FILE"
    whole(add("--network", action=_Refused, const=refused, help=argparse.SUPPRESS))
    whole(add("--prototxt", action=_Refused, const="Caffe models are not read; give an ONNX", help=argparse.SUPPRESS))
    whole(*without_effect(parser, *_STREAM), *without_effect(parser, *_SWITCHES, values=0))


def paced(frames: Iterable[_Seen], source: Source, name: str) -> Iterator[_Seen]:
    """Pass on `frames`; for a video or a camera, print its progress and speed on stderr once a second."""
    with Terminal(bars=False) as show:
        for number, seen in enumerate(frames, start=1):
            yield seen
            if source.kind != "pictures":
                show(Progress(name, number, source.total or number, FRAME))


def place(text: str) -> str:
    """The path of `text`, a URI of jetson-utils: `csi://0` and `v4l2:///dev/video0` are cameras."""
    scheme, found, rest = text.partition("://")
    if not found or scheme not in ("csi", "v4l2", "file"):
        return text
    return rest


def key_of(option: str | None) -> Key:
    """The key given by flag or environment, else the open key."""
    from taolite.artifacts.keys import Key, find_key_if_given

    return find_key_if_given(option) or Key(OPEN_KEY)


def resume_place(what: str | None, root: Path, *, theirs: str, newest: str) -> Path | None:
    """What --resume means: `root` for the run in it, a file of weights to start from, or None.

    A checkpoint that `root`'s run wrote means that run, which resumes from its newest state. For another run's folder,
    the file `newest` in it is used. A name that ends with `theirs` means our file where only ours exists.
    """
    if what is None:
        return None
    holds_run = (root / "manifest.json").is_file()
    path = root if what in ("last", "best") else ours(Path(what).expanduser(), theirs)
    if path.is_dir():
        if path.absolute() != root.absolute():
            path = path / newest
        elif holds_run:
            return root
    if not path.is_file():
        raise PathError(f"--resume {what}: no run and no weights there ({path}); leave --resume out to start a new run")
    if holds_run and path.suffix == ".tlt" and root.absolute() in path.absolute().parents:
        return root
    return path.absolute()


def ours(path: Path, theirs: str) -> Path:
    """`model_best.tlt` for `model_best.pth.tar`, whose ending is `theirs`, where only the `.tlt` exists."""
    twin = path.with_name(path.name.removesuffix(theirs) + ".tlt")
    return twin if path.name.endswith(theirs) and twin.is_file() and not path.is_file() else path
