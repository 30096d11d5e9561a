"""`taolite experiment sweep`: which runs it has, and that they are trained, skipped and compared."""

from __future__ import annotations

import json
import os
import subprocess
from argparse import Namespace
from pathlib import Path

import pytest

from taolite.cli.main import main
from taolite.cli.own.experiment_sweep import slurm_script
from taolite.errors import UsageError
from taolite.stages.experiments.grid import grid_of
from tests.stages.classes import draw_classes, write_spec

KEY = "tlt_encode"


def test_a_sweep_is_the_product_of_the_values_each_run_named_by_its_own():
    points = grid_of(["a.rate={0.1,0.01}", "a.b.kind={L1,L2}", "seed=3"])

    assert [(point.name, point.settings) for point in points] == [
        ("rate-0.1_kind-L1_seed-3", ["a.rate=0.1", "a.b.kind=L1", "seed=3"]),
        ("rate-0.1_kind-L2_seed-3", ["a.rate=0.1", "a.b.kind=L2", "seed=3"]),
        ("rate-0.01_kind-L1_seed-3", ["a.rate=0.01", "a.b.kind=L1", "seed=3"]),
        ("rate-0.01_kind-L2_seed-3", ["a.rate=0.01", "a.b.kind=L2", "seed=3"]),
    ]


def test_names_of_folders_hold_no_path_and_are_not_the_same_twice():
    points = grid_of(['train.path={"../a b","../a/b"}', "val.path=c"])

    assert [point.name for point in points] == ["train.path-..-a-b_val.path-c", "train.path-..-a-b_val.path-c-2"]


def test_a_whole_block_is_one_value():
    assert [point.settings for point in grid_of(["a.optimizer={ sgd: 3 }"])] == [["a.optimizer={ sgd: 3 }"]]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["a.rate"], "--set a.rate: needs PATH=VALUE, or PATH={VALUE,VALUE} for several"),
        (["a=1", "a={2,3}"], "--set a={2,3}: a is set twice; give all its values in one --set, as {A,B}"),
        (["a={1,,2}"], "--set a={1,,2}: a value between the commas is missing"),
        (["a={1,1}"], "--set a={1,1}: a value is there twice"),
        ([], "a sweep needs a field to change: --set PATH={VALUE,VALUE}"),
        (
            [f"{name}={{{','.join(map(str, range(101)))}}}" for name in "ab"],
            "this sweep would have 10,201 runs; 10,000 are the most",
        ),
    ],
)
def test_a_sweep_that_cannot_be_is_told(words, said):
    with pytest.raises(UsageError) as caught:
        grid_of(words)

    assert str(caught.value) == said


def options(**others: object) -> Namespace:
    return Namespace(
        spec=Path("s.txt"), results_dir=Path("out dir"), axes=["a={1,2}"], mount=[], words=["--precision", "fp32"],
        at_once=4, **others,
    )  # fmt: skip


