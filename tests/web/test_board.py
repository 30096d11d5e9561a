"""What the board answers: runs by id, pictures by place, nothing by path; and no content of a file can break it."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("starlette")

from starlette.testclient import TestClient

from taolite.web.board import board_app
from taolite.web.guard import Guard
from taolite.workspace.finds import Finds, Looked, Thing

from .workspaces import make_run

TOKEN = "a-token-for-tests"


class Board:
    """The board of a user who has the token."""

    def __init__(self, client: TestClient) -> None:
        self.client = client

    def get(self, path: str, **asked: Any):
        return self.client.get(path, params=asked)

    def rows(self) -> dict[str, dict[str, Any]]:
        return {row["name"]: row for row in self.get("/api/runs").json()["runs"]}

    def id(self, name: str) -> str:
        return self.rows()[name]["id"]


@pytest.fixture
def open_board() -> Iterator[Callable[[Path], Board]]:
    clients = []

    def make(root: Path) -> Board:
        client = TestClient(Guard(board_app(root), token=TOKEN, port=80), base_url="http://127.0.0.1")
        assert client.get("/", params={"token": TOKEN}).status_code == 200
        clients.append(client)
        return Board(client)

    yield make
    for client in clients:
        client.close()


def finds_of(*images: Path | str) -> Finds:
    box = (2.0, 4.0, 30.0, 20.0)
    return Finds(
        ("cat", "dog"), 9, tuple(Looked(str(one), (40, 60), (Thing(0, box),), (Thing(0, box, 0.9),)) for one in images)
    )


def test_nothing_is_shown_without_the_token(tmp_path: Path):
    make_run(tmp_path / "a")
    client = TestClient(Guard(board_app(tmp_path), token=TOKEN, port=80), base_url="http://127.0.0.1")

    for path in (
        "/",
        "/api/runs",
        "/api/run",
        "/api/plot",
        "/api/finds",
        "/api/picture",
        "/api/compare",
        "/api/lineage",
    ):
        assert client.get(path, params={"token": "another"} if path == "/" else {}).status_code == 403


def test_nothing_can_be_changed(tmp_path: Path, open_board):
    board = open_board(tmp_path)

    assert board.client.post("/api/runs", headers={"X-Taolite": "1"}).status_code == 405
    assert board.client.delete("/api/runs", headers={"X-Taolite": "1"}).status_code == 405


def test_the_table_is_sent_anew_only_when_it_has_changed(tmp_path: Path, open_board, monkeypatch):
    monkeypatch.setattr("taolite.web.shelf._FRESH_S", 0.0)
    board = open_board(tmp_path)
    make_run(tmp_path / "a", end="", epochs=3)
    tag = board.get("/api/runs").headers["etag"]

    same = board.client.get("/api/runs", headers={"If-None-Match": tag})
    make_run(tmp_path / "b")
    other = board.client.get("/api/runs", headers={"If-None-Match": tag})

    assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
    assert [row["name"] for row in other.json()["runs"]] == ["a", "b"]


def test_the_parent_of_a_run_is_named_where_it_is_on_the_board(tmp_path: Path, open_board):
    make_run(tmp_path / "first", weights_sha256="a" * 64)
    make_run(tmp_path / "second", parent="a" * 64)
    make_run(tmp_path / "third", parent="b" * 64)
    board = open_board(tmp_path)

    rows = board.rows()

    assert rows["second"]["parent"] == {"hash": "a" * 64, "id": rows["first"]["id"], "name": "first"}
    assert rows["third"]["parent"] == {"hash": "b" * 64, "id": "", "name": ""}


def test_the_page_of_a_run_has_its_files(tmp_path: Path, open_board):
    folder = make_run(tmp_path / "a", seed=42, versions={"python": "3.11"}, finds=finds_of())
    (folder / "plots").mkdir()
    for name in ("zebra.png", "f1.png", "notes.txt"):
        (folder / "plots" / name).write_bytes(b"")
    (folder / "plots" / "out.png").symlink_to("/etc/hostname")
    board = open_board(tmp_path)

    page = board.get("/api/run", id=board.id("a")).json()

    assert page["run"] == board.rows()["a"]
    assert page["plots"] == ["f1.png", "zebra.png"]
    assert page["spec"].startswith("random_seed: 42\n")
    assert page["facts"] == {"name": "m", "seed": 42, "parameters": 1000, "versions": {"python": "3.11"}}
    assert "spec" not in page["manifest"]["run"]
    assert (page["hasFinds"], page["scorecard"]["cost"], len(page["rows"])) == (True, 0.25, 4)
    assert [line["status"] for line in page["status"]] == ["STARTED", "RUNNING", "RUNNING", "SUCCESS"]


def test_numbers_that_json_has_not_are_null_and_damaged_scores_are_a_message(tmp_path: Path, open_board):
    folder = make_run(tmp_path / "a", seed=1)
    (folder / "metrics.jsonl").write_text('{"epoch": 1, "loss": NaN, "mAP": Infinity}\n')
    (folder / "scores.json").write_text("{")
    board = open_board(tmp_path)

    answer = board.get("/api/run", id=board.id("a"))

    page = json.loads(answer.text, parse_constant=pytest.fail)
    assert page["rows"] == [{"epoch": 1, "loss": None, "mAP": None}]
    assert page["scorecard"] is None
    assert page["problem"].endswith("run evaluate again to write it anew")


def test_a_plot_is_given_by_its_name_in_the_list_alone(tmp_path: Path, open_board):
    folder = make_run(tmp_path / "a")
    (folder / "plots").mkdir()
    (folder / "plots" / "f1.png").write_bytes(b"PNG")
    (folder / "plots" / "linked.png").symlink_to(folder / "manifest.json")
    board = open_board(tmp_path)
    run = board.id("a")

    good = board.get("/api/plot", id=run, name="f1.png")

    assert (good.content, good.headers["content-type"]) == (b"PNG", "image/png")
    for name in ("../manifest.json", "linked.png", str(folder / "plots" / "f1.png"), "", "f1.PNG", "\0"):
        answer = board.get("/api/plot", id=run, name=name)
        assert (answer.status_code, answer.json()) == (404, {"error": "this run has no such plot"})


def test_plots_behind_a_link_are_not_shown(tmp_path: Path, open_board):
    folder, outside = make_run(tmp_path / "runs" / "a"), tmp_path / "outside"
    outside.mkdir()
    (outside / "f1.png").write_bytes(b"PNG")
    (folder / "plots").symlink_to(outside)
    board = open_board(tmp_path / "runs")

    assert board.get("/api/run", id=board.id("a")).json()["plots"] == []


@pytest.mark.parametrize("name", ["", "a", "../a", "/", "0" * 12, "\0"])
def test_a_run_is_known_by_its_id_alone(tmp_path: Path, open_board, name):
    make_run(tmp_path / "a")
    board = open_board(tmp_path)

    answer = board.get("/api/run", id=name)

    said = "this run is not there any more; the list of runs shows those that are"
    assert (answer.status_code, answer.json()) == (404, {"error": said})


def test_a_picture_is_given_by_its_place_scaled_down_and_upright(tmp_path: Path, open_board):
    picture = tmp_path / "1.png"
    pixels = np.zeros((100, 2000, 3), np.uint8)
    pixels[:, :1000] = (250, 0, 0)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees clockwise: what is left is at the top then
    Image.fromarray(pixels).save(picture, exif=exif)
    make_run(tmp_path / "a", finds=finds_of(picture))
    board = open_board(tmp_path)

    answer = board.get("/api/picture", id=board.id("a"), index=0, width=1)

    with Image.open(io.BytesIO(answer.content)) as image:
        assert (answer.headers["content-type"], image.format, image.size) == ("image/jpeg", "JPEG", (100, 2000))
        top, bottom = (np.asarray(image)[place, 50].astype(int) for place in (100, 1900))
    assert np.abs(top - (250, 0, 0)).max() < 12
    assert np.abs(bottom).max() < 12


def test_a_wide_picture_is_sent_with_the_next_width(tmp_path: Path, open_board):
    picture = tmp_path / "1.png"
    Image.fromarray(np.zeros((100, 2000, 3), np.uint8)).save(picture)
    make_run(tmp_path / "a", finds=finds_of(picture))
    board = open_board(tmp_path)

    def width(asked: int) -> int:
        data = board.get("/api/picture", id=board.id("a"), index=0, width=asked).content
        return Image.open(io.BytesIO(data)).width

    assert [width(asked) for asked in (1, 481, 999_999_999)] == [320, 640, 1920]


def test_what_is_no_picture_or_no_place_is_refused(tmp_path: Path, open_board):
    secret = tmp_path / "secret.png"
    secret.write_text("root:x:0:0")
    os.mkfifo(tmp_path / "pipe.png")
    make_run(tmp_path / "a", finds=finds_of(secret, tmp_path / "gone.png", "inner.jpg", tmp_path / "pipe.png"))
    board = open_board(tmp_path)

    def said(index: Any) -> tuple[int, str]:
        answer = board.get("/api/picture", id=board.id("a"), index=index, width=480)
        return answer.status_code, answer.json()["error"]

    assert said(0)[0] == 404
    assert "x:0:0" not in said(0)[1]
    assert said(1) == (404, f"{tmp_path / 'gone.png'}: this image is missing; restore it or remove its label")
    assert said(2) == (404, "inner.jpg: this picture lies in an archive, where the board does not look")
    assert said(3)[0] == 404
    assert said(4) == (422, "there is no picture 4 in these finds; reload the page")
    assert said("-1") == (422, "index=-1: a whole number is needed")
    assert said("/etc/passwd") == (422, "index=/etc/passwd: a whole number is needed")


def test_finds_are_checked_before_they_are_sent(tmp_path: Path, open_board):
    folder = make_run(tmp_path / "a", finds=finds_of("/x/1.png"))
    board = open_board(tmp_path)
    good = board.get("/api/finds", id=board.id("a"))

    (folder / "finds.json").write_text('{"version": 1, "classes": [5]}')
    bad = board.get("/api/finds", id=board.id("a"))

    assert good.json()["pictures"][0]["finds"] == [[0, 0.9, [2.0, 4.0, 30.0, 20.0]]]
    assert bad.status_code == 404
    why = "not the finds of a validation (5 is not a text); run evaluate again to write it anew"
    assert bad.json() == {"error": f"{folder / 'finds.json'}: {why}"}


def test_two_runs_are_compared_by_scores_and_by_the_fields_of_their_specs(tmp_path: Path, open_board):
    make_run(tmp_path / "a", batch=4)
    make_run(tmp_path / "b", batch=8, scores=(0.5, 0.6, 0.7))
    board = open_board(tmp_path)

    answer = board.get("/api/compare", id=[board.id("b"), board.id("a")]).json()

    assert [line["name"] for line in answer["lines"]] == ["b", "a"]
    assert [run["scores"]["mAP"] for run in answer["runs"]] == [0.7, 0.75]
    assert answer["spec"] == [
        {"path": "training_config.num_epochs", "values": ["3", "2"]},
        {"path": "training_config.batch_size_per_gpu", "values": ["8", "4"]},
    ]


def test_one_run_or_too_many_are_not_compared(tmp_path: Path, open_board):
    make_run(tmp_path / "a")
    board = open_board(tmp_path)

    answer = board.get("/api/compare", id=[board.id("a"), board.id("a")])

    assert answer.status_code == 422
    assert answer.json() == {"error": "2 to 12 runs can be compared, not 1; choose them in the table"}
