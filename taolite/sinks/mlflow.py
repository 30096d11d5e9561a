"""MLflow, where MLFLOW_TRACKING_URI or --mlflow names a server or a folder. MLflow has no histograms."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taolite.errors import UsageError
from taolite.sinks.base import Pixels, Sink

__all__ = ["open_mlflow"]


def open_mlflow(uri: str, name: str, config: Mapping[str, Any]) -> Sink:
    """A run called `name` of the experiment MLFLOW_EXPERIMENT_NAME, else `taolite`.

    Raises UsageError where the package is missing.
    """
    try:
        from mlflow import MlflowClient
    except ImportError as error:
        raise UsageError('mlflow is not installed; pip install "taolite[mlflow]"') from error
    client = MlflowClient(uri)
    called = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "taolite"
    known = client.get_experiment_by_name(called)
    experiment = known.experiment_id if known else client.create_experiment(called)
    run_id = client.create_run(experiment, run_name=name).info.run_id
    for field, value in config.items():
        client.log_param(run_id, field, value)
    return _Mlflow(client, run_id)


class _Mlflow:
    def __init__(self, client: Any, run_id: str) -> None:
        self._client, self._run_id = client, run_id

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = round(1000 * time.time())
        metrics = [Metric(_allowed(name), value, now, step) for name, value in values.items()]
        self._client.log_batch(self._run_id, metrics=metrics)

    def pictures(self, pictures: Mapping[str, Pixels], step: int) -> None:
        for name, pixels in pictures.items():
            self._client.log_image(self._run_id, pixels, key=_allowed(name), step=step)

    def histograms(self, values: Mapping[str, NDArray[np.float32]], step: int) -> None:
        pass

    def close(self) -> None:
        self._client.set_terminated(self._run_id)


def _allowed(name: str) -> str:
    """`name` without what MLflow takes in no name: `mAP (in %)` becomes `mAP _in _`."""
    return re.sub(r"[^\w\-./ ]+", "_", name, flags=re.ASCII)
