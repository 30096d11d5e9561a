"""Settings of training that change its course, each with the effect it promises; a stopped run ends the same."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from taolite.artifacts.bundle import Bundle, read_bundle
from taolite.artifacts.keys import Key
from taolite.cli.words import lines
from taolite.errors import TrainingError
from taolite.events import Event, Progress
from taolite.stages.training.train import TrainOptions, train
from taolite.tasks.registry import find

from .conftest import write_spec

KEY = Key("tlt_encode")
EARLY = """early_stopping_annealing_schedule {
    min_learning_rate: 1e-6 max_learning_rate: 1e-5 soft_start_epochs: 1 annealing_epochs: 1 patience_steps: 1 }"""
SCALED = "cost_scaling { enabled: true initial_exponent: 160.0 increment: 0.25 decrement: 30.0 }"


def changed(spec: Path, **values: str) -> Path:
    """The spec with the innermost `name { ... }` block replaced, or added to training_config."""
    text = spec.read_text()
    for name, block in values.items():
        start = text.index(name)
        text = text[:start] + block + text[text.index("}", start) + 1 :]
    spec.write_text(text)
    return spec


def run(spec: Path, results: Path, *, stop_at: int | None = None) -> tuple[Bundle, list[str]]:
    """Train in this process, Ctrl-C after step `stop_at`; the final model and what was said."""
    import os
    import signal

    said: list[str] = []
    steps = 0

    def listen(event: Event) -> None:
        nonlocal steps
        said.extend(line.text for line in lines(event))
        if isinstance(event, Progress) and event.unit == "step":
            steps += 1
            if steps == stop_at:
                os.kill(os.getpid(), signal.SIGINT)

    report = train(
        find("detectnet").read(spec).model,
        results,
        name="m",
        key=KEY,
        options=TrainOptions(precision="fp32", workers=1),
        listener=listen,
    )
    return read_bundle(report.weights, key=KEY), said


def rows(results: Path, name: str) -> list[float]:
    return [row[name] for row in map(json.loads, (results / "metrics.jsonl").open()) if name in row]


def same(left: Bundle, right: Bundle) -> bool:
    return all(np.array_equal(value, right.tensors[name]) for name, value in left.tensors.items())


def test_early_stopping_ends_a_run_before_its_last_epoch_and_a_stopped_run_ends_the_same(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
):
    from taolite.tasks.detectnet.schedule import EarlyStopping

    costs = {1: 1.0, 2: 2.0, 3: 3.0, 4: 4.0}  # epoch -> cost: worse and worse, so patience ends at once
    real = EarlyStopping.validated
    monkeypatch.setattr(EarlyStopping, "validated", lambda self, epoch, cost: real(self, epoch, costs[epoch]))
    spec = changed(write_spec(tiny, "early.txt", epochs=9), soft_start_annealing_schedule=EARLY)
    spec.write_text(
        spec.read_text().replace(
            "validation_period_during_training: 2 first_validation_epoch: 2",
            "validation_period_during_training: 1 first_validation_epoch: 1",
        )
    )

    whole, said = run(spec, tiny / "early")
    with pytest.raises(TrainingError, match="after epoch 3"):
        run(spec, tiny / "early_halves", stop_at=9)
    again, _ = run(spec, tiny / "early_halves")

    assert rows(tiny / "early", "learning_rate") == pytest.approx(
        [1e-6 * 10 ** (2 / 3), 1e-5, 1e-6 * 10 ** (1 / 3), 1e-6]
    )
    assert [line for line in said if "training stops here" in line] == [
        "epoch 4: the validation cost has not been below 2.000000 for 2 epochs after annealing: training stops here"
    ]
    assert same(whole, again)
    assert rows(tiny / "early_halves", "learning_rate") == rows(tiny / "early", "learning_rate")


@pytest.fixture(scope="module")
def plain(tiny: Path) -> Bundle:
    """Two epochs without anything special, in `plain`."""
    return run(write_spec(tiny, "plain.txt"), tiny / "plain")[0]


def test_cost_scaling_lowers_its_exponent_until_the_gradients_are_finite(tiny: Path):
    spec = changed(write_spec(tiny, "scaled.txt", epochs=1), cost_scaling=SCALED)

    whole, _ = run(spec, tiny / "scaled")
    with pytest.raises(TrainingError, match="after epoch 0, step 2"):
        run(spec, tiny / "scaled_halves", stop_at=1)
    again, _ = run(spec, tiny / "scaled_halves")

    # 2^160 and 2^130 overflow float32, 2^100 does not: steps 1 and 2 are lost, the third adds 0.25
    for results in ("scaled", "scaled_halves"):
        assert rows(tiny / results, "overflows") == [2]
        assert rows(tiny / results, "cost_exponent") == [100.25]
    assert same(whole, again)


def test_a_power_of_two_as_scale_leaves_every_bit_of_training_as_it_was(tiny: Path, plain: Bundle):
    block = "cost_scaling { enabled: true initial_exponent: 20.0 increment: 1.0 decrement: 1.0 }"

    scaled, _ = run(changed(write_spec(tiny, "twice.txt"), cost_scaling=block), tiny / "twice")

    assert same(plain, scaled)


def test_frozen_blocks_keep_their_kernels_and_frozen_batch_norms_their_statistics(tiny: Path, plain: Bundle):
    model = (
        f'pretrained_model_file: "{tiny}/plain/weights/m.tlt" freeze_pretrained_layers: true '
        "freeze_blocks: 0 freeze_blocks: 1 freeze_bn: true"
    )

    after, _ = run(write_spec(tiny, "frozen.txt", epochs=1, model=model), tiny / "frozen")

    moved = {name for name in plain.tensors if not np.array_equal(plain.tensors[name], after.tensors[name])}
    kept = {f"backbone.{layer}.weight" for layer in ("conv1", "block_1a_conv_1", "block_1a_conv_shortcut")}
    assert not kept & moved
    assert not {name for name in moved if "running" in name}
    assert {"backbone.block_2a_conv_1.weight", "backbone.bn_conv1.weight", "output_cov.weight"} <= moved
