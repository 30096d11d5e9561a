"""TAO's flag tables (reference 2, reference/deploy.md 2, reference/tao_classification_ssd.md 4.3 and 4.7) against our
parsers: every flag, default and abbreviation."""

from __future__ import annotations

import argparse
import subprocess
import sys
from typing import Any, NamedTuple

import pytest

from taolite.cli.parsing import TaoParser
from taolite.cli.tao import deploy, detectnet, ssd

REQUIRED = "required"
OURS = "the command's own default"


class Flag(NamedTuple):
    """The flag's names, its default, and words that stand behind it where it takes some."""

    names: tuple[str, ...]
    default: Any
    value: tuple[str, ...] = ("7",)


def flag(names: str, default: Any = None, *value: str) -> Flag:
    return Flag(tuple(names.split()), default, value or ("7",))


def switch(names: str) -> Flag:
    return Flag(tuple(names.split()), False, ())


COMMON = (
    flag("--num_processes -np", -1),
    flag("--gpus", 1),
    flag("--gpu_index", None, "0", "1"),
    switch("--use_amp"),
    flag("--log_file"),
    switch("--multi-node"),
    flag("--mpirun-arg"),
    switch("--launch_cuda_blocking"),
)
TABLES: dict[str, tuple[Flag, ...]] = {
    "dataset_convert": (
        flag("--dataset_export_spec -d", REQUIRED),
        flag("--output_filename -o", REQUIRED),
        flag("--validation_fold -f"),
        switch("--verbose -v"),
        flag("--results_dir -r"),
    ),
    "train": (
        flag("--experiment_spec_file -e", OURS),
        flag("--results_dir -r", OURS),
        flag("--model_name -n", "model"),
        flag("--key -k", OURS),
        switch("--verbose -v"),
        switch("--enable_determinism"),
    ),
    "evaluate": (
        flag("--experiment_spec -e", REQUIRED),
        flag("--model_path -m", REQUIRED),
        flag("--key -k", OURS),
        flag("--framework -f", "tlt", "tensorrt"),
        switch("--use_training_set"),
        flag("--results_dir -r"),
        switch("--verbose -v"),
        flag("--image_dir -i"),
        flag("--label_dir -l"),
        flag("--batch_size -b"),
    ),
    "inference": (
        flag("--experiment_spec -e", OURS),
        flag("--image_dir -i", REQUIRED),
        flag("--results_dir -r -o", REQUIRED),
        flag("--key -k", OURS),
        flag("--batch_size -b"),
        flag("--model_path -m"),
        switch("--verbosity -v"),
    ),
    "prune": (
        flag("--model -m", REQUIRED),
        flag("--output_file -o", REQUIRED),
        flag("--key -k", OURS),
        flag("--normalizer -n", "max", "L2"),
        flag("--equalization_criterion -eq", "union", "intersection"),
        flag("--pruning_granularity -pg", 8),
        flag("--pruning_threshold -pth", 0.1),
        flag("--min_num_filters -nf", 16),
        flag("--excluded_layers -el", [], "conv1", "conv2"),
        flag("--results_dir"),
        switch("--verbose -v"),
    ),
    "export": (
        flag("--model -m", REQUIRED),
        flag("--key -k", OURS),
        flag("--output_file -o"),
        flag("--experiment_spec -e"),
        flag("--data_type", OURS, "fp16"),
        flag("--cal_data_file", OURS),
        flag("--cal_image_dir", OURS),
        flag("--cal_cache_file", OURS),
        flag("--cal_json_file", OURS),
        flag("--batches", OURS),
        flag("--batch_size", OURS),
        flag("--max_batch_size", 1),
        flag("--min_batch_size", 1),
        flag("--opt_batch_size", 1),
        flag("--max_workspace_size", 2 << 30),
        flag("--engine_file"),
        flag("--static_batch_size", -1),
        flag("--target_opset", OURS),
        flag("--onnx_route", OURS, "tf2onnx"),
        switch("--strict_type_constraints -s"),
        switch("--force_ptq"),
        switch("--gen_ds_config"),
        flag("--results_dir"),
        switch("--verbose -v"),
    ),
    "calibration_tensorfile": (
        flag("--experiment_spec_file -e", OURS),
        flag("--output_path -o", OURS),
        flag("--max_batches -m", -1),
        switch("--use_validation_set"),
        switch("--verbose -v"),
        flag("--key -k", OURS),
    ),
}
SSD: dict[str, tuple[Flag, ...]] = {
    "dataset_convert": (
        flag("--dataset_export_spec -d", REQUIRED),
        flag("--output_filename -o", REQUIRED),
        flag("--validation_fold -f"),
        flag("--class_names_file -c"),
        flag("--results_dir -r"),
        switch("--verbose -v"),
    ),
    "train": (
        flag("--experiment_spec_file -e", REQUIRED),
        flag("--results_dir -r", REQUIRED),
        flag("--key -k", OURS),
        flag("--resume_model_weights -m"),
        flag("--initial_epoch", 1),
        flag("--arch", None, "ssd"),
        switch("--use_multiprocessing"),
    ),
    "evaluate": (
        flag("--model_path -m", REQUIRED),
        flag("--experiment_spec -e", REQUIRED),
        flag("--key -k", OURS),
        flag("--results_dir -r"),
        flag("--image_dir -i"),
        flag("--label_dir -l"),
        flag("--batch_size -b", OURS),
    ),
    "inference": (
        flag("--model_path -m", REQUIRED),
        flag("--image_dir -i", REQUIRED),
        flag("--experiment_spec -e", REQUIRED),
        flag("--key -k", OURS),
        flag("--threshold -t", 0.3, "0.5"),
        flag("--results_dir -r", REQUIRED),
        flag("--batch_size -b", 1),
    ),
    "prune": TABLES["prune"],
    "export": TABLES["export"],
}
DEPLOY_COMMON = (flag("--gpu_index", OURS), flag("--log_file"))
DEPLOY: dict[str, tuple[Flag, ...]] = {
    "gen_trt_engine": (
        flag("--model_path -m", REQUIRED),
        flag("--key -k"),
        flag("--experiment_spec -e", REQUIRED),
        flag("--data_type", "fp32", "fp16"),
        flag("--cal_image_dir", OURS),
        flag("--cal_data_file", OURS),
        flag("--cal_cache_file"),
        flag("--cal_json_file"),
        flag("--engine_file"),
        flag("--max_batch_size", 1),
        flag("--min_batch_size", 1),
        flag("--opt_batch_size", 1),
        flag("--batch_size", OURS),
        flag("--batches", OURS),
        flag("--max_workspace_size", 2),
        switch("--strict_type_constraints -s"),
        switch("--force_ptq"),
        switch("--verbose -v"),
        flag("--results_dir -r", REQUIRED),
    ),
    "evaluate": (
        flag("--model_path -m", REQUIRED),
        flag("--experiment_spec -e", REQUIRED),
        flag("--image_dir -i"),
        flag("--label_dir -l"),
        flag("--batch_size -b", OURS),
        flag("--results_dir -r", REQUIRED),
    ),
    "inference": (
        flag("--model_path -m", REQUIRED),
        flag("--experiment_spec -e", REQUIRED),
        flag("--image_dir -i", OURS),
        flag("--batch_size -b"),
        flag("--results_dir -r", REQUIRED),
    ),
}


