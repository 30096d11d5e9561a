"""`taolite experiment list|show|compare|lineage|rerun|gc|sweep`: what was run, from what, with what result, and again.

The files in the folders of the runs are the truth; nothing is kept beside them.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from taolite.cli.parsing import TaoParser, mount_flag

if TYPE_CHECKING:
    from taolite.stages.training.rerun import Rerun
    from taolite.workspace.catalog import RunRecord
    from taolite.workspace.lineage import Lineage

__all__ = ["configure", "verdict"]

_TASKS = ("detectnet", "classification", "ssd")
_STATES = ("running", "finished", "failed", "stopped")
_ROOT = "folder that holds runs, at any depth (default: the current folder)"


def configure(parser: TaoParser) -> None:
    """Add the commands of `taolite experiment`."""
    from taolite.cli.own import experiment_sweep

    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def add(name: str, run: Callable[[argparse.Namespace], int], line: str) -> TaoParser:
        command = commands.add_parser(name, help=line, description=f"{line[:1].upper()}{line[1:]}.")
        command.set_defaults(run=run)
        return command

    listed = add("list", _list, "the runs below a folder: state, score, and what each has that its neighbours have not")
    listed.add_argument("root", nargs="?", type=Path, default=Path(), metavar="ROOT", help=_ROOT)
    listed.add_argument("--task", choices=_TASKS, help="only runs of this task (default: all)")
    listed.add_argument("--state", choices=_STATES, help="only runs in this state (default: all)")
    orders = ("started", "name", "score")
    text = "order of the rows: started (oldest first), name, or score (best first) (default: started)"
    listed.add_argument("--sort", choices=orders, default="started", help=text)
    show = add("show", _show, "one run: data, start model, scores, models, and how to run it again")
    show.add_argument("folder", type=Path, metavar="RUN", help="folder of the run")
    compared = add("compare", _compare, "runs side by side: spec fields, data, versions, scores, time")
    compared.add_argument("folders", nargs="+", type=Path, metavar="RUN", help="folders of two runs or more")
    lineage = add("lineage", _lineage, "data set, run, pruned model, export, engine: what was made of what")
    text = "folder that holds runs (all of them), or a run, a model or an engine (what belongs to it)"
    lineage.add_argument("place", nargs="?", type=Path, default=Path(), metavar="ROOT|FILE", help=text)
    text = "where FILE's runs are looked for (default: the current folder)"
    lineage.add_argument("--root", type=Path, default=Path(), metavar="DIR", help=text)
    text = "also draw it, as .svg or .png"
    lineage.add_argument("-o", "--output", type=Path, metavar="FILE", help=text)
    again = add("rerun", _rerun, "train a run again from its manifest, and say whether the weights are identical")
    again.add_argument("folder", type=Path, metavar="RUN", help="folder of the run")
    text = "folder for the new run (default: RUN with -rerun at its end)"
    again.add_argument("-r", "--results_dir", type=Path, metavar="DIR", help=text)
    text = "key of the start model and of the new model: KEY, @FILE, or the variable TAOLITE_KEY"
    again.add_argument("-k", "--key", metavar="KEY", help=text)
    again.add_argument("--workers", type=int, default=2, metavar="N", help="threads that prepare images (default: 2)")
    gc = add("gc", _gc, "what can be deleted: checkpoints of finished runs, partial files, failed runs without a model")
    gc.add_argument("root", type=Path, metavar="ROOT", help="folder that holds runs, at any depth")
    gc.add_argument("--yes", action="store_true", help="delete what is listed (default: only list it)")
    for command in (listed, show, compared, lineage, again, gc):
        mount_flag(command.add_argument)
        command.add_argument("--json", action="store_true", help="print JSON")
    experiment_sweep.configure(add("sweep", experiment_sweep.run, experiment_sweep.LINE))


def _runs(root: Path) -> list[RunRecord]:
    """The runs below a folder; a run whose files cannot be read is named in a warning, and left out."""
    from taolite.workspace.catalog import find_runs

    return find_runs(root, damaged=lambda error: print(f"warning: {error}", file=sys.stderr))


def _list(options: argparse.Namespace) -> int:
    from taolite.cli.own.experiment_text import list_lines
    from taolite.stages.experiments.listing import rows_of, to_json

    root = _resolved(options, options.root)
    rows = rows_of(_runs(root), root, task=options.task, state=options.state, order=options.sort)
    if options.json:
        print(json.dumps([to_json(row) for row in rows], ensure_ascii=False, indent=2))
    elif rows:
        print("\n".join(list_lines(rows)))
    else:
        print(f"{root}: no such run", file=sys.stderr)
    return 0


def _show(options: argparse.Namespace) -> int:
    from taolite.cli.own.experiment_text import columns, lineage_lines, score
    from taolite.errors import printable
    from taolite.stages.experiments.compare import facts_of, scores_of, seconds_of
    from taolite.workspace.catalog import read_run
    from taolite.workspace.lineage import lineage_of, links_of
    from taolite.workspace.sidecars import EngineFiles

    run = read_run(_resolved(options, options.folder))
    lineage = lineage_of([links_of(run)], run.folder, EngineFiles(run.folder).found())
    if options.json:
        found = {
            "folder": str(run.folder),
            "state": run.state,
            "epoch": run.epoch[0],
            "epochs": run.epoch[1],
            "scores": {f"{metric} {name}".strip(): value for (metric, name), value in scores_of(run).items()},
            "seconds": seconds_of(run),
            "facts": facts_of(run),
            "lineage": lineage.to_json(),
        }
        print(json.dumps(found, ensure_ascii=False, indent=2))
        return 0
    epoch, epochs = run.epoch
    place = printable(str(run.folder))
    print(f"{place}: {run.state}, epoch {epoch} of {epochs}")
    scores = [(score(value, f"{metric} {name}".strip()),) for (metric, name), value in scores_of(run).items()]
    print("\n".join(columns(scores, indent="  ")))
    print("\n".join(columns([(name, str(value)) for name, value in facts_of(run).items()], indent="  ")))
    print("\n".join(lineage_lines(lineage)))
    print(f"spec: {place}/experiment_spec.txt\nagain: taolite experiment rerun {place} -k KEY")
    return 0


def _compare(options: argparse.Namespace) -> int:
    from taolite.cli.own.experiment_text import compare_lines
    from taolite.errors import UsageError
    from taolite.stages.experiments.compare import compare
    from taolite.workspace.catalog import read_run

    if not 2 <= len(options.folders) <= 26:
        raise UsageError(f"compare needs 2 to 26 runs; found {len(options.folders)}: name the folder of each")
    found = compare([read_run(_resolved(options, folder)) for folder in options.folders])
    print(
        json.dumps(found.to_json(), ensure_ascii=False, indent=2) if options.json else "\n".join(compare_lines(found))
    )
    return 0


def _lineage(options: argparse.Namespace) -> int:
    from taolite.cli.own.experiment_text import lineage_lines, node_text
    from taolite.report.lineage import draw_lineage
    from taolite.workspace.lineage import lineage_of, links_of
    from taolite.workspace.sidecars import EngineFiles

    place, root = _resolved(options, options.place), _resolved(options, options.root)
    is_whole = place.is_dir() and not (place / "manifest.json").is_file()
    if is_whole:
        root = place
    found = lineage_of([links_of(run) for run in _runs(root)], root, EngineFiles(root).found())
    if not is_whole:
        found = _about(found, place, root)
    if options.output:
        draw_lineage(found, options.output, text=node_text)
    if options.json:
        print(json.dumps(found.to_json(), ensure_ascii=False, indent=2))
    else:
        print("\n".join(lineage_lines(found)) or "no runs here")
    if options.output:
        print(f"drawn: {options.output}", file=sys.stderr)
    return 0


def _about(lineage: Lineage, place: Path, root: Path) -> Lineage:
    """The part of the lineage that the file or run `place` belongs to. Raises PathError where it is none of it."""
    import os

    from taolite.artifacts.container import artifact_hash
    from taolite.errors import PathError

    path = os.path.abspath(place)  # noqa: PTH100  (as the catalogue has it: links stay)
    keys = [node.key for node in lineage.nodes if node.kind != "data" and node.path == path]
    if not keys and place.is_file():
        digest = artifact_hash(place)
        keys = [node.key for node in lineage.nodes if node.hash == digest]
        keys = keys or [
            node.key for node in lineage.nodes if node.kind == "run" and path.startswith(f"{node.path}{os.sep}")
        ]
    if not keys:
        raise PathError(f"{place}: no run below {root} made this; name the folder of its runs with --root")
    return lineage.about(keys)


def _rerun(options: argparse.Namespace) -> int:
    from taolite.cli.keys import sealing_key
    from taolite.cli.progress import Terminal
    from taolite.stages.training.rerun import differences_here, rerun
    from taolite.workspace.catalog import read_run
    from taolite.workspace.mounts import Mounts

    mounts = Mounts.load(options.mount)
    run = read_run(mounts.resolve(options.folder))
    results = mounts.resolve(options.results_dir or run.folder.with_name(f"{run.folder.name}-rerun"))
    lines = differences_here(run)
    print("\n".join(f"differs here: {line}" for line in lines) or "versions and processor are those of the run",
          file=sys.stderr)  # fmt: skip
    key = sealing_key(options.key)
    with Terminal() as show:
        made = rerun(run, results, key=key, resolve=mounts.resolve, workers=options.workers, listener=show)
    if options.json:
        found = {"folder": str(results), "identical": made.identical, "expected": made.expected, "found": made.found,
                 "scores": {name: list(pair) for name, pair in made.scores.items()}, "differs_here": lines}  # fmt: skip
        print(json.dumps(found, ensure_ascii=False, indent=2))
    else:
        print(verdict(made, results, run.metric))
    return 0 if made.identical else 1


def verdict(made: Rerun, results: Path, metric: str) -> str:
    """Whether the rerun came to the same."""
    from taolite.cli.own.experiment_text import score

    if made.identical:
        return f"identical: the weights are the same, bit for bit ({made.found[:12]}); {results}"
    if metric in made.scores:
        then, now = (score(value, metric) for value in made.scores[metric])
        scores = f"; {then} then, {now} now"
    else:
        scores = ""
    if not made.expected:
        return f"cannot be told: the run has no hash of its weights, and its model is gone{scores}; {results}"
    return (
        f"not identical: the weights were {made.expected[:12]} and are {made.found[:12]}{scores}; {results}\n"
        "the hash of the data covers names, sizes and labels of the pictures, not their pixels"
    )


def _gc(options: argparse.Namespace) -> int:
    from taolite.cli.own.experiment_text import garbage_lines, megabytes
    from taolite.stages.experiments.cleanup import delete, find_garbage

    root = _resolved(options, options.root)
    found = find_garbage(_runs(root), root)
    if options.json:
        rows = [{"reason": one.reason, "place": str(one.place), "files": [str(path) for path in one.files],
                 "bytes": one.size, "can_resume": one.can_resume} for one in found]  # fmt: skip
        print(json.dumps(rows, ensure_ascii=False, indent=2))
    elif not found:
        print(f"{root}: nothing to delete")
    else:
        print("\n".join(garbage_lines(found)))
    if found and options.yes:
        kept = [one for one in found if one.can_resume and one.place != root]
        going = [one for one in found if one not in kept]
        for one in going:
            delete(one)
        print(f"deleted: {megabytes(sum(one.size for one in going))}", file=sys.stderr)
        for one in kept:
            print(
                f"kept: {one.place}, because the same command goes on with it; to delete it, name it: "
                f"taolite experiment gc {shlex.quote(str(one.place))} --yes",
                file=sys.stderr,
            )
    elif found and not options.json:
        if any(one.reason == "checkpoints of a finished run" for one in found):
            print("without its checkpoints a finished run cannot be extended: the same command trains it anew")
        print("nothing was deleted; --yes deletes these files")
    return 0


def _resolved(options: argparse.Namespace, path: Path) -> Path:
    from taolite.workspace.mounts import Mounts

    return Mounts.load(options.mount).resolve(path)
