"""A key on the command line or in the environment: warned of once, and hidden from everybody else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from taolite.cli.main import main
from taolite.cli.parsing import command_line, hidden, keys_in, without_keys

VECTORS = Path(__file__).parents[1] / "vectors"
LINUX = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="/proc is Linux's")
WAITS = """
import multiprocessing, os, subprocess, sys
from taolite.cli import main

def at_work(words):
    parent, child = multiprocessing.Pipe()
    forked = multiprocessing.get_context("fork").Process(target=child.recv)
    forked.start()
    started = subprocess.run(["cat", "/proc/self/environ"], stdout=subprocess.PIPE).stdout
    from taolite.cli.keys import opening_key, user_environment
    print(forked.pid, "swordfish" in started.decode(), sys.argv[1:], "TAOLITE_KEY" in user_environment(),
          opening_key(None) is not None, words, "swordfish" in str(sys.orig_argv), flush=True)
    sys.stdin.readline()
    forked.kill()
    return 0

main.main = at_work
sys.exit(main.started([]))
"""
"""A command that has begun, and shows what its processes know."""


def run(words: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    """`taolite WORDS` in a process of its own."""
    environ = {**{name: value for name, value in os.environ.items() if name != "TAOLITE_KEY"}, **variables}
    return subprocess.run(
        [sys.executable, "-m", "taolite", *words], capture_output=True, text=True, env=environ, check=False
    )


@LINUX
def test_other_processes_see_no_key_in_the_command_line_nor_in_the_environment(tmp_path):
    script = tmp_path / "waits.py"
    script.write_text(WAITS)
    words = ["show", "-k", "swordfish", "--key=swordfish", "-kswordfish", "-k", "@my.key", "last"]
    environ = {**os.environ, "TAOLITE_KEY": "swordfish"}
    process = subprocess.Popen(
        [sys.executable, str(script), *words], env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None

    line = process.stdout.readline()
    pid = line.split()[0]
    seen = {
        place: Path(f"/proc/{number}/{place.split()[1]}").read_bytes()
        for place, number in {
            "its cmdline": process.pid,
            "its environ": process.pid,
            "forked cmdline": pid,
            "forked environ": pid,
        }.items()
    }
    listed = subprocess.run(["ps", "-ww", "-o", "args=", "-p", str(process.pid)], capture_output=True, text=True)
    process.communicate("\n")

    shown = ["show", "-k", "KEY", "--key=KEY", "-kKEY", "-k", "@my.key", "last"]
    assert seen["its cmdline"].rstrip(b"\0").decode().split("\0") == [sys.executable, str(script), *shown]
    assert seen["forked cmdline"] == seen["its cmdline"]
    assert listed.stdout.split()[2:] == shown
    assert b"swordfish" not in seen["its environ"] + seen["forked environ"]
    assert b"PATH=" in seen["its environ"]
    assert line.partition(" ")[2] == f"False {shown} True True {words} False\n"


def test_a_key_on_the_command_line_is_warned_of_in_one_line_and_machines_read_on():
    done = run(["show", str(VECTORS / "v1.tlt"), "-k", "swordfish", "--json"])

    assert done.stdout == ""
    assert done.stderr.splitlines() == [
        "warning: the key in this command line is kept in the shell's history; give it as -k @FILE (`taolite key new "
        "FILE` makes one), or in TAOLITE_KEY",
        f"error: {VECTORS}/v1.tlt: the file is intact, but this is not the key it was sealed with; check -k",
    ]


@pytest.mark.parametrize("given", ["flag", "environment", "file"])
def test_a_published_key_is_warned_of_wherever_it_comes_from(given, tmp_path):
    file = tmp_path / "k"
    file.write_text("tlt_encode\n")
    file.chmod(0o600)
    words = {"flag": ["-k", "tlt_encode"], "environment": [], "file": ["-k", f"@{file}"]}[given]
    variables = {"TAOLITE_KEY": "tlt_encode"} if given == "environment" else {}

    done = run(["show", str(VECTORS / "v1.tlt"), *words], **variables)

    assert done.returncode == 0
    assert done.stderr == (
        "warning: the key tlt_encode is published, so it protects nothing; `taolite key new FILE` makes one for -k "
        "@FILE\n"
    )


def test_the_processes_of_a_training_do_not_warn_again():
    done = run(["show", str(VECTORS / "v1.tlt")], TAOLITE_KEY="tlt_encode", TORCHELASTIC_RUN_ID="taolite")

    assert (done.returncode, done.stderr) == (0, "")


def test_a_key_in_a_command_line_that_is_wrong_is_not_repeated(capsys):
    with pytest.raises(SystemExit):
        main(["spec", "check", "train.txt", "-k", "swordfish"])

    assert "swordfish" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "shown", "rest", "keys"),
    [
        ("train -k secret -e s.txt", "train -k KEY -e s.txt", "train -e s.txt", ["secret"]),
        ("train -ksecret --key=secret", "train -kKEY --key=KEY", "train", ["secret", "secret"]),
        ("train --ke secret --k=secret", "train --ke KEY --k=KEY", "train", ["secret", "secret"]),
        ("train.py -key secret x", "train.py -key KEY x", "train.py x", ["secret"]),
        ("show m -k @file -k@file", "show m -k @file -k@file", "show m", ["@file", "@file"]),
        ("show m -k @@secret", "show m -k KEY", "show m", ["@@secret"]),
        ("show m -k ab", "show m -k KE", "show m", ["ab"]),
        ("rekey m --old secret --new=secret", "rekey m --old KEY --new=KEY", "rekey m", ["secret", "secret"]),
        ("show m -k", "show m -k", "show m", []),
        ("train --keep_checkpoints 3 --kernel", "train --keep_checkpoints 3 --kernel", None, []),
    ],
)
def test_every_spelling_of_a_key_is_known(words, shown, rest, keys):
    assert hidden(words.split()) == shown.split()
    assert without_keys(words.split()) == (words if rest is None else rest).split()
    assert keys_in(words.split()) == keys
    assert command_line(words.split()) == shown
