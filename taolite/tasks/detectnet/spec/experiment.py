"""The whole spec of `train`, `evaluate`, retraining after `prune`, and `export -e` (reference 1.3), and the checks
across its parts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from taolite.spec import Finding, Key, SpecModel, UInt, check, field
from taolite.tasks.detectnet.spec.clustering import PostProcessingConfig
from taolite.tasks.detectnet.spec.convert import DatasetExportSpec
from taolite.tasks.detectnet.spec.dataset import AugmentationConfig, DataloaderMode, DatasetConfig
from taolite.tasks.detectnet.spec.network import (
    BboxRasterizerConfig,
    CostFunctionConfig,
    ModelConfig,
    ObjectiveLabelFilter,
)
from taolite.tasks.detectnet.spec.recipe import TaoliteConfig
from taolite.tasks.detectnet.spec.training import EvaluationConfig, TrainingConfig

__all__ = ["DetectNetSpec"]


class DetectNetSpec(SpecModel):
    """The whole spec of an experiment."""

    random_seed: UInt = field(0, doc="Seed of everything random; each process adds its rank.")
    dataset_config: DatasetConfig = field(doc="The data of training and validation.")
    augmentation_config: AugmentationConfig = field(doc="From image to network input.")
    postprocessing_config: PostProcessingConfig = field(doc="From cells to boxes, for validation and evaluate.")
    model_config_: ModelConfig = field(spec_name="model_config", doc="The network.")
    evaluation_config: EvaluationConfig = field(doc="When and how detections are judged.")
    cost_function_config: CostFunctionConfig = field(doc="The cost, and the classes.")
    training_config: TrainingConfig = field(doc="The training loop.")
    bbox_rasterizer_config: BboxRasterizerConfig = field(doc="From boxes to the grid the network learns.")
    loss_mask_label_filter: ObjectiveLabelFilter | None = field(None, doc="Regions in which the loss counts less.")
    taolite: TaoliteConfig | None = field(None, doc="What taolite adds to TAO's training.")
    dataset_export_config: tuple[DatasetExportSpec, ...] = field(
        (), ignored="`dataset_convert` has a spec of its own", doc="Not used by training."
    )

    @property
    def classes(self) -> tuple[str, ...]:
        """The target classes, in the order of the network's outputs."""
        return tuple(target.name for target in self.cost_function_config.target_classes)

    @check("cost_function_config.target_classes.name", "postprocessing_config.target_class_config")
    def _every_class_is_clustered(self) -> Iterator[Finding]:
        path = ("postprocessing_config", "target_class_config")
        yield from self._without(self.postprocessing_config.target_class_config, path)

    @check("cost_function_config.target_classes.name", "bbox_rasterizer_config.target_class_config")
    def _every_class_is_drawn(self) -> Iterator[Finding]:
        path = ("bbox_rasterizer_config", "target_class_config")
        yield from self._without(self.bbox_rasterizer_config.target_class_config, path)

    @check("cost_function_config.target_classes.name", "evaluation_config.minimum_detection_ground_truth_overlap")
    def _every_class_has_an_overlap(self) -> Iterator[Finding]:
        path = ("evaluation_config", "minimum_detection_ground_truth_overlap")
        yield from self._without(self.evaluation_config.minimum_detection_ground_truth_overlap, path)

    @check("cost_function_config.target_classes.name", "evaluation_config.evaluation_box_config")
    def _every_class_has_sizes(self) -> Iterator[Finding]:
        path = ("evaluation_config", "evaluation_box_config")
        yield from self._without(self.evaluation_config.evaluation_box_config, path)

    @check("cost_function_config.target_classes.name", "dataset_config.target_class_mapping")
    def _mapped_names_are_classes(self) -> Iterator[Finding]:
        for source, target in self.dataset_config.target_class_mapping.items():
            if target not in self.classes:
                text = f'is "{target}", which is no class of cost_function_config; it has {_listed(self.classes)}'
                yield Finding(("dataset_config", "target_class_mapping", Key(source)), text)

    @check(
        "training_config.learning_rate.early_stopping_annealing_schedule",
        "training_config.num_epochs",
        "evaluation_config.validation_period_during_training",
    )
    def _patience_fits_the_run(self) -> Iterator[Finding]:
        schedule = self.training_config.learning_rate.early_stopping_annealing_schedule
        period = self.evaluation_config.validation_period_during_training
        epochs = self.training_config.num_epochs
        if schedule and not period <= schedule.patience_steps <= epochs:
            text = (
                f"is {schedule.patience_steps}; it needs to be from {period} "
                f"(validation_period_during_training) to {epochs} (num_epochs)"
            )
            at = ("training_config", "learning_rate", "early_stopping_annealing_schedule", "patience_steps")
            yield Finding(at, text)

    @check(
        "loss_mask_label_filter.objective_label_filter_configs.target_class_names",
        "dataset_config.target_class_mapping",
    )
    def _masked_classes_exist(self) -> Iterator[Finding]:
        if not self.loss_mask_label_filter:
            return
        known = set(self.dataset_config.target_class_mapping.values())
        for index, config in enumerate(self.loss_mask_label_filter.objective_label_filter_configs):
            for place, name in enumerate(config.target_class_names):
                if name not in known:
                    text = f'is "{name}"; it needs to be a class that target_class_mapping maps to'
                    at = (
                        "loss_mask_label_filter",
                        "objective_label_filter_configs",
                        index,
                        "target_class_names",
                        place,
                    )
                    yield Finding(at, text)

    def _without(self, entries: Iterable[str], path: tuple[str, ...]) -> Iterator[Finding]:
        """A finding for every target class that `entries` lacks."""
        present = set(entries)
        for name in self.classes:
            if name not in present:
                yield Finding(path, f'has no entry for the class "{name}" of cost_function_config; add one')

    def spec_notes(self) -> Iterator[Finding]:
        dataset, mapped = self.dataset_config, set(self.dataset_config.target_class_mapping.values())
        if dataset.validation_fold is None and dataset.validation_data_source is None:
            text = "has neither `validation_fold` nor `validation_data_source`; nothing is validated"
            yield Finding(("dataset_config",), text)
        for index, name in enumerate(self.classes):
            if name not in mapped:
                text = f'is "{name}", and nothing in target_class_mapping maps to it'
                yield Finding(("cost_function_config", "target_classes", index, "name"), text)
        if dataset.dataloader_mode is DataloaderMode.MULTISOURCE:
            yield from self._multisource_notes()
        yield from self._filter_notes()
        if self.evaluation_config.first_validation_epoch > self.training_config.num_epochs:
            text = "is after the last epoch; only the last is validated"
            yield Finding(("evaluation_config", "first_validation_epoch"), text)

    def _multisource_notes(self) -> Iterator[Finding]:
        """A finding for every field that the loader MULTISOURCE ignores or does not treat as the field's name says."""
        config = self.augmentation_config
        for name in ("min_bbox_width", "min_bbox_height"):
            if getattr(config.preprocessing, name) not in (0.0, 1.0):
                text = "has no effect with the loader MULTISOURCE: boxes under 1 px are dropped; DEFAULT obeys it"
                yield Finding(("augmentation_config", "preprocessing", name), text)
        space, at = config.spatial_augmentation, ("augmentation_config", "spatial_augmentation")
        if space and space.vflip_probability:
            text = f"is {space.vflip_probability:g}, which TAO's MULTISOURCE loader ignores; here images are flipped"
            yield Finding((*at, "vflip_probability"), text)
        if space and space.rotate_rad_max:
            text = f"is {space.rotate_rad_max:g} degrees, despite its name"
            yield Finding((*at, "rotate_rad_max"), text)

    def _filter_notes(self) -> Iterator[Finding]:
        """A finding for every name in `source_class_label_filter` that selects no box.

        Labels are mapped before the filter, so only target classes select boxes.
        """
        configs = self.loss_mask_label_filter.objective_label_filter_configs if self.loss_mask_label_filter else ()
        for index, config in enumerate(configs):
            named = config.label_filter.source_class_label_filter
            for place, name in enumerate(named.source_class_names if named else ()):
                if name not in self.classes:
                    text = f'is "{name}", which is no target class and picks no box; name what it is mapped to'
                    at = ("label_filter", "source_class_label_filter", "source_class_names", place)
                    yield Finding(("loss_mask_label_filter", "objective_label_filter_configs", index, *at), text)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
