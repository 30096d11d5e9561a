"""What to do next, by rules over recorded numbers. Every advice says what was seen, and what to do about it.

The rules are few, and each has its limit as a number in its module; docs/cookbook/report.md lists them for readers.
They point at causes, and prove none: an advice that does not fit the pictures of the page is wrong.
"""

from __future__ import annotations

from taolite.report.html import data_rules, run_rules
from taolite.report.html.facts import RunFacts
from taolite.report.html.rule import Advice, Rule, chance

__all__ = ["Advice", "advice", "chance"]

_RULES: tuple[Rule, ...] = (
    run_rules.unfinished,
    run_rules.nothing_found,
    data_rules.missing_labels,
    run_rules.best_epoch,
    data_rules.weak_classes,
    data_rules.class_labels,
    run_rules.overfitted,
    data_rules.validation_size,
    run_rules.exports,
    run_rules.thresholds,
    run_rules.waiting,
    run_rules.next_stage,
)
_ORDER = {"act": 0, "check": 1, "note": 2}


def advice(facts: RunFacts) -> list[Advice]:
    """The advice for a run, the most important first; none where no rule has anything to say."""
    found = [one for rule in _RULES for one in rule(facts)]
    return sorted(found, key=lambda one: _ORDER[one.level])
