"""An SSD's spec, TAO's or pytorch-ssd's, bound to its plan: the values and methods that the stages use.

Legend: K classes without background, P priors.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from taolite import spec as specs
from taolite.artifacts.bundle import Bundle
from taolite.artifacts.keys import Key
from taolite.data.examples import Examples
from taolite.diagnosis import Cause
from taolite.nn.network import TaskNetwork
from taolite.nn.regularised import kernels
from taolite.sample import Truth
from taolite.scorecard import ScoreCard
from taolite.tasks.base import Begun, Experiment, Given, Outputs, Resolve, Shapes, Split, Start, Task
from taolite.tasks.diagnosing import Evidence, Heard
from taolite.tasks.fitting import with_decay
from taolite.tasks.found import Found
from taolite.tasks.services import without_secrets
from taolite.tasks.ssd import diagnose, jetson, tao
from taolite.tasks.ssd.examples import ssd_examples
from taolite.tasks.ssd.loss import SsdObjective
from taolite.tasks.ssd.model import Part, Ssd, build_ssd, freeze, parameter_groups
from taolite.tasks.ssd.origin import begin
from taolite.tasks.ssd.plan import PriorPlan, SsdPlan
from taolite.tasks.ssd.priors import priors
from taolite.tasks.ssd.scoring import ssd_card
from taolite.tasks.ssd.spec import SsdSpec
from taolite.tasks.ssd.targets import ssd_targets
from taolite.tasks.teaching import teaching_of

__all__ = ["SsdExperiment", "bind"]


@dataclass(frozen=True, kw_only=True)
class SsdExperiment(Experiment):
    """See `Experiment`. The `plan` is made from the `spec`; `resolve` maps the spec's paths to this machine's; `given`
    has the command-line options."""

    spec: SsdSpec
    plan: SsdPlan
    resolve: Resolve
    given: Given

    def seeded(self, seed: int) -> SsdExperiment:
        changed: dict[str, object] = {"random_seed": seed}
        if (config := self.spec.jetson_config) is not None:
            changed = {"jetson_config": config.model_copy(update=changed)}
        spec = self.spec.model_copy(update=changed)
        return bind(
            spec, task=self.task, source=self.source, resolve=self.resolve, classes=self.classes, given=self.given
        )

    @cached_property
    def layout(self) -> tuple[PriorPlan, list[tuple[int, int]]]:
        """The priors, and (rows, columns) of their feature maps; the network is not run."""
        with torch.device("meta"):
            network = build_ssd(self.plan.network, len(self.classes), self.plan.priors)
        return network.prior_plan, network.map_sizes(self.plan.network.input_hw)

    @cached_property
    def anchors(self) -> NDArray[np.float32]:
        """(P, 4) the priors, relative centre x, centre y, width, height."""
        return priors(*self.layout)

    def examples(self, split: Split, *, augment: bool = False, shapes: Shapes | None = None) -> Examples:
        plan, encoder = self.plan, None
        if shapes is not None:
            prior_plan, sizes = self.layout
            encoder = ssd_targets(prior_plan, sizes, plan.matching, input_hw=plan.preprocessing.input_hw)
        return ssd_examples(plan, split, resolve=self.resolve, augment=augment, encoder=encoder)

    def start(self, *, key: Key | None) -> Start:
        return self.ready(begin(self.plan, resolve=self.resolve, key=key))

    def ready(self, begun: Begun[TaskNetwork]) -> Start:
        network, rates = begun.network, self.plan.rates
        assert isinstance(network, Ssd), "a network of this task"
        shares: dict[Part, float | None] = {"backbone": rates.backbone, "extras": rates.extras, "heads": rates.heads}
        freeze(network, [part for part, share in shares.items() if share is None])
        count, fitting = len(network.priors_p4), self.spec.taolite.fitting if self.spec.taolite else None
        groups = parameter_groups(network, {part: share for part, share in shares.items() if share is not None})
        return Start(
            network,
            begun.notices,
            begun.lineage,
            begun.parent,
            begun.file,
            begun.loaded,
            groups=with_decay(groups, fitting),
            regularised=kernels(network, kinds=("conv2d", "grouped")),
            shapes=((count, network.num_classes + 1), (count, 4)),
        )

    def objective(self) -> SsdObjective:
        prior_plan, sizes = self.layout
        return SsdObjective(self.plan.cost, priors(prior_plan, sizes), prior_plan.variances)

    def score(
        self, truths: Sequence[Truth], founds: Sequence[Found], *, photos: Sequence[tuple[int, int]] | None = None
    ) -> ScoreCard:
        return ssd_card(
            truths,
            founds,
            names=self.classes,
            scoring=self.plan.scoring,
            preprocessing=self.preprocessing,
            photos=photos,
        )

    def against_teacher(self, bundle: Bundle) -> Sequence[str]:
        ours = json.loads(json.dumps(self.layout[0].to_json()))  # as a file holds it: lists for tuples
        return () if bundle.architecture.get("priors") == ours else ("its anchors are not those of the spec",)

    def heard(self, outputs: Outputs, truth: Truth) -> Heard | None:
        return diagnose.heard(outputs, truth, self.anchors, input_hw=self.preprocessing.input_hw)

    def causes(self, evidence: Evidence) -> Iterator[Cause]:
        return diagnose.causes(self, evidence)


def bind(
    spec: SsdSpec, *, task: Task, source: str, resolve: Resolve, classes: Sequence[str] | None, given: Given
) -> SsdExperiment:
    """The experiment that `spec` describes. Messages call the spec `source`; `classes` are those of an existing model.
    Raises PathError, DataError."""
    if spec.jetson_config is not None:
        plan = jetson.plan_of(spec.jetson_config, resolve=resolve, classes=classes)
    else:
        plan = tao.plan_of(spec, weights=given.weights)
    public = spec if spec.training_config is None else without_secrets(spec, "training_config")
    return SsdExperiment(
        task=task,
        source=source,
        text=specs.dumps(public, defaults=True),
        classes=plan.classes,
        preprocessing=plan.preprocessing,
        decoding=plan.decoding,
        recipe=plan.recipe,
        schedule=plan.schedule,
        watch=plan.watch,
        run_files=plan.run_files,
        teaching=teaching_of(spec.taolite.teacher if spec.taolite else None, resolve=resolve),
        weights=given.weights,
        spec=spec,
        plan=plan,
        resolve=resolve,
        given=given,
    )
