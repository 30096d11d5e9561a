"""MLflow, where MLFLOW_TRACKING_URI or --mlflow names a server or a folder. MLflow has no histograms.

MLflow retries a dead server for four minutes. Here it retries for seconds, unless its own variables
(MLFLOW_HTTP_REQUEST_MAX_RETRIES, MLFLOW_HTTP_REQUEST_TIMEOUT) are set. A folder has to be allowed explicitly: recent
versions ask for a database by default, which is not in `mlflow-skinny`.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from taolite.errors import UsageError
from taolite.extras import install_command
from taolite.sinks.base import Pixels, Sink

__all__ = ["open_mlflow"]

_QUOTES = "\"')"  # that end a sentence of urllib3's


def open_mlflow(uri: str, name: str, config: Mapping[str, Any]) -> Sink:
    """A run called `name` of the experiment MLFLOW_EXPERIMENT_NAME, else `taolite`.

    Raises UsageError where the package is missing, `uri` is of a kind it cannot open, or no server answers there.
    """
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ImportError as error:
        raise UsageError(f"mlflow is not installed; run {install_command('mlflow')}") from error
    try:
        with _waiting(retries=1, timeout_s=5):
            client = MlflowClient(uri)
            run_id = _begin(client, name, config)
    except MlflowException as error:
        raise UsageError(_reason(uri, error)) from error
    return _Mlflow(client, run_id)


def _begin(client: Any, name: str, config: Mapping[str, Any]) -> str:
    """A new run's identifier."""
    called = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "taolite"
    known = client.get_experiment_by_name(called)
    experiment = known.experiment_id if known else client.create_experiment(called)
    run_id: str = client.create_run(experiment, run_name=name).info.run_id
    for field, value in config.items():
        client.log_param(run_id, field, value)
    return run_id


def _reason(uri: str, error: Exception) -> str:
    """The message for an error at `uri`, which is shown without user name and password."""
    shown = re.sub(r"//[^/@]*@", "//", uri)
    if "unsupported URI" in str(error):
        return f"{shown}: give a server (http://HOST:PORT) or a folder; a database needs the full `pip install mlflow`"
    if "HTTPConnectionPool" in str(error) or "HTTPSConnectionPool" in str(error):
        return f"{shown}: no MLflow server answers ({str(error).rsplit(': ', 1)[-1].rstrip(_QUOTES)})"
    return f"{shown}: {(str(error).splitlines() or [''])[0]}"


@contextmanager
def _waiting(*, retries: int, timeout_s: int) -> Iterator[None]:
    """MLflow's settings inside the block: retries, timeout, folders allowed. The user's own variables are kept."""
    wanted = {
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": str(retries),
        "MLFLOW_HTTP_REQUEST_TIMEOUT": str(timeout_s),
        "MLFLOW_ALLOW_FILE_STORE": "true",
    }
    ours = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


class _Mlflow:
    def __init__(self, client: Any, run_id: str) -> None:
        self._client, self._run_id = client, run_id

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = round(1000 * time.time())
        metrics = [Metric(_allowed(name), value, now, step) for name, value in values.items()]
        with _waiting(retries=2, timeout_s=20):
            self._client.log_batch(self._run_id, metrics=metrics)

    def pictures(self, pictures: Mapping[str, Pixels], step: int) -> None:
        with _waiting(retries=2, timeout_s=20):
            for name, pixels in pictures.items():
                self._client.log_image(self._run_id, pixels, key=_allowed(name), step=step)

    def histograms(self, values: Mapping[str, NDArray[np.float32]], step: int) -> None:
        pass

    def close(self) -> None:
        with _waiting(retries=2, timeout_s=20):
            self._client.set_terminated(self._run_id)


def _allowed(name: str) -> str:
    """`name` with characters that MLflow refuses replaced: `mAP (in %)` becomes `mAP _in _`."""
    return re.sub(r"[^\w\-./ ]+", "_", name, flags=re.ASCII)
