"""A spec as one mapping from path to value, so that two specs can be compared field by field.

A path is written as messages write it, with TAO's spellings: `training_config.learning_rate`, the entry of a map by
its key, `postprocessing_config.target_class_config["cat"].clustering_config`, the element of a list by its place,
counted from 0: `dataset_config.data_sources[0].tfrecords_path`. `flatten_text` is for many specs at once: it knows no
model, so a first element has no place in its path: `dataset_config.data_sources.tfrecords_path`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from enum import Enum
from typing import TypeAlias

from taolite.spec.model import SpecModel
from taolite.spec.shape import Shape, shapes

__all__ = ["Plain", "changed", "flatten", "flatten_text"]

Plain: TypeAlias = str | bool | int | float  # the value of a field; an enum's by its name


def flatten(model: SpecModel) -> dict[str, Plain]:
    """The value of each field by its path, in the order of the model. Fields that are not given have their default, so
    equal specs are equal here, however they are written; fields without a value are left out."""
    return {path: value.name if isinstance(value, Enum) else value for path, value, _ in _message(model, "", _any)}


def changed(model: SpecModel) -> Iterator[tuple[str, Plain | Enum, Plain | Enum | None]]:
    """(path, value, default) of each field that has another value than its default, in the order of the model. default:
    None for a field without one, and for entries of lists and maps."""
    for path, value, shape in _message(model, "", lambda shape, value: shape.required or value != shape.default):
        yield path, value, shape.default if shape.repeats == "no" else None


def _any(shape: Shape, value: object) -> bool:
    return True


def _message(
    model: SpecModel, at: str, wanted: Callable[[Shape, object], bool]
) -> Iterator[tuple[str, Plain | Enum, Shape]]:
    """The path and value of each field that is `wanted` and has a value, also in the messages of those."""
    for shape in shapes(type(model)).values():
        value = getattr(model, shape.name)
        path = f"{at}.{shape.spec_name}" if at else shape.spec_name
        if value is None or not wanted(shape, value):
            continue
        if shape.repeats == "list":
            entries = [(f"{path}[{place}]", item) for place, item in enumerate(value)]
        elif shape.repeats == "map":
            entries = [(f'{path}["{key}"]', item) for key, item in value.items()]
        else:
            entries = [(path, value)]
        for where, item in entries:
            if isinstance(item, SpecModel):
                yield from _message(item, where, wanted)
            else:
                yield where, item, shape


def flatten_text(text: str) -> dict[str, str]:
    """The same for a text as `dumps` writes it: values as they are written. Fifty times as fast as reading a model."""
    found: dict[str, str] = {}
    within: list[str] = [""]
    seen: Counter[str] = Counter()

    def path_of(name: str) -> str:
        path = f"{within[-1]}.{name}" if within[-1] else name
        seen[path] += 1
        return path if seen[path] == 1 else f"{path}[{seen[path] - 1}]"

    opened = False  # the line before begins a block; a `key` in the first line is that of a map's entry
    for line in map(str.strip, text.splitlines()):
        name, _, value = line.partition(": ")
        if line == "}":
            if len(within) > 1:
                within.pop()
        elif not value and line.endswith(" {") and (line != "value {" or not within[-1].endswith("]")):
            within.append(path_of(line[:-2]))
        elif line == "value {":
            within.append(within[-1])
        elif name == "key" and opened:
            within[-1] = f"{within[-1].partition('[')[0] if within[-1].endswith(']') else within[-1]}[{value}]"
        elif name == "value" and within[-1].endswith("]"):
            found[within[-1]] = value
        elif line:
            found[path_of(name)] = value
        opened = not value and line.endswith(" {")
    return found
