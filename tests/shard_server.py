"""A server of a folder's files, on 127.0.0.1, that serves parts and says what version they are of."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Server(ThreadingHTTPServer):
    """The first answers of `failing` are an error, and those with the numbers `fails_at`; without `parts` the whole
    file comes; `says` are the headers that tell a version. `asked` are the paths that were asked for, `sent` the bytes
    that went, each answer `late_s`."""

    daemon_threads = True
    folder: Path
    failing = 0
    fails_at = range(0)
    parts = True
    says: tuple[str, ...] = ("ETag", "Last-Modified")
    late_s = 0.0
    asked: list[str]
    sent = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up on a whole file is what one of the tests is about."""


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, Server)
        path = server.folder / self.path.lstrip("/")
        begin, end = map(int, re.findall(r"\d+", self.headers["Range"]))
        server.asked.append(self.path)
        time.sleep(server.late_s)
        if server.failing or len(server.asked) - 1 in server.fails_at:
            server.failing = max(server.failing - 1, 0)
            return self.say(503, b"", {})
        if not path.is_file():
            return self.say(404, b"", {})
        found = path.stat()
        told = {"ETag": f'"{found.st_mtime_ns:x}"', "Last-Modified": self.date_time_string(int(found.st_mtime))}
        headers = {name: told[name] for name in server.says}
        if not server.parts:
            return self.say(200, path.read_bytes(), headers)
        if begin >= found.st_size:
            return self.say(416, b"", {**headers, "Content-Range": f"bytes */{found.st_size}"})
        with open(path, "rb") as stream:
            stream.seek(begin)
            data = stream.read(end + 1 - begin)
        server.sent += len(data)
        shown = f"bytes {begin}-{begin + len(data) - 1}/{found.st_size}"
        return self.say(206, data, {**headers, "Content-Range": shown})

    def say(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving(folder: Path) -> Iterator[Server]:
    """A server of `folder`, running."""
    with Server(("127.0.0.1", 0), Answer) as server:
        server.folder, server.asked = folder, []
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        yield server
        server.shutdown()
