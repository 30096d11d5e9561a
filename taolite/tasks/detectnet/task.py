"""DetectNet_v2 as the stages use it: an implementation of `taolite.tasks.base.Task`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from taolite.artifacts.bundle import Bundle
from taolite.nn.arrays import load_arrays
from taolite.spec import Reading, SpecModel
from taolite.tasks import reading
from taolite.tasks.base import FLAGS, NOTHING, Given, Resolve
from taolite.tasks.detectnet.experiment import DetectNetExperiment, bind
from taolite.tasks.detectnet.model import DetectNet, build
from taolite.tasks.detectnet.spec import DetectNetSpec
from taolite.tasks.detectnet.use import DetectNetUse

__all__ = ["DEFAULT_SPEC", "TASK"]

DEFAULT_SPEC = Path(__file__).with_name("default_spec.txt")
"""What trains where no spec is named: TAO's built-in one."""


class DetectNetTask(DetectNetUse):
    """Stateless; the protocol documents the methods."""

    def read(
        self,
        spec: Path | SpecModel,
        *,
        resolve: Resolve = Path,
        classes: Sequence[str] | None = None,
        given: Given = NOTHING,
        source: str = FLAGS,
    ) -> Reading[DetectNetExperiment]:
        source, read = reading.read(spec, DetectNetSpec, source=source)
        return Reading(bind(read.model, task=self, source=source, resolve=resolve), read.warnings)

    def network(self, bundle: Bundle) -> DetectNet:
        network = build(bundle.architecture)
        load_arrays(network, bundle.tensors)
        return network.eval()


TASK = DetectNetTask()
