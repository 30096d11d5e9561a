"""The rate at hand-computed points; early stopping walked through epoch by epoch."""

from __future__ import annotations

import json
import math

import pytest

from taolite.events import CostStuck
from taolite.tasks.detectnet.schedule import EarlyStopping
from taolite.tasks.schedules import SoftStart

HALF = math.sqrt(1e-5 * 1e-3)  # half way on the logarithmic scale


def early(**changed: float) -> EarlyStopping:
    settings = {"least": 1e-5, "most": 1e-3, "soft_start_epochs": 4, "annealing_epochs": 3, "patience": 2}
    return EarlyStopping(**{**settings, **changed})  # type: ignore[arg-type]


@pytest.mark.parametrize(("epochs", "wanted"), [(0, 5e-6), (6, 5e-5), (12, 5e-4), (84, 5e-4), (102, 5e-5), (120, 5e-6)])
def test_soft_start_rises_and_falls_log_linearly(epochs: int, wanted: float):
    schedule = SoftStart(least=5e-6, most=5e-4, soft_start=0.1, annealing=0.7, epochs=120)

    assert schedule.rate(epochs) == pytest.approx(wanted)


def test_a_soft_start_of_zero_begins_at_the_largest_rate():
    assert SoftStart(least=1e-6, most=1e-3, soft_start=0.0, annealing=0.5, epochs=9).rate(0) == pytest.approx(1e-3)
    assert early(soft_start_epochs=0).rate(0) == pytest.approx(1e-3)


def test_early_stopping_holds_the_rate_while_the_cost_falls():
    schedule = early()
    for epoch, cost in enumerate((5.0, 4.0, 3.0, 2.9, 2.8, 2.7, 2.6), start=1):
        assert schedule.validated(epoch, cost) is None

    assert [schedule.rate(elapsed) for elapsed in (0, 2, 4, 50)] == pytest.approx([1e-5, HALF, 1e-3, 1e-3])


def test_early_stopping_anneals_when_patience_ends_and_stops_when_it_ends_again_after_annealing():
    schedule = early()
    said = [schedule.validated(epoch, cost) for epoch, cost in ((10, 1.0), (11, 1.0), (12, 1.2))]

    assert said == [
        None,
        None,  # equal is no improvement, and one epoch is less than two
        CostStuck(12, "validation", least=1.0, waited=2, then="anneal", annealing=3),
    ]
    assert [schedule.rate(elapsed) for elapsed in (12, 13.5, 15, 20)] == pytest.approx([1e-3, HALF, 1e-5, 1e-5])
    # the best cost is now 1.2 of epoch 12; annealing must be over (more than 3 epochs) before patience can stop it
    assert [schedule.validated(epoch, 1.3) for epoch in (13, 14, 15)] == [None, None, None]
    assert not schedule.stopped
    assert schedule.validated(16, 1.3) == CostStuck(16, "validation", least=1.2, waited=4, then="stop", again=True)
    assert schedule.stopped


def test_a_better_cost_after_annealing_renews_the_patience():
    schedule = early()
    for epoch, cost in ((1, 1.0), (3, 1.0), (7, 0.9), (8, 0.95)):
        schedule.validated(epoch, cost)
    assert not schedule.stopped

    schedule.validated(9, 0.95)

    assert schedule.stopped


def test_without_annealing_epochs_the_rate_stays():
    schedule = early(annealing_epochs=0)
    schedule.validated(1, 1.0)
    schedule.validated(5, 1.0)

    assert schedule.rate(30) == pytest.approx(1e-3)


def test_a_restored_schedule_goes_on_where_it_was():
    schedule, other = early(), early()
    schedule.validated(2, 0.1)
    schedule.validated(4, 1 / 3)

    other.restore(json.loads(json.dumps(schedule.state())))

    assert other.state() == schedule.state()
    assert [other.rate(e) for e in (4, 5.25)] == [schedule.rate(e) for e in (4, 5.25)]
