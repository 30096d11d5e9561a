"""The training loop: steps over batches, independent of tasks and file formats.

Sample order, augmentation, learning rate and per-step randomness are functions of (seed, epoch, index, step). All other
state (weights, batch norms, the optimiser's moments, objective, schedule, cost scale, the epoch's sums) is in
`Trainer.tensors` and `.state`. A run restored from these continues as if it had never stopped, also from the middle of
an epoch.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from typing import Any

import torch
from torch import nn

from taolite.data.examples import Examples
from taolite.data.loading import Batch, batches
from taolite.data.order import seed_for
from taolite.dist.world import ALONE, World
from taolite.errors import TrainingError
from taolite.events import BatchDone, BatchDrawn, EpochDone, Listener, Progress, Stepped
from taolite.nn.across import Across, look_across
from taolite.nn.average import Average
from taolite.nn.batchnorm import kept_statistics, measure_statistics
from taolite.nn.network import TaskNetwork
from taolite.nn.reduced import keep_strided_exact
from taolite.stages.device import Device
from taolite.stages.training.penalty import penalties
from taolite.stages.training.scaling import FLOAT16, CostScale
from taolite.stages.training.teacher import Teacher
from taolite.tasks.base import Cost, Objective, Part, Recipe, Schedule, Start

__all__ = ["Trainer"]

_OPTIMIZER = "optimizer."
_NETWORK = "network."
_AVERAGE = "average."
_SETTLING = 512  # images


@dataclass
class _Tally:
    """The sums of the current epoch so far."""

    loss: float = 0.0  # without the regulariser's penalty
    penalty: float = 0.0
    steps: int = 0
    images: int = 0
    waited_s: float = 0.0
    seconds: float = 0.0  # before the run was last resumed
    parts: dict[str, float] = field(default_factory=dict)
    wait_s: float = 0.0  # `waited_s` of the last batch


class Trainer:
    """A network in training. A step takes `batch_size` images over all processes of the `world`; the default is the
    recipe's. `step` counts finished steps of the whole run. A `Stepped` event is sent every `point_every` steps, about
    `points` times an epoch. A `teacher` gets the same images; it is not part of the state, and a resumed run needs the
    same one."""

    def __init__(
        self,
        start: Start,
        *,
        examples: Examples,
        recipe: Recipe,
        objective: Objective,
        schedule: Schedule,
        device: Device,
        workers: int,
        listener: Listener,
        batch_size: int | None = None,
        world: World = ALONE,
        points: int = 10,
        should_pause: Callable[[], bool] = lambda: False,
        teacher: Teacher | None = None,
    ) -> None:
        self.network: TaskNetwork = start.network.to(device.place, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._average = Average(self.network, recipe.average) if recipe.average else None
        self.teacher = teacher
        if teacher is not None:
            teacher.network.to(device.place, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.examples = examples
        self.recipe = recipe
        self.batch_size = batch_size or recipe.batch_size
        self._world = world
        self._places = world.share(self.batch_size)
        self._part = Part(len(self._places) / self.batch_size, world.rank, world.total, world.side_by_side)
        across = Across(self._places, self.batch_size, world.total, world.largest, world.side_by_side)
        look_across(self.network, across)
        keep_strided_exact(self.network)
        self.objective = objective
        self.schedule = schedule
        self._penalties = penalties(recipe, start)
        self._device = device
        self._workers = workers
        self._listen = listener
        self._should_pause = should_pause
        self._optimizer = recipe.optimizer(start.groups)
        scaling = recipe.cost_scaling or (FLOAT16 if device.autocast is torch.float16 else None)
        self.cost_scale = CostScale(scaling) if scaling else None
        self.steps_per_epoch = -(-len(examples) // self.batch_size)
        self.point_every = max(1, self.steps_per_epoch // points)
        self._parts: Mapping[str, float] = {}
        self._cost = 0.0  # of the last step, without regularisation
        self._pausing = False
        self.step = 0
        self._tally = _Tally()

    @property
    def result(self) -> TaskNetwork:
        """The network that is validated and saved: the average of the weights, where the recipe has one."""
        return self.network if self._average is None else self._average.network

    @property
    def total_steps(self) -> int:
        """Steps of the whole run, unless the schedule ends it earlier."""
        return self.steps_per_epoch * self.recipe.epochs

    @property
    def finished(self) -> bool:
        """Whether no step is left."""
        return self.step >= self.total_steps or self.schedule.stopped

    @property
    def computed_on(self) -> dict[str, str | int]:
        """See `Device.fingerprint`."""
        return self._device.fingerprint()

    def learning_rate(self, step: int) -> float:
        """The learning rate of a step, counted from 0."""
        return self.schedule.rate(step / self.steps_per_epoch) / (1 + self.recipe.decay * step)

    def first_batch(self) -> Batch:
        """The batch of step 0, to show what training gets."""
        size = self.batch_size
        order = self.examples.order(0, batch_size=size)
        return next(batches(self.examples, order[:size], batch_size=size))

    def settle(self) -> int:
        """After pruning, measure again the batch norms that keep their statistics in training, on the first images of
        an epoch (512 at most). Returns the number of images; 0 where there is no such norm."""
        self.network.train()
        kept = kept_statistics(self.network)
        if not kept:
            return 0
        steps = min(self.steps_per_epoch, -(-_SETTLING // self.batch_size))
        measure_statistics(kept, self._passes(steps))
        if self._average is not None:
            self._average = Average(self.network, self.recipe.average)
        return steps * self.batch_size

    def _passes(self, steps: int) -> Iterator[None]:
        """Send the first batches of an epoch through the network, one for each item yielded."""
        for batch in islice(self._batches(0, 0), steps):
            with self._device.reduced():
                self.network(self._device.to_device(batch.pixels))
            self._world.alive()
            yield

    def run_epoch(self) -> EpochDone | None:
        """Train to the end of the current epoch; from its middle if the state was saved there.

        None where `should_pause` ended it between two steps; the next call continues there. Raises TrainingError where
        the cost is not finite; the state is then that of the last good step.
        """
        epoch, done = divmod(self.step, self.steps_per_epoch)
        tally = self._tally
        self.network.train()
        began_s = before_s = time.perf_counter()
        seconds_before = tally.seconds
        for batch in self._timed(self._batches(epoch, done), tally):
            self._listen(BatchDrawn(epoch + 1, tuple((one.name, one.truth) for one in batch.examples)))
            penalty = self._train_step(batch)
            tally.loss += self._cost
            tally.penalty += penalty
            tally.steps += 1
            tally.images += self.batch_size
            self._world.alive()
            for name, value in self._parts.items():
                tally.parts[name] = tally.parts.get(name, 0.0) + value
            before_s, batch_s = time.perf_counter(), time.perf_counter() - before_s
            tally.seconds = seconds_before + before_s - began_s
            number, readings = self.step - epoch * self.steps_per_epoch, {"loss": self._cost, **self._parts}
            self._listen(
                BatchDone(epoch + 1, number, self.steps_per_epoch, self.batch_size, batch_s, tally.wait_s, readings)
            )
            if self._pausing and number < self.steps_per_epoch:
                return None
            if self.step % self.point_every == 0 or self.step % self.steps_per_epoch == 0:
                self._listen(Stepped(self.step, self._readings(penalty)))
            detail = f"loss {self._cost:.5f}"
            self._listen(
                Progress(f"epoch {epoch + 1}/{self.recipe.epochs}", number, self.steps_per_epoch, "step", detail)
            )
        self.objective.end_epoch()
        self._tally = _Tally()
        left = self.total_steps - self.step
        return EpochDone(
            epoch=epoch + 1,
            epochs=self.recipe.epochs,
            step=self.step,
            loss=tally.loss / tally.steps,
            penalty=tally.penalty / tally.steps,
            learning_rate=self.learning_rate(self.step - 1),
            images_per_s=tally.images / tally.seconds,
            data_wait=tally.waited_s / tally.seconds,
            seconds=tally.seconds,
            eta_s=tally.seconds / tally.steps * left,
            cost_exponent=self.cost_scale.exponent if self.cost_scale else None,
            overflows=self.cost_scale.overflows if self.cost_scale else 0,
            parts={name: total / tally.steps for name, total in tally.parts.items()},
        )

    def _batches(self, epoch: int, done: int) -> Iterator[Batch]:
        order = self.examples.order(epoch, batch_size=self.batch_size)[done * self.batch_size :]
        loaded = self._loaded_places()
        own = order.share(loaded, batch_size=self.batch_size) if len(loaded) < self.batch_size else order
        return batches(self.examples, own, batch_size=len(loaded), epoch=epoch, workers=self._workers)

    def _loaded_places(self) -> list[int]:
        """Which images of a batch this process loads: its own, and those they are mixed with."""
        if self.recipe.mix is None:
            return list(self._places)
        return sorted({*self._places, *(self.batch_size - 1 - place for place in self._places)})

    def _timed(self, source: Iterator[Batch], tally: _Tally) -> Iterator[Batch]:
        """Pass batches on, and record the waiting time for each."""
        while True:
            before = time.perf_counter()
            batch = next(source, None)
            tally.wait_s = time.perf_counter() - before
            tally.waited_s += tally.wait_s
            if batch is None:
                return
            yield batch

    def _train_step(self, batch: Batch) -> float:
        """One step; returns the penalties. The cost without it is stored in `_cost`."""
        torch.manual_seed(seed_for(self.recipe.seed, "step", self.step))
        pixels = self._device.to_device(batch.pixels)
        targets: Mapping[str, torch.Tensor] = {
            name: self._device.to_device(value) for name, value in batch.targets.items()
        }
        if self.recipe.mix is not None:
            pixels, targets = self._mixed(pixels, targets)
        wanted = self._wanted(pixels)  # first: what the teacher needs of memory is free again for the network
        with self._device.reduced():
            outputs = self.network(pixels)
        cost = self.objective.cost(outputs, targets, part=self._part)
        if wanted is not None:
            cost = self._with_lesson(cost, outputs, wanted, targets)
        self._share_readings(cost)
        penalty = sum((one.value() for one in self._penalties), 0.0)
        loss = self._cost + penalty
        if not math.isfinite(loss):
            names = () if math.isfinite(float(cost.total.detach())) else batch.names
            images = self._world.collected(names)
            raise _not_finite(
                loss, self.step, self._world.told(lambda: [*sum(images, ())]), broken=_broken(self.network)
            )
        self._optimizer.zero_grad(set_to_none=True)
        if self._backward(cost.total):
            for one in self._penalties:
                one.add_gradient()
        if self.recipe.largest_gradient:
            nn.utils.clip_grad_norm_(self._trained(), self.recipe.largest_gradient)
        rate = self.learning_rate(self.step)
        for group in self._optimizer.param_groups:
            group["lr"] = rate * group["rate"]
        self._optimizer.step()
        self.step += 1
        if self._average is not None:
            self._average.update(self.network, self.step)
        return penalty

    def _wanted(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...] | None:
        """The teacher's outputs, None without a teacher. Nothing is drawn at random, so the step's draws stay."""
        if self.teacher is None:
            return None
        with torch.no_grad(), self._device.reduced():
            return self.teacher.network.training_outputs(pixels)

    def _with_lesson(
        self,
        cost: Cost,
        outputs: tuple[torch.Tensor, ...],
        wanted: tuple[torch.Tensor, ...],
        targets: Mapping[str, torch.Tensor],
    ) -> Cost:
        """The cost and the teacher's part of it."""
        assert self.teacher is not None
        weight, temperature = self.teacher.weight, self.teacher.temperature
        lesson = self.objective.taught(outputs, wanted, targets, temperature=temperature, part=self._part)
        parts = {**cost.parts, "teacher": weight * float(lesson.total.detach())}
        return Cost(cost.total + weight * lesson.total, parts)

    def _mixed(
        self, pixels: torch.Tensor, targets: Mapping[str, torch.Tensor]
    ) -> tuple[torch.Tensor, Mapping[str, torch.Tensor]]:
        """This process's part of the batch, mixed with its partner images."""
        assert self.recipe.mix is not None
        places = self._loaded_places()
        pixels, targets = self.recipe.mix(pixels, targets, places, self.batch_size)
        own = [places.index(place) for place in self._places]
        if len(own) == len(places):
            return pixels, targets
        return pixels[own], {name: value[own] for name, value in targets.items()}

    def _share_readings(self, cost: Cost) -> None:
        """Share the cost and its parts over the whole batch, and whether any process wants to pause after this step."""
        own = [float(cost.total.detach()), *cost.parts.values()]
        *sums, pausing = self._world.totals([*(value * self._part.share for value in own), self._should_pause()])
        self._cost, self._pausing = sums[0], pausing > 0
        self._parts = dict(zip(cost.parts, sums[1:], strict=True))

    def _readings(self, penalty: float) -> dict[str, float]:
        """The values that the last step adds to the curves."""
        parts = {f"cost/{name}": value for name, value in self._parts.items()}
        scale = {"cost_scaling_exponent": self.cost_scale.exponent} if self.cost_scale else {}
        penalties = {"penalty": penalty} if self._penalties else {}
        return {"loss": self._cost, **penalties, "learning_rate": self.learning_rate(self.step - 1), **parts, **scale}

    def _backward(self, cost: torch.Tensor) -> bool:
        """Compute the gradients. Where scaling made one overflow, all are set to zero and the result is False."""
        if self._world.size > 1:
            cost = cost * self._part.share
        if self.cost_scale is not None:
            cost = cost * self.cost_scale.factor
        cost.backward()  # type: ignore[no-untyped-call]
        gradients = [one.grad for one in self._trained() if one.grad is not None]
        self._add_up(gradients)
        return self.cost_scale is None or self.cost_scale.unscale(gradients)

    def _add_up(self, gradients: list[torch.Tensor]) -> None:
        """Sum the gradients over all processes, in place, in one tensor, so that the order of additions is fixed."""
        if self._world.size == 1:
            return
        whole = self._world.total(torch.cat([gradient.flatten() for gradient in gradients]))
        sizes = [gradient.numel() for gradient in gradients]
        for gradient, piece in zip(gradients, torch.split(whole, sizes), strict=True):
            gradient.copy_(piece.view(gradient.shape))

    def _trained(self) -> list[nn.Parameter]:
        """Every trained parameter, in the order of the optimiser's state."""
        return [parameter for group in self._optimizer.param_groups for parameter in group["params"]]

    def tensors(self) -> dict[str, torch.Tensor]:
        """Every tensor of the state, by name: the network's under `network.`, its average's under `average.`, the
        optimiser's under `optimizer.`."""
        saved = {_NETWORK + name: value for name, value in self.network.state_dict().items()}
        for index, moments in self._optimizer.state_dict()["state"].items():
            saved |= {f"{_OPTIMIZER}{index}.{name}": torch.as_tensor(value) for name, value in moments.items()}
        if self._average is not None:
            saved |= {_AVERAGE + name: value for name, value in self._average.network.state_dict().items()}
        return saved

    def state(self) -> dict[str, Any]:
        """The rest of the state, a JSON value."""
        return {
            "step": self.step,
            "steps_per_epoch": self.steps_per_epoch,
            "batch_size": self.batch_size,
            "processes": self._world.size,
            "objective": self.objective.state(),
            "schedule": self.schedule.state(),
            "epoch": asdict(self._tally),
            "cost_scale": self.cost_scale.state() if self.cost_scale else None,
            "computed_on": self.computed_on,
        }

    def restore(self, tensors: Mapping[str, torch.Tensor], state: Mapping[str, Any]) -> None:
        """Restore `tensors` and `state`; raises TrainingError where the data set has another size."""
        if state["steps_per_epoch"] != self.steps_per_epoch:
            raise TrainingError(
                f"the checkpoint was written with {state['steps_per_epoch']} steps an epoch and the data set now gives "
                f"{self.steps_per_epoch}; restore the data and batch size, or train into another results folder"
            )
        self.step = int(state["step"])
        self._tally = _Tally(**state["epoch"])
        self.network.load_state_dict(_under(_NETWORK, tensors))
        if self._average is not None:
            self._average.network.load_state_dict(_under(_AVERAGE, tensors))
        self.objective.restore(state["objective"])
        self.schedule.restore(state["schedule"])
        if self.cost_scale is not None and state["cost_scale"]:
            self.cost_scale.restore(state["cost_scale"])
        trained = self._trained()
        moments: dict[int, dict[str, torch.Tensor]] = {}
        for name, value in tensors.items():
            if name.startswith(_OPTIMIZER):
                index, _, moment = name[len(_OPTIMIZER) :].partition(".")
                moments.setdefault(int(index), {})[moment] = _laid_out_like(trained[int(index)], value)
        frame = self._optimizer.state_dict()
        self._optimizer.load_state_dict({"state": moments, "param_groups": frame["param_groups"]})


def _under(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors whose name begins with `prefix`, by the rest of the name."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _laid_out_like(parameter: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """`value` in the parameter's memory layout: the fused optimiser reads both in memory order."""
    if value.shape != parameter.shape:
        return value
    return torch.empty_like(parameter, requires_grad=False).copy_(value)


def _broken(network: nn.Module) -> str:
    """The first layer with a number that is not finite; "" where there is none."""
    tensors = (*network.named_parameters(), *network.named_buffers())
    return next((name for name, value in tensors if not bool(torch.isfinite(value).all())), "")


def _not_finite(loss: float, step: int, images: Sequence[str], *, broken: str) -> TrainingError:
    if broken:
        return TrainingError(
            f"the cost of step {step + 1} is {loss}, because the network's {broken} holds a number that is not finite: "
            "training stops here and nothing of this step was kept. Start from other weights"
            + (", or lower the learning rate" if step else "")
        )
    names = "\n".join(f"  {name}" for name in images)
    return TrainingError(
        f"the cost of step {step + 1} is {loss}: training stops here and nothing of this step was kept. Its images:\n"
        f"{names}\n"
        "look at their labels (`taolite dataset check`), or lower the learning rate"
    )
