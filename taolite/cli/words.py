"""Events of a stage as sentences: TAO's where TAO has them, plain ones elsewhere. Other dialects replace some."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import ROUND_CEILING, Context
from typing import Any, NamedTuple

from taolite import events
from taolite.cli.causes import sentence
from taolite.wording import counted

__all__ = ["Line", "lines", "looked", "pth"]


class Line(NamedTuple):
    """One line for the user; a warning needs the user's attention."""

    text: str
    warns: bool = False


def lines(event: events.Event) -> list[Line]:
    """The lines for `event`; none for events that only update a bar, a curve or a log."""
    say = _WORDS.get(type(event))
    return say(event) if say is not None else []


def looked(pictures: int, found: Mapping[str, int], runs_on: str, seconds: float) -> str:
    """The result of an inference; `seconds`: time for one picture.

    >>> looked(1, {"cat": 2, "dog": 0}, "torch", 0.0191)
    '1 picture: cat 2, dog 0 (torch, 19.1 ms a picture)'
    """
    counts = ", ".join(f"{name} {count}" for name, count in found.items())
    return f"{counted(pictures, 'picture')}: {counts} ({runs_on}, {1000 * seconds:.1f} ms a picture)"


def pth(threshold: float) -> str:
    """A pruning threshold with 7 digits, rounded up: the channel whose value it is stays below it, so that the printed
    `-pth` removes what the exact one does.

    >>> pth(0.12345671), pth(0.5), pth(0.0)
    ('0.1234568', '0.5', '0')
    """
    text = f"{threshold:.7g}"
    if float(text) >= threshold:
        return text
    return f"{float(Context(prec=7, rounding=ROUND_CEILING).create_decimal_from_float(threshold)):.7g}"


def _data_found(event: events.DataFound) -> list[Line]:
    said = []
    if event.training % event.batch_size:
        said.append(
            Line(
                f"Cannot iterate over exactly {event.training} samples with a batch size of {event.batch_size}; "
                "each epoch will therefore take one extra step."
            )
        )
    return [
        *said,
        Line(f"Found {event.training} samples in training set"),
        Line(f"Found {event.validation} samples in validation set"),
    ]


def _intervals(event: events.Intervals) -> list[Line]:
    said = [
        Line(f"Checkpoint interval: {event.checkpoint_epochs}"),
        Line(f"Scalars logged at every {event.scalar_steps} steps"),
    ]
    if event.picture_steps is not None:
        said.append(Line(f"Images logged at every {event.picture_steps} steps"))
    return said


def _labels_left_out(event: events.LabelsLeftOut) -> list[Line]:
    listed = ", ".join(f"{name} ({count})" for name, count in sorted(event.counts.items()))
    return [Line(f"{_of(event.source)}labels that target_class_mapping does not map are left out: {listed}", True)]


def _classes_missing(event: events.ClassesMissing) -> list[Line]:
    names = ", ".join(event.names)
    return [Line(f"{_of(event.source)}no training image has a label of {names}, which cannot be learned", True)]


def _of(spec: str) -> str:
    """The name of a spec as the start of a message; "" for settings given by flags."""
    from taolite.tasks.base import FLAGS

    return "" if spec == FLAGS else f"{spec}: "


def _diagnosed(event: events.Diagnosed) -> list[Line]:
    if not event.causes:
        return [Line(f"{event.metric} is 0 and no usual cause was found; try `taolite diagnose --overfit`", True)]
    said = [Line(f"{event.metric} is 0, most likely because {sentence(event.causes[0])}", True)]
    if (more := len(event.causes) - 1) and event.folder is not None:
        causes = counted(more, "other possible cause")
        said.append(Line(f"{causes}: `taolite diagnose {event.folder}` lists {'it' if more == 1 else 'them'}", True))
    return said


def _computing(event: events.Computing) -> list[Line]:
    if event.gpu is not None:
        return [Line(f"computing on GPU {event.gpu}: {event.name}, {event.dtype}")]
    threads = counted(event.threads, "thread")
    return [Line(f"no GPU here: computing on the processor, {threads}, {event.dtype}")]


def _batch_shared(event: events.BatchShared) -> list[Line]:
    over = "" if event.processes == 1 else f" over {event.processes} processes"
    return [Line(f"{event.images} images a step{over}; batch_size_per_gpu is {event.asked}")]


