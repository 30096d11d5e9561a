"""One change in the text of a spec: finding the place of a field, and writing a value there.

The place is found as the binder finds it: blocks of one name are one block, of two values the last counts. What is not
in the text yet is added behind the last field of its block, with the indentation of that field.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from taolite.spec.draft import Draft
from taolite.spec.given import EditError, block_text, list_text, value_text
from taolite.spec.model import Key, Path, SpecModel, show_path
from taolite.spec.shape import Shape, shapes
from taolite.spec.text import Block, Entry, Scalar
from taolite.spec.values import UnfitError, value_of
from taolite.spec.write import literal
from taolite.wording import counted, nearest

__all__ = ["EditError", "Step", "edit"]

_NAMES = ("name", "key")  # fields that tell the elements of a repeated field apart


@dataclass(frozen=True)
class Step:
    """A step of a path. is_key: it was written in [ ]."""

    text: str
    is_key: bool = False


def edit(draft: Draft, model: type[SpecModel], steps: Sequence[Step], value: str, change: int) -> None:
    """Give the field at `steps` the `value` ("" takes it out), as the change number `change` of the draft.

    Raises EditError; the draft may then be changed in part.
    """
    editor = _Editor(draft, value, change)
    while editor.goes_on(model, steps):
        pass


@dataclass
class _Editor:
    draft: Draft
    value: str
    change: int

    def goes_on(self, model: type[SpecModel], steps: Sequence[Step]) -> bool:
        """Walk from the outermost block along the path. Where a block is missing, it is added and True is returned:
        the walk begins again in the new text."""
        blocks: list[Block] = [self.draft.tree.root]
        path: Path = ()
        left = list(steps)
        while True:
            shape, path = self._named(model, left.pop(0), path)
            found = [(block, entry) for block in blocks for entry in block.entries if entry.name == shape.spec_name]
            if not left and not (shape.kind == "message" and self.value and shape.repeats != "no"):
                self._whole(shape, [entry for _, entry in found], blocks, path)
                return False
            if shape.repeats == "map":
                inner, path = self._of_map(shape, [entry for _, entry in found], blocks, left, path)
            elif shape.repeats == "list":
                inner, path = self._of_list(shape, [entry for _, entry in found], blocks, left, path)
            elif shape.kind == "message":
                inner = [value for _, entry in found for value in entry.values if isinstance(value, Block)]
                if not inner and self.value:
                    self._add(blocks, f"{shape.spec_name} {{\n}}", [])
                    return True
            else:
                raise EditError(f"{show_path(path)} has no fields; it is one value")
            if inner is None:
                return bool(left)
            if not inner:
                return False  # nothing to take out
            assert shape.model is not None
            blocks, model = inner, shape.model

    def _named(self, model: type[SpecModel], step: Step, path: Path) -> tuple[Shape, Path]:
        known = shapes(model)
        if step.text in known and not step.is_key:
            return known[step.text], (*path, step.text)
        if step.is_key:
            raise EditError(f"{show_path(path)} is one block; leave [{step.text}] out")
        raise EditError(f"{show_path((*path, step.text))} is not a field here{nearest(step.text, known)}")

    def _whole(self, shape: Shape, entries: list[Entry], blocks: list[Block], path: Path) -> None:
        """Set or take out all of a field."""
        if not self.value:
            if shape.required:
                raise EditError(f"{show_path(path)} is needed; it cannot be taken out")
            for entry in reversed(entries):
                self._remove(entry)
            return
        if shape.repeats == "map":
            raise EditError(f"{show_path(path)} has an entry for each key; name one, as {_last(path)}[KEY]=VALUE")
        if shape.kind == "message":
            written = block_text(shape, self.value, path)
        elif shape.repeats == "list":
            written = f"{shape.spec_name}: {list_text(shape, self.value)}"
        else:
            written = f"{shape.spec_name}: {value_text(shape, self.value)}"
        if not entries:
            self._add(blocks, written, [])
        elif shape.kind != "message" and shape.repeats == "no" and isinstance(value := entries[-1].values[-1], Scalar):
            self._replace_scalar(value, value_text(shape, self.value))
        else:
            for entry in reversed(entries[1:]):
                self._remove(entry)
            first = entries[0]
            self.draft.replace(
                self.draft.offset(first.line, first.column), self.draft.offset(*first.end), written, self.change
            )

    def _of_map(
        self, shape: Shape, entries: list[Entry], blocks: list[Block], left: list[Step], path: Path
    ) -> tuple[list[Block] | None, Path]:
        """The blocks of a map's entry; None where the change is made."""
        if not left:
            raise EditError(f"{show_path(path)} has an entry for each key; name one, as {_last(path)}[KEY]")
        key = left.pop(0).text
        by_key = _entries_by_key(entries)
        path = (*path, Key(key))
        if key not in by_key:
            if not self.value:
                return None if not left else [], path
            if shape.kind == "message":
                raise EditError(f"{show_path(path[:-1])} {_no_entry(key, by_key)}")
            written = f"{shape.spec_name} {{\n  key: {literal(key)}\n  value: {value_text(shape, self.value)}\n}}"
            self._add(blocks, written, entries)
            left.clear()
            return None, path
        entry, block = by_key[key]
        if not left and not self.value:
            if isinstance(block, Block):
                self._remove(entry)
            return None, path
        values = [value for part in block.entries if part.name == "value" for value in part.values]
        if shape.kind == "message":
            if not left:
                raise EditError(f"{show_path(path)} is a block; name a field of it")
            return [value for value in values if isinstance(value, Block)], path
        if left:
            raise EditError(f"{show_path(path)} has no fields; it is one value")
        if values and isinstance(values[-1], Scalar):
            self._replace_scalar(values[-1], value_text(shape, self.value))
        return None, path

    def _of_list(
        self, shape: Shape, entries: list[Entry], blocks: list[Block], left: list[Step], path: Path
    ) -> tuple[list[Block] | None, Path]:
        """The block of one element; None where the change is made."""
        elements = [(entry, value) for entry in entries for value in entry.values]
        if left and left[0].is_key:
            index = self._index(shape, left.pop(0).text, [value for _, value in elements], path)
        elif len(elements) <= 1:
            index = 0
        else:
            ways = f"[0] to [{len(elements) - 1}]"
            raise EditError(f"{show_path(path)} has {len(elements)} elements; say which: {_last(path)}{ways}")
        if index == len(elements):
            if not self.value:
                return None if not left else [], path
            if shape.kind == "message":
                self._add(blocks, f"{shape.spec_name} {{\n}}", entries)
                left.append(Step(""))  # the walk begins again
            else:
                self._add(blocks, f"{shape.spec_name}: {value_text(shape, self.value)}", entries)
            return None, path
        entry, value = elements[index]
        if shape.kind == "message":
            if left:
                return ([value] if isinstance(value, Block) else []), path
            if self.value:
                raise EditError(f"{show_path(path)}[{index}] is a block; name a field of it")
        elif left:
            raise EditError(f"{show_path(path)}[{index}] has no fields; it is one value")
        elif self.value and isinstance(value, Scalar):
            self._replace_scalar(value, value_text(shape, self.value))
            return None, path
        if entry.is_list:
            raise EditError(f"{show_path(path)} is written as one list; set all of it, as {_last(path)}=[A, B]")
        self._remove(entry)
        return None, path

    def _index(self, shape: Shape, word: str, values: Sequence[Block | Scalar], path: Path) -> int:
        """The place of an element that is named by its index or its `name`."""
        if word.isdecimal() and int(word) <= len(values):
            return int(word)
        names = [_name(value) for value in values]
        if word in names:
            return names.index(word)
        has = f"has {counted(len(values), 'element')}"
        known = [name for name in names if name is not None]
        if known and not word.isdecimal():
            raise EditError(f"{show_path(path)} {_no_entry(word, known)}")
        raise EditError(f"{show_path(path)} {has}, counted from 0; there is no [{word}]")

    def _replace_scalar(self, value: Scalar, text: str) -> None:
        last = value.tokens[-1]
        start, end = (self.draft.offset(*at) for at in ((value.line, value.column), (last.line, last.column)))
        self.draft.replace(start, end + len(last.text), text, self.change)

    def _add(self, blocks: list[Block], written: str, like: list[Entry]) -> None:
        """Write a field behind the last of `like`, else at the end of the first block."""
        draft, block = self.draft, blocks[0]
        text = draft.text
        newline = "\r\n" if "\r\n" in text else "\n"
        behind = like[-1] if like else block.entries[-1] if block.entries else None
        if like and like[-1].line == like[-1].end[0]:
            written = " ".join(written.split())
        if behind is not None:
            at = draft.offset(*behind.end)
            line_end = _line_end(text, at)
            if not _is_blank(text[at:line_end]):
                draft.replace(at, at, f" {' '.join(written.split())}", self.change)
                return
            indent = _indent(text, draft.offset(behind.line, behind.column))
            lines = f"{newline}{indent}".join(written.split("\n"))
            draft.replace(line_end, line_end, f"{newline}{indent}{lines}", self.change)
            return
        at = draft.offset(*block.end)
        begin = text.rfind("\n", 0, at) + 1
        if block is draft.tree.root or text[begin:at].strip():  # `{}` on one line, or a spec of comments alone
            lead = newline if block is draft.tree.root and text[begin:at] else " " if text[at - 1].strip() else ""
            draft.replace(at, at, f"{lead}{written.replace(chr(10), newline)} ", self.change)
            return
        indent = f"{text[begin:at]}  "
        lines = "".join(f"{indent}{line}{newline}" for line in written.split("\n"))
        draft.replace(begin, begin, lines, self.change)

    def _remove(self, entry: Entry) -> None:
        """Take an entry out: with its lines and the comment behind it, where nothing else is on them."""
        text = self.draft.text
        start, end = self.draft.offset(entry.line, entry.column), self.draft.offset(*entry.end)
        begin, line_end = text.rfind("\n", 0, start) + 1, _line_end(text, end)
        if not text[begin:start].strip() and _is_blank(text[end:line_end]):
            start, end = begin, min(line_end + 1, len(text))
            end += text[line_end : line_end + 2] == "\r\n"
        self.draft.replace(start, end, "", self.change)


