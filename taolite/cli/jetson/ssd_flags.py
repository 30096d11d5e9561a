"""The flags of pytorch-ssd's scripts and of detectnet (reference/jetson_workflows.md 4.1, 5, 6, 7, 9), and a few of
ours. `JetsonParser` accepts every long flag with hyphens and with underscores."""

from __future__ import annotations

import argparse

from taolite.cli import processes
from taolite.cli.jetson.forms import add_key
from taolite.cli.jetson.looks import DETECTNET, add_stream
from taolite.cli.parsing import TaoParser, near, whole, without_effect
from taolite.cli.streams import OVERLAYS, overlay
from taolite.cli.values import count, number, truth

__all__ = ["BEST", "PRETRAINED", "example", "export", "inference", "network", "score", "train"]

BEST = "model_best.tlt"
PRETRAINED = "models/mobilenet-v1-ssd-mp-0_675.pth"
"""The weights that train_ssd.py starts from, for mb1-ssd."""

_NETS = ("mb1-ssd", "mb1-ssd-lite", "mb2-ssd-lite", "sq-ssd-lite", "vgg16-ssd")
_ALIASES = {"ssd-mobilenet": "mb1-ssd", "mb1-lite-ssd": "mb1-ssd-lite"}
_NMS = "end in NMS, for ONNX Runtime and OpenVINO (default: raw outputs)"

_SKIP = "leave out pictures that cannot be decoded, with a warning"


def train(parser: TaoParser) -> None:
    """Add train_ssd.py's flags."""
    share = number(0, 1, least=True)

    add = parser.add_argument_group("data").add_argument
    add("--dataset-type", choices=("voc", "open_images"), help="layout of the data (default: open_images)")
    add("--datasets", "--data", nargs="+", metavar="DIR", help="roots of the data sets (default: data)")
    add("--balance-data", action="store_true", default=None, help="open_images: as many images of every class")
    add(
        "--num-workers",
        "--workers",
        type=count(0),
        default=2,
        metavar="N",
        help="loading threads (default: 2)",
    )
    add("--skip-corrupt", action="store_true", help=_SKIP)

    add = parser.add_argument_group("network").add_argument
    add("--net", type=network, metavar="NET", help=f"{', '.join(_NETS)} (default: mb1-ssd)")
    add("--resolution", type=count(64), metavar="R", help="side of the square input in pixels (default: 300)")
    add("--mb2-width-mult", type=number(0, None), metavar="W", help="width of mb2-ssd-lite (default: 1.0)")
    add("--freeze-base-net", action="store_true", default=None, help="do not train the backbone")
    add("--freeze-net", action="store_true", default=None, help="train the heads only")
    add("--base-net", metavar="FILE", help="weights of a backbone to start from")
    text = f"weights to start from, without the heads (default: {PRETRAINED}, if it exists)"
    add("--pretrained-ssd", metavar="FILE", help=text)
    text = "trained model (.tlt) to learn from beside the labels; parent: the one that was pruned (default: none)"
    whole(add("--teacher", metavar="FILE", help=text))

    add = parser.add_argument_group("training").add_argument
    text = "epochs of the whole run, including those before --resume (default: 30)"
    add("--num-epochs", "--epochs", type=count(1), metavar="N", help=text)
    add("--batch-size", type=count(1), metavar="N", help="pictures a step, over all GPUs (default: 4)")
    text = "default: adam; sgd where a learning rate or --momentum is given"
    add("--optimizer", choices=("adam", "sgd"), help=text)
    text = "largest learning rate, of the heads (default: adam 0.0005, sgd 0.01)"
    add("--lr", "--learning-rate", dest="lr", type=number(0, None), metavar="RATE", help=text)
    text = "largest learning rate of the backbone (default: adam 0.0001, sgd 0.001)"
    add("--base-net-lr", type=number(0, None, least=True), metavar="RATE", help=text)
    text = "largest learning rate of the layers between (default: that of --lr)"
    add("--extra-layers-lr", type=number(0, None, least=True), metavar="RATE", help=text)
    add("--momentum", type=share, metavar="M", help="SGD momentum (default: 0.9)")
    add("--weight-decay", type=share, metavar="W", help="weight decay of kernels (default: 5e-4)")
    add("--scheduler", choices=("cosine", "multi-step"), help="learning rate schedule (default: cosine)")
    add("--warm-up", type=share, metavar="S", help="share of the run in which learning rates rise (default: 0.05)")
    text = "cosine: epochs until the learning rate is 0 (default: those of the run)"
    add("--t-max", type=number(0, None, least=True), metavar="N", help=text)
    text = "multi-step: epochs at which the learning rate falls (default: 80,100)"
    add("--milestones", type=_milestones, metavar="N,N", help=text)
    add("--gamma", type=number(0, None), metavar="G", help="multi-step: factor of each fall (default: 0.1)")
    text = "train_ssd.py's settings: sgd, --t-max=100, --warm-up=0"
    add("--compat-jetson", dest="compat", action="store_true", help=text)
    add("--seed", dest="random_seed", type=count(0), metavar="N", help="random seed (default: 42)")
    text = "train N runs with this seed and the next ones in seed-S of the run folder, and print their spread"
    whole(add("--seeds", type=count(1), metavar="N", help=text))

    add = parser.add_argument_group("run").add_argument
    text = "run folder (default: models/)"
    add("--checkpoint-folder", "--model-dir", dest="model_dir", default="models/", metavar="DIR", help=text)
    text = "continue a run: last, best, a checkpoint or its folder; other weights start a new run"
    add("--resume", metavar="WHAT", help=text)
    add("--validation-epochs", type=count(1), metavar="N", help="epochs between two validations (default: 1)")
    flags = ("--validation-mean-ap", "--validate-mean-ap")
    add(*flags, nargs="?", const=True, type=truth, help=argparse.SUPPRESS)
    add("--debug-steps", type=count(1), default=10, metavar="N", help="batches between two lines (default: 10)")
    levels = ("debug", "info", "warning", "error", "critical")
    add("--log-level", choices=levels, default="info", metavar="L", help=f"{', '.join(levels)} (default: info)")

    add = parser.add_argument_group("machine").add_argument
    text = "false: compute on the CPU (default: true)"
    add("--use-cuda", nargs="?", const=True, type=truth, default=True, metavar="BOOL", help=text)
    add("--gpus", type=count(1), default=1, metavar="N", help="number of GPUs that share each step (default: 1)")
    processes.threads_flag(add)
    add_key(add)
    processes.add_flags(parser.add_argument_group(processes.TITLE).add_argument)


