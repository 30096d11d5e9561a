"""`taolite parity A B --data SPEC|DIR`: how far two models differ on the same pictures."""

from __future__ import annotations

import argparse
import json
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from taolite.cli.keys import opening_key
from taolite.cli.parsing import mount_flag, pixels_flag, signer_flag
from taolite.cli.settings import set_flag
from taolite.cli.values import count, number
from taolite.engines import runtimes
from taolite.errors import ModelError, UsageError

if TYPE_CHECKING:
    from taolite.engines.onnx_graph import OnnxMeta
    from taolite.stages.inference.models import Model
    from taolite.stages.parity import ParityReport
    from taolite.tasks.base import Experiment
    from taolite.workspace.mounts import Mounts

__all__ = ["configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `taolite parity`."""
    add = parser.add_argument
    for name in ("first", "second"):
        add(name, metavar="AB"[name == "second"], help=".tlt, .etlt, .onnx, engine or run folder")
    text = "training spec, whose validation images are labelled; or a folder of pictures, or one picture"
    add("--data", required=True, metavar="SPEC|DIR", help=text)
    set_flag(parser)
    add("-k", "--key", metavar="KEY", help="key of sealed models: KEY, @FILE, or the variable TAOLITE_KEY")
    add("--images", type=count(1), metavar="N", help="compare on N pictures at most (default: 500)")
    text = "fail where a value of an output differs by more than D"
    add("--max-difference", type=number(0, None, least=True), metavar="D", help=text)
    names = runtimes.onnx_runners()
    text = f"runtime for an .etlt or .onnx: {' or '.join(names)} (default: {names[0]})"
    add("--runtime", choices=names, metavar="NAME", help=text)
    add("--json", action="store_true", help="print one JSON object")
    mount_flag(add)
    signer_flag(add)
    pixels_flag(add)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from taolite.cli.progress import Terminal
    from taolite.stages.parity import MOST, folder, parity
    from taolite.workspace.mounts import Mounts

    mounts, most = Mounts.load(options.mount), options.images or MOST
    place = mounts.resolve(options.data)
    spec = None if _holds_pictures(place) else place
    with Terminal() as show, ExitStack() as stack:
        models = []
        for name in (options.first, options.second):
            models.append(stack.enter_context(_open(mounts.resolve(name), spec, options, mounts)))
        first, second = models
        if spec is None:
            report = parity(first, second, folder(place, most=most), listener=show)
        else:
            from taolite.stages.validation import open_validation

            pictures = open_validation(_experiment(spec, first.classes, mounts), most=most, listener=show)
            report = parity(first, second, pictures, listener=show)
    print(_json(report) if options.json else _text(report, options.first, options.second))
    if options.max_difference is not None:
        _check(report, options)
    return 0


def _holds_pictures(place: Path) -> bool:
    from taolite.pictures import EXTENSIONS

    return not place.is_file() or place.suffix.lower() in EXTENSIONS


def _open(path: Path, spec: Path | None, options: argparse.Namespace, mounts: Mounts) -> Model:
    from taolite.stages.inference.models import meta_of, open_model

    def assumed() -> OnnxMeta:
        assert spec is not None
        return meta_of(_experiment(spec, None, mounts))

    return open_model(
        path,
        key=opening_key(options.key),
        runtime=options.runtime,
        assumed=assumed if spec is not None else None,
    )


def _experiment(spec: Path, classes: tuple[str, ...] | None, mounts: Mounts) -> Experiment:
    """The experiment of a training spec, whatever its task."""
    from taolite import spec as specs
    from taolite.tasks.registry import TASKS, find

    kind = specs.identify(spec)
    if kind.name.lower() not in [row.name for row in TASKS]:
        raise UsageError(f"{spec}: this {kind.value} spec names no validation images; give a training spec")
    return find(kind.name.lower()).read(spec, resolve=mounts.resolve, classes=classes).model


def _check(report: ParityReport, options: argparse.Namespace) -> None:
    """Raises ModelError where an output differs by more than --max-difference."""
    if report.largest is None:
        raise ModelError(f"--max-difference: {options.first} and {options.second} have no output in common")
    name, found = report.largest
    if not found <= options.max_difference:
        raise ModelError(
            f"{options.second} differs from {options.first} by {found:.3g} in {name}, and --max-difference allows "
            f"{options.max_difference:g}"
        )


def _json(report: ParityReport) -> str:
    from dataclasses import asdict

    from taolite.workspace.status import finite

    return json.dumps(finite(asdict(report)), indent=2, ensure_ascii=False)


def _text(report: ParityReport, first: str, second: str) -> str:
    from taolite.cli.render import parity_block

    return parity_block(report, first, second)