def sub_parser(module: Any, task: str) -> argparse.ArgumentParser:
    parser = TaoParser()
    module.configure(parser)
    assert parser._subparsers is not None
    choices: Any = parser._subparsers._group_actions[0].choices
    if task not in choices:
        pytest.skip(f"{task} is not built yet")
    return choices[task]


CASES = [(detectnet, task, (*COMMON, *table)) for task, table in TABLES.items()]
CASES += [(ssd, task, (*COMMON, *table)) for task, table in SSD.items()]
CASES += [(deploy, task, (*DEPLOY_COMMON, *table)) for task, table in DEPLOY.items()]
all_tables = pytest.mark.parametrize(
    ("module", "task", "table"),
    CASES,
    ids=[f"{module.__name__.rpartition('.')[2]}-{task}" for module, task, _ in CASES],
)


def needed(parser: argparse.ArgumentParser) -> list[str]:
    return [word for action in parser._actions if action.required for word in (action.option_strings[0], "7")]


@all_tables
def test_every_flag_of_tao_is_taken_by_each_of_its_names(module: Any, task: str, table: tuple[Flag, ...]):
    parser = sub_parser(module, task)
    known = {name: action for action in parser._actions for name in action.option_strings}

    assert [name for one in table for name in one.names if name not in known] == []
    for one in table:
        assert len({id(known[name]) for name in one.names}) == 1, f"{one.names} are one flag"
        for name in one.names:
            parser.parse_args([*needed(parser), name, *one.value])
            if name.startswith("--") and len(one.value) == 1:
                parser.parse_args([*needed(parser), f"{name}={one.value[0]}"])


