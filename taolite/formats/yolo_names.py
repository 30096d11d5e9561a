"""The class names of a YOLO data set: `names` of its YAML file, whatever its name is, or one a line in a text file."""

from __future__ import annotations

import reprlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from taolite.errors import DataError
from taolite.formats.guard import guarded
from taolite.formats.places import is_hidden
from taolite.formats.text import read_whole, show

__all__ = ["LISTS", "YoloNames", "read_yolo_names"]

LISTS = ("classes.txt", "obj.names", "labels.txt", "classes.names")
_YAML = ("data.yaml", "dataset.yaml", "data.yml", "dataset.yml")


@dataclass(frozen=True)
class YoloNames:
    """Class names by number, and how many values of keypoints each label has behind its box (`kpt_shape`)."""

    names: tuple[str, ...]
    keypoint_values: int = 0


def read_yolo_names(root: Path) -> YoloNames:
    """The names from the nearest file that holds them: at `root`, above it, or in a folder directly below it.

    In each folder `data.yaml` and its like come first, then any one YAML file with `names`, then `classes.txt` and its
    like. Above `root`, where other things lie too, a YAML file of another name is taken last, and one that cannot be
    read is passed over. Raises DataError where there is none, where several YAML files could be meant, or where `names`
    is no list.
    """
    top = root if root.is_dir() else root.parent
    below = sorted(path for path in top.iterdir() if path.is_dir() and not is_hidden(path.name))
    above = top.parents[:2]
    for folder in [top, *above, *below]:
        found = _usual_file(folder) or (None if folder in above else _other_yaml(folder)) or _list_file(folder)
        if found is not None:
            return found
    for folder in above:
        found = _other_yaml(folder, lenient=True)
        if found is not None:
            return found
    raise DataError(f"{root}: YOLO labels are numbers, and neither data.yaml nor classes.txt names them; add one")


def _usual_file(folder: Path) -> YoloNames | None:
    path = next((folder / name for name in _YAML if (folder / name).is_file()), None)
    return None if path is None else _names_of_yaml(path)


def _list_file(folder: Path) -> YoloNames | None:
    path = next((folder / name for name in LISTS if (folder / name).is_file()), None)
    if path is None:
        return None
    return YoloNames(tuple(line.strip() for line in read_whole(path).splitlines() if line.strip()))


def _other_yaml(folder: Path, *, lenient: bool = False) -> YoloNames | None:
    """What the only YAML file of a folder with `names` says; `lenient` passes over what cannot be read or chosen."""
    try:
        there = sorted(folder.iterdir())
    except OSError:  # a folder above the data set that may not be listed
        return None
    with_names = []
    for path in there:
        if path.suffix.lower() in (".yaml", ".yml") and not is_hidden(path.name) and path.is_file():
            try:
                found = "names" in _load(path)
            except DataError:
                if not lenient:
                    raise
                found = False
            with_names += [path] if found else []
    if len(with_names) > 1 and lenient:
        return None
    if len(with_names) > 1:
        listed = ", ".join(path.name for path in with_names)
        raise DataError(f"{folder}: {len(with_names)} YAML files have `names` ({listed}); call the right one data.yaml")
    return _names_of_yaml(with_names[0]) if with_names else None


def _load(path: Path) -> dict[str, Any]:
    """A YAML file's mapping, every scalar as text as it is written (`no` is a class name, not false)."""
    import yaml

    data: Any = None
    with guarded(path):
        loader = yaml.SafeLoader(read_whole(path))
        loader.yaml_implicit_resolvers = {}  # the rules that make numbers, dates and truth values of text
        known = ("str", "seq", "map")
        loader.yaml_constructors = {
            tag: make
            for tag, make in loader.yaml_constructors.items()
            if tag is None or tag.rpartition(":")[2] in known
        }
        loader.flatten_mapping = lambda node: None  # `<<`, with which a small file can ask for any number of entries
        try:
            data = loader.get_single_data()
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            place = f":{mark.line + 1}" if mark is not None else ""
            problem = getattr(error, "problem", None) or "it cannot be read"
            raise DataError(f"{path}{place}: not YAML ({problem})") from error
        finally:
            loader.dispose()
    return data if isinstance(data, dict) else {}


def _names_of_yaml(path: Path) -> YoloNames:
    data = _load(path)
    found = data.get("names")
    if isinstance(found, dict):
        found = _in_order(path, found)
    if isinstance(found, str):
        found = [found] if found.strip() else []
    if not isinstance(found, list) or not found:
        raise DataError(f"{path}: no `names` found; it needs `names: [a, b]`, or one `  0: a` a line")
    for name in found:
        if not isinstance(name, str) or not name.strip():
            found_text = name if isinstance(name, str) else reprlib.repr(name)  # aliases can make `str` of any length
            raise DataError(f"{path}: `names` holds {show(found_text)}; each name needs to be a text")
    shape = data.get("kpt_shape")
    values = [int(side) for side in shape if _is_number(side)] if isinstance(shape, list) else []
    return YoloNames(tuple(found), values[0] * values[1] if len(values) == 2 else 0)


def _in_order(path: Path, numbered: dict[Any, Any]) -> list[Any]:
    """The values of `{0: a, 1: b}` by number."""
    wrong = [key for key in numbered if not _is_number(key)]
    if wrong:
        raise DataError(f"{path}: `names` has the key {show(str(wrong[0]))}; classes are numbered 0, 1, 2 ...")
    by_number = {int(key): name for key, name in numbered.items()}
    if sorted(by_number) != list(range(len(numbered))):
        raise DataError(f"{path}: `names` skips a number; classes are numbered 0, 1, 2 ...")
    return [by_number[index] for index in sorted(by_number)]


def _is_number(key: Any) -> bool:
    return isinstance(key, str) and key.isdecimal() and len(key) < 10
