"""`taolite convert MODEL.etlt -k KEY ...`, also called `tao-converter`: an exported model into an engine.

It accepts all of tao-converter's flags (reference/deploy.md 7). tao-converter's models were UFF graphs, and flags gave
their layout, names and batch. Our models are ONNX and hold these, so such flags are checked against the model where
possible, and cause a warning where they have no effect.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from taolite.cli.keys import opening_key, sealing_key
from taolite.cli.parsing import mount_flag, signer_flag
from taolite.cli.tao.flags import backend_flag
from taolite.errors import UsageError

if TYPE_CHECKING:
    from taolite.artifacts.keys import Key
    from taolite.engines.build import Profile
    from taolite.stages.exporting.engine import EngineReport
    from taolite.workspace.mounts import Mounts

__all__ = ["capabilities", "configure", "engine_text"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `taolite convert`."""
    add = parser.add_argument
    add("model", type=Path, metavar="MODEL", help="export: .etlt (sealed) or .onnx (plain)")
    text = "key of a sealed model: KEY, @FILE, or the variable TAOLITE_KEY"
    add("-k", dest="key", metavar="KEY", help=text)
    text = "engine to write (default: saved.engine)"
    add("-e", dest="engine", type=Path, default=Path("saved.engine"), metavar="FILE", help=text)
    text = "precision (default: that of the model)"
    add("-t", dest="precision", choices=("fp32", "fp16", "int8"), help=text)
    text = "largest batch size (default: 16, or the fixed one of the model)"
    add("-m", dest="max_batch", type=int, metavar="N", help=text)
    text = "shapes of an input, each like 1x3x544x960; may be repeated"
    add("-p", dest="profiles", action="append", metavar="NAME,MIN,OPT,MAX", help=text)
    text = "GPU memory for the build in bytes (default: 1 GiB; no limit with TensorRT-RTX)"
    add("-w", dest="workspace", type=int, metavar="BYTES", help=text)
    add("-d", dest="dims", metavar="C,H,W", help="input size, checked against that of the model")
    add("-o", dest="outputs", metavar="NAMES", help="output names, checked against those of the model")
    text = "calibration cache that turns an fp32 model into int8 (default with -t int8: cal.bin, if it exists)"
    add("-c", dest="calibration_cache", type=Path, metavar="FILE", help=text)
    add("-u", dest="dla_core", type=int, metavar="N", help="DLA core of a Jetson (backend tensorrt)")
    backend_flag(add, default="TensorRT where it is installed, else OpenVINO")
    text = "GPUs to build for, e.g. 7.5,8.6 or 75,86; needs no GPU here (tensorrt_rtx)"
    add("--compute-capability", metavar="LIST", help=text)
    mount_flag(add)
    signer_flag(add)
    add("--json", action="store_true", help="print one JSON object")

    add = parser.add_argument_group("without effect").add_argument
    add("-i", dest="layout", choices=("nchw", "nhwc", "nc"), help="layout of the input; the model knows it")
    add("-s", dest="strict", action="store_true", help="strict types; they always are")
    text = "batch size of a calibration; nothing is calibrated here"
    add("-b", dest="calibration_batch", type=int, metavar="N", help=text)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from taolite.cli.progress import Terminal
    from taolite.engines.build import choose_backend
    from taolite.stages.exporting import engine
    from taolite.workspace.mounts import Mounts

    mounts = Mounts.load(options.mount)
    model = mounts.resolve(options.model)
    targets = capabilities(options.compute_capability)
    backend = options.backend or choose_backend(targets)
    for line in _without_effect(options, backend=backend):
        print(f"warning: {line}", file=sys.stderr)
    with Terminal() as terminal:
        report = engine.build(
            model,
            key=_key(options, model),
            engine=mounts.resolve(options.engine),
            backend=options.backend,
            precision=options.precision,
            batch=_batch(options.max_batch),
            profiles=_profiles(options.profiles) or None,
            input_chw=_dims(options.dims),
            output_names=_names(options.outputs),
            workspace_bytes=None if options.workspace is None else _positive("-w", options.workspace),
            compute_capabilities=targets,
            dla_core=options.dla_core if backend == "tensorrt" else None,
            calibration=_cache(options, mounts),
            runs_here=False,
            listener=terminal,
        )
    print(json.dumps(_facts(report), indent=2) if options.json else engine_text(report))
    return 0


