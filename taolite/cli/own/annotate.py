"""`taolite annotate FOLDER`: draw boxes on pictures that are there, in labelme or on a page in the browser."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from taolite.cli import capturing
from taolite.cli.parsing import whole
from taolite.errors import PathError

if TYPE_CHECKING:
    from taolite.web.desk import Kind

__all__ = ["configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `taolite annotate`."""
    add = parser.add_argument
    add("folder", type=Path, metavar="FOLDER", help="folder of pictures, or a Pascal VOC folder")
    add("--labels", type=Path, metavar="FILE", help="class names, one a line (default: FOLDER/labels.txt)")
    whole(add("--page", action="store_true", help="use the page in the browser also where labelme is installed"))
    capturing.add_model(add)
    capturing.add_server(add)
    parser.set_defaults(run=_run, format=None, quality=95, merge_sets=False, to="train")


def _run(options: argparse.Namespace) -> int:
    from taolite.web.desk import kind_of

    folder = options.folder
    if not folder.is_dir():
        raise PathError(f"{folder}: no such folder; give a folder of pictures")
    kind: Kind = "voc" if kind_of(folder) == "voc" else "labelme"
    labelme = None if kind == "voc" or options.page or options.model is not None else _labelme()
    if labelme is None:
        return capturing.show_page(options, folder, kind=kind, flat=kind == "labelme")
    labels = options.labels or folder / "labels.txt"
    command = [labelme, str(folder), "--nodata", "--autosave"]
    if labels.is_file():
        command += ["--labels", str(labels)]
    print(f"{folder}: opening labelme; --page opens a page in the browser instead", file=sys.stderr, flush=True)
    return subprocess.run(command, check=False).returncode


def _labelme() -> str | None:
    """The program labelme, where it is installed and this session can open windows."""
    if sys.platform == "linux" and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return None
    beside = Path(sys.executable).with_name("labelme")
    return str(beside) if beside.is_file() else shutil.which("labelme")
