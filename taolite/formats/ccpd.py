"""CCPD and CCPD2020 (Green): number plates whose labels are the names of their pictures.

    025-95_113-154&383_386&473-386&473_177&454_154&383_363&402-0_0_22_27_27_33_16-37-15.jpg
    area-tilt-box-vertices-plate-brightness-blur

The box is left, top, right, bottom, edges continuous from 0. The vertices begin at the bottom right and go on bottom
left, top left, top right; they are the plate's own corners, and not inside the box (up to 23 pixels off). The plate is
one index into the provinces, one into the letters, five (blue) or six (green) into both; the last entry of each table
means no character. The area is the plate's share of the picture without its `0.`, of any number of digits (reference/
jetson_workflows.md 14). Folders are `train`, `val`, `test` (CCPD2020), or `ccpd_base`, `ccpd_tilt`, ... with lists in
`split/` (CCPD2019); pictures in `ccpd_np` show no plate.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from taolite.formats.findings import Findings
from taolite.formats.guard import guarded
from taolite.formats.places import files_below, measure, stem_of
from taolite.formats.split import in_split
from taolite.formats.text import show
from taolite.pictures import EXTENSIONS
from taolite.sample import Label, Sample

__all__ = ["CLASS", "Plate", "looks_like", "parse_name", "read"]

CLASS = "plate"
_PROVINCES = "皖沪津渝冀晋蒙辽吉黑苏浙京闽赣鲁豫鄂湘粤桂琼川贵云藏陕甘青宁新警学"
_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ"
_TABLES = (_PROVINCES, _LETTERS, _LETTERS + "0123456789")
_WITHOUT_PLATE = "ccpd_np"
_NAME = re.compile(
    r"(?P<area>\d+)-(?P<tilt>\d+_\d+)-(?P<box>\d+&\d+_\d+&\d+)-(?P<vertices>(?:\d+&\d+_){3}\d+&\d+)"
    r"-(?P<plate>\d+(?:_\d+){6,7})-(?P<brightness>\d+)-(?P<blur>\d+)"
)
_PROBED = 20  # names that are looked at to recognise a folder


@dataclass(frozen=True)
class Plate:
    """The seven fields of a name. `area` is the share of the picture, `tilt` (horizontal, vertical) in degrees, whose
    zero differs between subsets; `box` and `vertices` are pixels."""

    area: float
    tilt: tuple[int, int]
    box: tuple[float, float, float, float]
    vertices: tuple[tuple[float, float], ...]
    text: str
    brightness: int
    blur: int


def parse_name(name: str) -> Plate | None:
    """The plate that a picture's name (with or without folder and extension) tells of, or None where it tells none."""
    match = _NAME.fullmatch(stem_of(name))
    if match is None:
        return None
    indices = [int(index) for index in match["plate"].split("_")]
    tables = [_TABLES[min(place, 2)] for place in range(len(indices))]
    if any(index > len(table) for index, table in zip(indices, tables, strict=True)):
        return None
    horizontal, vertical = (int(value) for value in match["tilt"].split("_"))
    (x1, y1), (x2, y2) = _points(match["box"])
    return Plate(
        float(f"0.{match['area']}"),
        (horizontal, vertical),
        (x1, y1, x2, y2),
        _points(match["vertices"]),
        "".join(table[index : index + 1] for index, table in zip(indices, tables, strict=True)),
        int(match["brightness"]),
        int(match["blur"]),
    )


def looks_like(root: Path) -> bool:
    """Whether some of the first pictures at or below `root` are named as CCPD names them."""
    return any(parse_name(path.name) for path in islice(files_below(root, EXTENSIONS), _PROBED))


def read(
    root: Path,
    *,
    only: frozenset[str] | None = None,
    split: str | None = None,
    outside: bool = False,
    findings: Findings,
) -> list[Sample]:
    """Samples of the pictures at or below `root`, by path, each with its plate (see `layout.Reader`). A picture
    without plate has no labels; one whose name has fields that do not fit is an error."""
    samples = []
    for path in files_below(root, EXTENSIONS):
        if (only is not None and stem_of(path.name) not in only) or not in_split(path, root, split):
            continue
        with guarded(path, findings):
            plate = parse_name(path.name)
            without = plate is None and _WITHOUT_PLATE in path.parts
            if plate is None and not without:
                _tell(path, findings)
                continue
            size_hw = measure(path, findings)
            if size_hw is not None:
                samples.append(Sample(path, size_hw, () if plate is None else (_to_label(plate),)))
    return samples


def _to_label(plate: Plate) -> Label:
    attributes = {
        "plate": plate.text,
        "tilt": f"{plate.tilt[0]},{plate.tilt[1]}",
        "brightness": str(plate.brightness),
        "blur": str(plate.blur),
        "area": f"{plate.area:g}",
    }
    return Label(CLASS, plate.box, points=plate.vertices, attributes=attributes)


def _tell(path: Path, findings: Findings) -> None:
    if "&" in path.name:
        text = "needs area-tilt-box-vertices-plate-brightness-blur, with indices inside the tables of characters"
        findings.error("bad-name", path, f"{show(path.stem)} {text}")
    else:
        text = f"its name describes no plate, and it is not in {_WITHOUT_PLATE}/; it is left out"
        findings.note("bad-name", path, text)


def _points(text: str) -> tuple[tuple[float, float], ...]:
    """`154&383_386&473` -> ((154, 383), (386, 473))."""
    pairs = (pair.split("&") for pair in text.split("_"))
    return tuple((float(x), float(y)) for x, y in pairs)
