"""jetson-utils' Log: lines on stderr or in a file, by level; and how a script ends with an error the user can mend."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from types import TracebackType

import taolite
from taolite.errors import TaoliteError, UsageError, printable
from taolite.events import Downloading, Event, Exporting, Notice
from taolite.files import storage_error

__all__ = ["Log", "logUsage", "short_errors", "told"]

LEVELS = ("silent", "error", "warning", "success", "info", "verbose", "debug")


class Log:
    """Messages of these levels; those above `GetLevel` are left out. The level at the beginning is `success`."""

    _level = LEVELS.index("success")
    _file: Path | None = None

    @staticmethod
    def Error(text: str) -> None:
        Log._say("error", text)

    @staticmethod
    def Warning(text: str) -> None:
        Log._say("warning", text)

    @staticmethod
    def Success(text: str) -> None:
        Log._say("success", text)

    @staticmethod
    def Info(text: str) -> None:
        Log._say("info", text)

    @staticmethod
    def Verbose(text: str) -> None:
        Log._say("verbose", text)

    @staticmethod
    def Debug(text: str) -> None:
        Log._say("debug", text)

    @staticmethod
    def GetLevel() -> str:
        """The name of the level."""
        return LEVELS[Log._level]

    @staticmethod
    def SetLevel(level: str) -> None:
        """Raises UsageError for an unknown level."""
        if level not in LEVELS:
            raise UsageError(f"Log.SetLevel: {level!r} is no level; they are {', '.join(LEVELS)}")
        Log._level = LEVELS.index(level)

    @staticmethod
    def GetFilename() -> str:
        """The file of the log; "stderr" without one."""
        return "stderr" if Log._file is None else str(Log._file)

    @staticmethod
    def SetFilename(filename: str) -> None:
        """Append to a file, or write to "stderr". What is said then raises StorageError where the file refuses it."""
        Log._file = None if filename in ("", "stderr", "stdout") else Path(filename).expanduser()

    @staticmethod
    def Usage() -> str:
        """The flags of a log."""
        return logUsage()

    @staticmethod
    def _say(level: str, text: str) -> None:
        if LEVELS.index(level) > Log._level:
            return
        line = text if text.endswith("\n") else f"{text}\n"
        if Log._file is None:
            sys.stderr.write(line)
        else:
            try:
                with open(Log._file, "a", encoding="utf-8") as stream:
                    stream.write(line)
            except OSError as error:
                raise storage_error(Log._file, error) from error


def logUsage() -> str:
    """The flags that jetson's programs have for their log."""
    return f"logging: Log.SetLevel(LEVEL), LEVEL being one of {', '.join(LEVELS)}; Log.SetFilename(FILE)"


def told(event: Event) -> None:
    """A listener that logs what takes long, and what needs the user's attention."""
    if isinstance(event, Downloading):
        Log.Success(f"downloading {event.url} to {event.path}")
    elif isinstance(event, Exporting):
        Log.Success(f"making {event.path}, which is done once")
    elif isinstance(event, Notice) and event.level == "warning":
        Log.Warning(event.text)


def short_errors() -> None:
    """Let a script that ends with a TaoliteError print one message and the script's own line, and no traceback."""
    if sys.excepthook is not _short:
        _short.before = sys.excepthook
        sys.excepthook = _short


class _Short:
    """The hook, and the one before it."""

    before = staticmethod(sys.__excepthook__)

    def __call__(self, kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        if not isinstance(error, TaoliteError):
            return self.before(kind, error, trace)
        ours = str(Path(taolite.__file__).parent)
        theirs = [one for one in traceback.extract_tb(trace) if not one.filename.startswith(ours)]
        where = f"{theirs[-1].filename}, line {theirs[-1].lineno}: " if theirs else ""
        sys.stderr.write(f"{where}error: {printable(str(error))}\n")


_short = _Short()
