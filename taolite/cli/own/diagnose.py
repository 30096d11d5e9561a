"""`taolite diagnose RUN` and `taolite diagnose -e SPEC [-m MODEL]`: why a score is low, the likeliest cause first."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from taolite.cli.causes import sentence
from taolite.cli.keys import opening_key
from taolite.cli.parsing import mount_flag
from taolite.cli.values import count
from taolite.errors import UsageError
from taolite.wording import counted

if TYPE_CHECKING:
    from taolite.diagnosis import Cause
    from taolite.stages.diagnose.overfit import Overfit
    from taolite.tasks.base import Experiment
    from taolite.workspace.mounts import Mounts

__all__ = ["configure"]

_STEPS = 100


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `taolite diagnose`."""
    add = parser.add_argument
    add("run_folder", nargs="?", metavar="RUN", help="results folder of a training")
    add("-e", "--experiment_spec", metavar="SPEC", help="training spec, where there is no RUN")
    add("-m", "--model", metavar="MODEL", help="model to score on the validation images of SPEC first")
    add("-k", "--key", metavar="KEY", help="key of sealed models: KEY, @FILE, or the variable TAOLITE_KEY")
    text = f"also train on one batch for N steps (default: {_STEPS}) on the processor, to see whether it is learned"
    add("--overfit", nargs="?", type=count(1), const=_STEPS, metavar="N", help=text)
    text = "end that training after about S seconds (default: 300)"
    add("--seconds", type=count(1), default=300, metavar="S", help=text)
    add("--json", action="store_true", help="print one JSON object")
    mount_flag(add)
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from taolite.cli.progress import Terminal
    from taolite.workspace.mounts import Mounts

    if (options.run_folder is None) == (options.experiment_spec is None):
        raise UsageError(
            "taolite diagnose: name RUN, the results folder of a training, or a training spec with -e SPEC"
        )
    if options.model and options.run_folder:
        raise UsageError("-m MODEL needs the spec that it is scored with: give -e SPEC instead of RUN")
    mounts = Mounts.load(options.mount)
    with Terminal() as show:
        facts, causes, experiment = (_of_run if options.run_folder else _of_spec)(options, mounts)
        learned = None
        if options.overfit:
            from taolite.stages.diagnose.overfit import overfit

            key = opening_key(options.key)
            learned = overfit(experiment, key=key, steps=options.overfit, seconds=options.seconds, listener=show)
    if options.json:
        print(_json(facts, causes, learned))
    else:
        print("\n".join([*_lines(facts, causes), *([_learned(learned)] if learned else [])]))
    return 0


def _of_run(options: argparse.Namespace, mounts: Mounts) -> tuple[dict[str, Any], list[Cause], Experiment]:
    from taolite.stages.diagnose.recorded import diagnose_run

    recorded = diagnose_run(mounts.resolve(options.run_folder), resolve=mounts.resolve)
    run = recorded.run
    facts = {"what": str(run.folder), "state": run.state, "metric": run.metric, "score": run.score}
    return facts | {"answers": recorded.answers}, list(recorded.causes), recorded.experiment


def _of_spec(options: argparse.Namespace, mounts: Mounts) -> tuple[dict[str, Any], list[Cause], Experiment]:
    from taolite import spec as specs
    from taolite.stages.diagnose.diagnose import diagnose
    from taolite.tasks.registry import TASKS, find

    path = mounts.resolve(options.experiment_spec)
    kind = specs.identify(path)
    if kind.name.lower() not in [row.name for row in TASKS]:
        raise UsageError(f"{path}: this {kind.value} spec is not one of a training; give a training spec")
    task = find(kind.name.lower())
    if not options.model:
        experiment = task.read(path, resolve=mounts.resolve).model
        facts: dict[str, Any] = {
            "what": str(path),
            "state": "",
            "metric": task.metric.short,
            "score": None,
            "answers": False,
        }
        return facts, diagnose(experiment, answers={}, score=None), experiment
    from taolite.stages.evaluate import evaluate
    from taolite.stages.inference.models import open_model

    model = mounts.resolve(options.model)
    with open_model(model, key=opening_key(options.key), of=task.name) as opened:
        experiment = task.read(path, resolve=mounts.resolve, classes=opened.classes).model
        evaluation = evaluate(experiment, opened, split="val")
    card = evaluation.card
    causes = diagnose(
        experiment, answers=evaluation.answers, score=card.main.value, confusion=card.confusion, trained=False
    )
    facts = {"what": str(model), "state": "", "metric": card.main.words.short, "score": card.main.value}
    return facts | {"answers": bool(evaluation.answers)}, causes, experiment


def _lines(facts: Mapping[str, Any], causes: list[Cause]) -> list[str]:
    """The score, then the causes, one a line, numbered."""
    score = "not known" if facts["score"] is None else f"{100 * facts['score']:.2f} %"
    said = [
        f"{facts['what']}: {facts['metric'] or 'score'} {score}" + (f", {facts['state']}" if facts["state"] else "")
    ]
    if not causes:
        said.append("no cause of a low score was found")
    else:
        said.append(f"{counted(len(causes), 'possible cause')}, the likeliest first:")
    said += [f"{number}. {sentence(cause)}" for number, cause in enumerate(causes, 1)]
    if not facts["answers"]:
        said.append("not looked at: thresholds, because no scores of the network are recorded; -e SPEC -m MODEL does")
    return said


def _learned(found: Overfit) -> str:
    """The result of learning one batch by heart."""
    steps = counted(found.steps, "step") + ("" if found.in_time else ", when the time was up")
    told = (
        f"one batch ({counted(found.pictures, 'picture')}, {counted(found.objects, 'object')}): the cost went from "
        f"{found.first:.4g} to {found.last:.4g} in {steps}, at a learning rate of {found.rate:g}"
    )
    if found.found is not None:
        told += f"; {100 * found.found:.0f} % of its objects are found"
    told += f" ({found.metric} {100 * found.score:.0f} %). "
    if found.learned:
        return told + "Labels, network and scoring work together: what is missing is training, or pictures"
    if found.falls:
        return (
            told + "The cost falls and the objects are not found: look at the thresholds, or give --overfit more steps"
        )
    return told + "Not even one batch is learned: look at the learning rate, the labels and the weights it begins with"


def _json(facts: Mapping[str, Any], causes: list[Cause], learned: Overfit | None) -> str:
    from dataclasses import asdict

    from taolite.workspace.status import finite

    rows = [{**asdict(cause), "blocks": cause.blocks, "text": sentence(cause)} for cause in causes]
    made = {**facts, "causes": rows, "overfit": None}
    if learned is not None:
        made["overfit"] = {**asdict(learned), "falls": learned.falls, "learned": learned.learned}
    return json.dumps(finite(made), ensure_ascii=False, indent=2)
