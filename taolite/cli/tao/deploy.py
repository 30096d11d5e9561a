"""`taolite deploy TASK`, which `tao deploy detectnet_v2 TASK` runs: TAO Deploy's own flags (reference/deploy.md 2)."""

from __future__ import annotations

import argparse

from taolite.cli.parsing import TaoParser
from taolite.cli.tao import detectnet, detectnet_flags, flags, lifecycle

__all__ = ["configure"]


def configure(parser: TaoParser) -> None:
    """Add the tasks."""
    lifecycle.add_tasks(
        parser,
        flags.deploy_common,
        (
            (gen_trt_engine, lifecycle.run_gen_trt_engine, "build an engine from an export"),
            (evaluate, detectnet.run_evaluate, "score an engine on the validation images"),
            (inference, detectnet.run_inference, "find objects: annotated pictures and KITTI labels"),
        ),
        network=detectnet.NETWORK,
    )


def gen_trt_engine(parser: argparse.ArgumentParser) -> None:
    flags.gen_trt_engine(parser, deploy=True)


def evaluate(parser: argparse.ArgumentParser) -> None:
    detectnet_flags.evaluate(parser, deploy=True)
    parser.set_defaults(framework="tensorrt")


def inference(parser: argparse.ArgumentParser) -> None:
    detectnet_flags.inference(parser, deploy=True)
