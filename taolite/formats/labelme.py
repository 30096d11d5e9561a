"""labelme JSON: one file an image, of any version, and the X-AnyLabeling dialect (rectangles with four corners).

Coordinates are continuous pixels of the upright photo, as drawn. What becomes of a shape:

    rectangle, rotation, oriented_rectangle, polygon   the box around its points, in whatever order they were clicked
    circle                                             two points, centre and edge; the box around the circle
    mask                                               a base64 PNG; its pixels are points[0]..points[1], both included
    point, points, line, linestrip                     kept with their points; no area, so box formats leave them out

Polygons, circles and masks of one label and one `group_id` are one object, as in labelme's own COCO export. A shape
without `shape_type` (old labelme) is a polygon. `attributes` of a shape are kept, as X-AnyLabeling does; an outline
that does not fill its box (a plate's corners, read from elsewhere) goes there beside the box. The picture is
`imagePath` beside the JSON (either slash), else a picture of that name below the root, else the one embedded in
`imageData`: `embedded_picture` gives its bytes.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from taolite.errors import PictureError
from taolite.formats.attributes import read_attributes, written_on
from taolite.formats.findings import Findings
from taolite.formats.places import Pictures, files_below, measure
from taolite.formats.shapes import WITHOUT_AREA, Box, Points, around, circle_outline, join, parts_of
from taolite.formats.text import number, read_text, show
from taolite.pictures import EXTENSIONS, open_image
from taolite.sample import Label, Sample

__all__ = ["embedded_picture", "format_labels", "looks_like", "read"]

_POLYGONS = ("polygon", "rotation", "oriented_rectangle", "quadrilateral")
_KNOWN = ("rectangle", "circle", "mask", *_POLYGONS, *WITHOUT_AREA)
_JOINED = ("polygon", "circle", "mask")
_OUTLINE = "outline"  # the attribute that holds an outline beside its box: `386,473 177,454 ...`
_TOLERANCE = 1.0  # pixels by which the box of an outline may differ from the label's


def looks_like(path: Path) -> bool:
    """Whether a JSON file is one of labelme's: it has shapes and names an image."""
    head = path.read_bytes()
    return b'"shapes"' in head and (b'"imagePath"' in head or b'"imageData"' in head)


def read(root: Path, *, only: frozenset[str] | None, findings: Findings) -> list[Sample]:
    """Samples of every labelme file at or below `root`, by path; other JSON files are passed over."""
    pictures, samples = Pictures(root), []
    for path in files_below(root, (".json",)):
        if (only is None or path.stem in only) and looks_like(path):
            sample = _read_file(path, pictures, findings)
            if sample is not None:
                samples.append(sample)
    return samples


def embedded_picture(path: Path) -> bytes | None:
    """The picture inside a labelme file as the bytes of an image file, or None where it holds none."""
    findings = Findings()
    data = _load(path, findings)
    text = data.get("imageData") if data else None
    if not isinstance(text, str) or not text:
        return None
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error:
        return None


def format_labels(sample: Sample, *, image_name: str) -> str:
    """The labelme JSON of a sample whose picture lies beside it as `image_name`; nothing is embedded."""
    height, width = sample.size_hw
    shapes = [shape for label in sample.labels for shape in _shapes(label)]
    document: dict[str, Any] = {
        "version": "5.5.0",
        "flags": {},
        "shapes": shapes,
        "imagePath": image_name,
        "imageData": None,
        "imageHeight": height,
        "imageWidth": width,
    }
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def _read_file(path: Path, pictures: Pictures, findings: Findings) -> Sample | None:
    data = _load(path, findings)
    if data is None:
        return None
    labels = _read_shapes(data, path, findings)
    image, size_hw = _find_picture(data, path, pictures, findings)
    if labels is None or size_hw is None:
        return None
    header = (data.get("imageHeight"), data.get("imageWidth"))
    if None not in header and header != size_hw:
        text = f"the file says {header[1]}x{header[0]} pixels, {image.name} has {size_hw[1]}x{size_hw[0]}"
        findings.note("wrong-size", path, text)
    return Sample(image, size_hw, labels, source=path)


def _load(path: Path, findings: Findings) -> dict[str, Any] | None:
    text = read_text(path, findings)
    if text is None:
        return None
    try:
        data = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        line = getattr(error, "lineno", 0)
        findings.error("unreadable-label", path, f"not JSON ({getattr(error, 'msg', 'nested too deep')})", line=line)
        return None
    if not isinstance(data, dict):
        findings.error("unreadable-label", path, "not labelme's JSON: it needs to be one object with `shapes`")
        return None
    lines = [text.count("\n", 0, match.start()) + 1 for match in re.finditer(r'"label"\s*:', text)]
    shapes = data.get("shapes")
    if isinstance(shapes, list) and len(lines) == len(shapes):
        data["\0lines"] = lines
    return data


