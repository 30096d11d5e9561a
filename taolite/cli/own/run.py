"""`taolite run MODEL INPUT [OUTPUT]`: a model over pictures, videos, cameras and streams, live."""

from __future__ import annotations

import argparse
import io
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from taolite.cli import inputs, streams
from taolite.cli.keys import opening_key
from taolite.cli.parsing import TaoParser, mount_flag, pixels_flag, signer_flag
from taolite.cli.settings import set_flag
from taolite.cli.values import count, number
from taolite.engines import runtimes
from taolite.errors import UsageError
from taolite.wording import counted

if TYPE_CHECKING:
    from taolite.events import Event, Listener
    from taolite.media.sources import Source
    from taolite.sample import Detection
    from taolite.stages.inference.listeners import SeenListener
    from taolite.stages.inference.look import Seen
    from taolite.stages.inference.opening import Ready
    from taolite.stages.inference.watch import Viewing
    from taolite.workspace.mounts import Mounts

__all__ = ["configure"]

_TRACKERS = ("bytetrack",)
_USUAL = frozenset({"lines", "labels", "conf", "tracking"})
_EXAMPLES = """examples:
  taolite run model.onnx photos/ out/              annotated pictures
  taolite run model.etlt -k KEY street.mp4 out.mp4 --track --count-line 0,0.5,1,0.5:gate
  taolite run resnet-18 cat.jpg --top 5            a network by its name, results as text
  taolite run model.onnx rtsp://camera/live --headless --json - --quiet
"""


def configure(parser: TaoParser) -> None:
    """Add the arguments of `taolite run`."""
    parser.epilog, parser.formatter_class = _EXAMPLES, argparse.RawDescriptionHelpFormatter
    parser.mixed, parser.optional = True, {"--track": _TRACKERS}
    add = parser.add_argument
    add("model", metavar="MODEL", help=".tlt, .etlt, .onnx, engine, run folder, or a name such as resnet-18")
    text = "picture, folder, quoted pattern, video, camera or address (default: the default camera)"
    add("input", nargs="?", default="", metavar="INPUT", help=text)
    text = "picture, name with %%i in it, folder, video or address (default: a window, where there is a display)"
    add("output", nargs="?", default="", metavar="OUTPUT", help=text)
    add("-k", "--key", metavar="KEY", help="key of a sealed model: KEY, @FILE, or the variable TAOLITE_KEY")
    text = "spec: an inference spec's settings are used; any other describes an ONNX that does not describe itself"
    add("-e", "--spec", metavar="SPEC", help=text)
    set_flag(parser)
    add("--labels", metavar="FILE", help="class names, one a line, for an ONNX that does not name its classes")
    names = [row.name for row in runtimes.RUNTIMES]
    text = f"runtime for an .etlt or .onnx: {', '.join(names)} (default: {runtimes.onnx_runners()[0]})"
    add("--runtime", choices=names, metavar="NAME", help=text)
    text = (
        "least score that is shown (default: detectors 0.5, or the model's best; classes 0.01, tags that of training)"
    )
    add("--threshold", type=number(0, None, least=True), metavar="P", help=text)
    add("--top", type=count(0), metavar="K", help="classes a picture, 0 for all (default: 1; tags: all)")
    add("--batch-size", type=count(1), default=1, metavar="N", help="frames in one batch, not of cameras (default: 1)")
    add("--max-frames", type=count(1), metavar="N", help="end after N frames (default: all)")
    pixels_flag(add)
    mount_flag(add)
    signer_flag(add)
    add("--quiet", action="store_true", help="print neither progress, nor results as text, nor the table at the end")

    add = parser.add_argument_group("results").add_argument
    words = f"{', '.join(streams.OVERLAYS)}, none"
    text = f"what is drawn, commas between: {words} (default: lines,labels,conf,tracking)"
    add("--overlay", type=streams.overlay, default=_USUAL, metavar="WORDS", help=text)
    add("--json", metavar="FILE", help="write one JSON object a frame; - is the standard output")
    add("--csv", metavar="FILE", help="write one row an object")
    add("--labels-dir", metavar="DIR", help="write KITTI labels, one file a frame")

    group = parser.add_argument_group("tracking")
    text = f"give objects numbers over the frames of a video (needs the extra track): {', '.join(_TRACKERS)}"
    group.add_argument("--track", choices=_TRACKERS, metavar="[NAME]", help=text)
    text = "count the tracks that cross a line, in pixels or shares of the frame; repeatable; turns --track on"
    group.add_argument("--count-line", action="append", type=_line, default=[], metavar="x1,y1,x2,y2[:NAME]", help=text)
    streams.add_streams(parser)
    parser.set_defaults(run=_run)


def _line(text: str) -> tuple[str, tuple[float, float, float, float]]:
    """An argument type: a line and its name, "" where it has none."""
    ends, _, name = text.partition(":")
    try:
        x1, y1, x2, y2 = (float(word) for word in ends.split(","))
        fits = min(x1, y1, x2, y2) >= 0 and (x1, y1) != (x2, y2)
    except ValueError:
        fits = False
    if not fits:
        raise argparse.ArgumentTypeError(f"{text!r} needs to be x1,y1,x2,y2 of two points, as in 0,0.5,1,0.5:gate")
    return name, (x1, y1, x2, y2)


