"""The flags of classification's own tasks, TAO's letter for letter (reference/tao_classification_ssd.md 3.6 and
reference/deploy.md 2), and a few of ours."""

from __future__ import annotations

import argparse

from taolite.cli.parsing import without_effect
from taolite.cli.tao import flags
from taolite.cli.tao.flags import SPEC, key_flag, results_flag, runtime_flag, skip_corrupt_flag, training

__all__ = ["calibration_tensorfile", "evaluate", "export", "inference", "train"]

_CHECKED = "class map (JSON) to compare with the classes of the model"


def train(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-e", "--experiment_spec_file", required=True, metavar="SPEC", help=SPEC)
    add("-r", "--results_dir", required=True, metavar="DIR", help="run folder")
    key_flag(parser)
    text = "JSON {class: number} (default: class folders in alphabetical order)"
    add("-c", "--classmap", metavar="FILE", help=text)
    text = "threads that prepare images (default: n_workers of SPEC)"
    add("--workers", type=int, metavar="N", help=text)
    training(parser)
    without_effect(parser, "--init_epoch", why="a run continues from its results folder")


def evaluate(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-e", "--experiment_spec", required=True, metavar="SPEC", help=f"{SPEC} with eval_config")
    text = "model: .tlt, .etlt, .onnx or engine (default: eval_config.model_path)"
    add("-m", "--model_path", metavar="MODEL", help=text)
    key_flag(parser)
    add("-cm", "-c", "--classmap", metavar="FILE", help=_CHECKED)
    add("-b", "--batch_size", type=int, metavar="N", help="images in a batch (default: that of SPEC)")
    results_flag(
        parser,
        "-r",
        "--results_dir",
        files="status.json, results.json, scores.json, finds.json, plots/ and confusion.png",
    )
    text = "class folders to score (default: eval_dataset_path of SPEC)"
    add("-i", "--image_dir", dest="pictures", metavar="DIR", help=text)
    skip_corrupt_flag(add)
    runtime_flag(parser)
    add("--json", action="store_true", help="print the scores as one JSON object")
    parser.set_defaults(framework="tlt")
    without_effect(parser, "--label_dir -l")


def export(parser: argparse.ArgumentParser) -> None:
    flags.export(parser)
    parser.add_argument("--classmap_json", metavar="FILE", help=_CHECKED)


def calibration_tensorfile(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-e", "--experiment_spec_file", required=True, metavar="SPEC", help=SPEC)
    add("-o", "--output", dest="output_path", required=True, metavar="FILE", help="tensorfile to write (HDF5)")
    text = "number of batches; -1 is all (default: 1)"
    add("-m", "--max_batches", type=int, default=1, metavar="N", help=text)
    text = "take validation images (default: training images)"
    add("--use_validation_set", action="store_true", help=text)
    results_flag(parser, "-r", "--results_dir")
    key_flag(parser)


def inference(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("-m", "--model_path", required=True, metavar="MODEL", help="model: .tlt, .etlt, .onnx or engine")
    add("-i", "--image", metavar="PICTURE", help="one picture, whose scores are printed; or a folder")
    text = "folder of pictures, with the folders below; writes result.csv"
    add("-d", "--image_dir", metavar="DIR", help=text)
    key_flag(parser)
    text = "spec that says whether pictures are cropped (default: as the model was trained)"
    add("-e", "--experiment_spec", metavar="SPEC", help=text)
    add("-b", "--batch_size", type=int, metavar="N", help="batch size (default: the batch size in SPEC, else 1)")
    add("-cm", "-c", "--classmap", metavar="FILE", help=_CHECKED)
    text = "folder for result.csv and images_annotated/ (default: result.csv in the folder of -d)"
    add("-r", "--results_dir", metavar="DIR", help=text)
    runtime_flag(parser)
