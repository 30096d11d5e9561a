"""jetson-inference's imagenet and detectnet (reference/jetson_workflows.md 8, 9, 11): the model and the source that
their flags name, the frames through the same pipeline as `taolite run`, and their lines on the console."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taolite.cli import inputs, streams
from taolite.cli.jetson.forms import key_of
from taolite.cli.parsing import TaoParser, whole, without_effect
from taolite.cli.progress import FRAME, Terminal
from taolite.cli.values import count
from taolite.errors import UsageError
from taolite.events import Progress
from taolite.wording import counted

if TYPE_CHECKING:
    from taolite.cli.streams import Outcome
    from taolite.events import Listener
    from taolite.media.sources import Source
    from taolite.sample import Detection
    from taolite.stages.inference.look import Seen
    from taolite.stages.inference.watch import Tracking

__all__ = ["DETECTNET", "IMAGENET", "add_stream", "run_detectnet", "run_imagenet"]

IMAGENET, DETECTNET = "googlenet", "ssd-mobilenet-v2"
"""The networks that they run where no model is given."""

_THRESHOLD = 0.5  # of detectnet; 0 means this one too
_OVERLAY = frozenset({"box", "labels", "conf", "tracking"})  # of detectnet, where --overlay is not given
_ALIASES = {**inputs.JETSON, "output_codec": ("--codec",), "headless": ("--no-display",)}
_UNUSED = (
    "--input-decoder", "--input-save", "--output-save", "--output-latency", "--output-encoder", "--num-buffers",
    "--stun-server", "--ssl-key", "--ssl-cert", "--log-level", "--log-file",
)  # fmt: skip
_UNUSED_SWITCHES = ("--profile", "--verbose", "--debug")


class _Refused(argparse.Action):
    """A flag for something that taolite does not have; `const` says what to give instead."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        raise argparse.ArgumentError(self, f"{values}: {self.const}")


def add_stream(parser: TaoParser, *, network: str) -> None:
    """Add the flags of models, inputs and displays of imagenet and detectnet (reference/jetson_workflows.md 8, 9, 11).
    network: the network that they run where no model is given."""
    parser.mixed, add = True, parser.add_argument
    text = "picture, folder, quoted pattern, video, camera or address (default: the default camera)"
    add("input", nargs="?", default="", metavar="IN", help=text)
    text = "annotated pictures: file, name with %%i in it, folder, video or address"
    add("output", nargs="?", default="", metavar="OUT", help=text)
    add("--model", metavar="FILE", help=".onnx, .tlt, .etlt, engine, or a network's name")
    whole(add("--network", metavar="NAME", help=f"network by its name (default: {network})"))
    whole(add("--camera", metavar="N", help="camera to read instead of IN: a number or /dev/videoN"))
    whole(add("--batch-size", type=count(1), default=1, metavar="N", help="frames in one batch (default: 1)"))
    whole(add("--prototxt", action=_Refused, const="Caffe models are not read; give an ONNX", help=argparse.SUPPRESS))
    streams.add_streams(parser, **_ALIASES)
    for flag in ("--maximized", "--fullscreen"):
        whole(add(flag, action="store_true", help=f"open the window {flag.removeprefix('--')}"))
    whole(*without_effect(parser, *_UNUSED), *without_effect(parser, *_UNUSED_SWITCHES, values=0))


def model_of(options: argparse.Namespace, network: str, listener: Listener) -> Path:
    """The file of --model, or of the network that is named by --model or --network. network: the default.

    Raises UsageError for both flags, and what `find_network` raises.
    """
    from taolite.stages.inference.networks import find_network, is_name

    if options.model and options.network:
        raise UsageError("--model with --network: give one of them")
    named = options.network or options.model or network
    path = Path(named).expanduser()
    if options.network or not options.model or (not path.exists() and is_name(named)):
        return find_network(named, listener=listener)
    return path


def outputs_of(options: argparse.Namespace) -> list[str]:
    """Where frames go: to OUT, and to a window where there is a display."""
    from taolite.media.window import has_display

    window = not options.headless and has_display()
    return [*filter(None, [options.output]), *(["display://0"] if window else [])]


def source_of(options: argparse.Namespace, listener: Listener) -> Source:
    """The source of IN or --camera, opened. Pictures that cannot be read are left out with a warning."""
    from taolite.events import Notice
    from taolite.media.sources import open_source

    return open_source(
        options.camera or options.input,
        options=inputs.input_options(options),
        on_unreadable=lambda text: listener(Notice(text, "warning")),
        listener=listener,
    )


