"""Image classification as the stages use it: an implementation of `taolite.tasks.base.Task`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from taolite.artifacts.bundle import Bundle
from taolite.nn.arrays import load_arrays
from taolite.spec import Reading, SpecModel
from taolite.tasks import reading
from taolite.tasks.base import FLAGS, NOTHING, Given, Resolve
from taolite.tasks.classification.experiment import ClassificationExperiment, bind
from taolite.tasks.classification.inputs import set_input
from taolite.tasks.classification.model import Classifier, build
from taolite.tasks.classification.spec import ClassificationSpec
from taolite.tasks.classification.use import ClassificationUse

__all__ = ["TASK"]


class ClassificationTask(ClassificationUse):
    """Stateless; the protocol documents the methods."""

    def read(
        self,
        spec: Path | SpecModel,
        *,
        resolve: Resolve = Path,
        classes: Sequence[str] | None = None,
        given: Given = NOTHING,
        source: str = FLAGS,
    ) -> Reading[ClassificationExperiment]:
        source, read = reading.read(spec, ClassificationSpec, source=source)
        bound = bind(read.model, task=self, source=source, resolve=resolve, classes=classes, given=given)
        return Reading(bound, read.warnings)

    def network(self, bundle: Bundle) -> Classifier:
        network = build(bundle.architecture)
        load_arrays(network, bundle.tensors)
        set_input(network, bundle.preprocessing)
        return network.eval()


TASK = ClassificationTask()
