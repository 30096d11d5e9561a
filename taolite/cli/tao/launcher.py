"""`taolite tao ...`, in the container `tao ...`: the command lines of NVIDIA's launcher, run here without a container.

`tao detectnet_v2 TASK` (3.x, 4.x), `tao model detectnet_v2 TASK`, `tao deploy detectnet_v2 TASK`, `tao dataset ...`
(5.x), `tao converter`, `tao list | info | stop` (reference/detectnet_v2.md 2.9); `classification_tf1`, or
`classification`, and `ssd` as well as `detectnet_v2`. The words after the network go to the task unchanged. pip
installs no command `tao`: it could hide NVIDIA's launcher where that is installed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence

from taolite import __version__
from taolite.cli.keys import user_environment
from taolite.cli.parsing import near
from taolite.errors import UsageError

__all__ = ["configure", "translate"]

_NETWORKS = {
    "detectnet_v2": "detectnet",
    "classification_tf1": "classification",
    "classification": "classification",
    "ssd": "ssd",
    "dssd": "ssd",  # one program in TAO too
}
_DEPLOY = {**_NETWORKS, "detectnet_v2": "deploy"}
_DATASET = ("convert", "check", "stats", "view")
_OTHERS = ("converter", "dataset", "list", "info", "stop")
_USAGE = """usage: tao detectnet_v2 TASK ...          the same with model in front, as TAO 5 writes it
       tao classification_tf1 TASK ...    image classification; classification, as TAO 3 and 4 write it
       tao ssd TASK ...                   SSD; dssd is the same program, and its networks are not built here
       tao detectnet_v2 run COMMAND ...   a command, where TAO runs one in its container
       tao deploy detectnet_v2 TASK ...   TAO Deploy's gen_trt_engine, evaluate, inference
       tao dataset convert|check|stats|view ...
       tao converter MODEL.etlt ...
       tao list | info [--verbose] | stop"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Take all words behind `tao` unchanged."""
    parser.usage = _USAGE.removeprefix("usage: ")
    parser.add_argument("words", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    parser.set_defaults(run=_run)


def translate(words: Sequence[str]) -> list[str]:
    """The launcher's words -> ours: ["model", "detectnet_v2", "train", ...] -> ["detectnet", "train", ...].

    Raises UsageError for unknown networks and actions, naming the known ones.
    """
    group, *rest = words
    if group in _NETWORKS:
        return [_NETWORKS[group], *rest]
    if group == "converter":
        return ["convert", *rest]
    if group == "dataset":
        if rest and rest[0] in _DATASET:
            return ["dataset", *rest]
        asked = f"tao dataset {rest[0]}" if rest else "tao dataset"
        raise UsageError(f"{asked}: taolite has {', '.join(_DATASET)}; see `taolite dataset --help`")
    if group in ("model", "deploy"):
        if rest and rest[0] in _NETWORKS:
            return [(_DEPLOY if group == "deploy" else _NETWORKS)[rest[0]], *rest[1:]]
        asked = " ".join(["tao", group, *rest[:1]])
    else:
        asked = f"tao {group}"
    meant = near(asked.split()[-1], (*_NETWORKS, *_OTHERS))
    hint = f"; did you mean {meant}?" if meant else ""
    others = f"{', '.join(_OTHERS[:-1])} and {_OTHERS[-1]}"
    raise UsageError(f"{asked}: taolite runs {', '.join(_NETWORKS)}; tao also takes {others}{hint}")


def _run(options: argparse.Namespace) -> int:
    from taolite.cli.main import main

    words: list[str] = options.words
    if not words or words[0] in ("-h", "--help"):
        print(_USAGE)
        return 0
    if words[0] == "info":
        print(_info(verbose="--verbose" in words[1:]))
        return 0
    if words[0] in ("list", "stop"):
        print("taolite runs no containers: nothing to list or stop. Ctrl-C stops a task; run it again to continue")
        return 0
    named = next((index for index, word in enumerate(words[:2]) if word in _NETWORKS), None)
    task = words[named + 1 :] if named is not None else ["-"]
    if not task:
        raise UsageError(
            f"{' '.join(['tao', *words])}: TAO opens a shell in its container here; you are in one already"
        )
    if task[0] == "run":
        return _command(task[1:], words[named or 0])
    return main(translate(words))


def _command(words: list[str], network: str) -> int:
    """Run a command of the user, as `tao NETWORK run` does; returns its exit code."""
    if not words:
        raise UsageError(f"tao {network} run: give the command that is to run")
    try:
        return subprocess.run(words, env=user_environment(), check=False).returncode
    except OSError as error:
        raise UsageError(f"tao {network} run {words[0]}: cannot be run ({error.strerror})") from error


def _info(*, verbose: bool) -> str:
    """TAO's block, with what taolite has in place of containers; `verbose` adds versions and mounts."""
    lines = [
        "Configuration of the TAO Toolkit Instance",
        "dockers: []",
        "format_version: 2.0",
        f"toolkit_version: taolite {__version__}",
    ]
    if not verbose:
        return "\n".join(lines)
    from importlib.metadata import PackageNotFoundError, version

    from taolite.workspace.mounts import Mounts

    lines += [f"networks: {', '.join(_NETWORKS)}", f"python: {sys.version.split()[0]}"]
    for package in ("torch", "onnxruntime", "openvino", "tensorrt", "tensorrt-rtx-cu13"):
        try:
            lines.append(f"{package}: {version(package)}")
        except PackageNotFoundError:
            lines.append(f"{package}: not installed")
    lines += [f"mount: {mount.source} is {mount.destination} ({mount.origin})" for mount in Mounts.load().mounts]
    return "\n".join(lines)
