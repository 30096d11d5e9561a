"""A gate's record: a JSON file beside the export, an entry in the manifest of the run, and the error of an export that
did not pass. Such an export is kept under another name."""

from __future__ import annotations

import json
from pathlib import Path

from taolite.errors import ModelError
from taolite.files import write_text
from taolite.stages.exporting.gate import GateReport
from taolite.wording import counted
from taolite.workspace.notes import note_made
from taolite.workspace.status import finite

__all__ = ["failure", "record_gate", "rejected_name"]

_VERSION = 1


def failure(report: GateReport, kept: Path, *, precision: str, advice: str) -> ModelError:
    """The error of an export that did not pass; `kept` is where it can be looked at."""
    tried = ""
    if report.misfit is not None:
        size = f"{report.misfit:.3g} times" if report.misfit > 1 else f"1/{1 / report.misfit:.3g} of"
        tried = f". The calibration does not fit these images: their values are {size} its ranges"
    elif report.floats and report.before is not None:
        tried = f", with {', '.join(report.floats)} in float already ({report.before:.2f} without)"
    metric, pictures = report.trained.words.short, f"{counted(report.images, 'validation image')} of {report.source}"
    trained, exported = 100 * report.trained.value, 100 * report.exported.value
    return ModelError(
        f"the {precision} export loses {report.drop:.2f} points of {metric}, from {trained:.2f} % to {exported:.2f} % "
        f"on {pictures}, and --max-drop allows {report.max_drop:g}{tried}. It is kept as {kept}. {advice}"
    )


def rejected_name(target: Path) -> Path:
    """`model.etlt` -> `model.rejected.etlt`: the name of an export that did not pass.

    >>> rejected_name(Path("out/model.etlt")).name
    'model.rejected.etlt'
    """
    return target.with_name(f"{target.stem}.rejected{target.suffix}")


def record_gate(artifact: Path, report: GateReport, *, model: Path, precision: str, onnx_sha256: str) -> Path:
    """Write the result beside the export, as `NAME.gate.json`, and to the manifest of the run that `model` is of.
    Returns the path of the file."""
    about = {"precision": precision, "onnx_sha256": onnx_sha256}
    note_made(model, "exports", artifact, {**report.to_json(), **about})
    path = artifact.with_name(f"{artifact.name}.gate.json")
    record = {
        **report.to_json(),
        "version": _VERSION,
        "artifact": artifact.name,
        **about,
        "runs_on": report.runs_on,
        "differences": {name: vars(one) for name, one in report.differences.items()},
        "results": vars(report.results),
        "per_class": {"trained": dict(report.trained.per_class), "exported": dict(report.exported.per_class)},
    }
    write_text(path, json.dumps(finite(record), indent=2, sort_keys=True, ensure_ascii=False) + "\n")
    return path
