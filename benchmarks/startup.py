"""Processor time of commands that should answer at once, against an empty Python.

python benchmarks/startup.py [--rounds 9]

Modules are compiled before; Python keeps that, except where PYTHONDONTWRITEBYTECODE is set.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

from timing import in_turn, machine, ratio, table

SPECS = Path(__file__).resolve().parents[1] / "specs"
TAOLITE = ["-c", "import sys; from taolite.cli.main import started; sys.exit(started([]))"]
WAYS = {
    "python -c pass": ["-c", "pass"],
    "python -c 'import pydantic', and one model": ["-c", "import pydantic\nclass A(pydantic.BaseModel):\n  a: int"],
    "taolite --help": [*TAOLITE, "--help"],
    "taolite detectnet train --help": [*TAOLITE, "detectnet", "train", "--help"],
}


def children_s() -> float:
    """Processor time of the processes that this one has waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def starting(words: Sequence[str]) -> Callable[[], object]:
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"  # as taolite sets it, so that pydantic alone is comparable
    return lambda: subprocess.run([sys.executable, *words], env=environ, check=True, capture_output=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9, help="rounds (default: 9)")
    options = parser.parse_args()
    checks = ("demo/train.txt", "demo/inference.txt", "classification/train.txt", "ssd/train.txt")
    ways = {
        **WAYS,
        **{f"taolite spec check {name}": [*TAOLITE, "spec", "check", str(SPECS / name)] for name in checks},
    }
    taken = in_turn({name: starting(words) for name, words in ways.items()}, options.rounds, clock=children_s)
    print(f"{machine('pydantic')}\n")
    rows = [(f"`{name}`", f"{median(taken[name]):.3f}", f"{ratio(taken, name, 'python -c pass'):.1f}") for name in ways]
    print(table(("command", "seconds of processor time", "times an empty Python"), rows))


if __name__ == "__main__":
    main()
