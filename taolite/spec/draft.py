"""The text of a spec while fields of it are changed. It knows of each character whether the file or a change wrote it.

So a problem in the changed text is reported at its line in the file, or as the problem of that change.
"""

from __future__ import annotations

from dataclasses import dataclass

from taolite.spec.text import Tree, parse

__all__ = ["Draft"]


@dataclass(frozen=True)
class _Piece:
    """A part of the text. at: its offset in the file, or None where the change number `change` wrote it."""

    text: str
    at: int | None
    change: int = -1


class Draft:
    """A text and its changes. Lines and columns are counted from 1, offsets from 0."""

    def __init__(self, text: str) -> None:
        self._file_lines = _line_starts(text)
        self._pieces: list[_Piece] = [_Piece(text, 0)]
        self._parsed(text)

    def _parsed(self, text: str) -> None:
        self.text = text
        self.tree: Tree = parse(text)
        self._lines = _line_starts(text)

    def copy(self) -> Draft:
        """A draft of the same text; changes of one leave the other."""
        made = Draft.__new__(Draft)
        made.__dict__.update(self.__dict__)
        made._pieces = list(self._pieces)
        return made

    def offset(self, line: int, column: int) -> int:
        """Of a place in the text as it is now."""
        return self._lines[line - 1] + column - 1

    def replace(self, start: int, end: int, text: str, change: int) -> None:
        """Put `text`, written by the change number `change`, in the place of the characters `start` to `end`."""
        pieces: list[_Piece] = []
        at, is_put = 0, False
        for piece in self._pieces:
            left = piece.text[: max(0, start - at)]
            skipped = max(len(left), min(len(piece.text), end - at))
            right = piece.text[skipped:]
            if left:
                pieces.append(_Piece(left, piece.at, piece.change))
            if not is_put and start <= at + len(piece.text):
                pieces.append(_Piece(text, None, change))
                is_put = True
            if right:
                pieces.append(_Piece(right, None if piece.at is None else piece.at + skipped, piece.change))
            at += len(piece.text)
        self._pieces = pieces
        self._parsed("".join(piece.text for piece in pieces))

    def origin(self, line: int, column: int) -> tuple[int, int] | int:
        """Where a place of the text comes from: line and column in the file, or the number of a change."""
        wanted, at = self.offset(line, column), 0
        for piece in self._pieces:
            if at <= wanted < at + len(piece.text):
                return piece.change if piece.at is None else self._in_file(piece.at + wanted - at)
            at += len(piece.text)
        return len(self._file_lines), 1  # the end of the text

    def _in_file(self, offset: int) -> tuple[int, int]:
        line = sum(start <= offset for start in self._file_lines)
        return line, offset - self._file_lines[line - 1] + 1


def _line_starts(text: str) -> list[int]:
    """Offset of the first character of each line."""
    starts = [0]
    for line in text.split("\n")[:-1]:
        starts.append(starts[-1] + len(line) + 1)
    return starts
