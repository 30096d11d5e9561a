"""A pruned model is retrained with a teacher: a whole life of every task, the same bits after a stop, and every teacher
that does not fit refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from taolite.artifacts.bundle import Bundle, read_bundle, weights_hash, write_bundle
from taolite.artifacts.keys import Key
from taolite.cli.words import lines
from taolite.errors import ModelError, PathError, TaoliteError, TrainingError
from taolite.events import BatchDone, EpochDone, Event, silent
from taolite.stages.prune import PruneSettings, prune
from taolite.stages.trained import open_trained
from taolite.stages.training.train import TrainOptions, train
from taolite.tasks.registry import find

from . import classes, conftest, voc_set

KEY = Key("tlt_encode")
CUT = PruneSettings(target=0.3, min_filters=8)
TASKS = ("detectnet", "own", "classification", "ssd")
Write = Callable[..., Path]

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def write(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Write:
    """write(kind, name, epochs=, start=, block=): a spec for the tiny set of that kind, from the weights `start`, with
    `block` in `taolite`."""
    pictures, boxes = tmp_path_factory.mktemp("classes"), tmp_path_factory.mktemp("voc")
    classes.draw_classes(pictures)
    voc_set.draw_set(boxes)

    def written(kind: str, name: str, *, epochs: int = 2, start: Path | None = None, block: str = "") -> Path:
        own = f"taolite {{ {block} }}" if block else ""
        if kind == "classification":
            path = classes.write_spec(pictures, f"{name}.txt", epochs=epochs, pretrained=str(start or ""))
            path.write_text(path.read_text() + own)
        elif kind == "ssd":
            more = f'pretrained_ssd: "{start}"' if start else ""
            path = voc_set.write_spec(boxes, f"{name}.txt", epochs=epochs, more=more)
            path.write_text(path.read_text() + own)
        else:
            model = f'pretrained_model_file: "{start}" load_graph: true' if start else ""
            if kind == "own":
                own = conftest.OWN.rstrip().removesuffix("}") + block + "}"
            path = conftest.write_spec(tiny, f"{kind}_{name}.txt", epochs=epochs, model=model, more=own)
        return path

    return written


def of(kind: str) -> str:
    return "detectnet" if kind == "own" else kind


def run(kind: str, spec: Path, results: Path, hear: Callable[[Event], None] = silent, **options: object) -> Bundle:
    """Train in this process; the finished model."""
    settings = TrainOptions(**{"precision": "fp32", "workers": 1, **options})  # type: ignore[arg-type]
    experiment = find(of(kind)).read(spec).model
    return read_bundle(train(experiment, results, name="m", key=KEY, options=settings, listener=hear).weights, key=KEY)


class Life:
    """A trained model, and the pruned one that was made of it."""

    def __init__(self, kind: str, root: Path, write: Write) -> None:
        self.kind = kind
        self.root = root
        self.parent = root / "trained" / "weights" / "m.tlt"
        self.pruned = root / "pruned" / "m.tlt"
        run(kind, write(kind, "train", epochs=1), root / "trained")
        prune(open_trained(self.parent, key=KEY), self.pruned, key=KEY, settings=CUT)


@pytest.fixture(scope="module")
def lives(write: Write, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Life]:
    """The life of a kind, made once."""
    made: dict[str, Life] = {}

    def life(kind: str) -> Life:
        kind = of(kind)
        if kind not in made:
            made[kind] = Life(kind, tmp_path_factory.mktemp(f"life_{kind}"), write)
        return made[kind]

    return life


def losses(results: Path) -> list[dict[str, object]]:
    """The rows of metrics.jsonl, without what depends on the clock."""
    timed = {"images_per_s", "data_wait", "seconds"}
    rows = map(json.loads, (results / "metrics.jsonl").read_text().splitlines())
    return [{name: value for name, value in row.items() if name not in timed} for row in rows]


def lessons(results: Path) -> list[float]:
    """The teacher's part of the cost, epoch by epoch."""
    return [float(str(row["train_teacher"])) for row in losses(results) if "train_teacher" in row]


class CrashError(Exception):
    """Ends a run from its listener, as a crash does: nothing more is saved."""


def crash_in_epoch_2(event: Event) -> None:
    if isinstance(event, EpochDone) and event.epoch == 2:
        raise CrashError


