"""What a page of the documents shows to type: its blocks of shell, the mark above each, and a shell that plays them.

A mark is a comment in the page's source, right above the block:

    <!-- tested -->             one of test_pages*.py plays the block as it is printed
    <!-- tested: in FILE -->    another test runs these commands
    <!-- parsed: REASON -->     cannot run in a test; the parsers accept its commands
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COOKBOOK = ROOT / "docs" / "cookbook"
BLOCK = re.compile(r"^(?:<!-- ([^\n]*) -->\n)?```(?:sh|bash|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A block of shell: what the page's source says of it ("" for nothing), and its text."""

    mark: str
    text: str


def blocks(page: Path) -> list[Block]:
    """The blocks of a page that hold commands."""
    return [Block(mark, text) for mark, text in BLOCK.findall(page.read_text(encoding="utf-8"))]


def play(
    page: Path, folder: Path, *, before: Mapping[str, str] | None = None, programs: Path | None = None, **variables: str
) -> str:
    """Run the blocks of a page that are marked `tested`, one after the other, in one shell in `folder`.

    before: the beginning of a line -> what is run before it, where the page's own pictures would take too long. Each
    has to be there once.
    programs: a folder of programs that the page calls by name, beside those of this environment.

    Returns what was printed, with the commands behind a `+`.
    """
    script = "".join(f"\n{block.text}" for block in blocks(page) if block.mark == "tested")
    assert script, f"{page}: no block is marked `tested`"
    for line, first in (before or {}).items():
        assert script.count(f"\n{line}") == 1, line
        script = script.replace(f"\n{line}", f"\n{first}\n{line}")
    here = [Path(sys.executable).parent, *([programs] if programs else [])]
    environment = {
        **os.environ,
        "HOME": str(folder),
        "OMP_NUM_THREADS": "1",
        "PATH": ":".join([*map(str, here), os.environ["PATH"]]),
        "PYTHONPATH": str(ROOT),
        "TORCH_HOME": str(folder / "torch"),
        **variables,
    }
    environment.pop("TAOLITE_KEY", None)
    done = subprocess.run(
        ["bash", "-euxo", "pipefail", "-c", script],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:]
    assert "Traceback" not in done.stdout
    return done.stdout


def command_words(text: str) -> list[list[str]]:
    """The commands of a script word by word; settings, functions, `ls` and comments are left out."""
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    words = [shlex.split(line, comments=True) for line in lines if "()" not in line]
    return [one for one in words if one and one[0] in ("tao", "taolite", "detectnet_v2", "mkdir", "rm")]
