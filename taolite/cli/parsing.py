"""argparse as TAO's users know it: unique prefixes of TAO's flags stay unique beside ours, and common flags may stand
before the task as well as behind it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Collection, Sequence
from typing import Any, NoReturn

from taolite.errors import UsageError

__all__ = ["TaoParser", "positive"]

_OURS = {
    "mount", "json", "runtime", "backend", "compute_capability", "workers", "precision", "target", "force",
    "epoch_start", "compat", "skip_corrupt", "no_pretrained", "resume", "checkpoint_minutes", "keep_checkpoints",
    "enable_determinism",
    "num_nodes", "min_nodes", "node_rank", "master_addr", "master_port", "global_batch_size", "dist_timeout",
    "max_restarts", "onnx_nms",
}  # fmt: skip
"""Where flags of our own are kept; `--m` means TAO's `--model` and never `--mount`."""


class TaoParser(argparse.ArgumentParser):
    """`tasks` are the words that name a task; what stands before the first of them is moved behind it. `other_form`
    tells from the words whether another parser is meant, which then takes them; `example` is what to write for it."""

    tasks: Collection[str] = ()
    other_form: tuple[Callable[[Sequence[str]], bool], argparse.ArgumentParser] | None = None
    example = ""

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """See ArgumentParser; TAO itself looks for the task in the first place only."""
        words = list(sys.argv[1:] if args is None else args)
        if self.other_form is not None and self.other_form[0](words):
            return self.other_form[1].parse_known_args(words, namespace)
        at = next((index for index, word in enumerate(words) if word in self.tasks), 0)
        return super().parse_known_args([*words[at : at + 1], *words[:at], *words[at + 1 :]], namespace)

    def error(self, message: str) -> NoReturn:
        """See ArgumentParser; the other form is shown too, which may be the one that was meant."""
        super().error(f"{message}; or, without a spec file: {self.prog} {self.example}" if self.example else message)

    def _get_option_tuples(self, option_string: str) -> list[Any]:
        """What an abbreviation can mean: every flag once, and our own only where none of TAO's fits."""
        flags = {id(one[0]): one for one in super()._get_option_tuples(option_string)}
        return [one for one in flags.values() if one[0].dest not in _OURS] or list(flags.values())


def positive(flag: str, number: int | None) -> int | None:
    """`number`, as it was given. Raises UsageError below 1."""
    if number is not None and number < 1:
        raise UsageError(f"{flag} {number}: needs to be 1 or more")
    return number
