"""`--set PATH=VALUE`: one field of a spec gets another value.

PATH    field names as in the spec, with dots between them: training_config.num_epochs. A map takes its key, a repeated
        field an index (from 0) or the `name` of the element: target_class_config[car], target_classes[0], or shorter
        target_class_config.car. A block that is not in the spec is added to it.
VALUE   a number, true or false, the name of an enum's value, a string with or without quotes, [A, B] for a repeated
        field, { ... } for a whole block, and nothing at all to take the field out of the spec.

The text of the spec is changed in place, so comments and layout stay. It is then read as any spec is, with all the
checks; a problem of a value that was set is reported as that of `--set PATH=VALUE`, any other at its line in the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from taolite.errors import SpecProblem, UsageError
from taolite.spec.draft import Draft
from taolite.spec.edit import EditError, Step, edit
from taolite.spec.model import SpecModel

__all__ = ["Setting", "applied", "in_force", "parse_setting", "settings_of"]


@dataclass(frozen=True)
class Setting:
    """One PATH=VALUE. word: as given; steps: of the path; value: "" takes the field out."""

    word: str
    steps: tuple[Step, ...]
    value: str


_STEP = re.compile(r"""(?P<name>[A-Za-z_][0-9A-Za-z_-]*)|\[(?:"(?P<quoted>[^"]*)"|(?P<key>[^\]"]+))\]""")


def parse_setting(word: str) -> Setting:
    """Parse PATH=VALUE. Raises UsageError where it has no `=` or its path is not one.

    >>> parse_setting("cost_function_config.target_classes[car].class_weight=2").steps[1:3]
    (Step(text='target_classes', is_key=False), Step(text='car', is_key=True))
    """
    steps: list[Step] = []
    at = 0
    while True:
        match = _STEP.match(word, at)
        if match is None or (match["name"] is None and not steps):
            break
        quoted = match["quoted"]
        steps.append(Step(match["name"] or (match["key"] if quoted is None else quoted), match["name"] is None))
        at = match.end()
        if word[at : at + 1] == "=":
            return Setting(word, tuple(steps), word[at + 1 :].strip())
        if word[at : at + 1] == ".":
            at += 1
        elif word[at : at + 1] != "[":
            break
    if not steps or at >= len(word):
        raise UsageError(f"--set {word}: needs PATH=VALUE, as in training_config.num_epochs=40")
    found = f"the path cannot be read at `{word[at:]}`"
    raise UsageError(f"--set {word}: {found}; it has field names, dots and [KEY], as in a.b[car].c=40")


def applied(draft: Draft, model: type[SpecModel], settings: Sequence[Setting]) -> list[SpecProblem]:
    """Make the changes in `draft`, in their order. Returns the problems of those that are not possible; these leave the
    draft as it was. The text of the draft has to be free of mistakes in its grammar."""
    problems = []
    for number, setting in enumerate(settings):
        before = draft.copy()
        try:
            edit(draft, model, setting.steps, setting.value, number)
        except EditError as error:
            draft.__dict__.update(before.__dict__)
            problems.append(SpecProblem(0, 0, f"--set {setting.word}: {error}"))
    return problems


_IN_FORCE: ContextVar[tuple[Sequence[Setting], set[str]]] = ContextVar("in_force")


@contextmanager
def in_force(settings: Sequence[Setting]) -> Iterator[set[str]]:
    """A `with` block in which every spec file that `spec.read` and `spec.load` open has `settings`. Its value are the
    specs that were read, by name."""
    read: set[str] = set()
    token = _IN_FORCE.set((settings, read))
    try:
        yield read
    finally:
        _IN_FORCE.reset(token)


def settings_of(path: str) -> Sequence[Setting]:
    """The settings in force for the spec `path`, which is read now."""
    settings, read = _IN_FORCE.get(((), set()))
    read.add(path)
    return settings
