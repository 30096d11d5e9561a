"""Check that all pictures of a split can be decoded, before a stage spends time on them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from taolite.data.decodable import listed, undecodable, without
from taolite.data.examples import Examples
from taolite.dist.world import ALONE, World
from taolite.errors import DataError
from taolite.events import Listener, Notice, Progress, silent
from taolite.wording import counted

__all__ = ["decodable"]


def decodable(
    splits: Mapping[str, Examples], *, skip_corrupt: bool, world: World = ALONE, listener: Listener = silent
) -> list[Examples]:
    """The splits, by the name that messages use. With `skip_corrupt`, pictures that cannot be decoded are left out.
    Raises DataError with all such pictures otherwise, and where a split has no picture left."""

    def tick(done: int, total: int) -> None:
        listener(Progress("decoding every picture once", done, total))

    broken = world.told(
        lambda: {str(path): why for split in splits.values() for path, why in undecodable(split, tick=tick).items()}
    )
    if not broken:
        return list(splits.values())
    if not skip_corrupt:
        count = counted(len(broken), "picture")
        rows = "".join(f"\n  {row}" for row in listed(broken))
        raise DataError(f"{count} cannot be decoded; replace or remove what is listed, or add --skip-corrupt:{rows}")
    for why in listed(broken):
        listener(Notice(f"{why}; it is left out", "warning"))
    gone = {Path(path): why for path, why in broken.items()}
    kept = {name: without(split, gone) for name, split in splits.items()}
    for name, left in kept.items():
        if not len(left):
            raise DataError(f"no {name} picture can be decoded; the first: {next(iter(broken.values()))}")
    return list(kept.values())
