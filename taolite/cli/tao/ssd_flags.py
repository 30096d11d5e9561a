"""The flags of SSD's own tasks, TAO's letter for letter (reference/tao_classification_ssd.md 4.3, 4.7 and
reference/deploy.md 2), and a few of ours."""

from __future__ import annotations

import argparse

from taolite.cli.jetson.forms import number
from taolite.cli.tao import flags as shared
from taolite.cli.tao.flags import key_flag, runtime_flag, training, without_effect

__all__ = ["dataset_convert", "evaluate", "export", "inference", "train"]


def dataset_convert(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-d", "--dataset_export_spec", required=True, metavar="SPEC", help="TAO's conversion spec")
    parser.add_argument("-o", "--output_filename", required=True, metavar="PREFIX", help="files are PREFIX-fold-...")
    parser.add_argument("-r", "--results_dir", metavar="DIR", help="where status.json is written")
    parser.add_argument(
        "--workers", type=int, metavar="N", help="processes that read labels; else one a processor, 8 at most"
    )
    without_effect(parser, "--validation_fold -f", why="validation reads folders, as in TAO")
    without_effect(parser, "--class_names_file -c", why="records hold names; target_class_mapping chooses in training")


def train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-e", "--experiment_spec_file", required=True, metavar="SPEC", help="the spec")
    parser.add_argument("-r", "--results_dir", required=True, metavar="DIR", help="the run's folder")
    parser.add_argument(
        "-m", "--resume_model_weights", metavar="MODEL", help="weights to start from: a backbone, or a .tlt, pruned too"
    )
    parser.add_argument("--initial_epoch", type=int, default=1, metavar="N", help=argparse.SUPPRESS)
    parser.add_argument("--arch", choices=("ssd", "dssd"), help="ssd; dssd is not built in this version")
    parser.add_argument("--workers", type=int, metavar="N", help="threads that prepare images; else as -e says, or 2")
    training(parser, resume="--resume_run")
    without_effect(parser, "--use_multiprocessing", values=0, why="images are prepared in threads")
    key_flag(parser)


def evaluate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-m", "--model_path", required=True, metavar="MODEL", help=".tlt, .etlt, .onnx or an engine")
    parser.add_argument("-e", "--experiment_spec", required=True, metavar="SPEC", help="the training spec")
    parser.add_argument("-b", "--batch_size", type=int, metavar="N", help="images at once, instead of the spec's")
    parser.add_argument("-r", "--results_dir", metavar="DIR", help="where status.json and results.json are written")
    runtime_flag(parser)
    parser.add_argument("--json", action="store_true", help="the scores as one JSON object")
    parser.set_defaults(framework="tlt")
    key_flag(parser)
    without_effect(parser, "--image_dir -i", "--label_dir -l")


def export(parser: argparse.ArgumentParser) -> None:
    shared.export(parser)
    parser.add_argument(
        "--onnx_nms", action="store_true", help="let it end in NMS, for ONNX Runtime and OpenVINO; else raw outputs"
    )


def inference(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-m", "--model_path", required=True, metavar="MODEL", help=".tlt, .etlt, .onnx or an engine")
    parser.add_argument("-i", "--image_dir", required=True, metavar="PLACE", help="folder, picture, video or camera")
    parser.add_argument("-e", "--experiment_spec", required=True, metavar="SPEC", help="the training spec")
    parser.add_argument("-r", "--results_dir", required=True, metavar="DIR", help="images_annotated/ and labels/")
    parser.add_argument(
        "-t", "--threshold", type=number(0, 1), default=0.3, metavar="T", help="scores below are not shown; 0.3"
    )
    parser.add_argument("-b", "--batch_size", type=int, default=1, metavar="N", help="pictures at once")
    runtime_flag(parser)
    key_flag(parser)
