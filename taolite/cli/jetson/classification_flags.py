"""The flags of jetson-inference's train.py, onnx_export.py and imagenet (reference/jetson_workflows.md 2.1, 3, 8), and
a few of ours."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from taolite.cli import processes
from taolite.cli.jetson.forms import add_key
from taolite.cli.jetson.looks import IMAGENET, add_stream
from taolite.cli.parsing import TaoParser, whole
from taolite.cli.values import count, number, truth

__all__ = ["BEST", "export", "inference", "train"]

BEST = "model_best.tlt"
_GONE = ("--world-size", "--rank", "--dist-url", "--dist-backend")


class _Gone(argparse.Action):
    """A flag that train.py had before 2022-12, for training on several machines."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option_string: str | None = None) -> None:
        print(
            f"warning: {option_string} has no effect: use --gpus, and --num_nodes for several machines", file=sys.stderr
        )


def train(parser: TaoParser) -> None:
    """Add train.py's flags."""
    add = parser.add_argument
    add(
        "data",
        nargs="?",
        metavar="DATASET",
        help="folder with train/ and val/, each with a folder of pictures a class",
    )
    add("--model-dir", default="models", metavar="DIR", help="run folder (default: models)")
    text = "continue a run: last, best, a checkpoint or its folder; other weights start a new run"
    add("--resume", metavar="WHAT", help=text)
    add("-e", "--evaluate", action="store_true", help="only score the model on val/")

    add = parser.add_argument_group("data").add_argument
    add("--dataset-type", choices=("folder", "nuswide", "voc"), help="layout of DATASET (default: folder)")
    add("--multi-label", action="store_true", default=None, help="a picture can have any number of classes")
    text = "score from which a class counts as found (default: 0.5)"
    add("--multi-label-threshold", type=number(0, 1), metavar="P", help=text)
    add("--resolution", type=count(16), metavar="R", help="side of the square input in pixels (default: 224)")
    add("--skip-corrupt", action="store_true", help="leave out pictures that cannot be read, with a warning")
    add("-j", "--workers", type=count(0), default=2, metavar="N", help="threads that load pictures (default: 2)")

    add = parser.add_argument_group("network").add_argument
    add("-a", "--arch", metavar="NAME", help="network by torchvision's name (default: resnet18)")
    text = "weights to start from (default: torchvision's, downloaded)"
    add("--pretrained", nargs="?", const="", metavar="FILE", help=text)
    add("--no-pretrained", action="store_true", help="start from random weights")
    text = "trained model (.tlt) to learn from beside the labels; parent: the one that was pruned (default: none)"
    whole(add("--teacher", metavar="FILE", help=text))

    add = parser.add_argument_group("training").add_argument
    text = "epochs of the whole run, including those before --resume (default: 35)"
    add("--epochs", type=count(1), metavar="N", help=text)
    add("--start-epoch", type=count(0), metavar="N", help="epochs a new run leaves out; a resumed run ignores it")
    add("--epoch-start", type=count(0), help=argparse.SUPPRESS)
    add("-b", "--batch-size", type=count(1), metavar="N", help="pictures a step, over all GPUs (default: 8)")
    add("--optimizer", choices=("adam", "sgd"), help="default: adam; sgd where --lr or --momentum is given")
    text = "largest learning rate (default: adam 0.0001, 0.0003 from a .tlt, 0.001 from random weights; sgd 0.001)"
    add("--lr", "--learning-rate", dest="lr", type=number(0, None), metavar="RATE", help=text)
    add("--momentum", type=number(0, 1, least=True), metavar="M", help="SGD momentum (default: 0.9)")
    text = "weight decay of convolution and dense kernels (default: 1e-4)"
    add("--wd", "--weight-decay", dest="wd", type=number(0, 1, least=True), metavar="W", help=text)
    text = "train.py's settings: SGD, learning rate 0.1, divided by 10 every 30 epochs"
    add("--compat-jetson", dest="compat", action="store_true", help=text)
    add("--seed", type=count(0), metavar="N", help="random seed (default: 42)")
    text = "train N runs with this seed and the next ones in seed-S of the run folder, and print their spread"
    whole(add("--seeds", type=count(1), metavar="N", help=text))
    add("-p", "--print-freq", type=count(1), default=10, metavar="N", help="batches between two lines (default: 10)")

    add = parser.add_argument_group("machine").add_argument
    add("--gpu", type=count(0), metavar="I", help="GPU to use (default: the first; the CPU where there is none)")
    add("--gpus", type=count(1), default=1, metavar="N", help="number of GPUs that share each step (default: 1)")
    processes.threads_flag(add)
    add_key(add)
    processes.add_flags(parser.add_argument_group(processes.TITLE).add_argument)
    for flag in _GONE:
        add(flag, action=_Gone, help=argparse.SUPPRESS)
    add("--multiprocessing-distributed", action=_Gone, nargs=0, help=argparse.SUPPRESS)


def export(parser: TaoParser) -> None:
    """Add onnx_export.py's flags."""
    add = parser.add_argument
    add("--model-dir", default="", metavar="DIR", help="run folder")
    add("--input", default=BEST, metavar="FILE", help=f"model in the run folder (default: {BEST})")
    add("--output", default="", metavar="FILE", help="ONNX file (default: ARCH.onnx in the run folder)")
    text = "do not end the network in softmax (--multi-label: sigmoid)"
    add("--no-activation", "--no-softmax", dest="plain", nargs="?", const=True, default=False, type=truth, help=text)
    text = "ONNX opset (default: 17; 18 for a swin)"
    add("--target_opset", type=count(11), default=17, metavar="N", help=text)
    add_key(add)


def inference(parser: TaoParser) -> None:
    """Add imagenet's flags."""
    add = parser.add_argument
    add_stream(parser, network=IMAGENET)
    add("--labels", metavar="FILE", help="class names, one a line; needed for an ONNX that does not name its classes")
    text = "least confidence shown (default: 0.01; for tags, the one of training)"
    add("--threshold", type=number(0, 1, least=True), metavar="P", help=text)
    text = "classes a picture, 0 for all (default: 1; for tags, 0)"
    add("--topK", "--topk", dest="top", type=count(0), metavar="K", help=text)
    text = "weight of a new video frame, or number of frames to average (default: 0, none)"
    add("--smoothing", type=number(0, None, least=True), default=0.0, metavar="S", help=text)
    text = "crop as in training, or stretch as imagenet does (default: crop)"
    add("--fit", choices=("crop", "stretch"), help=text)
    add_key(add)
    for flag in ("--input-blob", "--input_blob", "--output-blob", "--output_blob"):
        add(flag, help=argparse.SUPPRESS)
