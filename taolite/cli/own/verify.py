"""`taolite verify FILE... --signer PUB`: whether a signer signed these files, and they are unchanged."""

from __future__ import annotations

import argparse
from pathlib import Path

from taolite.cli.parsing import TaoParser, mount_flag

__all__ = ["configure"]


def configure(parser: TaoParser) -> None:
    """Add the arguments of `taolite verify`."""
    add = parser.add_argument
    add("files", type=Path, nargs="+", metavar="FILE", help="model: .tlt, .etlt, .onnx or engine")
    text = "public key, or its file, commas between (default: TAOLITE_REQUIRE_SIGNER)"
    add("--signer", metavar="PUB", help=text)
    mount_flag(add)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from taolite.artifacts.signing import read_signers, verify
    from taolite.errors import UsageError
    from taolite.stages.signed import required_signers
    from taolite.workspace.mounts import Mounts

    signers = read_signers(options.signer) if options.signer else required_signers()
    if not signers:
        raise UsageError("whose signature? Give the signer's public key: --signer PUB")
    mounts = Mounts.load(options.mount)
    for file in options.files:
        found = verify(mounts.resolve(file), signers)
        print(f"{file}: signed by {found.signer} at {found.signed_at}, and unchanged since")
    return 0
