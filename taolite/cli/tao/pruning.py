"""`prune` of all networks: to a threshold, to a target, within a price, or a sweep that only measures."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from taolite.cli.render import table
from taolite.cli.tao.lifecycle import mounts_of, sealing_key, status_of, told
from taolite.cli.words import pth
from taolite.errors import UsageError
from taolite.wording import counted

if TYPE_CHECKING:
    from taolite.events import Listener
    from taolite.report.sweep import Sweep, SweepRow
    from taolite.stages.prune import PruneReport, PruneSettings
    from taolite.stages.pruning.within import Within
    from taolite.tasks.base import Experiment
    from taolite.workspace.mounts import Mounts

__all__ = ["run_prune", "sweep_block", "target_line", "within_block"]


def run_prune(options: argparse.Namespace) -> int:
    """Prune to a threshold or a target, or within a price, or sweep over thresholds."""
    _refuse_pointless(options)
    if options.sweep is not None:
        return _run_sweep(options)
    if options.max_drop is not None:
        return _run_within(options)
    from taolite.cli.progress import Terminal
    from taolite.stages.prune import prune
    from taolite.stages.trained import open_trained

    mounts, settings = mounts_of(options), _prune_settings(options)
    key, output = sealing_key(options), mounts.resolve(options.output_file)
    with Terminal(verbose=options.verbose) as show, status_of(options, mounts, "pruning"):
        model = open_trained(mounts.resolve(options.model), key=key, of=options.network.task)
        experiment = _data_of(options, mounts, model.classes, show)
        report = prune(model, output, key=key, settings=settings, experiment=experiment, listener=show)
    before, after = report.parameters_before, report.parameters_after
    if report.reading is not None:
        print(target_line(report, settings))
    print(f"Pruning ratio (pruned model / original model): {report.plan.ratio:.7f}")
    print(f"{before:,} -> {after:,} parameters; {report.output} ({report.megabytes:.2f} MB)")
    if after == before:
        print("no channel was below the threshold: raise -pth, or give --target 0.3", file=sys.stderr)
    return 0


def _prune_settings(options: argparse.Namespace) -> PruneSettings:
    from taolite.stages.prune import PruneSettings

    return PruneSettings(
        threshold=options.pruning_threshold,
        normalizer=options.normalizer,
        equalization=options.equalization_criterion,
        granularity=options.pruning_granularity,
        min_filters=options.min_num_filters,
        excluded=tuple(options.excluded_layers),
        target=options.target,
        target_params=None if options.target_params is None else int(options.target_params),
        target_macs=options.target_macs,
        target_latency_ms=options.target_latency,
        importance=options.importance,
    )


def _refuse_pointless(options: argparse.Namespace) -> None:
    """Raises UsageError for flags of `prune` that would change nothing beside the others."""
    if options.max_drop is not None and options.experiment_spec is None:
        raise UsageError("--max-drop needs a score: give the spec with its validation images (-e SPEC)")
    if options.sweep is not None and options.max_drop is not None:
        raise UsageError("--sweep writes no model and --max-drop does; give one of the two")
    if options.sweep is None:
        given = [
            flag
            for flag, value in (
                ("--latency", options.latency),
                ("--sensitivity", options.sensitivity),
                ("--json", options.sweep_json),
            )
            if value
        ]
        if given:
            raise UsageError(f"{given[0]} belongs to --sweep; add --sweep, or leave it out")
        if options.finetune and options.max_drop is None:
            raise UsageError("--finetune belongs to --sweep and to --max-drop; to retrain a pruned model, use train")


def _data_of(
    options: argparse.Namespace, mounts: Mounts, classes: tuple[str, ...], show: Listener
) -> Experiment | None:
    """The experiment of -e with its data, where one is given."""
    if options.experiment_spec is None:
        return None
    from taolite.tasks.base import Given
    from taolite.tasks.registry import find

    path = mounts.resolve(options.experiment_spec)
    given = Given(command="train")
    reading = find(options.network.task).read(path, resolve=mounts.resolve, classes=classes, given=given)
    return told(reading, path, show)


def _run_sweep(options: argparse.Namespace) -> int:
    from taolite.cli.progress import Terminal
    from taolite.files import write_text
    from taolite.stages.pruning.sweep import SweepOptions, sweep
    from taolite.stages.trained import open_trained

    mounts = mounts_of(options)
    output, target = mounts.resolve(options.output_file), _prune_settings(options)
    asked = SweepOptions(options.sweep, options.sweep_images, options.latency, options.finetune, options.sensitivity)
    with Terminal(verbose=options.verbose) as show, status_of(options, mounts, "pruning sweep"):
        model = open_trained(mounts.resolve(options.model), key=sealing_key(options), of=options.network.task)
        experiment = _data_of(options, mounts, model.classes, show)
        found = sweep(
            model, output.parent / "sweep.png", settings=target, options=asked, experiment=experiment, listener=show
        )
    print(sweep_block(found))
    if options.sweep_json:
        path = mounts.resolve(options.sweep_json)
        write_text(path, json.dumps(found.to_json(), indent=2) + "\n")
        print(f"JSON: {path}")
    return 0


def _run_within(options: argparse.Namespace) -> int:
    from taolite.cli.progress import Terminal
    from taolite.stages.pruning.within import prune_within
    from taolite.stages.trained import open_trained

    mounts, settings = mounts_of(options), _prune_settings(options)
    key, output = sealing_key(options), mounts.resolve(options.output_file)
    with Terminal(verbose=options.verbose) as show, status_of(options, mounts, "pruning"):
        model = open_trained(mounts.resolve(options.model), key=key, of=options.network.task)
        experiment = _data_of(options, mounts, model.classes, show)
        assert experiment is not None, "_refuse_pointless checks it"
        report = prune_within(
            model,
            output,
            key=key,
            settings=settings,
            experiment=experiment,
            max_drop=options.max_drop,
            epochs=options.finetune,
            images=options.sweep_images,
            listener=show,
        )
    print(within_block(report, options.max_drop))
    return 0


def target_line(report: PruneReport, settings: PruneSettings) -> str:
    """The threshold that meets the target, and what it gives."""
    assert report.reading is not None, "called where there is a target"
    value = report.reading
    if settings.target is not None:
        said = f"keeps at most {settings.target:.3g} of the parameters"
    elif settings.target_params is not None:
        said = f"keeps {value:,.0f} parameters (at most {settings.target_params:,})"
    elif settings.target_macs is not None:
        share = 100 * report.macs_after / report.macs_before
        said = f"leaves {value / 1e9:.3g} GMACs an image ({share:.1f} % of {report.macs_before / 1e9:.3g})"
    else:
        said = f"takes {value:.2f} ms an image in ONNX Runtime on this machine (at most {settings.target_latency_ms:g})"
    other = "" if settings.importance == "tao" else f"; of --importance {settings.importance}, which TAO does not have"
    return f"-pth {pth(report.threshold)} {said}{other}"


def sweep_block(sweep: Sweep) -> str:
    """The table of a sweep, one row a threshold; the sensitivity of each group; and what was not measured."""
    metric, first = sweep.metric.short, max(sweep.rows, key=lambda row: row.parameters)
    columns: dict[str, Callable[[SweepRow], str | None]] = {
        "-pth": lambda row: pth(row.threshold),
        "parameters": lambda row: f"{row.parameters:,}",
        "%": lambda row: f"{100 * row.share:.1f}",
        "GMACs": lambda row: f"{row.macs / 1e9:.3f}",
        "% ": lambda row: f"{100 * row.macs / first.macs:.1f}",
        "ONNX, MB": lambda row: f"{row.onnx_bytes / 1e6:.2f}",
        "ms": lambda row: None if row.latency_ms is None else f"{row.latency_ms:.2f}",
        f"{metric} as is": lambda row: _percent(row.score),
        "norms measured": lambda row: _percent(row.settled),
        "fine-tuned": lambda row: _percent(row.finetuned),
    }
    shown = {name: cell for name, cell in columns.items() if cell(first) is not None}
    lines = [table(tuple(shown), [tuple(str(cell(row)) for cell in shown.values()) for row in sweep.rows])]
    if sweep.whole is None:
        lines.append("no scores: give the spec with its validation images (-e SPEC)")
    else:
        images = counted(sweep.images, "validation image")
        lines.append(f"{metric} in percent on {images}; the unpruned model: {100 * sweep.whole:.2f}")
    if sweep.sensitivity:
        rows = [(_some(one.layers), str(one.channels), str(_percent(one.score))) for one in sweep.sensitivity]
        lines.append(f"{metric} where one group of layers alone loses half of its channels:")
        lines.append(table(("layers", "channels", metric), rows))
    lines.append(f"picture: {sweep.picture}; no model is written: choose a row, and prune with its -pth")
    return "\n".join(lines)


def within_block(report: Within, max_drop: float) -> str:
    """The best step of a pruning within a price, and why it was the last."""
    best, last = report.steps[report.best], report.steps[-1]
    why = {
        "target": "the target is met",
        "drop": f"step {len(report.steps)} is {last.dropped:.2f} points below, more than --max-drop {max_drop:g}",
        "floor": "no step is left: the layers are at their smallest (-nf, -pg)",
    }[report.stopped]
    images = counted(report.images, "validation image")
    return (
        f"stopped after step {len(report.steps)}: {why}\n"
        f"best: step {report.best + 1}, {report.metric} {100 * best.score:.2f} %, {best.dropped:.2f} points below the "
        f"unpruned model's {100 * report.whole:.2f} % ({images})\n"
        f"Pruning ratio (pruned model / original model): {best.share:.7f}\n"
        f"{report.parameters:,} -> {best.parameters:,} parameters; {report.output} ({report.megabytes:.2f} MB)"
    )


def _percent(score: float | None) -> str | None:
    return None if score is None else f"{100 * score:.2f}"


def _some(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {counted(len(names) - 1, 'layer')} with it"
