"""Services that show a run, as configured in the `visualizer` of a task's spec (reference 1.13). No torch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar

from taolite.spec import SpecEnum, SpecModel, UInt, field

if TYPE_CHECKING:
    from taolite.sinks.clearml import ClearmlSettings
    from taolite.sinks.wandb import WandbSettings

__all__ = [
    "ClearMLConfig",
    "VisualizerConfig",
    "WandBConfig",
    "WandBMode",
    "clearml_settings",
    "wandb_settings",
    "without_secrets",
]


class WandBMode(SpecEnum):
    """How Weights & Biases runs."""

    ONLINE = "ONLINE"
    OFFLINE = "OFFLINE"
    DISABLED = "DISABLED"


class WandBConfig(SpecModel):
    """Weights & Biases: if this block is present, a run is started, unless it sets `enabled: false`."""

    enabled: bool = field(False, doc="Written out as false, nothing is started; absent acts as true, as in TAO.")
    key: str = field("", ignored="a spec is copied into every model; set WANDB_API_KEY instead", doc="Without effect.")
    project: str = field("", doc="The project.")
    entity: str = field("", doc="The team or user.")
    reinit: bool = field(False, doc="Without effect: every training is a run of its own.")
    name: str = field("", doc="The run's name, before its date; absent is `model`.")
    tags: tuple[str, ...] = field((), doc="The run's tags.")
    wandb_dir: str = field("", doc="Where its files go; absent is the results folder.")
    notes: str = field("", doc="The run's notes.")
    mode: WandBMode = field(WandBMode.ONLINE, doc="Absent, the variable WANDB_MODE decides.")


class ClearMLConfig(SpecModel):
    """ClearML: if this block is present, a task is started."""

    project: str = field("", doc="The project.")
    task: str = field("", doc="The task's name.")
    tags: tuple[str, ...] = field((), doc="The task's tags.")
    reuse_last_task_id: bool = field(False, doc="Write over the last task of this name.")
    continue_last_task: bool = field(False, doc="Go on with the last task of this name.")
    deferred_init: bool = field(False, doc="Do not wait for the server.")


class VisualizerConfig(SpecModel):
    """Pictures and curves of a run, in the form that classification and SSD use."""

    enabled: bool = field(False, doc="Images in TensorBoard.")
    num_images: UInt = field(0, doc="Images in each summary.")
    weight_histograms: bool = field(False, doc="Histograms of the weights in TensorBoard.")
    wandb_config: WandBConfig | None = field(None, doc="Weights & Biases.")
    clearml_config: ClearMLConfig | None = field(None, doc="ClearML.")


_MODES: dict[WandBMode, Literal["online", "offline", "disabled"]] = {
    WandBMode.ONLINE: "online",
    WandBMode.OFFLINE: "offline",
    WandBMode.DISABLED: "disabled",
}


def wandb_settings(config: WandBConfig | None, name: str) -> WandbSettings | None:
    """The settings of a `wandb_config`; None where the block is absent or sets `enabled: false`."""
    if config is None or ("enabled" in config.model_fields_set and not config.enabled):
        return None
    from taolite.sinks.wandb import WandbSettings

    return WandbSettings(
        name=config.name or name,
        project=config.project,
        entity=config.entity,
        tags=config.tags,
        notes=config.notes,
        folder=config.wandb_dir,
        mode=_MODES[config.mode] if "mode" in config.model_fields_set else None,
    )


def clearml_settings(config: ClearMLConfig | None) -> ClearmlSettings | None:
    """The settings of a `clearml_config`."""
    if config is None:
        return None
    from taolite.sinks.clearml import ClearmlSettings

    return ClearmlSettings(**config.model_dump())


Spec = TypeVar("Spec", bound=SpecModel)


def without_secrets(spec: Spec, block: str) -> Spec:
    """`spec` without the key in `<block>.visualizer.wandb_config`.

    The text of the spec is written to every model and run folder, so it must hold no secret.
    """
    training: Any = getattr(spec, block)
    visualizer = training.visualizer
    if visualizer is None or visualizer.wandb_config is None:
        return spec
    wandb = visualizer.wandb_config.model_copy(update={"key": ""})
    shown = training.model_copy(update={"visualizer": visualizer.model_copy(update={"wandb_config": wandb})})
    return spec.model_copy(update={block: shown})
