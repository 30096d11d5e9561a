"""The capture page as an ASGI application: takes pictures, draws boxes, labels the pictures of a folder.

    GET  /                  the page; /static/* its files
    GET  /api/state         the data set as it is on the disk, and the camera
    POST /api/kind          {kind}             what is collected
    POST /api/classes       {names}            add classes
    POST /api/shots         ?set= &class= &quality=    a picture into a class folder: the body (JPEG), or the server's
                            camera where there is none
    POST /api/frames        ?quality=          freeze a picture, in the same way; answers its name, and a model's boxes
    GET  /api/frames/NAME   the frozen picture
    POST /api/labels        {frame | picture, revision, set, merge, boxes}     save boxes
    GET  /api/pictures      the pictures of the data set
    GET  /api/labels        ?picture=          a picture's size, set, boxes, and the revision of its labels
    GET  /api/picture       ?picture=          the picture, upright, as a browser can show it
    POST /api/proposals     {picture}          the boxes that the model finds in it
    POST /api/undo          take back the newest shot
    GET  /api/camera        ?after=N           a frame of the server's camera newer than N (header X-Frame)
    POST /api/camera        open the server's camera again

An answer holds the new `state`. What a user can mend is answered with {"error": message} and told to the
listener.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from taolite.errors import DataError, PathError, PictureError, StorageError, TaoliteError, UsageError, printable
from taolite.events import Listener, Notice, silent
from taolite.pictures import open_image, read_rgb
from taolite.web.boxes import Drawn
from taolite.web.desk import Desk
from taolite.web.folders import SETS
from taolite.web.frames import checked_jpeg
from taolite.web.live import LiveCamera, encode_jpeg

__all__ = ["capture_app"]

_STATIC = Path(__file__).with_name("static")
_LARGEST = 64 << 20  # bytes of a request
_VIEW_WIDTH, _VIEW_QUALITY = 1280, 80  # of the live picture; what is saved has the camera's own size
_SHOWN_QUALITY = 92  # of pictures that a browser cannot show as they are
_BROWSERS = ("JPEG", "PNG", "WEBP", "GIF", "BMP")
_ORIENTATION = 0x0112  # the EXIF tag

Answer = Callable[[Request], Awaitable[Response]]


class _Json(JSONResponse):
    """JSON in ASCII: file names that are not UTF-8 cannot be written in any other way."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, allow_nan=False).encode()


