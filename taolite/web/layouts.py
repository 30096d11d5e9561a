"""Where labelled pictures lie: labelme's JSON beside each picture, or a Pascal VOC folder with its lists.

    labelme   ROOT/<set>/NAME.jpg and NAME.json beside it; pictures that are there already keep their place
    voc       ROOT/JPEGImages/NAME.jpg  Annotations/NAME.xml  ImageSets/Main/{train,val,trainval,test}.txt  labels.txt

A picture of `train` or `val` is also in VOC's `trainval`, which trainers read; with `merge` it is in all four lists.
VOC's boxes are whole pixels, counted from 1.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

from taolite.errors import UsageError
from taolite.events import Listener, silent
from taolite.formats import labelme, labelme_writing, voc, voc_writing
from taolite.formats.findings import Findings
from taolite.formats.places import files_below
from taolite.formats.shapes import WITHOUT_AREA
from taolite.pictures import EXTENSIONS
from taolite.sample import Sample
from taolite.web.boxes import BoxSet
from taolite.web.folders import SETS
from taolite.web.shots import Shot, Shots, free_stem, listed

__all__ = ["Labelme", "Voc"]

_LISTS = ("train", "trainval", "val", "test")
_OBJECT = re.compile(r"<object>(?:(?!<part>|</object>).)*?<name>([^<]*)</name>", re.DOTALL)  # 50 times as fast as XML


class Labelme(BoxSet):
    """labelme's JSON beside each picture. flat: pictures are labelled where they lie, and there are no sets."""

    def __init__(
        self,
        root: Path,
        shots: Shots,
        *,
        flat: bool = False,
        suggested: Sequence[str] = (),
        listener: Listener = silent,
    ) -> None:
        self.sets = () if flat else SETS
        super().__init__(root, shots, suggested=suggested, listener=listener)

    def names(self) -> list[Path]:
        """All pictures, by name."""
        return files_below(self.root, EXTENSIONS) if self.root.is_dir() else []

    def labels_of(self, picture: Path) -> Path:
        """`NAME.json` beside the picture."""
        return picture.with_suffix(".json")

    def set_of(self, picture: Path) -> str:
        """The folder below the root that a picture lies in, if that is one of the sets."""
        first = picture.relative_to(self.root).parts[0]
        return first if first in self.sets else ""

    def _new(self, to: str) -> Path:
        folder = self.root / to if self.sets else self.root
        stem = free_stem(lambda stem: any(folder.glob(f"{stem}.*")), now=datetime.now())
        return folder / f"{stem}.jpg"

    def _enlist(self, shot: Shot, picture: Path, to: str, merge: bool) -> None:
        if to not in ("", self.set_of(picture)):
            raise UsageError(f"{picture}: its folder is its set; to change the set, move this file and its .json")

    def _parse(self, path: Path, picture: Path, findings: Findings) -> Sample | None:
        if not labelme.looks_like(path):
            return None
        return next(iter(labelme.read(path, findings=findings)), None)

    def _format(self, sample: Sample, before: bytes | None) -> str:
        text = labelme_writing.format_labels(sample, image_name=sample.image.name)
        flags = json.loads(before.decode("utf-8-sig")).get("flags") if before is not None else None
        if not flags:
            return text
        return json.dumps({**json.loads(text), "flags": flags}, ensure_ascii=False, indent=2) + "\n"

    def _names_in(self, path: Path) -> tuple[str, ...]:
        try:
            shapes = json.loads(path.read_bytes().decode("utf-8-sig"))["shapes"]
            return tuple(str(shape["label"]) for shape in shapes if shape.get("shape_type") not in WITHOUT_AREA)
        except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
            return ()


class Voc(BoxSet):
    """A Pascal VOC folder, as pytorch-ssd's train_ssd.py reads it."""

    _needs_list = True

    def names(self) -> list[Path]:
        """All pictures, by name."""
        folder = self.root / "JPEGImages"
        return files_below(folder, EXTENSIONS) if folder.is_dir() else []

    def labels_of(self, picture: Path) -> Path:
        """`Annotations/NAME.xml`."""
        return self.root / "Annotations" / f"{picture.stem}.xml"

    def set_of(self, picture: Path) -> str:
        """The first of train, val and test whose list has the picture."""
        return next((name for name in SETS if picture.stem in listed(self._list(name))), "")

    def _sets(self) -> Callable[[Path], Sequence[str]]:
        lists = {name: frozenset(listed(self._list(name))) for name in SETS}
        return lambda picture: [name for name, stems in lists.items() if picture.stem in stems]

    def _list(self, name: str) -> Path:
        return self.root / "ImageSets" / "Main" / f"{name}.txt"

    def _new(self, to: str) -> Path:
        folders = [self.root / "JPEGImages", self.root / "Annotations"]
        stem = free_stem(lambda stem: any(any(one.glob(f"{stem}.*")) for one in folders), now=datetime.now())
        return folders[0] / f"{stem}.jpg"

    def _enlist(self, shot: Shot, picture: Path, to: str, merge: bool) -> None:
        wanted = set(_LISTS) if merge else {to} | ({"trainval"} if to in ("train", "val") else set())
        for name in _LISTS:
            shot.enlist(self._list(name), picture.stem, name in wanted)

    def _parse(self, path: Path, picture: Path, findings: Findings) -> Sample | None:
        annotation = voc.parse(path, findings)
        return None if annotation is None else voc.to_sample(annotation, picture, findings)

    def _format(self, sample: Sample, before: bytes | None) -> str:
        return voc_writing.format_annotation(sample, image_name=sample.image.name, folder=self.root.name)

    def _rounded(self, value: float) -> float:
        return float(round(value))

    def _names_in(self, path: Path) -> tuple[str, ...]:
        try:
            text = path.read_bytes().decode("utf-8-sig", errors="replace")
        except OSError:
            return ()
        return tuple(html.unescape(name).strip() for name in _OBJECT.findall(text))
