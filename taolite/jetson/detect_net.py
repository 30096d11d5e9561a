"""detectNet of jetson-inference over `taolite.load` (reference/jetson_workflows.md 12.3).

A non-empty `argv` replaces all other arguments of the constructor, as in jetson-inference. Where the class differs from
NVIDIA's is listed in docs/compat/jetson.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from taolite.errors import TaoliteError, UsageError
from taolite.extras import missing
from taolite.jetson import detection
from taolite.jetson.image import Array, as_format, format_of, rgb_of
from taolite.jetson.log import Log
from taolite.jetson.network import Network, flags
from taolite.media.overlay import PARTS, Overlay, draw_detections, palette
from taolite.sample import Detection as Found
from taolite.stages.inference.labelled import read_colours

__all__ = ["detectNet"]

_TRACKING = (3, 15, 0.2)  # frames, frames, IoU
_FAINT = 0.1  # confidence from which a tracker goes on with an object that it knows
_USUAL = "box,labels,conf"
_NAMES = {"boxes": "box", "label": "labels", "line": "lines", "confidence": "conf", "track": "tracking"}


class detectNet(Network):
    """A detector.

    Args:
        network: a model's file; NVIDIA's detectors by name cannot be had here, which the error says.
        argv: flags --model, --labels, --colors, --threshold, --alpha, --tracking, ...; where it is not empty, nothing
            else counts.
        threshold: the least confidence.
        model: a model's file, instead of `network`. labels: its class names. colors: a file of `r g b` lines.
        input_blob, output_cvg, output_bbox: taken without effect.

    Raises as imageNet.
    """

    Detection = detection.Detection

    def __init__(
        self,
        network: str = "ssd-mobilenet-v2",
        argv: Sequence[str] | None = None,
        threshold: float = 0.5,
        model: str = "",
        labels: str = "",
        colors: str = "",
        input_blob: str = "data",
        output_cvg: str = "coverage",
        output_bbox: str = "bboxes",
    ) -> None:
        self._alpha, self._line_width, tracking = 120.0, 2.0, False
        if argv:
            words = flags(argv)
            network, model = words.text("network", default="ssd-mobilenet-v2"), words.text("model")
            model = "" if words.has("network") else model
            labels, colors = words.text("labels", "class-labels"), words.text("colors", "class-colors")
            threshold = words.number("threshold", "confidence", default=0.5) or 0.5
            self._alpha = words.number("alpha", default=self._alpha)
            tracking = words.has("tracking", "tracker")
        self._open(network, model, labels, detects=True)
        self._threshold, self._clustering = float(threshold), 0.75
        classes = self._model.classes
        self._first = 1 if self._model.task == "ssd" else 0  # an SSD's class 0 is BACKGROUND
        self._colours = dict(zip(classes, palette(len(classes)), strict=True))
        if colors:
            self._colours |= read_colours(Path(colors).expanduser(), classes)
        self._tracking = _TRACKING
        self._tracker: Any = None
        self.SetTrackingEnabled(tracking)

    def Detect(
        self, image: Array, width: Any = 0, height: int = 0, overlay: str = _USUAL, format: str = ""
    ) -> list[detection.Detection]:
        """The objects in an image, the largest first; they are drawn on the image, unless `overlay` is none.

        `width`, `height` and `format` are the image's. overlay: box, lines, labels, conf, tracking, separated by
        commas; default; none. Raises UsageError.
        """
        overlay = width if isinstance(width, str) else overlay
        parts = _parts(overlay)
        least = self._threshold if self._tracker is None else min(self._threshold, _FAINT)
        result = self._model.predict(rgb_of(image), threshold=least)
        self._seconds = result.seconds
        found: Sequence[Found] = result.detections
        if self._tracker is not None:
            found = self._tracker.update(found, result.image.shape[:2])
        listed = [self._listed(one) for one in found]
        listed.sort(key=lambda one: -one.Area)
        if parts:
            self._draw(image, listed, parts)
        return listed

    def Overlay(
        self,
        image: Array,
        detections: Sequence[detection.Detection],
        width: int = 0,
        height: int = 0,
        overlay: str = _USUAL,
        format: str = "",
        output: Array | None = None,
    ) -> None:
        """Draw detections on an image, or on a copy of it in `output`. Raises UsageError."""
        target = image
        if output is not None:
            output[:] = image
            target = output
        self._draw(target, detections, _parts(overlay))

    def GetClassDesc(self, index: int) -> str:
        """The name of a class, as `Detection.ClassID` counts them. Raises IndexError."""
        if self._first and index == 0:
            return "BACKGROUND"
        return "none" if index < 0 else self._model.classes[index - self._first]

    def GetClassLabel(self, index: int) -> str:
        """As GetClassDesc."""
        return self.GetClassDesc(index)

    def GetClassSynset(self, index: int) -> str:
        """`n` and the number in eight digits. Raises IndexError."""
        self.GetClassDesc(index)
        return f"n{max(index, 0):08d}"

    def GetNumClasses(self) -> int:
        """The number of classes; an SSD's with BACKGROUND."""
        return len(self._model.classes) + self._first

    def GetConfidenceThreshold(self) -> float:
        """The least confidence."""
        return self._threshold

    def SetConfidenceThreshold(self, threshold: float) -> None:
        """Set the least confidence."""
        self._threshold = float(threshold)

    GetThreshold, SetThreshold = GetConfidenceThreshold, SetConfidenceThreshold

    def GetClusteringThreshold(self) -> float:
        """The value that was set."""
        return self._clustering

    def SetClusteringThreshold(self, threshold: float) -> None:
        """Kept without effect: overlapping boxes are suppressed, not merged."""
        self._clustering = float(threshold)

    def GetOverlayAlpha(self) -> float:
        """The opacity of filled boxes, 0..255."""
        return self._alpha

    def SetOverlayAlpha(self, alpha: float) -> None:
        """Set the opacity of filled boxes, 0..255."""
        self._alpha = float(alpha)

    def GetLineWidth(self) -> float:
        """Pixels."""
        return self._line_width

    def SetLineWidth(self, width: float) -> None:
        """Pixels."""
        self._line_width = float(width)

    def IsTrackingEnabled(self) -> bool:
        """Whether objects are numbered over the frames."""
        return self._tracker is not None

    def SetTrackingEnabled(self, enabled: bool) -> None:
        """Number objects over the frames, or stop it. Raises TaoliteError where the extra for it is missing."""
        self._tracker = self._new_tracker() if enabled else None

    def GetTrackerType(self) -> str:
        """Always bytetrack."""
        return "bytetrack"

    def SetTrackerType(self, type: str) -> None:
        """Enable tracking. jetson-inference's IOU and KLT are not here: ByteTrack takes their place."""
        if type.lower() != "bytetrack":
            Log.Warning(f"detectNet: the tracker {type} is not here, bytetrack is used")
        self.SetTrackingEnabled(True)

    def GetTrackingParams(self) -> tuple[int, int, float]:
        """(minFrames, dropFrames, overlapThreshold)"""
        return self._tracking

    def SetTrackingParams(self, minFrames: int, dropFrames: int, overlapThreshold: float) -> None:
        """An object is numbered after `minFrames`, given up after `dropFrames` without it, and found again where its
        box has this IoU with the expected place. Begins new tracks where tracking is on. Raises UsageError."""
        self._tracking = (int(minFrames), int(dropFrames), float(overlapThreshold))
        if self._tracker is not None:
            self._tracker = self._new_tracker()

    @staticmethod
    def Usage() -> str:
        """The flags that `argv` may have."""
        return (
            "detectNet: --model=FILE --labels=FILE --colors=FILE --threshold=P --alpha=A --tracking; "
            "--network=NAME knows no detectors here"
        )

    def _new_tracker(self) -> Any:
        from taolite.tracking import open_tracker

        least, drop, overlap = self._tracking
        try:
            return open_tracker(threshold=self._threshold, min_frames=least, drop_frames=drop, overlap=overlap)
        except ModuleNotFoundError as error:
            said = missing(error, "detectNet's tracking")
            if said is None:
                raise
            raise TaoliteError(said) from error

    def _listed(self, one: Found) -> detection.Detection:
        assert one.box is not None, "a detector's"
        number = self._model.classes.index(one.name) + self._first
        return detection.Detection(number, one.score, *one.box, TrackID=-1 if one.track is None else one.track)

    def _draw(self, image: Array, detections: Sequence[detection.Detection], parts: frozenset[str]) -> None:
        """Draw into the image, whatever its format."""
        found = [
            Found(self.GetClassDesc(one.ClassID), one.ROI, one.Confidence, None if one.TrackID < 0 else one.TrackID)
            for one in detections
        ]
        drawn = draw_detections(
            rgb_of(image),
            found,
            {**self._colours, "BACKGROUND": (128, 128, 128)},
            linewidth=round(self._line_width),
            overlay=Overlay(parts, round(self._alpha)),
        )
        image[:] = as_format(drawn, format_of(image)).reshape(image.shape)


def _parts(overlay: str) -> frozenset[str]:
    """The parts that an overlay's text names. Raises UsageError for a word that is none."""
    words = [word.strip().lower() for word in overlay.replace("|", ",").split(",") if word.strip()]
    named = [_NAMES.get(word, word) for word in words]
    if "none" in named:
        return frozenset()
    asked = {part for word in named for part in (_USUAL.split(",") if word == "default" else [word])}
    unknown = sorted(asked - set(PARTS))
    if unknown:
        raise UsageError(f"overlay {overlay!r}: {unknown[0]} is not one of {', '.join(PARTS[:5])}, default, none")
    return frozenset(asked)
