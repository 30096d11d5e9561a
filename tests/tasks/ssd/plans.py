"""A small SSD's plan, written down without a spec: VOC folders, three classes, TAO's or pytorch-ssd's rules."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from taolite.data.examples import Source
from taolite.preprocessing import Preprocessing
from taolite.sample import Sample
from taolite.tasks.base import Recipe, Watch
from taolite.tasks.classification.schedule import Cosine
from taolite.tasks.ssd.plan import CostRule, Matching, NetworkPlan, Scoring, SsdPlan, Views
from taolite.tasks.ssd.priors import jetson_levels

DECODING = {"confidence_threshold": 0.01, "nms_iou": 0.45, "top_k": 200, "candidates": 200, "method": "hard"}


def plan_of(
    samples: Sequence[Sample], classes: Sequence[str] = ("ball", "box"), side: int = 64, **more: Any
) -> SsdPlan:
    """mb1-ssd by pytorch-ssd's rules on `samples`, which are every split; `more` replaces fields."""
    numbers = {name: number for number, name in enumerate(classes)}
    made = SsdPlan(
        classes=tuple(classes),
        network=NetworkPlan("mb1-ssd", (side, side)),
        priors=partial(jetson_levels, "mb1-ssd", side),
        matching=Matching("best"),
        cost=CostRule(),
        views=Views("pytorch-ssd"),
        preprocessing=Preprocessing(
            (side, side), fit="stretch", scale=1.0, offsets=(127.0, 127.0, 127.0), stds=(128.0, 128.0, 128.0)
        ),
        decoding=DECODING,
        scoring=Scoring("voc07"),
        recipe=Recipe(
            seed=3,
            epochs=2,
            batch_size=4,
            optimizer=partial(torch.optim.SGD, lr=0.0, momentum=0.9),
            regularizer="l2",
            regularizer_weight=2.5e-4,
            checkpoint_interval=1,
            validates=lambda epoch: True,
        ),
        schedule=partial(Cosine, 0.01, 0.01, 0.0, 2),
        watch=Watch(points=10, every_epochs=None, pictures=0, decoding=DECODING),
        sources=lambda split, *, resolve: ([Source(samples)], ()),
        class_of=numbers.get,
        learns_difficult=False,
    )
    return dataclasses.replace(made, **more)
