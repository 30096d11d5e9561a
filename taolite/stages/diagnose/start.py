"""The causes of a low score that lie in the weights a training began with: layers that were not loaded, and pixels in
another order, or with other means, than the weights were trained on."""

from __future__ import annotations

from collections.abc import Iterator

from taolite.diagnosis import Cause, Loaded
from taolite.tasks.base import Experiment
from taolite.tasks.diagnosing import normalisation

__all__ = ["of_start"]

_MANY = 0.25  # of the layers
_NAMES = 3  # that are told


def of_start(experiment: Experiment, loaded: Loaded) -> Iterator[Cause]:
    """What of the pretrained weights this training cannot use. Both are symptoms: training may make up for them."""
    total = loaded.layers + len(loaded.fresh)
    many = bool(total) and len(loaded.fresh) >= _MANY * total
    facts = {"file": loaded.file, "layers": total, "fresh": len(loaded.fresh), "names": list(loaded.fresh[:_NAMES])}
    yield Cause("not_loaded", "training", 0.5 if many else 0.0, facts | {"reason": loaded.reason})
    given = normalisation(experiment.preprocessing)
    facts = {"file": loaded.file, "learned": dict(loaded.learned), "given": given}
    yield Cause("other_input", "training", 0.5 if loaded.learned else 0.0, facts)