def score(parser: TaoParser) -> None:
    """Add eval_ssd.py's flags."""
    add = parser.add_argument
    add("--model", "--trained_model", metavar="MODEL", help=f"model, or run folder, whose {BEST} is taken")
    add("--dataset", metavar="DIR", help="root of the data set (default: that of training)")
    add("--dataset_type", choices=("voc", "open_images"), help="layout of the data (default: that of training)")
    add("--label_file", metavar="FILE", help="class names; needed for .pth files")
    add("--net", type=network, metavar="NET", help=f"for .pth files: {', '.join(_NETS)} (default: mb1-ssd)")
    add("--resolution", type=count(64), metavar="R", help="for .pth files: side of the input in pixels (default: 300)")
    add(
        "--mb2_width_mult",
        type=number(0, None),
        metavar="W",
        help="for .pth files: width of mb2-ssd-lite (default: 1)",
    )
    text = "average precision over 11 recalls; false: area under the curve (default: true)"
    add("--use_2007_metric", type=truth, nargs="?", const=True, metavar="BOOL", help=text)
    add("--iou_threshold", type=number(0, 1), metavar="IOU", help="overlap above which a box is right (default: 0.5)")
    text = "remove overlapping boxes, or lower their scores (default: hard)"
    add("--nms_method", choices=("hard", "soft"), help=text)
    add("--skip-corrupt", action="store_true", help=_SKIP)
    text = "folder for det_test_CLASS.txt and PR_curve.png (default: models/eval_results)"
    add("--eval_dir", default="models/eval_results", metavar="DIR", help=text)
    text = "false: compute on the CPU (default: true)"
    add("--use_cuda", type=truth, nargs="?", const=True, default=True, metavar="BOOL", help=text)
    add_key(add)


