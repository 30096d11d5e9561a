"""One result of one check: facts, and what is wrong with them. Sentences are made of it in `cli`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["Finding", "State"]

State = Literal["ok", "absent", "warning", "broken"]
"""absent: an optional part that is not installed, or not there. warning: it works, with a disadvantage. broken: what is
needed does not work."""


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        check: name of the check, e.g. "torch".
        state: see `State`.
        problem: which of the check's problems it is, e.g. "version"; "" where there is none.
        facts: JSON values by name; never a key.
    """

    check: str
    state: State
    problem: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
