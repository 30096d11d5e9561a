"""jetson-inference's camera-capture over the capture page (reference/jetson_workflows.md 13).

Data set, classes and kind are chosen in its panel; here by flags of our own, and the kind on the page.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from taolite.cli import capturing, inputs
from taolite.cli.parsing import TaoParser, whole, without_effect

__all__ = ["add_flags", "run"]

DATASET = Path("camera-capture")
_UNUSED = (
    "--input-decoder", "--input-save", "--num-buffers", "--stun-server", "--log-level", "--log-file",
)  # fmt: skip


def add_flags(parser: TaoParser) -> None:
    """Add the flags of camera-capture, and ours."""
    add = parser.add_argument
    text = "camera, stream, video or folder (default: the first camera of this machine)"
    add("input", nargs="?", default="", metavar="IN", help=text)
    inputs.add_input(parser, **inputs.JETSON)
    text = f"folder of the data set; made where it does not exist (default: {DATASET})"
    whole(add("--dataset", type=Path, default=DATASET, metavar="DIR", help=text))
    text = "class names, one a line; copied to DIR/labels.txt (default: DIR/labels.txt)"
    whole(add("--labels", type=Path, metavar="FILE", help=text))
    capturing.add_writing(add)
    capturing.add_model(add)
    capturing.add_server(add)
    whole(*without_effect(parser, *_UNUSED), *without_effect(parser, "--headless", "--no-display", values=0))


def run(options: argparse.Namespace) -> int:
    """Show the page."""
    return capturing.show_page(options, options.dataset, place=options.input)