def _run(options: argparse.Namespace) -> int:
    from taolite.cli.progress import Terminal
    from taolite.cli.render import run_table
    from taolite.events import Notice, Progress
    from taolite.media.sources import open_source
    from taolite.workspace.mounts import Mounts

    mounts, bad = Mounts.load(options.mount), list[str]()
    with ExitStack() as stack:
        terminal = stack.enter_context(Terminal())

        def show(event: Event) -> None:
            if not (options.quiet and isinstance(event, Progress)):
                terminal(event)

        def unreadable(text: str) -> None:
            bad.append(text)
            show(Notice(text, "warning"))

        place = str(mounts.resolve(options.input)) if options.input.startswith("/") else options.input
        how = inputs.input_options(options)
        source = open_source(place, options=how, on_unreadable=unreadable, listener=show)
        ready = _ready(options, mounts, show)
        stack.callback(ready.model.close)
        if not options.quiet:
            show(Notice(f"{options.model}: {ready.model.runs_on}"))
        places = [options.output] if options.output else ["display://0"] if _wants_window(options) else []
        takers = _takers(options, ready, source, stack)
        if not (places or options.json == "-" or options.quiet):
            takers.append(_print_found)

        def take(seen: Seen, path: Path | None) -> None:
            for one in takers:
                one(seen)

        outcome = streams.play(
            ready.model,
            source,
            _viewing(options, ready),
            places,
            drawing=ready.drawing,
            options=options,
            name="run",
            take=take,
            show=show,
        )
    unit = "picture" if source.kind == "pictures" else "frame"
    if outcome.stopped:
        print(f"stopped by Ctrl-C after {counted(outcome.report.frames, unit)}; files are complete", file=sys.stderr)
    if not options.quiet:
        table = run_table(outcome.report, unit=unit, lost=outcome.lost, unreadable=len(bad))
        print(table, file=sys.stderr if options.json == "-" else sys.stdout)
    if bad:
        print(f"error: {counted(len(bad), 'picture')} could not be read, and left out", file=sys.stderr)
    endless = source.is_live or options.input_loop < 0
    return 1 if bad or (outcome.stopped and not endless) else 0


def _ready(options: argparse.Namespace, mounts: Mounts, show: Listener) -> Ready:
    """The opened model, with its drawing as the flags want it."""
    from taolite.media.overlay import Overlay
    from taolite.stages.inference.opening import open_ready

    ready = open_ready(
        options.model,
        key=opening_key(options.key),
        labels=Path(options.labels).expanduser() if options.labels else None,
        spec=mounts.resolve(options.spec) if options.spec else None,
        threshold=options.threshold,
        runtime=options.runtime,
        resolve=mounts.resolve,
        listener=show,
    )
    parts = (options.overlay - {"default"}) | (_USUAL if "default" in options.overlay else frozenset())
    return replace(ready, drawing=replace(ready.drawing, overlay=Overlay(parts)))


def _viewing(options: argparse.Namespace, ready: Ready) -> Viewing:
    """Raises UsageError for flags that the model's task does not have."""
    from taolite.stages.inference.following import CountLine
    from taolite.stages.inference.ranks import Manner
    from taolite.stages.inference.watch import Tracking, Viewing, is_detector

    if not is_detector(ready.model):
        for flag, given in (("--track", options.track), ("--count-line", options.count_line)):
            if given:
                raise UsageError(f"{flag}: {options.model} is a classifier and finds no objects; leave the flag out")
    elif options.top is not None:
        raise UsageError(f"--top: {options.model} is a detector; give --threshold to show fewer objects")
    lines = [CountLine(name or f"line {at}", ends) for at, (name, ends) in enumerate(options.count_line, start=1)]
    tracker = options.track or (_TRACKERS[0] if lines else None)
    return Viewing(
        threshold=ready.threshold,
        manner=Manner(options.threshold, options.top),
        tracking=Tracking(tracker) if tracker else None,
        lines=lines,
        batch_size=options.batch_size,
        max_frames=options.max_frames,
    )


def _wants_window(options: argparse.Namespace) -> bool:
    from taolite.media.window import has_display

    machine = options.json or options.csv or options.labels_dir
    return not options.headless and not machine and has_display()


def _takers(options: argparse.Namespace, ready: Ready, source: Source, stack: ExitStack) -> list[SeenListener]:
    """What writes results for other programs."""
    from taolite.stages.inference.listeners import labels
    from taolite.stages.inference.records import csv_rows, json_lines
    from taolite.stages.inference.watch import is_detector

    takers = []
    if options.json:
        takers.append(json_lines(_text(options.json, stack), source, ready.model.classes))
    if options.csv:
        takers.append(csv_rows(_text(options.csv, stack), source, ready.model.classes))
    if options.labels_dir:
        if not is_detector(ready.model):
            raise UsageError(f"--labels-dir: {options.model} is a classifier; KITTI labels are for objects; give --csv")
        takers.append(labels(Path(options.labels_dir).expanduser(), ready.drawing))
    return takers


def _text(place: str, stack: ExitStack) -> TextIO:
    """A text file to write to, complete when `stack` closes it; `-` is the standard output."""
    from taolite.files import open_atomic

    path = Path(place).expanduser()
    if place == "-":
        return sys.stdout
    stream = io.TextIOWrapper(stack.enter_context(open_atomic(path)), encoding="utf-8", newline="\n")
    stack.callback(stream.detach)
    return stream


def _print_found(seen: Seen) -> None:
    """Print one line: `cat_0.jpg: cat 0.93 at 10,20,90,64; dog #3 0.81 at ...`."""
    print(f"{seen.frame.name}: {'; '.join(map(_words, seen.found)) or 'nothing found'}", flush=True)


def _words(one: Detection) -> str:
    track = "" if one.track is None else f" #{one.track}"
    place = "" if one.box is None else f" at {','.join(f'{value:.0f}' for value in one.box)}"
    return f"{one.name}{track} {one.score:.2f}{place}"
