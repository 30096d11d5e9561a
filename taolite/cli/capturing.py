"""The capture page as `taolite capture`, `taolite annotate` and `taolite jetson camera-capture` start it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taolite.cli import pages
from taolite.cli.inputs import input_options
from taolite.cli.keys import opening_key
from taolite.cli.parsing import whole
from taolite.errors import ModelError, UsageError

if TYPE_CHECKING:
    from taolite.events import Listener
    from taolite.media.sources import Source
    from taolite.sample import Detection
    from taolite.web.desk import Kind
    from taolite.web.live import LiveCamera

__all__ = ["add_model", "add_server", "add_writing", "show_page"]

_KINDS = {"folders": "class folders (classification)", "voc": "Pascal VOC with boxes", "labelme": "labelme with boxes"}


def add_writing(add: Callable[..., argparse.Action]) -> None:
    """Add the flags for what is written."""
    kinds = "; ".join(f"{name}: {text}" for name, text in _KINDS.items())
    text = f"kind of data set (default: that of the folder, else folders). {kinds}"
    whole(
        add("--format", choices=tuple(_KINDS), metavar="KIND", help=text),
        add("--set", dest="to", choices=("train", "val", "test"), default="train", help="first set (default: train)"),
        add("--quality", type=int, default=95, metavar="1..100", help="JPEG quality of pictures (default: 95)"),
        add("--merge-sets", action="store_true", help="VOC: each picture is in train, val, trainval and test"),
    )


def add_model(add: Callable[..., argparse.Action]) -> None:
    """Add the flags of the model that proposes boxes."""
    whole(
        add("--model", type=Path, metavar="FILE", help="detector that proposes boxes: .tlt, .etlt, .onnx or engine"),
        add("--threshold", type=float, default=0.3, help="propose boxes of at least this score (default: 0.3)"),
    )
    add("-k", "--key", metavar="KEY", help="key of a sealed model: KEY, @FILE, or the variable TAOLITE_KEY")


def add_server(add: Callable[..., argparse.Action]) -> None:
    """Add the flags of the server."""
    pages.add_server(add, https="certificate (PEM): the page is https, as phones need it")
    add("--open", action="store_true", help="open the page in a browser")


def show_page(
    options: argparse.Namespace,
    root: Path,
    *,
    kind: Kind | None = None,
    flat: bool = False,
    place: str | None = None,
) -> int:
    """Serve the page until Ctrl-C. `place`: the server's camera, "" for its first one; None for the browser's.

    Raises UsageError, PathError, DataError; of a model what `open_model` raises.
    """
    from taolite.cli.progress import Terminal
    from taolite.web.capture import capture_app
    from taolite.web.desk import Desk, kind_of

    if not 1 <= options.quality <= 100:
        raise UsageError(f"--quality {options.quality}: needs to be 1 to 100")
    with Terminal() as listener:
        classes, propose = _model(options, listener)
        _bring_labels(options.labels, root)
        desk = Desk(
            root,
            kind or options.format or kind_of(root) or ("voc" if propose is not None else "folders"),
            flat=flat,
            classes=classes,
            propose=propose,
            listener=listener,
        )
        camera = None if place is None else _camera(place, options, listener)
        writing = {"quality": options.quality, "merge": options.merge_sets, "to": options.to}
        app = capture_app(desk, camera=camera, listener=listener, **writing)

        plain = ", and other machines' browsers do not give it their camera"
        try:
            pages.serve_page(app, options, root, opens=options.open, plain=plain)
        except KeyboardInterrupt:
            print("stopped; everything that was saved is kept", file=sys.stderr)
        finally:
            if camera is not None:
                camera.close()
    return 0


def _camera(place: str, options: argparse.Namespace, listener: Listener) -> LiveCamera:
    """The server's camera, which is opened when the page first asks for it. Raises UsageError."""
    from taolite.events import Notice
    from taolite.media.sources import open_source
    from taolite.web.live import LiveCamera

    asked = input_options(options)

    def left_out(text: str) -> None:
        listener(Notice(text, "warning"))

    def opened() -> Source:
        return open_source(place, options=asked, on_unreadable=left_out, listener=listener)

    return LiveCamera(place or "the first camera of this machine", opened, listener=listener)


def _bring_labels(labels: Path | None, root: Path) -> None:
    """Copy the class list `labels` into the data set, where trainers look for it.

    Raises UsageError where the data set has another one, PathError, DataError, StorageError.
    """
    if labels is None:
        return
    from taolite.files import write_text
    from taolite.formats.part import read_labels

    own = root / "labels.txt"
    if not labels.is_file():
        raise UsageError(f"--labels {labels}: no such file; leave --labels out to make the list on the page")
    names = read_labels(labels)[0]
    if not own.is_file():
        write_text(own, "".join(f"{name}\n" for name in names))
    elif read_labels(own)[0] != names:
        raise UsageError(
            f"--labels {labels}: {own} lists other classes; change one of the files, or leave --labels out"
        )


def _model(options: argparse.Namespace, listener: Listener) -> tuple[tuple[str, ...], Any]:
    """The classes of the model that proposes boxes, and the function that does; () and None without a model."""
    if options.model is None:
        return (), None
    from taolite.stages.inference.look import find_in
    from taolite.stages.inference.models import open_model

    model = open_model(options.model, key=opening_key(options.key), listener=listener)
    if model.use.name == "classification":
        raise ModelError(f"{options.model}: a classifier gives no boxes; give a detector to propose them")
    if model.decoding is None:
        raise ModelError(f"{options.model}: this model does not say how its outputs are read; give its export")

    def propose(image_hwc: Any) -> list[Detection]:
        return [one for one in find_in(model, [image_hwc])[0] if one.score >= options.threshold]

    return model.classes, propose