def export(parser: TaoParser) -> None:
    """Add onnx_export.py's flags."""
    add = parser.add_argument
    add("--model-dir", default="", metavar="DIR", help="run folder")
    add("--input", default="", metavar="FILE", help=f"model in the run folder (default: {BEST})")
    add(
        "--output",
        default="",
        metavar="FILE",
        help="ONNX file (default: NET.onnx in the run folder)",
    )
    add("--labels", default="", metavar="FILE", help="class names; needed for .pth files")
    text = "network of a .pth file, and name of the output (default: ssd-mobilenet)"
    add("--net", metavar="NET", type=_nickname, help=text)
    for flag in ("--width", "--height", "--resolution"):
        add(flag, type=count(64), metavar="R", help="side of the input in pixels; needs to be the model's")
    add("--batch-size", type=count(1), default=1, metavar="N", help="batch size, fixed in the export (default: 1)")
    add("--onnx-nms", action="store_true", help=_NMS)
    add_key(add)


def inference(parser: TaoParser) -> None:
    """Add detectnet's flags."""
    add = parser.add_argument
    add_stream(parser, network=DETECTNET)
    text = "class names, one a line; needed for an ONNX that does not name its classes"
    add("--labels", "--class-labels", dest="labels", metavar="FILE", help=text)
    text = "colours: `r g b` a line, the one of BACKGROUND first"
    add("--colors", "--class-colors", dest="colours", metavar="FILE", help=text)
    text = "least confidence of a box (default: 0.5)"
    add("--threshold", "--confidence", type=number(0, 1, least=True), metavar="P", help=text)
    add("--clustering", type=number(0, 1, least=True), help=argparse.SUPPRESS)
    add_key(add)
    for flag in ("--input-blob", "--output-cvg", "--output-bbox", "--output-blob"):
        add(flag, help=argparse.SUPPRESS)
    whole(*without_effect(parser, "--mean-pixel"))
    add = parser.add_argument_group("overlay and tracking").add_argument
    text = f"what is drawn, commas between: {', '.join(OVERLAYS)}, none (default: box,labels,conf)"
    whole(add("--overlay", type=overlay, default=frozenset({"default"}), metavar="WORDS", help=text))
    whole(
        add("--alpha", type=_alpha, default=120, metavar="A", help="opacity of filled boxes, 0 to 255 (default: 120)")
    )
    text = "give objects numbers over the frames of a video (needs the extra track)"
    parser.optional = {"--tracking": ("true", "false")}
    whole(add("--tracking", type=truth, default=False, metavar="BOOL", help=text))
    text = "IOU or KLT; both are ByteTrack here, and turn --tracking on"
    whole(add("--tracker", type=str.upper, choices=("IOU", "KLT"), metavar="NAME", help=text))
    text = "an object gets its number after so many frames (default: 3)"
    whole(add("--tracker-min-frames", type=count(1), default=3, metavar="N", help=text))
    text = "an object that is not seen is given up after so many frames (default: 15)"
    whole(add("--tracker-drop-frames", type=count(0), default=15, metavar="N", help=text))
    text = "least overlap (IoU) with the place where an object is expected (default: 0.5)"
    whole(add("--tracker-overlap", type=number(0, 1), default=0.5, metavar="IOU", help=text))


def example(parser: TaoParser) -> None:
    """Add run_ssd_example.py's flags."""
    add = parser.add_argument
    add("net", type=network, metavar="NET", help=", ".join(_NETS))
    add("model", metavar="MODEL", help=".tlt, .pth, .onnx or engine")
    add("labels", metavar="LABELS", help="class names, one a line")
    add("image", metavar="PICTURE", help="picture; the result is run_ssd_example_output.jpg")
    add("--resolution", type=count(64), metavar="R", help="for .pth files: side of the input in pixels (default: 300)")
    add_key(add)


def network(text: str) -> str:
    """pytorch-ssd's name of a network; also accepts the nicknames in its scripts."""
    net = _ALIASES.get(text, text)
    if net not in _NETS:
        meant = near(text, (*_NETS, *_ALIASES))
        hint = f"; did you mean {meant}?" if meant else ""
        raise argparse.ArgumentTypeError(f"{text!r} is not one of {', '.join(_NETS)}{hint}")
    return net


def _nickname(text: str) -> str:
    """Checks as `network`, but returns the word as given: a file is named after it."""
    network(text)
    return text


def _alpha(text: str) -> int:
    value = float(text) if text.replace(".", "", 1).isdecimal() else -1.0
    if not 0 <= value <= 255:
        raise argparse.ArgumentTypeError(f"{text!r} needs to be a number from 0 to 255")
    return round(value)


def _milestones(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} needs to be epochs with commas between, as in 80,100")
    return tuple(map(int, parts))
