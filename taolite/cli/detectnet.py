"""`taolite detectnet TASK` and `detectnet_v2 TASK`: TAO's flags, letter for letter (reference 2).

Each task parses, makes one library call and renders the report. torch is imported when a task runs.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from taolite.errors import StorageError, UsageError

if TYPE_CHECKING:
    from taolite.artifacts.keys import Key
    from taolite.workspace.mounts import Mounts

__all__ = ["configure"]

Run = Callable[[argparse.Namespace], int]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the tasks."""
    tasks = parser.add_subparsers(dest="task", metavar="TASK", required=True)
    _dataset_convert(_task(tasks, "dataset_convert", "labels into TFRecords", _run_dataset_convert))
    _train(_task(tasks, "train", "train, or go on training", _run_train))
    _evaluate(_task(tasks, "evaluate", "score a model on the validation images", _run_evaluate))
    _prune(_task(tasks, "prune", "remove the weakest channels of a model", _run_prune))
    _export(_task(tasks, "export", "write the sealed .etlt, or .onnx", _run_export))
    _inference(_task(tasks, "inference", "annotated pictures and labels", _run_inference))
    _gen_trt_engine(_task(tasks, "gen_trt_engine", "build an engine from an export", _run_gen_trt_engine))


Tasks: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def _task(tasks: Tasks, name: str, line: str, run: Run) -> argparse.ArgumentParser:
    """A task with the flags that TAO's entrypoint gives to every one."""
    parser = tasks.add_parser(name, help=line, description=line)
    parser.add_argument(
        "--gpus", type=int, default=1, metavar="N", help="GPUs to use; the processor where there is none"
    )
    parser.add_argument("--gpu_index", type=int, nargs="+", metavar="I", help="which GPUs")
    parser.add_argument("-np", "--num_processes", type=int, default=-1, metavar="N", help="taken as --gpus")
    parser.add_argument("--use_amp", action="store_true", help="mixed precision (train)")
    parser.add_argument("--log_file", type=Path, metavar="FILE", help="append what is printed to FILE instead")
    parser.add_argument("-v", "--verbose", "--verbosity", action="store_true", help="say more")
    parser.add_argument("--mount", action="append", default=[], metavar="SRC:DST", help="where a container path lies")
    parser.set_defaults(run=lambda options: _logged(run, options))
    return parser


def _logged(run: Run, options: argparse.Namespace) -> int:
    """Run a task, its output appended to --log_file where there is one."""
    if options.gpus > 1 and options.task != "train":
        raise UsageError(f"--gpus {options.gpus}: {options.task} takes one device; leave --gpus at 1")
    if options.use_amp and options.task != "train":
        raise UsageError("--use_amp: mixed precision is for train only; leave it out")
    if options.log_file is None:
        return run(options)
    try:
        options.log_file.parent.mkdir(parents=True, exist_ok=True)
        log = open(options.log_file, "a", encoding="utf-8")  # noqa: SIM115  (closed by the stack below)
    except OSError as error:
        raise StorageError(f"--log_file {options.log_file}: cannot be written ({error.strerror})") from error
    with log, redirect_stdout(log), redirect_stderr(log):
        return run(options)


def _key_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-k", "--key", metavar="KEY", help="KEY, @FILE, or the variable TAOLITE_KEY")


def _dataset_convert(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-d", "--dataset_export_spec", required=True, metavar="SPEC", help="TAO's conversion spec")
    parser.add_argument("-o", "--output_filename", required=True, metavar="PREFIX", help="files are PREFIX-fold-...")
    parser.add_argument("-f", "--validation_fold", type=int, metavar="FOLD", help="the fold the sample modifier leaves")
    parser.add_argument("-r", "--results_dir", metavar="DIR", help="where status.json is written")
    _key_flag(parser)


def _train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-e", "--experiment_spec_file", required=True, metavar="SPEC", help="TAO's training spec")
    parser.add_argument("-r", "--results_dir", required=True, metavar="DIR", help="the run's folder")
    parser.add_argument("-n", "--model_name", default="model", metavar="NAME", help="the model is weights/NAME.tlt")
    parser.add_argument("--enable_determinism", action="store_true", help="refuse operations that vary on a GPU")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="threads that prepare images")
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16"), default="auto", help="of convolutions")
    _key_flag(parser)


