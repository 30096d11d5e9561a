"""The one wrapper around untrusted data: any error that a reader raises becomes taolite's own error, with file and
position.

Readers check for the errors they expect and report them in their own words. This wrapper is for all other errors: a
number of five thousand digits, a path of three hundred letters, a list where a text is expected.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from taolite.errors import DataError, TaoliteError
from taolite.formats.findings import Findings
from taolite.formats.printing import printable

__all__ = ["guarded", "reason"]

_LONGEST = 160  # characters shown of another library's message


@contextmanager
def guarded(path: Path | str, findings: Findings | None = None, *, place: str = "") -> Iterator[None]:
    """Run the block; an error that is not taolite's becomes a finding on the file `path`, or a DataError without
    `findings`.

    Args:
        path: the file that is read.
        findings: collects the error, and the block ends there; None raises it.
        place: the position in the file ("record 3"), for the message.
    """
    try:
        yield
    except (TaoliteError, AssertionError):  # a failed assertion is our own bug
        raise
    except Exception as error:
        text = f"{place}: cannot be read ({reason(error)})" if place else f"cannot be read ({reason(error)})"
        if findings is None:
            raise DataError(f"{path}: {text}") from error
        findings.error("unreadable-label", Path(path), text)


def reason(error: BaseException) -> str:
    """Another library's error in one line."""
    if isinstance(error, OSError):
        return error.strerror or type(error).__name__
    text = printable(" ".join(str(error).split()))
    text = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
