"""Every reader of foreign bytes, in a process of its own: a few mutations of each always, many of them with `-m slow`;
and the mutations that once broke one."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from .campaign import STILL_S, campaign, read_cases, table, wanted
from .child import outcome
from .target import GROUPS
from .targets import CHECKS, TARGETS

CORPUS = Path(__file__).parent / "corpus"
FEW = {"containers": 400, "specs and labels": 60, "pictures": 300, "weights": 40, "records, caches and models": 60}
MOST = {group: max(row.share for row in TARGETS.values() if row.group == group) for group in GROUPS}
COUNTS = {row.name: FEW[row.group] * row.share // MOST[row.group] for row in TARGETS.values()}

Figures = dict[str, dict[str, Any]]


def figures(counts: dict[str, int]) -> Figures:
    """The sums of what the children say of so many cases of each target."""
    sums: Figures = {name: {"next": 0, "counts": Counter(), "findings": []} for name in counts}
    for line in read_cases([(name, 0, count) for name, count in counts.items()]):
        one = sums[line["target"]]
        one["next"] = line["next"]
        one["counts"].update(line["counts"])
        one["findings"] += line["findings"]
    return sums


@pytest.fixture(scope="module")
def few() -> Figures:
    """A few cases of every target; one process for all of them."""
    return figures(COUNTS)


@pytest.mark.parametrize("target", TARGETS)
def test_mutations_end_in_a_result_or_in_an_error_of_ours(few: Figures, target: str):
    assert few[target]["findings"] == []
    assert few[target]["next"] == COUNTS[target]


def test_the_mutations_of_containers_reach_every_step_of_their_reader(few: Figures):
    ends = few["bundle"]["counts"]

    assert set(ends) >= {"read", "DamagedError", "WrongKeyError", "TruncatedError"}
    assert ends["read"] > 20


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
def test_a_tenth_of_the_campaign_finds_nothing(group: str):
    found = figures({name: count for name, count in wanted(0.1).items() if TARGETS[name].group == group})

    assert {name: one["findings"] for name, one in found.items() if one["findings"]} == {}


@pytest.mark.parametrize("path", sorted(CORPUS.iterdir()), ids=lambda path: path.name)
def test_what_once_broke_a_reader_does_not_any_more(tmp_path: Path, path: Path):
    reader = TARGETS[path.name.partition("--")[0].replace("_", " ")].make(tmp_path)

    assert outcome(reader, path.read_bytes())[1] == ""


@pytest.mark.parametrize(
    ("target", "fault"),
    [
        ("check: ends", "the process ended with -6"),
        ("check: runs", "it took more than"),
        ("check: grows", "memory rose by"),
        ("check: raises", "KeyError: 'x'"),
    ],
)
def test_a_reader_that_fails_so_is_found_and_the_rest_is_still_read(target: str, fault: str):
    lines = list(read_cases([(target, 0, 6), ("mounts", 0, 3)], most_cpu_s=0.5))

    findings = [finding for line in lines for finding in line["findings"]]
    assert [finding["case"] for finding in findings] == [3]
    assert fault in findings[0]["fault"]
    assert [line["next"] for line in lines if line["target"] == target][-1] == 6
    assert lines[-1]["target"] == "mounts"
    assert CHECKS.keys().isdisjoint(TARGETS)
    assert STILL_S > 5


def test_a_campaign_goes_on_where_it_was_stopped_and_sums_up(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    count = wanted(0.002)["mounts"]
    for scale in (0.002, 0.004, 0.004):
        campaign(tmp_path, names=["mounts"], scale=scale)

    state = json.loads((tmp_path / "mounts.json").read_text())
    assert state["next"] == sum(state["counts"].values()) == wanted(0.004)["mounts"] > count
    assert capsys.readouterr().out == ""
    assert [row.split("|")[1:3] for row in table(tmp_path)][2:] == [
        [" mounts ", f" {state['next']} "], [" **records, caches and models** ", f" {state['next']} "]
    ]  # fmt: skip


def test_a_case_is_the_same_wherever_it_is_made(tmp_path: Path):
    from .child import case_of

    def make(name: str) -> Callable[[], bytes]:
        return lambda: case_of(TARGETS[name], 17)

    for name in ("bundle", "spec", "picture", "weights hdf5", "tar", "index"):
        assert make(name)() == make(name)(), name
