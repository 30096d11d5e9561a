"""The board as an ASGI application: the runs below a folder, to be looked at. Nothing is written.

    GET  /                  the page; /static/* its files
    GET  /api/runs          the table
    GET  /api/run           ?id=            all that the page of a run shows
    GET  /api/plot          ?id= &name=     a picture of its plots
    GET  /api/finds         ?id=            the labels and finds of its validation pictures (`taolite.workspace.finds`)
    GET  /api/picture       ?id= &index= &width=    one of these pictures, as a JPEG of at most that width
    GET  /api/compare       ?id= &id= ...   runs side by side, and where their specs differ
    GET  /api/lineage       what came from what

Answers of JSON have an ETag; a page that has the newest one gets 304. What a user can mend is answered with
{"error": message}. No path comes from a request: a run is known by its id, a picture by its place in finds.json.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from taolite.errors import PathError, PictureError, TaoliteError, UsageError
from taolite.pictures import read_rgb
from taolite.web.compare import compared
from taolite.web.lineage import graph
from taolite.web.live import encode_jpeg
from taolite.web.runs import page_of, plots_of
from taolite.web.shelf import Entry, Shelf, inside
from taolite.workspace.finds import Finds, read_finds
from taolite.workspace.status import finite

__all__ = ["board_app"]

_STATIC = Path(__file__).with_name("static")
_WIDTHS = (320, 480, 640, 960, 1280, 1920)  # of pictures that are sent
_QUALITY = 85
_AT_ONCE = 2  # pictures that are decoded at the same time: one may take 360 MB
_MOST_COMPARED = 12

Work = Callable[[Request], Response | dict[str, Any]]


def board_app(root: Path) -> Starlette:
    """The board of the runs below `root`. Raises PathError where that is no folder."""
    return _Board(Shelf(root)).app()


class _Board:
    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._decoders = threading.Semaphore(_AT_ONCE)

    def app(self) -> Starlette:
        """The application."""
        works: dict[str, Work] = {
            "runs": self._runs,
            "run": self._run,
            "plot": self._plot,
            "finds": self._finds,
            "picture": self._picture,
            "compare": self._compare,
            "lineage": self._lineage,
        }
        routes = [Route(f"/api/{name}", _answering(work), methods=["GET"]) for name, work in works.items()]
        return Starlette(routes=[Route("/", self._page), *routes, Mount("/static", StaticFiles(directory=_STATIC))])

    async def _page(self, request: Request) -> Response:
        return FileResponse(_STATIC / "board.html")

    def _runs(self, request: Request) -> dict[str, Any]:
        entries, complete = self._shelf.entries()
        return {"root": str(self._shelf.root), "complete": complete, "runs": _rows(entries, entries)}

    def _run(self, request: Request) -> dict[str, Any]:
        entry = self._entry(request)
        page = page_of(self._shelf.record(entry), plots_of(entry.folder))
        return {"run": _rows([entry], self._shelf.entries()[0])[0], **page}

    def _plot(self, request: Request) -> Response:
        entry, name = self._entry(request), request.query_params.get("name", "")
        path = next((path for path in plots_of(entry.folder) if path.name == name), None)
        if path is None:
            raise PathError("this run has no such plot")
        return FileResponse(path, media_type="image/png")

    def _finds(self, request: Request) -> dict[str, Any]:
        return self._found(self._entry(request)).to_json()

    def _picture(self, request: Request) -> Response:
        finds = self._found(self._entry(request))
        index, width = _whole(request, "index"), _whole(request, "width")
        if index >= len(finds.pictures):
            raise UsageError(f"there is no picture {index} in these finds; reload the page")
        path = Path(finds.pictures[index].image)
        if not path.is_absolute():
            raise PathError(f"{path}: this picture lies in an archive, where the board does not look")
        with self._decoders:
            pixels = read_rgb(path)
            widest = min((one for one in _WIDTHS if one >= width), default=_WIDTHS[-1])
            return Response(encode_jpeg(pixels, quality=_QUALITY, widest=widest), media_type="image/jpeg")

    def _compare(self, request: Request) -> dict[str, Any]:
        ids = list(dict.fromkeys(request.query_params.getlist("id")))
        if not 2 <= len(ids) <= _MOST_COMPARED:
            raise UsageError(f"2 to {_MOST_COMPARED} runs can be compared, not {len(ids)}; choose them in the table")
        chosen = [self._shelf.entry(one) for one in ids]
        return {
            **compared([self._shelf.record(one) for one in chosen]),
            "lines": _rows(chosen, self._shelf.entries()[0]),
        }

    def _lineage(self, request: Request) -> dict[str, Any]:
        runs = {str(one.folder): one.id for one in self._shelf.entries()[0]}
        return graph(self._shelf.lineage(), runs)

    def _entry(self, request: Request) -> Entry:
        return self._shelf.entry(request.query_params.get("id", ""))

    def _found(self, entry: Entry) -> Finds:
        path = inside(entry.folder / "finds.json", self._shelf.real)
        try:
            found = path.stat()
        except FileNotFoundError as error:
            raise PathError(f"{path}: no such file") from error
        return _finds_in(path, found.st_mtime_ns, found.st_size)


@lru_cache(maxsize=4)
def _finds_in(path: Path, time_ns: int, size: int) -> Finds:
    return read_finds(path)


def _rows(entries: list[Entry], among: list[Entry]) -> list[dict[str, Any]]:
    """Lines of the table, with the parent's id where it is a run of this board."""
    makers = {one.links.weights: one for one in among if one.links.weights}
    rows = []
    for one in entries:
        maker = makers.get(one.links.parent)
        parent = {"hash": one.links.parent, "id": maker.id if maker else "", "name": maker.name if maker else ""}
        rows.append({**asdict(one.row), "id": one.id, "name": one.name, "parent": parent})
    return rows


def _answering(work: Work) -> Callable[[Request], Awaitable[Response]]:
    """The answer of `work`, which runs in a thread."""

    def made(request: Request) -> Response:
        try:
            answer = work(request)
        except (PathError, PictureError) as error:
            return _json({"error": str(error)}, 404)
        except TaoliteError as error:
            return _json({"error": str(error)}, 422)
        if isinstance(answer, Response):
            return answer
        response = _json(answer)
        tag = f'"{hashlib.sha256(response.body).hexdigest()[:32]}"'
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers={"ETag": tag})
        response.headers["ETag"] = tag
        return response

    async def answer(request: Request) -> Response:
        return await run_in_threadpool(made, request)

    return answer


def _json(value: dict[str, Any], status: int = 200) -> Response:
    """JSON in ASCII: file names that are not UTF-8 cannot be written in any other way."""
    body = json.dumps(finite(value), allow_nan=False, separators=(",", ":")).encode()
    return Response(body, status, media_type="application/json")


def _whole(request: Request, name: str) -> int:
    text = request.query_params.get(name, "")
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise UsageError(f"{name}={text}: a whole number is needed")
    return int(text)
