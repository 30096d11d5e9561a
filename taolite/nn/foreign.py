"""Files of weights that somebody else wrote: one wrapper around the libraries that read them, and what stands under a
weights file's name without being one.

torch, zipfile, safetensors and h5py raise some twenty kinds of exceptions over damaged bytes. `reading` turns each into
one error of ours with the file's name. `check_no_impostor` names what a failed download leaves behind.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from taolite.errors import DamagedError, ForeignError, PathError, TaoliteError, TruncatedError

__all__ = ["check_no_impostor", "listed", "printable", "reading"]

_HEAD = 1024  # bytes
_WEB_PAGE = ("<!doctype", "<html", "<head", "<?xml", "<!--", "<error")
_GIT_LFS = "version https://git-lfs.github.com/spec/"
_GIT_ANNEX = ("/annex/objects/", "../.git/annex/objects/", ".git/annex/objects/")
_ARCHIVES = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"7z\xbc\xaf\x27\x1c": "7-Zip",
    b"Rar!\x1a\x07": "RAR",
    b"\x28\xb5\x2f\xfd": "Zstandard",
}
_TAR = 257, b"ustar"  # offset and bytes


@contextmanager
def reading(path: Path, what: str) -> Iterator[None]:
    """Whatever a library raises in this block becomes one error about `path`.

    Args:
        path: the file being read.
        what: what the file should be, for the message ("PyTorch file").

    Raises PathError where the file is missing or may not be read, DamagedError for any other exception. Errors of
    taolite pass as they are.
    """
    try:
        yield
    except TaoliteError:
        raise
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise PathError(f"{path}: cannot be read ({error.strerror or error}); check the path") from error
    except Exception as error:  # bytes that nobody vouches for: see the module
        raise DamagedError(f"{path}: this {what} is damaged or cut short; copy or download it again") from error


def check_no_impostor(path: Path) -> None:
    """Look at the first bytes of `path` for what is saved under the name of a model by mistake.

    Raises TruncatedError for an empty file, ForeignError for a web page, a pointer of Git LFS or git-annex, an archive
    and any other text, each with the way out.
    """
    with reading(path, "file"), open(path, "rb") as stream:
        head = stream.read(_HEAD)
    if not head:
        raise TruncatedError(f"{path}: the file is empty (0 bytes); copy or download it again")
    if (archive := _archive(head)) is not None:
        raise ForeignError(
            f"{path}: this is a {archive} archive; unpack it and name the file inside that holds weights"
        )
    # Windows PowerShell saves pages as UTF-16: without zero bytes it reads as ASCII.
    text = head.replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n").decode("utf-8", "replace")
    if text.lower().startswith(_WEB_PAGE):
        raise ForeignError(
            f"{path}: this is a web page, not weights; download the file itself (on GitHub the link is called `raw`)"
        )
    if text.startswith(_GIT_LFS):
        raise ForeignError(f"{path}: this is a pointer of Git LFS, not weights; run `git lfs pull` in its repository")
    if text.startswith(_GIT_ANNEX):
        raise ForeignError(
            f"{path}: this is a pointer of git-annex, not weights; run `git annex get` in its repository"
        )
    if _is_text(head):
        first = printable(text.splitlines()[0] if text else "")
        raise ForeignError(
            f"{path}: this is text, not weights (it begins `{first}`); check the path, or download again"
        )


def printable(text: str, *, most: int = 40) -> str:
    """`text` from a file as a message may show it: at most `most` characters, with control characters escaped."""
    shown = text if len(text) <= most else text[: most - 3] + "..."
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in shown)


def listed(names: Iterable[object], *, none: str, most: int = 3) -> str:
    """The first names of a file, as a message may show them; `none` where there are none."""
    shown = [printable(str(name), most=60) for _, name in zip(range(most + 1), names, strict=False)]
    return ", ".join([*shown[:most], *(["..."] if len(shown) > most else [])]) or none


def _archive(head: bytes) -> str | None:
    offset, magic = _TAR
    if head[offset : offset + len(magic)] == magic:
        return "tar"
    return next((name for start, name in _ARCHIVES.items() if head.startswith(start)), None)


def _is_text(head: bytes) -> bool:
    """Whether all of it is UTF-8 without control characters other than white space."""
    for cut in range(4):  # the head may end inside a character of up to four bytes
        try:
            text = head[: len(head) - cut].decode("utf-8-sig")
        except UnicodeDecodeError:
            continue
        return bool(text) and all(c.isprintable() or c in "\t\r\n\f" for c in text)
    return False
