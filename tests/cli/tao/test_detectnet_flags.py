"""TAO's flags, letter for letter: the tutorials' own command lines parse, and what has no effect says so."""

from __future__ import annotations

import argparse
import os
import shlex

import pytest

from taolite.cli.parsing import TaoParser
from taolite.cli.tao import detectnet, lifecycle


@pytest.fixture
def parser() -> argparse.ArgumentParser:
    made = TaoParser()
    detectnet.configure(made)
    return made


@pytest.mark.parametrize(
    "line",
    [
        "dataset_convert -d specs/detectnet_tfrecords.txt -o specs/tfrecords/kitti_trainval",
        "dataset_convert --dataset_export_spec s.txt --output_filename o -f 0 -v -r results",
        "train -e s.txt -r data/trained -k tlt_encode -n resnet18_detector --gpus 1",
        "train --experiment_spec_file=s.txt --results_dir=r --key k --model_name n --gpu_index 0 --enable_determinism",
        "train --experiment s.txt --results r -k k --gpu_index 0 1 --gpus 2 --use_amp --log_file l.txt -np 2",
        "evaluate -e s.txt -m m.tlt -k k",
        "evaluate -e s.txt -m e.engine -f tensorrt --use_training_set",
        "prune --gpus 1 -m a.tlt -o b.tlt -k k -eq union -pth 0.0000052",
        "prune -m a.tlt -o b.tlt -k k -n L2 -pg 16 -nf 8 -el conv1 block_1a_conv_1 -eq geometric_mean",
        "export -m a.tlt -o b.etlt -k k",
        "export -m a.tlt -k k --gen_ds_config --data_type fp16 --engine_file e --max_batch_size 4",
        "inference -e s.txt -i photos -o out -k k",
        "inference -e s.txt -i photos -r out -m m.tlt -b 4",
        "gen_trt_engine -m a.etlt -e s.txt -r out --data_type fp16 --engine_file e --batches 10",
    ],
)
def test_command_lines_of_the_tutorials_and_the_reference_parse(parser: argparse.ArgumentParser, line: str):
    options = parser.parse_args(shlex.split(line))

    assert options.task == line.split()[0]


def test_prunes_defaults_are_taos(parser: argparse.ArgumentParser):
    options = parser.parse_args(shlex.split("prune -m a -o b"))

    found = [
        options.normalizer,
        options.equalization_criterion,
        options.pruning_granularity,
        options.pruning_threshold,
        options.min_num_filters,
        options.excluded_layers,
    ]
    assert found == ["max", "union", 8, 0.1, 16, []]


def test_a_flag_without_effect_says_so(parser: argparse.ArgumentParser, capsys: pytest.CaptureFixture[str]):
    parser.parse_args(shlex.split("export -m a -k k --onnx_route keras2onnx -s"))

    assert capsys.readouterr().err.splitlines() == [
        "warning: --onnx_route has no effect in this version",
        "warning: -s has no effect in this version",
    ]


def test_flags_of_taos_launcher_are_taken_and_say_that_no_mpirun_runs(
    parser: argparse.ArgumentParser, capsys: pytest.CaptureFixture[str]
):
    parser.parse_args(shlex.split("train -e s -r r -k k --multi-node --mpirun-arg '-x NCCL_IB_HCA=mlx5'"))

    assert capsys.readouterr().err.splitlines() == [
        "warning: --multi-node has no effect: no mpirun is started here; --num_nodes is for several machines",
        "warning: --mpirun-arg has no effect: no mpirun is started here",
    ]


def test_more_processes_than_gpus_are_refused(capsys: pytest.CaptureFixture[str]):
    from taolite.cli.main import main

    assert main(shlex.split("detectnet train -e s -r r -k k -np 2")) == 1
    assert capsys.readouterr().err.splitlines() == [
        "error: --num_processes 2 with --gpus 1: a process needs a GPU of its own; give both the same number, or leave "
        "--num_processes out"
    ]


def test_cuda_blocking_is_set_before_anything_runs(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CUDA_LAUNCH_BLOCKING", "0")
    options = argparse.Namespace(
        task="prune", gpus=1, num_processes=-1, use_amp=False, log_file=None, launch_cuda_blocking=True
    )

    assert lifecycle.logged(lambda _: int(os.environ["CUDA_LAUNCH_BLOCKING"]), options) == 1