def _find_picture(
    data: Mapping[str, Any], path: Path, pictures: Pictures, findings: Findings
) -> tuple[Path, tuple[int, int] | None]:
    named = str(data.get("imagePath") or "").replace("\\", "/")
    is_picture = Path(named).suffix.lower() in EXTENSIONS
    beside = path.parent / named if is_picture else path.with_suffix(".jpg")
    found = beside if is_picture and beside.is_file() else pictures.find(named if is_picture else path.stem, near=path)
    if found is None and is_picture:
        found = pictures.find(path.stem, near=path)
        found = found if found is not None and found.parent == path.parent else None
    if found is not None:
        return found, measure(found, findings)
    picture = embedded_picture(path)
    if picture is None:
        text = f"its picture {show(named or '(none named)')} is missing and none is embedded; put it beside this file"
        findings.error("missing-image", path, text)
        return beside, None
    return _measure_embedded(picture, path, Path(named).stem or path.stem, findings)


def _measure_embedded(picture: bytes, path: Path, stem: str, findings: Findings) -> tuple[Path, tuple[int, int] | None]:
    import io

    from PIL import ImageOps

    try:
        with open_image(path, stream=io.BytesIO(picture)) as image:
            extension = {"PNG": ".png", "WEBP": ".webp", "BMP": ".bmp"}.get(image.format or "", ".jpg")
            width, height = ImageOps.exif_transpose(image).size
    except PictureError as error:
        text = f"the picture embedded in `imageData` is not readable ({error.reason})"
        findings.error("unreadable-image", path, text)
        return path, None
    return path.with_name(stem + extension), (height, width)


def _read_shapes(data: Mapping[str, Any], path: Path, findings: Findings) -> tuple[Label, ...] | None:
    shapes = data.get("shapes")
    if not isinstance(shapes, list):
        findings.error("unreadable-label", path, "not labelme's JSON: `shapes` needs to be a list")
        return None
    before = len(findings.errors)
    lines = data.get("\0lines") or [0] * len(shapes)
    labels: list[list[Label]] = []
    groups: dict[tuple[str, str], list[Label]] = {}
    for shape, line in zip(shapes, lines, strict=True):
        label = _read_shape(shape, path, line, findings)
        if label is None:
            continue
        group, kind = label.attributes.get("group"), label.attributes.get("shape", "polygon" if label.points else "")
        if group is not None and kind in _JOINED and (label.name, group) in groups:
            groups[label.name, group].append(label)
            continue
        labels.append([label])
        if group is not None and kind in _JOINED:
            groups[label.name, group] = labels[-1]
    return tuple(join(pieces) for pieces in labels) if len(findings.errors) == before else None


def _read_shape(shape: Any, path: Path, line: int, findings: Findings) -> Label | None:
    if not isinstance(shape, dict) or not isinstance(shape.get("label"), str):
        findings.error("bad-shape", path, "a shape needs to be an object with a `label`", line=line)
        return None
    name, kind = shape["label"], shape.get("shape_type") or "polygon"
    points = _points(shape.get("points"))
    needed = {"rectangle": 2, "circle": 2, "mask": 2}.get(kind, 1)
    if kind not in _KNOWN:
        text = f"shape_type {show(str(kind))} of {show(name)} is not one of {', '.join(_KNOWN)}"
        findings.error("bad-shape", path, text, line=line)
        return None
    if points is None or len(points) < needed:
        text = f"{kind} {show(name)} needs {needed} or more points, each two finite numbers"
        findings.error("bad-shape", path, text, line=line)
        return None
    if kind == "polygon" and len(points) < 3:
        kind = "line" if len(points) == 2 else "point"
    attributes = _attributes(shape, kind)
    box, outline = around(points), points
    if kind == "circle":
        (x, y), radius = points[0], _radius(points)
        box, outline = (x - radius, y - radius, x + radius, y + radius), circle_outline(points[0], points[1])
    elif kind == "rectangle":
        outline = _parse_outline(attributes.pop(_OUTLINE, ""))
    elif kind == "mask":
        box = (float(int(box[0])), float(int(box[1])), float(int(box[2]) + 1), float(int(box[3]) + 1))
        parts = _mask_outline(shape.get("mask"), box)
        if parts is None:
            text = f"the mask of {show(name)} is not a base64 PNG of its points' size"
            findings.error("bad-shape", path, text, line=line)
            return None
        outline = tuple(point for part in parts for point in part)
        attributes |= {"mask": shape["mask"], "parts": ",".join(str(len(part)) for part in parts)}
    if kind in WITHOUT_AREA:
        findings.note("no-area", path, f"{kind} {show(name)} has no area and gives no box", line=line)
    score = number(str(shape.get("score"))) if shape.get("score") is not None else None
    return Label(
        name,
        box,
        difficult=shape.get("difficult") is True,
        score=score,
        points=outline,
        attributes=attributes,
        line=line,
    )


