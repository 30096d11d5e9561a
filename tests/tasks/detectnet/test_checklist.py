"""The numbers of reference 13.5, one test an item."""

from __future__ import annotations

import math
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
import pytest
import torch

from taolite import spec as specs
from taolite.errors import SpecError
from taolite.formats import tfrecord
from taolite.nn.resnet import ResNet
from taolite.pruning.importance import select
from taolite.pruning.surgery import count_parameters
from taolite.stages.convert.kitti import random_folds
from taolite.stages.convert.sorted_names import sorted_names
from taolite.tasks.detectnet.decode import decode_grid
from taolite.tasks.detectnet.loss import balance
from taolite.tasks.detectnet.model import DetectNet
from taolite.tasks.detectnet.spec import DatasetExportSpec, DetectNetSpec
from taolite.tasks.detectnet.targets import Ellipse, Raster, rasterize, semi_axes
from taolite.tasks.detectnet.task import TASK

BOX = (100, 50, 180, 130)
INPUT_HW, STRIDE = (384, 1248), 16


@pytest.fixture
def tao_specs(shared_data: Path) -> Path:
    return shared_data / "tao_specs"


@pytest.fixture
def user_spec(tao_specs: Path) -> DetectNetSpec:
    return specs.load(
        tao_specs / "detectnet_v2" / "latonaio__detection-ai-model-learn__detectnet_train.txt", DetectNetSpec
    )


def test_1_the_users_specs_the_default_and_a_conversion_spec_are_read_and_broken_ones_refused(
    tao_specs: Path, tmp_path: Path
):
    folder = tao_specs / "detectnet_v2"
    train, retrain, default = (
        specs.load(folder / name, DetectNetSpec)
        for name in (
            "latonaio__detection-ai-model-learn__detectnet_train.txt",
            "latonaio__detection-ai-model-learn__detectnet_retrain.txt",
            "NVIDIA__tao_tensorflow1_backend__detectnet_v2_experiment_specs_default_spec.txt",
        )
    )
    convert = specs.load(
        tao_specs / "tfrecords" / "NVIDIA-AI-IOT__nvidia-tao__tfrecords_kitti_trainval.txt", DatasetExportSpec
    )

    # reference 13.3 and 13.4
    assert (train.random_seed, train.training_config.batch_size_per_gpu, train.classes) == (42, 2, ("cat",))
    assert (retrain.model_config_.load_graph, retrain.training_config.batch_size_per_gpu) == (True, 8)
    assert default.classes == ("car", "pedestrian")
    assert convert.kitti_config is not None
    assert (convert.kitti_config.partition_mode, convert.kitti_config.val_split) == ("random", 14)
    for old, new in (
        ("output_image_width: 1248", "output_image_width: 1250"),  # not a multiple of 16
        ("first_validation_epoch", "frist_validation_epoch"),  # no such field, and the one that is needed is missing
        ("coverage_foreground_weight: 0.05", "coverage_foreground_weight: 1.5"),
    ):
        text = (folder / "latonaio__detection-ai-model-learn__detectnet_train.txt").read_text()
        assert text.count(old) == 1
        with pytest.raises(SpecError):
            specs.loads(text.replace(old, new), DetectNetSpec)


def test_2_a_hundred_images_at_14_percent_are_14_and_86_in_ten_shards_each():
    names = [f"{index:03d}" for index in range(100)]

    with TemporaryFile(buffering=0) as scratch:
        folds = [list(fold) for fold in random_folds(sorted_names(names, scratch), val_split=14)]
        at_29 = random_folds(sorted_names(names, scratch), val_split=29)

    assert sorted(folds[0]) == names[:14]
    assert sorted(folds[1]) == names[14:]
    assert [tfrecord.shard_sizes(len(fold), 10) for fold in folds] == [[1] * 9 + [5], [8] * 9 + [14]]
    assert len(at_29[0]) == 28  # 29 / 100 * 100 is 28.999999999999996


def test_3_a_box_encodes_to_its_distances_and_decodes_back():
    raster = Raster((Ellipse(0.5, 0.5, 0.4, 0.4, 1.0),), 0.4)

    planes = rasterize(np.float32([BOX]), np.array([0]), raster=raster, input_hw=INPUT_HW, grid_hw=(24, 78)).bbox[0]

    # the reference point of cell (8, 5) is (128.5, 80.5)
    assert planes[:, 5, 8] == pytest.approx([28.5 / 35, 30.5 / 35, 51.5 / 35, 49.5 / 35])
    assert planes[:, 5, 8].round(3) == pytest.approx([0.814, 0.871, 1.471, 1.414])
    assert decode_grid(planes, input_hw=INPUT_HW)[0, 5, 8] == pytest.approx(BOX)


def test_4_the_box_is_drawn_with_the_axes_that_the_reference_works_out():
    ellipse = Ellipse(0.5, 0.5, 0.4, 0.4, 1.0)

    axes = semi_axes([edge / STRIDE for edge in BOX], ellipse, 0.4)
    targets = rasterize(
        np.float32([BOX]), np.array([0]), raster=Raster((ellipse,), 0.4), input_hw=INPUT_HW, grid_hw=(24, 78)
    )

    assert axes == pytest.approx((8.75, 5.625, 1.0, 1.0, 1.6, 1.6))
    drawn = targets.cov > 0
    assert targets.norm[drawn] / targets.cov[drawn] == pytest.approx(np.full(drawn.sum(), 0.25))  # inv_area
    inside = [
        (8 + (k + 0.5) / 4 - 8.75) ** 2 + (5 + (n + 0.5) / 4 - 5.625) ** 2 < 1 for k in range(4) for n in range(4)
    ]
    assert targets.cov[0, 5, 8] == sum(inside) / 16


@pytest.mark.parametrize(
    ("num_layers", "classes", "all_projections", "total", "not_trained"),
    [
        (18, 1, False, 11_197_893, 9_728),
        (18, 3, False, 11_203_023, 9_728),
        (18, 3, True, 11_555_983, 11_648),
        (34, 3, False, 21_322_319, 17_152),
    ],
)
def test_5_networks_have_the_parameters_of_the_reference(num_layers, classes, all_projections, total, not_trained):
    with torch.device("meta"):
        network = DetectNet(ResNet(num_layers, all_projections=all_projections), classes)

    assert count_parameters(network) == total
    assert total - sum(parameter.numel() for parameter in network.parameters()) == not_trained


def test_6_the_users_learning_rate_at_a_twentieth_of_the_run(user_spec: DetectNetSpec):
    rate = TASK.read(user_spec).model.schedule().rate
    elapsed = 0.05 * user_spec.training_config.num_epochs

    assert rate(elapsed) == pytest.approx(math.exp((math.log(5e-6) + math.log(5e-4)) / 2))
    assert rate(elapsed) == pytest.approx(5e-5)


def test_7_the_objectives_are_balanced_by_what_they_cost():
    weights = balance((2.0, 1.0), (1.0, 10.0), (0.5, 0.5), least=0.0, most=1.0)  # u = .5 and 10

    assert [round(weight, 4) for weight in weights] == [0.0476, 0.9524]


def test_8_nineteen_filters_above_the_threshold_keep_twenty_four():
    statistic = np.array([1, 0.5, 0.2, *np.linspace(0.19, 0.11, 16), *np.linspace(0.05, 0.001, 45)])

    kept = select(statistic, threshold=0.1, granularity=8, min_filters=16)

    assert ((statistic > 0.1).sum(), len(statistic)) == (19, 64)
    assert kept == tuple(range(24))
