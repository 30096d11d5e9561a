"""A camera on the network, for the tests: `python mjpeg_server.py PORT [--frames N] [--password P] [--stall S]`.

    /video     Motion JPEG without an end (multipart/x-mixed-replace), 20 frames a second; after N frames it ends
    /shot.jpg  one picture
    /page      a web page
    /clip.mp4  the file of that name in the working folder

With --password, user `me` needs it (basic). With --stall, frames stop after N, and the connection stays open.
"""

from __future__ import annotations

import argparse
import base64
import io
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from PIL import Image

parser = argparse.ArgumentParser()
parser.add_argument("port", type=int)
parser.add_argument("--frames", type=int, default=10**9)
parser.add_argument("--password")
parser.add_argument("--stall", action="store_true")
options = parser.parse_args()


def picture(number: int) -> bytes:
    """Red grows by 5 with each frame."""
    stream = io.BytesIO()
    Image.new("RGB", (64, 48), (5 * number % 256, 30, 60)).save(stream, "JPEG", quality=95)
    return stream.getvalue()


class Camera(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        wanted = "Basic " + base64.b64encode(f"me:{options.password}".encode()).decode()
        if options.password and self.headers.get("Authorization") != wanted:
            return self.answer(401, "text/plain", b"no", {"WWW-Authenticate": 'Basic realm="cam"'})
        if self.path.startswith("/video"):
            return self.video()
        if self.path.startswith("/shot.jpg"):
            return self.answer(200, "image/jpeg", picture(20))
        if self.path == "/clip.mp4":
            return self.answer(200, "video/mp4", Path("clip.mp4").read_bytes())
        if self.path == "/page":
            return self.answer(200, "text/html", b"<html></html>")
        return self.answer(404, "text/plain", b"no")

    def video(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        for number in range(options.frames):
            body = picture(number)
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(body)}\r\n\r\n"
            try:
                self.wfile.write(head.encode() + body + b"\r\n")
            except ConnectionError:
                return
            time.sleep(0.05)
        if options.stall:
            time.sleep(600)

    def answer(self, code: int, kind: str, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(code)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        """Nothing is printed for a request."""


server = ThreadingHTTPServer(("127.0.0.1", options.port), Camera)
server.daemon_threads = True
print("ready", flush=True)
server.serve_forever()
