"""Libraries of extras that a function of the API needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from taolite.errors import TaoliteError
from taolite.extras import missing

__all__ = ["needed"]


@contextmanager
def needed(function: str) -> Iterator[None]:
    """Raises TaoliteError with the extra to install, where a library that the block needs is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        said = missing(error, f"taolite.{function}")
        if said is None:
            raise
        raise TaoliteError(said) from error
