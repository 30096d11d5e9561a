"""What the capture page works on: one data set, of one kind at a time, and the shots that can be undone."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from taolite.errors import PathError, UsageError
from taolite.events import Listener, silent
from taolite.formats.text import show
from taolite.pictures import read_rgb
from taolite.sample import Detection
from taolite.web.boxes import BoxSet, Drawn, inside
from taolite.web.folders import ClassFolders
from taolite.web.frames import Frames
from taolite.web.layouts import Labelme, Voc
from taolite.web.shots import Shots

__all__ = ["Desk", "Kind", "Propose", "kind_of"]

Kind = Literal["folders", "voc", "labelme"]
"""What is collected: pictures in class folders, or pictures with boxes in a VOC folder or as labelme's JSON."""

Propose = Callable[[NDArray[np.uint8]], Sequence[Detection]]
"""What a model finds in a picture, (H, W, 3) uint8 RGB; boxes in its pixels."""


def kind_of(root: Path) -> Kind | None:
    """The kind that a folder holds already; None for one that is empty or not there."""
    if any((root / name).is_dir() for name in ("Annotations", "JPEGImages")):
        return "voc"
    if root.is_dir() and any(path.suffix.lower() == ".json" for path in _at_most(root, depth=2)):
        return "labelme"
    return "folders" if any((root / name).is_dir() for name in ClassFolders.sets) else None


class Desk:
    """A data set while it grows. Methods may be called from several threads; one writes at a time."""

    def __init__(
        self,
        root: Path,
        kind: Kind,
        *,
        flat: bool = False,
        classes: Sequence[str] = (),
        propose: Propose | None = None,
        listener: Listener = silent,
    ) -> None:
        """Args:
        flat: labelme's pictures are labelled where they lie, and there are no sets.
        classes: classes for a set that has none yet, such as those of a model.

        Raises DataError, UsageError for a `labels.txt` that cannot be used; PathError where `root` is a file.
        """
        if root.exists() and not root.is_dir():
            raise PathError(f"{root}: this is a file; a folder is needed")
        self.root, self.flat = root, flat
        self.frames, self.shots = Frames(), Shots()
        self._suggested, self._propose, self._listener = tuple(classes), propose, listener
        self._writing, self._thinking = threading.RLock(), threading.Lock()
        self.choose(kind)

    def choose(self, kind: str) -> None:
        """Collect data of this kind from now on. Raises UsageError, DataError."""
        if kind not in get_args(Kind):
            raise UsageError(f"no kind of data set is called {show(kind)}; there are {', '.join(get_args(Kind))}")
        if kind == "folders":
            chosen: ClassFolders | BoxSet = ClassFolders(self.root, self.shots, listener=self._listener)
        elif kind == "voc":
            chosen = Voc(self.root, self.shots, suggested=self._suggested, listener=self._listener)
        else:
            chosen = Labelme(self.root, self.shots, flat=self.flat, suggested=self._suggested, listener=self._listener)
        self.kind, self._set = cast(Kind, kind), chosen

    @property
    def has_model(self) -> bool:
        """Whether a model proposes boxes."""
        return self._propose is not None

    def state(self) -> dict[str, Any]:
        """What the page shows, read from the disk."""
        tally, last = self._set.tally(), self.shots.last
        return {
            "title": self.root.resolve().name,
            "folder": str(self.root.resolve()),
            "kind": self.kind,
            "flat": self.flat,
            "sets": list(self._set.sets),
            "classes": [{"name": name, "counts": counts} for name, counts in tally.classes.items()],
            "pictures": tally.pictures,
            "last": last.what if last is not None else None,
            "model": self.has_model,
        }

    def add_classes(self, names: Sequence[str]) -> None:
        """Add classes. Raises UsageError, StorageError, PathError."""
        with self._writing:
            self._set.classes.add(names)

    def take(self, jpeg: bytes, *, to: str, name: str) -> None:
        """Save a picture into a class folder. Raises UsageError, StorageError, PathError."""
        if not isinstance(self._set, ClassFolders):
            raise UsageError("boxes are drawn in this data set; freeze a picture first")
        with self._writing:
            self._set.take(jpeg, to=to, name=name)

    def save(self, frame: str, drawn: Sequence[Drawn], *, to: str, merge: bool) -> None:
        """Save a frozen frame with its boxes. Raises UsageError, StorageError, PathError."""
        frozen = self.frames.get(frame)
        with self._writing:
            self._boxes.add(frozen.jpeg, frozen.size_hw, drawn, to=to, merge=merge)

    def change(
        self, picture: str, drawn: Sequence[Drawn], *, to: str, merge: bool, revision: str | None = None
    ) -> None:
        """Save the boxes of a picture that is there; revision: that of `labels`. Raises UsageError, DataError,
        StorageError, PathError."""
        with self._writing:
            self._boxes.change(self.find(picture), drawn, to=to, merge=merge, revision=revision)

    def undo(self) -> str:
        """Take back the newest shot; its name. Raises UsageError, StorageError, PathError."""
        with self._writing:
            return self.shots.undo().what

    def pictures(self) -> list[dict[str, Any]]:
        """All pictures: name, and whether they are labelled."""
        boxes = self._boxes
        return [{"name": self._name(path), "labelled": boxes.is_labelled(path)} for path in boxes.names()]

    def labels(self, picture: str) -> dict[str, Any]:
        """A picture's size, set and boxes. Raises UsageError, DataError."""
        path = self.find(picture)
        revision = self._boxes.revision(path)
        sample = self._boxes.read(path)
        shown = BoxSet.shown(sample)
        return {
            "name": picture,
            "width": sample.size_hw[1],
            "height": sample.size_hw[0],
            "set": self._boxes.set_of(path),
            "labelled": self._boxes.is_labelled(path),
            "revision": revision,
            "boxes": [{"name": label.name, "box": label.box, "was": place} for place, label in shown],
        }

    def find(self, picture: str) -> Path:
        """The file of one of the pictures, by its name on the page. Raises UsageError: no other file is given out."""
        path = next((path for path in self._boxes.names() if self._name(path) == picture), None)
        if path is None:
            raise UsageError(f"no picture is called {show(picture)} here; reload the page")
        return path

    def propose(self, image_hwc: NDArray[np.uint8]) -> list[dict[str, Any]]:
        """The boxes that the model finds in a picture, cut at its edges; none without a model. Raises ModelError,
        EngineError."""
        if self._propose is None:
            return []
        with self._thinking:
            found = self._propose(image_hwc)
        boxes = [(one.name, inside(one.box, image_hwc.shape[:2])) for one in found if one.box is not None]
        return [{"name": name, "box": box, "was": None} for name, box in boxes if box is not None]

    def propose_for(self, picture: str) -> list[dict[str, Any]]:
        """The boxes that the model finds in a picture that is there."""
        return self.propose(read_rgb(self.find(picture)))

    @property
    def _boxes(self) -> BoxSet:
        if isinstance(self._set, ClassFolders):
            raise UsageError("no boxes are drawn in class folders; choose another kind of data set")
        return self._set

    def _name(self, path: Path) -> str:
        return path.relative_to(self.root).as_posix()


def _at_most(root: Path, *, depth: int) -> list[Path]:
    """The entries of a folder, and with `depth` 2 those of the folders in it."""
    entries = sorted(root.iterdir())
    if depth > 1:
        entries += [inner for one in entries if one.is_dir() for inner in _at_most(one, depth=depth - 1)]
    return entries
