"""ClearML, for `clearml_config` (reference/detectnet_v2.md 1.13).

The command line is not sent, because it may hold the key. ClearML reads it in a thread of its own, so `sys.argv` has no
arguments until the sink is closed.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taolite.errors import UsageError
from taolite.extras import install_command
from taolite.sinks.base import Pixels, Sink

__all__ = ["ClearmlSettings", "open_clearml"]


@dataclass(frozen=True)
class ClearmlSettings:
    """The fields of `clearml_config`."""

    project: str = ""
    task: str = ""
    tags: tuple[str, ...] = ()
    reuse_last_task_id: bool = False
    continue_last_task: bool = False
    deferred_init: bool = False


def open_clearml(settings: ClearmlSettings, config: Mapping[str, Any]) -> Sink:
    """A task on the server of ~/clearml.conf, or offline with CLEARML_OFFLINE_MODE=1.

    Raises UsageError where the package is missing.
    """
    try:
        from clearml import Task
    except ImportError as error:
        raise UsageError(f"clearml is not installed; run {install_command('clearml')}") from error
    _ask_for_no_update()
    arguments = sys.argv[1:]
    del sys.argv[1:]
    try:
        return _Clearml(_begin(Task, settings, config), arguments)
    except BaseException:
        sys.argv[1:] = arguments
        raise


def _ask_for_no_update() -> None:
    """ClearML asks its maker's server for a newer version, once a process, unless it has asked already."""
    with suppress(ImportError):  # a version that has moved it, or asks nothing
        from clearml.utilities.check_updates import CheckPackageUpdates

        CheckPackageUpdates._package_version_checked = True


def _begin(library: Any, settings: ClearmlSettings, config: Mapping[str, Any]) -> Any:
    task = library.init(
        project_name=settings.project or "taolite",
        task_name=settings.task or "detectnet_v2_train",
        tags=list(settings.tags) or None,
        reuse_last_task_id=settings.reuse_last_task_id,
        continue_last_task=settings.continue_last_task,
        deferred_init=settings.deferred_init,
        auto_connect_arg_parser=False,
        auto_connect_frameworks=False,
        auto_connect_streams=False,
        auto_resource_monitoring=False,
    )
    task.connect(dict(config))
    return task


class _Clearml:
    def __init__(self, task: Any, arguments: list[str]) -> None:
        self._task, self._logger, self._arguments = task, task.get_logger(), arguments

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        for name, value in values.items():
            self._logger.report_scalar(title=name, series=name, value=value, iteration=step)

    def pictures(self, pictures: Mapping[str, Pixels], step: int) -> None:
        for name, pixels in pictures.items():
            self._logger.report_image(title=name, series=name, iteration=step, image=pixels)

    def histograms(self, values: Mapping[str, NDArray[np.float32]], step: int) -> None:
        for name, array in values.items():
            counts, edges = np.histogram(array, bins=64)
            labels = [f"{edge:.4g}" for edge in edges[:-1]]
            self._logger.report_histogram(title=name, series=name, values=counts, iteration=step, xlabels=labels)

    def close(self) -> None:
        try:
            self._task.close()
        finally:
            sys.argv[1:] = self._arguments
