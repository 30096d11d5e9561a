"""Pascal VOC as it is written: one XML file an image, lists and `labels.txt` (see `taolite.formats.voc`)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from taolite.formats.attributes import written_on
from taolite.formats.layout import Named, Target, Writing, put
from taolite.formats.places import stem_of
from taolite.formats.text import plain
from taolite.sample import Label, Sample

__all__ = ["WRITING", "format_annotation"]

_ILLEGAL = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # in XML 1.0


def format_annotation(sample: Sample, *, image_name: str, folder: str) -> str:
    """The XML of one sample; labels need an area (the writer leaves out the others).

    Where a corner has a fraction, corners are written as edges, which is how readers take them then.
    """
    height, width = sample.size_hw
    first = 0 if any(not _written(value).is_integer() for label in sample.labels for value in label.box) else 1
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
            f"\t\t\t<xmin>{plain(x1 + first)}</xmin>",
            f"\t\t\t<ymin>{plain(y1 + first)}</ymin>",
            f"\t\t\t<xmax>{plain(x2)}</xmax>",
            f"\t\t\t<ymax>{plain(y2)}</ymax>",
            "\t\t</bndbox>",
            *_format_outline(label, first),
            *_format_attributes(label),
            "\t</object>",
        ]
    return "\n".join([*rows, "</annotation>", ""])


def _write(named: Named, target: Target) -> None:
    for name, sample in named:
        text = format_annotation(sample, image_name=name, folder=target.title)
        put(target.root / "Annotations" / f"{stem_of(name)}.xml", text)
    for name, stems in _lists(named, target.lists):
        put(target.root / "ImageSets" / "Main" / f"{name}.txt", "".join(f"{stem}\n" for stem in stems))
    put(target.root / "labels.txt", "".join(f"{name}\n" for name in target.classes))


def _lists(named: Named, lists: Mapping[str, Sequence[Sample]]) -> Iterator[tuple[str, list[str]]]:
    """Name and stems of each list that holds an image, in the order of the samples.

    Trainers read `trainval` and `test`: `trainval` is made of `train` and `val`, or of all where there is no list.
    """
    members = {name: {sample.image for sample in samples} for name, samples in lists.items()}
    halves = [members[name] for name in ("train", "val") if name in members]
    members.setdefault("trainval", set().union(*halves) if halves or lists else {sample.image for _, sample in named})
    for name, images in members.items():
        stems = [stem_of(file_name) for file_name, sample in named if sample.image in images]
        if stems:
            yield name, stems


def _format_outline(label: Label, first: int) -> list[str]:
    """The outline as Roboflow writes it: `<polygon><x1>..</x1><y1>..</y1>...`; one of several pieces has no place."""
    if not label.points or {"parts", "shape"} & label.attributes.keys():
        return []
    rows = [
        f"\t\t\t<{axis}{place}>{plain(value + first)}</{axis}{place}>"
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


def _written(value: float) -> float:
    return float(plain(value))


def _escape(text: str) -> str:
    return _ILLEGAL.sub("\ufffd", text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


WRITING = Writing(_write, "JPEGImages", keeps=frozenset({"attributes", "difficult", "outline"}))
