"""The flags that TAO's networks share, letter for letter (reference 2), and a few of our own.

A flag without effect is accepted, so scripts run unmodified. The help hides it, and giving it prints a message.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from taolite.cli import processes
from taolite.cli.parsing import mount_flag, outside_flag, pixels_flag, signer_flag, whole, without_effect
from taolite.cli.values import amount, count, number
from taolite.engines import runtimes
from taolite.errors import UsageError

__all__ = [
    "SPEC",
    "backend_flag",
    "common",
    "deploy_common",
    "export",
    "gen_trt_engine",
    "key_flag",
    "prune",
    "results_flag",
    "runtime_flag",
    "skip_corrupt_flag",
    "training",
]

SPEC = "training spec"
_PRECISIONS = ("fp32", "fp16", "int8")
_MACHINE = "machine and output"


def common(parser: argparse.ArgumentParser) -> None:
    """Add the flags that TAO's entrypoint gives every task."""
    add = parser.add_argument_group(_MACHINE).add_argument
    add("--gpus", type=int, default=1, metavar="N", help="number of GPUs (default: 1; the CPU where there is none)")
    add("--gpu_index", type=int, nargs="+", metavar="I", help="indices of the GPUs (default: the first ones)")
    text = "number of processes, the same as --gpus (default: -1, as --gpus)"
    add("-np", "--num_processes", type=int, default=-1, metavar="N", help=text)
    add("--use_amp", action="store_true", help="train in mixed precision")
    _output(add)
    add("--launch_cuda_blocking", action="store_true", help=argparse.SUPPRESS)
    without_effect(
        parser, "--multi-node", values=0, why="no mpirun is started here; --num_nodes is for several machines"
    )
    without_effect(parser, "--mpirun-arg", why="no mpirun is started here")


def deploy_common(parser: argparse.ArgumentParser) -> None:
    """Add the flags that TAO Deploy's entrypoint gives every task (reference/deploy.md 2.1)."""
    add = parser.add_argument_group(_MACHINE).add_argument
    add("--gpu_index", type=int, nargs=1, metavar="I", help="index of the GPU (default: the first)")
    _output(add, verbosity=False)
    parser.set_defaults(gpus=1, num_processes=-1, use_amp=False, launch_cuda_blocking=False)


def _output(add: processes.Add, *, verbosity: bool = True) -> None:
    add("--log_file", type=Path, metavar="FILE", help="append all output to FILE instead of printing it")
    names = ("-v", "--verbose", "--verbosity") if verbosity else ("-v", "--verbose")
    add(*names, action="store_true", help="print a line of progress every second (default: every 15 seconds)")
    mount_flag(add)
    pixels_flag(add)
    outside_flag(add)


def key_flag(parser: argparse.ArgumentParser) -> None:
    text = "key that seals and opens models: KEY, @FILE, or the variable TAOLITE_KEY"
    parser.add_argument("-k", "--key", metavar="KEY", help=text)


def results_flag(
    parser: argparse.ArgumentParser, *names: str, files: str = "status.json", needed: bool = False
) -> None:
    """Add --results_dir under these `names`; `files` are the files written there."""
    parser.add_argument(*names, required=needed, metavar="DIR", help=f"folder for {files}")


def runtime_flag(parser: argparse.ArgumentParser) -> None:
    """Add --runtime, one of `taolite.engines.runtimes` that runs ONNX, --engine-precision, and --require-signer."""
    names = " or ".join(runtimes.onnx_runners())
    text = f"runtime for an .etlt or .onnx: {names} (default: {runtimes.onnx_runners()[0]})"
    parser.add_argument("--runtime", type=_named(runtimes.onnx_runner), metavar="NAME", help=text)
    text = "number format that OpenVINO computes a float model in: fp32, or bf16 where the CPU has it (default: fp32)"
    whole(parser.add_argument("--engine-precision", choices=("fp32", "bf16"), default="fp32", help=text))
    signer_flag(parser.add_argument)


