"""status.json and metrics.jsonl: TAO's fields, lines that survive a crash, strict JSON."""

from __future__ import annotations

import json
from datetime import datetime

import pytest

from taolite.errors import PathError
from taolite.workspace import MetricsFile, StatusFile


def strict(line: str) -> dict:
    def refuse(name: str) -> None:
        raise ValueError(name)

    return json.loads(line, parse_constant=refuse)


def test_lines_have_taos_fields_and_date_without_padding(tmp_path):
    status = StatusFile(tmp_path / "status.json", clock=lambda: datetime(2024, 3, 5, 7, 8, 9))

    status.write("Starting DetectNet_v2 Training job", status="STARTED")

    assert [strict(line) for line in (tmp_path / "status.json").read_text().splitlines()] == [
        {
            "date": "3/5/2024",
            "time": "7:8:9",
            "status": "STARTED",
            "verbosity": "INFO",
            "message": "Starting DetectNet_v2 Training job",
        }
    ]


def test_numbers_once_set_repeat_on_later_lines(tmp_path):
    status = StatusFile(tmp_path / "status.json")

    status.write("a", graphical={"loss": 0.5}, epoch=0, max_epoch=2)
    status.write("b", kpi={"mean average precision": 91.2345}, categorical={"average_precision": {"cat": 91.2345}})
    status.write("c", graphical={"loss": float("nan")}, epoch=1)

    rows = [strict(line) for line in (tmp_path / "status.json").read_text().splitlines()]
    assert [row.get("epoch") for row in rows] == [0, None, 1]
    assert [row["graphical"] for row in rows] == [{"loss": 0.5}, {"loss": 0.5}, {"loss": None}]
    assert [row.get("kpi") for row in rows] == [None, *[{"mean average precision": 91.2345}] * 2]
    assert rows[2]["categorical"] == {"average_precision": {"cat": 91.2345}}


def test_a_second_run_appends_on_a_line_of_its_own_even_after_a_crash(tmp_path):
    (tmp_path / "status.json").write_text('{"message": "one"}\n{"mess')

    StatusFile(tmp_path / "status.json").write("two")

    lines = (tmp_path / "status.json").read_text().splitlines()
    assert lines[:2] == ['{"message": "one"}', '{"mess']
    assert strict(lines[2])["message"] == "two"


def test_metrics_come_back_by_epoch_without_the_line_a_crash_cut_off(tmp_path):
    metrics = MetricsFile(tmp_path / "run" / "metrics.jsonl")
    metrics.write(1, {"loss": 0.5})
    with open(metrics.path, "a") as stream:
        stream.write('{"epoch": 2, "lo')
    assert metrics.read() == [{"epoch": 1, "loss": 0.5}]

    metrics.write(2, {"loss": 0.25})

    assert metrics.read() == [{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}]


def test_what_is_no_epochs_line_is_left_out(tmp_path):
    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    metrics.write(1, {"loss": 0.5, "name": "猫"})
    with open(metrics.path, "ab") as stream:
        stream.write(
            b'\xff\xfe\n5\n[]\n{}\n{"epoch": "2"}\n{"epoch": ' + b"9" * 5000 + b"}\n" + b"[" * 9000 + b"\n\xe7"
        )

    assert metrics.read() == [{"epoch": 1, "loss": 0.5, "name": "猫"}]


def test_a_resumed_run_forgets_the_epochs_it_does_again(tmp_path):
    metrics = MetricsFile(tmp_path / "metrics.jsonl")
    for epoch in (1, 2, 3):
        metrics.write(epoch, {"loss": 1 / epoch})

    metrics.replace(metrics.read()[:2])

    assert [row["epoch"] for row in metrics.read()] == [1, 2]


def test_no_metrics_yet_are_no_metrics(tmp_path):
    metrics = MetricsFile(tmp_path / "metrics.jsonl")

    assert metrics.read() == []
    assert not metrics.path.exists()


def test_a_file_in_the_place_of_the_folder_is_named(tmp_path):
    (tmp_path / "run").touch()

    with pytest.raises(PathError) as caught:
        StatusFile(tmp_path / "run" / "status.json").write("x")

    assert str(caught.value) == (
        f"{tmp_path}/run/status.json: a file is where a folder should be, or the reverse; move it"
    )
