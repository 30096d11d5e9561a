"""SSD as a `taolite.tasks.base.Task` for the stages, with TAO's specs and pytorch-ssd's alike."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from taolite.artifacts.bundle import Bundle
from taolite.nn.arrays import load_arrays
from taolite.spec import Reading, SpecModel
from taolite.tasks import reading
from taolite.tasks.base import FLAGS, NOTHING, Given, Resolve
from taolite.tasks.ssd.experiment import SsdExperiment, bind
from taolite.tasks.ssd.model import Ssd, build, set_input
from taolite.tasks.ssd.spec import SsdSpec, check_needs
from taolite.tasks.ssd.use import SsdUse

__all__ = ["TASK"]


class SsdTask(SsdUse):
    """Stateless; the protocol documents each method."""

    def read(
        self,
        spec: Path | SpecModel,
        *,
        resolve: Resolve = Path,
        classes: Sequence[str] | None = None,
        given: Given = NOTHING,
        source: str = FLAGS,
    ) -> Reading[SsdExperiment]:
        source, read = reading.read(spec, SsdSpec, source=source)
        check_needs(read.model, given.command, path=source)
        bound = bind(read.model, task=self, source=source, resolve=resolve, classes=classes, given=given)
        return Reading(bound, read.warnings)

    def network(self, bundle: Bundle) -> Ssd:
        network = build(bundle.architecture)
        load_arrays(network, bundle.tensors)
        set_input(network, bundle.preprocessing)
        return network.eval()


TASK = SsdTask()
