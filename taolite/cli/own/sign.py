"""`taolite sign FILE... --signer-key KEY`: a signature beside each file."""

from __future__ import annotations

import argparse
from pathlib import Path

from taolite.cli.keys import warn_once
from taolite.cli.parsing import TaoParser, mount_flag

__all__ = ["configure"]


def configure(parser: TaoParser) -> None:
    """Add the arguments of `taolite sign`."""
    add = parser.add_argument
    add("files", type=Path, nargs="+", metavar="FILE", help="model: .tlt, .etlt, .onnx or engine")
    text = "private key, made by `taolite key new FILE --signing`"
    add("--signer-key", type=Path, required=True, metavar="KEY", help=text)
    mount_flag(add)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from taolite.artifacts.signing import sign
    from taolite.workspace.mounts import Mounts

    mounts, private = Mounts.load(options.mount), options.signer_key.expanduser()
    for file in options.files:
        signature = sign(mounts.resolve(file), private, listener=warn_once)
        print(f"{signature}: signature; keep it beside {file.name}")
    return 0
