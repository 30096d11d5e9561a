"""`taolite jetson python SCRIPT.py ...`: run a script that imports jetson.inference or jetson_utils.

The script runs in a Python of its own, with taolite's modules of these names first on its path. Where the system allows
it, this process becomes that Python. So `sys.argv`, the exit code, Ctrl-C and the script's own child processes are as
under `python3 SCRIPT.py ...`, and no module of the command line is loaded in it.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import taolite
from taolite.cli.keys import user_environment
from taolite.cli.parsing import JetsonParser

__all__ = ["LINE", "MODULES", "PythonParser"]

LINE = "run a Python script that imports jetson.inference, jetson.utils or their newer names"
MODULES = Path(taolite.__file__).parent / "jetson_modules"
"""The folder that holds these modules, and nothing else."""


class PythonParser(JetsonParser):
    """Takes the words as they are: they are Python's and the script's."""

    def __init__(self, **options: Any) -> None:
        super().__init__(description=f"{LINE[:1].upper()}{LINE[1:]}.", **options)
        self.add_argument("script", metavar="SCRIPT.py", help="the script, or another word for python3 (-c, -m)")
        self.add_argument("words", nargs="*", metavar="ARGUMENT", help="arguments of the script")

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """See ArgumentParser; only a leading -h or --help is this command's own."""
        words = list(sys.argv[1:] if args is None else args)
        if words[:1] in (["-h"], ["--help"]):
            return super().parse_known_args(words, namespace)
        return argparse.Namespace(run=_run, words=words), []


def _run(options: argparse.Namespace) -> int:
    path = os.pathsep.join(filter(None, (str(MODULES), os.environ.get("PYTHONPATH"))))
    command, environ = [sys.executable, *options.words], {**user_environment(), "PYTHONPATH": path}
    if os.name == "posix":
        sys.stdout.flush()
        os.execve(command[0], command, environ)
    return subprocess.run(command, env=environ, check=False).returncode
