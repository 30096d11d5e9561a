"""A spec as one mapping from path to value, so that two specs can be compared field by field.

A path is written as messages write it, with TAO's spellings: `training_config.learning_rate`, the entry of a map by
its key, `postprocessing_config.target_class_config["cat"].clustering_config`, the element of a list by its place,
counted from 0: `dataset_config.data_sources[0].tfrecords_path`.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from typing import TypeAlias

from taolite.spec.model import SpecModel
from taolite.spec.shape import shapes

__all__ = ["Plain", "flatten"]

Plain: TypeAlias = str | bool | int | float  # the value of a field; an enum's by its name


def flatten(model: SpecModel) -> dict[str, Plain]:
    """The value of each field by its path, in the order of the model. Fields that are not given have their default, so
    equal specs are equal here, however they are written; fields without a value are left out."""
    return dict(_message(model, ""))


def _message(model: SpecModel, at: str) -> Iterator[tuple[str, Plain]]:
    for shape in shapes(type(model)).values():
        value = getattr(model, shape.name)
        path = f"{at}.{shape.spec_name}" if at else shape.spec_name
        if value is None:
            continue
        if shape.repeats == "list":
            for place, item in enumerate(value):
                yield from _entry(item, f"{path}[{place}]")
        elif shape.repeats == "map":
            for key, item in value.items():
                yield from _entry(item, f'{path}["{key}"]')
        else:
            yield from _entry(value, path)


def _entry(value: SpecModel | Plain | Enum, path: str) -> Iterator[tuple[str, Plain]]:
    if isinstance(value, SpecModel):
        yield from _message(value, path)
    else:
        yield path, value.name if isinstance(value, Enum) else value
