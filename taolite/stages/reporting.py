"""The report of a run: what lies in its folder, gathered and written as one HTML file (`taolite.report.html`).

Nothing is trained or scored anew. A run of an earlier version, which recorded less, gets its plots as pictures, and its
label statistics from the data where the spec's folders are on this machine.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from taolite import spec as specs
from taolite.artifacts.describe import describe
from taolite.artifacts.keys import Key
from taolite.errors import PathError, TaoliteError
from taolite.files import open_file, write_text
from taolite.pictures import read_rgb
from taolite.report.html import RunFacts, comparison_page, run_page
from taolite.spec.flat import changed
from taolite.spec.write import literal
from taolite.tasks.registry import find_spec
from taolite.workspace.catalog import read_run
from taolite.workspace.lineage import lineage_of, links_of
from taolite.workspace.manifest import read_object
from taolite.workspace.sidecars import EngineFiles

__all__ = ["REPORT", "gather", "spec_changes", "write_comparison", "write_report"]

REPORT = "report.html"
_LARGEST = 1 << 26  # bytes that are read of a plot
_LARGEST_PNG = 250_000  # bytes; a larger plot becomes a JPEG
_WIDEST = 1600  # pixels of such a JPEG
_PLOTS = ("first_batch.png", "f1.png", "precision_recall.png", "confusion.png", "worst.png")
_REPLACED = {"f1.png": "curves", "precision_recall.png": "curves", "worst.png": "pictures"}


def write_report(
    folder: Path,
    output: Path | None = None,
    *,
    key: Key | None = None,
    beside: Sequence[Path] = (),
    finished: bool = False,
) -> Path:
    """Write the report of the run in `folder`; returns its path.

    Args:
        output: the file; None: report.html in the folder of the run.
        key: of the run's models; without it their lineage is not shown.
        beside: JSON files of pruning sweeps and export gates that lie elsewhere.
        finished: the run is the one that calls this, at its end.

    Raises PathError, StorageError; WrongKeyError for another key.
    """
    facts = gather(folder, key=key, beside=beside)
    if finished:
        facts = replace(facts, record=replace(facts.record, state="finished"))
    path = output or folder / REPORT
    write_text(path, run_page(facts))
    return path


def write_comparison(
    folders: Sequence[Path], output: Path, *, key: Key | None = None, beside: Sequence[Path] = ()
) -> Path:
    """Write one page with the runs in `folders` beside each other; returns `output`. Raises as `write_report`."""
    write_text(output, comparison_page([gather(folder, key=key, beside=beside, light=True) for folder in folders]))
    return output


def gather(folder: Path, *, key: Key | None, beside: Sequence[Path] = (), light: bool = False) -> RunFacts:
    """Everything that a report shows of a run. light: without pictures. Raises as `write_report`."""
    record = read_run(folder)
    notes: list[str] = []
    found = {name: _json(record.folder / f"{name}.json") for name in ("labels", "curves", "pictures")}
    if not found["labels"] and not light:
        found["labels"], note = _labels(record.folder, record.task, record.run.get("classes"))
        notes += [note] if note else []
    gates, sweeps = _extras(record.folder, record.manifest, beside)
    changes, note = spec_changes(record.spec, record.task)
    notes += [note] if note else []
    drawn = {plot for plot, name in _REPLACED.items() if found[name]} | {
        "confusion.png" for _ in record.scorecard or ()
    }
    wanted = [] if light else [name for name in _PLOTS if name not in drawn]
    return RunFacts(
        record,
        labels=found["labels"],
        curves=found["curves"],
        pictures=found["pictures"],
        models=[describe(path, key=key) for path in _models(record.folder)],
        gates=gates,
        sweeps=sweeps,
        changes=changes,
        plots=dict(_plots(record.folder / "plots", wanted)),
        notes=notes,
        lineage=lineage_of([links_of(record)], record.folder, EngineFiles(record.folder).found()),
    )


def _models(folder: Path) -> list[Path]:
    """The models of a run: those in weights/, and those that a program of jetson-inference has in the folder itself."""
    return sorted([*folder.glob("weights/*.tlt"), *folder.glob("*.tlt")])


def _labels(folder: Path, task: str, classes: object) -> tuple[Mapping[str, Any], str]:
    """The label statistics from the data itself, and a note where it is not here."""
    names = [str(name) for name in classes] if isinstance(classes, list) else []
    try:
        from taolite.stages.labels import labels_of_run

        return labels_of_run(folder / "experiment_spec.txt", task, names), ""
    except TaoliteError as error:
        return {}, f"No label statistics: {str(error).splitlines()[0]}"


def _json(path: Path) -> Mapping[str, Any]:
    """A JSON object of the run; an empty one where there is no such file. Raises PathError for a damaged one."""
    if not path.is_file():
        return {}
    return read_object(path, found="not JSON", way_out="run evaluate with -r on this folder to write it anew")


def _extras(
    folder: Path, manifest: Mapping[str, Any], beside: Sequence[Path]
) -> tuple[list[tuple[str, Mapping[str, Any]]], list[tuple[str, Mapping[str, Any]]]]:
    """(export gates, pruning sweeps): those in the folder and in its weights, those given, those of the manifest."""
    gates: dict[str, Mapping[str, Any]] = {}
    sweeps: dict[str, Mapping[str, Any]] = {}
    exports = manifest.get("exports")
    for name, one in exports.items() if isinstance(exports, dict) else ():
        if isinstance(one, dict) and "drop" in one:
            gates[name] = one
    places = [*sorted(folder.glob("*.gate.json")), *sorted(folder.glob("weights/*.gate.json")),
              *sorted(folder.glob("*sweep*.json")), *beside]  # fmt: skip
    for path in places:
        found = _json(path)
        if "drop" in found and "trained" in found:
            gates[str(found.get("artifact", path.name))] = found
        elif isinstance(found.get("rows"), list):
            sweeps[path.name] = found
        elif path in beside:
            raise PathError(
                f"{path}: neither an export's gate (NAME.gate.json) nor a pruning sweep (prune --sweep --json FILE)"
            )
    return list(gates.items()), list(sweeps.items())


def _plots(folder: Path, names: Sequence[str]) -> Iterator[tuple[str, bytes]]:
    """The PNG files of these names that are there; a large one as a JPEG."""
    for name in names:
        path = folder / name
        if not path.is_file():
            continue
        with open_file(path) as stream:
            data = stream.read(_LARGEST)
        yield name, data if len(data) <= _LARGEST_PNG else _smaller(data, path)


def _smaller(data: bytes, path: Path) -> bytes:
    from PIL import Image

    picture = Image.fromarray(read_rgb(path, stream=io.BytesIO(data)))
    picture.thumbnail((_WIDEST, 4 * _WIDEST))
    made = io.BytesIO()
    picture.save(made, "JPEG", quality=82)
    return made.getvalue()


def spec_changes(text: str, task: str) -> tuple[list[tuple[str, str, str]], str]:
    """The fields of a spec that differ from their default or have none, as (path, value, default), and a note where
    the spec cannot be read."""
    try:
        model = specs.loads(text, find_spec(task))
    except TaoliteError as error:
        return [], f"The spec cannot be compared with its defaults: {str(error).splitlines()[-1].strip()}"
    return [(path, literal(value), "none" if default is None else literal(default)) for path, value, default in
            changed(model)], ""  # fmt: skip