@pytest.mark.parametrize("kind", TASKS)
def test_the_unpruned_model_teaches_the_pruned_one_and_a_crash_changes_no_bit(
    kind: str, lives: Callable[[str], Life], write: Write, tmp_path: Path
):
    life, said = lives(kind), list[str]()
    spec = write(kind, "retrain", start=life.pruned, block="teacher { weight: 0.5 }")

    whole = run(kind, spec, tmp_path / "whole", hear=lambda event: said.extend(line.text for line in lines(event)))
    with pytest.raises(CrashError):
        run(kind, spec, tmp_path / "halves", hear=crash_in_epoch_2, checkpoint_minutes=0.0)
    resumed = run(kind, spec, tmp_path / "halves")

    assert weights_hash(resumed.tensors) == weights_hash(whole.tensors)
    assert losses(tmp_path / "halves") == losses(tmp_path / "whole")
    assert len(lessons(tmp_path / "whole")) == 2
    assert min(lessons(tmp_path / "whole")) > 0
    teacher = weights_hash(read_bundle(life.parent, key=KEY).tensors)
    assert [step.get("teacher") for step in whole.lineage] == [None, None, teacher]
    assert json.loads((tmp_path / "whole" / "manifest.json").read_text())["run"]["teacher"] == teacher
    (line,) = [text for text in said if "teaches" in text]
    temperature = 2 if kind == "classification" else 1
    assert line.startswith(f"{life.parent}: teaches this training (")
    assert line.endswith(f"parameters; weight 0.5, temperature {temperature})")


def test_the_teacher_is_followed_whatever_the_labels_say(lives: Callable[[str], Life], write: Write, tmp_path: Path):
    life = lives("classification")
    block = f'teacher {{ model: "{life.parent}" weight: 1000 }}'
    costs: list[float] = []

    def hear(event: Event) -> None:
        if isinstance(event, BatchDone) and event.epoch is not None:
            costs.append(event.values["teacher"])

    run("classification", write("classification", "far", start=life.pruned, block=block), tmp_path / "run", hear=hear)

    assert np.mean(costs[-3:]) < 0.8 * np.mean(costs[:3])


def test_a_teacher_computes_in_the_precision_of_the_run(lives: Callable[[str], Life], write: Write, tmp_path: Path):
    life = lives("ssd")

    run(
        "ssd",
        write("ssd", "bf16", epochs=1, start=life.pruned, block="teacher { }"),
        tmp_path / "run",
        precision="bf16",
    )

    assert min(lessons(tmp_path / "run")) > 0


def test_a_run_does_not_go_on_with_another_teacher(lives: Callable[[str], Life], write: Write, tmp_path: Path):
    life = lives("classification")
    teacher = tmp_path / "teacher.tlt"
    parent = read_bundle(life.parent, key=KEY)
    write_bundle(teacher, parent, key=KEY)
    spec = write("classification", "swapped", epochs=1, start=life.pruned, block=f'teacher {{ model: "{teacher}" }}')
    run("classification", spec, tmp_path / "run")
    changed = {name: value + 1 if name.endswith("bias") else value for name, value in parent.tensors.items()}
    write_bundle(teacher, replace(parent, tensors=changed), key=KEY)

    with pytest.raises(TrainingError) as caught:
        run("classification", spec, tmp_path / "run")

    was, now = (weights_hash(tensors)[:12] for tensors in (parent.tensors, changed))
    assert f"this folder holds another run: its teacher was {was} and is {now}. " in str(caught.value)


def refused(kind: str, spec: Path, results: Path) -> TaoliteError:
    with pytest.raises(TaoliteError) as caught:
        run(kind, spec, results)
    assert not results.exists()
    return caught.value


def test_a_parent_that_was_sealed_again_is_known_by_its_weights(
    lives: Callable[[str], Life], write: Write, tmp_path: Path
):
    life = lives("classification")
    pruned, parent = tmp_path / "a" / "m.tlt", tmp_path / "b" / "m.tlt"
    write_bundle(parent, read_bundle(life.parent, key=KEY), key=KEY)
    prune(open_trained(parent, key=KEY), pruned, key=KEY, settings=CUT)
    write_bundle(parent, read_bundle(life.parent, key=KEY), key=KEY)  # other bytes: salt and nonces are new

    run(
        "classification",
        write("classification", "sealed", epochs=1, start=pruned, block="teacher { }"),
        tmp_path / "run",
    )


def test_a_parent_is_found_from_the_folder_as_it_was_named_whatever_it_links_to(
    lives: Callable[[str], Life], write: Write, tmp_path: Path
):
    life = lives("classification")
    (tmp_path / "other_disk" / "deep").mkdir(parents=True)
    (tmp_path / "cut").symlink_to(tmp_path / "other_disk" / "deep")
    parent, pruned = tmp_path / "big.tlt", tmp_path / "cut" / "m.tlt"
    write_bundle(parent, read_bundle(life.parent, key=KEY), key=KEY)
    prune(open_trained(parent, key=KEY), pruned, key=KEY, settings=CUT)

    assert read_bundle(pruned, key=KEY).lineage[-1]["parent_file"] == "../big.tlt"
    run(
        "classification", write("classification", "link", epochs=1, start=pruned, block="teacher { }"), tmp_path / "run"
    )


