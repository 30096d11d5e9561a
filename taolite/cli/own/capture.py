"""`taolite capture DATASET`: take and label pictures with a camera, on a page in the browser."""

from __future__ import annotations

import argparse
from pathlib import Path

from taolite.cli import capturing, inputs
from taolite.cli.parsing import TaoParser

__all__ = ["configure"]


def configure(parser: TaoParser) -> None:
    """Add the arguments of `taolite capture`."""
    add = parser.add_argument
    add("dataset", type=Path, metavar="DATASET", help="folder of the data set; made where it does not exist")
    text = "camera of this machine: /dev/video0, rtsp://..., a video or a folder (default: the browser's camera)"
    add("--input", metavar="PLACE", help=text)
    inputs.add_input(parser)
    add("--labels", type=Path, metavar="FILE", help="class names, one a line; copied to DATASET/labels.txt")
    capturing.add_writing(add)
    capturing.add_model(add)
    capturing.add_server(add)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    return capturing.show_page(options, options.dataset, place=options.input)
