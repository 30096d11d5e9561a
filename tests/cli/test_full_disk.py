"""A full or read-only disk is one message, whoever met it."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from taolite.cli import main as front


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device here")
def test_an_output_that_is_full_is_told_once():
    pytest.importorskip("shtab")
    command = [sys.executable, "-m", "taolite", "completion", "bash"]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)

    assert done.returncode == 1
    assert done.stderr == (
        "error: standard output: the disk is full; nothing was replaced. Free some space and run it again\n"
    )


def test_a_disk_that_another_library_found_read_only_is_named(monkeypatch, capsys):
    def written_by_a_library(options: object) -> int:
        raise OSError(errno.EROFS, "Read-only file system", "/data/cache/one")

    parser = front.parser_for("help")
    monkeypatch.setattr(front, "parser_for", lambda asked: parser)
    monkeypatch.setattr(parser, "parse_args", lambda words: front.argparse.Namespace(run=written_by_a_library))
    monkeypatch.setattr(sys, "stdout", sys.stdout)  # as it was, after the test

    assert front.main(["help"]) == 1
    assert capsys.readouterr().err == (
        "error: /data/cache/one: this disk is mounted read-only; choose another folder, or mount it for writing\n"
    )
