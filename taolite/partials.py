"""Temporary files and folders, which take their name once they are complete.

`.NAME.PROCESS.RANDOM.partial` lies beside NAME, so that one rename puts it in place. The writer holds a lock on it,
also on a disk that several machines share. The next process that writes to the folder removes those without a lock:
their writers were killed. A video that was cut off can be played, so it gets a visible name: `out.1a2b3c4d.mp4`.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO

try:
    import fcntl
except ImportError:  # Windows has no such locks; nothing is removed there
    fcntl = None  # type: ignore[assignment]

__all__ = ["Partial", "clear", "discard", "leftovers", "sweep", "sync", "sync_disk"]

_NAME = 40  # characters of the target's name; a file's whole name has 255 bytes at most
_PARTIAL = re.compile(r"\.(.+)\.\d+\.([0-9a-f]{8})\.partial(\.[a-z0-9]+)?", re.DOTALL)
_UNSUPPORTED = (errno.EINVAL, errno.EBADF, errno.ENOSYS, errno.EOPNOTSUPP)  # by a disk that cannot flush a folder
_TELLS = (5, 8)  # the first Linux whose syncfs(2) tells of writes that failed
_swept: set[str] = set()  # folders that this process has swept: each is listed once, also one of a million labels


class Partial:
    """A temporary file or folder for `target`, locked until `keep` or `drop`.

    path: where it is. stream: the open file, None of a folder. Methods raise OSError.
    """

    path: Path
    stream: IO[bytes] | None = None

    def __init__(self, target: Path, *, is_folder: bool = False, ending: str = "") -> None:
        """Make it, and the missing parents of `target`. ending: of a video's name, which tells encoders what to do."""
        self._target, self._is_folder, self._folder, self._is_kept = target, is_folder, -1, False
        target.parent.mkdir(parents=True, exist_ok=True)
        if not is_folder and target.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(target))
        sweep(target.parent)
        name = target.stem if ending else target.name
        self.path = target.with_name(f".{name[:_NAME]}.{os.getpid()}.{secrets.token_hex(4)}.partial{ending}")
        while not self._make():  # another process swept it away before it was locked
            self._close()

    def keep(self, *, durable: bool = True) -> None:
        """Give it its name. durable: flush a file before. The name is on the disk after `sync` of the parent."""
        if self.stream is not None:
            self.stream.flush()
            if durable:
                os.fsync(self.stream.fileno())
        if fcntl is None:
            self._close()
            if self._is_folder:
                with suppress(FileNotFoundError):
                    self._target.rmdir()  # an empty folder, which a rename replaces elsewhere
        self.path.replace(self._target)  # before it is closed, which releases the lock
        self._is_kept = True
        self._close()

    def drop(self) -> None:
        """Remove it, unless it was kept. It stays where it cannot be removed: the error under way says why."""
        if self._is_kept:
            return
        if self._is_folder:
            shutil.rmtree(self.path, ignore_errors=True)
        else:
            with suppress(OSError):
                self.path.unlink()
        with suppress(OSError):  # what is still to be written, on a full disk
            self._close()

    def _make(self) -> bool:
        """Make and lock it; whether it is still there."""
        if self._is_folder:
            self.path.mkdir()
            if fcntl is not None:
                with suppress(FileNotFoundError):  # swept away
                    self._folder = os.open(self.path, os.O_RDONLY)
        else:
            self.stream = open(self.path, "wb")  # noqa: SIM115  (closed by `keep` and `drop`)
        if fcntl is None:
            return True
        with suppress(OSError):  # a disk without locks
            fcntl.flock(self._folder if self.stream is None else self.stream, fcntl.LOCK_EX)
        return self.path.exists()

    def _close(self) -> None:
        if self.stream is not None:
            self.stream.close()
        if self._folder >= 0:
            os.close(self._folder)
            self._folder = -1


def sweep(folder: Path) -> None:
    """Remove what processes that were killed left in `folder`. A process does this once for each folder."""
    place = os.path.abspath(folder)  # noqa: PTH100  (links stay as they are)
    if fcntl is None or place in _swept:
        return
    _swept.add(place)
    with suppress(OSError), os.scandir(place) as entries:
        for entry in entries:
            if _PARTIAL.fullmatch(entry.name) and not entry.is_symlink():
                clear(Path(entry.path))


def clear(partial: Path) -> None:
    """Remove a temporary file or folder, or rename a video, unless its writer is running, and so has it locked."""
    with suppress(OSError):
        handle = os.open(partial, os.O_RDONLY if partial.is_dir() else os.O_RDWR)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            video = _PARTIAL.fullmatch(partial.name)
            if partial.is_dir():
                shutil.rmtree(partial)
            elif video and video[3] and os.fstat(handle).st_size:
                partial.rename(partial.with_name(f"{video[1]}.{video[2]}{video[3]}"))
            else:
                partial.unlink()
        finally:
            os.close(handle)


def leftovers(folder: Path) -> list[Path]:
    """What processes that were killed left in `folder`, sorted; nothing is removed. Empty where there are no locks."""
    if fcntl is None:
        return []
    with suppress(OSError), os.scandir(folder) as entries:
        names = [entry.name for entry in entries if _PARTIAL.fullmatch(entry.name) and not entry.is_symlink()]
        return [folder / name for name in sorted(names) if _is_left(folder / name)]
    return []


def _is_left(partial: Path) -> bool:
    with suppress(OSError):
        handle = os.open(partial, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return True
        finally:
            os.close(handle)
    return False


def discard(folder: Path) -> None:
    """Remove a folder. It loses its name at once; what a kill or an error leaves of it, `sweep` removes."""
    doomed = folder.with_name(f".{folder.name[:_NAME]}.{os.getpid()}.{secrets.token_hex(4)}.partial")
    folder.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def sync_disk(folder: Path) -> bool:
    """Flush the disk that `folder` is on, in one go; False where the system cannot, or would not tell of a write that
    failed. Raises OSError."""
    kernel = re.match(r"(\d+)\.(\d+)", os.uname().release) if sys.platform == "linux" else None
    if kernel is None or (int(kernel[1]), int(kernel[2])) < _TELLS:
        return False
    import ctypes

    flush = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if flush is None:
        return False
    handle = os.open(folder, os.O_RDONLY)
    try:
        if flush(handle) == 0:
            return True
        code = ctypes.get_errno()
        if code not in _UNSUPPORTED:
            raise OSError(code, os.strerror(code), str(folder))
        return False
    finally:
        os.close(handle)


def sync(path: Path) -> None:
    """Flush a file, or the names in a folder, to the disk, if the system can open it. Raises OSError where it fails."""
    try:
        handle = os.open(path, os.O_RDONLY)
    except OSError:  # a folder on Windows, a file that its owner may not read
        return
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _UNSUPPORTED:
            raise
    finally:
        os.close(handle)
