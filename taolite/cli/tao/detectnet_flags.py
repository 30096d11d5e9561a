"""The flags of DetectNet_v2's own tasks, TAO's letter for letter (reference 2), and a few of ours."""

from __future__ import annotations

import argparse

from taolite.cli.tao.flags import key_flag, runtime_flag, training, without_effect

__all__ = ["calibration_tensorfile", "dataset_convert", "evaluate", "inference", "train"]


def dataset_convert(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-d", "--dataset_export_spec", required=True, metavar="SPEC", help="TAO's conversion spec")
    parser.add_argument("-o", "--output_filename", required=True, metavar="PREFIX", help="files are PREFIX-fold-...")
    parser.add_argument("-f", "--validation_fold", type=int, metavar="FOLD", help="the fold the sample modifier leaves")
    parser.add_argument(
        "--workers", type=int, metavar="N", help="processes that read labels; else one a processor, 8 at most"
    )
    parser.add_argument("-r", "--results_dir", metavar="DIR", help="where status.json is written")
    key_flag(parser)


def train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-e", "--experiment_spec_file", metavar="SPEC", help="training spec; else TAO's built-in one")
    parser.add_argument("-r", "--results_dir", metavar="DIR", help="the run's folder; else ~/experiments/drivenet_DATE")
    parser.add_argument("-n", "--model_name", default="model", metavar="NAME", help="the model is weights/NAME.tlt")
    parser.add_argument("--workers", type=int, default=2, metavar="N", help="threads that prepare images")
    training(parser)
    key_flag(parser)


def evaluate(parser: argparse.ArgumentParser, *, deploy: bool = False) -> None:
    """`deploy`: as TAO Deploy has it, where -r is required (reference/deploy.md 2.4)."""
    parser.add_argument("-e", "--experiment_spec", required=True, metavar="SPEC", help="the training spec")
    parser.add_argument("-m", "--model_path", required=True, metavar="MODEL", help=".tlt, .etlt, .onnx or an engine")
    parser.add_argument("-f", "--framework", choices=("tlt", "tensorrt"), default="tlt", help="tensorrt: an engine")
    parser.add_argument("--use_training_set", action="store_true", help="score the training images")
    parser.add_argument(
        "-b", "--batch_size", type=int, metavar="N", help="images at once; unless told, as -m or -e say"
    )
    parser.add_argument(
        "-r", "--results_dir", required=deploy, metavar="DIR", help="where status.json and results.json are written"
    )
    runtime_flag(parser)
    parser.add_argument("--json", action="store_true", help="the scores as one JSON object")
    key_flag(parser)
    without_effect(parser, "--image_dir -i", "--label_dir -l")


def calibration_tensorfile(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-e", "--experiment_spec_file", required=True, metavar="SPEC", help="the training spec")
    parser.add_argument("-o", "--output_path", required=True, metavar="FILE", help="the tensorfile (HDF5)")
    parser.add_argument("-m", "--max_batches", type=int, default=-1, metavar="N", help="so many; -1 is all")
    parser.add_argument("--use_validation_set", action="store_true", help="validation instead of training images")
    parser.add_argument("-r", "--results_dir", metavar="DIR", help="where status.json is written")
    key_flag(parser)


def inference(parser: argparse.ArgumentParser, *, deploy: bool = False) -> None:
    """`deploy`: as TAO Deploy has it: -e and -m are required (reference/deploy.md 2.5)."""
    parser.add_argument(
        "-e", "--experiment_spec", required=deploy, metavar="SPEC", help="TAO's inference spec; else the model's own"
    )
    parser.add_argument("-i", "--image_dir", required=True, metavar="PLACE", help="folder, picture, video or camera")
    parser.add_argument("-r", "-o", "--results_dir", required=True, metavar="DIR", help="images_annotated/ and labels/")
    parser.add_argument("-m", "--model_path", required=deploy, metavar="MODEL", help="instead of the spec's")
    parser.add_argument("-b", "--batch_size", type=int, metavar="N", help="pictures at once, instead of the spec's")
    runtime_flag(parser)
    key_flag(parser)