def _went_on(event: events.WentOn) -> list[Line]:
    where = f"epoch {event.epoch} of {event.epochs}" + (f", step {event.step} of the next" if event.step else "")
    said = [Line(f"{event.checkpoint}: this folder holds this run already; going on after {where}")]
    if event.complete:
        said.append(Line("the run is complete: only the final model is written again"))
    return said


def _cost_stuck(event: events.CostStuck) -> list[Line]:
    waited = counted(event.waited, "epoch")
    said = f"epoch {event.epoch}: the {event.part} cost has not been below {event.least:.6f} for {waited}"
    if event.again:
        said += " after annealing"
    if event.then == "stop":
        return [Line(f"{said}: training stops here")]
    return [Line(f"{said}: the learning rate goes down over {counted(event.annealing, 'epoch')} from here")]


def _layers_floored(event: events.LayersFloored) -> list[Line]:
    return [
        Line(
            f"{event.count} of {event.total} layers are cut to the minimum of {event.least} filters, "
            "and such a network seldom learns its way back; a greater -nf spreads the cut",
            True,
        )
    ]


def _prune_stepped(event: events.PruneStepped) -> list[Line]:
    return [
        Line(
            f"step {event.number}: {100 * event.share:.1f} % of the parameters ({event.parameters:,}), "
            f"{event.macs / 1e9:.2f} GMACs, {event.metric} {100 * event.score:.2f} %, "
            f"{event.dropped:.2f} points below the unpruned model (-pth {pth(event.threshold)})"
        )
    ]


def _ranges_used(event: events.RangesUsed) -> list[Line]:
    said = []
    if event.missing:
        names = ", ".join(event.missing[:3]) + (" ..." if len(event.missing) > 3 else "")
        said.append(Line(f"{event.cache}: no range for {names}; the layers that read them stay float", True))
    return [*said, Line(f"{event.cache}: its ranges are used, no image is looked at")]


def _builds_without_gpu(event: events.BuildsWithoutGpu) -> list[Line]:
    if event.for_processor:
        place, instead = "this processor", "--compute-capability builds for a card elsewhere"
    else:
        place = "NVIDIA cards of other PCs"
        instead = "--backend openvino builds for this processor, and a Jetson builds its own from the exported model"
    return [Line(f"no NVIDIA GPU is here: the engine is for {place} ({event.backend}); {instead}", True)]


def _cache_unused(event: events.CacheUnused) -> list[Line]:
    reason = "the model is quantised already" if event.quantised else "it is for int8 only"
    return [Line(f"the calibration cache {event.cache} is not used: {reason}", True)]


def _engine_replaced(event: events.EngineReplaced) -> list[Line]:
    reason = f"--runtime {event.runtime}" if event.runtime else "no NVIDIA GPU is here"
    instead = f"{event.engine} is not used" if event.engine else "no TensorRT engine is built"
    return [Line(f"{reason}: {instead}, {event.source} itself runs on the processor", True)]


def _frames_dropped(event: events.FramesDropped) -> list[Line]:
    so_far = "" if event.at_end else " so far"
    total = counted(event.frames, "frame")
    return [Line(f"{event.place}: slower than the pipeline; {event.dropped} of {total} dropped{so_far}", True)]


def _stream_described(event: events.StreamDescribed) -> list[Line]:
    head = Line(f"{event.place}: to receive it, save these lines as stream.sdp there, and open that file in a player")
    return [head, *map(Line, event.description.splitlines())]


def _frames_unreadable(event: events.FramesUnreadable) -> list[Line]:
    read = f"{counted(event.read, 'frame')} {'was' if event.read == 1 else 'were'} read"
    return [Line(f"{event.place}: skipped {counted(event.count, 'frame')} that could not be decoded; {read}", True)]


def _engine_needed(event: events.EngineNeeded) -> list[Line]:
    kept = "the one that was kept"
    because = {
        "new": "",
        "asked": " again, as asked",
        "model": " again: the model has changed",
        "version": f" again: {kept} was built by {event.was}, and {event.now} is installed",
        "device": f" again: {kept} was built for {event.was or 'another device'}, and this is {event.now}",
        "damaged": f" again: {kept} is damaged",
    }
    return [Line(f"{event.model}: building an engine with {event.runtime}{because[event.why]}")]


def _engine_unkept(event: events.EngineUnkept) -> list[Line]:
    reason = event.reason or (
        "the model is sealed, and an engine holds its weights unencrypted; `taolite convert` writes one that stays"
    )
    return [Line(f"{event.model}: its engine is not kept and is built again next time: {reason}", True)]


