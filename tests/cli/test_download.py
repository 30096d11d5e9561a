"""`taolite dataset download openimages` against a server on this machine that misbehaves as real ones do."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from taolite.cli.main import main
from taolite.errors import UsageError
from taolite.formats import openimages_download, transfer
from taolite.formats.openimages import read_openimages_set
from taolite.formats.openimages_download import Selection, select
from taolite.formats.transfer import Outcome

pytestmark = pytest.mark.sockets

HEADER = "ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,IsTruncated,IsGroupOf,IsDepiction,IsInside"
CLASSES = "/m/apple,Apple\n/m/banana,Banana\n/m/pine,Pineapple\n"


@dataclass
class Server:
    """Files by path; `faults` are used up one a request: `cut` sends half, a number is a status, `junk` other bytes."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    faults: dict[str, list[str | int]] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    ranges: bool = True
    ignores_if_range: bool = False
    asked: list[tuple[str, str | None]] = field(default_factory=list)  # (path, Range)

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path, wanted = request.path, request.headers.get("Range")
        self.asked.append((path, wanted))
        fault = self.faults[path].pop(0) if self.faults.get(path) else None
        if isinstance(fault, int) or path not in self.files:
            request.send_error(fault if isinstance(fault, int) else 404)
            return
        whole = self.files[path]
        tag = self.tags.get(path, f'"{hashlib.md5(whole).hexdigest()}"')
        same = request.headers.get("If-Range") in (None, tag) or self.ignores_if_range
        start = int(wanted[len("bytes=") : -1]) if wanted and self.ranges and same else 0
        if start >= len(whole) and start:
            request.send_error(416)
            return
        data = whole[start:]
        request.send_response(206 if start else 200)
        request.send_header("Content-Length", str(len(data)))
        request.send_header("ETag", tag)
        if start:
            request.send_header("Content-Range", f"bytes {start}-{len(whole) - 1}/{len(whole)}")
        request.end_headers()
        if fault == "cut":
            request.wfile.write(data[: len(data) // 2])
            request.close_connection = True
        else:
            request.wfile.write(bytes(reversed(data)) if fault == "junk" else data)


@pytest.fixture
def server() -> Iterator[Server]:
    held = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            held.answer(self)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing on the terminal of the tests."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    held.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield held
    http.shutdown()
    http.server_close()
    thread.join()


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that would have been made."""
    waited: list[float] = []
    monkeypatch.setattr("taolite.formats.http_get.time.sleep", waited.append)
    return waited


def fetch(server: Server, path: Path, waits: list[float], *, retries: int = 3) -> Outcome:
    return transfer.fetch(f"{server.url}/a.bin", path, retries=retries, pause=waits.append)


BODY = bytes(range(256)) * 40


@pytest.mark.parametrize(
    ("faults", "paused"),
    [([], []), ([500, 503], [1, 2]), (["cut"], [1]), (["cut", 429, "cut"], [1, 2, 3]), (["junk"], [1])],
)
def test_a_file_arrives_whole_whatever_happens_on_the_way(
    server: Server, tmp_path: Path, faults: list[str | int], paused: list[float]
):
    server.files["/a.bin"], server.faults["/a.bin"], waits = BODY, list(faults), []

    outcome = fetch(server, tmp_path / "a.bin", waits)

    assert outcome == Outcome("fetched")
    assert (tmp_path / "a.bin").read_bytes() == BODY
    assert waits == paused
    assert [path.name for path in tmp_path.iterdir()] == ["a.bin"]


def test_a_transfer_goes_on_where_it_broke_off_also_in_a_later_run(server: Server, tmp_path: Path):
    server.files["/a.bin"], server.faults["/a.bin"] = BODY, ["cut"]

    first = fetch(server, tmp_path / "a.bin", [], retries=0)
    second = fetch(server, tmp_path / "a.bin", [])

    assert first == Outcome("failed", f"the transfer ended after {len(BODY) // 2} of {len(BODY)} bytes")
    assert second == Outcome("fetched")
    assert [wanted for _, wanted in server.asked] == [None, f"bytes={len(BODY) // 2}-"]
    assert (tmp_path / "a.bin").read_bytes() == BODY


@pytest.mark.parametrize("ranges", [True, False])
def test_a_part_of_another_file_or_one_too_long_is_given_up(server: Server, tmp_path: Path, ranges: bool):
    server.files["/a.bin"], server.ranges = BODY, ranges
    for old in (b"of an older file", BODY + b"more"):
        (tmp_path / ".a.bin.part").write_bytes(old)
        assert fetch(server, tmp_path / "a.bin", []) == Outcome("fetched")
        assert (tmp_path / "a.bin").read_bytes() == BODY
        (tmp_path / "a.bin").unlink()


def test_a_file_that_is_there_is_kept_unasked_and_an_empty_one_is_fetched(server: Server, tmp_path: Path):
    server.files["/a.bin"] = BODY
    (tmp_path / "a.bin").write_bytes(b"mine")
    assert fetch(server, tmp_path / "a.bin", []) == Outcome("kept")
    assert server.asked == []

    (tmp_path / "a.bin").write_bytes(b"")
    assert fetch(server, tmp_path / "a.bin", []) == Outcome("fetched")


def test_what_the_server_has_not_is_missing_at_once_and_what_it_forbids_has_failed(server: Server, tmp_path: Path):
    waits: list[float] = []
    assert fetch(server, tmp_path / "a.bin", waits) == Outcome("missing", "HTTP 404")
    server.files["/a.bin"], server.faults["/a.bin"] = BODY, [400]
    assert fetch(server, tmp_path / "a.bin", waits).reason == "HTTP 400 Bad Request"
    assert waits == []


def test_after_its_retries_a_transfer_has_failed_with_the_last_reason(server: Server, tmp_path: Path):
    server.files["/a.bin"], server.faults["/a.bin"], waits = BODY, [500] * 9, []

    assert fetch(server, tmp_path / "a.bin", waits) == Outcome("failed", "HTTP 500 Internal Server Error")
    assert waits == [1, 2, 3]
    assert not (tmp_path / "a.bin").exists()


def test_an_etag_that_two_equal_transfers_contradict_is_no_checksum(server: Server, tmp_path: Path):
    server.files["/a.bin"], server.tags["/a.bin"] = BODY, f'"{"0" * 32}"'

    assert fetch(server, tmp_path / "a.bin", []) == Outcome("fetched")
    assert len(server.asked) == 2


def test_a_server_that_does_not_answer_has_failed_and_another_scheme_is_refused(tmp_path: Path):
    assert transfer.fetch("http://127.0.0.1:9/a", tmp_path / "a", retries=1, pause=lambda s: None).state == "failed"
    with pytest.raises(UsageError, match="needs to begin with https:// or http://"):
        transfer.fetch("file:///etc/hosts", tmp_path / "a")


def row(image: str, code: str, box: str = "0.1,0.5,0.2,0.6", *, group: int = 0, drawn: int = 0) -> str:
    return f"{image},x,{code},1,{box},0,0,{group},{drawn},0"


@pytest.fixture
def open_images(server: Server, tmp_path: Path) -> Server:
    """Ten images of apples and a drawn one to train on, two to validate, one to test; bananas in training alone."""
    from PIL import Image

    Image.new("RGB", (20, 10)).save(tmp_path / "p.jpg")
    tables = {
        "train": [row(f"t{i}", "/m/apple") for i in range(10)]
        + [row("drawn", "/m/apple", drawn=1), row("t0", "/m/banana"), row("other", "/m/pine")],
        "validation": [row("v0", "/m/apple"), row("v1", "/m/apple")],
        "test": [row("s0", "/m/apple"), row("s1", "/m/pine")],
    }
    server.files["/class-descriptions-boxable.csv"] = CLASSES.encode()
    for split, rows in tables.items():
        server.files[f"/{split}/{split}-annotations-bbox.csv"] = "\n".join([HEADER, *rows, ""]).encode()
        for image in {line.split(",")[0] for line in rows}:
            server.files[f"/{split}/{image}.jpg"] = (tmp_path / "p.jpg").read_bytes() + image.encode() + b"\xff\xd9"
    return server


def download(server: Server, root: Path, *flags: str) -> int:
    at = ["--tables-url", server.url, "--images-url", f"{server.url}/"]
    return main(["dataset", "download", "openimages", "--root", str(root), *at, *flags])


def cells(out: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in out.splitlines() if line.startswith("|")]


def test_pictures_and_tables_of_the_classes_arrive_and_can_be_trained_on(
    open_images: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    root = tmp_path / "data"

    assert download(open_images, root, "--class-names", "apple,BANANA") == 0

    out = capsys.readouterr().out
    assert cells(out) == [
        ["boxes in images", "train", "validation", "test"],
        ["Apple", "10 in 10", "2 in 2", "1 in 1"],
        ["Banana", "1 in 1", "0 in 0", "0 in 0"],
        ["all", "11 in 10", "2 in 2", "1 in 1"],
        ["split", "images", "were there", "fetched", "not on the server", "failed"],
        ["train", "10", "0", "10", "0", "0"],
        ["validation", "2", "0", "2", "0", "0"],
        ["test", "1", "0", "1", "0", "0"],
    ]
    part = read_openimages_set(root)
    assert (len(part.samples), part.classes, part.notices) == (10, ("Apple", "Banana"), ())
    head = (root / "sub-train-annotations-bbox.csv").read_text().splitlines()
    assert head[:2] == [f"{HEADER},id,ClassName", f"{row('t0', '/m/apple')},/m/apple,Apple"]


def test_a_second_run_fetches_what_the_first_could_not_and_asks_for_nothing_else(
    open_images: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str], waits: list[float]
):
    root, flags = tmp_path / "data", ("--class-names", "Apple", "--retry", "1")
    del open_images.files["/train/t3.jpg"]
    open_images.faults["/validation/v1.jpg"] = [500, 500]

    assert download(open_images, root, *flags) == 1
    out = capsys.readouterr().out
    assert cells(out)[-3:] == [
        ["train", "10", "0", "9", "1", "0"],
        ["validation", "2", "0", "1", "0", "1"],
        ["test", "1", "0", "1", "0", "0"],
    ]
    assert out.splitlines()[-3:] == [
        "train, not on the server: t3 (HTTP 404)",
        "validation, failed: v1 (HTTP 500 Internal Server Error)",
        "run the same command again to fetch what failed; what is there is kept",
    ]

    open_images.asked.clear()
    assert download(open_images, root, *flags) == 0
    assert sorted(path for path, _ in open_images.asked) == ["/train/t3.jpg", "/validation/v1.jpg"]


def test_stats_only_fetches_no_picture(open_images: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert download(open_images, tmp_path / "data", "--class-names", "Apple", "--stats-only") == 0

    assert cells(capsys.readouterr().out)[-1] == ["all", "10 in 10", "2 in 2", "1 in 1"]
    assert not [path for path, _ in open_images.asked if path.endswith(".jpg")]
    assert not list((tmp_path / "data").glob("sub-*"))


def test_an_unknown_class_is_told_with_the_nearest_before_a_table_of_boxes_is_fetched(
    open_images: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert download(open_images, tmp_path / "data", "--class-names", "Aple, banana,Zzzz") == 1

    error = re.sub(r"\s+", " ", capsys.readouterr().err)
    assert "Open Images has no class `Aple`; did you mean `Apple`" in error
    assert "nor `Zzzz` (3 classes are in" in error
    assert [path for path, _ in open_images.asked] == ["/class-descriptions-boxable.csv"]


def choose(server: Server, root: Path, **options: int | bool) -> Selection:
    bring = partial(transfer.fetch, pause=lambda seconds: None)
    return select(root, ["Apple"], tables_url=server.url, fetch=bring, **options)  # type: ignore[arg-type]


def test_a_limit_of_images_is_shared_out_and_a_larger_one_keeps_the_same(open_images: Server, tmp_path: Path):
    small, large = (choose(open_images, tmp_path, max_images=limit) for limit in (6, 9))

    def sizes(selection: Selection) -> list[int]:
        return [len(selection.images(split)) for split in ("train", "validation", "test")]

    assert sizes(small) == [4, 0, 0]  # 6 * 10 / 13, 6 * 2 / 13, 6 / 13, rounded down
    assert sizes(large) == [6, 1, 0]
    assert set(small.images("train")) < set(large.images("train"))
    assert choose(open_images, tmp_path, max_images=6).rows == small.rows


def test_a_limit_of_boxes_counts_for_each_split_and_drawings_can_be_taken(open_images: Server, tmp_path: Path):
    limited = choose(open_images, tmp_path, max_annotations_per_class=3, include_depiction=True)

    assert [len(limited.rows[split]) for split in ("train", "validation", "test")] == [3, 2, 1]
    assert "drawn" in choose(open_images, tmp_path, include_depiction=True).images("train")


def test_single_boxes_in_a_groups_box_can_be_left_out(open_images: Server, tmp_path: Path):
    rows = [
        row("g", "/m/apple", "0.0,0.5,0.0,0.5", group=1),
        row("g", "/m/apple", "0.1,0.2,0.1,0.2"),  # inside
        row("g", "/m/apple", "0.4,0.8,0.0,0.5"),  # a quarter inside
        row("h", "/m/apple", "0.1,0.2,0.1,0.2"),  # another image
    ]
    open_images.files["/test/test-annotations-bbox.csv"] = "\n".join([HEADER, *rows, ""]).encode()

    kept = choose(open_images, tmp_path, remove_overlapped=True).rows["test"]

    assert [(one["ImageID"], one["XMin"]) for one in kept] == [("g", "0.0"), ("g", "0.4"), ("h", "0.1")]


def test_the_real_addresses_are_those_of_the_first_downloader():
    assert openimages_download.TABLES_URL == "https://storage.googleapis.com/openimages/2018_04"
    assert openimages_download.IMAGES_URL == "https://open-images-dataset.s3.amazonaws.com"
