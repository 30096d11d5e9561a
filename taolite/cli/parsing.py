"""argparse as TAO's users know it: a unique prefix of a flag means that flag, and common flags may stand before the
task or after it.

There are three ranks of flags. First, TAO's own. Second, those in `_OURS`: an abbreviation means one of them only where
no flag of TAO's fits. Third, those marked by `whole`: they must be written in full. New flags of ours get the third
rank, so the abbreviations in existing scripts keep their meaning. After a mistake the parser prints the usage of that
command and the nearest valid name.
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from itertools import zip_longest
from types import MappingProxyType
from typing import Any, NoReturn
from weakref import WeakSet

from taolite.errors import UsageError

__all__ = [
    "JetsonParser",
    "TaoParser",
    "command_line",
    "hidden",
    "is_literal",
    "keys_in",
    "mount_flag",
    "near",
    "outside_flag",
    "pixels_flag",
    "positive",
    "signer_flag",
    "whole",
    "without_effect",
    "without_keys",
]

_OURS = {
    "mount", "json", "runtime", "backend", "compute_capability", "workers", "precision", "target", "force",
    "epoch_start", "compat", "skip_corrupt", "no_pretrained", "resume", "checkpoint_minutes", "keep_checkpoints",
    "enable_determinism",
    "num_nodes", "min_nodes", "node_rank", "master_addr", "master_port", "global_batch_size", "dist_timeout",
    "max_restarts", "onnx_nms",
}  # fmt: skip
"""The names (argparse's `dest`) of flags of our own; `--m` means TAO's `--model` and never `--mount`."""
_WHOLE: WeakSet[argparse.Action] = WeakSet()


class TaoParser(argparse.ArgumentParser):
    """A parser whose messages name the nearest flag or word, and whose usage fits a line.

    Attributes:
        tasks: the words that name a task; flags before the first of them are moved behind it.
        optional: flags whose value may be left out -> the values, the usual one first. Another word behind such a flag
            is no value of it: `--track street.mp4`.
        mixed: words that are no flags may stand before, between and behind the flags.
        elsewhere: called with the parser and its words after a mistake; returns the command line that was meant, if
            another command accepts these words.
    """

    tasks: Collection[str] = ()
    optional: Mapping[str, Sequence[str]] = MappingProxyType({})
    mixed: bool = False
    elsewhere: Callable[[TaoParser, Sequence[str]], str | None] | None = None
    words: Sequence[str] = ()

    def __init__(self, *args: Any, **options: Any) -> None:
        options.setdefault("formatter_class", _Lines)
        super().__init__(*args, **options)

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """See ArgumentParser; an unknown flag is an error of this command, so nothing is left over."""
        self.words = self.spelled(list(sys.argv[1:] if args is None else args))
        at = next((index for index, word in enumerate(self.words) if word in self.tasks), 0)
        words = [*self.words[at : at + 1], *self.words[:at], *self.words[at + 1 :]]
        for index, (word, behind) in enumerate(zip_longest(words, words[1:])):
            if word in self.optional and behind not in self.optional[word]:
                words[index] = f"{word}={self.optional[word][0]}"
        found, left = super().parse_known_args(self._flags_first(words) if self.mixed else words, namespace)
        if left:
            self.error(f"unrecognized arguments: {' '.join(hidden(left))}{self._hint(left)}")
        return found, []

    def _flags_first(self, words: Sequence[str]) -> list[str]:
        """The words with flags and their values first: argparse takes optional places only where they are together."""
        flags: list[str] = []
        places: list[str] = []
        at = 0
        while at < len(words):
            word, at = words[at], at + 1
            if word == "--":
                places += words[at:]
                break
            if not word.startswith("-") or word == "-":
                places.append(word)
                continue
            flags.append(word)
            action = self.flag(word)
            if action is not None and "=" not in word and (word.startswith("--") or word in action.option_strings):
                values = 1 if action.nargs is None else action.nargs
                assert isinstance(values, int), f"{word}: a mixed command line takes no flags with free values"
                flags += words[at : at + values]
                at += values
        return [*flags, *(["--"] if places else []), *places]

    def spelled(self, words: Sequence[str]) -> Sequence[str]:
        """The words in this parser's spelling."""
        return words

    def flag(self, word: str) -> argparse.Action | None:
        """The flag that `word` means, whole or abbreviated; `word` may end in `=VALUE`."""
        name = word.partition("=")[0]
        if name in self._option_string_actions:
            return self._option_string_actions[name]
        found = self._get_option_tuples(name) if name.startswith("-") and len(name) > 1 else []
        return found[0][0] if len(found) == 1 else None

    def error(self, message: str) -> NoReturn:
        """See ArgumentParser; where another command accepts these words, the message names its command line."""
        meant = self.elsewhere(self, self.words) if self.elsewhere is not None else None
        if meant:
            self.exit(2, f"error: {meant}\n")
        unknown = [word for word in self.words if word.startswith("--") and len(word) > 2 and self.flag(word) is None]
        if unknown and message.startswith("the following arguments are required"):
            message += f"; unknown here: {' '.join(unknown)}{self._hint(unknown)}"
        super().error(message)

    def _hint(self, unknown: Sequence[str]) -> str:
        """The known flags nearest to the unknown ones."""
        shown = [
            name
            for name, action in self._option_string_actions.items()
            if action.help != argparse.SUPPRESS and name.startswith("--")
        ]
        hints = (near(word.partition("=")[0], shown) for word in unknown if word.startswith("-"))
        said = ", ".join(dict.fromkeys(hint for hint in hints if hint))
        return f"; did you mean {said}?" if said else ""

    def format_usage(self) -> str:
        """See ArgumentParser; optional flags are left to the help."""
        self._shorten()
        return super().format_usage()

    def format_help(self) -> str:
        """See ArgumentParser."""
        self._shorten()
        return super().format_help()

    def _shorten(self) -> None:
        """`usage: PROG -e SPEC [options] IN [OUT]`, made when it is first shown."""
        if self.usage is not None:
            return
        formatter = self._get_formatter()
        needed = [one for one in self._actions if one.option_strings and one.required]
        formatter.add_usage(None, needed, [], prefix="")
        parts = [formatter.format_help().strip(), "[options]"]
        places = [one for one in self._actions if not one.option_strings and one.help != argparse.SUPPRESS]
        if places:
            formatter = self._get_formatter()
            formatter.add_usage(None, places, [], prefix="")
            parts.append(formatter.format_help().strip().removeprefix(self.prog).strip())
        self.usage = " ".join(" ".join(parts).split()).replace("%", "%%")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """See ArgumentParser; the message names the nearest choice."""
        if action.choices is None or value in action.choices:
            return
        shown = [name for name in map(str, action.choices) if not name.startswith("_")]
        meant = near(str(value), shown)
        hint = f"did you mean {meant}? " if meant else ""
        raise argparse.ArgumentError(action, f"invalid choice: {value!r} ({hint}choose from {', '.join(shown)})")

    def _get_option_tuples(self, option_string: str) -> list[Any]:
        """The flags an abbreviation can mean: each once, ours only where none of TAO's fits, none of `_WHOLE`."""
        flags = {id(one[0]): one for one in super()._get_option_tuples(option_string) if one[0] not in _WHOLE}
        return [one for one in flags.values() if one[0].dest not in _OURS] or list(flags.values())


class JetsonParser(TaoParser):
    """A parser that accepts the spellings of jetson-inference's programs and tutorials: hyphens for underscores and the
    reverse, `--topK` in any case, and `-arch` or `-batch=8` for `--arch` and `--batch-size=8`."""

    def spelled(self, words: Sequence[str]) -> Sequence[str]:
        """The words with their flags in this parser's spelling; an unknown flag is not changed."""
        return [self._spelled(word) for word in words]

    def _spelled(self, word: str) -> str:
        name, equals, value = word.partition("=")
        bare = name.lstrip("-")
        if not name.startswith("-") or len(bare) < 2 or name in self._option_string_actions:
            return word
        for form in dict.fromkeys((bare, bare.replace("_", "-"), bare.replace("-", "_"))):
            for cased in dict.fromkeys((form, form.lower(), form.replace("topk", "topK"))):
                if self.flag(f"--{cased}") is not None:
                    return f"--{cased}{equals}{value}"
        return word


class _Lines(argparse.HelpFormatter):
    """Prints a flag and its help on one line where they fit."""

    def __init__(self, prog: str, **options: Any) -> None:
        super().__init__(prog, max_help_position=36, **options)


class _NoEffect(argparse.Action):
    """A flag that is accepted without effect. When it is given, a message says so, and `const` says why."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        print(f"warning: {option_string} has no effect{self.const}", file=sys.stderr)


def without_effect(
    parser: argparse._ActionsContainer, *flags: str, values: int | str | None = None, why: str = ""
) -> list[argparse.Action]:
    """Accept `flags`, each "--long -s", with one value or `values` of them; hidden from the help."""
    said = f": {why}" if why else " in this version"
    return [
        parser.add_argument(*names.split(), action=_NoEffect, nargs=values, const=said, help=argparse.SUPPRESS)
        for names in flags
    ]


def whole(*flags: argparse.Action) -> None:
    """Mark flags that must be written in full: an abbreviation never means them."""
    _WHOLE.update(flags)


def mount_flag(add: Callable[..., argparse.Action]) -> None:
    """Add --mount with `add`, a parser's or a group's `add_argument`."""
    text = "where a container path lies on this machine; may be repeated"
    add("--mount", action="append", default=[], metavar="SRC:DST", help=text)


class _MaxPixels(argparse.Action):
    """Sets the limit as soon as it is parsed, for this process and those that it starts."""

    def __call__(self, parser: object, namespace: object, values: object, option_string: str | None = None) -> None:
        from taolite.pictures import limit_pixels

        limit_pixels(int(str(values)))


class _AllowOutside(argparse.Action):
    """Takes effect as soon as it is parsed, for this process and those that it starts."""

    def __call__(self, parser: object, namespace: object, values: object, option_string: str | None = None) -> None:
        from taolite.formats.places import allow_outside

        allow_outside()


class _RequireSigner(argparse.Action):
    """Takes effect as soon as it is parsed, for this process and those that it starts."""

    def __call__(self, parser: object, namespace: object, values: object, option_string: str | None = None) -> None:
        from taolite.artifacts.signing import SIGNERS_VARIABLE

        os.environ[SIGNERS_VARIABLE] = str(values)


def signer_flag(add: Callable[..., argparse.Action]) -> None:
    """Add --require-signer with `add`, a parser's or a group's `add_argument`."""
    text = "refuse a model that PUB did not sign: a public key or its file, commas between (TAOLITE_REQUIRE_SIGNER)"
    whole(add("--require-signer", action=_RequireSigner, dest=argparse.SUPPRESS, metavar="PUB", help=text))


def outside_flag(add: Callable[..., argparse.Action]) -> None:
    """Add --allow-outside with `add`, a parser's or a group's `add_argument`."""
    text = "allow images that records and lists name outside their folder and its parent"
    whole(add("--allow-outside", action=_AllowOutside, dest=argparse.SUPPRESS, nargs=0, help=text))


def pixels_flag(add: Callable[..., argparse.Action]) -> None:
    """Add --max-pixels with `add`, a parser's or a group's `add_argument`."""
    text = "largest image that is opened, width x height in pixels (default: 120000000)"
    whole(add("--max-pixels", action=_MaxPixels, dest=argparse.SUPPRESS, type=int, metavar="N", help=text))


def command_line(words: Sequence[str]) -> str:
    """The words as typed in a shell; a key among them is replaced by KEY.

    >>> command_line(["taolite", "show", "a b.tlt", "-k", "secret"])
    "taolite show 'a b.tlt' -k KEY"
    """
    return shlex.join(hidden(words))


def hidden(words: Sequence[str]) -> list[str]:
    """The words with KEY (no longer than the key) in the place of each key; the name of a key file stays.

    >>> hidden(["rekey", "m.tlt", "--old=secret", "--new", "@new.key", "-ksecret"])
    ['rekey', 'm.tlt', '--old=KEY', '--new', '@new.key', '-kKEY']
    """
    return [f"{flag}{_KEY[: len(key)] if is_literal(key) else key}" for flag, key in _with_keys(words)]


def keys_in(words: Sequence[str]) -> list[str]:
    """The keys among the words, and the names of key files with their @."""
    return [key for _, key in _with_keys(words) if key]


def without_keys(words: Sequence[str]) -> list[str]:
    """The words without keys and the flags that give them."""
    return [flag for flag, key in _with_keys(words) if not key and not _gives_key(flag)]


def is_literal(key: str) -> bool:
    """Whether the value of -k is a key itself, and not the name of a key file."""
    return not key.startswith("@") or key.startswith("@@")


_KEY = "KEY"


def _with_keys(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Each word as the part that may be seen and the key behind it, "" where there is none. A word that is a key alone
    has nothing that may be seen."""
    behind = False
    for word in words:
        name, equals, value = word.partition("=")
        if behind:
            yield "", word
        elif _gives_key(name):
            yield (f"{name}=", value) if equals else (name, "")
        elif word.startswith("-k"):
            yield "-k", word[2:]
        else:
            yield word, ""
        behind = not behind and not equals and _gives_key(name)


def _gives_key(flag: str) -> bool:
    """-k, --key or a beginning of it; jetson-inference's programs take `-key` too. `rekey` has --old and --new."""
    return flag in ("-k", "-ke", "-key", "--old", "--new") or (len(flag) > 2 and "--key".startswith(flag))


def near(word: str, names: Iterable[str]) -> str:
    """The nearest of `names` in backquotes, or ""."""
    found = get_close_matches(word, list(names), n=1, cutoff=0.6)
    return f"`{found[0]}`" if found else ""


def positive(flag: str, number: int | None) -> int | None:
    """Returns `number` unchanged. Raises UsageError below 1."""
    if number is not None and number < 1:
        raise UsageError(f"{flag} {number}: needs to be 1 or more")
    return number
