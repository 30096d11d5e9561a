"""Label files as text: UTF-8 with or without a byte order mark, numbers, and found values as messages show them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from taolite.errors import DataError
from taolite.formats.findings import Findings
from taolite.formats.printing import printable

__all__ = ["LARGEST", "number", "first_line", "plain", "read_json", "read_lines", "read_text", "read_whole", "show"]

_LONGEST_LINE = 1 << 16  # characters of a line that are looked at to recognise a format
LARGEST = 1e9  # no coordinate in pixels or metres is beyond this


def read_whole(path: Path) -> str:
    """A small text file the reader cannot do without (a list, class names). Raises DataError."""
    findings = Findings()
    text = read_text(path, findings)
    if text is None:
        raise DataError(str(findings.errors[0]))
    return text


def read_text(path: Path, findings: Findings) -> str | None:
    """The whole file, or None where it is missing or not UTF-8; the reason goes to `findings`."""
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        findings.error("missing-label", path, "no such file")
    except UnicodeDecodeError as error:
        findings.error("unreadable-label", path, f"not UTF-8 text (byte {error.start}); save it as UTF-8")
    except OSError as error:
        findings.error("unreadable-label", path, f"cannot be read: {error.strerror or error}")
    else:
        return text.replace("\r\n", "\n").replace("\r", "\n")
    return None


def read_lines(path: Path, findings: Findings) -> list[str] | None:
    """The file's lines without their ends, or None where it cannot be read."""
    text = read_text(path, findings)
    return None if text is None else text.split("\n")


def first_line(path: Path) -> str:
    """The first line of a text file that is not blank; "" where there is none, or the file is no UTF-8 text."""
    try:
        with open(path, encoding="utf-8-sig") as stream:
            return next((line for line in iter(lambda: stream.readline(_LONGEST_LINE), "") if line.strip()), "")
    except (UnicodeDecodeError, OSError):
        return ""


def read_json(path: Path, text: str, findings: Findings) -> Any:
    """The JSON value of a file's text, or None where it is not JSON; the reason goes to `findings`."""
    try:
        value = json.loads(text)
        if value is None:
            findings.error("unreadable-label", path, "it holds nothing but `null`")
        return value
    except json.JSONDecodeError as error:
        findings.error("unreadable-label", path, f"not JSON ({error.msg})", line=error.lineno)
    except RecursionError:
        findings.error("unreadable-label", path, "not JSON that can be read (nested too deep)")
    except ValueError:
        findings.error("unreadable-label", path, "not JSON that can be read (a number has thousands of digits)")
    return None


def number(text: str) -> float | None:
    """A finite number, or None for anything else (`nan` and `inf` are anything else here)."""
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def plain(value: float) -> str:
    """A number as people write it: whole ones without a decimal point, others to a thousandth of a pixel."""
    return f"{round(value, 3):.15g}"


def show(text: str) -> str:
    """A found value between backquotes, safe to print, cut where it would fill the message."""
    text = printable(text)
    return f"`{text}`" if len(text) <= 60 else f"`{text[:57]}...`"