@all_tables
def test_defaults_are_taos(module: Any, task: str, table: tuple[Flag, ...]):
    parser = sub_parser(module, task)
    known = {name: action for action in parser._actions for name in action.option_strings}
    options = vars(parser.parse_args(needed(parser)))

    for one in table:
        action = known[one.names[0]]
        assert action.required == (one.default == REQUIRED) or one.default == OURS
        if one.default not in (REQUIRED, OURS):
            assert (options[action.dest] or one.default) == one.default


@all_tables
def test_every_abbreviation_that_tao_understands_means_the_same_here(module: Any, task: str, table: tuple[Flag, ...]):
    parser = sub_parser(module, task)
    known = {name: action for action in parser._actions for name in action.option_strings}
    names = [name for one in table for name in one.names if name.startswith("--")] + ["--help"]
    values = {name: one.value for one in table for name in one.names}

    for name in names[:-1]:
        for length in range(3, len(name)):
            short = name[:length]
            meant = [other for other in names if other.startswith(short)]
            if meant != [name]:
                continue  # TAO calls it ambiguous, or it is a flag itself
            found = {one[0].dest for one in parser._get_option_tuples(short)}
            assert short in known or found == {known[name].dest}, f"{short} means {name}"
            parser.parse_args([*needed(parser), short, *values[name]])


@pytest.mark.parametrize(
    "words",
    [
        "--gpus 1 --gpu_index 0 train -e s -r r -k k",
        "train --gpus 1 -e s -r r -k k --gpu_index 0",
        "--gpus=1 train -e s -r r -k k --gpu_index=0",
    ],
)
def test_common_flags_stand_before_the_task_or_behind_it(words: str):
    parser = TaoParser()
    detectnet.configure(parser)

    options = parser.parse_args(words.split())

    assert (options.task, options.gpus, options.gpu_index, options.key) == ("train", 1, [0], "k")


def test_every_task_helps_at_once_without_torch():
    code = (
        "import sys, io, contextlib\nfrom taolite.cli.main import main\n"
        "words = [['tao', '-h'], ['tao', 'model', 'detectnet_v2', 'train', '-h'], ['convert', '-h']]\n"
        "words += [['detectnet', t, '-h'] for t in ('dataset_convert', 'train', 'evaluate', 'prune', 'export', "
        "'inference', 'gen_trt_engine')] + [['deploy', t, '-h'] for t in ('gen_trt_engine', 'evaluate', 'inference')]\n"
        "for line in words:\n"
        "    out = io.StringIO()\n"
        "    with contextlib.redirect_stdout(out):\n"
        "        try: main(line)\n"
        "        except SystemExit as end: assert end.code == 0, line\n"
        "    assert 'usage' in out.getvalue(), line\n"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'openvino', 'cv2', 'matplotlib'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
