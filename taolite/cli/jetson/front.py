"""`taolite jetson PROGRAM ...`: the programs of jetson-inference and pytorch-ssd by their own names, with their own
flags (reference/jetson_workflows.md 2 to 9). `commands/jetson/` has a file for each name that runs the program.

Two programs are called onnx_export.py. `classification/onnx_export.py` and `ssd/onnx_export.py` name one of them. The
bare name is accepted where only one of the two has all the given flags. `python` runs a script of the user's.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from taolite.cli import download
from taolite.cli.jetson import capture, classification, classification_flags, looks, python, seeds, ssd, ssd_flags
from taolite.cli.parsing import JetsonParser, TaoParser, command_line, pixels_flag

__all__ = ["configure", "parser_of", "takes"]

Run = Callable[[argparse.Namespace], int]


@dataclass(frozen=True)
class Program:
    """One of these programs: its names, the usual one first; its flags; the function it runs; a line of help; whether
    it opens pictures."""

    names: tuple[str, ...]
    add_flags: Callable[[TaoParser], None]
    run: Run
    line: str
    opens_pictures: bool = True


def _looks(name: str) -> tuple[str, ...]:
    """All names that `imagenet` has had: in C++ and Python, and until 2023 one for pictures and one for cameras."""
    return tuple(f"{name}{kind}{ending}" for kind in ("", "-console", "-camera") for ending in ("", ".py"))


PROGRAMS = (
    Program(
        ("train.py", "classification/train.py"),
        classification_flags.train,
        partial(seeds.in_processes, classification.run_train),
        "train a classifier on a folder of class folders",
    ),
    Program(
        ("classification/onnx_export.py",),
        classification_flags.export,
        classification.run_export,
        "export a classifier to ONNX",
        opens_pictures=False,
    ),
    Program(
        _looks("imagenet"),
        classification_flags.inference,
        looks.run_imagenet,
        "classify pictures, a video or a camera",
    ),
    Program(
        ("train_ssd.py", "ssd/train_ssd.py"),
        ssd_flags.train,
        partial(seeds.in_processes, ssd.run_train),
        "train an SSD on VOC or Open Images data",
    ),
    Program(("eval_ssd.py", "ssd/eval_ssd.py"), ssd_flags.score, ssd.run_eval, "score an SSD: average precisions"),
    Program(("ssd/onnx_export.py",), ssd_flags.export, ssd.run_export, "export an SSD to ONNX", opens_pictures=False),
    Program(
        _looks("detectnet"), ssd_flags.inference, looks.run_detectnet, "find objects in pictures, a video or a camera"
    ),
    Program(
        ("run_ssd_example.py", "ssd/run_ssd_example.py"),
        ssd_flags.example,
        ssd.run_example,
        "find objects in one picture",
    ),
    Program(("camera-capture",), capture.add_flags, capture.run, "take and label pictures with a camera"),
    Program(
        ("open_images_downloader.py", "ssd/open_images_downloader.py"),
        download.add_flags,
        download.run,
        "download Open Images pictures and boxes of some classes",
        opens_pictures=False,
    ),
)
_EXPORTS = ("classification/onnx_export.py", "ssd/onnx_export.py")


def configure(parser: TaoParser) -> None:
    """Add the programs."""
    names = parser.add_subparsers(dest="program", metavar="PROGRAM", required=True, parser_class=JetsonParser)
    for program in PROGRAMS:
        one = names.add_parser(
            program.names[0], aliases=program.names[1:], help=program.line, description=_sentence(program.line)
        )
        _fill(one, program)
    names.add_parser("python", aliases=("python3",), help=python.LINE)
    for name in ("python", "python3"):
        names._name_parser_map[name] = python.PythonParser(prog=f"{parser.prog} {name}")
    names._name_parser_map["onnx_export.py"] = _Either(prog=f"{parser.prog} onnx_export.py")


def parser_of(name: str) -> JetsonParser:
    """The parser of the program called `name`."""
    program = next(one for one in PROGRAMS if name in one.names)
    parser = JetsonParser(prog=f"taolite jetson {name}", description=_sentence(program.line))
    _fill(parser, program)
    return parser


def takes(parser: JetsonParser, words: Sequence[str]) -> bool:
    """Whether a program accepts all these words."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        try:
            parser.parse_args(list(words))
        except SystemExit:
            return False
    return True


def _sentence(line: str) -> str:
    return f"{line[:1].upper()}{line[1:]}."


def _fill(parser: Any, program: Program) -> None:
    program.add_flags(parser)
    if program.opens_pictures:
        pixels_flag(parser.add_argument)
    parser.set_defaults(run=program.run)


class _Either(JetsonParser):
    """`onnx_export.py`, the name of two programs."""

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """See ArgumentParser; parses with the program whose flags fit the words."""
        words = list(sys.argv[1:] if args is None else args)
        fitting = [name for name in _EXPORTS if takes(parser_of(name), words)]
        if len(fitting) == 1:
            return parser_of(fitting[0]).parse_known_args(words, namespace)
        lines = " or ".join(command_line(["taolite", "jetson", name, *words]) for name in _EXPORTS)
        self.exit(2, f"error: two programs are called onnx_export.py; give the folder too: {lines}\n")
