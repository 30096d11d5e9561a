from __future__ import annotations

import math

import pytest

from taolite.tasks.detectnet.schedule import soft_start_annealing


def test_the_rate_rises_holds_and_falls_log_linearly():
    rate = soft_start_annealing(least=5e-6, most=5e-4, soft_start=0.1, annealing=0.7)

    assert rate(0.05) == pytest.approx(5e-5)  # reference 13.5 item 6
    assert [rate(0.0), rate(0.1), rate(0.7), rate(1.0)] == pytest.approx([5e-6, 5e-4, 5e-4, 5e-6])
    assert rate(0.85) == pytest.approx(math.sqrt(5e-6 * 5e-4))


def test_no_soft_start_begins_at_the_top():
    assert soft_start_annealing(least=1e-6, most=1e-3, soft_start=0.0, annealing=0.5)(0.0) == pytest.approx(1e-3)
