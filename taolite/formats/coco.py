"""COCO detection JSON: one file a data set (or a split of it), boxes as [x, y, width, height] in continuous pixels.

Polygons of `segmentation` are kept as points. Where `bbox` is missing, the box is the one around the polygons or the
RLE mask (`taolite.formats.rle`). CVAT's attribute `rotation` gives the box around the turned rectangle. `iscrowd` marks
a region of many and is kept as the attribute `crowd`; `attributes` are kept as CVAT writes them. Ids are compared as
text, because tools write 1 in one place and "1" in another. Sizes come from the picture where it exists. Annotations
have no lines, so findings name their id.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from taolite.errors import DataError
from taolite.formats.attributes import read_attributes, written_on
from taolite.formats.findings import Findings
from taolite.formats.guard import guarded
from taolite.formats.layout import Named, Target, Writing, put
from taolite.formats.places import Pictures, files_below, measure, named_picture, stem_of
from taolite.formats.rle import rle_box
from taolite.formats.shapes import Box, Points, around, parts_of, turned_box
from taolite.formats.split import folder_names, in_split, split_name
from taolite.formats.strangers import name_stranger
from taolite.formats.text import LARGEST, number, read_json, read_text, show
from taolite.sample import Label, Sample

__all__ = ["WRITING", "CocoFile", "format_dataset", "load", "looks_like", "read", "splits"]

_TABLES = ("images", "annotations", "categories")
_ROTATION = "rotation"  # CVAT's attribute, degrees clockwise


class CocoFile:
    """One COCO file, checked: images by id in file order, labels by image id, category names by id; ids as text."""

    def __init__(self, path: Path, images: Mapping[str, Mapping[str, Any]], names: Mapping[str, str]) -> None:
        self.path = path
        self.images = images
        self.names = names
        self.labels: dict[str, list[Label]] = {image_id: [] for image_id in images}


def looks_like(path: Path) -> bool:
    """Whether a JSON file is COCO's: images, annotations and categories."""
    data = path.read_bytes()
    return all(f'"{key}"'.encode() in data for key in _TABLES)


def splits(root: Path) -> tuple[str, ...]:
    """The splits that COCO files are of: the words of their names (`instances_val2017.json`), and their folders."""
    files = [path for path in files_below(root, (".json",)) if looks_like(path)]
    words = {word for path in files for word in _words(path)}
    return tuple(sorted({*words, *folder_names(root, (".json",))}))


def read(
    root: Path,
    *,
    only: frozenset[str] | None = None,
    split: str | None = None,
    outside: bool = False,
    findings: Findings,
) -> list[Sample]:
    """Samples of the COCO file at or below `root`, in the file's order (see `layout.Reader`).

    Where there are several, `split` says which: by a word of its name (`instances_val2017.json` has `val`) or by its
    folder. Without, those of the split folders `train/`, `valid/` and `test/` are read together. Raises DataError where
    that leaves none or several.
    """
    pictures, samples = Pictures(root), []
    for path in _choose(root, split):
        with guarded(path, findings):
            coco = load(path, findings)
            if coco is not None:
                samples += _to_samples(coco, root, only, outside, pictures, findings)
    return samples


def _to_samples(
    coco: CocoFile,
    root: Path,
    only: frozenset[str] | None,
    outside: bool,
    pictures: Pictures,
    findings: Findings,
) -> list[Sample]:
    path, samples = coco.path, []
    for image_id, entry in coco.images.items():
        name = str(entry["file_name"])
        if only is not None and stem_of(name) not in only:
            continue
        image, beyond = named_picture(name, root=root, beside=path, pictures=pictures, outside=outside)
        if beyond is not None:
            text = f"image {show(name)} (id {_show_id(image_id)}) lies outside {root} and its parent folder"
            line = _line_of(path, name)
            findings.error("outside-path", path, f"{text}; move it, or allow it with --allow-outside", line=line)
            continue
        if image is None:
            text = f"image {show(name)} (id {_show_id(image_id)}) is missing; restore it"
            findings.error("missing-image", path, text)
            continue
        size_hw = measure(image, findings)
        if size_hw is None:
            continue
        said = (entry.get("height"), entry.get("width"))
        if None not in said and said != size_hw:
            text = f"image {show(name)} should have {said[1]}x{said[0]} pixels, it has {size_hw[1]}x{size_hw[0]}"
            findings.note("wrong-size", path, text)
        samples.append(Sample(image, size_hw, tuple(coco.labels[image_id]), source=path))
    return samples


