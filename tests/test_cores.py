"""Cores that this process may use, by files of the system that a test writes."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import pytest
import torch

from taolite import cores
from taolite.cli import processes
from taolite.errors import UsageError


@pytest.fixture
def system(tmp_path: Path) -> dict[str, Path]:
    """A process in the group /box of a machine without limits."""
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "proc" / "self" / "cgroup").write_text("0::/box/inner\n")
    (tmp_path / "groups" / "box" / "inner").mkdir(parents=True)
    return {"proc": tmp_path / "proc", "groups": tmp_path / "groups"}


def test_the_quota_is_the_least_of_the_groups_a_process_is_in(system):
    box = system["groups"] / "box"

    assert cores.quota(**system) is None
    (box / "inner" / "cpu.max").write_text("max 100000\n")
    assert cores.quota(**system) is None
    (box / "cpu.max").write_text("250000 100000\n")
    (box / "inner" / "cpu.max").write_text("400000 100000\n")
    assert cores.quota(**system) == 2.5


def test_the_older_control_groups_name_a_quota_and_its_period(system):
    cpu = system["groups"] / "cpu"
    cpu.mkdir()
    (cpu / "cpu.cfs_period_us").write_text("100000\n")

    (cpu / "cpu.cfs_quota_us").write_text("-1\n")
    assert cores.quota(**system) is None
    (cpu / "cpu.cfs_quota_us").write_text("150000\n")
    assert cores.quota(**system) == 1.5


@pytest.mark.parametrize(("share", "expected"), [(None, 8), (2.0, 2), (0.2, 1), (64.0, 8)])
def test_usable_cores_are_those_of_the_affinity_or_of_the_quota(monkeypatch, share, expected):
    monkeypatch.setattr(cores, "allowed", lambda: 8)
    monkeypatch.setattr(cores, "quota", lambda: share)

    assert cores.usable() == expected


@pytest.mark.parametrize(
    ("given", "before", "expected"),
    [
        ({"threads": 3}, None, "3"),
        ({"threads": 3}, "5", "3"),
        ({"threads": None}, "5", "5"),
        ({"threads": None}, None, "2"),
        ({}, None, "2"),
        ({"threads": None, "gpus": 2}, None, None),  # `taolite.dist.launch` divides the cores among the processes
        ({"threads": 3, "gpus": 2}, None, "3"),
    ],
)
def test_threads_are_those_asked_for_or_no_more_than_the_quota(monkeypatch, given, before, expected):
    monkeypatch.setattr(processes, "allowed", lambda: 8)
    monkeypatch.setattr(processes, "usable", lambda: 2)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if before:
        monkeypatch.setenv("OMP_NUM_THREADS", before)
    count = torch.get_num_threads()

    try:
        processes.set_threads(argparse.Namespace(**given))

        assert os.environ.get("OMP_NUM_THREADS") == expected
        assert torch.get_num_threads() == (count if expected == before else int(expected or count))
    finally:
        torch.set_num_threads(count)
        os.environ.pop("OMP_NUM_THREADS", None)


def test_no_threads_at_all_is_refused():
    with pytest.raises(UsageError, match="--threads 0: needs to be 1 or more"):
        processes.set_threads(argparse.Namespace(threads=0))
