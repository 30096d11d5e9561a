from __future__ import annotations

import numpy as np
import pytest
import torch

from taolite.engines.onnx_cost import macs_and_parameters
from taolite.errors import UsageError
from taolite.nn.backbones import build_backbone
from taolite.pruning.plan import apply
from taolite.pruning.ranking import plan, rank
from taolite.pruning.surgery import count_parameters
from taolite.stages.exporting.to_onnx import to_onnx
from taolite.tasks.detectnet.model import DetectNet
from taolite.tasks.detectnet.use import HEADS

from .pruned import spread_filters

torch.set_num_threads(1)

EXAMPLE = torch.zeros(1, 3, 64, 96)
RULE = {"granularity": 4, "min_filters": 8, "heads": HEADS}


@pytest.fixture(scope="module")
def detector():
    torch.manual_seed(3)
    backbone = build_backbone("resnet", num_layers=10)
    spread_filters(backbone)
    return DetectNet(backbone, 2).eval()


@pytest.fixture(scope="module")
def ranking(detector):
    return rank(detector, EXAMPLE, **RULE)


def test_a_plan_of_the_ranking_is_the_plan_of_the_threshold(detector, ranking):
    for threshold in (0.0, 0.3, 0.7, 2.0):
        assert ranking.at(threshold) == plan(detector, EXAMPLE, threshold=threshold, **RULE)


def test_a_sweep_covers_the_shares_evenly_from_everything_to_the_least(ranking):
    plans = ranking.spread(9, least=0.05)

    ratios = [one.ratio for one in plans]
    least = max(0.05, ranking.least.ratio)
    assert ratios[0] == 1.0
    assert ratios == sorted(ratios, reverse=True)
    assert len(ratios) == 9
    for ratio, wanted in zip(ratios, np.linspace(1, least, 9), strict=True):
        assert wanted - 0.02 < ratio <= wanted
    thresholds = [one.settings["threshold"] for one in plans]
    assert thresholds == sorted(thresholds)


def test_fewer_thresholds_come_back_where_there_are_no_more_plans(detector):
    coarse = rank(detector, EXAMPLE, granularity=512, min_filters=1, heads=HEADS)

    assert [one.ratio for one in coarse.spread(20, least=0.02)] == [1.0]


def test_the_smallest_threshold_that_fits_is_the_one_that_trying_all_finds(ranking):
    limit = 0.4 * ranking.size(ranking.at(0.0)).macs

    found = ranking.smallest(lambda one: ranking.size(one).macs <= limit)

    tried = next(
        threshold for threshold in ranking.thresholds if ranking.size(ranking.at(float(threshold))).macs <= limit
    )
    assert found.settings["threshold"] == tried
    assert ranking.smallest(lambda one: False) is None


def test_half_of_one_group_goes_and_the_weaker_half(ranking):
    place = next(i for i, group in enumerate(ranking.anatomy.groups) if group.members == ("block_1a_conv_1",))

    found = ranking.halved(place)

    statistic = ranking.statistics[place]
    strongest = sorted(np.argsort(-statistic, kind="stable")[: len(statistic) // 2].tolist())
    assert list(found.kept["block_1a_conv_1"]) == strongest
    assert all(len(kept) == found.depths[name] for name, kept in found.kept.items() if name != "block_1a_conv_1")


def test_an_excluded_group_is_not_halved(detector):
    kept = rank(detector, EXAMPLE, excluded=["block_1a_conv_1"], **RULE)
    place = next(i for i, group in enumerate(kept.anatomy.groups) if group.members == ("block_1a_conv_1",))

    assert kept.halved(place) is None


def test_sizes_are_those_of_the_cut_network_and_of_its_onnx(detector, ranking):
    found = ranking.for_share(0.4)
    size, pruned = ranking.size(found), apply(detector, found)
    names = ("output_cov/Sigmoid", "output_bbox/BiasAdd")
    small, large = (to_onnx(one, channels=3, input_hw=(64, 96), output_names=names) for one in (pruned, detector))

    cost = macs_and_parameters(small, (1, 3, 64, 96))
    assert size.macs == cost.macs
    assert size.folded == pytest.approx(cost.parameters, rel=1e-4)
    assert size.parameters == pruned.parameter_count
    assert size.parameters + size.moving == count_parameters(pruned)
    predicted = len(large) - 4 * (ranking.anatomy.size({}).folded - size.folded)
    assert predicted == pytest.approx(len(small), rel=1e-3)


def test_an_importance_that_does_not_exist_is_refused(detector):
    with pytest.raises(UsageError) as caught:
        rank(detector, EXAMPLE, criterion="magic", **RULE)

    assert str(caught.value) == ("prune: --importance is 'magic'; it needs to be one of tao, l1, l2, bn, taylor")