def backend_flag(add: Callable[..., object], *, default: str = "TensorRT where a GPU is here, else OpenVINO") -> None:
    """Add --backend: one of `taolite.engines.runtimes` that builds engines."""
    text = f"library that builds the engine: {', '.join(runtimes.builders())} (default: {default})"
    add("--backend", type=_named(runtimes.builder), metavar="NAME", help=text)


def _named(look_up: Callable[[str], str]) -> Callable[[str], str]:
    """`look_up` as argparse's `type`: its UsageError becomes the parser's own error."""

    def name(word: str) -> str:
        try:
            return look_up(word)
        except UsageError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return name


def prune(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-m", "--model", required=True, metavar="MODEL", help="trained model (.tlt)")
    add("-o", "--output_file", required=True, metavar="FILE", help="pruned model to write (.tlt)")
    key_flag(parser)
    results_flag(parser, "--results_dir")

    add = parser.add_argument_group("what is removed").add_argument
    text = "remove channels whose normalised norm is below T (default: 0.1)"
    add("-pth", "--pruning_threshold", type=float, default=0.1, metavar="T", help=text)
    text = "choose -pth so that at most SHARE (0 to 1) of the parameters remains"
    add("--target", type=float, metavar="SHARE", help=text)
    text = "keep at least N channels in each layer (default: 16)"
    add("-nf", "--min_num_filters", type=int, default=16, metavar="N", help=text)
    text = "keep a multiple of N channels (default: 8)"
    add("-pg", "--pruning_granularity", type=int, default=8, metavar="N", help=text)
    add("-el", "--excluded_layers", nargs="*", default=[], metavar="LAYER", help="layers that are not pruned")
    text = "norm of a channel: divided by the layer's largest, or by the L2 norm of all (default: max)"
    add("-n", "--normalizer", choices=("max", "L2"), default="max", help=text)
    add(
        "-eq",
        "--equalization_criterion",
        choices=("union", "intersection", "arithmetic_mean", "geometric_mean"),
        default="union",
        help="how layers whose outputs are added together agree on their channels (default: union)",
    )
    _prune_more(parser, add)


def _prune_more(parser: argparse.ArgumentParser, add: Callable[..., argparse.Action]) -> None:
    """Add our own flags of `prune`; `add` adds to the group of what is removed."""
    targets = (
        ("--target-params", amount, "N", "choose -pth so that at most N parameters remain, e.g. 1.3M"),
        (
            "--target-macs",
            amount,
            "N",
            "choose -pth for at most N multiply-accumulates an image, e.g. 2.5G; up to 1: a share",
        ),
        (
            "--target-latency",
            number(0, None),
            "MS",
            "choose -pth for at most MS milliseconds an image, in ONNX Runtime here",
        ),
    )
    for name, kind, unit, text in targets:
        whole(add(name, type=kind, metavar=unit, help=text))
    text = "what makes a channel important; taylor needs -e (default: tao)"
    whole(add("--importance", choices=("tao", "l1", "l2", "bn", "taylor"), default="tao", help=text))

    add = parser.add_argument_group("scores, with the data of a spec").add_argument
    whole(add("-e", "--experiment_spec", metavar="SPEC", help=f"{SPEC}: its validation images give the scores"))
    text = "prune in steps while the score is at most P points (percent) below the unpruned model's"
    whole(add("--max-drop", type=number(0, None, least=True), metavar="P", help=text))
    text = "train N epochs after each step, and each threshold of --sweep (default: 0, none)"
    whole(add("--finetune", type=count(0), default=0, metavar="N", help=text))
    text = "largest number of validation images for a score (default: 200)"
    whole(add("--sweep-images", type=count(1), default=200, metavar="N", help=text))

    add = parser.add_argument_group("sweep, which writes no model").add_argument
    text = "measure N thresholds from all parameters to a few percent (default: 20); draws sweep.png beside -o"
    whole(add("--sweep", type=count(2), nargs="?", const=20, metavar="N", help=text))
    whole(add("--latency", action="store_true", help="also time each exported graph in ONNX Runtime"))
    text = "also score each group of layers with half of its channels"
    whole(add("--sensitivity", action="store_true", help=text))
    whole(add("--json", dest="sweep_json", metavar="FILE", help="also write the sweep as JSON"))


def export(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-m", "--model", required=True, metavar="MODEL", help="trained model (.tlt)")
    add("-o", "--output_file", metavar="FILE", help="export to write; .onnx is not sealed (default: MODEL.etlt)")
    text = "spec with the post-processing; int8: with the training images"
    add("-e", "--experiment_spec", metavar="SPEC", help=text)
    key_flag(parser)
    results_flag(parser, "--results_dir")

    add = parser.add_argument_group("what is written").add_argument
    add("--data_type", choices=_PRECISIONS, default="fp32", help="number format of the weights (default: fp32)")
    text = "fixed batch size (default: -1, any batch size)"
    add("--static_batch_size", type=int, default=-1, metavar="N", help=text)
    add("--target_opset", type=int, default=17, metavar="N", help="ONNX opset (default: 17)")
    text = "also write nvinfer_config.txt and labels.txt for DeepStream"
    add("--gen_ds_config", action="store_true", help=text)
    add("--force", action="store_true", help="replace the output file if it exists")

    _gate(parser)
    add = parser.add_argument_group("engine").add_argument
    add("--engine_file", metavar="FILE", help="also build an engine")
    _engine(add, workspace=2 << 30, unit="BYTES")
    _calibration(parser, batch_size=16)
    without_effect(parser, "--onnx_route")
    without_effect(parser, "--strict_type_constraints -s", values=0)


def _gate(parser: argparse.ArgumentParser) -> None:
    """Add the flags of the gate: the export is scored beside the trained model on the validation images of -e."""
    add = parser.add_argument_group("gate (fp16 and int8; fp32 where one of these flags is given)").add_argument
    text = "fail where the export scores more than P points (percent of mAP or accuracy) below the trained model"
    whole(add("--max-drop", type=number(0, None, least=True), metavar="P", help=text))
    text = "validation images of SPEC to score the export on, 0 for none (default: all, 500 at most)"
    whole(add("--gate-images", type=count(0), metavar="N", help=text))


def _engine(add: processes.Add, *, workspace: int, unit: str) -> None:
    """Add the flags of an engine's target and build settings."""
    add("--max_batch_size", type=int, default=1, metavar="N", help="largest batch size (default: 1)")
    add("--min_batch_size", type=int, default=1, metavar="N", help="smallest batch size (default: 1)")
    add("--opt_batch_size", type=int, default=1, metavar="N", help="batch size it is fastest at (default: 1)")
    text = f"GPU memory for the build in {'GiB' if unit == 'GIB' else 'bytes'} (default: {workspace})"
    add("--max_workspace_size", type=int, default=workspace, metavar=unit, help=text)
    backend_flag(add)


def _calibration(parser: argparse.ArgumentParser, *, batch_size: int) -> None:
    """Add the flags for the ranges of an int8 model, for commands that make one."""
    add = parser.add_argument_group("int8 calibration").add_argument
    text = "folder of pictures (default: training images of -e SPEC)"
    add("--cal_image_dir", metavar="DIR", help=text)
    text = "tensorfile with pictures; written if it does not exist"
    add("--cal_data_file", metavar="FILE", help=text)
    text = "calibration cache; used if it exists, otherwise written (default: cal.bin)"
    add("--cal_cache_file", metavar="FILE", help=text)
    add("--cal_json_file", metavar="FILE", help="write the ranges as TAO's tensor scales too")
    add("--batches", type=int, default=10, metavar="N", help="number of batches (default: 10)")
    text = f"images in a batch (default: {batch_size})"
    add("--batch_size", type=int, default=batch_size, metavar="N", help=text)
    text = "calibrate even a model trained with quantisation (QAT)"
    add("--force_ptq", action="store_true", help=text)
    text = "how ranges are chosen (default: minmax)"
    add("--int8-calibrator", choices=("minmax", "entropy", "percentile"), default="minmax", help=text)
    text = "percentile of the calibrator percentile (default: 99.99)"
    add("--int8-percentile", type=float, default=99.99, metavar="P", help=text)
    add("--int8-float-layers", nargs="*", default=[], metavar="LAYER", help="layers that stay in float")
    text = "TensorRT version that --cal_cache_file is written for (default: 8.6.1)"
    add("--int8-trt-version", default="8.6.1", metavar="X.Y.Z", help=text)


def gen_trt_engine(parser: argparse.ArgumentParser, *, deploy: bool = False) -> None:
    """`deploy`: as TAO Deploy has it: -e and -r are required, and fp32 is the default (reference/deploy.md 2.3)."""
    add = parser.add_argument
    add("-m", "--model_path", required=True, metavar="MODEL", help="export (.etlt or .onnx)")
    add("-e", "--experiment_spec", required=deploy, metavar="SPEC", help="int8: spec with the training images")
    add("--engine_file", required=not deploy, metavar="FILE", help="engine to write")
    key_flag(parser)
    signer_flag(add)
    results_flag(parser, "-r", "--results_dir", needed=deploy)

    add = parser.add_argument_group("engine").add_argument
    default = "fp32" if deploy else None
    text = f"precision (default: {default or 'that of the model'})"
    add("--data_type", choices=_PRECISIONS, default=default, help=text)
    _engine(add, workspace=2, unit="GIB")
    text = "GPUs to build for, e.g. 75,86,89; needs no GPU here (tensorrt_rtx)"
    add("--compute-capability", metavar="LIST", help=text)
    _calibration(parser, batch_size=1)
    without_effect(parser, "--strict_type_constraints -s", values=0)


def skip_corrupt_flag(add: Callable[..., object]) -> None:
    add("--skip-corrupt", action="store_true", help="leave out pictures that cannot be decoded, with a warning")


def training(parser: argparse.ArgumentParser, *, resume: str = "--resume") -> None:
    """Add our own flags of every network's `train`; `resume`: the name of our --resume, where `--resume` abbreviates a
    flag of TAO's."""
    add = parser.add_argument_group("run").add_argument
    text = "continue the run in the results folder; an error if it holds none"
    add(resume, dest="resume", action="store_true", help=text)
    text = "minutes between two checkpoints within an epoch (default: 10)"
    add("--checkpoint_minutes", type=float, default=10.0, metavar="M", help=text)
    add("--keep_checkpoints", type=int, default=2, metavar="N", help="keep the newest N checkpoints (default: 2)")
    skip_corrupt_flag(add)
    processes.threads_flag(add)
    text = "number format of convolutions (default: auto)"
    add("--precision", choices=("auto", "fp32", "bf16", "fp16"), default="auto", help=text)
    text = "give the same bits for the same seed on a GPU too; slower"
    add("--enable_determinism", action="store_true", help=text)
    text = "train N runs with the seeds of SPEC, SPEC + 1 ... in DIR/seed-S, and print their spread"
    whole(add("--seeds", type=int, metavar="N", help=text))
    text = "MLflow server to log to (default: the variable MLFLOW_TRACKING_URI, if set)"
    add("--mlflow", metavar="URI", help=text)
    add = parser.add_argument_group(processes.TITLE).add_argument
    processes.add_flags(add)
    text = "images in a step over all processes (default: batch_size_per_gpu times processes)"
    add("--global_batch_size", type=int, metavar="N", help=text)
