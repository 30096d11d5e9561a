"""TAO's spec as a plan: each field reaches the value that decides, in its unit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from taolite import spec
from taolite.events import CostStuck
from taolite.tasks.ssd.plan import CostRule, Matching, NetworkPlan, Origin, Scoring, SsdPlan
from taolite.tasks.ssd.priors import priors
from taolite.tasks.ssd.schedule import StopsEarly
from taolite.tasks.ssd.spec import SsdSpec
from taolite.tasks.ssd.tao import model_name, plan_of

from .least import LEAST

MAPS = ((4, 6), (2, 3), (1, 2), (1, 1), (1, 1), (1, 1))


def plan(changes: Mapping[str, str] = {}, *, weights: str = "") -> SsdPlan:
    text = LEAST
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new, 1)
    return plan_of(spec.loads(text, SsdSpec), weights=weights)


def test_the_least_spec_gives_taos_defaults() -> None:
    made = plan()

    assert made.classes == ("ape", "cat")
    assert made.network == NetworkPlan("tao", (64, 96), 3, "resnet", 18)
    assert made.matching == Matching("bipartite", 0.5, 0.5)
    assert made.cost == CostRule(1.0, 3.0, "batch")
    assert made.scoring == Scoring("sample", 0.5)
    assert made.origin == Origin()
    assert made.learns_difficult
    assert (made.views.kind, made.views.crop_scale, made.views.zoom_out) == ("tao", (0.3, 1.0), (1.0, 4.0))
    assert (made.views.brightness, made.views.hue, made.views.flip) == (0, 0, 0)


def test_what_the_spec_says_is_what_is_planned() -> None:
    made = plan(
        {
            "nlayers: 18": "nlayers: 34 pred_num_channels: 256 freeze_blocks: 0 freeze_blocks: 1 freeze_bn: true "
            "alpha: 2 neg_pos_ratio: 5 pos_iou_thresh: 0.6 neg_iou_thresh: 0.4",
            "output_channel: 3": "output_channel: 3 random_crop_min_scale: 0.5 random_crop_max_scale: 0.9 "
            "random_crop_min_ar: 0.7 random_crop_max_ar: 1.5 zoom_out_min_scale: 1.5 zoom_out_max_scale: 2 "
            "brightness: 32 contrast: 0.4 saturation: 0.3 hue: 18 random_flip: 0.5",
            "matching_iou_threshold: 0.5": "matching_iou_threshold: 0.7 average_precision_mode: INTEGRATE",
            "top_k: 200": "top_k: 50",
        },
        weights="resnet.hdf5",
    )

    assert made.network == NetworkPlan("tao", (64, 96), 3, "resnet", 34, 256, 1.0, (0, 1), True)
    assert made.matching == Matching("bipartite", 0.6, 0.4)
    assert made.cost == CostRule(2.0, 5.0, "batch")
    views = made.views
    assert (views.crop_scale, views.crop_aspect, views.zoom_out) == ((0.5, 0.9), (0.7, 1.5), (1.5, 2.0))
    assert (views.brightness, views.contrast, views.saturation, views.hue, views.flip) == (32, 0.4, 0.3, 18, 0.5)
    assert made.scoring == Scoring("integrate", 0.7)
    assert made.decoding["top_k"] == 50
    assert (made.decoding["confidence_threshold"], made.decoding["nms_iou"]) == (0.01, 0.6)
    assert made.origin == Origin("backbone", "resnet.hdf5")


def a_cell(made: SsdPlan) -> list[int]:
    """How many anchors a cell of each map has."""
    return [len(level.boxes) for level in made.priors(MAPS).levels]


def test_anchors_are_as_many_as_the_head_has_and_as_large_as_the_scales_say() -> None:
    made = plan({"nlayers: 18": "nlayers: 18 two_boxes_for_ar1: true clip_boxes: true"})

    levels = made.priors(MAPS)
    assert a_cell(made) == [6] * 6  # five ratios, and the second box of ratio 1
    assert a_cell(plan()) == [5] * 6
    assert levels.clip == "corners"
    assert levels.variances == (0.1, 0.1, 0.2, 0.2)
    boxes = priors(levels, MAPS)
    assert len(boxes) == 6 * (24 + 6 + 2 + 3)
    # map 0, row 1, column 2, ratio 1: 0.05 of 64 px in a cell of 16 x 16 px of 96 x 64
    np.testing.assert_allclose(boxes[(1 * 6 + 2) * 6], [2.5 / 6, 1.5 / 4, 3.2 / 96, 3.2 / 64], rtol=1e-6)
    # its second box: between the scales 0.05 and 0.1
    between = 64 * math.sqrt(0.05 * 0.1)
    np.testing.assert_allclose(boxes[(1 * 6 + 2) * 6 + 1, 2:], [between / 96, between / 64], rtol=1e-6)


def test_steps_and_offsets_move_anchors() -> None:
    made = plan(
        {"nlayers: 18": 'nlayers: 18 steps: "[(10, 12), 8, 8, 8, 8, 8]" offsets: "[(.25, .75), .5, .5, .5, .5, .5]"'}
    )

    centre = priors(made.priors(MAPS), MAPS)[5 * 6, :2]  # map 0, row 1, column 0
    np.testing.assert_allclose(centre, [0.75 * 12 / 96, 1.25 * 10 / 64], rtol=1e-6)


def test_a_colour_input_is_bgr_minus_the_mean() -> None:
    photo = np.zeros((64, 96, 3), np.uint8)
    photo[..., 0], photo[..., 1], photo[..., 2] = 200, 100, 50  # red, green, blue

    seen = plan().preprocessing.apply(photo)
    np.testing.assert_allclose(seen[:, 0, 0], [50 - 103.939, 100 - 116.779, 200 - 123.68], rtol=1e-5)
    means = " ".join(
        f"image_mean {{ key: '{name}' value: {mean} }}" for name, mean in zip("rgb", (1, 2, 3), strict=True)
    )
    own = plan({"output_channel: 3": f"output_channel: 3 {means}"}).preprocessing.apply(photo)
    np.testing.assert_allclose(own[:, 0, 0], [50 - 3, 100 - 2, 200 - 1], rtol=1e-5)


def test_a_grey_input_is_grey_minus_the_weighted_mean() -> None:
    made = plan({"output_channel: 3": "output_channel: 1"})

    grey = made.preprocessing.apply(np.full((64, 96, 1), 150, np.uint8))
    mean = 0.114 * 103.939 + 0.587 * 116.779 + 0.299 * 123.68
    np.testing.assert_allclose(grey, np.full((1, 64, 96), 150 - mean), rtol=1e-4)
    assert made.network.in_channels == 1
    assert len(made.views.fill) == 1


def test_photos_are_stretched_as_in_tao() -> None:
    made = plan().preprocessing

    np.testing.assert_allclose(
        made.boxes_to_input(np.float32([[10, 10, 20, 20]]), photo_hw=(32, 48)), [[20, 20, 40, 40]]
    )


def test_training_is_sgd_with_momentum_and_validation_comes_every_period_and_at_the_end() -> None:
    made = plan({"num_epochs: 3": "num_epochs: 5", "during_training: 1": "during_training: 2"})

    recipe = made.recipe
    optimizer = recipe.optimizer([{"params": [torch.nn.Parameter(torch.zeros(1))]}])
    assert isinstance(optimizer, torch.optim.SGD)
    assert optimizer.defaults["momentum"] == 0.9
    assert not optimizer.defaults["nesterov"]
    assert [epoch for epoch in range(1, 6) if recipe.validates(epoch)] == [2, 4, 5]
    assert (recipe.epochs, recipe.batch_size, recipe.checkpoint_interval) == (5, 2, 1)
    assert recipe.regularizer == "none"
    assert recipe.epoch_model.format(epoch=7) == "weights/ssd_resnet18_epoch_007.tlt"


def test_the_rate_rises_holds_and_falls_log_linearly() -> None:
    schedule = plan({"num_epochs: 3": "num_epochs: 100"}).schedule()

    middle = math.sqrt(5e-5 * 2e-2)
    rates = [schedule.rate(elapsed) for elapsed in (0, 5, 10, 60, 80, 100)]
    assert rates == pytest.approx([5e-5, middle, 2e-2, 2e-2, middle, 5e-5])


def test_files_are_named_as_tao_names_them() -> None:
    text = LEAST.replace('"resnet"', '"mobilenet_v2"').replace("nlayers: 18", "")

    assert model_name(spec.loads(LEAST, SsdSpec)) == "resnet18"
    assert model_name(spec.loads(text, SsdSpec)) == "mobilenet_v2"
    watch = plan().watch
    assert watch.log == "ssd_training_log_resnet18.csv"
    assert list(watch.columns) == ["epoch", "AP_ape", "AP_cat", "loss", "lr", "mAP", "validation_loss"]


def test_a_spec_for_evaluation_alone_has_a_plan() -> None:
    head, _, tail = LEAST.partition("training_config {")
    text = head + tail[tail.index("eval_config") :]

    made = plan_of(spec.loads(text, SsdSpec))
    assert made.recipe.batch_size == 4
    assert made.scoring == Scoring("sample", 0.5)


def test_a_real_spec_has_a_plan(shared_data: Path) -> None:
    path = shared_data / "tao_specs" / "ssd" / "NVIDIA-AI-IOT__deepstream_tao_apps__ssd_vgg16_coco17.txt"

    made = plan_of(spec.load(path, SsdSpec))
    assert a_cell(made) == [4, 6, 6, 6, 4, 4]
    assert len(made.classes) == 80
    assert made.recipe.regularizer == "l2"


STOPPING = 'regularizer { } early_stopping { monitor: "%s" min_delta: 0.1 patience: 2 }'


def stopping_plan(monitor: str) -> StopsEarly:
    made = plan({"regularizer { }": STOPPING % monitor}).schedule()
    assert isinstance(made, StopsEarly)
    return made


def stops_after(monitor: str, costs: list[float]) -> int | None:
    """The epoch after which the run ends, None where it goes on."""
    stopping = stopping_plan(monitor)
    for epoch, cost in enumerate(costs, start=1):
        said = stopping.validated(epoch, cost) if monitor != "loss" else stopping.trained(epoch, cost)
        assert bool(said) == stopping.stopped
        if stopping.stopped:
            return epoch
    return None


@pytest.mark.parametrize("monitor", ["loss", "val_loss", "validation_loss"])
def test_a_run_ends_where_its_cost_has_not_fallen_by_min_delta_for_patience_epochs(monitor: str) -> None:
    assert stops_after(monitor, [1.0, 0.95, 0.92]) == 3  # lower, but by less than 0.1
    assert stops_after(monitor, [1.0, 0.95, 0.8, 0.75, 0.71]) == 5
    assert stops_after(monitor, [1.0, 0.8, 0.6, 0.4]) is None


def test_the_other_cost_does_not_end_a_run_and_rates_are_the_schedules() -> None:
    of_epochs, of_validations = stopping_plan("loss"), stopping_plan("val_loss")

    for epoch in range(1, 9):
        assert (of_epochs.validated(epoch, 1.0), of_validations.trained(epoch, 1.0)) == (None, None)
    assert not of_epochs.stopped
    assert not of_validations.stopped
    assert (of_epochs.led_by_cost, of_validations.led_by_cost) == (False, True)
    assert of_epochs.rate(1.5) == plan().schedule().rate(1.5)


def test_a_run_that_goes_on_waits_as_long_as_one_that_was_never_stopped() -> None:
    first, again = stopping_plan("val_loss"), stopping_plan("val_loss")
    for epoch, cost in ((1, 1.0), (2, 1.0)):
        first.validated(epoch, cost)

    again.restore(first.state())
    assert not again.stopped
    said = again.validated(3, 1.0)
    assert said == CostStuck(3, "validation", least=1.0, waited=2, then="stop")
    assert again.stopped
