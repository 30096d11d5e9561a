"""`load` opens a model of any kind, and the model says what is in pictures, videos and camera frames.

    with taolite.load("detector.etlt", key="nvidia_tlt") as model:
        result = model.predict("street.jpg")

Models of NumPy arrays have (H, W, 3) uint8 RGB pixels (OpenCV's arrays are BGR: give `array[..., ::-1]`). No torch,
except for `.tlt` files and for weights by name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from taolite.api.keys import Secret, opening_key
from taolite.api.libraries import needed
from taolite.api.result import Detection, Result
from taolite.engines.base import RuntimeName
from taolite.errors import UsageError
from taolite.events import Listener, silent
from taolite.media.sources import Frame, InputOptions, Source, open_source
from taolite.pictures import read_rgb
from taolite.sample import Detection as Found
from taolite.stages.inference.opening import Ready, open_ready
from taolite.stages.inference.ranks import Manner
from taolite.stages.inference.watch import Tracking, Viewing, is_detector, view, watch
from taolite.workspace.mounts import Mounts

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["Model", "Picture", "load"]

Picture: TypeAlias = "str | Path | NDArray[np.uint8] | Image"
"""A picture's file; an array, (H, W, 3) uint8 RGB or (H, W) uint8 grey; or a picture of Pillow's."""


def load(
    model: str | Path,
    *,
    key: Secret = None,
    spec: str | Path | None = None,
    labels: str | Path | None = None,
    runtime: RuntimeName | None = None,
    threshold: float | None = None,
    listener: Listener = silent,
) -> Model:
    """Open a model.

    Args:
        model: a `.tlt`, `.etlt`, `.onnx`, engine or run folder, told apart by content; or the name of a network
            (`resnet-18`, `googlenet`; see `taolite.stages.inference.networks`), which may be downloaded.
        key: of a sealed file: the key, `@FILE`, or None for the variable TAOLITE_KEY.
        spec: a spec that describes the model: an inference spec of DetectNet_v2, or the spec of its training.
        labels: file with the class names, one a line, of an ONNX that does not say them.
        runtime: what runs an export: onnxruntime, openvino or tensorrt; None: the first that is there.
        threshold: the least score of what `predict` and `stream` return; see `Model.predict`.
        listener: is told of downloads and of models that were replaced.

    Raises PathError, ArtifactError, EngineError, ModelError, UsageError, SpecError, DataError.
    """
    resolve = Mounts.load().resolve
    with needed("load"):
        ready = open_ready(
            str(Path(model).expanduser()),
            key=opening_key(key),
            labels=None if labels is None else Path(labels).expanduser(),
            spec=None if spec is None else resolve(Path(spec).expanduser()),
            threshold=threshold,
            runtime=runtime,
            resolve=resolve,
            listener=listener,
        )
    return Model(ready, threshold=threshold)


class Model:
    """An opened model. Use it in a `with` block, or call `close`.

    Attributes:
        source: its file.
        task: detectnet, classification or ssd.
        classes: the names, in the order of the outputs.
        input_hw: (height, width) in pixels of the network's input; pictures may have any size.
        runs_on: the runtime and its version.
        threshold: the least score of what is returned; None: see `predict`. May be changed.
    """

    def __init__(self, ready: Ready, *, threshold: float | None = None) -> None:
        opened = ready.model
        self._opened, self._drawing, self._usual = opened, ready.drawing, ready.threshold
        self.source = opened.source
        self.task = opened.use.name
        self.classes = opened.classes
        self.input_hw = opened.preprocessing.input_hw
        self.runs_on = opened.runs_on
        self.threshold = threshold
        self._index = {name: index for index, name in enumerate(opened.classes)}

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the engine. The model cannot be used afterwards."""
        self._opened.close()

    def __repr__(self) -> str:
        height, width = self.input_hw
        return (
            f"<Model {self.source.name}: {self.task}, {len(self.classes)} classes, input {width}x{height}, "
            f"{self.runs_on}>"
        )

    @property
    def is_detector(self) -> bool:
        """Whether it finds objects with boxes; a classifier speaks of the whole picture."""
        return is_detector(self._opened)

    @overload
    def predict(  # type: ignore[overload-overlap]  # a str is an iterable of str
        self, pictures: Picture, *, threshold: float | None = ..., top: int | None = ...
    ) -> Result: ...

    @overload
    def predict(
        self,
        pictures: Iterable[Picture],
        *,
        threshold: float | None = ...,
        top: int | None = ...,
        batch_size: int = ...,
    ) -> list[Result]: ...

    def predict(
        self,
        pictures: Picture | Iterable[Picture],
        *,
        threshold: float | None = None,
        top: int | None = None,
        batch_size: int = 1,
    ) -> Result | list[Result]:
        """What is in one picture, or in each of several.

        Args:
            pictures: one picture, or several in a list or another iterable. Files and Pillow's pictures are turned
                upright by their EXIF tag. Folders, videos and cameras are for `stream`.
            threshold: the least score that is returned. None is that of `load`; where that is None too: of a detector
                its best threshold, where it was measured, else 0.5, or what the spec says; of tags that of training; of
                other classifiers 0.
            top: most results of a picture; 0 is all. None is the model's own: every object or tag, a classifier's best
                class.
            batch_size: pictures that run at once.

        Returns:
            A Result for one picture, else a list in the order of the pictures.

        Raises UsageError for something that is no picture; PathError, PictureError, ModelError.
        """
        if batch_size < 1:
            raise UsageError(f"predict: batch_size is {batch_size}; it needs to be 1 or more")
        asked = self._viewing(threshold, top)
        if isinstance(pictures, (str, Path, np.ndarray)) or _is_pillow(pictures) or not isinstance(pictures, Iterable):
            return self._look(asked, [pictures], top)[0]  # type: ignore[list-item]
        results: list[Result] = []
        several = iter(pictures)
        while batch := list(islice(several, batch_size)):
            results += self._look(asked, batch, top, first=len(results))
        return results

    def stream(
        self,
        source: str | Path | int | None = None,
        *,
        threshold: float | None = None,
        top: int | None = None,
        track: bool = False,
        batch_size: int = 1,
        listener: Listener = silent,
        **options: Any,
    ) -> Iterator[Result]:
        """What is in each frame of a source, frame after frame; reading, the model and the caller overlap.

        Args:
            source: a folder, a pattern (`photos/*.jpg`), a video, a camera (`/dev/video0`, `0`), a stream
                (`rtsp://...`); None is the default camera.
            threshold, top: as in `predict`.
            track: number a detector's objects over the frames (`Detection.track`); needs the extra `track`.
            batch_size: frames that run at once; 1 for a live source.
            listener: is told of lost cameras and unreadable frames.
            options: fields of `taolite.media.sources.InputOptions`: `size_hw`, `rate`, `flip`, `loop`, ...

        Raises UsageError, PathError, DataError, ModelError.
        """
        try:
            asked = InputOptions(**options)
        except TypeError as error:
            known = ", ".join(InputOptions.__dataclass_fields__)
            raise UsageError(f"stream: {error}; a source's options are {known}") from error
        opened = open_source(source, options=asked, listener=listener)
        viewing = self._viewing(threshold, top)
        if track:
            if not self.is_detector:
                raise UsageError(f"stream: track follows the objects of a detector, and {self.source} is a classifier")
            viewing = replace(viewing, tracking=Tracking())
        return self._stream(opened, replace(viewing, batch_size=batch_size), top)

    def _stream(self, source: Source, viewing: Viewing, top: int | None) -> Iterator[Result]:
        with needed("stream"), closing(watch(self._opened, source, viewing)) as frames:
            for seen in frames:
                yield self._result(seen.frame, seen.found, seen.seconds, top)

    def _look(self, asked: Viewing, pictures: Sequence[Picture], top: int | None, first: int = 0) -> list[Result]:
        images = [_pixels(one) for one in pictures]
        paths = [Path(one).expanduser() if isinstance(one, (str, Path)) else None for one in pictures]
        frames = [
            Frame("", image, first + at, path) for at, (image, path) in enumerate(zip(images, paths, strict=True))
        ]
        return [self._result(seen.frame, seen.found, seen.seconds, top) for seen in view(self._opened, frames, asked)]

    def _result(self, frame: Frame, found: Sequence[Found], seconds: float, top: int | None) -> Result:
        named = [Detection(one.name, one.box, one.score, one.track, self._index[one.name]) for one in found]
        return Result(
            frame.image_hwc, named[: top or None], self._drawing, seconds, frame.path, frame.number, frame.time_s
        )

    def _viewing(self, threshold: float | None, top: int | None) -> Viewing:
        """What is asked for, as `taolite run` asks for it."""
        least = self.threshold if threshold is None else threshold
        if self.is_detector:
            return Viewing(threshold=self._usual if least is None else least)
        has_tags = "threshold" in (self._opened.decoding or {})
        return Viewing(manner=Manner(threshold=0.0 if least is None and not has_tags else least, top=top))


