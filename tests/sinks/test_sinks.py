"""Sinks on the real libraries, offline; skipped where one is not installed."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from taolite.errors import StorageError, UsageError
from taolite.extras import install_command
from taolite.sinks.base import Sink, guarded
from taolite.sinks.clearml import ClearmlSettings, open_clearml
from taolite.sinks.mlflow import open_mlflow
from taolite.sinks.tensorboard import Board
from taolite.sinks.wandb import WandbSettings, open_wandb

pytestmark = pytest.mark.sockets

SECRET = "".join(reversed("2retnuh")) * 2  # ClearML sends the running script, which is this file: not as it stands
PIXELS = np.full((24, 32, 3), 200, np.uint8)


@pytest.fixture(autouse=True)
def key_on_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["detectnet_v2", "train", "-k", SECRET])


def feed(sink: Sink) -> None:
    sink.scalars({"loss": 0.75, "mean average precision (mAP) (in %)": 0.5}, 3)
    sink.pictures({"detections/1": PIXELS}, 3)
    sink.histograms({"weights/conv1": np.arange(10, dtype=np.float32)}, 3)
    sink.close()


def contents(folder: Path) -> bytes:
    """All bytes of all files below, zip archives opened."""
    read = b""
    for path in folder.rglob("*"):
        if path.suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                read += b"".join(archive.read(name) for name in archive.namelist())
        elif path.is_file():
            read += path.read_bytes()
    return read


def test_tensorboard_files_hold_numbers_pictures_and_histograms(tmp_path: Path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    feed(Board(tmp_path))

    read = EventAccumulator(str(tmp_path)).Reload()
    assert [(e.step, e.value) for e in read.Scalars("loss")] == [(3, 0.75)]
    assert (read.Images("detections/1")[0].height, read.Images("detections/1")[0].width) == (24, 32)
    assert read.Histograms("weights/conv1")[0].histogram_value.num == 10


@pytest.mark.parametrize("spelling", [Path.as_uri, str])
def test_mlflow_keeps_numbers_with_names_that_it_takes_and_pictures_in_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spelling: Callable[[Path], str]
):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    uri = spelling(tmp_path)

    feed(open_mlflow(uri, "plates", {"epochs": 12}))

    assert "MLFLOW_ALLOW_FILE_STORE" not in os.environ
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # for this look at it
    client = mlflow.MlflowClient(uri)
    (run,) = client.search_runs([client.get_experiment_by_name("taolite").experiment_id])
    assert run.info.run_name == "plates"
    assert list(tmp_path.rglob("images/*.png"))
    assert run.info.status == "FINISHED"
    assert run.data.params == {"epochs": "12"}
    assert run.data.metrics == {"loss": 0.75, "mean average precision _mAP_ _in _": 0.5}


def test_an_mlflow_server_that_is_not_there_costs_seconds_and_the_run_goes_on(tmp_path: Path):
    pytest.importorskip("mlflow")
    with socket.socket() as taken:  # a port on which nobody answers
        taken.bind(("127.0.0.1", 0))
        uri = f"http://127.0.0.1:{taken.getsockname()[1]}"
        said: list[str] = []
        began = time.monotonic()

        feed(guarded("mlflow", lambda: open_mlflow(uri, "plates", {}), said.append))

    assert time.monotonic() - began < 15
    (text,) = said
    assert text == (
        f"mlflow: {uri}: no MLflow server answers ([Errno 111] Connection refused); the command continues without it"
    )


def test_an_mlflow_address_of_another_kind_is_told_without_its_password():
    pytest.importorskip("mlflow")

    with pytest.raises(UsageError) as caught:
        open_mlflow(f"postgresql://me:{SECRET}@host/db", "plates", {})

    assert str(caught.value) == (
        "postgresql://host/db: give a server (http://HOST:PORT) or a folder; a database needs the full "
        "`pip install mlflow`"
    )


@pytest.mark.slow
def test_wandb_offline_keeps_numbers_and_pictures_and_not_the_command_line(tmp_path: Path):
    pytest.importorskip("wandb")
    settings = WandbSettings("plates", project="p", tags=("a", "b"), notes="n", mode="offline")

    feed(open_wandb(settings, tmp_path, {"epochs": 12}))

    until = time.monotonic() + 20  # its own process may still be writing
    while b"plates_" not in (kept := contents(tmp_path)) and time.monotonic() < until:
        time.sleep(0.2)
    assert b"plates_" in kept
    assert b"loss" in kept
    assert list(tmp_path.glob("wandb/offline-run-*/files/media/images/detections/*.png"))
    assert SECRET.encode() not in kept


@pytest.mark.slow
def test_clearml_offline_keeps_numbers_and_not_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    clearml = pytest.importorskip("clearml")
    monkeypatch.setenv("CLEARML_CACHE_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(clearml.Task, "_Task__main_task", None, raising=False)
    clearml.Task.set_offline(True)

    feed(open_clearml(ClearmlSettings(project="p", task="plates", tags=("a",)), {"epochs": 12}))

    kept = contents(tmp_path)
    assert b"plates" in kept
    assert b"loss" in kept
    assert SECRET.encode() not in kept
    assert sys.argv[-1] == SECRET  # and it is there again for whoever reads it


def test_without_a_login_wandb_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("wandb")
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    said: list[str] = []

    sink = guarded("wandb", lambda: open_wandb(WandbSettings("plates"), tmp_path, {}), said.append)
    feed(sink)

    assert said == [
        "wandb: no login; set WANDB_API_KEY, run `wandb login`, or ask for `mode: OFFLINE`; the command continues "
        "without it"
    ]


@pytest.mark.parametrize(
    ("library", "opens"),
    [
        ("wandb", lambda folder: open_wandb(WandbSettings("m"), folder, {})),
        ("clearml", lambda folder: open_clearml(ClearmlSettings(), {})),
        ("mlflow", lambda folder: open_mlflow(str(folder), "m", {})),
    ],
)
def test_a_library_that_is_missing_is_named_with_its_extra_and_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str, opens: Callable[[Path], Sink]
):
    monkeypatch.setitem(sys.modules, library, None)
    said: list[str] = []

    feed(guarded(library, lambda: opens(tmp_path), said.append))

    wanted = f"{library}: {library} is not installed; run {install_command(library)}; the command continues without it"
    assert said == [wanted]


def test_a_sink_that_fails_half_way_is_told_once():
    class Broken:
        calls = 0

        def scalars(self, values: object, step: int) -> None:
            Broken.calls += 1
            raise OSError("connection lost\nand a long trace")

        pictures = histograms = scalars

        def close(self) -> None:
            Broken.calls += 1

    said: list[str] = []

    feed(guarded("server", Broken, said.append))

    assert said == ["server: connection lost; the command continues without it"]
    assert Broken.calls == 1


def test_a_full_disk_under_tensorboard_is_told_as_such(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    board = Board(tmp_path / "events")

    def full(*values: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(board._writer, "add_scalar", full)

    with pytest.raises(StorageError) as caught:
        board.scalars({"loss": 0.5}, 1)

    assert str(caught.value) == (
        f"{tmp_path}/events: the disk is full; nothing was replaced. Free some space and run it again"
    )
    board.close()


REFUSED = """
import resource, signal, sys, time
from pathlib import Path
from taolite.errors import StorageError
from taolite.sinks.tensorboard import Board

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
board = Board(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    for step in range(100_000):
        board.scalars({"loss": 0.5}, step)
except StorageError as error:
    print(error)
    time.sleep(1)  # the thread may have more to say
"""


def test_a_write_that_fails_in_tensorboards_thread_is_told_once_and_not_as_a_traceback(tmp_path: Path):
    done = subprocess.run([sys.executable, "-c", REFUSED, tmp_path], capture_output=True, text=True, timeout=120)

    assert done.stdout.startswith(f"{tmp_path}: ")
    assert "Traceback" not in done.stderr