def _key(options: argparse.Namespace, model: Path) -> Key | None:
    """The key of -k or TAOLITE_KEY; asked for at a terminal where the model is sealed and no key was given."""
    from taolite.artifacts.keys import terminal_prompt
    from taolite.artifacts.sniff import Kind, sniff

    key = opening_key(options.key)
    prompt = terminal_prompt()
    if key is None and prompt is not None and sniff(model) is Kind.ETLT:
        return sealing_key(None, prompt=prompt)
    return key


def _without_effect(options: argparse.Namespace, *, backend: str) -> list[str]:
    """One line for every given flag that has no effect."""
    lines = []
    if options.layout is not None and options.layout != "nchw":
        lines.append(f"-i {options.layout} has no effect: this model's layout is NCHW")
    if options.strict:
        lines.append("-s has no effect: engines are built in exactly the types of the model")
    if options.calibration_batch is not None:
        lines.append("-b has no effect: nothing is calibrated here")
    if options.dla_core is not None and backend != "tensorrt":
        lines.append(f"-u has no effect: {backend} has no DLA")
    if options.max_batch is not None and options.profiles:
        lines.append("-m has no effect beside -p, which gives the batch")
    if backend == "openvino" and (options.max_batch is not None or options.profiles):
        lines.append("-m and -p have no effect: an openvino engine takes every batch the model takes")
    return lines


def _cache(options: argparse.Namespace, mounts: Mounts) -> Path | None:
    """The cache of -c; without -c, for int8, tao-converter's ./cal.bin where that exists."""
    if options.calibration_cache is not None:
        return mounts.resolve(options.calibration_cache)
    usual = Path("cal.bin")
    return usual if options.precision == "int8" and usual.is_file() else None


def _batch(largest: int | None) -> tuple[int, int, int] | None:
    """Smallest, usual and largest batch: with -m the engine accepts up to that batch and is fastest at it."""
    return None if largest is None else (1, _positive("-m", largest), largest)


def _profiles(words: list[str] | None) -> dict[str, Profile]:
    """The profiles of `-p NAME,MIN,OPT,MAX`, one for each input."""
    from taolite.engines.build import Profile

    made = {}
    for word in words or ():
        name, *shapes = word.rsplit(",", 3)
        try:
            smallest, best, largest = (tuple(int(size) for size in shape.split("x")) for shape in shapes)
        except ValueError as error:
            raise UsageError(
                f"-p {word}: needs a name and three shapes, e.g. -p input_1,1x3x544x960,4x3x544x960,8x3x544x960"
            ) from error
        made[name] = Profile(smallest, best, largest)
    return made


def _dims(word: str | None) -> tuple[int, int, int] | None:
    if word is None:
        return None
    try:
        channels, height, width = (int(size) for size in word.split(","))
    except ValueError as error:
        raise UsageError(f"-d {word}: needs three numbers C,H,W, e.g. -d 3,544,960") from error
    return channels, height, width


def capabilities(word: str | None) -> tuple[str, ...]:
    """The value of --compute-capability, parsed: "75,8.6" -> ("7.5", "8.6"); None -> none."""
    found = [part.strip() for part in (word or "").split(",") if part.strip()]
    return tuple(f"{part[:-1]}.{part[-1]}" if part.isdigit() and len(part) > 1 else part for part in found)


def _names(word: str | None) -> tuple[str, ...]:
    """The names of `-o A,B`; TAO's `:0` behind a name is optional."""
    return tuple(part.strip().removesuffix(":0") for part in (word or "").split(",") if part.strip())


def _positive(flag: str, number: int) -> int:
    if number < 1:
        raise UsageError(f"{flag} {number}: needs to be 1 or more")
    return number


def _facts(report: EngineReport) -> dict[str, object]:
    return {
        "engine": str(report.engine),
        "sidecar": str(report.sidecar),
        "megabytes": round(report.megabytes, 3),
        "backend": report.backend,
        "version": report.version,
        "precision": report.precision,
        "batch": list(report.batch),
        "compute_capabilities": list(report.gpus),
        "seconds": round(report.seconds, 2),
    }


def engine_text(report: EngineReport) -> str:
    """The report of a built engine, as text."""
    smallest, usual, largest = report.batch
    batch = f"{smallest}" if smallest == largest else f"{smallest} to {largest}, fastest at {usual}"
    runs_on = f"compute capability {', '.join(report.gpus)}" if report.gpus else "the CPU of this machine"
    return "\n".join(
        [
            f"{report.engine}  {report.megabytes:.2f} MB, with {report.sidecar.name} beside it",
            f"  built by   {report.backend} {report.version} in {report.seconds:.1f} s",
            f"  precision  {report.precision}",
            f"  batch      {batch}",
            f"  runs on    {runs_on}",
        ]
    )
