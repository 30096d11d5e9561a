"""`taolite convert MODEL.etlt -k KEY ...`, also called `tao-converter`: an exported model into an engine.

tao-converter's letters, all of them (reference/deploy.md 7). Its models were UFF graphs that had to be told their
layout, names and batch; ours is ONNX and knows them, so those letters are checked against the model where they can
be, and earn a warning where they have no effect.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from taolite.cli.tao.flags import backend_flag
from taolite.errors import UsageError

if TYPE_CHECKING:
    from taolite.artifacts.keys import Key
    from taolite.engines.build import Profile
    from taolite.stages.engine import EngineReport
    from taolite.workspace.mounts import Mounts

__all__ = ["capabilities", "configure", "engine_text"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `taolite convert`."""
    parser.add_argument("model", type=Path, help="the exported model, .etlt (sealed) or .onnx (plain)")
    parser.add_argument("-k", dest="key", metavar="KEY", help="the key of a sealed model: KEY, @FILE, or TAOLITE_KEY")
    parser.add_argument("-e", dest="engine", type=Path, default=Path("saved.engine"), help="the engine to write")
    parser.add_argument("-t", dest="precision", choices=("fp32", "fp16", "int8"), help="default: as in the model")
    parser.add_argument(
        "-m", dest="max_batch", type=int, metavar="N", help="largest batch (16, or what the model fixes)"
    )
    parser.add_argument(
        "-p",
        dest="profiles",
        action="append",
        metavar="NAME,MIN,OPT,MAX",
        help="shapes of an input, each like 1x3x544x960",
    )
    parser.add_argument("-w", dest="workspace", type=int, default=1 << 30, metavar="BYTES", help="GPU scratch memory")
    parser.add_argument("-d", dest="dims", metavar="C,H,W", help="input dimensions; checked against the model")
    parser.add_argument("-o", dest="outputs", metavar="NAMES", help="output names; checked against the model")
    parser.add_argument("-u", dest="dla_core", type=int, metavar="N", help="DLA core of a Jetson (backend tensorrt)")
    parser.add_argument(
        "-i", dest="layout", choices=("nchw", "nhwc", "nc"), help="no effect: the model knows its layout"
    )
    parser.add_argument("-s", dest="strict", action="store_true", help="no effect: types are always strict")
    parser.add_argument(
        "-b", dest="calibration_batch", type=int, metavar="N", help="no effect: nothing is calibrated here"
    )
    parser.add_argument(
        "-c",
        dest="calibration_cache",
        type=Path,
        metavar="FILE",
        help="ranges that turn an fp32 model into int8 (cal.bin)",
    )
    backend_flag(parser, default="TensorRT where it is installed, else OpenVINO")
    parser.add_argument(
        "--compute-capability",
        metavar="LIST",
        help="GPUs to build for, as 7.5,8.6 or 75,86; needs no GPU here (tensorrt_rtx)",
    )
    parser.add_argument("--mount", action="append", default=[], metavar="SRC:DST", help="where a container path lies")
    parser.add_argument("--json", action="store_true", help="one JSON object, for machines")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from taolite.cli.progress import Terminal
    from taolite.engines.build import choose_backend
    from taolite.stages import engine
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
            workspace_bytes=_positive("-w", options.workspace),
            compute_capabilities=targets,
            dla_core=options.dla_core if backend == "tensorrt" else None,
            calibration=_cache(options, mounts),
            runs_here=False,
            listener=terminal,
        )
    print(json.dumps(_facts(report), indent=2) if options.json else engine_text(report))
    return 0


def _key(options: argparse.Namespace, model: Path) -> Key | None:
    """The key of -k or TAOLITE_KEY; asked for at a terminal where the model is sealed and there is none."""
    from taolite.artifacts.keys import find_key, find_key_if_given, terminal_prompt
    from taolite.artifacts.sniff import Kind, sniff

    key = find_key_if_given(options.key)
    prompt = terminal_prompt()
    if key is None and prompt is not None and sniff(model) is Kind.ETLT:
        return find_key(None, prompt=prompt)
    return key


def _without_effect(options: argparse.Namespace, *, backend: str) -> list[str]:
    """One line for every flag that was given and changes nothing."""
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
    """The cache of -c; for int8, tao-converter's ./cal.bin where that exists."""
    if options.calibration_cache is not None:
        return mounts.resolve(options.calibration_cache)
    usual = Path("cal.bin")
    return usual if options.precision == "int8" and usual.is_file() else None


def _batch(largest: int | None) -> tuple[int, int, int] | None:
    """Smallest, usual and largest: with -m the engine takes up to that batch and is fastest at it."""
    return None if largest is None else (1, _positive("-m", largest), largest)


def _profiles(words: list[str] | None) -> dict[str, Profile]:
    """`-p NAME,MIN,OPT,MAX`, as often as there are inputs."""
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
    """What stood behind --compute-capability: "75,8.6" -> ("7.5", "8.6"); None -> none."""
    found = [part.strip() for part in (word or "").split(",") if part.strip()]
    return tuple(f"{part[:-1]}.{part[-1]}" if part.isdigit() and len(part) > 1 else part for part in found)


def _names(word: str | None) -> tuple[str, ...]:
    """`-o A,B`; TAO's `:0` behind a name may stand or not."""
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
    """What was built, for people."""
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
