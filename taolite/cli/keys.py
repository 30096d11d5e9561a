"""The keys of a command: found, warned of, and kept away from everybody else.

`begin` is called once, by the entry points of a process: it takes keys out of what other users and child processes can
see. The warnings are printed once a process, on stderr, and not by the processes that a training starts.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from taolite.cli.parsing import hidden, is_literal, keys_in

if TYPE_CHECKING:
    from taolite.artifacts.keys import Key
    from taolite.events import Event

__all__ = ["begin", "opening_key", "option_of", "sealing_key", "user_environment", "warn_once"]

_said: set[str] = set()
_typed: list[str] = []  # the keys that this process's command line shows
_begun: list[bool] = []


def begin(words: Sequence[str]) -> None:
    """Hide the keys of this process: those in its command line `words`, and TAOLITE_KEY.

    In the list of processes a key becomes KEY, where the system allows that. Processes that are started from now on do
    not inherit TAOLITE_KEY; `user_environment` is for those that the user asked for.
    """
    from taolite.artifacts.variable import KEY_VARIABLE, take_variable

    _begun.append(True)
    _typed.extend(key for key in keys_in(words) if is_literal(key))
    if _typed:
        from taolite.artifacts.hiding import hide_words

        hide_words(hidden)
        sys.argv[1:] = hidden(sys.argv[1:])
        sys.orig_argv[:] = hidden(sys.orig_argv)
    if KEY_VARIABLE in os.environ:
        from taolite.artifacts.hiding import hide_variable

        take_variable()
        hide_variable(KEY_VARIABLE)


def user_environment() -> dict[str, str]:
    """The environment for a command of the user's, which may want the key."""
    from taolite.artifacts.variable import KEY_VARIABLE, variable

    return {**os.environ, **({KEY_VARIABLE: value} if (value := variable()) else {})}


def opening_key(option: str | None) -> Key | None:
    """The key of -k or TAOLITE_KEY, None where there is none; see `taolite.artifacts.keys.find_key_if_given`."""
    from taolite.artifacts.keys import find_key_if_given

    return _warned(find_key_if_given(option, listener=warn_once))


def sealing_key(option: str | None, *, prompt: Callable[[str], str] | None = None) -> Key:
    """The key of -k, TAOLITE_KEY or a prompt; see `taolite.artifacts.keys.find_key`."""
    from taolite.artifacts.keys import find_key

    key = find_key(option, prompt=prompt, listener=warn_once)
    _warned(key)
    return key


def option_of(key: str) -> str | None:
    """The value of -k that means this key; None for no key."""
    return (f"@{key}" if key.startswith("@") else key) or None


def _warned(key: Key | None) -> Key | None:
    """Print what there is to say of a key that this process was given; one line at most."""
    from taolite.artifacts.keys import PUBLISHED, Key

    if key is None or not _begun or "TORCHELASTIC_RUN_ID" in os.environ:
        return key
    published = next((name for name in PUBLISHED if key == Key(name)), None)
    if published is not None:
        _warn(
            f"the key {published} is published, so it protects nothing; `taolite key new FILE` makes one for -k @FILE"
        )
    elif any(key == Key(typed.removeprefix("@")) for typed in _typed):
        _warn(
            "the key in this command line is kept in the shell's history; give it as -k @FILE (`taolite key new FILE` "
            "makes one), or in TAOLITE_KEY"
        )
    return key


def warn_once(event: Event) -> None:
    """A listener that prints each warning once a process."""
    from taolite.cli.words import lines

    for line in lines(event):
        _warn(line.text)


def _warn(text: str) -> None:
    from taolite.errors import printable

    if text not in _said:
        _said.add(text)
        print(f"warning: {printable(text)}", file=sys.stderr, flush=True)
