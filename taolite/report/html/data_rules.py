"""Rules about the data: labels that are missing, weak classes and why, classes and labels that do not fit, and whether
the validation set is large enough."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from taolite.report.html.facts import ClassFacts, RunFacts, number, table, tables
from taolite.report.html.rule import Advice, chance
from taolite.wording import counted

__all__ = ["class_labels", "missing_labels", "validation_size", "weak_classes"]

FEW_LABELS = 100  # objects of a class in training; fewer are few
RARE = 0.2  # of the most frequent class's labels; a class below is rare
SMALL_SIDE = 24  # pixels of the input; boxes of a median below are small
SHARE = 0.10  # of a class's objects or finds that are missed, invented or confused
GOOD = 0.95  # a class with this score needs no advice
NEAR = 0.02  # classes this near to the weakest are looked at, too
FEW_JUDGED = 50  # objects of a class in validation
FEW_PICTURES = 100  # in validation
UNLABELLED = 3  # finds for each label, in a picture whose labels may be missing


def missing_labels(facts: RunFacts) -> Iterator[Advice]:
    """Pictures with far more finds than labels."""
    if not facts.is_detector:
        return
    rows = []
    for one in tables((facts.record.scorecard or {}).get("worst")):
        finds, objects, right = (number(one.get(name)) or 0 for name in ("finds", "objects", "right"))
        if finds >= UNLABELLED * max(objects, 1) and finds - right >= UNLABELLED:
            rows.append((str(one.get("image", "")).rpartition("/")[2], int(objects), int(finds)))
    if not rows:
        return
    shown = ", ".join(f"{name} ({counted(objects, 'label')}, {finds} finds)" for name, objects, finds in rows[:5])
    each = "this picture" if len(rows) == 1 else "these pictures"
    yield Advice(
        "act",
        f"Labels may be missing in {counted(len(rows), 'validation picture')}",
        (
            f"The model finds at least {UNLABELLED} times as many objects as are labelled in: {shown}.",
            "A label that is missing makes a right find count as wrong, and teaches the network to miss such objects.",
        ),
        (
            f"Look at {each} below. Where the finds are right, add the labels: in the validation pictures, and in the "
            "training pictures, which were probably labelled in the same way.",
            "Then convert the data again, and train again.",
        ),
    )


def weak_classes(facts: RunFacts) -> Iterator[Advice]:
    """The weakest classes, and why they are weak."""
    known = [one for one in facts.classes if one.score is not None]
    if not known or facts.record.score == 0:
        return
    lowest = min(one.score or 0.0 for one in known)
    if lowest >= GOOD:
        return
    weak = sorted((one for one in known if (one.score or 0.0) <= lowest + NEAR), key=lambda one: one.score or 0.0)
    for place, one in enumerate(weak[:3]):
        reasons = list(_reasons(one, known, "object" if facts.is_detector else "picture"))
        title = f"{one.name} is the weakest class: {facts.words.of_class_long} {one.score:.3f}"
        if len(known) == 1:
            title = f"What {one.name} loses: {facts.words.of_class_long} {one.score:.3f}"
        elif place:
            title = f"{one.name} is nearly as weak: {facts.words.of_class_long} {one.score:.3f}"
        if not reasons:
            seen = ("None of this page's rules explains it: labels, sizes and mistakes are like those of the others.",)
            reasons = [(seen[0], "Look at its pictures below, at the place of the boxes above all.")]
        yield Advice("act", title, tuple(why for why, _ in reasons), tuple(dict.fromkeys(do for _, do in reasons)))


def _reasons(one: ClassFacts, known: Sequence[ClassFacts], noun: str) -> Iterator[tuple[str, str]]:
    """(what was seen, what to do) of a weak class among all that are known. noun: what is counted."""
    most = max((other.labels or 0 for other in known), default=0)
    if one.labels is not None and (one.labels < FEW_LABELS or _is_rare(one, known, most)):
        beside = f"; the most frequent class has {most}" if most > one.labels else ""
        yield (
            f"It has {counted(one.labels, 'label')} in training{beside}.",
            f"Label more pictures with {one.name}: {max(FEW_LABELS, 2 * one.labels)} labels or more.",
        )
    if one.side is not None and one.side < SMALL_SIDE:
        yield (
            f"Half of its objects are smaller than {one.side} x {one.side} pixels in the network's input.",
            "Train with a larger input, or cut the photos into parts.",
        )
    judged, finds = one.judged or 0, one.finds or 0
    for name, count in one.confused[:2]:
        if count >= SHARE * judged:
            yield (
                f"{count} of its {counted(judged, f'validation {noun}')} {'was' if count == 1 else 'were'} taken for "
                f"{name}.",
                f"Check that {one.name} and {name} are labelled by one rule, and add pictures where they differ "
                "clearly.",
            )
    if one.missed and one.missed >= SHARE * judged:
        yield (
            f"{one.missed} of its {counted(judged, 'validation object')} are missed at the best threshold.",
            f"Look at the missed {one.name} below (dashed frames): what do they have in common that the training "
            "pictures lack? Add such pictures.",
        )
    if one.invented and one.invented >= SHARE * finds:
        yield (
            f"{one.invented} of its {counted(finds, 'find')} are on places without a label.",
            f"Look at the wrong finds of {one.name} below (thick frames): real objects need labels; other things need "
            "training pictures that show them without a label.",
        )


def _is_rare(one: ClassFacts, known: Sequence[ClassFacts], most: int) -> bool:
    """Whether a class has few labels beside the others, and none that is found well has about as few."""
    labels = one.labels or 0
    well = any((other.score or 0.0) >= GOOD and (other.labels or 0) <= 1.25 * labels for other in known)
    return labels < RARE * most and not well


def class_labels(facts: RunFacts) -> Iterator[Advice]:
    """Classes without labels, labels without a class, and labels that are not trained."""
    train, val = facts.split("train"), facts.split("val")
    without = [one.name for one in facts.classes if one.labels == 0]
    if without and train:
        yield Advice(
            "act",
            f"No training label of {', '.join(without)}",
            ("A class without a label cannot be learned.",),
            ("Add pictures of it, correct the class mapping of the spec, or take the class out of the spec.",),
        )
    unseen = [one.name for one in facts.classes if one.labels and one.judged == 0]
    if unseen:
        yield Advice(
            "check",
            f"No validation label of {', '.join(unseen)}",
            ("Nobody knows how well this class is found: the score leaves it out, or counts it as 0.",),
            ("Move some pictures of it to the validation set.",),
        )
    unused = {name: int(number(count) or 0) for name, count in table(train.get("unused")).items()}
    if unused:
        shown = _first_of(unused)
        yield Advice(
            "check",
            f"{counted(sum(unused.values()), 'training label')} belong to no class",
            (f"The spec maps these names to no class: {shown}.",),
            ("If they are objects of your classes, add them to the class mapping of the spec. Else nothing is lost.",),
        )
    small = {name: int(number(count) or 0) for name, count in table(train.get("left_out")).items() if number(count)}
    if small:
        shown = _first_of(small)
        yield Advice(
            "check",
            f"{counted(sum(small.values()), 'training label')} are not trained",
            (f"Their boxes are too small in the network's input, or outside of it: {shown}.",),
            ("Train with a larger input, or allow smaller boxes in the spec.",),
        )
    pictures, empty = number(train.get("pictures")) or 0, number(train.get("empty")) or 0
    if val and pictures and empty > 0.3 * pictures:
        yield Advice(
            "check",
            f"{empty:.0f} of {pictures:.0f} training pictures have no label",
            ("Pictures without an object teach what is no object. Many of them may be pictures nobody labelled.",),
            ("Look at some of them: an object without a label teaches the network to miss it.",),
        )


def validation_size(facts: RunFacts) -> Iterator[Advice]:
    """The validation set is too small to tell small differences from chance."""
    judged = [one for one in facts.classes if one.judged]
    images = facts.images or 0
    few = [one for one in judged if (one.judged or 0) < FEW_JUDGED]
    if not judged or (images >= FEW_PICTURES and not few):
        return
    error = chance(judged)
    counts = ", ".join(f"{one.name} {one.judged}" for one in sorted(judged, key=lambda one: one.judged or 0)[:6])
    yield Advice(
        "check",
        f"The validation set is small: differences below about {max(error, 0.1):.1f} points are chance",
        (
            f"It has {counted(images, 'picture')}; labelled objects by class: {counts}.",
            "The number is twice the standard error of the recall, averaged over the classes. It is rough.",
        ),
        (f"Do not choose between models by less than that. Label {FEW_PICTURES} validation pictures or more, with "
         f"{FEW_JUDGED} objects of each class or more.",),
    )  # fmt: skip


def _first_of(counts: Mapping[str, int]) -> str:
    """The first six names, each with its count."""
    return ", ".join(f"{name} ({count})" for name, count in list(counts.items())[:6])
