"""A download is whole or not there: it goes on after any interruption, and never with half of another file."""

from __future__ import annotations

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from taolite.errors import DataError, StorageError, UsageError
from taolite.formats.arriving import open_part
from taolite.formats.checksums import Checksums
from taolite.formats.transfer import Outcome, fetch

pytestmark = pytest.mark.sockets

OLD, NEW = bytes(range(256)) * 40, bytes(reversed(range(256))) * 40
HALF = len(OLD) // 2
SHA256 = hashlib.sha256(OLD).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves `body` under any path. `tag` and `date` tell its version; `obeys` If-Range; `says_length` or ends where
    the connection does; `chunked`; `cuts` that many answers in the middle, or holds them there while `stalls`."""

    daemon_threads = True
    body, tag, date, obeys, says_length, chunked = OLD, '"one"', "", True, True, False
    cuts = 0
    stalls = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.asked: list[tuple[str | None, str | None]] = []  # Range, If-Range
        self.url = f"http://127.0.0.1:{self.server_port}/a.bin"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that is killed is what one of the tests is about."""


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        wanted, bound = self.headers.get("Range"), self.headers.get("If-Range")
        server.asked.append((wanted, bound))
        part = wanted and (not server.obeys or bound in (server.tag, server.date))
        start = int(re.findall(r"\d+", wanted)[0]) if wanted and part else 0
        data = server.body[start:]
        self.send_response(206 if start else 200)
        for name, value in (("ETag", server.tag), ("Last-Modified", server.date)):
            if value:
                self.send_header(name, value)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(server.body) - 1}/{len(server.body)}")
        if server.chunked:
            self.send_header("Transfer-Encoding", "chunked")
            data = b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data)
        elif server.says_length:
            self.send_header("Content-Length", str(len(data)))
        self.close_connection = True
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(data[: len(data) // 2] if server.cuts or server.stalls else data)
        server.cuts = max(server.cuts - 1, 0)
        self.wfile.flush()
        while server.stalls:
            time.sleep(0.01)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on the terminal of the tests."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield server
        server.stalls = False
        server.shutdown()
        thread.join()


def bring(server: Server, path: Path, *, sha256: str = "", retries: int = 0, most_bytes: int = 1 << 20) -> Outcome:
    return fetch(server.url, path, sha256=sha256, retries=retries, most_bytes=most_bytes, pause=lambda _: None)


def begin(server: Server, path: Path) -> None:
    """Half of OLD arrives."""
    server.cuts = 1
    assert bring(server, path) == Outcome("failed", f"the transfer ended after {HALF} of {len(OLD)} bytes")
    assert not path.exists()
    server.asked.clear()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_is_missing_is_fetched_and_nothing_else_and_nothing_is_left_behind(server: Server, tmp_path: Path):
    begin(server, tmp_path / "a.bin")
    assert names(tmp_path) == [".a.bin.part", ".a.bin.part.json"]

    outcome = bring(server, tmp_path / "a.bin")

    assert (outcome, outcome.sha256) == (Outcome("fetched"), SHA256)
    assert server.asked == [(f"bytes={HALF}-", '"one"')]
    assert (tmp_path / "a.bin").read_bytes() == OLD
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("obeys", [True, False])
def test_a_file_that_changed_is_not_glued_to_the_old_half(server: Server, tmp_path: Path, obeys: bool):
    begin(server, tmp_path / "a.bin")
    server.body, server.tag, server.obeys = NEW, '"two"', obeys

    assert bring(server, tmp_path / "a.bin", retries=1) == Outcome("fetched")
    assert (tmp_path / "a.bin").read_bytes() == NEW
    assert len(server.asked) == (1 if obeys else 2)


def test_a_date_tells_a_version_where_an_etag_is_weak_or_missing(server: Server, tmp_path: Path):
    server.tag, server.date = 'W/"one"', "Mon, 30 Nov 2026 10:00:00 GMT"
    begin(server, tmp_path / "a.bin")

    assert bring(server, tmp_path / "a.bin") == Outcome("fetched")
    assert server.asked == [(f"bytes={HALF}-", server.date)]


@pytest.mark.parametrize("damage", ["no version", "no note", "broken note", "another address"])
def test_where_nothing_tells_what_the_half_is_of_it_is_not_used(server: Server, tmp_path: Path, damage: str):
    server.tag = "" if damage == "no version" else server.tag
    begin(server, tmp_path / "a.bin")
    note = tmp_path / ".a.bin.part.json"
    if damage == "no note":
        note.unlink()
    elif damage == "broken note":
        note.write_text("[")
    elif damage == "another address":
        note.write_text(json.dumps({**json.loads(note.read_text()), "address": "0"}))

    assert bring(server, tmp_path / "a.bin") == Outcome("fetched")
    assert server.asked == [(None, None)]
    assert names(tmp_path) == ["a.bin"]


def test_a_process_that_is_killed_leaves_no_file_and_a_later_one_goes_on(server: Server, tmp_path: Path):
    server.stalls, server.body, path = True, OLD * 100, tmp_path / "a.bin"
    code = (
        "import sys, pathlib; from taolite.formats.transfer import fetch; fetch(sys.argv[1], pathlib.Path(sys.argv[2]))"
    )
    process = subprocess.Popen([sys.executable, "-c", code, server.url, str(path)])
    part, until = tmp_path / ".a.bin.part", time.monotonic() + 300
    while not (part.is_file() and part.stat().st_size) and time.monotonic() < until:
        time.sleep(0.01)
    with pytest.raises(UsageError) as caught:
        open_part(path).__enter__()
    process.send_signal(signal.SIGKILL)
    process.wait()
    server.stalls = False

    assert str(caught.value) == f"{path}: another process is downloading this file; wait for it to end"
    assert not path.exists()
    arrived = part.stat().st_size
    assert 0 < arrived <= len(server.body) // 2
    assert bring(server, path, most_bytes=1 << 30) == Outcome("fetched")
    assert path.read_bytes() == server.body
    assert server.asked == [(None, None), (f"bytes={arrived}-", '"one"')]
    assert names(tmp_path) == ["a.bin"]


def test_a_checksum_that_is_given_is_compared(server: Server, tmp_path: Path):
    wrong, path = "0" * 64, tmp_path / "a.bin"

    refused = bring(server, path, sha256=wrong, retries=9)
    assert refused == Outcome("failed", f"its SHA-256 is {SHA256}, and {wrong} is needed")
    assert (len(server.asked), names(tmp_path)) == (2, [])  # once more, in case the first was damaged on its way
    assert bring(server, path, sha256=SHA256[:8]) == Outcome("fetched")
    kept = bring(server, path, sha256=SHA256)
    assert (kept, kept.sha256) == (Outcome("kept"), SHA256)
    assert bring(server, path, sha256=wrong) == Outcome(
        "failed", f"{path} is there with SHA-256 {SHA256}, and {wrong} is needed; remove it"
    )


def test_a_half_that_was_damaged_on_the_disk_is_fetched_again(server: Server, tmp_path: Path):
    begin(server, tmp_path / "a.bin")
    with open(tmp_path / ".a.bin.part", "r+b") as stream:
        stream.write(b"x")

    assert bring(server, tmp_path / "a.bin", sha256=SHA256, retries=1) == Outcome("fetched")
    assert server.asked == [(f"bytes={HALF}-", '"one"'), (None, None)]


def test_a_file_whose_end_nobody_tells_needs_a_checksum(server: Server, tmp_path: Path):
    server.says_length = False

    assert bring(server, tmp_path / "a.bin") == Outcome(
        "failed", "the server does not say how long it is, so nobody can tell whether it is whole"
    )
    assert names(tmp_path) == []
    assert bring(server, tmp_path / "a.bin", sha256=SHA256) == Outcome("fetched")


def test_chunks_tell_their_end(server: Server, tmp_path: Path):
    server.chunked, server.cuts = True, 1

    assert bring(server, tmp_path / "a.bin").state == "failed"
    assert not (tmp_path / "a.bin").exists()
    server.obeys = True
    assert bring(server, tmp_path / "a.bin") == Outcome("fetched")
    assert (tmp_path / "a.bin").read_bytes() == OLD


@pytest.mark.parametrize("says_length", [True, False])
def test_a_file_larger_than_allowed_is_not_kept(server: Server, tmp_path: Path, says_length: bool):
    server.says_length = says_length
    size = len(OLD)

    told = f"it has {size} bytes, and at most {size - 1} are allowed"
    met = f"it has more than {size - 1} bytes, which are allowed"
    outcome = bring(server, tmp_path / "a.bin", most_bytes=size - 1, sha256=SHA256)
    assert outcome == Outcome("failed", told if says_length else met)
    assert names(tmp_path) == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_to_is_told(server: Server, tmp_path: Path):
    tmp_path.chmod(0o500)
    with pytest.raises(StorageError, match="this folder cannot be written to"):
        bring(server, tmp_path / "a.bin")


def test_a_disk_that_is_full_is_told_and_what_arrived_stays(server: Server, tmp_path: Path):
    code = (
        "import resource, signal, sys, pathlib; from taolite.formats.transfer import fetch\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try: fetch(sys.argv[1], pathlib.Path(sys.argv[2]))\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    words = [sys.executable, "-c", code, server.url, str(tmp_path / "a.bin")]
    done = subprocess.run(words, capture_output=True, text=True, check=True)

    assert done.stdout == f"StorageError {tmp_path / 'a.bin'}: File too large; nothing was replaced\n"
    assert (tmp_path / ".a.bin.part").stat().st_size <= 4096
    assert not (tmp_path / "a.bin").exists()


def test_checksums_are_a_list_that_sha256sum_reads_and_that_holds_for_the_next_download(tmp_path: Path):
    (tmp_path / "b").mkdir()
    for name in ("a.bin", "b/c d.bin"):
        (tmp_path / name).write_bytes(name.encode())
    sums = Checksums(tmp_path)
    for name in ("b/c d.bin", "a.bin"):
        sums.note(tmp_path / name, hashlib.sha256(name.encode()).hexdigest())
    sums.save()

    done = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "a.bin: OK\nb/c d.bin: OK\n"
    again = Checksums(tmp_path)
    assert again.needed(tmp_path / "a.bin") == ""  # it is there
    (tmp_path / "a.bin").unlink()
    assert again.needed(tmp_path / "a.bin") == hashlib.sha256(b"a.bin").hexdigest()
    (tmp_path / "SHA256SUMS").write_text("abc  a.bin\n")
    with pytest.raises(DataError) as caught:
        Checksums(tmp_path)
    assert str(caught.value) == (
        f"{tmp_path}/SHA256SUMS:1: not a line of sha256sum (SHA-256, two spaces, file); remove it"
    )
