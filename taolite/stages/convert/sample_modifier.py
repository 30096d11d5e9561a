"""Which samples `dataset_convert` drops or duplicates (reference/detectnet_v2.md 3.7).

Only training folds are changed: all but the validation fold, or all where none was named. Names in the labels are
looked up in the spec's mapping, ignoring case; an object without an entry is not counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from taolite.tasks.detectnet.spec import SampleModifierConfig

__all__ = ["SampleModifier"]


class SampleModifier:
    """Decides how often a sample is written, and counts the samples of each fold for the cap. A modifier without a
    config `changes_nothing`.

    folds: the number of folds (0 counts as 1). validation_fold: the fold that is not changed.
    """

    def __init__(self, config: SampleModifierConfig | None, *, folds: int, validation_fold: int | None) -> None:
        self.changes_nothing = config is None
        self._config = config or SampleModifierConfig()
        self._mapping = {name.lower(): to for name, to in self._config.source_to_target_class_mapping.items()}
        self._validation_fold = validation_fold
        training_folds = max(folds, 1) - (validation_fold is not None)
        self._cap = self._config.max_training_samples // max(training_folds, 1)
        self._written: Counter[int] = Counter()

    def copies(self, names: Sequence[str], *, fold: int) -> int:
        """How many times a sample with objects called `names` is written to `fold`; 0 drops it."""
        if fold == self._validation_fold:
            return 1
        counts = Counter(self._mapping[name] for name in names if name in self._mapping)
        copies = 0 if self._is_dropped(counts) else 1 + (self._config.num_duplicates if self._is_rare(counts) else 0)
        if self._config.max_training_samples:
            copies = min(copies, self._cap - self._written[fold])
        self._written[fold] += copies
        return copies

    def _is_dropped(self, counts: Counter[str]) -> bool:
        return len(counts) == 1 and next(iter(counts)) in self._config.filter_samples_containing_only

    def _is_rare(self, counts: Counter[str]) -> bool:
        """Whether some class outnumbers a dominant class by more than its ratio; the dominant class may be absent."""
        dominant, ratios = self._config.dominant_target_classes, self._config.minimum_target_class_imbalance
        rare = [name for name in counts if name not in dominant]
        return any(counts[name] > counts[other] * ratios.get(name, 1.0) for name in rare for other in dominant)
