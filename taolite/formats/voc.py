"""Pascal VOC XML: one file an image.

VOC counts pixels from 1 and includes both ends, so our box is (xmin - 1, ymin - 1, xmax, ymax) and `xmax == width`
lies inside the image; the writer does the inverse. Habits of real tools are met:

    a corner with a fraction in the file    CVAT and its like: corners are edges from 0 and taken as they stand
    an attribute `rotation` in the file     CVAT: the same, and a turned object gets the box around it
    `robndbox`                              roLabelImg: centre, size and angle; the box around it, edges from 0
    all corners of the file 0 to 1          fractions of the picture's size, scaled and told
    a coordinate of 0                       a tool that counts from 0: the image's edge
    `xmin == xmax`                          a stray click: no width at all, and not one column of pixels

The writer follows: a file with a fraction is written as edges. `path` (the annotator's own disk), `pose` and `part` are
ignored; `filename` may lack its extension. A whole set drawn by a tool that counts from 0 is told apart in
`taolite.formats.voc_sets`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from taolite.formats.attributes import read_attributes
from taolite.formats.findings import Findings
from taolite.formats.guard import guarded
from taolite.formats.places import Pictures, files_below, measure
from taolite.formats.shapes import Points, around, turned_box
from taolite.formats.split import in_split
from taolite.formats.strangers import name_stranger
from taolite.formats.text import LARGEST, number, plain, show
from taolite.formats.xml_tree import Node, head_of, parse_xml
from taolite.sample import Label, Sample
from taolite.wording import counted

__all__ = ["Annotation", "DrawnObject", "looks_like", "note_corners", "parse", "read", "to_sample"]

_CORNERS = ("xmin", "ymin", "xmax", "ymax")
_TURNED = ("cx", "cy", "w", "h", "angle")  # of roLabelImg, the angle in radians
_ROTATION = "rotation"  # CVAT's attribute, degrees clockwise
_ANNOTATION = re.compile(r"<annotation[\s>/]")


def looks_like(path: Path) -> bool:
    """Whether an XML file is a VOC annotation."""
    return _ANNOTATION.search(head_of(path)) is not None


def read(
    root: Path,
    *,
    only: frozenset[str] | None = None,
    split: str | None = None,
    outside: bool = False,
    findings: Findings,
) -> list[Sample]:
    """Samples of every annotation at or below `root`, by path, wherever its pictures lie (see `layout.Reader`)."""
    pictures, samples, annotations = Pictures(root), [], []
    for path in files_below(root, (".xml",)):
        if (only is not None and path.stem not in only) or not in_split(path, root, split):
            continue
        with guarded(path, findings):
            annotation = parse(path, findings) if root == path or looks_like(path) else None
            if annotation is None:
                continue
            annotations.append(annotation)
            image = _find_picture(annotation, pictures, findings)
            sample = None if image is None else to_sample(annotation, image, findings)
            if sample is not None:
                samples.append(sample)
    note_corners(root, annotations, findings)
    return samples


def note_corners(root: Path, annotations: Sequence[Annotation], findings: Findings) -> None:
    """Say once how many files have corners that are edges from 0, and how many have fractions of their picture."""
    edges = [one for one in annotations if one.corners_are == "edges"]
    shares = [one for one in annotations if one.corners_are == "shares"]
    count = len(annotations)
    if edges:
        text = f"{_files(edges, count)} corners with fractions (or CVAT's rotation): taken as edges from 0"
        findings.note("edges", root, f"{text}, and no 1 is subtracted; the first is {edges[0].path.name}")
    if shares:
        text = f"{_files(shares, count)} corners from 0 to 1, which are no pixels: taken as fractions of the picture"
        findings.note("fractions", shares[0].path, text, line=shares[0].objects[0].line)


def _files(some: Sequence[Annotation], count: int) -> str:
    return f"{len(some)} of {counted(count, 'file')} {'has' if len(some) == 1 else 'have'}"


@dataclass(frozen=True)
class DrawnObject:
    """One `<object>` as it stands in the file: `corners` are xmin, ymin, xmax, ymax in the tool's own counting.

    `turn` is how far the object is turned around its box's centre, in degrees clockwise; None where nothing says so.
    """

    name: str
    corners: tuple[float, float, float, float]
    line: int
    truncated: float = 0.0
    occluded: int = 0
    difficult: bool = False
    outline: Points = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    turn: float | None = None


@dataclass(frozen=True)
class Annotation:
    """One annotation file before its picture is known; `said_hw` is the size it claims, None where it has none.

    `whole` tells whether every object of the file could be read. `corners_are`: `pixels` (VOC's, from 1), `edges` (from
    0) or `shares` (fractions of the picture's size).
    """

    path: Path
    filename: str
    said_hw: tuple[float, float] | None
    size_line: int
    objects: tuple[DrawnObject, ...]
    whole: bool
    corners_are: str = "pixels"


def parse(path: Path, findings: Findings) -> Annotation | None:
    """What an annotation file says, or None where it is none; what is wrong goes to `findings`."""
    root = parse_xml(path, findings)
    if root is None:
        return None
    if root.name != "annotation":
        text = name_stranger(path) or f"the root is <{root.name}>; VOC's is <annotation>"
        findings.error("unreadable-label", path, text, line=root.line)
        return None
    found = [_read_object(node, path, findings) for node in root.all("object")]
    objects = tuple(one for one in found if one is not None)
    size = root.first("size")
    height, width = (None, None) if size is None else (number(size.text("height")), number(size.text("width")))
    said_hw = None if height is None or width is None else (height, width)
    line = 0 if size is None else size.line
    whole = len(objects) == len(found)
    return Annotation(path, root.text("filename"), said_hw, line, objects, whole, _kind_of_corners(objects))


def to_sample(annotation: Annotation, image: Path, findings: Findings, *, from_zero: bool = False) -> Sample | None:
    """The sample of an annotation and its picture, or None where either cannot be used.

    `from_zero`: the tool drew edges and counted from 0, so that corners are taken as they stand.
    """
    size_hw = measure(image, findings)
    if size_hw is None or not annotation.whole:
        return None
    said = annotation.said_hw
    if said is not None and said not in (size_hw, (0, 0)):
        text = f"the file says {plain(said[1])}x{plain(said[0])} pixels, {image.name} has {size_hw[1]}x{size_hw[0]}"
        findings.note("wrong-size", annotation.path, text, line=annotation.size_line)
    from_zero = from_zero or annotation.corners_are != "pixels"
    scale = (size_hw[1], size_hw[0]) if annotation.corners_are == "shares" else (1, 1)
    labels = tuple(_to_label(drawn, from_zero, scale) for drawn in annotation.objects)
    return Sample(image, size_hw, labels, source=annotation.path)


def _kind_of_corners(objects: Sequence[DrawnObject]) -> str:
    values = [value for drawn in objects for value in drawn.corners]
    if all(value.is_integer() for value in values):
        return "edges" if any(drawn.turn is not None for drawn in objects) else "pixels"
    return "shares" if all(0 <= value <= 1 for value in values) else "edges"


def _find_picture(annotation: Annotation, pictures: Pictures, findings: Findings) -> Path | None:
    named, path = annotation.filename, annotation.path
    image = (pictures.find(named, near=path) if named else None) or pictures.find(path.stem, near=path)
    if image is None:
        text = f"no image is called {show(named or path.stem)}; restore it or remove these labels"
        findings.error("missing-image", path, text)
    return image


def _to_label(drawn: DrawnObject, from_zero: bool, scale: tuple[int, int]) -> Label:
    xmin, ymin, xmax, ymax = (value * side for value, side in zip(drawn.corners, scale * 2, strict=True))
    first = 0 if from_zero else 1
    (x1, x2), (y1, y2) = ((xmin, xmax), (ymin, ymax)) if from_zero else (_to_edges(xmin, xmax), _to_edges(ymin, ymax))
    label = Label(
        drawn.name,
        (x1, y1, x2, y2),
        truncated=drawn.truncated,
        occluded=drawn.occluded,
        difficult=drawn.difficult,
        points=tuple((x * scale[0] - first, y * scale[1] - first) for x, y in drawn.outline),
        attributes=drawn.attributes,
        line=drawn.line,
    )
    if not drawn.turn or drawn.outline:
        return label
    points = turned_box(label.box, drawn.turn)
    return replace(label, box=around(points), points=points)


def _read_object(node: Node, path: Path, findings: Findings) -> DrawnObject | None:
    name, box, turned = node.text("name"), node.first("bndbox"), node.first("robndbox")
    frame, names = (turned, _TURNED) if turned is not None else (box, _CORNERS)
    if not name or frame is None:
        findings.error("bad-object", path, "an <object> needs a <name> and a <bndbox>", line=node.line)
        return None
    values = [number(frame.text(one)) for one in names]
    bad = next((i for i, value in enumerate(values) if value is None or abs(value) > LARGEST), None)
    if bad is not None:
        text = f"<{names[bad]}> of {show(name)} is {show(frame.text(names[bad]))}; it needs to be a finite number"
        findings.error("bad-object", path, text, line=frame.line)
        return None
    given = [value for value in values if value is not None]
    attributes = _read_attributes(node)
    turn = number(attributes.get(_ROTATION, ""))
    if turn is not None:
        del attributes[_ROTATION]
    if turned is not None:
        x, y, width, height, angle = given
        given, turn = [x - width / 2, y - height / 2, x + width / 2, y + height / 2], math.degrees(angle)
    xmin, ymin, xmax, ymax = given
    return DrawnObject(
        name,
        (xmin, ymin, xmax, ymax),
        frame.line,
        truncated=_flag(node.text("truncated")),
        occluded=int(_flag(node.text("occluded"))),
        difficult=_flag(node.text("difficult")) > 0,
        outline=_read_outline(node),
        attributes=attributes,
        turn=turn,
    )


def _read_outline(node: Node) -> Points:
    """The points of a `<polygon>`; none where a coordinate is missing or no number."""
    polygon = node.first("polygon")
    values = {} if polygon is None else {child.name: number("".join(child.pieces)) for child in polygon.children}
    pairs = [(values.get(f"x{i}"), values.get(f"y{i}")) for i in range(1, len(values) // 2 + 1)]
    points = [(x, y) for x, y in pairs if x is not None and y is not None]
    return tuple(points) if len(points) == len(pairs) else ()


def _read_attributes(node: Node) -> dict[str, str]:
    """CVAT's `<attributes><attribute><name/><value/>`."""
    pairs = (
        (one.text("name"), one.text("value")) for group in node.all("attributes") for one in group.all("attribute")
    )
    return read_attributes(dict(pairs))


def _to_edges(low: float, high: float) -> tuple[float, float]:
    """VOC's first and last pixel, from 1, to our two edges; equal or swapped ends stay equal or swapped."""
    first = 0.0 if 0 <= low < 1 else low - 1
    return (first, high) if low < high else (first, high - (low - first))


def _flag(text: str) -> float:
    """`1`, `0`, `0.3` or an empty element, as tools write them."""
    value = number(text)
    return 0.0 if value is None else max(0.0, min(value, 1.0))
