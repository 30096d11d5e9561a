"""The flags of DetectNet_v2's own tasks, TAO's letter for letter (reference 2), and a few of ours."""

from __future__ import annotations

import argparse

from taolite.cli.parsing import without_effect
from taolite.cli.tao.flags import SPEC, key_flag, results_flag, runtime_flag, skip_corrupt_flag, training

__all__ = ["calibration_tensorfile", "dataset_convert", "evaluate", "inference", "train"]

WORKERS = "processes that read labels (default: one for each CPU core, 8 at most)"


def dataset_convert(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-d", "--dataset_export_spec", required=True, metavar="SPEC", help="conversion spec")
    add("-o", "--output_filename", required=True, metavar="PREFIX", help="records to write: PREFIX-fold-...")
    text = "fold that the sample modifier leaves as it is"
    add("-f", "--validation_fold", type=int, metavar="FOLD", help=text)
    add("--workers", type=int, metavar="N", help=WORKERS)
    results_flag(parser, "-r", "--results_dir")
    key_flag(parser)


def train(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-e", "--experiment_spec_file", metavar="SPEC", help=f"{SPEC} (default: TAO's built-in one)")
    text = "run folder (default: ~/experiments/drivenet_DATE)"
    add("-r", "--results_dir", metavar="DIR", help=text)
    text = "name of the model, weights/NAME.tlt (default: model)"
    add("-n", "--model_name", default="model", metavar="NAME", help=text)
    key_flag(parser)
    add("--workers", type=int, default=2, metavar="N", help="threads that prepare images (default: 2)")
    training(parser)


def evaluate(parser: argparse.ArgumentParser, *, deploy: bool = False) -> None:
    """`deploy`: as TAO Deploy has it, where -r is required (reference/deploy.md 2.4)."""
    add = parser.add_argument
    add("-e", "--experiment_spec", required=True, metavar="SPEC", help=SPEC)
    add("-m", "--model_path", required=True, metavar="MODEL", help="model: .tlt, .etlt, .onnx or engine")
    key_flag(parser)
    text = "tensorrt: the model is an engine (default: tlt)"
    add("-f", "--framework", choices=("tlt", "tensorrt"), default="tlt", help=text)
    text = "score the training images (default: the validation images)"
    add("--use_training_set", action="store_true", help=text)
    text = "images in a batch (default: that of the engine or spec)"
    add("-b", "--batch_size", type=int, metavar="N", help=text)
    results_flag(
        parser,
        "-r",
        "--results_dir",
        files="status.json, results.json, scores.json, finds.json and plots/",
        needed=deploy,
    )
    skip_corrupt_flag(add)
    runtime_flag(parser)
    add("--json", action="store_true", help="print the scores as one JSON object")
    without_effect(parser, "--image_dir -i", "--label_dir -l")


def calibration_tensorfile(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-e", "--experiment_spec_file", required=True, metavar="SPEC", help=SPEC)
    add("-o", "--output_path", required=True, metavar="FILE", help="tensorfile to write (HDF5)")
    add("-m", "--max_batches", type=int, default=-1, metavar="N", help="number of batches (default: -1, all)")
    text = "take validation images (default: training images)"
    add("--use_validation_set", action="store_true", help=text)
    results_flag(parser, "-r", "--results_dir")
    key_flag(parser)


def inference(parser: argparse.ArgumentParser, *, deploy: bool = False) -> None:
    """`deploy`: as TAO Deploy has it: -e and -m are required (reference/deploy.md 2.5)."""
    add = parser.add_argument
    text = "inference spec (default: what the model says)"
    add("-e", "--experiment_spec", required=deploy, metavar="SPEC", help=text.partition(" (")[0] if deploy else text)
    add("-i", "--image_dir", required=True, metavar="PLACE", help="folder, picture, video or camera (/dev/video0)")
    text = "folder for images_annotated/ and labels/"
    add("-r", "-o", "--results_dir", required=True, metavar="DIR", help=text)
    add("-m", "--model_path", required=deploy, metavar="MODEL", help="model (default: the one in SPEC)")
    key_flag(parser)
    add("-b", "--batch_size", type=int, metavar="N", help="batch size (default: the batch size in SPEC, else 1)")
    runtime_flag(parser)
