"""What all errors share: whatever a reader of foreign bytes raises becomes one of ours, and a terminal is safe."""

from __future__ import annotations

import doctest
import io
import json

import pytest

import taolite.errors
from taolite.errors import DamagedError, PathError, UsageError, printable, reading


def said(raised: Exception) -> tuple[str, str]:
    """Kind and text of the error that a reader which raises `raised` ends in."""
    with (
        pytest.raises(taolite.errors.TaoliteError) as caught,
        reading("a.bin:3", DamagedError, found="not a model", way_out="copy it again"),
    ):
        raise raised
    return type(caught.value).__name__, str(caught.value)


@pytest.mark.parametrize(
    ("raised", "kind", "text"),
    [
        (ValueError("bad number"), "DamagedError", "a.bin:3: not a model (bad number); copy it again"),
        (KeyError("cover"), "DamagedError", "a.bin:3: not a model (`cover` is missing); copy it again"),
        (KeyError(), "DamagedError", "a.bin:3: not a model (a name is missing); copy it again"),
        (OverflowError(), "DamagedError", "a.bin:3: not a model (OverflowError); copy it again"),
        (MemoryError(), "DamagedError", "a.bin:3: not a model (MemoryError); copy it again"),
        (RecursionError("depth"), "DamagedError", "a.bin:3: not a model (it is nested too deeply); copy it again"),
        (OSError(5, "Input/output error"), "PathError", "a.bin:3: cannot be read (Input/output error)"),
        (UsageError("b.bin: no key"), "UsageError", "b.bin: no key"),
    ],
)
def test_whatever_a_reader_raises_becomes_one_error_with_file_and_place(raised, kind, text):
    assert said(raised) == (kind, text)


def test_a_readers_error_without_a_way_out_ends_with_the_reason():
    with pytest.raises(PathError) as caught, reading("a", PathError, found="no JSON"):
        json.loads("{")

    assert str(caught.value) == (
        "a: no JSON (Expecting property name enclosed in double quotes: line 1 column 2 (char 1))"
    )


@pytest.mark.parametrize("raised", [KeyboardInterrupt, SystemExit])
def test_a_reader_that_is_stopped_stops(raised):
    with pytest.raises(raised), reading("a", PathError, found="no JSON"):
        raise raised


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("cat 猫 é\n\tline 2", "cat 猫 é\n\tline 2"),
        ("a\x1b[2Jb", "a\\x1b[2Jb"),  # clears the screen
        ("a\rb\x07\x7f\x00", "a\\x0db\\x07\\x7f\\x00"),
        ("a\x9b31mb", "a\\x9b31mb"),  # the one-character form of ESC [
        ("a\u202etxt.exe\u2066", "a\\u202etxt.exe\\u2066"),  # turns the writing direction
        ("a\u2028b\ufeff", "a\\u2028b\\ufeff"),
        ("caf\udce9.jpg", "caf\\xe9.jpg"),  # a file name that is Latin-1
        ("\ud83d", "\\ud83d"),
    ],
)
def test_what_steers_a_terminal_is_shown_instead(text, shown):
    assert printable(text) == shown
    io.TextIOWrapper(io.BytesIO(), encoding="utf-8").write(printable(text))


def test_the_examples_hold():
    assert doctest.testmod(taolite.errors).failed == 0
