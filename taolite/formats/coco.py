"""COCO detection JSON: one file a data set (or a split of it), boxes as [x, y, width, height] in continuous pixels.

Polygons of `segmentation` are kept as points (RLE masks are not: their box is). `iscrowd` marks a region of many and
travels as the attribute `crowd`; `attributes` are kept as CVAT writes them. Sizes come from the picture where it
exists. Annotations have no lines, so findings name their id.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from taolite.errors import DataError
from taolite.formats.attributes import read_attributes, written_on
from taolite.formats.findings import Findings
from taolite.formats.places import Pictures, files_below, measure, stem_of
from taolite.formats.shapes import parts_of
from taolite.formats.text import number, read_text, show
from taolite.sample import Label, Sample

__all__ = ["CocoFile", "format_dataset", "load", "looks_like", "read"]


class CocoFile:
    """One COCO file, checked: images by id in file order, labels by image id, category names."""

    def __init__(self, path: Path, images: Mapping[int, Mapping[str, Any]], names: Mapping[int, str]) -> None:
        self.path = path
        self.images = images
        self.names = names
        self.labels: dict[int, list[Label]] = {image_id: [] for image_id in images}


def looks_like(path: Path) -> bool:
    """Whether a JSON file is COCO's: images, annotations and categories."""
    data = path.read_bytes()
    return all(f'"{key}"'.encode() in data for key in ("images", "annotations", "categories"))


def read(root: Path, *, only: frozenset[str] | None, findings: Findings, split: str | None = None) -> list[Sample]:
    """Samples of the COCO file at or below `root`, in the file's order.

    Where there are several, `split` says which: the one whose name holds it as a word (`instances_val2017.json` has
    `val`). Raises DataError where that leaves none or several.
    """
    path = _choose(root, split)
    coco, pictures = load(path, findings), Pictures(root)
    if coco is None:
        return []
    samples = []
    for image_id, entry in coco.images.items():
        name = str(entry["file_name"])
        if only is not None and stem_of(name) not in only:
            continue
        beside = path.parent / name.replace("\\", "/")
        image = beside if beside.is_file() else pictures.find(name, near=path)
        if image is None:
            findings.error("missing-image", path, f"image {show(name)} (id {image_id}) is missing; restore it")
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
    images = {entry["id"]: entry for entry in data["images"] if _has(entry, "id", "file_name")}
    names = {entry["id"]: str(entry["name"]) for entry in data["categories"] if _has(entry, "id", "name")}
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
    for entry in data["annotations"]:
        label = _read_annotation(entry, coco, findings)
        if label is not None:
            coco.labels[entry["image_id"]].append(label)
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


def _choose(root: Path, split: str | None) -> Path:
    files = [path for path in files_below(root, (".json",)) if looks_like(path)]
    if len(files) > 1 and split is not None:
        words = {path: "".join(c if c.isalpha() else " " for c in path.stem).split() for path in files}
        files = [path for path in files if split in words[path]] or files
    if len(files) != 1:
        listed = ", ".join(str(path.relative_to(root)) for path in files[:5])
        found = f"{len(files)} COCO files ({listed})" if files else "no COCO file"
        raise DataError(f"{root}: {found}; name the one that is meant, as path or with --split")
    return files[0]


def _load_json(path: Path, findings: Findings) -> dict[str, Any] | None:
    text = read_text(path, findings)
    if text is None:
        return None
    try:
        data = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        line = getattr(error, "lineno", 0)
        findings.error("unreadable-label", path, f"not JSON ({getattr(error, 'msg', 'nested too deep')})", line=line)
        return None
    missing = [
        key
        for key in ("images", "annotations", "categories")
        if not isinstance(data, dict) or not isinstance(data.get(key), list)
    ]
    if missing:
        text = f"not COCO's JSON: it needs a list of {' and of '.join(f'`{key}`' for key in missing)}"
        findings.error("unreadable-label", path, text)
        return None
    return dict(data)


def _has(entry: Any, *keys: str) -> bool:
    return isinstance(entry, dict) and all(isinstance(entry.get(key), (int, str)) for key in keys)


def _read_annotation(entry: Any, coco: CocoFile, findings: Findings) -> Label | None:
    who = f"annotation {entry['id']}" if _has(entry, "id") else "an annotation without `id`"
    if not _has(entry, "image_id", "category_id") or entry["image_id"] not in coco.images:
        findings.error("bad-annotation", coco.path, f"{who} names no image of this file")
        return None
    if entry["category_id"] not in coco.names:
        text = f"{who} has category_id {entry['category_id']}, which `categories` does not list"
        findings.error("bad-annotation", coco.path, text)
        return None
    box = entry.get("bbox")
    values = [number(str(value)) for value in box] if isinstance(box, list) else []
    if len(values) != 4 or None in values:
        findings.error("bad-annotation", coco.path, f"{who} needs a `bbox` of four finite numbers: x, y, width, height")
        return None
    x, y, width, height = (value for value in values if value is not None)
    attributes = {"id": str(entry.get("id", "")), **read_attributes(entry.get("attributes"))}
    if entry.get("iscrowd") == 1:
        attributes["crowd"] = "1"
    segmentation = entry.get("segmentation")
    pieces = segmentation if isinstance(segmentation, list) else []
    points, counts = [], []
    for piece in pieces:
        flat = [number(str(value)) for value in piece] if isinstance(piece, list) else [None]
        if len(flat) % 2 or None in flat:
            findings.error("bad-annotation", coco.path, f"{who} has a `segmentation` that is no list of x, y pairs")
            return None
        whole = [value for value in flat if value is not None]
        points += list(zip(whole[::2], whole[1::2], strict=True))
        counts.append(len(whole) // 2)
    if len(counts) > 1:
        attributes["parts"] = ",".join(map(str, counts))
    score = number(str(entry.get("score"))) if entry.get("score") is not None else None
    box_n = (x, y, x + width, y + height)
    return Label(coco.names[entry["category_id"]], box_n, score=score, points=tuple(points), attributes=attributes)
