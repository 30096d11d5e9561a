"""Errors that a user can fix. They print without a traceback and end the command with exit code 1,
or 75 (EX_TEMPFAIL: try again) for a run that was stopped and can be resumed.

TaoliteError
├── SpecError        a spec file: all its problems at once, each with line and nearest name
├── UsageError       a wrong flag or argument
├── PathError        a file or folder that is missing, unreadable, or in the way
├── StorageError     the disk is full or read-only; the old files are unchanged
├── DataError        labels or images that cannot be used: which file, which line
│   ├── PictureError     a picture that cannot be decoded, or is larger than allowed
│   └── StreamError      a server that failed while it was read, or a camera that was lost; the data may be good
├── ArtifactError    a .tlt, .etlt or checkpoint that cannot be used
│   ├── WrongKeyError    the file is intact; it was sealed with another key
│   ├── TruncatedError   the end of the file is missing
│   ├── DamagedError     bytes of the file were changed
│   ├── SignatureError   the file is not signed, or by a signer who is not trusted, or was changed since
│   └── ForeignError     another program's file (NVIDIA's closed codec, a pickle, another format)
├── ModelError       the model does not fit the spec, or the weights do not fit the model
├── TrainingError    a run that cannot continue (a loss that is not finite, the folder of another run)
│   └── StoppedError     a run that was told to stop, saved its state and can be resumed; exit code 75
└── EngineError      a runtime that is missing, or an engine that cannot be built, is stale or foreign

A message says where, what was found, what is needed, and what to do. Any other exception is a bug of taolite and keeps
its traceback. Keys never appear in a message.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from taolite.wording import counted

__all__ = [
    "MOST_SHOWN",
    "ArtifactError",
    "DamagedError",
    "DataError",
    "EngineError",
    "ForeignError",
    "ModelError",
    "PathError",
    "PictureError",
    "SignatureError",
    "SpecError",
    "SpecProblem",
    "StoppedError",
    "StorageError",
    "StreamError",
    "TaoliteError",
    "TrainingError",
    "TruncatedError",
    "UsageError",
    "WrongKeyError",
    "printable",
    "reading",
    "reason",
]


class TaoliteError(Exception):
    """Base of all errors that a user can fix."""


class UsageError(TaoliteError):
    """A wrong flag or argument."""


class PathError(TaoliteError):
    """A file or folder that is missing, unreadable or in the way."""


class StorageError(TaoliteError):
    """Writing failed (full disk, read-only folder). An older file is unchanged."""


class DataError(TaoliteError):
    """Labels or images that cannot be used. The message names the file and the line."""


class PictureError(DataError):
    """A picture that cannot be used. `reason` says why, without the file's name."""

    def __init__(self, path: Path | str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path}: not a readable image ({reason}); replace the file or remove it")

    def __reduce__(self) -> tuple[type[PictureError], tuple[Path | str, str]]:
        return type(self), (self.path, self.reason)


class StreamError(DataError):
    """A server failed while one of its files was read, or a camera or stream was lost. The data itself may be good."""


class ArtifactError(TaoliteError):
    """A .tlt, .etlt or checkpoint that cannot be used."""


class WrongKeyError(ArtifactError):
    """The file is intact, and was sealed with another key."""


class TruncatedError(ArtifactError):
    """The end of the file is missing."""


class DamagedError(ArtifactError):
    """Bytes of the file were changed after it was written."""


class SignatureError(ArtifactError):
    """The file is not signed, or not by a signer who is asked for, or was changed after it was signed."""


class ForeignError(ArtifactError):
    """The file was made by another program."""


class ModelError(TaoliteError):
    """The model does not fit the spec, or the weights do not fit the model."""


class TrainingError(TaoliteError):
    """A run that cannot continue."""


class StoppedError(TrainingError):
    """A run that was told to stop. Its state is saved; the same command resumes it."""


class EngineError(TaoliteError):
    """A runtime is missing, or an engine cannot be built or used."""


MOST_SHOWN = 200  # problems of one file; a file that is not a spec has one problem for each word


@dataclass(frozen=True, order=True)
class SpecProblem:
    """One problem of a spec file. Lines and columns are counted from 1; line 0 is the file as a whole."""

    line: int
    column: int
    text: str

    @property
    def said(self) -> str:
        """The text with its line, where it has one."""
        return f"line {self.line}: {self.text}" if self.line else self.text


class SpecError(TaoliteError):
    """All problems of one spec file, in file order."""

    def __init__(self, path: Path | str, problems: Sequence[SpecProblem]) -> None:
        self.path = str(path)
        self.problems = tuple(sorted(problems))
        count = len(self.problems)
        head = f"{self.path}: {counted(count, 'problem')}"
        shown = self.problems[:MOST_SHOWN]
        rows = [f"  line {p.line}:{p.column}: {p.text}" if p.line else f"  {p.text}" for p in shown]
        if count > len(shown):
            rows.append(f"  and {count - len(shown)} more; fix these first")
        super().__init__("\n".join([head, *rows]))

    def __reduce__(self) -> tuple[type[SpecError], tuple[str, tuple[SpecProblem, ...]]]:
        return type(self), (self.path, self.problems)


@contextmanager
def reading(
    where: Path | str, raises: Callable[[str], TaoliteError], *, found: str, way_out: str = ""
) -> Iterator[None]:
    """A `with` block that reads untrusted bytes: any exception inside becomes one error of ours.

    The message is `WHERE: FOUND (reason); WAY OUT`. Our own errors pass unchanged, and an OSError becomes a PathError.

    Args:
        where: the file, with the line if it is known.
        raises: the class of the error, as `DamagedError`.
        found: what is wrong, as "not a manifest".
        way_out: what to do.
    """
    try:
        yield
    except TaoliteError:
        raise
    except OSError as error:
        raise PathError(f"{where}: cannot be read ({error.strerror or error})") from error
    except Exception as error:
        raise raises(f"{where}: {found} ({reason(error)}){way_out and '; '}{way_out}") from error


def reason(error: Exception) -> str:
    """The text of an exception, in words that are clear without its type."""
    if isinstance(error, KeyError):
        return f"`{error.args[0]}` is missing" if error.args else "a name is missing"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return str(error) or type(error).__name__


_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters, all but tab and line break
    "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff"  # writing direction, line breaks
    "\ud800-\udfff]"  # surrogates
)


def printable(text: str) -> str:
    """`text` made safe for a terminal or a log.

    Names from files and specs may contain characters that control a terminal or change the writing direction, and
    bytes that are not UTF-8. They are replaced by `\\x1b`, `\\u202e` and so on; line breaks and tabs are kept.

    >>> print(printable("cat" + chr(27) + "[2J"))
    cat\\x1b[2J
    """
    return _UNPRINTABLE.sub(lambda found: _escaped(ord(found[0])), text)


def _escaped(code: int) -> str:
    """One character in hexadecimal. In a file name that is not UTF-8, Python represents byte 0xNN as U+DCNN."""
    byte = code - 0xDC00 if 0xDC80 <= code <= 0xDCFF else code
    return f"\\x{byte:02x}" if byte < 256 else f"\\u{code:04x}"