def test_a_parent_that_is_gone_or_another_model_is_named_with_the_way_out(
    lives: Callable[[str], Life], write: Write, tmp_path: Path
):
    life = lives("classification")
    pruned = tmp_path / "pruned.tlt"
    bundle = read_bundle(life.pruned, key=KEY)
    write_bundle(pruned, bundle, key=KEY)  # moved away from its parent
    spec = write("classification", "moved", start=pruned, block='teacher { model: "parent" }')
    digest = str(bundle.lineage[-1]["parent"])[:12]

    gone = refused("classification", spec, tmp_path / "run")
    parent = tmp_path.parent / "trained/weights/m.tlt"  # as from the folder that it was pruned into
    parent.parent.mkdir(parents=True, exist_ok=True)
    write_bundle(parent, bundle, key=KEY)
    other = refused("classification", spec, tmp_path / "run")

    assert isinstance(gone, PathError)
    way_out = "Name the teacher in taolite.teacher.model"
    assert str(gone) == f"{parent}: no such file; {pruned} was pruned from it (hash {digest}). {way_out}"
    assert isinstance(other, ModelError)
    found = str(other).partition("(hash ")[2][:12]
    assert str(other) == (
        f"{parent}: this is not the model that {pruned} was pruned from (hash {found}, recorded {digest}). {way_out}"
    )
    assert found != digest


def test_a_model_pruned_by_an_earlier_version_says_that_its_parent_is_not_recorded(
    lives: Callable[[str], Life], write: Write, tmp_path: Path
):
    bundle = read_bundle(lives("classification").pruned, key=KEY)
    *before, cut = bundle.lineage
    known = {name: value for name, value in cut.items() if not name.startswith("parent_")}
    pruned = tmp_path / "pruned.tlt"
    write_bundle(pruned, replace(bundle, lineage=(*before, known)), key=KEY)

    error = refused(
        "classification", write("classification", "old", start=pruned, block="teacher { }"), tmp_path / "run"
    )

    assert str(error) == (
        f"{pruned}: an earlier taolite pruned this model and did not record the file. "
        "Name the teacher in taolite.teacher.model"
    )


def test_a_run_that_begins_with_no_pruned_model_has_no_parent(write: Write, tmp_path: Path):
    spec = write("detectnet", "orphan", block="teacher { }")

    error = refused("detectnet", spec, tmp_path / "run")

    assert str(error) == (
        f"{spec}: taolite.teacher names no model, and training does not start from a pruned one, whose parent it would "
        "be. Name the teacher in taolite.teacher.model"
    )


WAY_OUT = "Name another model in taolite.teacher.model, or leave the block teacher out"


def test_a_teacher_of_another_task_or_other_classes_is_refused(
    lives: Callable[[str], Life], write: Write, tmp_path: Path
):
    other, own = lives("ssd").parent, lives("classification").parent
    renamed = tmp_path / "renamed.tlt"
    write_bundle(renamed, replace(read_bundle(own, key=KEY), classes=("a", "b", "c")), key=KEY)
    specs = [
        write("classification", f"s{i}", block=f'teacher {{ model: "{m}" }}') for i, m in enumerate((other, renamed))
    ]

    of_another_task, of_other_classes = (refused("classification", spec, tmp_path / "run") for spec in specs)

    assert str(of_another_task).startswith(f"{other}: this is a model for SSD, and this command takes those for ")
    assert str(of_other_classes) == (
        f"{renamed} and {specs[1]} do not belong together: the model finds 3 classes (a, b, c) and the spec has "
        f"3 classes (across, checked, down). {WAY_OUT}"
    )


@pytest.mark.parametrize(
    ("kind", "change", "why"),
    [
        (
            "detectnet",
            lambda one: replace(one, decoding={**one.decoding, "scale": 10.0}),
            "the scale of its boxes is 10.0 and the spec's is 35.0",
        ),
        (
            "classification",
            lambda one: replace(one, architecture={**one.architecture, "activation": "sigmoid"}),
            "it gives a picture any number of classes and the spec one class",
        ),
        (
            "ssd",
            lambda one: replace(one, architecture=_other_anchors(one.architecture)),
            "its anchors are not those of the spec",
        ),
    ],
)
def test_a_teacher_whose_outputs_mean_something_else_is_refused(
    kind: str,
    change: Callable[[Bundle], Bundle],
    why: str,
    lives: Callable[[str], Life],
    write: Write,
    tmp_path: Path,
):
    teacher = tmp_path / "teacher.tlt"
    write_bundle(teacher, change(read_bundle(lives(kind).parent, key=KEY)), key=KEY)
    spec = write(kind, "strange", block=f'teacher {{ model: "{teacher}" }}')

    error = refused(kind, spec, tmp_path / "run")

    assert str(error) == f"{teacher}: this model cannot teach {spec}: {why}. {WAY_OUT}"


def _other_anchors(architecture):
    """The same number of anchors, each wider by a tenth."""
    priors = json.loads(json.dumps(architecture["priors"]))
    for level in priors["levels"]:
        level["boxes"] = [[1.1 * width, height] for width, height in level["boxes"]]
    return {**architecture, "priors": priors}
