"""The entry point: `taolite GROUP COMMAND`, and the container's own names `detectnet_v2`, `classification_tf1`, `ssd`
and `tao-converter`.
The container also has `tao`. Outside it the command is `taolite tao`, because `tao` may be NVIDIA's launcher there.

Only the module of the given group is imported, so help answers at once and loads no torch.
argparse, because TAO's flags are argparse's: `-eq`, `-pth`, `--gpu_index 0 1`, unique prefixes.
"""

from __future__ import annotations

import argparse
import errno
import importlib
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from taolite import __version__
from taolite.cli import keys, moved, processes
from taolite.cli.parsing import TaoParser
from taolite.cli.settings import with_settings
from taolite.errors import PathError, StoppedError, TaoliteError, printable
from taolite.extras import missing
from taolite.files import storage_error

__all__ = ["classification_tf1", "detectnet_v2", "main", "parser_for", "ssd", "started", "tao_converter"]

# group -> (module with `configure(parser)`, one line of help)
GROUPS = {
    "detectnet": ("taolite.cli.tao.detectnet", "DetectNet_v2 with TAO's flags: dataset_convert, train, evaluate ..."),
    "classification": ("taolite.cli.tao.classification", "image classification with TAO's flags: train, evaluate ..."),
    "ssd": ("taolite.cli.tao.ssd", "SSD with TAO's flags: dataset_convert, train, evaluate ..."),
    "deploy": ("taolite.cli.tao.deploy", "TAO Deploy's tasks: gen_trt_engine, evaluate, inference"),
    "convert": ("taolite.cli.tao.convert", "build an engine from an .etlt or .onnx, with tao-converter's flags"),
    "tao": ("taolite.cli.tao.launcher", "command lines of NVIDIA's launcher: tao detectnet_v2 TASK ..., tao info"),
    "jetson": (
        "taolite.cli.jetson.front",
        "jetson-inference's programs: train.py, train_ssd.py, imagenet, detectnet ...",
    ),
    "run": ("taolite.cli.own.run", "a model over pictures, videos, cameras and streams: boxes, tracks, counts"),
    "capture": ("taolite.cli.own.capture", "take and label pictures with a camera, on a page in your browser"),
    "annotate": (
        "taolite.cli.own.annotate",
        "draw boxes on the pictures of a folder: labelme, or a page in your browser",
    ),
    "board": ("taolite.cli.own.board", "the runs below a folder on a page in your browser: curves, scores, pictures"),
    "dataset": ("taolite.cli.own.dataset", "labels and images: convert, check, stats, view, download"),
    "spec": ("taolite.cli.own.spec", "spec files: new (chosen from pictures), check, show, derive, diff, fmt, schema"),
    "demo": ("taolite.cli.own.demo", "a first detector from drawn pictures: data, and every command to an export"),
    "parity": ("taolite.cli.own.parity", "how far two models differ on the same pictures: outputs, results, scores"),
    "report": ("taolite.cli.own.report", "one HTML page about a run, or about runs beside each other"),
    "show": ("taolite.cli.own.show", "what an artifact holds: kind, classes, size, lineage, signature"),
    "key": ("taolite.cli.own.key", "key files: new (a random key, or a pair of keys that signs models)"),
    "rekey": ("taolite.cli.own.rekey", "seal a file with another key"),
    "sign": ("taolite.cli.own.sign", "sign a model, so that others can tell whose it is"),
    "verify": ("taolite.cli.own.verify", "check that a model is signed, by whom, and unchanged"),
    "init": ("taolite.cli.own.init", "a workspace for experiments: specs, data, commands, results, a mounts map"),
    "experiment": (
        "taolite.cli.own.experiment",
        "what was run: list, show, compare, lineage; and again: rerun, sweep; gc",
    ),
    "doctor": ("taolite.cli.own.doctor", "check this machine, its libraries and a workspace; name each way out"),
    "diagnose": ("taolite.cli.own.diagnose", "why a score is low: the likeliest cause first, and the way out"),
    "completion": ("taolite.cli.own.completion", "print a script that completes commands in your shell"),
    "help": ("taolite.cli.own.help", "help on a command: taolite help detectnet train"),
}
ALIASES = {"show": ("inspect",)}


