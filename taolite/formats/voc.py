"""Pascal VOC XML: one file an image.

VOC counts pixels from 1 and includes both ends, so our box is (xmin - 1, ymin - 1, xmax, ymax) and `xmax == width`
lies inside the image; the writer does the inverse. Two habits of real tools are met: a coordinate of 0 (a tool that
counts from 0) reads as the image's edge, and `xmin == xmax` reads as no width at all, a stray click and not one column
of pixels. `path` (the annotator's own disk), `pose` and `part` are ignored; `filename` may lack its extension.
A whole set drawn by a tool that counts from 0 is told apart in `taolite.formats.voc_sets`.

A DOCTYPE is refused before any entity is expanded, so a label file can neither blow up nor reach other files.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from taolite.formats.attributes import read_attributes, written_on
from taolite.formats.findings import Findings
from taolite.formats.places import Pictures, files_below, measure
from taolite.formats.text import number, plain, show
from taolite.sample import Label, Sample

__all__ = ["Annotation", "DrawnObject", "format_annotation", "looks_like", "parse", "read", "to_sample"]

_CORNERS = ("xmin", "ymin", "xmax", "ymax")


def looks_like(path: Path) -> bool:
    """Whether an XML file is a VOC annotation."""
    with open(path, "rb") as stream:
        return b"<annotation" in stream.read(4096)


def read(root: Path, *, only: frozenset[str] | None, findings: Findings) -> list[Sample]:
    """Samples of every annotation at or below `root`, by path, wherever its pictures lie; `only` keeps these stems."""
    pictures, samples = Pictures(root), []
    for path in files_below(root, (".xml",)):
        if (only is None or path.stem in only) and looks_like(path):
            sample = _read_file(path, pictures, findings)
            if sample is not None:
                samples.append(sample)
    return samples


def format_annotation(sample: Sample, *, image_name: str, folder: str) -> str:
    """The XML of one sample; labels need an area (the writer leaves out the others)."""
    height, width = sample.size_hw
    rows = [
        "<annotation>",
        f"\t<folder>{_escape(folder)}</folder>",
        f"\t<filename>{_escape(image_name)}</filename>",
        "\t<size>",
        f"\t\t<width>{width}</width>",
        f"\t\t<height>{height}</height>",
        "\t\t<depth>3</depth>",
        "\t</size>",
        "\t<segmented>0</segmented>",
    ]
    for label in sample.labels:
        x1, y1, x2, y2 = label.box
        rows += [
            "\t<object>",
            f"\t\t<name>{_escape(label.name)}</name>",
            "\t\t<pose>Unspecified</pose>",
            f"\t\t<truncated>{int(label.truncated > 0)}</truncated>",
            f"\t\t<occluded>{int(label.occluded > 0)}</occluded>",
            f"\t\t<difficult>{int(label.difficult)}</difficult>",
            "\t\t<bndbox>",
            f"\t\t\t<xmin>{plain(x1 + 1)}</xmin>",
            f"\t\t\t<ymin>{plain(y1 + 1)}</ymin>",
            f"\t\t\t<xmax>{plain(x2)}</xmax>",
            f"\t\t\t<ymax>{plain(y2)}</ymax>",
            "\t\t</bndbox>",
            *_format_outline(label),
            *_format_attributes(label),
            "\t</object>",
        ]
    return "\n".join([*rows, "</annotation>", ""])


def _format_outline(label: Label) -> list[str]:
    """The outline as Roboflow writes it: `<polygon><x1>..</x1><y1>..</y1>...`; one of several pieces has no place."""
    if not label.points or {"parts", "shape"} & label.attributes.keys():
        return []
    rows = [
        f"\t\t\t<{axis}{place}>{plain(value + 1)}</{axis}{place}>"
        for place, point in enumerate(label.points, start=1)
        for axis, value in zip("xy", point, strict=True)
    ]
    return ["\t\t<polygon>", *rows, "\t\t</polygon>"]


def _format_attributes(label: Label) -> list[str]:
    rows = [
        f"\t\t\t<attribute><name>{_escape(name)}</name><value>{_escape(value)}</value></attribute>"
        for name, value in written_on(label).items()
    ]
    return ["\t\t<attributes>", *rows, "\t\t</attributes>"] if rows else []


def _read_file(path: Path, pictures: Pictures, findings: Findings) -> Sample | None:
    annotation = parse(path, findings)
    if annotation is None:
        return None
    named = annotation.filename
    image = (pictures.find(named, near=path) if named else None) or pictures.find(path.stem, near=path)
    if image is None:
        text = f"no image called {show(named or path.stem)} for these labels; restore it or remove them"
        findings.error("missing-image", path, text)
        return None
    return to_sample(annotation, image, findings)


@dataclass(frozen=True)
class DrawnObject:
    """One `<object>` as it stands in the file: `corners` are xmin, ymin, xmax, ymax in the tool's own counting."""

    name: str
    corners: tuple[float, float, float, float]
    line: int
    truncated: float = 0.0
    occluded: int = 0
    difficult: bool = False
    outline: tuple[tuple[float, float], ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Annotation:
    """One annotation file before its picture is known; `said_hw` is the size it claims, None where it has none.

    `whole` tells whether every object of the file could be read.
    """

    path: Path
    filename: str
    said_hw: tuple[float, float] | None
    size_line: int
    objects: tuple[DrawnObject, ...]
    whole: bool


def parse(path: Path, findings: Findings) -> Annotation | None:
    """What an annotation file says, or None where it is none; what is wrong goes to `findings`."""
    root = _parse(path, findings)
    if root is None:
        return None
    found = [_read_object(node, path, findings) for node in root.all("object")]
    objects = tuple(one for one in found if one is not None)
    size = next(root.all("size"), None)
    height, width = (None, None) if size is None else (number(size.text("height")), number(size.text("width")))
    said_hw = None if height is None or width is None else (height, width)
    line = 0 if size is None else size.line
    return Annotation(path, root.text("filename"), said_hw, line, objects, len(objects) == len(found))


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
    labels = tuple(_to_label(drawn, from_zero) for drawn in annotation.objects)
    return Sample(image, size_hw, labels, source=annotation.path)


def _to_label(drawn: DrawnObject, from_zero: bool) -> Label:
    xmin, ymin, xmax, ymax = drawn.corners
    first = 0 if from_zero else 1
    (x1, x2), (y1, y2) = ((xmin, xmax), (ymin, ymax)) if from_zero else (_to_edges(xmin, xmax), _to_edges(ymin, ymax))
    return Label(
        drawn.name,
        (x1, y1, x2, y2),
        truncated=drawn.truncated,
        occluded=drawn.occluded,
        difficult=drawn.difficult,
        points=tuple((x - first, y - first) for x, y in drawn.outline),
        attributes=drawn.attributes,
        line=drawn.line,
    )


def _read_object(node: _Node, path: Path, findings: Findings) -> DrawnObject | None:
    name, corners = node.text("name"), next(node.all("bndbox"), None)
    if not name or corners is None:
        findings.error("bad-object", path, "an <object> needs a <name> and a <bndbox>", line=node.line)
        return None
    values = [number(corners.text(corner)) for corner in _CORNERS]
    if None in values:
        corner = _CORNERS[values.index(None)]
        text = f"<{corner}> of {show(name)} is {show(corners.text(corner))}; it needs to be a finite number"
        findings.error("bad-object", path, text, line=corners.line)
        return None
    xmin, ymin, xmax, ymax = (value for value in values if value is not None)
    return DrawnObject(
        name,
        (xmin, ymin, xmax, ymax),
        corners.line,
        truncated=_flag(node.text("truncated")),
        occluded=int(_flag(node.text("occluded"))),
        difficult=_flag(node.text("difficult")) > 0,
        outline=_read_outline(node),
        attributes=_read_attributes(node),
    )


def _read_outline(node: _Node) -> tuple[tuple[float, float], ...]:
    """The points of a `<polygon>`; none where a coordinate is missing or no number."""
    polygon = next(node.all("polygon"), None)
    count = 0 if polygon is None else len(polygon.children) // 2
    pairs = (
        [(number(polygon.text(f"x{i}")), number(polygon.text(f"y{i}"))) for i in range(1, count + 1)] if polygon else []
    )
    points = [(x, y) for x, y in pairs if x is not None and y is not None]
    return tuple(points) if len(points) == len(pairs) else ()


def _read_attributes(node: _Node) -> dict[str, str]:
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


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


@dataclass
class _Node:
    """One XML element: its own text, its children, the line of its opening tag."""

    name: str
    line: int
    pieces: list[str] = field(default_factory=list)
    children: list[_Node] = field(default_factory=list)

    def all(self, name: str) -> Iterator[_Node]:
        return (child for child in self.children if child.name == name)

    def text(self, name: str) -> str:
        """The stripped text of the first child called `name`; empty where there is none."""
        node = next(self.all(name), None)
        return "".join(node.pieces).strip() if node is not None else ""


class _RefusedError(Exception):
    """The file declares a document type."""


def _parse(path: Path, findings: Findings) -> _Node | None:
    """The root element with line numbers, or None; expat itself, because ElementTree keeps no lines."""
    parser = expat.ParserCreate()
    open_nodes = [_Node("", 0)]

    def start(name: str, attributes: dict[str, str]) -> None:
        node = _Node(name, parser.CurrentLineNumber)
        open_nodes[-1].children.append(node)
        open_nodes.append(node)

    def end(name: str) -> None:
        open_nodes.pop()

    def text(data: str) -> None:
        open_nodes[-1].pieces.append(data)

    def refuse(*declaration: object) -> None:
        raise _RefusedError

    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, text
    parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = refuse
    try:
        parser.Parse(path.read_bytes(), True)
    except expat.ExpatError as error:
        findings.error("unreadable-label", path, f"not XML ({expat.errors.messages[error.code]})", line=error.lineno)
        return None
    except _RefusedError:
        text_ = "a DOCTYPE is refused: label files need none, and it can hide an entity bomb; delete that line"
        findings.error("unreadable-label", path, text_, line=parser.CurrentLineNumber)
        return None
    root = open_nodes[0].children[0]
    if root.name != "annotation":
        findings.error("unreadable-label", path, f"the root is <{root.name}>; VOC's is <annotation>", line=root.line)
        return None
    return root
