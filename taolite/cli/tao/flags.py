"""The flags that TAO's networks share, letter for letter (reference 2), and a few of our own.

A flag that is taken and has no effect is hidden from the help and says so when given; so scripts run unmodified.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from taolite.cli import processes
from taolite.engines import runtimes
from taolite.errors import UsageError

__all__ = [
    "backend_flag",
    "common",
    "deploy_common",
    "export",
    "gen_trt_engine",
    "key_flag",
    "prune",
    "runtime_flag",
    "training",
    "without_effect",
]


def common(parser: argparse.ArgumentParser) -> None:
    """What TAO's entrypoint gives to every task."""
    parser.add_argument(
        "--gpus", type=int, default=1, metavar="N", help="GPUs to use; the processor where there is none"
    )
    parser.add_argument("--gpu_index", type=int, nargs="+", metavar="I", help="which GPUs")
    parser.add_argument("-np", "--num_processes", type=int, default=-1, metavar="N", help="as many as --gpus")
    parser.add_argument("--use_amp", action="store_true", help="mixed precision (train)")
    parser.add_argument("--log_file", type=Path, metavar="FILE", help="append what is printed to FILE instead")
    parser.add_argument("-v", "--verbose", "--verbosity", action="store_true", help="a line of progress every second")
    parser.add_argument("--launch_cuda_blocking", action="store_true", help=argparse.SUPPRESS)
    without_effect(
        parser, "--multi-node", values=0, why="no mpirun is started here; --num_nodes is for several machines"
    )
    without_effect(parser, "--mpirun-arg", why="no mpirun is started here")
    parser.add_argument("--mount", action="append", default=[], metavar="SRC:DST", help="where a container path lies")


def deploy_common(parser: argparse.ArgumentParser) -> None:
    """What TAO Deploy's entrypoint gives to every task (reference/deploy.md 2.1)."""
    parser.add_argument("--gpu_index", type=int, nargs=1, metavar="I", help="which GPU")
    parser.add_argument("--log_file", type=Path, metavar="FILE", help="append what is printed to FILE instead")
    parser.add_argument("-v", "--verbose", action="store_true", help="a line of progress every second")
    parser.add_argument("--mount", action="append", default=[], metavar="SRC:DST", help="where a container path lies")
    parser.set_defaults(gpus=1, num_processes=-1, use_amp=False, launch_cuda_blocking=False)


class _NoEffect(argparse.Action):
    """A flag of TAO's that changes nothing here, and says so, and `const` why, when it is given."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        print(f"warning: {option_string} has no effect{self.const}", file=sys.stderr)


def without_effect(parser: argparse.ArgumentParser, *flags: str, values: int | None = None, why: str = "") -> None:
    """Take `flags`, each "--long -s", with one value or `values`."""
    said = f": {why}" if why else " in this version"
    for names in flags:
        parser.add_argument(*names.split(), action=_NoEffect, nargs=values, const=said, help=argparse.SUPPRESS)


def key_flag(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-k", "--key", metavar="KEY", help="KEY, @FILE, or the variable TAOLITE_KEY")


def runtime_flag(parser: argparse.ArgumentParser) -> None:
    """--runtime, one of `taolite.engines.runtimes` that runs ONNX."""
    names = " or ".join(runtimes.onnx_runners())
    text = f"runtime for an .etlt or .onnx: {names} (default: {runtimes.onnx_runners()[0]})"
    parser.add_argument("--runtime", type=_named(runtimes.onnx_runner), metavar="NAME", help=text)


def backend_flag(
    parser: argparse.ArgumentParser, *, default: str = "TensorRT where a GPU is here, else OpenVINO"
) -> None:
    """--backend, one of `taolite.engines.runtimes` that builds engines."""
    text = f"library that builds the engine: {', '.join(runtimes.builders())} (default: {default})"
    parser.add_argument("--backend", type=_named(runtimes.builder), metavar="NAME", help=text)


def _named(look_up: Callable[[str], str]) -> Callable[[str], str]:
    """`look_up` as argparse's `type`: its UsageError becomes the parser's own error."""

    def name(word: str) -> str:
        try:
            return look_up(word)
        except UsageError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return name


def prune(parser: argparse.ArgumentParser) -> None:
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
    key_flag(parser)


def export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-m", "--model", required=True, metavar="MODEL", help="the trained .tlt")
    parser.add_argument("-o", "--output_file", metavar="FILE", help="MODEL.etlt unless told; .onnx is not sealed")
    parser.add_argument(
        "-e", "--experiment_spec", metavar="SPEC", help="its post-processing; int8: its training images"
    )
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
    backend_flag(parser)
    parser.add_argument("--results_dir", metavar="DIR", help="where status.json is written")
    _calibration(parser, batch_size=16)
    without_effect(parser, "--onnx_route")
    without_effect(parser, "--strict_type_constraints -s", values=0)
    key_flag(parser)


def _calibration(parser: argparse.ArgumentParser, *, batch_size: int) -> None:
    """Where an int8 model's ranges come from, for those who make one."""
    parser.add_argument("--cal_data_file", metavar="FILE", help="int8: a tensorfile; written where there is none")
    parser.add_argument("--cal_image_dir", metavar="DIR", help="int8: pictures; else -e SPEC's training images")
    parser.add_argument("--cal_cache_file", metavar="FILE", help="int8: ranges, used or else written (cal.bin)")
    parser.add_argument("--cal_json_file", metavar="FILE", help="int8: the ranges as TAO's tensor scales")
    parser.add_argument("--batches", type=int, default=10, metavar="N", help="int8: batches to calibrate with")
    parser.add_argument("--batch_size", type=int, default=batch_size, metavar="N", help="int8: images in each")
    parser.add_argument("--force_ptq", action="store_true", help="int8: calibrate, whatever training found")
    ours = parser.add_argument_group("int8, beyond TAO")
    ours.add_argument(
        "--int8-calibrator", choices=("minmax", "entropy", "percentile"), default="minmax", help="how ranges are found"
    )
    ours.add_argument("--int8-percentile", type=float, default=99.99, metavar="P", help="of the calibrator percentile")
    ours.add_argument("--int8-float-layers", nargs="*", default=[], metavar="LAYER", help="layers that stay float")
    ours.add_argument("--int8-trt-version", default="8.6.1", metavar="X.Y.Z", help="what --cal_cache_file is for")


