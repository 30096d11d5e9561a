"""Frames of cameras and streams, which may drop out: they are opened again, with growing pauses, and given up in the
end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator
from contextlib import closing

from taolite.errors import StreamError
from taolite.events import Listener, SourceBack, SourceLost
from taolite.media.readers import Broken, Reader, Shot

__all__ = ["Live"]

_PAUSE_S = 0.5  # before a lost source is opened again; each further pause is twice as long
_LONGEST_PAUSE_S = 8.0


class Live:
    """A camera or a stream. `connect` opens it, and raises Broken where that fails, here too; the first iteration uses
    what is opened here. `place` is its name without a password, `fps` its frames a second where it says so."""

    def __init__(self, connect: Callable[[], Reader], *, place: str, patience_s: float, listener: Listener) -> None:
        self._connect, self._place, self._patience_s, self._listener = connect, place, patience_s, listener
        self._stopped = threading.Event()
        self._first: tuple[float, Reader] | None = (time.monotonic(), connect())
        self.fps = self._first[1].fps

    def stop(self) -> None:
        """End a running iteration: at its next frame, or at once where a lost source is waited for."""
        self._stopped.set()

    def shots(self) -> Generator[Shot, None, None]:
        """The frames, numbered over all connections; `time_s` from the first opening on. Ends when it is stopped.

        Raises StreamError where the source was lost for longer than the patience, DataError for frames too large.
        """
        self._stopped.clear()
        began, reader = self._first or (time.monotonic(), self._open())
        self._first = None
        number, lost_at, pause_s = 0, 0.0, _PAUSE_S
        while True:
            reason = "it ended"
            with closing(reader):
                try:
                    for shot in reader.shots():
                        if self._stopped.is_set():
                            return
                        if lost_at:
                            self._listener(SourceBack(self._place, time.monotonic() - lost_at))
                            lost_at, pause_s = 0.0, _PAUSE_S
                        yield shot._replace(number=number, time_s=max(0.0, shot.time_s - began))
                        number += 1
                except Broken as error:
                    reason = str(error)
            if self._stopped.is_set():
                return
            if not lost_at:
                lost_at = time.monotonic()
                self._listener(SourceLost(self._place, reason, self._patience_s))
            again = None
            while again is None:
                left_s = lost_at + self._patience_s - time.monotonic()
                if left_s <= 0:
                    raise StreamError(self._given_up(reason, time.monotonic() - lost_at))
                if self._stopped.wait(min(pause_s, left_s)):
                    return
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                try:
                    again = self._connect()
                except Broken as error:
                    reason = str(error)
            reader = again

    def _open(self) -> Reader:
        try:
            return self._connect()
        except Broken as error:
            raise StreamError(f"{self._place}: it cannot be opened again ({error})") from None

    def _given_up(self, reason: str, seconds: float) -> str:
        return (
            f"{self._place}: no frames for {seconds:.0f} s ({reason}); see that the camera or the server is on "
            "and can be reached, and run it again"
        )
