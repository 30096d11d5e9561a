"""The VALUE of `--set PATH=VALUE` in the spelling of specs."""

from __future__ import annotations

from taolite.spec.model import Path, show_path
from taolite.spec.shape import Shape, shapes
from taolite.spec.text import Block, Scalar, parse
from taolite.spec.write import literal

__all__ = ["EditError", "block_text", "list_text", "value_text"]


class EditError(Exception):
    """The change is not possible. The text says why, beginning with the path."""


def value_text(shape: Shape, value: str) -> str:
    """A value in the spelling of specs; quotes are added to a string, and to what is not one word."""
    tree = parse(f"x: {value}")
    entries = tree.root.entries
    whole = not tree.problems and len(entries) == 1 and len(entries[0].values) == 1 and not entries[0].is_list
    given = entries[0].values[0] if whole else None
    if not isinstance(given, Scalar) or "".join(token.text for token in given.tokens) != value.strip():
        return literal(value)
    is_string = given.tokens[0].kind == "string"
    return value if is_string or shape.kind != "string" else literal(value)


def list_text(shape: Shape, value: str) -> str:
    """All of a repeated field: `[A, B]`, or one value alone. Raises EditError."""
    if not value.startswith("["):
        return f"[{value_text(shape, value)}]"
    if not value.endswith("]"):
        raise EditError(f"{shape.spec_name}: the list has no `]` at its end")
    parts = _split(value[1:-1])
    return f"[{', '.join(value_text(shape, part) for part in parts)}]"


def block_text(shape: Shape, value: str, path: Path) -> str:
    """A whole block, `{ ... }`. Raises EditError for any other value, and for mistakes in its grammar."""
    written = f"{shape.spec_name} {value}"
    if value.startswith(("{", "<")):
        tree = parse(written)
        if tree.problems:
            raise EditError(f"{show_path(path)}: {tree.problems[0].text}")
        if len(tree.root.entries) == 1 and all(_closed(one) for one in tree.root.entries[0].values):
            return written
        raise EditError(f"{show_path(path)}: a `{{` is not closed, or something follows its `}}`")
    assert shape.model is not None
    names = ", ".join(shapes(shape.model))
    raise EditError(f"{show_path(path)} is a block; set a field of it ({names}), or all of it with {{ ... }}")


def _closed(value: Block | Scalar) -> bool:
    if isinstance(value, Scalar):
        return True
    return value.closed and all(_closed(inner) for entry in value.entries for inner in entry.values)


def _split(text: str) -> list[str]:
    """The parts of a list; commas in quotes do not part."""
    parts, quote = [""], ""
    for letter in text:
        if letter in "\"'" and quote in ("", letter):
            quote = "" if quote else letter
        if letter == "," and not quote:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts if part.strip()]
