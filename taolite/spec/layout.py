"""The usual layout of a spec's text: `taolite spec fmt`.

Two blanks a level, one field a line, `name: value`, `name {`, strings in double quotes, no commas behind fields. What
stays: the order, the spelling of numbers, comments, one empty line between fields, and a block on one line where it
fits. A text that has this layout is not changed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

from taolite.errors import SpecError, SpecProblem
from taolite.spec.text import Block, Entry, Scalar, Token, Tree, comments, parse

__all__ = ["laid_out"]

_WIDTH = 120  # characters of a line that holds a whole block


def laid_out(text: str, *, path: Path | str = "<text>") -> str:
    """`text` in the usual layout. Raises SpecError for mistakes in its grammar; field names are not checked."""
    text = text.replace("\r\n", "\n")
    tree = parse(text)
    problems = [*tree.problems, *_open_blocks(tree.root, "")]
    if problems:
        raise SpecError(path, problems)
    return _Layout(text).of(tree)


def _open_blocks(block: Block, path: str) -> Iterator[SpecProblem]:
    if not block.closed:
        yield SpecProblem(block.line, block.column, f"the block {path} is not closed; add a `}}`")
    for entry in block.entries:
        for value in entry.values:
            if isinstance(value, Block):
                yield from _open_blocks(value, f"{path}.{entry.name}" if path else entry.name)


@dataclass
class _Layout:
    """Writes `lines` while it walks through the text; `at` is the offset behind what is written."""

    text: str
    lines: list[str] = field(default_factory=list)
    at: int = 0
    begins: bool = True  # nothing is written of this block yet

    def __post_init__(self) -> None:
        self._comments = comments(self.text)
        self._starts = [0, *accumulate(len(line) + 1 for line in self.text.split("\n"))]

    def of(self, tree: Tree) -> str:
        self._fields(tree.root, "")
        return "".join(f"{line}\n" for line in self.lines)

    def _offset(self, place: tuple[int, int]) -> int:
        return self._starts[place[0] - 1] + place[1] - 1

    def _fields(self, block: Block, indent: str) -> None:
        for entry in block.entries:
            self._before(self._offset((entry.line, entry.column)), indent, is_field=True)
            if any(isinstance(value, Block) for value in entry.values):
                self._blocks(entry, indent)
            else:
                self._before(self._offset(entry.end), indent, is_field=False)  # comments inside a value
                self._write(f"{indent}{_inline(entry)}", entry.end)
        self._before(self._offset(block.end), indent, is_field=False)

    def _blocks(self, entry: Entry, indent: str) -> None:
        for value in entry.values:
            if not isinstance(value, Block):  # not of one type: the binder refuses it
                self._write(f"{indent}{entry.name}: {_scalar(value)}", (value.line, value.column))
                continue
            end = (value.end[0], value.end[1] + 1)
            start = (value.line, value.column) if entry.is_list else (entry.line, entry.column)
            self._before(self._offset(start), indent, is_field=False)
            short = _one_line(entry.name, value)
            fits = len(indent) + len(short) <= _WIDTH and not self._has_comment(self._offset(end))
            if start[0] == end[0] and fits:
                self._write(f"{indent}{short}", end)
                continue
            self._write(f"{indent}{entry.name} {{", (value.line, value.column + 1))
            self.begins = True
            self._fields(value, f"{indent}  ")
            self._write(f"{indent}}}", end)
        self.at = self._offset(entry.end)

    def _write(self, line: str, end: tuple[int, int]) -> None:
        self.lines.append(line)
        self.at, self.begins = self._offset(end), False

    def _has_comment(self, offset: int) -> bool:
        return bool(self._comments) and self._comments[0][0] < offset

    def _before(self, offset: int, indent: str, *, is_field: bool) -> None:
        """Write the comments before `offset`, and an empty line where there is one."""
        while self._has_comment(offset):
            start, comment = self._comments.pop(0)
            gap = self.text[self.at : start]
            if "\n" not in gap and self.lines:
                self.lines[-1] += f"  {comment}"
            else:
                self._empty(gap)
                self.lines.append(f"{indent}{comment}")
                self.begins = False
            self.at = start + len(comment)
        if is_field:
            self._empty(self.text[self.at : offset])

    def _empty(self, gap: str) -> None:
        if gap.count("\n") > 1 and not self.begins:
            self.lines.append("")


def _one_line(name: str, block: Block) -> str:
    inside = " ".join(_inline(entry) for entry in block.entries)
    return f"{name} {{ {inside} }}" if inside else f"{name} {{ }}"


def _inline(entry: Entry) -> str:
    """An entry on one line."""
    if any(isinstance(value, Block) for value in entry.values):
        return " ".join(
            _one_line(entry.name, value) if isinstance(value, Block) else f"{entry.name}: {_scalar(value)}"
            for value in entry.values
        )
    values = [_scalar(value) for value in entry.values if isinstance(value, Scalar)]
    return f"{entry.name}: [{', '.join(values)}]" if entry.is_list else f"{entry.name}: {values[0]}"


def _scalar(value: Scalar) -> str:
    return " ".join(map(_token, value.tokens))


def _token(token: Token) -> str:
    """A word as written; a string gets double quotes, where none has to be escaped for them."""
    inside = token.text[1:-1]
    return f'"{inside}"' if token.text[:1] == "'" and '"' not in inside and "\\" not in inside else token.text