def _evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-e", "--experiment_spec", required=True, metavar="SPEC", help="the training spec")
    parser.add_argument("-m", "--model_path", required=True, metavar="MODEL", help=".tlt, .etlt, .onnx or an engine")
    parser.add_argument("-f", "--framework", choices=("tlt", "tensorrt"), default="tlt", help="told from the file")
    parser.add_argument("--use_training_set", action="store_true", help="score the training images")
    parser.add_argument("-r", "--results_dir", metavar="DIR", help="where status.json is written")
    parser.add_argument("--runtime", choices=("onnxruntime", "openvino"), help="what runs an .etlt or .onnx")
    parser.add_argument("--json", action="store_true", help="the scores as one JSON object")
    _key_flag(parser)
    for flag in (("-i", "--image_dir"), ("-l", "--label_dir"), ("-b", "--batch_size")):
        parser.add_argument(*flag, help=argparse.SUPPRESS)


def _prune(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-m", "--model", required=True, metavar="MODEL", help="the trained .tlt")
    parser.add_argument("-o", "--output_file", required=True, metavar="FILE", help="the smaller .tlt, exactly here")
    parser.add_argument("-n", "--normalizer", choices=("max", "L2"), default="max", help="how norms are compared")
    parser.add_argument(
        "-eq",
        "--equalization_criterion",
        choices=("union", "intersection", "arithmetic_mean", "geometric_mean"),
        default="union",
        help="how layers that are added to each other agree",
    )
    parser.add_argument("-pg", "--pruning_granularity", type=int, default=8, metavar="N", help="channels in steps of N")
    parser.add_argument("-pth", "--pruning_threshold", type=float, default=0.1, metavar="T", help="norms above T stay")
    parser.add_argument("-nf", "--min_num_filters", type=int, default=16, metavar="N", help="no layer below N")
    parser.add_argument("-el", "--excluded_layers", nargs="*", default=[], metavar="LAYER", help="layers left whole")
    parser.add_argument("--target", type=float, metavar="SHARE", help="find -pth: keep at most SHARE of the parameters")
    parser.add_argument("--results_dir", metavar="DIR", help="where status.json is written")
    _key_flag(parser)


def _export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-m", "--model", required=True, metavar="MODEL", help="the trained .tlt")
    parser.add_argument("-o", "--output_file", metavar="FILE", help="MODEL.etlt unless told; .onnx is not sealed")
    parser.add_argument("-e", "--experiment_spec", metavar="SPEC", help="taken for TAO's sake: the .tlt says all")
    parser.add_argument("--data_type", choices=("fp32", "fp16", "int8"), default="fp32", help="of the weights")
    parser.add_argument("--engine_file", metavar="FILE", help="build an engine too")
    parser.add_argument("--max_batch_size", type=int, default=1, metavar="N", help="of the engine")
    parser.add_argument("--min_batch_size", type=int, default=1, metavar="N", help="of the engine")
    parser.add_argument("--opt_batch_size", type=int, default=1, metavar="N", help="of the engine")
    parser.add_argument(
        "--max_workspace_size", type=int, default=2 << 30, metavar="BYTES", help="of the engine's build"
    )
    parser.add_argument(
        "--static_batch_size", type=int, default=-1, metavar="N", help="a fixed batch; -1 leaves it open"
    )
    parser.add_argument("--target_opset", type=int, default=17, metavar="N", help="ONNX opset")
    parser.add_argument("--gen_ds_config", action="store_true", help="nvinfer_config.txt and labels.txt beside it")
    parser.add_argument("--force", action="store_true", help="replace the output file")
    parser.add_argument("--backend", metavar="NAME", help="tensorrt, tensorrt_rtx or openvino, for --engine_file")
    parser.add_argument("--results_dir", metavar="DIR", help="where status.json is written")
    for flag in ("--cal_data_file", "--cal_image_dir", "--cal_cache_file", "--cal_json_file", "--onnx_route"):
        parser.add_argument(flag, help=argparse.SUPPRESS)
    for flag in ("--batches", "--batch_size"):
        parser.add_argument(flag, type=int, help=argparse.SUPPRESS)
    parser.add_argument("-s", "--strict_type_constraints", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--force_ptq", action="store_true", help=argparse.SUPPRESS)
    _key_flag(parser)


def _inference(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-e", "--experiment_spec", metavar="SPEC", help="TAO's inference spec; else the model's own")
    parser.add_argument("-i", "--image_dir", required=True, metavar="PLACE", help="folder, picture, video or camera")
    parser.add_argument("-r", "-o", "--results_dir", required=True, metavar="DIR", help="images_annotated/ and labels/")
    parser.add_argument("-m", "--model_path", metavar="MODEL", help="instead of the spec's")
    parser.add_argument("-b", "--batch_size", type=int, metavar="N", help="taken for TAO's sake: one at a time")
    parser.add_argument("--runtime", choices=("onnxruntime", "openvino"), help="what runs an .etlt or .onnx")
    _key_flag(parser)


def _gen_trt_engine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-m", "--model_path", required=True, metavar="MODEL", help=".etlt or .onnx")
    parser.add_argument("-e", "--experiment_spec", metavar="SPEC", help="taken for TAO's sake: the model says all")
    parser.add_argument("--data_type", choices=("fp32", "fp16", "int8"), help="precision; unless told, the model's")
    parser.add_argument("--engine_file", required=True, metavar="FILE", help="the engine")
    parser.add_argument("--max_batch_size", type=int, default=1, metavar="N", help="largest batch")
    parser.add_argument("--min_batch_size", type=int, default=1, metavar="N", help="smallest batch")
    parser.add_argument("--opt_batch_size", type=int, default=1, metavar="N", help="usual batch")
    parser.add_argument("--max_workspace_size", type=int, default=2, metavar="GIB", help="memory of the build")
    parser.add_argument("--backend", metavar="NAME", help="tensorrt, tensorrt_rtx or openvino")
    parser.add_argument("--compute-capability", metavar="LIST", help="GPUs to build for, as 75,86,89 (tensorrt_rtx)")
    parser.add_argument("-r", "--results_dir", metavar="DIR", help="where status.json is written")
    for flag in ("--cal_image_dir", "--cal_data_file", "--cal_cache_file", "--cal_json_file"):
        parser.add_argument(flag, help=argparse.SUPPRESS)
    for flag in ("--batches", "--batch_size"):
        parser.add_argument(flag, type=int, help=argparse.SUPPRESS)
    parser.add_argument("-s", "--strict_type_constraints", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--force_ptq", action="store_true", help=argparse.SUPPRESS)
    _key_flag(parser)


def _run_train(options: argparse.Namespace) -> int:
    from taolite.cli.progress import Terminal
    from taolite.stages.train import TrainOptions, train
    from taolite.tasks import base

    mounts = _mounts(options)
    settings = TrainOptions(
        gpus=options.gpus,
        gpu_index=options.gpu_index,
        use_amp=options.use_amp,
        bfloat16={"auto": None, "fp32": False, "bf16": True}[options.precision],
        deterministic=options.enable_determinism,
        workers=options.workers,
    )
    with Terminal(verbose=options.verbose) as show:
        report = train(
            base.find("detectnet"),
            mounts.resolve(options.experiment_spec_file),
            mounts.resolve(options.results_dir),
            name=options.model_name,
            key=_sealing_key(options),
            resolve=mounts.resolve,
            options=settings,
            listener=show,
        )
    card = report.evaluation.card
    print(
        f"mAP {100 * card.mean_ap:.2f} % (VOC, all points: {100 * card.voc_mean_ap:.2f} %) after {report.epochs} epochs"
    )
    print(f"model: {report.weights} ({report.parameters:,} parameters)")
    return 0


def _run_evaluate(options: argparse.Namespace) -> int:
    import json
    from dataclasses import asdict

    from taolite.cli.progress import Terminal
    from taolite.cli.render import evaluation_block
    from taolite.stages.evaluate import evaluate
    from taolite.tasks import base

    mounts = _mounts(options)
    with Terminal(verbose=options.verbose) as show, _status(options, mounts, "evaluation"):
        evaluation = evaluate(
            base.find("detectnet"),
            mounts.resolve(options.experiment_spec),
            mounts.resolve(options.model_path),
            key=_opening_key(options),
            resolve=mounts.resolve,
            split="train" if options.use_training_set else "val",
            runtime=options.runtime,
            listener=show,
        )
    print(json.dumps(asdict(evaluation), indent=2) if options.json else evaluation_block(evaluation))
    return 0


def _run_prune(options: argparse.Namespace) -> int:
    from taolite.cli.progress import Terminal
    from taolite.stages.prune import PruneSettings, prune

    mounts = _mounts(options)
    settings = PruneSettings(
        threshold=options.pruning_threshold,
        normalizer=options.normalizer,
        equalization=options.equalization_criterion,
        granularity=options.pruning_granularity,
        min_filters=options.min_num_filters,
        excluded=tuple(options.excluded_layers),
        target=options.target,
    )
    model, output = mounts.resolve(options.model), mounts.resolve(options.output_file)
    with Terminal(verbose=options.verbose) as show, _status(options, mounts, "pruning"):
        report = prune(model, output, key=_sealing_key(options), settings=settings, listener=show)
    before, after = report.plan.parameters_before, report.plan.parameters_after
    if options.target is not None:
        print(f"-pth {report.threshold:.7g} keeps at most {options.target:.3g} of the parameters")
    print(f"Pruning ratio (pruned model / original model): {report.plan.ratio:.7f}")
    print(f"{before:,} -> {after:,} parameters; {report.output} ({report.megabytes:.2f} MB)")
    if after == before:
        print("nothing was below the threshold: raise -pth, or give --target 0.3 to have it found", file=sys.stderr)
    return 0


def _run_export(options: argparse.Namespace) -> int:
    from taolite.cli.progress import Terminal
    from taolite.stages.export import export_model

    _refuse_int8(options.data_type)
    mounts = _mounts(options)
    key = _sealing_key(options)
    with Terminal(verbose=options.verbose) as show, _status(options, mounts, "export"):
        report = export_model(
            mounts.resolve(options.model),
            mounts.resolve(options.output_file) if options.output_file else None,
            key=key,
            spec=mounts.resolve(options.experiment_spec) if options.experiment_spec else None,
            precision=options.data_type,
            opset=options.target_opset,
            static_batch=options.static_batch_size if options.static_batch_size > 0 else None,
            gen_ds_config=options.gen_ds_config,
            overwrite=options.force,
            listener=show,
        )
    worst = max(report.differences.values())
    sealed = "sealed with the key" if report.sealed else "plain ONNX"
    print(f"exported: {report.output} ({sealed}, {report.precision}, {report.onnx_bytes / 1e6:.2f} MB of ONNX)")
    print(f"the export differs from the trained network by {worst:.1e} at most, on the images it was proved with")
    print(f"{report.parameters:,} parameters, {report.macs / 1e9:.2f} GMACs an image")
    for path in report.companions:
        print(f"DeepStream: {path}")
    if options.engine_file:
        options.model_path, options.compute_capability = str(report.output), None
        _build_engine(options, mounts, key, workspace_bytes=options.max_workspace_size)
    return 0


def _run_gen_trt_engine(options: argparse.Namespace) -> int:
    mounts = _mounts(options)
    with _status(options, mounts, "gen_trt_engine"):
        _build_engine(options, mounts, _opening_key(options), workspace_bytes=options.max_workspace_size << 30)
    return 0


def _build_engine(options: argparse.Namespace, mounts: Mounts, key: Key | None, *, workspace_bytes: int) -> None:
    from taolite.cli.convert import capabilities, engine_text
    from taolite.cli.progress import Terminal
    from taolite.stages.engine import build

    _refuse_int8(options.data_type)
    with Terminal(verbose=options.verbose) as show:
        report = build(
            mounts.resolve(options.model_path),
            key=key,
            engine=mounts.resolve(options.engine_file),
            backend=options.backend,
            precision=options.data_type,
            batch=(options.min_batch_size, options.opt_batch_size, options.max_batch_size),
            workspace_bytes=workspace_bytes,
            compute_capabilities=capabilities(options.compute_capability),
            listener=show,
        )
    print(engine_text(report))


def _refuse_int8(data_type: str) -> None:
    if data_type == "int8":
        raise UsageError("--data_type int8: this version does not calibrate; use fp16, or fp32")


def _run_inference(options: argparse.Namespace) -> int:
    from taolite.cli.progress import Terminal
    from taolite.media.sources import open_source
    from taolite.stages.device import choose
    from taolite.stages.infer import infer, planned
    from taolite.stages.models import open_model
    from taolite.tasks.detectnet.inference import load_plan

    mounts = _mounts(options)
    plan = load_plan(mounts.resolve(options.experiment_spec)) if options.experiment_spec else None
    named = options.model_path or (plan.model if plan else "")
    if not named:
        raise UsageError("no model: give -m MODEL, or an inference spec (-e) with tlt_config or tensorrt_config")
    source = open_source(mounts.resolve(options.image_dir))
    with ExitStack() as stack:
        show = stack.enter_context(Terminal(verbose=options.verbose))
        device = choose(gpus=options.gpus, gpu_index=options.gpu_index)
        model = open_model(mounts.resolve(named), key=_opening_key(options), device=device, runtime=options.runtime)
        stack.callback(model.close)
        model, drawing = planned(model, plan)
        output = mounts.resolve(options.results_dir)
        report = infer(model, source, output, drawing=drawing, listener=show)
    found = ", ".join(f"{name} {count}" for name, count in report.detections.items())
    print(f"{report.images} pictures: {found} ({model.runs_on}, {1000 * report.seconds_per_image:.1f} ms a picture)")
    print(f"results: {report.folder}")
    return 0


def _run_dataset_convert(options: argparse.Namespace) -> int:
    from taolite import spec as specs
    from taolite.cli.progress import Terminal
    from taolite.stages.dataset_convert import dataset_convert
    from taolite.tasks.detectnet.spec import DatasetExportSpec

    mounts = _mounts(options)
    spec = specs.load(mounts.resolve(options.dataset_export_spec), DatasetExportSpec)
    with Terminal(verbose=options.verbose) as show, _status(options, mounts, "dataset conversion"):
        dataset_convert(
            spec,
            mounts.resolve(options.output_filename),
            resolve=mounts.resolve,
            listener=show,
            validation_fold=options.validation_fold,
        )
    return 0


def _mounts(options: argparse.Namespace) -> Mounts:
    from taolite.workspace.mounts import Mounts

    return Mounts.load(options.mount)


def _sealing_key(options: argparse.Namespace) -> Key:
    from taolite.artifacts.keys import find_key, terminal_prompt

    return find_key(options.key, prompt=terminal_prompt())


def _opening_key(options: argparse.Namespace) -> Key | None:
    from taolite.artifacts.keys import find_key_if_given

    return find_key_if_given(options.key)


@contextmanager
def _status(options: argparse.Namespace, mounts: Mounts, what: str) -> Iterator[None]:
    """TAO's status.json around a task, where -r or --results_dir asks for one."""
    if not options.results_dir:
        yield
        return
    from taolite.workspace.status import StatusFile

    status = StatusFile(mounts.resolve(options.results_dir) / "status.json")
    status.write(f"Starting DetectNet_v2 {what}.", status="STARTED")
    try:
        yield
    except BaseException as error:
        first = (str(error).splitlines() or [type(error).__name__])[0]
        status.write(f"{what} failed: {first}", status="FAILURE")
        raise
    status.write(f"DetectNet_v2 {what} complete.", status="SUCCESS")
