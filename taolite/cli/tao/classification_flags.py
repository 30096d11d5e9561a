"""The flags of classification's own tasks, TAO's letter for letter (reference/tao_classification_ssd.md 3.6 and
reference/deploy.md 2), and a few of ours."""

from __future__ import annotations

import argparse

from taolite.cli.tao import flags
from taolite.cli.tao.flags import key_flag, runtime_flag, training, without_effect

__all__ = ["calibration_tensorfile", "evaluate", "export", "inference", "train"]


def train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-e", "--experiment_spec_file", required=True, metavar="SPEC", help="the spec")
    parser.add_argument("-r", "--results_dir", required=True, metavar="DIR", help="the run's folder")
    parser.add_argument("-c", "--classmap", metavar="FILE", help="JSON {class: number}; else the sorted class folders")
    parser.add_argument("--skip-corrupt", action="store_true", help="leave out pictures that cannot be read")
    parser.add_argument("--workers", type=int, metavar="N", help="threads that prepare images; else as -e says")
    training(parser)
    without_effect(parser, "--init_epoch", why="a run goes on by itself from where its results folder stands")
    key_flag(parser)


def evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-e", "--experiment_spec", required=True, metavar="SPEC", help="the spec, with eval_config")
    parser.add_argument("-m", "--model_path", metavar="MODEL", help="instead of the spec's: .tlt, .onnx or an engine")
    parser.add_argument("-cm", "-c", "--classmap", metavar="FILE", help="checked: the model knows its classes")
    parser.add_argument("-b", "--batch_size", type=int, metavar="N", help="images at once, instead of the spec's")
    parser.add_argument(
        "-r", "--results_dir", metavar="DIR", help="where status.json, results.json and confusion.png are written"
    )
    text = "class folders to score, instead of the spec's eval_dataset_path"
    parser.add_argument("-i", "--image_dir", dest="pictures", metavar="DIR", help=text)
    parser.add_argument("--skip-corrupt", action="store_true", help="leave out pictures that cannot be read")
    runtime_flag(parser)
    parser.add_argument("--json", action="store_true", help="the scores as one JSON object")
    parser.set_defaults(framework="tlt")
    key_flag(parser)
    without_effect(parser, "--label_dir -l")


def export(parser: argparse.ArgumentParser) -> None:
    flags.export(parser)
    parser.add_argument("--classmap_json", metavar="FILE", help="checked: the model knows its classes")


def calibration_tensorfile(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-e", "--experiment_spec_file", required=True, metavar="SPEC", help="the spec")
    parser.add_argument(
        "-o", "--output", dest="output_path", required=True, metavar="FILE", help="the tensorfile (HDF5)"
    )
    parser.add_argument("-m", "--max_batches", type=int, default=1, metavar="N", help="so many; -1 is all")
    parser.add_argument("--use_validation_set", action="store_true", help="validation instead of training images")
    parser.add_argument("-r", "--results_dir", metavar="DIR", help="where status.json is written")
    key_flag(parser)


def inference(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-m", "--model_path", required=True, metavar="MODEL", help=".tlt, .etlt, .onnx or an engine")
    parser.add_argument("-i", "--image", metavar="PICTURE", help="one picture, whose scores are printed; or a folder")
    parser.add_argument("-d", "--image_dir", metavar="DIR", help="pictures, also those in folders below: result.csv")
    parser.add_argument("-e", "--experiment_spec", metavar="SPEC", help="whether pictures are cropped; else the model")
    parser.add_argument("-b", "--batch_size", type=int, metavar="N", help="pictures at once")
    parser.add_argument("-cm", "-c", "--classmap", metavar="FILE", help="checked: the model knows its classes")
    parser.add_argument(
        "-r", "--results_dir", metavar="DIR", help="result.csv and images_annotated/; else result.csv beside -d"
    )
    runtime_flag(parser)
    key_flag(parser)
