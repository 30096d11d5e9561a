"""Parser of protobuf text format. The result is a tree with lines and columns.

The tree has no types. A `Block` is the inside of `{ }` (or of the file); it has `Entry`s in file order, each with a
name and values. A value is a `Block` or a `Scalar` (the raw tokens). What a token means (a float? an enum name?) is
decided in `bind`, where the type is known. Lines and columns are counted from 1, columns in characters.

The parser does not stop at the first mistake: it continues at the next line, and reports all problems.
The grammar is that of the `protobuf` package's `text_format` (the oracle of the tests), less extensions (`[name]`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from taolite.errors import SpecProblem

__all__ = ["Block", "Entry", "Scalar", "Token", "Tree", "comments", "parse", "shown"]

_LONGEST_NAME = 200  # characters; the longest of TAO's fields has 40
_LONGEST_SHOWN = 80  # characters of a word that a message quotes
_DEEPEST = 100  # nested blocks; a spec has 7. Python's own recursion limit is far above


@dataclass(frozen=True)
class Token:
    """One word of the text. text: as written, with quotes; empty at the end of the file."""

    kind: Literal["name", "number", "string", "symbol", "end"]
    text: str
    line: int
    column: int


@dataclass(frozen=True)
class Scalar:
    """A value that is not a block: one token, or several adjacent string tokens, which are one string."""

    tokens: tuple[Token, ...]

    @property
    def line(self) -> int:
        """Line of its first token."""
        return self.tokens[0].line

    @property
    def column(self) -> int:
        """Column of its first token."""
        return self.tokens[0].column

    @property
    def text(self) -> str:
        """As written, with a blank between adjacent strings. For messages: a long text is shortened."""
        return shown(" ".join(token.text for token in self.tokens))


@dataclass
class Block:
    """The inside of `{ }`. Line and column are those of the brace (1:1 for the file); `end` those of the closing brace
    (of the end of the file)."""

    line: int
    column: int
    entries: list[Entry] = field(default_factory=list)
    closed: bool = True
    end: tuple[int, int] = (0, 0)


Value: TypeAlias = Scalar | Block


@dataclass
class Entry:
    """`name: value`, `name { }` or `name: [value, value]`; line and column are those of the name, `end` those of the
    character behind it and its `,` or `;`."""

    name: str
    line: int
    column: int
    values: list[Value]
    is_list: bool
    has_colon: bool
    end: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class Tree:
    """A whole file: its outermost block, and the syntax problems in file order."""

    root: Block
    problems: tuple[SpecProblem, ...]


def parse(text: str) -> Tree:
    """Parse `text`. The tree has everything that could be read, and the problems."""
    return _Parser(_tokens(text)).file()


_COMMENT = re.compile(r"#[^\n]*")
_BLANK = re.compile(r"(?:\s+|#[^\n]*)+")
_WORDS = re.compile(
    r"""(?P<name>[A-Za-z_][0-9A-Za-z_+-]*)
      | (?P<number>(?:[0-9+-]|\.[0-9])[0-9A-Za-z_.+-]*)
      | (?P<string>"(?:[^"\\\n]|\\[^\n])*(?:"|\\?(?=\n|\Z))|'(?:[^'\\\n]|\\[^\n])*(?:'|\\?(?=\n|\Z)))
      | (?P<symbol>.)""",
    re.VERBOSE | re.DOTALL,
)


def _tokens(text: str) -> list[Token]:
    """Split `text` into tokens; the last has the kind `end`. A string without a closing quote ends with its line."""
    tokens: list[Token] = []
    position, line, line_start = 0, 1, 0
    while True:
        blank = _BLANK.match(text, position)
        if blank:
            line += blank.group().count("\n")
            if "\n" in blank.group():
                line_start = text.rindex("\n", position, blank.end()) + 1
            position = blank.end()
        word = _WORDS.match(text, position)
        if word is None:
            tokens.append(Token("end", "", line, position - line_start + 1))
            return tokens
        kind = word.lastgroup
        assert kind in ("name", "number", "string", "symbol")
        tokens.append(Token(kind, word.group(), line, position - line_start + 1))  # type: ignore[arg-type]
        position = word.end()


def comments(text: str) -> list[tuple[int, str]]:
    """The comments of `text` with their offsets, in order; without white space at their ends."""
    found, position = [], 0
    while position < len(text):
        blank = _BLANK.match(text, position)
        if blank:
            for comment in _COMMENT.finditer(text, position, blank.end()):
                found.append((comment.start(), comment.group().rstrip()))
            position = blank.end()
        word = _WORDS.match(text, position)
        position = word.end() if word else len(text)
    return found


_CLOSING = {"{": "}", "<": ">"}


class _UnreadableError(Exception):
    """The rest of the current entry cannot be read. The problem is already recorded."""


class _TooDeepError(Exception):
    """Parsing ends here. The problem is already recorded."""


class _Parser:
    """Recursive descent parser, with one method for each rule of the grammar."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._problems: list[SpecProblem] = []

    def file(self) -> Tree:
        root = Block(1, 1)
        while self._token.kind != "end":
            if self._token.text in ("}", ">"):
                self._note(self._token, f"`{self._token.text}` closes no block; remove it, or open its block above")
                self._next()
                continue
            try:
                self._entry_into(root, "", 0)
            except _TooDeepError:
                break
        root.end = (self._tokens[-1].line, self._tokens[-1].column)
        return Tree(root, tuple(self._problems))

    @property
    def _token(self) -> Token:
        return self._tokens[self._at]

    def _next(self) -> Token:
        token = self._token
        if token.kind != "end":
            self._at += 1
        return token

    def _take(self, text: str) -> bool:
        if self._token.kind == "symbol" and self._token.text == text:
            self._at += 1
            return True
        return False

    def _note(self, token: Token, text: str) -> None:
        self._problems.append(SpecProblem(token.line, token.column, text))

    def _fail(self, token: Token, text: str) -> _UnreadableError:
        self._note(token, text)
        return _UnreadableError()

    def _entry_into(self, block: Block, end: str, depth: int) -> None:
        """Read one entry of `block`; after a mistake, continue at the next line."""
        start = self._token
        try:
            self._entry(block, depth)
        except _UnreadableError:
            line = max(start.line, self._token.line)
            while self._token.kind != "end" and self._token.line == line and self._token.text != (end or "\n"):
                self._next()

    def _entry(self, block: Block, depth: int) -> None:
        name = self._token
        if name.kind not in ("name", "number") or not (name.text[0].isalnum() or name.text[0] == "_"):
            raise self._fail(name, f"found {_show(name)}; the name of a field is needed here")
        if len(name.text) > _LONGEST_NAME:
            raise self._fail(name, f"found {_show(name)}; the name of a field is needed here")
        self._next()
        entry = Entry(name.text, name.line, name.column, [], False, self._take(":"))
        block.entries.append(entry)
        try:
            if self._take("["):
                entry.is_list = True
                self._list(entry, depth)
            else:
                entry.values.append(self._value(entry, depth))
        except _UnreadableError:
            if not entry.values:
                block.entries.pop()
            raise
        if not self._take(","):
            self._take(";")
        last = self._tokens[self._at - 1]
        entry.end = (last.line, last.column + len(last.text))

    def _list(self, entry: Entry, depth: int) -> None:
        opening = self._tokens[self._at - 1]
        if self._take("]"):
            return
        while True:
            entry.values.append(self._value(entry, depth))
            if self._take("]"):
                return
            if not self._take(","):
                where = f" (its `[` is on line {opening.line})" if opening.line != self._token.line else ""
                raise self._fail(self._token, f"found {_show(self._token)}; the list needs `,` or `]` here{where}")

    def _value(self, entry: Entry, depth: int) -> Value:
        token = self._token
        if token.kind == "symbol" and token.text in _CLOSING:
            return self._block(entry, depth)
        if not entry.has_colon and not entry.is_list:
            raise self._fail(
                token, f"{_show(token)} follows `{entry.name}`; put `:` before a value, or `{{` for a block"
            )
        if token.kind == "string":
            return self._strings()
        if token.kind in ("name", "number"):
            return Scalar((self._next(),))
        raise self._fail(token, f"found {_show(token)}; the value of `{entry.name}` is needed here")

    def _strings(self) -> Scalar:
        tokens = []
        while self._token.kind == "string":
            token = self._next()
            if len(token.text) < 2 or token.text[-1] != token.text[0] or _ends_escaped(token.text):
                raise self._fail(token, f"this string is not closed on its line; add the closing {token.text[0]}")
            tokens.append(token)
        return Scalar(tuple(tokens))

    def _block(self, entry: Entry, depth: int) -> Block:
        opening = self._next()
        if depth >= _DEEPEST:
            self._note(opening, f"blocks are nested more than {_DEEPEST} deep here; close some of them")
            raise _TooDeepError
        block = Block(opening.line, opening.column)
        end = _CLOSING[opening.text]
        while not self._take(end):
            token = self._token
            if token.kind == "end":
                block.closed = False
                return block
            if token.kind == "symbol" and token.text in ("}", ">"):
                self._note(token, f"`{token.text}` cannot close the `{opening.text}` of `{entry.name}`; use `{end}`")
                self._next()
                return block
            self._entry_into(block, end, depth + 1)
        closing = self._tokens[self._at - 1]
        block.end = (closing.line, closing.column)
        return block


def _ends_escaped(text: str) -> bool:
    """True if the last quote of a string token is escaped, as in "abc\\"."""
    body = text[1:-1]
    return (len(body) - len(body.rstrip("\\"))) % 2 == 1


def shown(text: str) -> str:
    """`text` for a message, shortened if it is long."""
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:_LONGEST_SHOWN]}... ({len(text)} characters)"


def _show(token: Token) -> str:
    return f"`{shown(token.text)}`" if token.text else "the end of the file"
