"""What a network is worth on its spec's data, for decisions about pruning: scores, batch norms measured again, a short
training, and gradients.

Scores are the task's main metric on validation images. Batch norms and gradients take training images without
augmentation; a training takes all of them, with it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from taolite.data.examples import Examples
from taolite.data.loading import Batch, batches
from taolite.events import Event, Listener, Progress, silent
from taolite.nn.arrays import state_arrays
from taolite.nn.batchnorm import forget_statistics, keep_statistics, measure_statistics
from taolite.nn.network import TaskNetwork
from taolite.preprocessing import Preprocessing
from taolite.scorecard import ScoreCard
from taolite.stages.agree import agree
from taolite.stages.decodable import decodable
from taolite.stages.device import Device, choose
from taolite.stages.evaluate import score_split
from taolite.stages.predict import torch_predict
from taolite.stages.trained import Trained
from taolite.stages.training.loop import Trainer
from taolite.tasks.base import Begun, Experiment, Schedule, Shapes
from taolite.tasks.registry import find
from taolite.tasks.schedules import Fixed

__all__ = ["Judge", "blank", "open_judge", "rebuilt"]

_SETTLING = 32  # images from which batch norms are measured
_GRADIENTS = 8  # batches


@dataclass(frozen=True)
class Judge:
    """See the module. `held_out`: validation images; `shapes`: of the outputs for one image."""

    experiment: Experiment
    held_out: Examples
    shapes: Shapes
    device: Device
    workers: int
    listener: Listener

    def score(self, network: TaskNetwork) -> float:
        """The task's main metric, 0..1; see `card`."""
        return self.card(network).main.value

    def card(self, network: TaskNetwork) -> ScoreCard:
        """The scores of `network`, computed in float32. The network stays in evaluation mode."""
        evaluation = score_split(
            self.experiment,
            torch_predict(network, self.device.exact),
            self.held_out,
            objective=self.experiment.objective(),
            batch_size=self.experiment.recipe.batch_size,
            workers=self.workers,
        )
        return evaluation.card

    def settle(self, network: TaskNetwork) -> None:
        """Measure the batch norms of `network` again, in place, on training images; it stays in evaluation mode."""
        norms = [layer for layer in network.modules() if isinstance(layer, nn.BatchNorm2d)]
        if norms:
            place = self.device.place
            network.to(place, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
            measure_statistics(norms, self._passes(network))
        network.eval()

    def _passes(self, network: TaskNetwork) -> Iterator[None]:
        """Send training images through `network`, in the type that trains, a batch for each item yielded."""
        for batch in self._training_batches(_SETTLING):
            with self.device.reduced():
                network(self.device.to_device(batch.pixels))
            yield

    def gradients(self, network: TaskNetwork) -> dict[str, Tensor]:
        """The gradient of the cost by name of the parameter, summed over some training batches. Batch norms use their
        stored statistics. Frozen parameters have one too."""
        batch_size, objective = self.experiment.recipe.batch_size, self.experiment.objective()
        torch.manual_seed(self.experiment.recipe.seed)  # of dropout
        twin = copy.deepcopy(network).to(self.device.place).train().requires_grad_(True)
        keep_statistics(twin)
        for batch in self._training_batches(_GRADIENTS * batch_size):
            targets = {name: self.device.to_device(value) for name, value in batch.targets.items()}
            cost = objective.cost(twin(self.device.to_device(batch.pixels)), targets)
            cost.total.backward()  # type: ignore[no-untyped-call]
        return {name: one.grad.cpu() for name, one in twin.named_parameters() if one.grad is not None}

    def _training_batches(self, images: int) -> Iterator[Batch]:
        examples = self.experiment.examples("train", shapes=self.shapes).few(images)
        size = self.experiment.recipe.batch_size
        return batches(examples, range(len(examples)), batch_size=size, workers=self.workers)

    def finetuned(self, network: TaskNetwork, model: Trained, *, epochs: int) -> TaskNetwork:
        """`network` after some epochs of the spec's training: its recipe, and its whole schedule in this time.

        Args:
            network: a cut network of `model`; it is used up.

        Raises TrainingError where the cost is not finite.
        """
        forget_statistics(network)
        experiment = self.experiment
        trainer = Trainer(
            experiment.ready(Begun(network)),
            examples=experiment.examples("train", augment=True, shapes=self.shapes),
            recipe=replace(experiment.recipe, epochs=epochs),
            objective=experiment.objective(),
            schedule=_Hurried(experiment.schedule(), experiment.recipe.epochs / epochs),
            device=self.device,
            workers=self.workers,
            listener=self._bars,
        )
        trainer.settle()
        while not trainer.finished:
            trainer.run_epoch()
        return rebuilt(trainer.result, model)

    def _bars(self, event: Event) -> None:
        """Pass on what moves a bar, and nothing that a run's record is made of."""
        if isinstance(event, Progress):
            self.listener(event)


class _Hurried(Fixed):
    """A schedule of `haste` times as many epochs in the time of one run, without its early end."""

    def __init__(self, whole: Schedule, haste: float) -> None:
        self._whole = whole
        self._haste = haste

    def rate(self, elapsed: float) -> float:
        return self._whole.rate(elapsed * self._haste)


def open_judge(
    model: Trained, experiment: Experiment, *, images: int, workers: int = 2, listener: Listener = silent
) -> Judge:
    """The judge of a model by its spec's data, on `images` validation images at most.

    Raises ModelError where model and spec do not belong together; DataError and PathError for data that cannot be used.
    """
    agree(experiment, model)
    network = find(model.bundle.task).network(model.bundle)
    with torch.no_grad():
        shapes = tuple(tuple(output.shape[1:]) for output in network(blank(model.preprocessing)))
    found = experiment.examples("val", shapes=shapes).few(images)
    (held_out,) = decodable({"validation": found}, skip_corrupt=False, listener=listener)
    return Judge(experiment, held_out, shapes, choose(), workers, listener)


def blank(preprocessing: Preprocessing) -> Tensor:
    """(1, C, H, W): an input of zeros."""
    return torch.zeros(1, preprocessing.channels, *preprocessing.input_hw)


def rebuilt(network: TaskNetwork, model: Trained) -> TaskNetwork:
    """The network as an artifact would hold it, read back, on the processor and in evaluation mode."""
    stored = network.as_stored()
    bundle = replace(model.bundle, architecture=stored.architecture(), tensors=state_arrays(stored))
    return find(bundle.task).network(bundle)
