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
`imageData`: `embedded_picture` gives its bytes. Flags of the whole picture (labelme's tags) are not kept.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from taolite.errors import DataError, PictureError
from taolite.formats.attributes import read_attributes
from taolite.formats.findings import Findings
from taolite.formats.guard import guarded
from taolite.formats.places import Pictures, files_below, measure, named_picture
from taolite.formats.shapes import WITHOUT_AREA, Box, Points, around, circle_outline, join
from taolite.formats.split import in_split
from taolite.formats.text import LARGEST, number, read_json, read_text, show
from taolite.pictures import EXTENSIONS, open_image
from taolite.sample import Label, Sample

__all__ = ["JOINED", "OUTLINE", "embedded_picture", "looks_like", "read"]

_POLYGONS = ("polygon", "rotation", "oriented_rectangle", "quadrilateral")
_KNOWN = ("rectangle", "circle", "mask", *_POLYGONS, *WITHOUT_AREA)
JOINED = ("polygon", "circle", "mask")  # shapes that are one object where they share label and group
OUTLINE = "outline"  # the attribute that holds an outline beside its box: `386,473 177,454 ...`


def looks_like(path: Path) -> bool:
    """Whether a JSON file is one of labelme's: it has shapes and names an image."""
    head = path.read_bytes()
    return b'"shapes"' in head and (b'"imagePath"' in head or b'"imageData"' in head)


def read(
    root: Path,
    *,
    only: frozenset[str] | None = None,
    split: str | None = None,
    outside: bool = False,
    findings: Findings,
) -> list[Sample]:
    """Samples of every labelme file at or below `root`, by path; other JSON files are passed over (see
    `layout.Reader`)."""
    pictures, samples, tags = Pictures(root), [], Counter[str]()
    for path in files_below(root, (".json",)):
        if (only is not None and path.stem not in only) or not in_split(path, root, split):
            continue
        with guarded(path, findings):
            data = _load(path, findings) if looks_like(path) else None
            if data is None:
                continue
            tags.update(_raised(data.get("flags")))
            sample = _to_sample(data, path, root, outside, pictures, findings)
            if sample is not None:
                samples.append(sample)
    if tags:
        counts = ", ".join(f"{name} {count}" for name, count in sorted(tags.items()))
        findings.note("not-kept", root, f"flags of whole pictures are not kept by any format: {counts}")
    return samples


def embedded_picture(path: Path) -> bytes | None:
    """The picture inside a labelme file as the bytes of an image file, or None where it holds none.

    Raises DataError where what it holds is damaged.
    """
    data = _load(path, Findings())
    return None if data is None else _embedded(data, path)


def _embedded(data: Mapping[str, Any], path: Path) -> bytes | None:
    text = data.get("imageData")
    if not isinstance(text, str) or not text:
        return None
    if text.startswith("data:"):  # as browsers write a picture into text
        text = text.partition(",")[2]
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise DataError(f"{path}: its embedded picture (`imageData`) is damaged ({error})") from error


def _to_sample(
    data: Mapping[str, Any], path: Path, root: Path, outside: bool, pictures: Pictures, findings: Findings
) -> Sample | None:
    labels = _read_shapes(data, path, findings)
    image, size_hw = _find_picture(data, path, root, outside, pictures, findings)
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
    data = read_json(path, text, findings)
    if data is None:
        return None
    if not isinstance(data, dict):
        findings.error("unreadable-label", path, "not labelme's JSON: it needs to be one object with `shapes`")
        return None
    lines = _lines_of("label", text)
    shapes = data.get("shapes")
    if isinstance(shapes, list) and len(lines) == len(shapes):
        data["\0lines"] = lines
    data["\0line of imagePath"] = next(iter(_lines_of("imagePath", text)), 0)
    return data


def _lines_of(key: str, text: str) -> list[int]:
    """The lines in which a key stands."""
    lines, at, line = [], 0, 1
    for match in re.finditer(rf'"{key}"\s*:', text):
        line += text.count("\n", at, match.start())
        at = match.start()
        lines.append(line)
    return lines


def _raised(flags: Any) -> list[str]:
    """The flags that are set."""
    return [str(flag) for flag, up in flags.items() if up] if isinstance(flags, dict) else []


def _find_picture(
    data: Mapping[str, Any], path: Path, root: Path, outside: bool, pictures: Pictures, findings: Findings
) -> tuple[Path, tuple[int, int] | None]:
    given = data.get("imagePath")
    named = given.replace("\\", "/") if isinstance(given, str) else ""
    is_picture = Path(named).suffix.lower() in EXTENSIONS
    found, beyond = named_picture(
        named if is_picture else path.stem, root=root, beside=path, pictures=pictures, outside=outside
    )
    if found is None and is_picture:
        near = pictures.find(path.stem, near=path)
        found = near if near is not None and near.parent == path.parent else None
    if found is not None:
        return found, measure(found, findings)
    missing = path.parent / (named if is_picture else f"{path.stem}.jpg")
    try:
        picture = _embedded(data, path)
    except DataError as error:
        text = str(error).removeprefix(f"{path}: ")
        findings.error("unreadable-image", path, f"{text}, and {show(named or path.stem)} is missing; restore one")
        return missing, None
    if picture is not None:
        return _measure_embedded(picture, path, Path(named).stem or path.stem, findings)
    if beyond is not None:
        text = f"its picture {show(named)} lies outside {root} and its parent folder; move it, or allow it with"
        line = int(data.get("\0line of imagePath") or 0)
        findings.error("outside-path", path, f"{text} --allow-outside", line=line)
    else:
        text = f"its picture {show(named or '(none named)')} is missing and none is embedded; put it beside this file"
        findings.error("missing-image", path, text)
    return missing, None


def _measure_embedded(picture: bytes, path: Path, stem: str, findings: Findings) -> tuple[Path, tuple[int, int] | None]:
    import io

    from PIL import ImageOps

    try:
        with open_image(path, stream=io.BytesIO(picture)) as image:
            extension = {"PNG": ".png", "WEBP": ".webp", "BMP": ".bmp"}.get(image.format or "", ".jpg")
            width, height = ImageOps.exif_transpose(image).size
    except PictureError as error:
        findings.error("unreadable-image", path, f"its embedded picture (`imageData`) is damaged ({error.reason})")
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
        if group is not None and kind in JOINED and (label.name, group) in groups:
            groups[label.name, group].append(label)
            continue
        labels.append([label])
        if group is not None and kind in JOINED:
            groups[label.name, group] = labels[-1]
    return tuple(join(pieces) for pieces in labels) if len(findings.errors) == before else None


def _read_shape(shape: Any, path: Path, line: int, findings: Findings) -> Label | None:
    name = _name_of(shape)
    if name is None:
        findings.error("bad-shape", path, "a shape needs to be an object with a `label`", line=line)
        return None
    kind = shape.get("shape_type") or "polygon"
    if not isinstance(kind, str) or kind not in _KNOWN:
        text = f"shape_type {show(str(kind))} of {show(name)} is not one of {', '.join(_KNOWN)}"
        findings.error("bad-shape", path, text, line=line)
        return None
    points = _points(shape.get("points"))
    needed = {"rectangle": 2, "circle": 2, "mask": 2}.get(kind, 1)
    if points is None or len(points) < needed:
        text = f"{kind} {show(name)} needs {needed} or more points, each two finite numbers"
        findings.error("bad-shape", path, text, line=line)
        return None
    if kind == "polygon" and len(points) < 3:
        kind = "line" if len(points) == 2 else "point"
    attributes = _attributes(shape, kind)
    box, outline = around(points), points
    if kind == "circle":
        (x, y), radius = points[0], math.dist(points[0], points[1])
        box, outline = (x - radius, y - radius, x + radius, y + radius), circle_outline(points[0], points[1])
    elif kind == "rectangle":
        outline = _parse_outline(attributes.pop(OUTLINE, ""))
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


def _name_of(shape: Any) -> str | None:
    """The label of a shape, also where a tool wrote it as a number; None where there is none."""
    label = shape.get("label") if isinstance(shape, dict) else None
    if isinstance(label, str):
        return label
    return str(label) if isinstance(label, int | float) and not isinstance(label, bool) else None


def _attributes(shape: Mapping[str, Any], kind: str) -> dict[str, str]:
    attributes = {} if kind in ("rectangle", "polygon") else {"shape": str(kind)}
    if shape.get("group_id") is not None:
        attributes["group"] = str(shape["group_id"])
    raised = _raised(shape.get("flags"))
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
    whole = len(points) == len(value) and all(abs(part) <= LARGEST for point in points for part in point)
    return tuple(points) if whole else None


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


def _parse_outline(text: str) -> Points:
    pairs = [tuple(number(value) for value in pair.split(",")) for pair in text.split()]
    points = [(pair[0], pair[1]) for pair in pairs if len(pair) == 2 and pair[0] is not None and pair[1] is not None]
    return tuple(points) if len(points) == len(pairs) else ()
