"""The flags of an input: what is asked of a camera, and how frames are turned (reference/jetson_workflows.md 11.2)."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from taolite.cli.parsing import TaoParser, near, whole
from taolite.cli.values import count, number
from taolite.errors import UsageError

if TYPE_CHECKING:
    from taolite.media.sources import InputOptions

__all__ = ["JETSON", "add_input", "add_named", "input_options"]

JETSON: Mapping[str, tuple[str, ...]] = {
    "input_width": ("--width",),
    "input_height": ("--height",),
    "input_rate": ("--framerate",),
    "input_flip": ("--flip-method", "--input-flip-method"),
    "input_loop": ("--loop",),
    "input_latency": ("--input-rtsp-latency",),
}
"""The other names that these flags have in jetson-inference."""

_FLIPS = (
    *("none", "counterclockwise", "rotate-180", "clockwise", "horizontal", "vertical"),
    *("upper-right-diagonal", "upper-left-diagonal"),
)


def add_input(parser: TaoParser, **aliases: tuple[str, ...]) -> None:
    """Add the flags. aliases: further names of a flag, by its name without dashes."""
    group = parser.add_argument_group("input")

    def add(flag: str, **options: Any) -> None:
        add_named(group, flag, aliases, **options)

    text = "width of a camera's or video's frames in pixels; needs --input-height"
    add("--input-width", type=count(1), metavar="W", help=text)
    add("--input-height", type=count(1), metavar="H", help="height of these frames in pixels")
    text = "frames a second asked of a camera; a video is thinned to it (default: all)"
    add("--input-rate", type=number(0, None), metavar="FPS", help=text)
    text = f"turn or mirror every frame: {', '.join(_FLIPS)} (default: none)"
    add("--input-flip", type=_flip, default="none", metavar="HOW", help=text)
    add("--input-loop", type=_loops, default=0, metavar="N", help="further passes; -1 is without an end (default: 0)")
    add("--input-codec", metavar="CODEC", help="of an rtp:// input: h264, h265, vp8, vp9, mjpeg (default: h264)")
    text = "wait for late packets of a network input, milliseconds (default: 10)"
    add("--input-latency", type=count(0), default=10, metavar="MS", help=text)


def add_named(group: Any, flag: str, aliases: Mapping[str, tuple[str, ...]], **options: Any) -> None:
    """Add a flag with its further names to a group of a parser."""
    name = flag.removeprefix("--").replace("-", "_")
    whole(group.add_argument(flag, *aliases.get(name, ()), dest=name, **options))


def input_options(options: argparse.Namespace) -> InputOptions:
    """The input flags as a value. Raises UsageError for a width without a height."""
    from taolite.media.sources import InputOptions

    width, height = options.input_width, options.input_height
    if (width is None) != (height is None):
        given = f"--input-width {width}" if height is None else f"--input-height {height}"
        raise UsageError(f"{given}: give both --input-width and --input-height")
    return InputOptions(
        size_hw=None if width is None else (height, width),
        rate=options.input_rate,
        flip=options.input_flip,
        loop=options.input_loop,
        codec=options.input_codec,
        latency_ms=options.input_latency,
    )


def _flip(text: str) -> str:
    name = text.lower().replace("_", "-").removesuffix("-flip")  # jetson-inference has horizontal-flip too
    if name not in _FLIPS:
        hint = f"; did you mean {meant}?" if (meant := near(name, _FLIPS)) else ""
        raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(_FLIPS)}{hint}")
    return name


def _loops(text: str) -> int:
    if not re.fullmatch(r"-1|\d+", text):
        raise argparse.ArgumentTypeError(f"{text!r} needs to be a whole number, 0 or more, or -1 without an end")
    return int(text)
