"""The three schedules at points computed by hand."""

from __future__ import annotations

import math

import pytest

from taolite import spec
from taolite.tasks.base import Schedule
from taolite.tasks.classification.schedule import Cosine, SoftAnneal, Stairs, Step, schedule_of
from taolite.tasks.classification.spec import LearningRate


def rates(text: str, *points: float, epochs: int = 100, processes: int = 1) -> list[float]:
    schedule = schedule_of(spec.loads(text, LearningRate), epochs=epochs, processes=processes)
    return [schedule.rate(elapsed) for elapsed in points]


def test_step_decays_smoothly_with_a_fractional_exponent():
    text = "step { learning_rate: 0.006 step_size: 10 gamma: 0.1 }"

    # a tenth of the run multiplies by 0.1, half of it by the root of 0.1
    assert rates(text, 0, 5, 10, 20) == pytest.approx([6e-3, 6e-3 * math.sqrt(0.1), 6e-4, 6e-5])


def test_step_follows_tao_s_formula_over_a_run_whose_steps_divide_evenly():
    steps, per_epoch = 800, 8
    tao = [0.05 * 0.5 ** (step / math.floor(steps * 25 / 100)) for step in range(steps)]

    ours = rates("step { learning_rate: 0.05 step_size: 25 gamma: 0.5 }", *(step / per_epoch for step in range(steps)))

    assert ours == pytest.approx(tao, rel=1e-12)


def test_a_gamma_of_zero_trains_the_first_step_alone():
    assert rates("step { learning_rate: 0.1 step_size: 10 }", 0, 0.01) == [0.1, 0.0]


def test_soft_anneal_rises_from_its_fixed_start_and_is_divided_after_each_point():
    text = """soft_anneal { learning_rate: 0.05 soft_start: 0.1 annealing_divider: 10
        annealing_points: 0.3 annealing_points: 0.6 annealing_points: 0.8 }"""

    # half way up: (0.0003 + 0.05) / 2; at a point itself the rate is still the one before
    assert rates(text, 0, 5, 10, 30, 30.1, 60.1, 80.1, 100) == pytest.approx(
        [3e-4, 0.02515, 0.05, 0.05, 5e-3, 5e-4, 5e-5, 5e-5]
    )


def test_soft_anneal_without_soft_start_or_points_is_constant():
    assert rates("soft_anneal { learning_rate: 0.05 }", 0, 50, 100) == [0.05, 0.05, 0.05]


def test_cosine_falls_to_its_share_and_with_a_soft_start_not_quite():
    whole = "cosine { learning_rate: 0.1 min_lr_ratio: 0.01 }"
    soft = "cosine { learning_rate: 0.1 min_lr_ratio: 0.01 soft_start: 0.5 }"

    assert rates(whole, 0, 50, 100) == pytest.approx([0.1, 0.0505, 0.001])
    assert rates(soft, 0, 25, 50, 100) == pytest.approx([0.001, 0.0505, 0.1, 0.0505])


def test_stairs_go_down_at_fixed_epochs_so_that_a_longer_run_begins_with_the_shorter_one():
    text = "stairs { learning_rate: 0.1 epochs: 30 gamma: 0.1 }"

    # jetson-inference: lr * 0.1 ** (epoch // 30); the run here has 100 epochs
    assert rates(text, 0, 29.99, 30, 59.99, 60, 90) == pytest.approx([0.1, 0.1, 0.01, 0.01, 1e-3, 1e-4])


@pytest.mark.parametrize("kind", ["stairs { epochs: 2", "step { step_size: 10 gamma: 0.5", "soft_anneal {", "cosine {"])
def test_the_rate_is_multiplied_by_the_processes(kind: str):
    text = f"{kind} learning_rate: 0.01 }}"

    assert rates(text, 3, processes=4) == pytest.approx([4 * rates(text, 3)[0]])


def test_a_schedule_has_nothing_to_remember():
    schedules: list[Schedule] = [
        Step(0.1, 0.1, 0.1, 10),
        SoftAnneal(0.1, 0.0, (), 0.0, 10),
        Cosine(0.0, 0.1, 0.0, 10),
        Stairs(0.1, 3, 0.1),
    ]

    for schedule in schedules:
        schedule.restore(schedule.state())
        assert schedule.validated(3, 0.5) is None
        assert not schedule.stopped
        assert not schedule.led_by_cost
