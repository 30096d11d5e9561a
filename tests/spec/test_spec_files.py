"""Files that are read as specs: what is no spec is named, what is hostile is bounded, and nothing else is raised."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest

from taolite import spec
from taolite.errors import PathError, SpecError
from taolite.spec import Float, Int, IntOrFloat, SpecModel, UInt, check, field
from taolite.spec.model import Finding

SPECS = Path(__file__).parents[2] / "specs"


class Numbers(SpecModel):
    count: UInt = field(0, doc="Count.")
    offset: Int = field(0, doc="Offset.")
    width: UInt = field(32, gt=0, multiple_of=16, doc="Width.")
    layers: Literal[18, 34] = field(18, doc="Layers.")
    share: Float = field(0.0, ge=0, le=1, doc="Share.")
    either: IntOrFloat = field(0, doc="Either.")
    name: str = field("", doc="Name.")
    names: tuple[str, ...] = field((), doc="Names.")


def refusal(path: Path, model: type[SpecModel] = Numbers) -> str:
    with pytest.raises(PathError) as caught:
        spec.read(path, model)
    with pytest.raises(PathError) as of_kind:
        spec.identify(path)
    assert str(of_kind.value) == str(caught.value)
    return str(caught.value).removeprefix(f"{path}: ")


def problems(text: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        spec.loads(text, Numbers)
    return [problem.text for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "the file is empty; a spec has blocks such as `model_config { }`"),
        (b" \r\n\t", "the file is empty; a spec has blocks such as `model_config { }`"),
        (b"count: 1\xff", "not a text file (byte 8 is not UTF-8); a spec is plain text"),
        (b"#" * (1 << 21) + b"\n", "larger than 2 MiB, and so not a spec; check the path"),
    ],
)
def test_a_file_that_is_no_spec_is_named(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "train.txt").write_bytes(data)

    assert refusal(tmp_path / "train.txt") == said


def test_an_endless_file_and_a_name_that_no_file_has_are_refused() -> None:
    assert refusal(Path("/dev/zero")) == "larger than 2 MiB, and so not a spec; check the path"
    assert refusal(Path("a\0b")) == "the spec cannot be read (embedded null byte)"
    assert refusal(Path("a" * 300)) == "the spec cannot be read (File name too long)"


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_lines_end_as_on_any_system(tmp_path: Path, ending: str) -> None:
    text = "# numbers\ncount: 3\n# and\nwidht: 16\n"
    (tmp_path / "train.txt").write_bytes(text.replace("\n", ending).encode())

    with pytest.raises(SpecError) as caught:
        spec.read(tmp_path / "train.txt", Numbers)

    assert str(caught.value).splitlines() == [
        f"{tmp_path}/train.txt: 1 problem",
        "  line 4:1: widht is not a field here; did you mean `width`?",
    ]


def test_a_spec_comes_through_a_pipe() -> None:
    read, write = os.pipe()
    os.write(write, b"count: 3")
    os.close(write)

    assert spec.load(f"/dev/fd/{read}", Numbers).count == 3

    os.close(read)


NINES = "9" * 400
SHOWN = f"{'9' * 80}... (400 characters)"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"count: {NINES}", f"count is {SHOWN}; it needs to be from 0 to 4294967295"),
        (f"count: {'9' * 5000}", f"count is {'9' * 80}... (5000 characters); it needs to be from 0 to 4294967295"),
        (f"count: 0x{'f' * 398}", f"count is 0x{'f' * 78}... (400 characters); it needs to be from 0 to 4294967295"),
        (f"count: 0{'7' * 399}", f"count is 0{'7' * 79}... (400 characters); it needs to be from 0 to 4294967295"),
        (f"count: -{NINES}", f"count is -{'9' * 79}... (401 characters); it needs to be 0 or more"),
        (f"offset: -{NINES}", f"offset is -{'9' * 79}... (401 characters); it needs to be -2147483648 or more"),
        (f"layers: {NINES}", f"layers is {SHOWN}; it needs to be 18 or 34"),
        (f"share: {NINES}", f"share is {SHOWN}; it needs to be a finite number"),
        (f"either: {NINES}", f"either is {SHOWN}; it needs to be a finite number"),
        (f"either: {'9' * 5000}", f"either is {'9' * 80}... (5000 characters); it needs to be a finite number"),
        (f"name: {NINES}", f"name is {SHOWN}; it needs to be a string in quotes"),
        (f'count: "{NINES}"', f'count is the string "{"9" * 79}... (402 characters); it needs to be a whole number'),
        (f'name: "{"x" * 70_000}"', "name has 70000 bytes; it needs to have 65536 or fewer"),
        (f'name: "{"x" * 40_000}" "{"x" * 40_000}"', "name has 80000 bytes; it needs to have 65536 or fewer"),
        (f'names: ["a", "{"x" * 70_000}"]', "names has 70000 bytes; it needs to have 65536 or fewer"),
        (
            f"{'n' * 300}: 1",
            f"found `{'n' * 80}... (300 characters)`; the name of a field is needed here",
        ),
    ],
)
def test_numbers_and_words_without_measure_are_refused_in_a_short_message(text: str, said: str) -> None:
    assert problems(text) == [said]


def test_a_whole_number_that_takes_more_than_18_digits_is_a_float_where_either_may_stand() -> None:
    made = spec.loads("either: 10000000000000000000", Numbers)

    assert made.either == 1e19
    assert isinstance(made.either, float)


def test_the_longest_string_is_read() -> None:
    assert len(spec.loads(f'name: "{"x" * 65_536}"', Numbers).name) == 65_536


def test_a_width_without_measure_is_told_what_a_width_is() -> None:
    (said,) = problems(f"width: {NINES}")

    assert said.startswith(f"width is {SHOWN}; it needs to be a multiple of 16, ")


@pytest.mark.parametrize("text", ["} " * 50_000, "width{} " * 50_000, "a:1 " * 50_000, "names: [" * 20_000])
def test_a_file_of_mistakes_is_told_in_200_lines_and_in_time(text: str) -> None:
    started = time.process_time()

    with pytest.raises(SpecError) as caught:
        spec.loads(text, Numbers)

    lines = str(caught.value).splitlines()
    count = len(caught.value.problems)
    assert len(lines) <= 202
    if count > 200:
        assert lines[-1] == f"  and {count - 200} more; fix these first"
    assert time.process_time() - started < 20


def test_what_a_models_own_check_trips_over_is_a_problem_of_the_spec() -> None:
    class Careless(SpecModel):
        count: UInt = field(0, doc="Count.")

        @check("count")
        def _halves(self) -> Iterator[Finding]:
            if 1 // self.count:
                yield Finding(("count",), "is 1")

    with pytest.raises(SpecError) as caught:
        spec.loads("count: 0", Careless, path="train.txt")

    assert str(caught.value).splitlines() == [
        "train.txt: 1 problem",
        "  cannot be read (integer division or modulo by zero); look for unusual values in it",
    ]
