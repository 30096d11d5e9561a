"""`taolite show FILE`: what an artifact or the folder of a run holds. Without the key, only its public part."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from taolite.cli.keys import opening_key
from taolite.cli.parsing import mount_flag
from taolite.wording import counted

__all__ = ["configure"]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `taolite show`."""
    add = parser.add_argument
    add("file", type=Path, metavar="FILE", help=".tlt, .etlt, .onnx, checkpoint, engine, a run's folder, or any file")
    text = "key of a sealed file: KEY, @FILE, or the variable TAOLITE_KEY"
    add("-k", "--key", metavar="KEY", help=text)
    mount_flag(add)
    add("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from taolite.artifacts.describe import describe
    from taolite.engines import onnx_graph
    from taolite.stages.described import describe_run
    from taolite.workspace.mounts import Mounts

    path, key = Mounts.load(options.mount).resolve(options.file), opening_key(options.key)
    if path.is_dir():
        facts, lines = describe_run(path, key=key), _run_lines
    else:
        facts, lines = describe(path, key=key), _lines
    if facts["kind"] == "onnx":
        facts |= onnx_graph.describe(path.read_bytes())
    print(json.dumps(facts, ensure_ascii=False, indent=2) if options.json else "\n".join(lines(facts)))
    return 0


def _run_lines(facts: Mapping[str, Any]) -> Iterator[str]:
    """The run, then each of its models."""
    yield facts["path"]
    yield _row("kind", facts["what"])
    if "task" in facts:
        yield _row("task", facts["task"])
    if "classes" in facts:
        yield _row("classes", ", ".join(facts["classes"]))
    if isinstance(facts.get("versions"), Mapping):
        yield _row("written by", f"taolite {facts['versions'].get('taolite', '?')}")
    if facts["status"] is not None:
        yield _row("status", f"{facts['status'].get('status', '?')}: {facts['status'].get('message', '')}")
    if isinstance(facts.get("metrics"), Mapping):
        yield _row("scores", _short(facts["metrics"]))
    if names := facts["checkpoints"]:
        yield _row("checkpoints", f"{len(names)}, the newest {names[-1]}")
    if not facts["models"]:
        yield _row("model", "none yet")
    for model in facts["models"]:
        yield from _lines(model)


def _signature(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "no"
    if "signer" not in found:
        return f"no: {found['problem']}"
    return f"by {found['signer']} at {found['signed_at']}" + ("" if found["fits"] else "; the file was changed since")


def _lines(facts: Mapping[str, Any]) -> Iterator[str]:
    """The facts for a reader: one a line, the important ones first."""
    yield facts["path"]
    yield _row("kind", facts["what"])
    yield _row("size", f"{facts['bytes']:,} bytes")
    if "sha256" in facts:
        yield _row("sha256", facts["sha256"])
    if "signature" in facts:
        yield _row("signed", _signature(facts["signature"]))
    if facts["sealed"] and not facts["opened"]:
        yield _row("sealed", "yes; give -k KEY to see the rest. Not checked yet:")
    for name in ("writer", "task", "backend", "precision", "opset"):
        if name in facts:
            yield _row("written by" if name == "writer" else name, str(facts[name]))
    if facts.get("calibration"):
        yield _row("calibrated", _short(facts["calibration"]))
    if facts.get("gate"):
        with suppress(KeyError, TypeError, ValueError):  # of an .onnx that was not written by us
            yield _row("scored", _gate(facts["gate"]))
    if "input_name" in facts:
        yield _row("input name", facts["input_name"])
    if "preprocessing" in facts:
        yield _row("input", _input(facts["preprocessing"]))
    if "classes" in facts:
        yield _row("classes", ", ".join(facts["classes"]))
    if "architecture" in facts:
        yield _row("network", _short(facts["architecture"]))
    if "parameters" in facts:
        yield _row("parameters", f"{facts['parameters']:,} in {facts['tensors']} tensors")
        yield _row("weights", f"sha256 {facts['weights_sha256']}")
    if "onnx_sha256" in facts:
        yield _row("ONNX", f"sha256 {facts['onnx_sha256']}")
    if "batch" in facts:
        yield _row("batch", "smallest {}, usual {}, largest {}".format(*facts["batch"]))
    if facts.get("gpus"):
        yield _row("GPUs", f"compute capability {', '.join(facts['gpus'])}")
    if facts.get("own_engine") is False:
        yield _row("warning", "the engine is not the one its .json describes; build it again")
    if "state" in facts:
        yield _row("state", _short(facts["state"]))
    for number, step in enumerate(facts.get("lineage", ()), start=1):
        yield _row("lineage" if number == 1 else "", f"{number}. {_short(step)}")
    if "advice" in facts:
        yield _row("advice", facts["advice"])


def _row(name: str, text: str) -> str:
    return f"  {name:<12}{text}"


def _gate(gate: Mapping[str, Any]) -> str:
    """The score of an export beside that of the trained model, from the file's own record."""
    trained, exported = 100 * float(gate["trained"]), 100 * float(gate["exported"])
    floats = f"; in float: {', '.join(gate['floats'])}" if gate.get("floats") else ""
    failed = "" if gate["passed"] else f"; rejected by --max-drop {gate['max_drop']:g}"
    said = f"{gate['metric']} {exported:.2f} %, the trained model {trained:.2f} %"
    return f"{said} ({counted(gate['images'], 'validation image')} of {gate['source']}){floats}{failed}"


def _input(preprocessing: Mapping[str, Any]) -> str:
    height, width = preprocessing["input_hw"]
    fit = {
        "crop": "larger photos are cut, smaller ones padded",
        "stretch": "photos are stretched to it",
        "cover": "photos are resized with their aspect and the middle is cut out",
        "aspect": "photos are resized with their aspect and padded",
    }
    return f"{preprocessing['channels']} x {height} x {width} (channels, height, width); {fit[preprocessing['fit']]}"


def _short(value: Mapping[str, Any]) -> str:
    """The plain entries of a JSON object on one line, the kind of step first; lists and objects by their size."""
    words = []
    for name in sorted(value, key=lambda name: (name != "stage", name)):
        item = value[name]
        if isinstance(item, (Mapping, list)):
            item = f"({len(item)} entries)" if item else "(none)"
        elif isinstance(item, str) and len(item) == 64 and set(item) <= set("0123456789abcdef"):
            item = item[:12]
        elif isinstance(item, float):
            item = f"{item:.4g}"
        if item != "":
            words.append(f"{name} {item}")
    return ", ".join(words)
