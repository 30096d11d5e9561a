"""The key that encrypts artifacts: where it comes from, and a type that does not show it.

A key is a passphrase of one byte or more. It is taken from the first of: `-k KEY`, `-k @FILE` (the file's
text without a byte order mark and its final line break; `@@x` is the key `@x`), the environment variable TAOLITE_KEY,
a prompt.
TAO's default, the empty key, is enough to read plain files; nothing can be encrypted with it
(reference/detectnet_v2.md 2.3).
"""

from __future__ import annotations

import hmac
import os
import stat
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, NoReturn

from taolite.artifacts.variable import KEY_VARIABLE, take_variable, variable
from taolite.errors import PathError, UsageError
from taolite.events import KeyFileOdd, KeyFileOpen, Listener, silent

__all__ = [
    "KEY_VARIABLE",
    "PUBLISHED",
    "Key",
    "check_mode",
    "find_key",
    "find_key_if_given",
    "take_variable",
    "terminal_prompt",
    "variable",
]

PUBLISHED = ("tlt_encode", "nvidia_tlt")
"""The keys of NVIDIA's published models: everybody knows them."""
_BOM = b"\xef\xbb\xbf"
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
_LARGEST = 1 << 16  # bytes of a key
_WAYS = f"give -k KEY, -k @FILE, or set {KEY_VARIABLE}"


class Key:
    """A passphrase that repr, str, format and tracebacks do not show, and that cannot be pickled.

    `Key("tlt_encode")` and `Key(b"tlt_encode")` are the same key. Raises UsageError for an empty one.
    """

    __slots__ = ("_secret",)

    def __init__(self, secret: str | bytes) -> None:
        # surrogateescape: a key typed in a terminal of another encoding keeps its bytes
        self._secret = secret.encode("utf-8", "surrogateescape") if isinstance(secret, str) else bytes(secret)
        if not self._secret:
            raise UsageError(f"the key is empty; a sealed file needs a key; {_WAYS}")

    def reveal(self) -> bytes:
        """The passphrase itself. Only the key derivation needs it."""
        return self._secret

    def __repr__(self) -> str:
        return "Key(hidden)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Key) and hmac.compare_digest(self._secret, other._secret)

    def __hash__(self) -> int:
        return hash(self._secret)

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Key is not pickled: it would end up, readable, in a file or a pipe")


def find_key_if_given(
    option: str | None, *, environ: Mapping[str, str] | None = None, listener: Listener = silent
) -> Key | None:
    """The key of `-k` or TAOLITE_KEY, or None. For commands that also read plain files.

    Args:
        option: the value of `-k`, or None; "" (TAO's default) means not given.
        environ: environment variables (default: of this process).
        listener: is told of a key file that others can read, or that does not hold the key and one line break alone.

    Raises:
        PathError: the file of `-k @FILE` cannot be read.
        UsageError: that file is empty, or is text in UTF-16.
    """
    if option:
        return _from_option(option, listener)
    secret = variable() if environ is None else environ.get(KEY_VARIABLE, "")
    return Key(secret) if secret else None


def find_key(
    option: str | None,
    *,
    prompt: Callable[[str], str] | None = None,
    environ: Mapping[str, str] | None = None,
    listener: Listener = silent,
) -> Key:
    """The key of `-k`, TAOLITE_KEY or a prompt. For commands that write an encrypted file.

    Args:
        option: the value of `-k`, or None. "" is refused: it is most often an unset variable of a script, and a file
            encrypted with a key that nobody knows is lost.
        prompt: asks for the key, e.g. `terminal_prompt()`; None: do not ask.
        environ: environment variables (default: of this process).
        listener: see `find_key_if_given`.

    Raises:
        UsageError: no key, or an empty one. PathError: the file of `-k @FILE` cannot be read.
    """
    if option == "":
        raise UsageError(f"-k is empty (is the variable behind it set?), and a sealed file needs a key; {_WAYS}")
    key = find_key_if_given(option, environ=environ, listener=listener)
    if key is not None:
        return key
    if prompt is not None:
        return Key(prompt("key: "))
    raise UsageError(f"a key is needed, and none was given; {_WAYS}")


def terminal_prompt() -> Callable[[str], str] | None:
    """A prompt that does not echo, if stdin is a terminal; None in scripts and pipes."""
    if not (sys.stdin is not None and sys.stdin.isatty()):
        return None
    from getpass import getpass

    return getpass


def _from_option(option: str, listener: Listener) -> Key:
    if not option.startswith("@") or option.startswith("@@"):
        return Key(option.removeprefix("@"))
    path = Path(option[1:]).expanduser()
    try:
        with open(path, "rb") as stream:  # a pipe too, as in -k @<(pass show tao)
            check_mode(path, stream, listener)
            data = stream.read(_LARGEST + 1)
    except OSError as error:
        raise PathError(f"{path}: the key file of -k @FILE cannot be read ({error.strerror})") from error
    if len(data) > _LARGEST:
        raise UsageError(f"{path}: more than {_LARGEST} bytes; a key file holds the key on one line and nothing else")
    if data.startswith(_UTF16):
        raise UsageError(f"{path}: this key file is text in UTF-16; save it as UTF-8, which every tool reads")
    if data.startswith(_BOM):
        listener(KeyFileOdd(path, "bom"))
    data = data.removeprefix(_BOM)
    secret = data.removesuffix(b"\n").removesuffix(b"\r")
    if not secret:
        raise UsageError(f"{path}: the key file is empty; write the key in it, on one line")
    if data.endswith(b"\r\n"):
        listener(KeyFileOdd(path, "crlf"))
    if b"\n" in secret or b"\r" in secret:
        listener(KeyFileOdd(path, "lines"))
    elif secret != secret.strip():
        listener(KeyFileOdd(path, "spaces"))
    return Key(secret)


def check_mode(path: Path, stream: IO[bytes], listener: Listener) -> None:
    """Tell of a key file that other users can read."""
    status = os.fstat(stream.fileno())
    if os.name == "posix" and stat.S_ISREG(status.st_mode) and status.st_mode & 0o044:
        listener(KeyFileOpen(path, stat.S_IMODE(status.st_mode)))
