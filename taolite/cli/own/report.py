"""`taolite report RUN [RUN ...]`: one HTML file about a run, or about several runs beside each other."""

from __future__ import annotations

import argparse
from pathlib import Path

from taolite.cli.keys import opening_key
from taolite.cli.parsing import mount_flag

__all__ = ["configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `taolite report`."""
    add = parser.add_argument
    add("runs", nargs="+", type=Path, metavar="RUN", help="folder of a training's results; two or more are compared")
    text = "the file to write (default: RUN/report.html, for several runs comparison.html in this folder)"
    add("-o", "--output", type=Path, metavar="FILE", help=text)
    text = "JSON of an export's gate or of a pruning sweep that lies elsewhere; may be given again"
    add("--with", dest="beside", action="append", default=[], type=Path, metavar="FILE", help=text)
    text = "key of the models, for their lineage: KEY, @FILE, or the variable TAOLITE_KEY"
    add("-k", "--key", metavar="KEY", help=text)
    mount_flag(add)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from taolite.stages.reporting import write_comparison, write_report
    from taolite.workspace.mounts import Mounts

    mounts, key = Mounts.load(options.mount), opening_key(options.key)
    runs, beside = [mounts.resolve(run) for run in options.runs], [mounts.resolve(file) for file in options.beside]
    output = mounts.resolve(options.output) if options.output else None
    if len(runs) == 1:
        path = write_report(runs[0], output, key=key, beside=beside)
    else:
        path = write_comparison(runs, output or Path("comparison.html"), key=key, beside=beside)
    print(path)
    return 0
