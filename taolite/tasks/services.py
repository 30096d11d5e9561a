"""Services that show a run, as the `visualizer` of every task's spec names them (reference 1.13). No torch."""

from __future__ import annotations

from taolite.spec import SpecEnum, SpecModel, field

__all__ = ["ClearMLConfig", "WandBConfig", "WandBMode"]


class WandBMode(SpecEnum):
    """How Weights & Biases runs."""

    ONLINE = "ONLINE"
    OFFLINE = "OFFLINE"
    DISABLED = "DISABLED"


class WandBConfig(SpecModel):
    """Weights & Biases: a run is started where this is given, unless it says `enabled: false`."""

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
    """ClearML: a task is started where this is given."""

    project: str = field("", doc="The project.")
    task: str = field("", doc="The task's name.")
    tags: tuple[str, ...] = field((), doc="The task's tags.")
    reuse_last_task_id: bool = field(False, doc="Write over the last task of this name.")
    continue_last_task: bool = field(False, doc="Go on with the last task of this name.")
    deferred_init: bool = field(False, doc="Do not wait for the server.")
