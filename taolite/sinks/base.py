"""What a sink is, and how a failing sink is kept from ending the run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["Pixels", "Sink", "guarded"]

Pixels: TypeAlias = NDArray[np.uint8]  # (H, W, 3) RGB


class Sink(Protocol):
    """Takes named numbers and pictures; `step` never decreases."""

    def scalars(self, values: Mapping[str, float], step: int) -> None: ...
    def pictures(self, pictures: Mapping[str, Pixels], step: int) -> None: ...
    def histograms(self, values: Mapping[str, NDArray[np.float32]], step: int) -> None: ...
    def close(self) -> None:
        """Send what is left. No call follows."""
        ...


def guarded(name: str, open_sink: Callable[[], Sink], warn: Callable[[str], None]) -> Sink:
    """The sink that `open_sink` opens. Its first error, then or later, goes to `warn` and closes the sink; the run
    continues."""
    return _Guarded(name, open_sink, warn)


class _Guarded:
    def __init__(self, name: str, open_sink: Callable[[], Sink], warn: Callable[[str], None]) -> None:
        self._name, self._warn = name, warn
        self._sink: Sink | None = None
        self._try(lambda: setattr(self, "_sink", open_sink()))

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        if (sink := self._sink) is not None:
            self._try(lambda: sink.scalars(values, step))

    def pictures(self, pictures: Mapping[str, Pixels], step: int) -> None:
        if (sink := self._sink) is not None:
            self._try(lambda: sink.pictures(pictures, step))

    def histograms(self, values: Mapping[str, NDArray[np.float32]], step: int) -> None:
        if (sink := self._sink) is not None:
            self._try(lambda: sink.histograms(values, step))

    def close(self) -> None:
        if (sink := self._sink) is not None:
            self._try(sink.close)

    def _try(self, work: Callable[[], Any]) -> None:
        try:
            work()
        except Exception as error:  # other people's service: whatever it raises, the run goes on
            self._sink = None
            first = (str(error).splitlines() or [""])[0] or type(error).__name__
            self._warn(f"{self._name}: {first}; the command continues without it")
