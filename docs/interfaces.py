"""Write docs/interfaces.md: every room's public names, their signatures and the first line of their docstrings.

    python docs/interfaces.py

A name is public where its module lists it in `__all__`. The code is parsed and not imported. tests/test_interfaces.py
fails where the page is not that of the code.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1] / "taolite"
PAGE = Path(__file__).with_name("interfaces.md")
HEAD = """# Interfaces

The public names of each room, by module. `python docs/interfaces.py` writes this page from the code; do not edit it.
[architecture.md](architecture.md) says which room may import which. Two parts are left out because commands print them:
the fields of spec files (`taolite spec schema`), and `cli` (`taolite --help`).
"""
VALUES = ("dataclass", "NamedTuple", "TypedDict")


def page(package: Path = PACKAGE) -> str:
    """The whole page."""
    rooms: dict[str, list[str]] = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package).with_suffix("").parts
        hidden = parts[0].startswith("__") or parts[0] in ("cli", "jetson_modules")
        if hidden or (parts[0] == "tasks" and "spec" in parts):
            continue
        text = module(path, package)
        if text:
            rooms.setdefault(parts[0], []).append(text)
    return HEAD + "".join(f"\n## {room}\n{''.join(texts)}" for room, texts in rooms.items())


def module(path: Path, package: Path) -> str:
    """The part of one module; "" where it has no public names of its own."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    public = names_in_all(tree)
    lines = [line for node in tree.body for line in describe(node, public)]
    if not lines:
        return ""
    return f"\n### {path.relative_to(package.parent).as_posix()}\n{first_line(tree)}\n\n" + "".join(lines)


def names_in_all(tree: ast.Module) -> set[str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


def describe(node: ast.stmt, public: set[str]) -> Iterator[str]:
    """The lines of one definition, where it is public: what it is, and the methods of a class."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in public:
        yield entry(signature(node), first_line(node))
    elif isinstance(node, ast.ClassDef) and node.name in public:
        yield entry(class_signature(node), first_line(node))
        for item in node.body:
            if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef) and not item.name.startswith("_"):
                is_property = any("property" in ast.unparse(one) for one in item.decorator_list)
                said = f".{item.name}{returns(item)}" if is_property else "." + signature(item)
                yield "  " + entry(said, first_line(item))
    elif isinstance(node, ast.AnnAssign | ast.Assign):
        target = node.target if isinstance(node, ast.AnnAssign) else node.targets[0]
        if isinstance(target, ast.Name) and target.id in public:
            yield entry(target.id, "")


def entry(name: str, meaning: str) -> str:
    return f"- `{name}`{': ' + meaning if meaning else ''}\n"


def signature(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """`name(argument, *, option=...) -> type`, without `self`."""
    arguments = [*node.args.posonlyargs, *node.args.args]
    given = len(arguments) - len(node.args.defaults)
    said = [
        one.arg if i < given else f"{one.arg}=" for i, one in enumerate(arguments) if one.arg not in ("self", "cls")
    ]
    if node.args.vararg:
        said.append(f"*{node.args.vararg.arg}")
    elif node.args.kwonlyargs:
        said.append("*")
    for one, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
        said.append(one.arg if default is None else f"{one.arg}=")
    if node.args.kwarg:
        said.append(f"**{node.args.kwarg.arg}")
    return f"{node.name}({', '.join(said)}){returns(node)}"


def returns(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    return f" -> {ast.unparse(node.returns)}" if node.returns else ""


def class_signature(node: ast.ClassDef) -> str:
    """`class Name(Base)`; of a value `Name(field, option=)`."""
    marks = " ".join(ast.unparse(one) for one in (*node.decorator_list, *node.bases))
    if any(mark in marks for mark in VALUES):
        fields = [item for item in node.body if isinstance(item, ast.AnnAssign) and "ClassVar" not in ast.unparse(item)]
        return f"{node.name}({', '.join(ast.unparse(one.target) + '=' * (one.value is not None) for one in fields)})"
    made = next((item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__"), None)
    if made is not None:
        return node.name + signature(made).removeprefix("__init__").removesuffix(" -> None")
    bases = ", ".join(ast.unparse(one) for one in node.bases)
    return f"class {node.name}({bases})" if bases else f"class {node.name}"


def first_line(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    """The first paragraph of a docstring, on one line; of more than one sentence the first."""
    text = " ".join((ast.get_docstring(node) or "").split("\n\n")[0].split())
    return text.split(". ")[0].rstrip(".:")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(f"{PAGE}: {PAGE.read_text(encoding='utf-8').count(chr(10))} lines", file=sys.stderr)