def load(path: Path, findings: Findings) -> CocoFile | None:
    """Read and check one COCO file; no picture is opened. None where it cannot be used at all."""
    data = _load_json(path, findings)
    if data is None:
        return None
    images = {_id(entry["id"]): entry for entry in data["images"] if _has(entry, "id", "file_name")}
    names = {_id(entry["id"]): str(entry["name"]) for entry in data["categories"] if _has(entry, "id", "name")}
    for key, table in (("images", images), ("categories", names)):
        if len(table) != len(data[key]):
            field = "file_name" if key == "images" else "name"
            text = f"{len(data[key]) - len(table)} of its {key} lack `id` or `{field}`, or share an id"
            findings.error("unreadable-label", path, text)
    for key in ("images", "categories"):
        if data["annotations"] and not data[key]:
            findings.error("unreadable-label", path, f"`{key}` is empty, and `annotations` names some")
            return None
    coco = CocoFile(path, images, names)
    for place, entry in enumerate(data["annotations"], start=1):
        with guarded(path, findings, place=f"annotation {place} of the list"):
            label = _read_annotation(entry, coco)
            if isinstance(label, Label):
                coco.labels[_id(entry["image_id"])].append(label)
                continue
            who = f"annotation {_show_id(_id(entry['id']))}" if _has(entry, "id") else "an annotation without `id`"
            findings.error("bad-annotation", path, f"{who} {label}")
    return coco


def format_dataset(samples: Sequence[tuple[str, Sample]]) -> str:
    """The COCO JSON of (file name, sample) pairs. Categories are numbered from 1, by name; ids are in order."""
    names = sorted({label.name for _, sample in samples for label in sample.labels})
    ids = {name: index for index, name in enumerate(names, start=1)}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, (file_name, sample) in enumerate(samples, start=1):
        height, width = sample.size_hw
        images.append({"id": image_id, "file_name": file_name, "width": width, "height": height})
        for label in sample.labels:
            annotation_id = len(annotations) + 1
            annotations.append(
                {"id": annotation_id, "image_id": image_id, "category_id": ids[label.name], **_values(label)}
            )
    categories = [{"id": index, "name": name} for name, index in ids.items()]
    document = {"images": images, "annotations": annotations, "categories": categories}
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def _write(named: Named, target: Target) -> None:
    put(target.root / "annotations.json", format_dataset(named))


def _values(label: Label) -> dict[str, Any]:
    x1, y1, x2, y2 = (round(value, 4) for value in label.box)
    width, height = round(x2 - x1, 4), round(y2 - y1, 4)
    pieces = [[round(value, 4) for point in part for value in point] for part in parts_of(label) if len(part) > 2]
    values: dict[str, Any] = {
        "bbox": [x1, y1, width, height],
        "area": round(sum(map(_area, parts_of(label))) if pieces else width * height, 4),
        "iscrowd": int(label.attributes.get("crowd") == "1"),
        "segmentation": pieces,
    }
    if label.score is not None:
        values["score"] = label.score
    if written := written_on(label):
        values["attributes"] = written
    return values


def _area(points: Sequence[tuple[float, float]]) -> float:
    """The shoelace formula."""
    turned = [*points[1:], points[0]]
    return abs(sum(x * v - u * y for (x, y), (u, v) in zip(points, turned, strict=True))) / 2


def _choose(root: Path, split: str | None) -> list[Path]:
    files = [path for path in files_below(root, (".json",)) if path == root or looks_like(path)]
    if split is not None:
        files = [path for path in files if split_name(split) in _words(path) or in_split(path, root, split)]
    by_folder = {name for path in files for name in ("train", "val", "test") if in_split(path, root, name)}
    if files and (len(files) == 1 or len(files) == len(by_folder)):
        return files
    listed = ", ".join(str(path.relative_to(root)) for path in files[:5])
    found = f"{len(files)} COCO files ({listed})" if files else "no COCO file"
    raise DataError(f"{root}: {found}; name the one that is meant, as path or with --split")


