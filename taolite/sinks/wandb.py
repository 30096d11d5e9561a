"""Weights & Biases, for `wandb_config` (reference/detectnet_v2.md 1.13). The command line is not sent: it may hold the
key."""

from __future__ import annotations

import netrc
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from taolite.errors import UsageError
from taolite.extras import install_command
from taolite.sinks.base import Pixels, Sink

__all__ = ["WandbSettings", "open_wandb"]


@dataclass(frozen=True)
class WandbSettings:
    """The fields of `wandb_config` that have an effect. `mode` None is WANDB_MODE's, else online."""

    name: str
    project: str = ""
    entity: str = ""
    tags: tuple[str, ...] = ()
    notes: str = ""
    folder: str = ""
    mode: Literal["online", "offline", "disabled"] | None = None


def open_wandb(settings: WandbSettings, folder: Path, config: Mapping[str, Any]) -> Sink:
    """A run called NAME_dd/yy/mm_HH:MM:SS, as TAO writes it; its files are in `folder`/wandb unless the settings name
    another place.

    Raises UsageError where the package or, online, a login is missing.
    """
    try:
        import wandb
    except ImportError as error:
        raise UsageError(f"wandb is not installed; run {install_command('wandb')}") from error
    mode = settings.mode or os.environ.get("WANDB_MODE") or "online"
    if mode == "online" and not _logged_in():
        raise UsageError("no login; set WANDB_API_KEY, run `wandb login`, or ask for `mode: OFFLINE`")
    start: Any = wandb.init  # it refuses a WANDB_MODE that it does not know
    run = start(
        project=settings.project or None,
        entity=settings.entity or None,
        name=f"{settings.name}_{datetime.now():%d/%y/%m_%H:%M:%S}",
        tags=list(settings.tags),
        notes=settings.notes or None,
        dir=settings.folder or str(folder),
        mode=mode,
        config=dict(config),
        settings=wandb.Settings(
            silent=True, console="off", disable_git=True, disable_code=True, save_code=False, x_disable_meta=True
        ),
    )
    return _Wandb(run, wandb)


class _Wandb:
    def __init__(self, run: Any, wandb: Any) -> None:
        self._run, self._wandb = run, wandb

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        self._run.log(dict(values), step=step)

    def pictures(self, pictures: Mapping[str, Pixels], step: int) -> None:
        self._run.log({name: self._wandb.Image(pixels) for name, pixels in pictures.items()}, step=step)

    def histograms(self, values: Mapping[str, NDArray[np.float32]], step: int) -> None:
        self._run.log({name: self._wandb.Histogram(array) for name, array in values.items()}, step=step)

    def close(self) -> None:
        self._run.finish()


def _logged_in() -> bool:
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc().authenticators("api.wandb.ai") is not None
    except (OSError, netrc.NetrcParseError):
        return False