_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)  # a full or read-only disk is never a bug, whoever wrote to it
STOPPED = 75
"""Exit code of a training that SIGTERM or Ctrl-C ended after it saved its state: sysexits' EX_TEMPFAIL, try again."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code (0 done, 1 an error the user can mend, 2 wrong usage, `STOPPED`).

    argv: the words behind `taolite`; None: those of this process, whose keys are then hidden (`taolite.cli.keys`).
    """
    if argv is None:
        return started([])
    arguments = list(argv)
    asked = next((word for word in arguments if not word.startswith("-")), "")
    options = parser_for(asked).parse_args(arguments)
    options.given = arguments  # as given, for processes that run the same command
    return _run(options)


def parser_for(*groups: str) -> TaoParser:
    """The parser of `taolite`, with the commands and flags of `groups`."""
    parser = TaoParser(
        prog="taolite",
        description="TAO's DetectNet_v2, SSD and image classification, spec files and flags unmodified, on PyTorch.",
        epilog="taolite help COMMAND, or taolite COMMAND --help, shows the flags of a command.",
    )
    parser.add_argument("--version", action="version", version=f"taolite {__version__}")
    commands = parser.add_subparsers(dest="group", metavar="COMMAND", required=True, parser_class=TaoParser)
    for name, (module, line) in GROUPS.items():
        others = ALIASES.get(name, ())
        group = commands.add_parser(name, aliases=others, help=line, description=f"{line[:1].upper()}{line[1:]}.")
        if {name, *others} & set(groups):
            importlib.import_module(module).configure(group)
            moved.watch(group, name)
    return parser


def detectnet_v2() -> int:
    """`detectnet_v2 TASK ...`, as the TAO container spells it."""
    return started(["detectnet"])


def classification_tf1() -> int:
    """`classification_tf1 TASK ...`, as the TAO container spells it."""
    return started(["classification"])


def ssd() -> int:
    """`ssd TASK ...`, as the TAO container spells it."""
    return started(["ssd"])


def tao_converter() -> int:
    """`tao-converter MODEL.etlt -k KEY ...`."""
    return started(["convert"])


def started(group: Sequence[str]) -> int:
    """Run the command that this process was started with: `group`, and the words of its command line."""
    words = sys.argv[1:]
    # pydantic would look through every installed package for plugins of its own, which takes longer than reading a spec
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    if "GOMP_SPINCOUNT" not in os.environ:  # threads that wait by spinning take the cores of whatever else runs here
        os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    keys.begin(words)
    return main([*group, *words])


def _run(options: argparse.Namespace) -> int:
    """Call the command. An error that a user can mend is printed as one message; any other keeps its traceback."""
    try:
        processes.set_threads(options)
        code = with_settings(options.run, options)
        sys.stdout.flush()
        return int(code or 0)
    except StoppedError as error:
        print(f"stopped: {printable(str(error))}", file=sys.stderr)
        return STOPPED
    except TaoliteError as error:
        print(f"error: {printable(f'{error}{_container_hint(error, options)}')}", file=sys.stderr)
        return 1
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":  # compared by name, because torch is not imported here
            raise
        print(
            "error: Ran out of GPU memory, please lower the batch size, use a smaller input resolution, or use a "
            "smaller backbone",
            file=sys.stderr,
        )
        return 1
    except ModuleNotFoundError as error:
        said = missing(error, " ".join(("taolite", *options.given[:2])))
        if said is None:
            raise
        print(f"error: {said}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped by Ctrl-C; what was saved before is kept", file=sys.stderr)
        return 1
    except BrokenPipeError:  # the reader of our output closed it, as in `taolite spec show F | head`
        sys.stderr.close()
        return 1
    except OSError as error:
        if error.errno not in _DISK:
            raise
        path = error.filename or "standard output"  # the one file that is written without a name
        print(f"error: {printable(str(storage_error(Path(os.fsdecode(path)), error)))}", file=sys.stderr)
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  (Python flushes it again at the end)
        return 1


def _container_hint(error: TaoliteError, options: argparse.Namespace) -> str:
    """What the mounts map says of the first path in a PathError; "" where the map does not apply."""
    named = re.search(r"(?<![\w.:/])/[^\s:;,]+", str(error)) if isinstance(error, PathError) else None
    if named is None:
        return ""
    from taolite.workspace.mounts import Mounts

    try:
        hint = Mounts.load(getattr(options, "mount", ())).explain(named[0])
    except TaoliteError:  # the map itself is wrong, and `error` says so
        return ""
    return f"; {hint}" if hint else ""


if __name__ == "__main__":
    sys.exit(main())