def _is_pillow(thing: object) -> bool:
    """Whether it is a picture of Pillow's; Pillow is not imported for this."""
    return any(kind.__module__ == "PIL.Image" for kind in type(thing).__mro__)


def _pixels(picture: Any) -> NDArray[np.uint8]:
    """(H, W, 3) uint8 RGB. Raises UsageError for something that is no picture; PathError, PictureError."""
    if isinstance(picture, (str, Path)):
        path = Path(picture).expanduser()
        if path.is_dir():
            raise UsageError(f"{path}: a folder; give the path of a picture, or the folder to `stream`")
        return read_rgb(path)
    if _is_pillow(picture):
        from PIL import ImageOps

        return np.array(ImageOps.exif_transpose(picture).convert("RGB"))
    if not isinstance(picture, np.ndarray):
        raise UsageError(
            f"a picture is a path, a NumPy array or a picture of Pillow's; this is of type {type(picture).__name__}"
        )
    fits = picture.ndim == 2 or (picture.ndim == 3 and picture.shape[2] in (1, 3))
    if picture.dtype != np.uint8 or not fits or not picture.size:
        shape = " x ".join(map(str, picture.shape)) or "no"
        hint = "; give a list for several pictures" if picture.ndim == 4 else ""
        raise UsageError(
            "a picture's array needs the shape (height, width, 3), RGB, or (height, width), grey, and uint8 values; "
            f"this one is {shape} of {picture.dtype}{hint}"
        )
    if picture.ndim == 2 or picture.shape[2] == 1:
        picture = np.repeat(picture.reshape(*picture.shape[:2], 1), 3, axis=2)
    return np.ascontiguousarray(picture)