@contextmanager
def told() -> Iterator[Listener]:
    """A listener that prints events on stderr, and of videos and cameras the progress and speed once a second."""
    with Terminal(bars=False) as show:
        yield lambda event: None if isinstance(event, Progress) and event.unit != FRAME else show(event)


def say_lost(outcome: Outcome, name: str) -> None:
    """Print on stderr how many frames were not shown, and whether Ctrl-C ended the run."""
    if dropped := outcome.report.dropped:
        print(f"{name}:  {counted(dropped, 'frame')} dropped: the source was faster", file=sys.stderr)
    if outcome.lost:
        print(f"{name}:  {counted(outcome.lost, 'frame')} lost by the output", file=sys.stderr)
    if outcome.stopped:
        print(f"{name}:  stopped by Ctrl-C; files are complete", file=sys.stderr)


def run_imagenet(options: argparse.Namespace) -> int:
    from taolite.stages.inference.labelled import open_classifier
    from taolite.stages.inference.listeners import Drawing
    from taolite.stages.inference.ranks import Manner, least_score
    from taolite.stages.inference.watch import Viewing

    labels = Path(options.labels).expanduser() if options.labels else None
    manner = Manner(options.threshold, options.top, options.smoothing, options.fit)
    with told() as show:
        source, path = source_of(options, show), model_of(options, IMAGENET, show)
        with open_classifier(path, labels, key=key_of(options.key), listener=show) as model:

            def take(seen: Seen, written: Path | None) -> None:
                print(seen.frame.name)
                for one in seen.found:
                    print(f"imagenet:  {100 * one.score:.5f}% class #{model.classes.index(one.name)} ({one.name})")
                if not seen.found:
                    print(f"imagenet:  no class reaches {least_score(model, manner):g}")
                if written is not None:
                    print(f"  written: {written}")

            outcome = streams.play(
                model,
                source,
                Viewing(manner=manner, batch_size=options.batch_size),
                outputs_of(options),
                drawing=Drawing(model.classes),
                options=options,
                name="imagenet",
                take=take,
                show=show,
            )
    say_lost(outcome, "imagenet")
    return 0


def run_detectnet(options: argparse.Namespace) -> int:
    from taolite.media.overlay import Overlay
    from taolite.stages.inference.labelled import open_detector, read_colours
    from taolite.stages.inference.listeners import Drawing
    from taolite.stages.inference.watch import Viewing

    if options.clustering is not None:
        print("warning: --clustering has no effect: overlapping boxes are suppressed, not merged", file=sys.stderr)
    labels = Path(options.labels).expanduser() if options.labels else None
    parts = (options.overlay - {"default"}) | (_OVERLAY if "default" in options.overlay else frozenset())
    tracking = _tracking(options)
    with told() as show:
        source, path = source_of(options, show), model_of(options, DETECTNET, show)
        with open_detector(path, labels, key=key_of(options.key), decoding={}, listener=show) as model:
            colours = read_colours(Path(options.colours).expanduser(), model.classes) if options.colours else {}
            numbers = {name: number for number, name in enumerate(model.classes, start=1)}

            def take(seen: Seen, written: Path | None) -> None:
                print(seen.frame.name)
                print(f"{len(seen.found)} objects detected")
                for index, one in enumerate(seen.found):
                    print(f"detected obj {index}  class #{numbers[one.name]} ({one.name})  confidence={one.score:f}")
                    print(_box_line(index, one))
                    if one.track is not None:
                        print(f"tracking {index}  id={one.track}")
                if written is not None:
                    print(f"  written: {written}")

            outcome = streams.play(
                model,
                source,
                Viewing(options.threshold or _THRESHOLD, tracking=tracking, batch_size=options.batch_size),
                outputs_of(options),
                drawing=Drawing(model.classes, colours=colours, overlay=Overlay(parts, options.alpha)),
                options=options,
                name="detectnet",
                take=take,
                show=show,
            )
    say_lost(outcome, "detectnet")
    return 0


def _tracking(options: argparse.Namespace) -> Tracking | None:
    """How detectnet's flags want objects to be followed."""
    from taolite.stages.inference.watch import Tracking

    if not (options.tracking or options.tracker):
        return None
    return Tracking(
        min_frames=options.tracker_min_frames,
        drop_frames=options.tracker_drop_frames,
        overlap=options.tracker_overlap,
    )


def _box_line(index: int, found: Detection) -> str:
    assert found.box is not None, "a detector's"
    left, top, right, bottom = found.box
    return (
        f"bounding box {index}  ({left:.2f}, {top:.2f})  ({right:.2f}, {bottom:.2f})  "
        f"w={right - left:.2f}  h={bottom - top:.2f}"
    )
