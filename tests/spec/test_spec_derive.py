"""Whatever field of whatever spec is set: the spec that comes out differs in this field alone, and has its value."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from taolite import spec
from taolite.errors import SpecError
from taolite.spec import SpecModel
from taolite.spec.compare import differences
from taolite.spec.layout import laid_out
from taolite.spec.shape import Shape, shapes
from taolite.spec.text import Block, comments, parse
from taolite.tasks.classification.spec import ClassificationSpec
from taolite.tasks.detectnet.spec import DatasetExportSpec, DetectNetSpec, InferenceSpec
from taolite.tasks.ssd.spec import SsdSpec

ROOT = Path(__file__).resolve().parents[2]
TAOS = Path(os.environ.get("TAOLITE_TEST_DATA", ROOT.parent / "shared" / "data")) / "tao_specs"
MODELS: dict[spec.Kind, type[SpecModel]] = {
    spec.Kind.DETECTNET: DetectNetSpec,
    spec.Kind.DETECTNET_INFERENCE: InferenceSpec,
    spec.Kind.DATASET_EXPORT: DatasetExportSpec,
    spec.Kind.CLASSIFICATION: ClassificationSpec,
    spec.Kind.SSD: SsdSpec,
}
SHIPPED = sorted((ROOT / "specs").rglob("*.txt"))
ONE_OF_EACH = [
    ROOT / "specs" / name
    for name in (
        "demo/train.txt", "demo/inference.txt", "demo/tfrecords.txt", "classification/train.txt", "ssd/retrain.txt"
    )
]  # fmt: skip
OTHERS = [path for path in (*SHIPPED, *sorted(TAOS.rglob("*"))) if path not in ONE_OF_EACH and path.is_file()]


NOT_ALONE = {
    # one crop needs the other three
    *(f"augmentation_config.preprocessing.crop_{side}" for side in ("left", "right", "top", "bottom")),
    # the names of classes and objectives are in several places, or are not free
    "cost_function_config.target_classes.name",
    "cost_function_config.target_classes.objectives.name",
    "dataset_config.target_class_mapping",
    "inferencer_config.target_classes",
    # random folds are 2, and folds by sequence more than 2; COCO's are as many as its files
    "coco_config.num_partitions",
    "kitti_config.partition_mode",
    "kitti_config.num_partitions",
    # one that is read; those of one architecture; those that go with the start weights
    "bbox_handler_config.classwise_bbox_handler_config.confidence_model",
    "model_config.torchvision_arch",
    "model_config.n_layers",
    "model_config.freeze_pretrained_layers",
    "model_config.activation.activation_type",
    "ssd_config.pred_num_channels",
    # lists in quotes that the spec does not give: one of each feature map
    "ssd_config.aspect_ratios",
    "ssd_config.steps",
    "ssd_config.offsets",
    "augmentation_config.preprocessing.output_image_width",
    "augmentation_config.preprocessing.output_image_height",
}
"""Fields for which the tests find no valid other value alone: another field has to change with them."""


def read_of(path: Path) -> tuple[str, type[SpecModel], Any] | None:
    """Text, model and reading of a valid spec."""
    if path.suffix not in (".txt", ".cfg", ".prototxt"):
        return None
    kind = spec.identify(path)
    if kind not in MODELS:
        return None
    try:
        return path.read_text(encoding="utf-8-sig"), MODELS[kind], spec.read(path, MODELS[kind])
    except SpecError:
        return None


def fields(model: SpecModel, at: str = "") -> Iterator[tuple[str, Shape, Any]]:
    """Every single value of a spec: its path, its shape and the value."""
    for shape in shapes(type(model)).values():
        value = getattr(model, shape.name)
        path = f"{at}.{shape.spec_name}" if at else shape.spec_name
        if shape.repeats == "list":
            found = [(f"{path}[{place}]", item) for place, item in enumerate(value)]
        elif shape.repeats == "map":
            found = [(f'{path}["{key}"]', item) for key, item in value.items()]
        else:
            found = [(path, value)] if value is not None else []
        for inner, item in found:
            if isinstance(item, SpecModel):
                yield from fields(item, inner)
            else:
                yield inner, shape, item


def others(shape: Shape, value: Any, words: list[str]) -> Iterator[Any]:
    """Other values that may be valid there; `words`: the strings of the spec."""
    if shape.kind == "bool":
        yield not value
    elif shape.choices or shape.enum:
        yield from (choice for choice in shape.choices or list(shape.enum or ()) if choice != value)
    elif shape.kind == "string":
        yield from (word for word in (f"{value}x", *words, *with_other_number(value)) if word != value)
    else:
        step = shape.range.multiple_of or 1
        tries = [value + step, value - step, value * 2, value + 16 * step, 1, 3, 2, 0, 18, 19]
        if shape.kind == "float" or isinstance(value, float):
            tries = [value * 0.75, value * 1.25, *tries, 0.5, 0.25, 0.125]
        for number in tries:
            one = float(number) if shape.kind == "float" else number
            if shape.range.holds(one) and one != value and not (shape.zero_is_default and one == 0):
                yield one


def with_other_number(text: str) -> Iterator[str]:
    """Strings such as "[0.1, 0.5]" with another last number."""
    for change in (lambda one: one * 1.5, lambda one: one + 0.01, lambda one: int(one) + 32):
        yield re.sub(
            r"[0-9]+(?:\.[0-9]+)?(?=[^0-9]*$)", lambda found, change=change: f"{change(float(found[0])):g}", text
        )  # type: ignore[misc]


def spelled(value: Any) -> str:
    """A value on the command line."""
    if isinstance(value, Enum):
        return value.name
    return str(value).lower() if isinstance(value, bool) else str(value) or '""'


def set_each_field(path: Path) -> tuple[int, list[str]]:
    """Set each field of a spec to another value, and compare. Returns the number of fields that were set, and those for
    which no value alone is valid, because another field has to change with them."""
    found = read_of(path)
    if found is None:
        pytest.skip("not a spec that is read")
    text, model, before = found
    every = list(fields(before.model))
    words = sorted({value for _, shape, value in every if shape.kind == "string"})
    done, bound = 0, []
    for name, shape, value in every:
        for other in others(shape, value, words):
            try:
                setting = spec.parse_setting(f"{name}={spelled(other)}")
                new, after = spec.edited(text, model, settings=[setting])
            except SpecError:
                continue
            (one,) = differences(before, after)
            assert (one.path, one.second.value) == (name, other.name if isinstance(other, Enum) else other)
            assert one.second.line is not None
            assert spelled(other) in new.splitlines()[one.second.line - 1]
            assert [line for line in text.splitlines() if "#" in line and line not in new.splitlines()] in (
                [],
                text.splitlines()[one.first.line - 1 : one.first.line] if one.first.line else [],
            )
            assert spec.reads(new, model).model == after.model
            done += 1
            break
        else:
            bound.append(name)
    return done, bound


@pytest.mark.parametrize("path", ONE_OF_EACH, ids=lambda path: "-".join(path.parts[-2:]))
def test_a_field_that_is_set_is_the_one_that_differs(path: Path) -> None:
    done, bound = set_each_field(path)

    assert done > 5
    assert {re.sub(r"\[[^]]*\]", "", name) for name in bound} - NOT_ALONE == set()


@pytest.mark.slow
@pytest.mark.parametrize("path", OTHERS, ids=lambda path: "-".join(path.parts[-2:]))
def test_a_field_of_any_spec_that_is_set_is_the_one_that_differs(path: Path) -> None:
    done, bound = set_each_field(path)

    assert done > 1
    assert {re.sub(r"\[[^]]*\]", "", name) for name in bound} - NOT_ALONE == set()


def test_a_spec_in_the_usual_layout_reads_as_before_and_keeps_its_comments() -> None:
    for path in SHIPPED:
        assert laid_out(path.read_text(), path=path) == path.read_text(), f"run: taolite spec fmt --write {path}"


@pytest.mark.parametrize("folder", ["classification", "detectnet_v2", "detectnet_v2_inference", "ssd", "tfrecords"])
def test_the_layout_of_a_spec_of_others_changes_nothing_that_is_read_and_no_comment(folder: str) -> None:
    if not TAOS.is_dir():
        pytest.skip("the specs of others are not here")
    for path in sorted((TAOS / folder).iterdir()):
        text = path.read_text(encoding="utf-8-sig")
        new = laid_out(text, path=path)
        assert words(new) == words(text), path
        assert [one.strip() for _, one in comments(new)] == [one.strip() for _, one in comments(text)], path
        assert laid_out(new) == new, path


def words(text: str) -> list[Any]:
    """The fields of a text with their values as nested lists; quotes are all the same."""

    def inside(block: Block) -> list[Any]:
        return [
            (
                entry.name,
                inside(value) if isinstance(value, Block) else [one.text.replace("'", '"') for one in value.tokens],
            )
            for entry in block.entries
            for value in entry.values
        ]

    return inside(parse(text).root)


def test_every_setting_that_the_cookbook_shows_is_possible() -> None:
    page = (ROOT / "docs" / "cookbook" / "specs.md").read_text()
    quoted = re.findall(r"--set (?:'([^']*)'|([a-z_][^\s`'$]*=[^\s`'$]*))", page)
    settings = [
        spec.parse_setting(one or other) for one, other in quoted if "num_epoch=" not in other and "={" not in one
    ]
    text = (ROOT / "taolite" / "tasks" / "detectnet" / "default_spec.txt").read_text()

    start = spec.parse_setting("model_config.pretrained_model_file=w.tlt")  # freeze_blocks are blocks of a model
    text = spec.edited(text, DetectNetSpec, settings=[start])[0]
    changed = [spec.edited(text, DetectNetSpec, settings=[setting])[0] != text for setting in settings]

    assert len(changed) >= 13
    assert sum(changed) >= 10  # some values are those that the spec has
