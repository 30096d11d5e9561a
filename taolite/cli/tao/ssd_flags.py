"""The flags of SSD's own tasks, TAO's letter for letter (reference/tao_classification_ssd.md 4.3, 4.7 and
reference/deploy.md 2), and a few of ours."""

from __future__ import annotations

import argparse

from taolite.cli.parsing import without_effect
from taolite.cli.tao import flags as shared
from taolite.cli.tao.detectnet_flags import WORKERS
from taolite.cli.tao.flags import SPEC, key_flag, results_flag, runtime_flag, skip_corrupt_flag, training
from taolite.cli.values import number

__all__ = ["dataset_convert", "evaluate", "export", "inference", "train"]

_MODEL = "model: .tlt, .etlt, .onnx or engine"


def dataset_convert(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-d", "--dataset_export_spec", required=True, metavar="SPEC", help="conversion spec")
    add("-o", "--output_filename", required=True, metavar="PREFIX", help="records to write: PREFIX-fold-...")
    results_flag(parser, "-r", "--results_dir")
    add("--workers", type=int, metavar="N", help=WORKERS)
    without_effect(parser, "--validation_fold -f", why="validation reads folders, as in TAO")
    without_effect(parser, "--class_names_file -c", why="records hold names; target_class_mapping chooses in training")


def train(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-e", "--experiment_spec_file", required=True, metavar="SPEC", help=SPEC)
    add("-r", "--results_dir", required=True, metavar="DIR", help="run folder")
    key_flag(parser)
    text = "weights to start from: a backbone, or a .tlt, pruned or not"
    add("-m", "--resume_model_weights", metavar="MODEL", help=text)
    add("--initial_epoch", type=int, default=1, metavar="N", help=argparse.SUPPRESS)
    add("--arch", choices=("ssd", "dssd"), help="network; dssd is not built in this version (default: ssd)")
    text = "threads that prepare images (default: n_workers of SPEC, or 2)"
    add("--workers", type=int, metavar="N", help=text)
    training(parser, resume="--resume_run")
    without_effect(parser, "--use_multiprocessing", values=0, why="images are prepared in threads")


def evaluate(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-m", "--model_path", required=True, metavar="MODEL", help=_MODEL)
    add("-e", "--experiment_spec", required=True, metavar="SPEC", help=SPEC)
    key_flag(parser)
    add("-b", "--batch_size", type=int, metavar="N", help="images in a batch (default: that of SPEC)")
    results_flag(parser, "-r", "--results_dir", files="status.json, results.json, scores.json, finds.json and plots/")
    skip_corrupt_flag(add)
    runtime_flag(parser)
    add("--json", action="store_true", help="print the scores as one JSON object")
    parser.set_defaults(framework="tlt")
    without_effect(parser, "--image_dir -i", "--label_dir -l")


def export(parser: argparse.ArgumentParser) -> None:
    shared.export(parser)
    text = "end in NMS, for ONNX Runtime and OpenVINO (default: raw outputs)"
    parser.add_argument("--onnx_nms", action="store_true", help=text)


def inference(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-m", "--model_path", required=True, metavar="MODEL", help=_MODEL)
    add("-i", "--image_dir", required=True, metavar="PLACE", help="folder, picture, video or camera (/dev/video0)")
    add("-e", "--experiment_spec", required=True, metavar="SPEC", help=SPEC)
    add("-r", "--results_dir", required=True, metavar="DIR", help="folder for images_annotated/ and labels/")
    key_flag(parser)
    text = "least score of a box that is shown (default: 0.3)"
    add("-t", "--threshold", type=number(0, 1), default=0.3, metavar="T", help=text)
    add("-b", "--batch_size", type=int, default=1, metavar="N", help="batch size (default: 1)")
    runtime_flag(parser)