def gen_trt_engine(parser: argparse.ArgumentParser, *, deploy: bool = False) -> None:
    """`deploy`: as TAO Deploy has it: -e and -r are required, and fp32 is the default (reference/deploy.md 2.3)."""
    parser.add_argument("-m", "--model_path", required=True, metavar="MODEL", help=".etlt or .onnx")
    parser.add_argument("-e", "--experiment_spec", required=deploy, metavar="SPEC", help="int8: its training images")
    parser.add_argument(
        "--data_type",
        choices=("fp32", "fp16", "int8"),
        default="fp32" if deploy else None,
        help="precision; fp32 unless told" if deploy else "precision; unless told, the model's",
    )
    parser.add_argument("--engine_file", required=not deploy, metavar="FILE", help="the engine")
    parser.add_argument("--max_batch_size", type=int, default=1, metavar="N", help="largest batch")
    parser.add_argument("--min_batch_size", type=int, default=1, metavar="N", help="smallest batch")
    parser.add_argument("--opt_batch_size", type=int, default=1, metavar="N", help="usual batch")
    parser.add_argument("--max_workspace_size", type=int, default=2, metavar="GIB", help="memory of the build")
    backend_flag(parser)
    parser.add_argument("--compute-capability", metavar="LIST", help="GPUs to build for, as 75,86,89 (tensorrt_rtx)")
    parser.add_argument("-r", "--results_dir", required=deploy, metavar="DIR", help="where status.json is written")
    _calibration(parser, batch_size=1)
    without_effect(parser, "--strict_type_constraints -s", values=0)
    key_flag(parser)


def training(parser: argparse.ArgumentParser, *, resume: str = "--resume") -> None:
    """What is ours of every network's `train`; `resume` is another flag where TAO abbreviates one of its own so."""
    said = "go on with the folder's run, or fail if it holds none"
    parser.add_argument(resume, dest="resume", action="store_true", help=said)
    parser.add_argument(
        "--checkpoint_minutes", type=float, default=10.0, metavar="M", help="save every M minutes within an epoch too"
    )
    parser.add_argument("--keep_checkpoints", type=int, default=2, metavar="N", help="the last N stay")
    many = parser.add_argument_group("several machines, the same command on each (--gpus is per machine)")
    processes.add_flags(many.add_argument)
    many.add_argument(
        "--global_batch_size", type=int, metavar="N", help="images a step; else batch_size_per_gpu of each process"
    )
    parser.add_argument("--enable_determinism", action="store_true", help="the same bits again, on a GPU too")
    parser.add_argument("--mlflow", metavar="URI", help="log to this MLflow too; else MLFLOW_TRACKING_URI's, if set")
    parser.add_argument("--precision", choices=("auto", "fp32", "bf16", "fp16"), default="auto", help="of convolutions")
