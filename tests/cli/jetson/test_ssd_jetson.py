"""pytorch-ssd's flags: all are known, by every spelling."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest

from taolite.cli.jetson import forms, front
from taolite.cli.jetson import ssd as ssd_jetson
from taolite.cli.parsing import TaoParser
from taolite.errors import PathError, UsageError
from taolite.tasks.teaching import PARENT


def parsed(*words: str) -> argparse.Namespace:
    """What the words of `taolite jetson` come to."""
    parser = TaoParser()
    front.configure(parser)
    return parser.parse_args(list(words))


def fields(*words: str) -> dict[str, Any]:
    return ssd_jetson._fields(parsed("train_ssd.py", *words))


def test_the_tutorial_s_command_is_understood():
    options = parsed(
        "train_ssd.py", "--dataset-type=voc", "--data=data/CCPD2020-voc", "--model-dir=models/CCPD2020-voc",
        "--batch-size=4", "--epochs=30",
    )  # fmt: skip

    assert options.model_dir == "models/CCPD2020-voc"
    assert ssd_jetson._fields(options) == {
        "dataset_type": "voc", "datasets": ["data/CCPD2020-voc"], "batch_size": 4, "num_epochs": 30,
    }  # fmt: skip


def test_no_flag_sets_no_field():
    assert fields("--model-dir=m") == {}


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        ("--dataset_type open_images", "dataset_type", "open_images"),
        ("--datasets a b", "datasets", ["a", "b"]),
        ("--balance-data", "balance_data", True),
        ("--net mb2-ssd-lite", "net", "mb2-ssd-lite"),
        ("--net ssd-mobilenet", "net", "mb1-ssd"),
        ("--net mb1-lite-ssd", "net", "mb1-ssd-lite"),
        ("--resolution 512", "resolution", 512),
        ("--freeze_base_net", "freeze_base_net", True),
        ("--freeze-net", "freeze_net", True),
        ("--mb2-width-mult 0.5", "mb2_width_mult", 0.5),
        ("--base_net w.pth", "base_net", "w.pth"),
        ("--pretrained-ssd w.pth", "pretrained_ssd", "w.pth"),
        ("--lr 0.02", "lr", 0.02),
        ("--learning_rate 0.02", "lr", 0.02),
        ("--base-net-lr 0", "base_net_lr", 0.0),
        ("--extra-layers-lr 0.1", "extra_layers_lr", 0.1),
        ("--momentum 0", "momentum", 0.0),
        ("--weight-decay 0", "weight_decay", 0.0),
        ("--gamma 0.5", "gamma", 0.5),
        ("--gamma 1", "gamma", 1.0),
        ("--scheduler multi-step", "scheduler", "multi-step"),
        ("--milestones=80,100", "milestones", (80, 100)),
        ("--t-max 60", "t_max", 60.0),
        ("--num-epochs 7", "num_epochs", 7),
        ("--epochs 7", "num_epochs", 7),
        ("--validation_epochs 3", "validation_epochs", 3),
        ("--seed 7", "random_seed", 7),
        ("--warm-up 0", "warm_up", 0.0),
    ],
)
def test_each_flag_sets_its_field(words: str, field: str, value: object):
    assert fields("--model-dir=m", *words.split()) == {field: value}


def test_flags_of_the_machine_set_no_field():
    options = parsed(
        "train_ssd.py", "--checkpoint-folder=m", "--num-workers=1", "--debug-steps=5", "--use-cuda=false",
        "--log-level=debug", "--validation-mean-ap", "--resume=last",
    )  # fmt: skip

    assert ssd_jetson._fields(options) == {}
    assert (options.model_dir, options.num_workers, options.debug_steps, options.use_cuda) == ("m", 1, 5, False)
    assert parsed("train_ssd.py", "--use-cuda", "--workers=0").use_cuda is True


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--net resnet18", "is not one of mb1-ssd, mb1-ssd-lite, mb2-ssd-lite, sq-ssd-lite, vgg16-ssd"),
        ("--milestones 80;100", "needs to be epochs with commas between"),
        ("--lr 0", "needs to be more than 0"),
        ("--use-cuda=maybe", "needs to be true or false"),
        ("--learning-rates 1", "unrecognized arguments"),
    ],
)
def test_what_no_flag_takes_is_said(words: str, said: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        parsed("train_ssd.py", "--model-dir=m", *words.split())

    assert said in capsys.readouterr().err


def test_eval_ssd_takes_underscores_hyphens_and_the_older_name_of_the_model():
    older = parsed("eval_ssd.py", "--trained_model", "m.pth", "--dataset_type=voc", "--use_2007_metric=false")
    newer = parsed(
        "eval_ssd.py", "--model=m.pth", "--dataset-type=voc", "--use-2007-metric", "False", "--nms-method=soft"
    )

    assert older.model == newer.model == "m.pth"
    assert ssd_jetson._fields(older) == {"dataset_type": "voc", "use_2007_metric": False}
    assert ssd_jetson._fields(newer) == {"dataset_type": "voc", "use_2007_metric": False, "nms_method": "soft"}


def test_of_pytorch_ssd_s_own_run_the_model_with_the_least_loss_is_the_best(tmp_path: Path):
    for name in ("Epoch-0-Loss-9.5", "Epoch-10-Loss-2.25", "Epoch-11-Loss-nan", "Epoch-2-Loss-1e1"):
        (tmp_path / f"mb1-ssd-{name}.pth").touch()
    (tmp_path / "mobilenet-v1-ssd-mp-0_675.pth").touch()

    assert ssd_jetson._found_in(tmp_path).name == "mb1-ssd-Epoch-10-Loss-2.25.pth"


def test_of_ours_the_model_that_the_run_found_best_is_taken_whatever_the_others_names_say(tmp_path: Path):
    for name in ("mb1-ssd-Epoch-3-Loss-0.01.tlt", "mb1-ssd-Epoch-3-Loss-0.01.pth", "model_best.tlt"):
        (tmp_path / name).touch()

    assert ssd_jetson._found_in(tmp_path).name == "model_best.tlt"


def test_a_folder_without_a_model_is_an_error(tmp_path: Path):
    (tmp_path / "mb1-ssd-Epoch-1-Loss-nan.pth").touch()

    with pytest.raises(PathError, match=r"no model_best.tlt is here, and no NET-Epoch-E-Loss-L.pth; train first"):
        ssd_jetson._found_in(tmp_path)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("ssd/onnx_export.py", "no model: give --model-dir"),
        ("ssd/onnx_export.py --model-dir=m --width=300 --height=200", "--width 300 --height 200: the input is square"),
        ("eval_ssd.py --dataset=d", "no --model: give a model, or the folder of a run"),
        ("eval_ssd.py --model=m --dataset-type=voc", "--dataset_type without --dataset"),
    ],
)
def test_what_is_missing_is_said(words: str, message: str):
    options = parsed(*words.split())

    with pytest.raises(UsageError, match=message):
        options.run(options)


@pytest.mark.parametrize("program", ["train.py", "train_ssd.py"])
def test_a_teacher_is_named_in_full_and_its_file_is_absolute_in_the_spec(program: str, tmp_path: Path):
    assert parsed(program).teacher is None
    assert parsed(program, "--teacher", "parent").teacher == "parent"
    assert forms.teacher_place("parent") == "parent" == PARENT
    assert forms.teacher_place("a.tlt") == str(Path.cwd() / "a.tlt")
    assert forms.teacher_place(None) is None
    with pytest.raises(SystemExit):
        parsed(program, "--teach", "a.tlt")