_KEY_FILE_ODD = {
    "bom": "begins with a byte order mark, which is not part of the key here; other programs may count it",
    "crlf": "ends with a Windows line break, which is not part of the key here; other programs may count its CR",
    "lines": "has several lines, and all of them are the key; other programs may take the first line alone",
    "spaces": "the key begins or ends with a space, which is part of the key",
}

_WORDS: dict[type, Callable[[Any], list[Line]]] = {
    events.Notice: lambda e: [Line(e.text, e.level == "warning")],
    events.DataFound: _data_found,
    events.Intervals: _intervals,
    events.LabelsLeftOut: _labels_left_out,
    events.ClassesMissing: _classes_missing,
    events.Computing: _computing,
    events.Diagnosed: _diagnosed,
    events.BatchShared: _batch_shared,
    events.SeedBegun: lambda e: [Line(f"seed {e.seed} (run {e.number} of {e.count}): {e.folder}")],
    events.WentOn: _went_on,
    events.BegunAnew: lambda e: [Line(f"{e.folder}: this run left no state to go on from; it begins anew", True)],
    events.CheckpointDamaged: lambda e: [Line(f"{e.reason}; going on from the checkpoint before it", True)],
    events.Taught: lambda e: [
        Line(
            f"{e.teacher}: teaches this training ({e.parameters:,} parameters; weight {e.weight:g}, "
            f"temperature {e.temperature:g})"
        )
    ],
    events.BatchNormsMeasured: lambda e: [
        Line(f"the model was pruned: batch norms that keep their statistics were measured anew on {e.images} images")
    ],
    events.ModelKept: lambda e: [Line(f"Saving checkpoints for step-{e.step}.")],
    events.CostStuck: _cost_stuck,
    events.Exploring: lambda e: [Line("Exploring graph for retainable indices")],
    events.LayersFloored: _layers_floored,
    events.Cutting: lambda e: [Line("Pruning model and appending pruned nodes to new graph")],
    events.PruneStepped: _prune_stepped,
    events.Exporting: lambda e: [Line(f"Saving exported model to {e.path}")],
    events.GateSkipped: lambda e: [Line(f"the export is not scored beside the trained model: {e.why}")],
    events.LayerToFloat: lambda e: [
        Line(f"int8 with {e.layer} in float: the drop is {e.drop:.2f} points, {e.allowed:g} allowed")
    ],
    events.Calibrating: lambda e: [Line(f"calibrating ({e.method}) with {counted(e.images, 'image')}: {e.source}")],
    events.RangesUsed: _ranges_used,
    events.TensorfileWritten: lambda e: [
        Line(f"wrote {e.path} ({counted(e.batches, 'batch', 'batches')} of {e.batch_size})")
    ],
    events.BuildsWithoutGpu: _builds_without_gpu,
    events.ClassesUnnamed: lambda e: [
        Line(f"{e.model}: an ONNX of {e.origin} names no classes; run the engine with a spec (-e) that does", True)
    ],
    events.BuilderWarned: lambda e: [Line(f"{e.backend} {e.version}: {e.text}", True)],
    events.CacheUnused: _cache_unused,
    events.Downloading: lambda e: [Line(f"downloading {e.url} to {e.path}")],
    events.EngineReplaced: _engine_replaced,
    events.ExportOlder: lambda e: [
        Line(f"{e.export} is older than {e.newer} beside it; if it was made from that model, export it again", True)
    ],
    events.FramesDropped: _frames_dropped,
    events.StreamDescribed: _stream_described,
    events.EngineNeeded: _engine_needed,
    events.EngineReused: lambda e: [Line(f"{e.model}: using the engine {e.path}")],
    events.EngineUnkept: _engine_unkept,
    events.EngineBuilt: lambda e: [Line(f"built {e.path}" if e.path else "built an engine for this run alone")],
    events.KeyFileOpen: lambda e: [
        Line(f"{e.path}: other users can read this key file (mode {e.mode:03o}); run: chmod 600 {e.path}", True)
    ],
    events.KeyFileOdd: lambda e: [Line(f"{e.path}: {_KEY_FILE_ODD[e.what]}", True)],
    events.SourceLost: lambda e: [
        Line(f"{e.place}: lost ({e.reason}); reconnecting for up to {e.patience_s:g} s", True)
    ],
    events.SourceBack: lambda e: [Line(f"{e.place}: reconnected after {e.after_s:.1f} s")],
    events.FramesUnreadable: _frames_unreadable,
}
