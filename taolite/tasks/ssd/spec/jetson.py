"""`jetson_config`, taolite's own block: every setting of dusty-nv's pytorch-ssd under the name that its scripts use
(reference/jetson_workflows.md 4, 5). A spec with this block needs no other block; a spec without it is TAO's."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from taolite.spec import Finding, Float, SpecModel, UInt, check, field

__all__ = ["JetsonConfig", "Net"]

Net = Literal["mb1-ssd", "mb1-ssd-lite", "mb2-ssd-lite", "sq-ssd-lite", "vgg16-ssd"]


class JetsonConfig(SpecModel):
    """Data, network, training and evaluation, named after the flags of train_ssd.py and eval_ssd.py."""

    dataset_type: Literal["voc", "open_images"] = field("open_images", doc="Layout of the data.")
    datasets: tuple[str, ...] = field(("data",), min_length=1, doc="Roots of the data sets, taken together.")
    balance_data: bool = field(False, doc="Frequent classes are sampled down to the rarest one's images.")

    net: Net = field("mb1-ssd", doc="The network.")
    resolution: UInt = field(300, ge=64, le=4096, unit="px", doc="Sides of the square input.")
    mb2_width_mult: Float = field(1.0, gt=0, le=4, doc="Width of mb2-ssd-lite's layers.")
    freeze_base_net: bool = field(False, doc="The backbone is not trained.")
    freeze_net: bool = field(False, doc="Nothing but the heads is trained.")

    resume: str = field("", doc="Weights of a whole network to start from, heads too.")
    base_net: str = field("", doc="Weights of a backbone to start from.")
    pretrained_ssd: str = field("", doc="Weights of a whole network to start from, but for the heads.")

    freeze_bn: bool = field(False, doc="Batch norms of the backbone keep the statistics they start with.")
    optimizer: Literal["adam", "sgd"] = field("sgd", doc="What takes the steps.")
    lr: Float = field(0.01, gt=0, doc="Largest rate, of the heads.")
    base_net_lr: Float = field(0.001, ge=0, doc="Largest rate of the backbone; 0 freezes it.")
    extra_layers_lr: Float | None = field(None, ge=0, doc="Largest rate of the layers between; unset is lr, 0 freezes.")
    momentum: Float = field(0.9, ge=0, lt=1, doc="Share of the last step that sgd takes again.")
    weight_decay: Float = field(5e-4, ge=0, lt=1, doc="Pull of the kernels towards zero, as torch counts it.")
    scheduler: Literal["cosine", "multi-step"] = field("cosine", doc="How the rates fall.")
    warm_up: Float = field(0.05, ge=0, lt=1, doc="Share of the run over which the rates rise to the largest.")
    t_max: Float = field(0.0, ge=0, unit="epochs", doc="Half a period of the cosine; 0 is the whole run.")
    milestones: tuple[UInt, ...] = field((80, 100), doc="Epochs after which multi-step multiplies the rates.")
    gamma: Float = field(0.1, gt=0, le=1, doc="What multi-step multiplies by.")

    batch_size: UInt = field(4, ge=1, unit="images", doc="Images in a step.")
    num_epochs: UInt = field(30, ge=1, unit="epochs", doc="Length of the run.")
    validation_epochs: UInt = field(1, ge=1, unit="epochs", doc="From one validation to the next.")
    random_seed: UInt = field(42, doc="Of everything random.")

    iou_threshold: Float = field(0.5, gt=0, lt=1, doc="A box is found where the overlap is larger.")
    use_2007_metric: bool = field(True, doc="Average precision at 11 recalls (VOC 2007) instead of the whole area.")
    nms_method: Literal["hard", "soft"] = field("hard", doc="Overlapping boxes are removed, or their scores lowered.")

    @check("freeze_base_net", "freeze_net")
    def _one_freeze(self) -> Iterator[Finding]:
        if self.freeze_base_net and self.freeze_net:
            yield Finding(("freeze_base_net",), "is given beside `freeze_net`, which freezes the backbone too")

    @check("resume", "base_net", "pretrained_ssd")
    def _one_beginning(self) -> Iterator[Finding]:
        given = [name for name in ("resume", "base_net", "pretrained_ssd") if getattr(self, name)]
        if len(given) > 1:
            others = " and ".join(f"`{name}`" for name in given[:-1])
            yield Finding((given[-1],), f"is given beside {others}; weights come from one of them")

    @check("milestones")
    def _milestones_rise(self) -> Iterator[Finding]:
        if list(self.milestones) != sorted(set(self.milestones)) or 0 in self.milestones:
            listed = ",".join(map(str, self.milestones))
            yield Finding(("milestones",), f"are {listed}; they need to rise, from 1 on")

    @check("dataset_type", "balance_data")
    def _only_tables_are_balanced(self) -> Iterator[Finding]:
        if self.balance_data and self.dataset_type != "open_images":
            yield Finding(("balance_data",), 'works with dataset_type "open_images" alone')

    @check("net", "mb2_width_mult")
    def _only_one_has_a_width(self) -> Iterator[Finding]:
        if self.mb2_width_mult != 1 and self.net != "mb2-ssd-lite":
            yield Finding(("mb2_width_mult",), f"is {self.mb2_width_mult:g}, which is for mb2-ssd-lite, not {self.net}")

    def spec_notes(self) -> Iterator[Finding]:
        last = self.num_epochs
        if self.scheduler == "cosine" and self.t_max and self.t_max != last:
            what = "the rates are still high at the end" if self.t_max > last else "the rates rise again after it"
            yield Finding(("t_max",), f"is {self.t_max:g} and num_epochs {last}: {what}; 0 fits it to the run")
        if self.scheduler == "multi-step" and not any(one < last for one in self.milestones):
            yield Finding(("milestones",), f"are never reached in {last} epochs: the rates stay as they are")
