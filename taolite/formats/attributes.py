"""What people wrote on an object beyond its class and box: a plate's text, its tilt, a colour.

They are in `Label.attributes`, beside the words that formats keep there for themselves. VOC and COCO hold them as
CVAT does, labelme in a key that it keeps; KITTI and YOLO have no place for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from taolite.sample import Label

__all__ = ["WORLD", "read_attributes", "written_on"]

WORLD = ("height_m", "width_m", "length_m", "x_m", "y_m", "z_m", "rotation_y")  # columns 9 to 15 of KITTI

_OWN = frozenset({"shape", "mask", "parts", "group", "flags", "description", "id", "crowd", *WORLD})


def written_on(label: Label) -> dict[str, str]:
    """The attributes of a label that are no format's own."""
    return {name: value for name, value in label.attributes.items() if name not in _OWN}


def read_attributes(found: Any) -> dict[str, str]:
    """Attributes of a JSON object as text; what is false, empty, nested or a format's own word is left out."""
    if not isinstance(found, Mapping):
        return {}
    plain = {str(name): value for name, value in found.items() if isinstance(value, str | int | float) and value}
    return {name: "1" if value is True else str(value) for name, value in plain.items() if name not in _OWN}
