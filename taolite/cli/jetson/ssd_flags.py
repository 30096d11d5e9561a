"""The flags of pytorch-ssd's scripts, and how its forms of `taolite ssd` tasks are told from TAO's
(reference/jetson_workflows.md 4.1, 5, 6, 7, 9). Every long flag may be spelled with hyphens and with underscores."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any

from taolite.cli import processes
from taolite.cli.jetson.forms import OPEN_KEY, count, number, truth
from taolite.cli.parsing import TaoParser

__all__ = [
    "BEST",
    "PRETRAINED",
    "example",
    "export",
    "inference",
    "is_export",
    "is_inference",
    "is_train",
    "network",
    "score",
    "train",
]

BEST = "model_best.tlt"
PRETRAINED = "models/mobilenet-v1-ssd-mp-0_675.pth"
"""What train_ssd.py starts from, of mb1-ssd."""

_NETS = ("mb1-ssd", "mb1-ssd-lite", "mb2-ssd-lite", "sq-ssd-lite", "vgg16-ssd")
_ALIASES = {"ssd-mobilenet": "mb1-ssd", "mb1-lite-ssd": "mb1-ssd-lite"}


def is_train(words: Sequence[str]) -> bool:
    """TAO's form has a results folder and a spec file, which train_ssd.py has no words for."""
    if not words or set(words) & {"-h", "--help"}:
        return any(word.startswith(("--model-dir", "--data")) for word in words)
    return not any(word.startswith(("--results", "--exp", "-e", "-r")) for word in words)


def is_export(words: Sequence[str]) -> bool:
    flags = ("--model-dir", "--model_dir", "--input", "--net", "--resolution", "--labels", "--width", "--height")
    return any(word.startswith(flags) for word in words)


def is_inference(words: Sequence[str]) -> bool:
    """TAO's form names its pictures behind a flag; detectnet's does not, and its model is `--model`, never `-m`."""
    if any(word[:2] in ("-i", "-e", "-o", "-l") or word.startswith(("--image", "--exp", "--out_")) for word in words):
        return False
    return any(word.partition("=")[0] in ("--model", "--labels", "--class-labels") for word in words)


def _adder(parser: argparse._ActionsContainer) -> Callable[..., Any]:
    """`parser.add_argument` that takes every long flag with hyphens and with underscores."""

    def add(*flags: str, **options: Any) -> Any:
        spellings = [
            spelling
            for flag in flags
            for spelling in ((flag, "--" + flag[2:].replace("-", "_"), "--" + flag[2:].replace("_", "-")))
        ]
        return parser.add_argument(*dict.fromkeys(spellings if flags[0].startswith("--") else flags), **options)

    return add


def train(parser: TaoParser) -> None:
    """train_ssd.py's."""
    add, share = _adder(parser), number(0, 1, least=True)
    add("--dataset-type", choices=("voc", "open_images"), help="layout of the data; open_images")
    add("--datasets", "--data", nargs="+", metavar="DIR", help="roots of the data sets, taken together; data")
    add("--balance-data", action="store_true", default=None, help="as many images of every class; open_images")
    add("--net", type=network, metavar="NET", help=f"{', '.join(_NETS)}; mb1-ssd")
    add("--resolution", type=count(64), metavar="R", help="pixels of the input's sides; 300")
    add("--freeze-base-net", action="store_true", default=None, help="do not train the backbone")
    add("--freeze-net", action="store_true", default=None, help="train nothing but the heads")
    add("--mb2-width-mult", type=number(0, None), metavar="W", help="width of mb2-ssd-lite; 1.0")
    add("--base-net", metavar="FILE", help="weights of a backbone to start from")
    add("--pretrained-ssd", metavar="FILE", help=f"weights to start from, but for the heads; {PRETRAINED}, if there")
    add("--resume", metavar="WHAT", help="go on: last, best, a checkpoint or its folder; weights of others begin")
    add(
        "--optimizer",
        choices=("adam", "sgd"),
        help="adam; sgd, as in train_ssd.py, where a rate or --momentum is given",
    )
    text = "largest, of the heads; 0.0005 of adam, 0.01 of sgd"
    add("--lr", "--learning-rate", dest="lr", type=number(0, None), metavar="RATE", help=text)
    text = "largest of the backbone; 0.0001 of adam, 0.001 of sgd"
    add("--base-net-lr", type=number(0, None, least=True), metavar="RATE", help=text)
    add("--extra-layers-lr", type=number(0, None, least=True), metavar="RATE", help="of the layers between; as --lr")
    add("--momentum", type=share, metavar="M", help="of sgd; 0.9")
    add("--weight-decay", type=share, metavar="W", help="of kernels; 5e-4")
    add("--scheduler", choices=("cosine", "multi-step"), help="how the rates fall; cosine")
    add("--warm-up", type=share, metavar="S", help="share of the run in which the rates rise; 0.05")
    add("--t-max", type=number(0, None, least=True), metavar="N", help="epochs of the cosine; those of the run")
    add("--milestones", type=_milestones, metavar="N,N", help="epochs at which multi-step falls; 80,100")
    add("--gamma", type=number(0, None), metavar="G", help="what multi-step multiplies by; 0.1")
    add("--batch-size", type=count(1), metavar="N", help="pictures in a step, over all GPUs; 4")
    add("--num-epochs", "--epochs", type=count(1), metavar="N", help="epochs of the run, before a --resume too; 30")
    add("--num-workers", "--workers", type=count(0), default=2, metavar="N", help="threads that load pictures; 2")
    add("--validation-epochs", type=count(1), metavar="N", help="epochs from validation to validation; 1")
    flag = {"nargs": "?", "const": True, "type": truth}
    add("--validation-mean-ap", "--validate-mean-ap", **flag, help="always: mAP is told with every validation")
    add("--debug-steps", type=count(1), default=10, metavar="N", help="batches from line to line; 10")
    add("--use-cuda", **flag, default=True, help="false computes on the processor")
    add("--checkpoint-folder", "--model-dir", dest="model_dir", default="models/", metavar="DIR", help="models/")
    add("--log-level", choices=("debug", "info", "warning", "error", "critical"), default="info", help="info")
    add("--seed", dest="random_seed", type=count(0), metavar="N", help="of everything random; 42")
    add("--compat-jetson", dest="compat", action="store_true", help="train_ssd.py's way: sgd, --t-max=100 --warm-up=0")
    add("--gpus", type=count(1), default=1, metavar="N", help="GPUs to share every step's pictures")
    processes.add_flags(_adder(parser.add_argument_group("several machines, the same command on each")))
    _add_key(add)


