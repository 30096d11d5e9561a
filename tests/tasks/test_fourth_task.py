"""A fourth task is one folder and one row: here `shade`, which tells dark pictures from bright ones, in a temporary
package. Training, evaluation, export and inference run it, and none of their files knows of it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from taolite.artifacts.keys import Key
from taolite.media.sources import open_source
from taolite.stages.evaluate import evaluate
from taolite.stages.exporting.export import export_model
from taolite.stages.inference.look import look
from taolite.stages.inference.models import open_model
from taolite.stages.trained import open_trained
from taolite.stages.training.train import TrainOptions, train
from taolite.tasks import registry

KEY = Key("tlt_encode")
USE = """
from taolite.scorecard import ACCURACY
from taolite.tasks.classification.decode import decode


class ShadeUse:
    name, title, metric = "shade", "shade", ACCURACY
    onnx_outputs, network_type, heads = ("shade",), 1, ()

    def at_threshold(self, decoding, threshold):
        return decoding

    def decode(self, outputs, decoding, *, preprocessing):
        return decode(outputs[0], decoding)


USE = ShadeUse()
"""
TASK = """
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from taolite import spec as specs
from taolite.data.examples import Examples, Source
from taolite.nn.arrays import load_arrays
from taolite.nn.network import TaskNetwork
from taolite.preprocessing import Preprocessing
from taolite.sample import Label, Sample
from taolite.spec import Reading
from taolite.tasks.base import Begun, Cost, Experiment, Recipe, Start, Watch
from taolite.tasks.classification.scoring import class_card
from taolite.tasks.schedules import Fixed

from shade_task.use import ShadeUse


class ShadeSpec(specs.SpecModel):
    folder: str = specs.field(min_length=1, doc="Pictures named dark_* and bright_*.")


class Network(TaskNetwork):
    def __init__(self):
        super().__init__()
        self.shade = torch.nn.Conv2d(3, 2, 1)

    def forward(self, x_nchw):
        logits_nk = self.shade(x_nchw).mean(dim=(2, 3))
        return (logits_nk if self.training else logits_nk.softmax(dim=1),)

    def architecture(self):
        return {"network": "shade"}


class Constant(Fixed):
    def rate(self, elapsed):
        return 0.5


class Objective:
    def cost(self, outputs, targets, *, training=True, part=None):
        logits = outputs[0] if training else outputs[0].log()
        return Cost(torch.nn.functional.cross_entropy(logits, targets["class"].long()[:, 0]))

    def end_epoch(self):
        pass

    def state(self):
        return {}

    def restore(self, state):
        pass


@dataclass(frozen=True, kw_only=True)
class ShadeExperiment(Experiment):
    spec: ShadeSpec

    def seeded(self, seed):
        return replace(self, recipe=replace(self.recipe, seed=seed))

    def examples(self, split, *, augment=False, shapes=None):
        samples = [_sample(path) for path in sorted(Path(self.spec.folder).glob("*.png"))]
        return Examples([Source(samples)], self.classes.index, self.preprocessing, _encode)

    def start(self, *, key):
        torch.manual_seed(0)
        return self.ready(Begun(Network()))

    def ready(self, begun):
        network = begun.network
        return Start(network, groups=[{"params": list(network.parameters()), "rate": 1.0}], shapes=((2,),))

    def objective(self):
        return Objective()

    def score(self, truths, founds, *, photos=None):
        return class_card(truths, founds, classes=self.classes, top_k=1)


def _sample(path):
    with Image.open(path) as image:
        width, height = image.size
    name = path.stem.partition("_")[0]
    return Sample(path, (height, width), (Label(name, (0.0, 0.0, float(width), float(height))),))


def _encode(truth, weight):
    return {"class": np.float32([truth.classes_n[0]])}


class ShadeTask(ShadeUse):
    def read(self, spec, *, resolve=Path, classes=None, given=None, source=""):
        read = specs.read(spec, ShadeSpec)
        return Reading(
            ShadeExperiment(
                task=self,
                source=str(spec),
                text=specs.dumps(read.model),
                classes=("bright", "dark"),
                preprocessing=Preprocessing((8, 8)),
                decoding={"top": 1},
                recipe=Recipe(
                    seed=0,
                    epochs=20,
                    batch_size=4,
                    optimizer=partial(torch.optim.SGD, lr=0.0),
                    regularizer="none",
                    regularizer_weight=0.0,
                    checkpoint_interval=20,
                    validates=lambda epoch: epoch == 20,
                ),
                schedule=Constant,
                watch=Watch(points=1, every_epochs=None, pictures=0, decoding={"top": 1}),
                spec=read.model,
            ),
            read.warnings,
        )

    def network(self, bundle):
        network = Network()
        load_arrays(network, bundle.tensors)
        return network.eval()


TASK = ShadeTask()
"""


@pytest.fixture
def shade(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The task, its package on the path and its row in the registry."""
    package = tmp_path / "packages" / "shade_task"
    package.mkdir(parents=True)
    for name, text in (("__init__", ""), ("use", USE), ("task", TASK)):
        (package / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(package.parent)
    row = registry.TaskRow("shade", (), "shade_task", "", "dark or bright")
    monkeypatch.setattr(registry, "TASKS", (*registry.TASKS, row))
    yield registry.find("shade")
    for name in [name for name in sys.modules if name.startswith("shade_task")]:
        del sys.modules[name]


def test_a_fourth_task_trains_is_evaluated_exported_and_run_by_the_stages_as_they_are(shade, tmp_path: Path):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    rng = np.random.default_rng(0)
    for index in range(8):
        name, least = ("bright", 160) if index % 2 else ("dark", 0)
        pixels = rng.integers(least, least + 90, (8, 8, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(pictures / f"{name}_{index}.png")
    (tmp_path / "spec.txt").write_text(f'folder: "{pictures}"\n')

    experiment = shade.read(tmp_path / "spec.txt").model
    options = TrainOptions(precision="fp32", workers=0)
    report = train(experiment, tmp_path / "run", name="shade", key=KEY, options=options)
    export = export_model(open_trained(report.weights, key=KEY, of="shade"), key=KEY)
    with open_model(export.output, key=KEY, of="shade", runtime="onnxruntime") as model:
        accuracy = evaluate(experiment, model).card.main.value
        found = {seen.frame.name: seen.found[0].name for seen in look(model, open_source(str(pictures)))}

    assert report.evaluation.card.main.value == accuracy == 1.0
    assert found == {path.name: path.stem.partition("_")[0] for path in pictures.iterdir()}
