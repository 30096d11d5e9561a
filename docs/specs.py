"""Write docs/specs/: a page for each kind of spec, with every field, its type, default, range and meaning.

    python docs/specs.py

The pages are made from the models that read the specs (what `taolite spec schema` prints). tests/test_spec_reference.py
fails where a page is not that of the models.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from taolite.spec.model import SpecModel
from taolite.spec.shape import Shape, shapes
from taolite.spec.write import literal
from taolite.tasks.classification.spec import ClassificationSpec
from taolite.tasks.detectnet.spec import DatasetExportSpec, DetectNetSpec, InferenceSpec
from taolite.tasks.ssd.spec import SsdSpec

PAGES = Path(__file__).with_name("specs")


class Page(NamedTuple):
    """A page: its title, the model, and the commands that read such a spec."""

    title: str
    model: type[SpecModel]
    commands: str


KINDS = {
    "detectnet": Page(
        "DetectNet_v2",
        DetectNetSpec,
        "`taolite detectnet train` and `evaluate`; `prune` and `export` for scores, int8 also for its images",
    ),
    "classification": Page(
        "Image classification",
        ClassificationSpec,
        "`taolite classification train`, `evaluate` and `inference`; `prune` and `export` for scores and int8",
    ),
    "ssd": Page(
        "SSD", SsdSpec, "`taolite ssd train`, `evaluate` and `inference`; `prune` and `export` for scores and int8"
    ),
    "tfrecords": Page(
        "TFRecords", DatasetExportSpec, "`taolite detectnet dataset_convert` and `taolite ssd dataset_convert`"
    ),
    "inference": Page("DetectNet_v2 inference", InferenceSpec, "`taolite detectnet inference` and `taolite run`"),
}
INDEX = """# Fields of specs

A page for each kind of spec. [The cookbook](../cookbook/specs.md) tells how to check, change and compare specs.

| spec | read by | fields | without effect |
|---|---|---|---|
"""
WORDS = """
Fields have TAO's spelling. A field that TAO has and taolite does not use is read, causes a warning, and is marked
*without effect*, with the reason. A field that neither knows is an error, which names the nearest one.
"""
MADE = "\n`python docs/specs.py` writes this page from the models that read the specs; do not edit it.\n"


def pages() -> dict[str, str]:
    """All pages by file name."""
    made = {f"{name}.md": "".join(_page(kind)) for name, kind in KINDS.items()}
    return {"README.md": "".join(_index()), **made}


def _index() -> Iterator[str]:
    yield INDEX
    for name, kind in KINDS.items():
        every = [shape for _, model in _messages(kind.model) for shape in shapes(model).values()]
        unused = sum(bool(shape.ignored) for shape in every)
        yield f"| [{kind.title}]({name}.md) | {kind.commands} | {len(every)} | {unused} |\n"
    yield f"{WORDS}{MADE}"


def _page(kind: Page) -> Iterator[str]:
    yield f"# The {kind.title} spec\n\nRead by {kind.commands}.\n"
    for path, model in _messages(kind.model):
        yield f"\n## {f'`{path}`' if path else 'The outermost fields'}\n\n{_doc(model)}\n\n"
        yield "| field | type | default | range | meaning |\n|---|---|---|---|---|\n"
        for shape in shapes(model).values():
            yield f"| {' | '.join(_cells(shape, model))} |\n"
    yield MADE


def _messages(model: type[SpecModel]) -> Iterator[tuple[str, type[SpecModel]]]:
    """The messages of a spec, each once, with the path of its first field."""
    seen: set[type[SpecModel]] = set()

    def walk(one: type[SpecModel], path: str) -> Iterator[tuple[str, type[SpecModel]]]:
        if one in seen:
            return
        seen.add(one)
        yield path, one
        for shape in shapes(one).values():
            if shape.model is not None:
                inner = {"no": "", "list": "[N]", "map": "[KEY]"}[shape.repeats]
                yield from walk(
                    shape.model, f"{path}.{shape.spec_name}{inner}" if path else f"{shape.spec_name}{inner}"
                )

    return walk(model, "")


def _doc(model: type[SpecModel]) -> str:
    return " ".join((model.__doc__ or "").split())


def _cells(shape: Shape, model: type[SpecModel]) -> tuple[str, str, str, str, str]:
    doc = model.model_fields[shape.name].description or ""
    if shape.ignored:
        doc = f"*Without effect*: {shape.ignored}."
    if shape.zero_is_default and "0" not in doc:
        doc = f"{doc} {'An empty string' if shape.kind == 'string' else '0'} counts as not set."
    cells = f"`{shape.spec_name}`", _type(shape), _default(shape), _range(shape), doc
    return tuple(cell.replace("|", "\\|").replace("\n", " ") for cell in cells)  # type: ignore[return-value]


def _type(shape: Shape) -> str:
    names = {"int": "whole number", "float": "number", "int_or_float": "number", "bool": "true or false"}
    name = "block" if shape.kind == "message" else names.get(shape.kind, shape.kind)
    name += f" ({shape.unit})" if shape.unit else ""
    return {"no": name, "list": f"{name}, repeated", "map": f"map of key to {name}"}[shape.repeats]


def _default(shape: Shape) -> str:
    if shape.required:
        return "needed"
    value = shape.default
    if value is None:
        return "not set"
    if isinstance(value, SpecModel):
        return "its fields' defaults"
    if shape.repeats != "no":
        values = (
            [literal(item) for item in value] if shape.repeats == "list" and shape.kind != "message" else list(value)
        )
        return f"`{', '.join(map(str, values))}`" if values else "none"
    return f"`{literal(value)}`"


def _range(shape: Shape) -> str:
    if shape.enum is not None:
        return ", ".join(f"`{member.name}`" for member in shape.enum if isinstance(member, Enum))
    if shape.choices:
        return ", ".join(f"`{choice}`" for choice in shape.choices)
    limits = shape.range
    if shape.kind in ("int", "float", "int_or_float"):
        needs = limits.needs()
        bound = limits.low > -math.inf or limits.high < math.inf or limits.multiple_of is not None
        return needs if bound and needs != "a number" else ""
    return "not empty" if limits.min_length else ""


if __name__ == "__main__":
    PAGES.mkdir(exist_ok=True)
    for name, text in pages().items():
        (PAGES / name).write_text(text, encoding="utf-8")