def score(parser: TaoParser) -> None:
    """eval_ssd.py's."""
    add = _adder(parser)
    add("--net", type=network, metavar="NET", help="the model knows; needed for .pth files")
    add("--model", "--trained_model", metavar="MODEL", help=f"a model, or a run's folder, whose {BEST} is taken")
    add("--dataset_type", choices=("voc", "open_images"), help="layout of the data; that of training")
    add("--dataset", metavar="DIR", help="root of the data set; that of training")
    add("--label_file", metavar="FILE", help="class names; those in the model have to agree")
    add("--resolution", type=count(64), metavar="R", help="the model knows; 300 for .pth files")
    add("--use_cuda", type=truth, nargs="?", const=True, default=True, help="false computes on the processor")
    add("--use_2007_metric", type=truth, metavar="BOOL", help="11 recalls, or false for the whole area; true")
    add("--nms_method", choices=("hard", "soft"), help="remove overlapping boxes, or lower their scores; hard")
    add("--iou_threshold", type=number(0, 1), metavar="IOU", help="a box is found where the overlap is larger; 0.5")
    add("--eval_dir", default="models/eval_results", metavar="DIR", help="where det_test_CLASS.txt go")
    add("--mb2_width_mult", type=number(0, None), metavar="W", help="width of mb2-ssd-lite; for .pth files")
    _add_key(add)


def export(parser: TaoParser) -> None:
    """onnx_export.py's."""
    add = _adder(parser)
    add("--net", metavar="NET", type=_nickname, help="names the output; ssd-mobilenet is mb1-ssd")
    add("--input", default="", metavar="FILE", help=f"which model of the folder; {BEST}")
    add("--output", default="", metavar="FILE", help="ssd-mobilenet.onnx, or NET.onnx, in the run's folder")
    add("--labels", default="", metavar="FILE", help="class names; those in the model have to agree")
    for flag in ("--width", "--height", "--resolution"):
        add(flag, type=count(64), metavar="R", help="the model knows; another one is refused")
    add("--batch-size", type=count(1), default=1, metavar="N", help="fixed in the export; 1")
    add("--onnx-nms", action="store_true", help="let it end in NMS, for ONNX Runtime and OpenVINO; else raw outputs")
    add("--model-dir", default="", metavar="DIR", help="the run's folder")
    _add_key(add)


def inference(parser: TaoParser) -> None:
    """detectnet's."""
    add = _adder(parser)
    add("input", metavar="IN", help="a picture, a folder, a pattern, a video or a camera")
    add("output", nargs="?", metavar="OUT", help="annotated pictures: a file, a name with %%i in it, or a folder")
    add("--model", required=True, metavar="FILE", help=".onnx, .tlt, .etlt or an engine")
    add("--labels", "--class-labels", dest="labels", metavar="FILE", help="class names; the model's have to agree")
    add("--colors", "--class-colors", dest="colours", metavar="FILE", help="`r g b` a line, BACKGROUND's first")
    add("--threshold", "--confidence", type=number(0, 1, least=True), metavar="P", help="least confidence; 0.5")
    add("--clustering", type=number(0, 1, least=True), help=argparse.SUPPRESS)
    _add_key(add)
    for flag in ("--input-blob", "--output-cvg", "--output-bbox", "--output-blob"):
        add(flag, help=argparse.SUPPRESS)


def example(parser: TaoParser) -> None:
    """run_ssd_example.py's."""
    add = _adder(parser)
    add("net", type=network, metavar="NET", help=", ".join(_NETS))
    add("model", metavar="MODEL", help=".tlt, .pth, .onnx or an engine")
    add("labels", metavar="LABELS", help="class names; those in the model have to agree")
    add("image", metavar="PICTURE")
    add("--resolution", type=count(64), metavar="R", help="the model knows; 300 for .pth files")
    _add_key(add)


def _add_key(add: Callable[..., Any]) -> None:
    add("-k", "--key", metavar="KEY", help=f"seals and opens models, as KEY, @FILE or TAOLITE_KEY; else {OPEN_KEY}")


def network(text: str) -> str:
    """pytorch-ssd's name of a network, or a nickname that its scripts have."""
    net = _ALIASES.get(text, text)
    if net not in _NETS:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(_NETS)}")
    return net


def _nickname(text: str) -> str:
    """As `network`, but the word itself: a file is named after it."""
    network(text)
    return text


def _milestones(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} needs to be epochs with commas between, as in 80,100")
    return tuple(map(int, parts))
