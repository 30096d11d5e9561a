"""The key that encrypts artifacts: where it comes from, and a type that does not show it.

A key is a passphrase of one byte or more. It is taken from the first of: `-k KEY`, `-k @FILE` (the file's
text without its final line break; `@@x` is the key `@x`), the environment variable TAOLITE_KEY, a prompt.
TAO's default, the empty key, is enough to read plain files; nothing can be encrypted with it
(reference/detectnet_v2.md 2.3).
"""

from __future__ import annotations

import hmac
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NoReturn

from taolite.errors import PathError, UsageError

__all__ = ["KEY_VARIABLE", "Key", "find_key", "find_key_if_given", "terminal_prompt"]

KEY_VARIABLE = "TAOLITE_KEY"
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


def find_key_if_given(option: str | None, *, environ: Mapping[str, str] | None = None) -> Key | None:
    """The key of `-k` or TAOLITE_KEY, or None. For commands that also read plain files.

    Args:
        option: the value of `-k`, or None; "" (TAO's default) means not given.
        environ: environment variables (default: of this process).

    Raises:
        PathError: the file of `-k @FILE` cannot be read.
        UsageError: that file is empty.
    """
    if option:
        return _from_option(option)
    secret = (os.environ if environ is None else environ).get(KEY_VARIABLE, "")
    return Key(secret) if secret else None


def find_key(
    option: str | None,
    *,
    prompt: Callable[[str], str] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Key:
    """The key of `-k`, TAOLITE_KEY or a prompt. For commands that write an encrypted file.

    Args:
        option: the value of `-k`, or None. "" is refused: it is most often an unset variable of a script, and a file
            encrypted with a key that nobody knows is lost.
        prompt: asks for the key, e.g. `terminal_prompt()`; None: do not ask.
        environ: environment variables (default: of this process).

    Raises:
        UsageError: no key, or an empty one. PathError: the file of `-k @FILE` cannot be read.
    """
    if option == "":
        raise UsageError(f"-k is empty (is the variable behind it set?), and a sealed file needs a key; {_WAYS}")
    key = find_key_if_given(option, environ=environ)
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


def _from_option(option: str) -> Key:
    if not option.startswith("@") or option.startswith("@@"):
        return Key(option.removeprefix("@"))
    path = Path(option[1:]).expanduser()
    try:
        with open(path, "rb") as stream:  # a pipe too, as in -k @<(pass show tao)
            data = stream.read(_LARGEST + 1)
    except OSError as error:
        raise PathError(f"{path}: the key file of -k @FILE cannot be read ({error.strerror})") from error
    if len(data) > _LARGEST:
        raise UsageError(f"{path}: more than {_LARGEST} bytes; a key file holds the key on one line and nothing else")
    secret = data.removesuffix(b"\n").removesuffix(b"\r")
    if not secret:
        raise UsageError(f"{path}: the key file is empty; write the key in it, on one line")
    return Key(secret)