def test_a_slurm_script_trains_one_run_a_job_and_goes_back_into_the_queue(tmp_path):
    (tmp_path / "job.sh").write_text(slurm_script(options(), 2))
    for name, body in {
        "srun": '"$@"',
        "taolite": 'printf "%s\\n" "$@" > words; exit 75',
        "scontrol": 'echo "$@"',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{body}\n")
        (tmp_path / name).chmod(0o755)
    array = {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_JOB_ID": "77", "PATH": f"{tmp_path}:{os.environ['PATH']}"}

    done = subprocess.run(["bash", "job.sh"], cwd=tmp_path, env=array, capture_output=True, text=True, check=False)

    assert "#SBATCH --array=0-1%4" in (tmp_path / "job.sh").read_text().splitlines()
    assert (tmp_path / "words").read_text().splitlines() == [
        *(
            "experiment",
            "sweep",
            "s.txt",
            "-r",
            "out dir",
            "--set",
            "a={1,2}",
            "--only",
            "1",
            "--",
            "--precision",
            "fp32",
        )
    ]
    assert (done.returncode, done.stdout) == (75, "requeue 77_1\n")


def test_the_runs_get_the_key_of_a_key_file_and_not_its_name(tmp_path, monkeypatch):
    draw_classes(tmp_path)
    spec = write_spec(tmp_path, "train.txt", epochs=1)
    (tmp_path / "model.key").write_text("the key\n")
    given = []

    class Finished:
        returncode = 0

        def __init__(self, words, *, env, **others):
            given.append((words.count("-k"), env["TAOLITE_KEY"]))

        def poll(self):
            return 0

    monkeypatch.setattr(subprocess, "Popen", Finished)
    words = ["experiment", "sweep", str(spec), "--set", "a={1,2}", "-r", str(tmp_path / "s")]

    assert main([*words, "-k", f"@{tmp_path / 'model.key'}"]) == 0
    assert given == [(0, "the key")] * 2


@pytest.mark.slow
def test_runs_are_trained_two_at_once_then_skipped_and_ranked(tmp_path, capsys):
    pytest.importorskip("taolite.spec.setting", reason="--set is another part")
    draw_classes(tmp_path)
    spec = write_spec(tmp_path, "train.txt", epochs=1)
    words = [
        "experiment",
        "sweep",
        str(spec),
        "--set",
        "train_config.batch_size_per_gpu={4,8}",
        "-r",
        str(tmp_path / "s"),
    ]

    code = main([*words, "--at-once", "2", "-k", KEY, "--", "--precision", "fp32"])

    said = capsys.readouterr()
    names = ["batch_size_per_gpu-4", "batch_size_per_gpu-8"]
    assert code == 0
    assert said.err.splitlines()[:2] == [f"{name}: begun" for name in names]
    rows = json.loads((tmp_path / "s" / "sweep.json").read_text())["runs"]
    assert [(row["name"], row["state"], row["values"]) for row in rows] == [
        (name, "finished", {"train_config.batch_size_per_gpu": name[-1]}) for name in names
    ]
    assert {path.name for path in (tmp_path / "s").iterdir()} == {
        *names, *(f"{name}.log" for name in names), "sweep.json", "sweep.png",
    }  # fmt: skip
    scores = [row["score"] for row in rows]
    first = "48"[scores.index(max(scores))]
    assert said.out.splitlines()[1].split()[0] == first

    again = main([*words, "-k", KEY])

    assert again == 0
    assert capsys.readouterr().err.splitlines()[0] == "2 runs of 2 finished already"

    spec.write_text(spec.read_text().replace("random_seed: 3", "random_seed: 4"))
    assert main([*words, "-k", KEY]) == 1
    assert capsys.readouterr().err == (
        f"error: {tmp_path / 's'}: this folder has a sweep of another spec, or of this one before it was changed; "
        "choose another folder (-r)\n"
    )


@pytest.mark.slow
@pytest.mark.sockets
def test_runs_are_trained_on_a_ray_cluster_and_nothing_is_told_to_ray_s_makers(tmp_path, capsys, monkeypatch):
    ray = pytest.importorskip("ray", reason="the extra ray is not installed")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "1")
    draw_classes(tmp_path)
    spec = write_spec(tmp_path, "train.txt", epochs=1)
    words = ["experiment", "sweep", str(spec), "--set", "train_config.batch_size_per_gpu={4,8}", "-k", KEY]
    here, there = tmp_path / "here", tmp_path / "there"

    try:
        code = main([*words, "-r", str(there), "--ray", "local", "--at-once", "2", "--", "--precision", "fp32"])
        assert ray.get(ray.remote(os.getenv).remote("RAY_USAGE_STATS_ENABLED")) == "0"
    finally:
        ray.shutdown()

    assert code == 0, capsys.readouterr().err
    assert main([*words, "-r", str(here), "--", "--precision", "fp32"]) == 0
    rows = [json.loads((folder / "sweep.json").read_text())["runs"] for folder in (here, there)]
    scores = [[(row["name"], row["state"], row["score"]) for row in one] for one in rows]
    assert [state for _, state, _ in scores[0]] == ["finished", "finished"]
    assert scores[1] == scores[0]


@pytest.mark.sockets
def test_a_ray_cluster_that_is_not_there_is_told(tmp_path, capsys):
    pytest.importorskip("ray", reason="the extra ray is not installed")
    draw_classes(tmp_path)
    spec = write_spec(tmp_path, "train.txt", epochs=1)

    words = ["experiment", "sweep", str(spec), "--set", "a={1,2}", "-r", str(tmp_path / "s"), "-k", KEY]
    code = main([*words, "--ray", "auto"])

    assert code == 1
    assert capsys.readouterr().err == (
        "error: --ray auto: no Ray cluster answers; start one with `ray start --head`, or give --ray local for one "
        "on this machine\n"
    )