def _last(path: Path) -> str:
    return show_path(path[-1:])


def _line_end(text: str, at: int) -> int:
    """Offset of the line end behind `at`."""
    end = text.find("\n", at)
    end = len(text) if end < 0 else end
    return end - 1 if text[at:end].endswith("\r") else end


def _is_blank(text: str) -> bool:
    """True if the rest of a line has nothing but a comment."""
    return not text.strip() or text.lstrip().startswith("#")


def _indent(text: str, at: int) -> str:
    """The white space before the first word of the line of `at`."""
    begin = text.rfind("\n", 0, at) + 1
    line = text[begin:at]
    return line[: len(line) - len(line.lstrip())]


def _entries_by_key(entries: Iterable[Entry]) -> dict[str, tuple[Entry, Block]]:
    """The entries of a map; of two with one key the last."""
    found = {}
    for entry in entries:
        for value in entry.values:
            key = _name(value, ("key",))
            if key is not None and isinstance(value, Block):
                found[key] = (entry, value)
    return found


def _name(value: Block | Scalar, fields: Sequence[str] = _NAMES) -> str | None:
    """The string that tells an element or a map's entry from the others."""
    if isinstance(value, Block):
        for entry in value.entries:
            if entry.name in fields and entry.values and isinstance(entry.values[-1], Scalar):
                try:
                    return str(value_of(_ANY_STRING, entry.values[-1]))
                except UnfitError:
                    return None
    return None


def _no_entry(key: str, known: Iterable[str]) -> str:
    names = list(known)
    near = nearest(key, names) or (f"; there are {', '.join(names)}" if names else "; the spec has none")
    return f'has no "{key}"{near}'


class _OneString(SpecModel):
    name: str = ""


_ANY_STRING = replace(shapes(_OneString)["name"], zero_is_default=False)
