"""Label files as text: UTF-8 with or without a byte order mark, numbers that are numbers, values as messages show
them.
"""

from __future__ import annotations

import math
from pathlib import Path

from taolite.errors import DataError
from taolite.formats.findings import Findings

__all__ = ["number", "plain", "read_lines", "read_text", "read_whole", "show"]


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
        findings.error("missing-label", path, "this file is missing; restore it")
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
    """A found value between backquotes, cut where it would fill the message."""
    return f"`{text}`" if len(text) <= 60 else f"`{text[:57]}...`"