class _Box(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
    name: str
    box: tuple[float, float, float, float]
    was: int | None = None


class _Labels(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    frame: str | None = None
    picture: str | None = None
    to: str = Field(default="", alias="set")
    merge: bool = False
    revision: str | None = None
    boxes: tuple[_Box, ...]


class _Names(BaseModel):
    names: tuple[str, ...]


class _Kind(BaseModel):
    kind: str


class _Picture(BaseModel):
    picture: str


def capture_app(
    desk: Desk,
    *,
    camera: LiveCamera | None = None,
    quality: int = 95,
    merge: bool = False,
    to: str = "train",
    listener: Listener = silent,
) -> Starlette:
    """The page over `desk`.

    Args:
        camera: the server's; None for that of the browser.
        quality: of JPEGs, 1 to 100, until the page changes it. merge, to: the same of "merge sets" and the set.
        listener: hears of every error that the page shows.
    """
    return _Pages(desk, camera, {"quality": quality, "merge": merge, "set": to}, listener).app()


class _Pages:
    def __init__(self, desk: Desk, camera: LiveCamera | None, defaults: dict[str, Any], listener: Listener) -> None:
        self._desk, self._camera, self._defaults, self._listener = desk, camera, defaults, listener

    def app(self) -> Starlette:
        """The application."""
        routes = [
            Route("/", self._page),
            Route("/api/state", self._told(self._nothing), methods=["GET"]),
            Route("/api/kind", self._told(self._kind), methods=["POST"]),
            Route("/api/classes", self._told(self._classes), methods=["POST"]),
            Route("/api/shots", self._told(self._shot), methods=["POST"]),
            Route("/api/frames", self._told(self._freeze), methods=["POST"]),
            Route("/api/frames/{name}", self._told(self._frame), methods=["GET"]),
            Route("/api/labels", self._told(self._save), methods=["POST"]),
            Route("/api/labels", self._told(self._labels), methods=["GET"]),
            Route("/api/pictures", self._told(self._pictures), methods=["GET"]),
            Route("/api/picture", self._told(self._picture), methods=["GET"]),
            Route("/api/proposals", self._told(self._proposals), methods=["POST"]),
            Route("/api/undo", self._told(self._undo), methods=["POST"]),
            Route("/api/camera", self._told(self._watch), methods=["GET"]),
            Route("/api/camera", self._told(self._reopen), methods=["POST"]),
            Mount("/static", StaticFiles(directory=_STATIC)),
        ]
        return Starlette(routes=routes)

    async def _page(self, request: Request) -> Response:
        return FileResponse(_STATIC / "capture.html")

    def _told(self, work: Callable[[Request], Awaitable[Response | dict[str, Any]]]) -> Answer:
        """An answer of JSON, with the state; errors that a user can mend become {"error": message}."""

        async def answer(request: Request) -> Response:
            try:
                made = await work(request)
                return made if isinstance(made, Response) else _Json(await run_in_threadpool(self._with_state, made))
            except ValidationError as error:
                return _Json({"error": f"the page sent what is not understood: {error}"}, status_code=400)
            except TaoliteError as error:
                self._listener(Notice(printable(str(error)), "warning"))
                return _Json({"error": str(error)}, status_code=507 if isinstance(error, StorageError) else 422)
            except ClientDisconnect:
                return Response(status_code=400)

        return answer

    def _with_state(self, made: dict[str, Any]) -> dict[str, Any]:
        """An answer with the state. What was done is done also where the state cannot be read afterwards: that is a
        warning beside it."""
        try:
            return {**made, "state": self._state()}
        except TaoliteError as error:
            self._listener(Notice(printable(str(error)), "warning"))
            return {**made, "warning": str(error)}

    def _state(self) -> dict[str, Any]:
        camera = {"place": self._camera.place} if self._camera is not None else None
        return {**self._desk.state(), "camera": camera, "defaults": self._defaults, "allSets": list(SETS)}

    async def _nothing(self, request: Request) -> dict[str, Any]:
        return {}

    async def _kind(self, request: Request) -> dict[str, Any]:
        await run_in_threadpool(self._desk.choose, _Kind.model_validate_json(await _body(request)).kind)
        return {}

    async def _classes(self, request: Request) -> dict[str, Any]:
        await run_in_threadpool(self._desk.add_classes, _Names.model_validate_json(await _body(request)).names)
        return {}

    async def _shot(self, request: Request) -> dict[str, Any]:
        asked, data, quality = request.query_params, await _body(request), _quality(request)

        def work() -> None:
            jpeg, _ = self._taken(data, quality)
            self._desk.take(jpeg, to=asked.get("set", ""), name=asked.get("class", ""))

        await run_in_threadpool(work)
        return {}

    async def _freeze(self, request: Request) -> dict[str, Any]:
        data, quality = await _body(request), _quality(request)

        def work() -> dict[str, Any]:
            jpeg, image_hwc = self._taken(data, quality)
            height, width = image_hwc.shape[:2]
            name = self._desk.frames.add(jpeg, (height, width))
            return {"frame": name, "width": width, "height": height, "boxes": self._desk.propose(image_hwc)}

        return await run_in_threadpool(work)

    async def _frame(self, request: Request) -> Response:
        return Response(self._desk.frames.get(request.path_params["name"]).jpeg, media_type="image/jpeg")

    async def _save(self, request: Request) -> dict[str, Any]:
        asked = _Labels.model_validate_json(await _body(request))
        drawn = [Drawn(one.name, one.box, one.was) for one in asked.boxes]

        def work() -> None:
            if asked.picture is not None:
                self._desk.change(asked.picture, drawn, to=asked.to, merge=asked.merge, revision=asked.revision)
            else:
                self._desk.save(asked.frame or "", drawn, to=asked.to, merge=asked.merge)

        await run_in_threadpool(work)
        return {}

    async def _labels(self, request: Request) -> dict[str, Any]:
        return await run_in_threadpool(self._desk.labels, request.query_params.get("picture", ""))

    async def _pictures(self, request: Request) -> dict[str, Any]:
        return {"pictures": await run_in_threadpool(self._desk.pictures)}

    async def _picture(self, request: Request) -> Response:
        path = await run_in_threadpool(self._desk.find, request.query_params.get("picture", ""))
        return await run_in_threadpool(_as_shown, path)

    async def _proposals(self, request: Request) -> dict[str, Any]:
        name = _Picture.model_validate_json(await _body(request)).picture
        return {"boxes": await run_in_threadpool(self._desk.propose_for, name)}

    async def _undo(self, request: Request) -> dict[str, Any]:
        return {"undone": await run_in_threadpool(self._desk.undo)}

    async def _watch(self, request: Request) -> Response:
        camera, after = self._server_camera, request.query_params.get("after", "")

        def work() -> Response:
            shown = camera.wait(after=int(after) if after.isdigit() else 0)
            data = encode_jpeg(shown.image_hwc, quality=_VIEW_QUALITY, widest=_VIEW_WIDTH)
            return Response(data, media_type="image/jpeg", headers={"X-Frame": str(shown.number)})

        try:
            return await run_in_threadpool(work)
        except DataError as error:  # told when it happened
            return _Json({"error": str(error)}, status_code=503)

    async def _reopen(self, request: Request) -> dict[str, Any]:
        self._server_camera.start()
        return {}

    @property
    def _server_camera(self) -> LiveCamera:
        if self._camera is None:
            raise UsageError("taolite was started without a camera of its own (--input); the browser's is used")
        return self._camera

    def _taken(self, data: bytes, quality: int) -> tuple[bytes, Any]:
        """A picture as JPEG and as (H, W, 3) uint8 RGB: the one that was sent, or the newest of the server's camera."""
        if data:
            return data, checked_jpeg(data)
        image_hwc = self._server_camera.wait().image_hwc
        return encode_jpeg(image_hwc, quality=quality), image_hwc


async def _body(request: Request) -> bytes:
    """The body of a request. Raises UsageError for one that is too large."""
    parts, size = [], 0
    async for part in request.stream():
        parts.append(part)
        size += len(part)
        if size > _LARGEST:
            raise UsageError(f"the page sent more than {_LARGEST >> 20} MB at once; use a smaller picture")
    return b"".join(parts)


def _quality(request: Request) -> int:
    text = request.query_params.get("quality", "95")
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= 100:
        raise UsageError(f"JPEG quality {text}: it needs to be 1 to 100")
    return int(text)


def _as_shown(path: Path) -> Response:
    """A picture's file, or, where a browser would show it otherwise or not at all, a JPEG of it. Raises PictureError,
    PathError."""
    try:
        with open_image(path) as image:
            plain = image.format in _BROWSERS and image.getexif().get(_ORIENTATION, 1) == 1
        if plain:
            return FileResponse(path)
        return Response(encode_jpeg(read_rgb(path), quality=_SHOWN_QUALITY), media_type="image/jpeg")
    except (PictureError, PathError) as error:
        return _Json({"error": str(error)}, status_code=422)
