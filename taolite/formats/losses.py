"""What a conversion drops: said once for each thing, with how many labels have it."""

from __future__ import annotations

from collections.abc import Sequence

from taolite.formats.attributes import written_on
from taolite.formats.printing import printable
from taolite.sample import Label, Sample
from taolite.wording import counted

__all__ = ["losses"]


def losses(samples: Sequence[Sample], keeps: frozenset[str]) -> list[str]:
    """What the labels have and a format that `keeps` so much does not: `group_id (3 labels)`, most frequent first."""
    counts: dict[str, int] = {}
    for sample in samples:
        for label in sample.labels:
            for word, name in _things(label):
                if word not in keeps:
                    counts[name] = counts.get(name, 0) + 1
    order = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [f"{printable(name)} ({counted(count, 'label')})" for name, count in order]


def _things(label: Label) -> list[tuple[str, str]]:
    """(word of `Writing.keeps`, name for the message) of everything a label has beyond class and box."""
    found = [(word, word) for word in ("flags", "description") if word in label.attributes]
    if "group" in label.attributes:
        found.append(("group_id", "group_id"))
    if label.score is not None:
        found.append(("score", "score"))
    if label.points:
        found.append(("outline", "outline"))
    if label.difficult:
        found.append(("difficult", "difficult"))
    return found + [("attributes", name) for name in written_on(label)]
