"""A picture as a browser's camera sends it, and a data set behind the server's guard."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

if TYPE_CHECKING:
    from selenium.webdriver import Chrome
    from starlette.testclient import TestClient

    from taolite.web.desk import Kind

TOKEN = "a-token-for-tests"


def make_jpeg(seed: int = 0, *, size_hw: tuple[int, int] = (120, 160), quality: int = 95) -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size_hw, 3)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
    return stream.getvalue()


@pytest.fixture
def jpeg() -> Callable[..., bytes]:
    """jpeg(seed=0, size_hw=(120, 160), quality=95): a picture of noise."""
    return make_jpeg


class Page:
    """What the page does, without a browser. `said`: the messages that the terminal gets."""

    def __init__(self, client: TestClient, said: list[str]) -> None:
        self.client, self.said = client, said

    def get(self, path: str, **asked: str):
        return self.client.get(path, params=asked)

    def post(self, path: str, *, json=None, body: bytes = b"", **asked: str):
        given = {"json": json} if json is not None else {"content": body}
        return self.client.post(path, params=asked, headers={"X-Taolite": "1"}, **given)

    def shot(self, body: bytes, *, to: str = "train", name: str = "cat"):
        return self.post("/api/shots", body=body, **{"set": to, "class": name})

    def freeze(self, body: bytes) -> str:
        return self.post("/api/frames", body=body).json()["frame"]

    def save(self, boxes, *, to: str = "train", merge: bool = False, **what: str):
        rows = [{"name": name, "box": box, "was": was[0] if was else None} for name, box, *was in boxes]
        return self.post("/api/labels", json={"set": to, "merge": merge, "boxes": rows, **what})


@pytest.fixture
def open_page() -> Iterator[Callable[..., Page]]:
    """open_page(root, kind, **options of Desk and capture_app): the page of a user who has the token."""
    from starlette.testclient import TestClient

    from taolite.web.capture import capture_app
    from taolite.web.desk import Desk
    from taolite.web.guard import Guard

    clients = []

    def make(root: Path, kind: Kind, *, camera=None, **options) -> Page:
        said: list[str] = []
        desk = Desk(root, kind, listener=lambda event: said.append(event.text), **options)
        app = capture_app(desk, camera=camera, listener=lambda event: said.append(event.text))
        client = TestClient(Guard(app, token=TOKEN, port=80), base_url="http://127.0.0.1")
        assert client.get("/", params={"token": TOKEN}).status_code == 200
        clients.append(client)
        return Page(client, said)

    yield make
    for client in clients:
        client.close()


@pytest.fixture(scope="module")
def driver() -> Iterator[Chrome]:
    """A Chromium without a screen."""
    from .browser import open_chromium

    made = open_chromium()
    yield made
    made.quit()


@pytest.fixture
def launch(driver: Chrome) -> Iterator[Callable[..., str]]:
    """launch(*words): `taolite WORDS` on a free port; the address of its page."""
    started = []

    def make(*words: object) -> str:
        command = [sys.executable, "-m", "taolite", *map(str, words), "--port", "0"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        started.append(process)
        assert process.stdout is not None
        text = process.stdout.readline() + process.stdout.readline()
        return str(re.findall(r"http\S+", text)[0])

    yield make
    driver.get("about:blank")
    for process in started:
        process.kill()
        process.communicate()
