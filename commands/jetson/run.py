#!/usr/bin/env python3
"""What every other name below commands/jetson runs: `taolite jetson NAME ...`, NAME being the name that was called.

All of them are links to this file, laid out as jetson-inference and pytorch-ssd have them, so the tutorials' command
lines run as they are printed:

    cd commands/jetson/python/training/classification
    python train.py --model-dir=cat_dog DATASET
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("classification", "ssd")


def program() -> str:
    """The program's name, with its folder where two programs share the name."""
    called = Path(sys.argv[0]).absolute()
    name, folder = called.name, called.parent.name
    return f"{folder}/{name}" if name == "onnx_export.py" and folder in FOLDERS else name


def other_python() -> str | None:
    """A Python that has taolite, where this one has not: beside `detectnet_v2`, or this checkout's own."""
    beside = shutil.which("detectnet_v2")
    for folder in (Path(beside).parent if beside else None, ROOT / ".venv" / "bin"):
        if folder and (folder / "python").is_file() and str(folder / "python") != sys.executable:
            return str(folder / "python")
    return None


def main() -> int:
    sys.path[:1] = []  # the folder of this name, whose files are no modules
    if importlib.util.find_spec("taolite") is None:
        python = other_python()
        if python is not None and "TAOLITE_OTHER_PYTHON" not in os.environ:
            os.environ["TAOLITE_OTHER_PYTHON"] = python
            os.execv(python, [python, *sys.argv])
        print(f"error: {sys.executable} has no taolite: pip install -e {ROOT}", file=sys.stderr)
        return 1
    from taolite.cli.main import started

    return started(["jetson", program()])


if __name__ == "__main__":
    sys.exit(main())
