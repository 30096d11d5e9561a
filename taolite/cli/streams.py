"""What `taolite run` and jetson-inference's imagenet and detectnet share: flags of outputs and overlays, and
Ctrl-C, which ends a run and finishes its files."""

from __future__ import annotations

import argparse
import re
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from taolite.cli import inputs
from taolite.cli.parsing import TaoParser, near
from taolite.cli.progress import FRAME
from taolite.cli.values import count
from taolite.events import Progress

if TYPE_CHECKING:
    from taolite.events import Listener
    from taolite.media.output import OutputOptions
    from taolite.media.sources import Source
    from taolite.stages.inference.listeners import Drawing
    from taolite.stages.inference.look import Seen
    from taolite.stages.inference.models import Model
    from taolite.stages.inference.tally import RunReport
    from taolite.stages.inference.watch import Viewing

__all__ = ["OVERLAYS", "Outcome", "add_streams", "overlay", "play"]

OVERLAYS = ("box", "lines", "labels", "conf", "tracking", "trails", "fps")
"""The words of --overlay, besides none and default; `taolite.media.overlay.PARTS`."""


def add_streams(parser: TaoParser, **aliases: tuple[str, ...]) -> None:
    """Add the flags of inputs and outputs. aliases: further names of a flag, by its name without dashes."""
    inputs.add_input(parser, **aliases)
    group = parser.add_argument_group("output")

    def add(flag: str, **options: Any) -> None:
        inputs.add_named(group, flag, aliases, **options)

    add("--headless", action="store_true", help="open no window")
    text = "of a video or stream: h264, h265, vp8, vp9, mpeg4, mjpeg (default: h264)"
    add("--output-codec", default="h264", metavar="CODEC", help=text)
    add("--bitrate", type=count(1), default=4_000_000, metavar="B", help="of these, bits a second (default: 4000000)")


@dataclass(frozen=True)
class Outcome:
    """What a run adds up to, the frames that its outputs lost, and whether Ctrl-C ended it."""

    report: RunReport
    lost: int
    stopped: bool


def play(
    model: Model,
    source: Source,
    viewing: Viewing,
    places: Sequence[str],
    *,
    drawing: Drawing,
    options: argparse.Namespace,
    name: str,
    take: Callable[[Seen, Path | None], None],
    show: Listener,
) -> Outcome:
    """Run the model over the source until it ends, its window is closed, or Ctrl-C.

    Args:
        places: where annotated frames go, as the user named them.
        options: the parsed flags of `add_streams`.
        name: the name of the run, for its progress and its window.
        take: called for each frame with the file it was written to.
        show: is told of the progress, and of lost frames and cameras.
    """
    from taolite.media.output import open_outputs
    from taolite.stages.inference.tally import Tally
    from taolite.stages.inference.watch import watch

    unit, tally = "picture" if source.kind == "pictures" else FRAME, Tally()
    with ExitStack() as stack:
        hold = source.kind == "pictures" and all(place.startswith("display") for place in places)
        output = open_outputs(places, source, stack, options=_output_options(options, name, hold), listener=show)
        ended = stack.enter_context(_ended_by_interrupt(source))
        frames = watch(model, source, viewing, drawing=drawing if places else None, ended=ended)
        for done, seen in enumerate(stack.enter_context(closing(frames)), start=1):
            began_s = time.perf_counter()
            path = output.write(seen.frame, seen.picture) if seen.picture is not None else None
            take(seen, path)
            tally.add(seen, write_s=time.perf_counter() - began_s)
            show(Progress(name, done, max(source.total or 0, done), unit))
            if not output.is_open:
                break
    return Outcome(tally.report(), output.lost, ended.is_set())


def _output_options(options: argparse.Namespace, title: str, hold: bool) -> OutputOptions:
    """hold: a window stays at the end until it is closed, as that of a picture has to."""
    from taolite.media.output import OutputOptions

    return OutputOptions(
        codec=options.output_codec,
        bitrate=options.bitrate,
        headless=options.headless,
        title=title,
        fps=options.input_rate,
        maximized=getattr(options, "maximized", False),
        fullscreen=getattr(options, "fullscreen", False),
        hold=hold,
    )


def overlay(text: str) -> frozenset[str]:
    """An argument type: words of `OVERLAYS` with commas or | between; none is nothing. `default` is given back as it
    is: each command has its own. Plurals and singulars are accepted, as jetson-inference does."""
    words = [word.strip().lower() for word in re.split(r"[,|]", text) if word.strip()]
    known = {name.rstrip("s"): name for name in (*OVERLAYS, "default", "none")}
    known |= {"boxe": "box", "confidence": "conf", "track": "tracking", "fp": "fps"}
    found = [known.get(word.rstrip("s"), "") for word in words]
    if not words or "" in found:
        bad = words[found.index("")] if words else text
        hint = f"; did you mean {meant}?" if (meant := near(bad, (*OVERLAYS, "none"))) else ""
        raise argparse.ArgumentTypeError(f"{bad!r} is not one of {', '.join(OVERLAYS)}, none{hint}")
    return frozenset(found) - {"none"}


@contextmanager
def _ended_by_interrupt(source: Source) -> Iterator[threading.Event]:
    """Ctrl-C sets the event and stops the source, so that the frames on their way are finished. A second one is
    KeyboardInterrupt, as usual."""
    ended = threading.Event()

    def end(signum: int, frame: FrameType | None) -> None:
        if ended.is_set():
            raise KeyboardInterrupt
        ended.set()
        source.stop()

    if threading.current_thread() is not threading.main_thread():
        yield ended
        return
    before = signal.signal(signal.SIGINT, end)
    try:
        yield ended
    finally:
        signal.signal(signal.SIGINT, before)
