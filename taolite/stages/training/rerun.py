"""Repeat a run from its own manifest, and say whether the weights are the same, bit for bit.

Spec, classes, seed, images a step, number of threads and number format are those of the first run. On a processor, with
the same versions, the weights have to be identical; what differs here is told before the training.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from taolite.artifacts.bundle import read_bundle, weights_hash
from taolite.artifacts.keys import Key
from taolite.errors import TrainingError
from taolite.events import Listener, silent
from taolite.spec import loads
from taolite.stages.device import Precision
from taolite.stages.experiments.compare import facts_of, model_of
from taolite.stages.training.train import TrainOptions, TrainReport, train
from taolite.tasks.base import Experiment, Given, Resolve
from taolite.tasks.registry import find
from taolite.workspace.catalog import RunRecord, read_run
from taolite.workspace.manifest import hardware, versions
from taolite.workspace.run import RunIdentity

__all__ = ["Rerun", "differences_here", "rerun"]

_PRECISIONS: tuple[Precision, ...] = ("auto", "fp32", "bf16", "fp16")


@dataclass(frozen=True)
class Rerun:
    """What came of it. expected, found: `weights_hash` of the first run's model and of this one's; expected is "" where
    the first run has none that can be read. scores: name -> (then, now), 0..1."""

    report: TrainReport
    expected: str
    found: str
    scores: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def identical(self) -> bool:
        """Whether the weights are the same, bit for bit."""
        return self.expected == self.found


def differences_here(run: RunRecord) -> list[str]:
    """What is not as it was when `run` was trained, and can change its weights: one line each."""
    manifest = run.manifest
    then: dict[str, Any] = dict(facts_of(run))
    now = {**versions(), "processor": hardware()["processor"]}
    lines = [
        f"{name} was {then[name]} and is {value}" for name, value in now.items() if name in then and then[name] != value
    ]
    gpus = torch.cuda.is_available()
    if then.get("device") not in (None, "processor"):
        lines.append(f"it was trained on a GPU ({then['device']}), whose sums are not the same bits every time")
    elif gpus:
        lines.append("it was trained on a processor, and a GPU is used here; CUDA_VISIBLE_DEVICES= hides it")
    processes = _options(run).get("processes", 1)
    if processes != 1:
        lines.append(f"it was trained in {processes} processes, and is repeated in one: sums are rounded otherwise")
    if "options" not in manifest:
        lines.append("its manifest is of an older taolite and does not tell --precision: auto is taken")
    lengths = list(dict.fromkeys(line["max_epoch"] for line in run.status if isinstance(line.get("max_epoch"), int)))
    if len(lengths) > 1:
        lines.append(f"it was extended from {lengths[0]} to {lengths[-1]} epochs: its first epochs had other rates")
    return lines


def rerun(
    run: RunRecord, results: Path, *, key: Key, resolve: Resolve, workers: int = 2, listener: Listener = silent
) -> Rerun:
    """Train the same again, into the new folder `results`; the same call goes on with a rerun that was stopped.

    Args:
        key: seals the model, and opens the one that training starts from.
        resolve: maps the spec's paths to this machine's.
        workers: threads that prepare images; they do not change the weights.

    Raises TrainingError where `results` has another run, or data, start model or teacher are not those of the run; and
    as `train`.
    """
    if run.state == "running":
        raise TrainingError(f"{run.folder}: this run is still training; wait for its end, or stop it")
    mark = {"folder": str(run.folder), "weights_sha256": run.manifest.get("weights_sha256", "")}
    _refuse_other(results, run, mark)
    experiment = _experiment(run, resolve)

    def admit(identity: RunIdentity) -> Mapping[str, Any]:
        _refuse_changed(run, identity)
        return {"rerun_of": mark}

    with _threads(run):
        report = train(
            experiment,
            results,
            name=str(run.manifest.get("name") or "model"),
            key=key,
            options=_train_options(run, workers),
            listener=listener,
            admit=admit,
        )
    made = read_run(results)
    scores = {
        name: (float(value), float(made.scores[name]))
        for name, value in run.scores.items()
        if isinstance(value, (int, float)) and isinstance(made.scores.get(name), (int, float))
    }
    return Rerun(report, _expected(run, key), str(made.manifest["weights_sha256"]), scores)


def _refuse_other(results: Path, run: RunRecord, mark: Mapping[str, Any]) -> None:
    """Raises TrainingError unless the folder is new, or holds a rerun of this run that was stopped."""
    if not (results / "manifest.json").is_file():
        return
    if read_run(results).manifest.get("rerun_of") != mark:
        raise TrainingError(f"{results}: this folder has a run already; choose a new one (-r)")


def _experiment(run: RunRecord, resolve: Resolve) -> Experiment:
    """The run's experiment, from its resolved spec."""
    model = model_of(run.task)
    if model is None:
        raise TrainingError(f"{run.folder}: this version has no task {run.task or 'none'}; a newer one may")
    where = f"{run.folder / 'manifest.json'} (its spec)"
    spec = loads(run.spec, model, path=where)
    classes = run.run.get("classes") or None
    weights = str(run.manifest.get("start_model", ""))
    given = Given(command="train", weights=weights, skip_corrupt=bool(_options(run).get("skip_corrupt")))
    return find(run.task).read(spec, resolve=resolve, classes=classes, given=given, source=where).model


def _refuse_changed(run: RunRecord, identity: RunIdentity) -> None:
    """Raises TrainingError where data or start model are not those of the run."""
    problems = []
    for name, now, what in (
        ("data_hash", identity.data_hash, "the training data"),
        ("parent", identity.parent, "the model that it starts from"),
        ("teacher", identity.teacher, "the teacher"),
    ):
        then = str(run.run.get(name, ""))
        if then != now:
            problems.append(f"  {what} had the content hash {then[:12] or '(none)'} and has {now[:12] or '(none)'}")
    if problems:
        raise TrainingError(
            "\n".join(
                [
                    f"{run.folder}: this run cannot be repeated here",
                    *problems,
                    "  put back what was changed (experiment_spec.txt in that folder names the paths), or train a new "
                    "run with that spec",
                ]
            )
        )


def _train_options(run: RunRecord, workers: int) -> TrainOptions:
    options = _options(run)
    precision = options.get("precision", "auto")
    size = run.manifest.get("batch_size")
    return TrainOptions(
        use_amp=bool(options.get("use_amp")),
        precision=precision if precision in _PRECISIONS else "auto",
        deterministic=bool(options.get("deterministic")),
        skip_corrupt=bool(options.get("skip_corrupt")),
        workers=workers,
        global_batch_size=size if isinstance(size, int) else None,
    )


@contextmanager
def _threads(run: RunRecord) -> Iterator[None]:
    """torch computes with as many threads as the run did: they decide the order of its sums."""
    before, device = torch.get_num_threads(), run.manifest.get("device")
    wanted = device.get("threads") if isinstance(device, dict) else None
    if isinstance(wanted, int) and 1 <= wanted <= 1024:
        torch.set_num_threads(wanted)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _expected(run: RunRecord, key: Key) -> str:
    """The hash of the run's weights: as recorded or, of a run that was trained before it was, of its model's file."""
    recorded = run.manifest.get("weights_sha256")
    if isinstance(recorded, str) and recorded:
        return recorded
    return weights_hash(read_bundle(run.weights, key=key).tensors) if run.weights.is_file() else ""


def _options(run: RunRecord) -> Mapping[str, Any]:
    found = run.manifest.get("options")
    return found if isinstance(found, dict) else {}