def _attributes(shape: Mapping[str, Any], kind: str) -> dict[str, str]:
    attributes = {} if kind in ("rectangle", "polygon") else {"shape": str(kind)}
    if shape.get("group_id") is not None:
        attributes["group"] = str(shape["group_id"])
    flags = shape.get("flags")
    raised = [str(flag) for flag, up in flags.items() if up] if isinstance(flags, dict) else []
    if raised:
        attributes["flags"] = ",".join(raised)
    if shape.get("description"):
        attributes["description"] = str(shape["description"])
    return attributes | read_attributes(shape.get("attributes"))


def _points(value: Any) -> Points | None:
    if not isinstance(value, list):
        return None
    pairs = [tuple(number(str(part)) for part in pair) if isinstance(pair, list) else () for pair in value]
    points = [(pair[0], pair[1]) for pair in pairs if len(pair) == 2 and pair[0] is not None and pair[1] is not None]
    return tuple(points) if len(points) == len(value) else None


def _radius(points: Points) -> float:
    (x, y), (edge_x, edge_y) = points[0], points[1]
    return float(((edge_x - x) ** 2 + (edge_y - y) ** 2) ** 0.5)


def _mask_outline(text: Any, box: Box) -> list[Points] | None:
    """The outlines of a mask's pieces in pixels of the photo, through pixel centres; None where it is no mask."""
    import io

    import cv2
    import numpy as np

    try:
        with open_image(Path("mask"), stream=io.BytesIO(base64.b64decode(str(text)))) as image:
            mask = np.array(image.convert("L")) > 0
    except (binascii.Error, ValueError, PictureError):
        return None
    if mask.shape != (int(box[3] - box[1]), int(box[2] - box[0])) or not mask.any():
        return None
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    half = 0.5
    return [
        tuple((float(x) + box[0] + half, float(y) + box[1] + half) for x, y in contour[:, 0]) for contour in contours
    ]


def _fills(points: Points, box: Box) -> bool:
    return all(abs(a - b) <= _TOLERANCE for a, b in zip(around(points), box, strict=True))


def _parse_outline(text: str) -> Points:
    pairs = [tuple(number(value) for value in pair.split(",")) for pair in text.split()]
    points = [(pair[0], pair[1]) for pair in pairs if len(pair) == 2 and pair[0] is not None and pair[1] is not None]
    return tuple(points) if len(points) == len(pairs) else ()


def _shapes(label: Label) -> list[dict[str, Any]]:
    """The shapes that read back as `label`: one, or one for each piece of its outline."""
    kind = label.attributes.get("shape", "polygon" if label.points else "rectangle")
    x1, y1, x2, y2 = label.box
    pieces: Sequence[Points] = [label.points]
    attributes = written_on(label)
    if kind == "polygon" and label.points and "parts" not in label.attributes and not _fills(label.points, label.box):
        kind, attributes[_OUTLINE] = "rectangle", " ".join(f"{x:g},{y:g}" for x, y in label.points)
    if kind == "rectangle":
        pieces = [((x1, y1), (x2, y2))]
    elif kind == "circle":
        pieces = [(((x1 + x2) / 2, (y1 + y2) / 2), (x2, (y1 + y2) / 2))]
    elif kind == "mask" and "mask" in label.attributes:
        pieces = [((x1, y1), (x2 - 1, y2 - 1))]
    elif kind in _JOINED:
        kind, pieces = "polygon", parts_of(label)
    group = label.attributes.get("group")
    if group is None and len(pieces) > 1:
        group = f"line {label.line}"
    shape: dict[str, Any] = {
        "label": label.name,
        "group_id": int(group) if group is not None and group.lstrip("-").isdigit() else group,
        "description": label.attributes.get("description", ""),
        "shape_type": kind,
        "flags": {flag: True for flag in label.attributes.get("flags", "").split(",") if flag},
        "mask": label.attributes.get("mask") if kind == "mask" else None,
    }
    if attributes:
        shape["attributes"] = attributes
    if label.difficult:
        shape["difficult"] = True
    if label.score is not None:
        shape["score"] = label.score
    return [{**shape, "points": [[x, y] for x, y in piece]} for piece in pieces]