def _words(path: Path) -> set[str]:
    """The words of a file's name, splits by their one name: `instances_valid2017.json` -> instances, val."""
    return {split_name(word) for word in "".join(c if c.isalpha() else " " for c in path.stem).split()}


def _line_of(path: Path, text: str) -> int:
    """The line of a JSON file in which a text stands first, from 1; 0 where it is written otherwise."""
    data = path.read_text(encoding="utf-8-sig", errors="replace")
    for written in (json.dumps(text), json.dumps(text, ensure_ascii=False)):
        at = data.find(written)
        if at >= 0:
            return data.count("\n", 0, at) + 1
    return 0


def _load_json(path: Path, findings: Findings) -> dict[str, Any] | None:
    text = read_text(path, findings)
    data = None if text is None else read_json(path, text, findings)
    if data is None:
        return None
    missing = [key for key in _TABLES if not isinstance(data, dict) or not isinstance(data.get(key), list)]
    if missing:
        lacks = f"not COCO's JSON: it needs a list of {' and of '.join(f'`{key}`' for key in missing)}"
        findings.error("unreadable-label", path, name_stranger(path) or lacks)
        return None
    return dict(data)


def _has(entry: Any, *keys: str) -> bool:
    return isinstance(entry, dict) and all(isinstance(entry.get(key), int | float | str) for key in keys)


def _id(value: Any) -> str:
    """An id as text: 1, "1" and 1.0 are one."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def _show_id(image_id: str) -> str:
    """An id as messages show it."""
    return image_id if len(image_id) <= 40 else f"{image_id[:37]}..."


def _read_annotation(entry: Any, coco: CocoFile) -> Label | str:
    """The label of an annotation, or why it has none."""
    if not _has(entry, "image_id", "category_id") or _id(entry["image_id"]) not in coco.images:
        return "names no image of this file"
    if _id(entry["category_id"]) not in coco.names:
        return f"has category_id {_show_id(_id(entry['category_id']))}, which `categories` does not list"
    pieces = _pieces(entry.get("segmentation"))
    if pieces is None:
        return "has a `segmentation` that is no list of x, y pairs"
    box = _box(entry, pieces)
    if isinstance(box, str):
        return box
    attributes = {"id": str(entry.get("id", "")), **read_attributes(entry.get("attributes"))}
    if entry.get("iscrowd") == 1:
        attributes["crowd"] = "1"
    if len(pieces) > 1:
        attributes["parts"] = ",".join(str(len(piece)) for piece in pieces)
    points = tuple(point for piece in pieces for point in piece)
    turn = number(attributes.get(_ROTATION, ""))
    if turn is not None:
        del attributes[_ROTATION]
    if turn and not points:
        points = turned_box(box, turn)
        box = around(points)
    score = number(str(entry.get("score"))) if entry.get("score") is not None else None
    return Label(coco.names[_id(entry["category_id"])], box, score=score, points=points, attributes=attributes)


def _pieces(segmentation: Any) -> list[Points] | None:
    """The polygons of a `segmentation`, none for a mask; None where one of them is no list of x, y pairs."""
    pieces: list[Points] = []
    for piece in segmentation if isinstance(segmentation, list) else []:
        flat = [number(str(value)) for value in piece] if isinstance(piece, list) else [None]
        values = [value for value in flat if value is not None and abs(value) <= LARGEST]
        if len(flat) % 2 or len(values) != len(flat):
            return None
        if values:
            pieces.append(tuple(zip(values[::2], values[1::2], strict=True)))
    return pieces


def _box(entry: Mapping[str, Any], pieces: Sequence[Points]) -> Box | str:
    """The box of an annotation: its `bbox`, else the one around its outline; or why it has none."""
    box = entry.get("bbox")
    if box is None or box == []:
        points = [point for piece in pieces for point in piece]
        found = around(points) if points else rle_box(entry.get("segmentation"))
        return found or "has neither a `bbox` nor polygons or a mask in `segmentation` to take the box from"
    values = [number(str(value)) for value in box] if isinstance(box, list) else []
    given = [value for value in values if value is not None and abs(value) <= LARGEST]
    if len(values) != 4 or len(given) != 4:
        return "needs a `bbox` of four finite numbers: x, y, width, height"
    x, y, width, height = given
    return (x, y, x + width, y + height)


WRITING = Writing(_write, "images", keeps=frozenset({"attributes", "score", "outline"}))
