"""Sweeps, targets and pruning within a price, on tiny models of all three tasks."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from taolite.artifacts.bundle import read_bundle
from taolite.artifacts.keys import Key
from taolite.cli.main import main
from taolite.errors import ModelError, UsageError
from taolite.events import PruneStepped
from taolite.pruning.plan import apply
from taolite.stages.evaluate import evaluate
from taolite.stages.inference.models import open_model
from taolite.stages.pruning.judge import open_judge
from taolite.stages.pruning.settings import PruneSettings, Target, chosen, graph, ranked
from taolite.stages.pruning.sweep import SweepOptions, sweep
from taolite.stages.pruning.within import prune_within
from taolite.stages.trained import open_trained
from taolite.stages.training.train import TrainOptions, train
from taolite.tasks.base import Given
from taolite.tasks.registry import find

from . import classes, conftest, voc_set

KEY = Key("tlt_encode")
pytestmark = pytest.mark.usefixtures("one_thread")
LOOSE = PruneSettings(granularity=4, min_filters=4)


@dataclass(frozen=True)
class Life:
    """A trained model, the spec that trained it, and the experiment."""

    task: str
    spec: Path
    weights: Path
    root: Path

    @property
    def experiment(self):
        model = read_bundle(self.weights, key=KEY)
        return find(self.task).read(self.spec, classes=model.classes, given=Given(command="train")).model

    @property
    def model(self):
        return open_trained(self.weights, key=KEY)

    def prune(self, *words, name="x.tlt"):
        given = ("-m", self.weights, "-o", self.root / name, *words, "-k", "tlt_encode")
        return main([self.task, "prune", *map(str, given)])


@pytest.fixture(scope="module", params=["detectnet", "classification", "ssd"])
def life(request, tmp_path_factory, tiny):
    root = tmp_path_factory.mktemp(request.param)
    if request.param == "detectnet":
        spec = conftest.write_spec(tiny, "swept.txt", epochs=4)
    elif request.param == "classification":
        classes.draw_classes(root)
        spec = classes.write_spec(root, "train.txt", epochs=4)
    else:
        voc_set.draw_set(root)
        spec = voc_set.write_spec(root, "train.txt", epochs=4)
    experiment = find(request.param).read(spec, given=Given(command="train")).model
    report = train(experiment, root / "run", name="m", key=KEY, options=TrainOptions(precision="fp32", workers=1))
    return Life(request.param, spec, report.weights, root)


def scored(life, path):
    with open_model(path, key=KEY) as opened:
        return evaluate(life.experiment, opened, split="val", workers=1).card.main.value


@pytest.mark.parametrize(
    "life", ["detectnet", "classification", pytest.param("ssd", marks=pytest.mark.slow)], indirect=True
)
def test_a_sweep_measures_what_pruning_then_leaves(life, capsys):
    timed = life.task == "detectnet"
    code = life.prune(
        *("--sweep", 3, "-nf", 4, "-pg", 4, "-e", life.spec, "--json", life.root / "s.json"),
        *("--sensitivity", "--sweep-images", 50, *(["--latency"] if timed else [])),
    )

    said = capsys.readouterr()
    assert code == 0
    swept = json.loads((life.root / "s.json").read_text())
    rows = swept["rows"]
    assert len(rows) == 3
    assert [row["share"] for row in rows] == sorted((row["share"] for row in rows), reverse=True)
    assert rows[0]["share"] == 1.0
    assert rows[0]["score"] == swept["unpruned"] == scored(life, life.weights)
    assert all(row["latency_ms"] > 0 for row in rows) if timed else all(row["latency_ms"] is None for row in rows)
    row = rows[1]
    assert life.prune("-pth", repr(row["threshold"]), "-nf", 4, "-pg", 4, name="row.tlt") == 0
    pruned = read_bundle(life.root / "row.tlt", key=KEY)
    network = find(life.task).network(pruned)
    assert row["parameters"] == network.parameter_count
    assert row["score"] == pytest.approx(scored(life, life.root / "row.tlt"), abs=1e-6)
    written = len(graph(network, open_trained(life.root / "row.tlt", key=KEY)))
    assert row["onnx_bytes"] == pytest.approx(written, rel=0 if timed else 0.01)
    with Image.open(life.root / "sweep.png") as picture:
        assert picture.size[0] == 1100
    assert swept["sensitivity"] == sorted(swept["sensitivity"], key=lambda one: one["score"])
    groups = ranked(find(life.task).network(life.model.bundle), life.model, LOOSE).anatomy.groups
    assert {tuple(one["layers"]) for one in swept["sensitivity"]} == {group.members for group in groups}
    assert f"{swept['images']} validation images; the unpruned model: {100 * swept['unpruned']:.2f}" in said.out
    assert not (life.root / "x.tlt").exists()


def test_batch_norms_of_the_silenced_network_settle_as_those_of_the_cut_one(life):
    judge = open_judge(life.model, life.experiment, images=50, workers=1)
    judge = replace(judge, device=judge.device.exact)
    network = find(life.task).network(life.model.bundle)
    ranking = ranked(network, life.model, LOOSE)
    found = ranking.for_share(0.5)
    cut, silenced = apply(network, found), ranking.anatomy.silenced(network, found.kept)
    x = torch.rand(2, 3, *life.model.preprocessing.input_hw)
    with torch.no_grad():
        before = [output.clone() for output in cut(x)]
        judge.settle(cut)
        judge.settle(silenced)
        for one, other, old in zip(cut(x), silenced(x), before, strict=True):
            # maps of one cell have variances near 0, which enlarge the rounding of a division by them
            apart = float((one - other).abs().max())
            assert apart < 1e-3 * max(1.0, float(one.abs().max()))
            assert float((one - old).abs().max()) > 10 * apart


@pytest.mark.parametrize("life", ["detectnet"], indirect=True)
def test_without_a_spec_a_sweep_has_sizes_alone_and_says_so(life, capsys):
    assert life.prune("--sweep", 3, "--json", life.root / "sizes.json") == 0

    said = capsys.readouterr().out
    assert "no scores: give the spec with its validation images (-e SPEC)" in said
    rows = json.loads((life.root / "sizes.json").read_text())["rows"]
    assert all(row["score"] is None and row["latency_ms"] is None for row in rows)
    assert all(row["onnx_bytes"] > 0 for row in rows)


@pytest.mark.parametrize("life", ["detectnet"], indirect=True)
def test_a_sweep_with_fine_tuning_has_a_score_after_it(life, tmp_path):
    found = sweep(
        life.model,
        tmp_path / "sweep.png",
        settings=LOOSE,
        options=SweepOptions(thresholds=2, epochs=1),
        experiment=life.experiment,
    )

    assert all(row.finetuned is not None for row in found.rows)


def test_fine_tuning_trains_the_cut_network(life):
    judge = open_judge(life.model, life.experiment, images=50, workers=1)
    network = find(life.task).network(life.model.bundle)
    cut = apply(network, ranked(network, life.model, LOOSE).for_share(0.5))
    count = cut.parameter_count
    trained = judge.finetuned(cut, life.model, epochs=1)
    assert trained.parameter_count == count
    first = next(name for name, one in trained.named_parameters() if one.ndim == 4)
    old = dict(apply(network, ranked(network, life.model, LOOSE).for_share(0.5)).named_parameters())
    assert not torch.equal(dict(trained.named_parameters())[first], old[first])


@pytest.mark.parametrize("life", ["detectnet"], indirect=True)
def test_a_costly_target_is_met_closely_with_few_readings(life):
    network = find(life.task).network(life.model.bundle)
    ranking = ranked(network, life.model, replace(LOOSE, granularity=1))
    read = []

    def reading(plan):
        read.append(plan)
        return float(ranking.size(plan).macs)

    for share in (1.0, 0.5, 0.2):
        limit = share * ranking.anatomy.size({}).macs
        found = chosen(ranking, Target("--target-latency", limit, reading, costly=True), LOOSE)
        assert 0.93 * limit <= ranking.size(found).macs <= limit
    assert len({tuple(plan.kept.values()) for plan in read}) < 25
    with pytest.raises(UsageError) as caught:
        chosen(ranking, Target("--target-latency", 1.0, reading, costly=True), LOOSE)
    assert str(caught.value) == (
        "prune: --target-latency 1: no threshold reaches it; with -nf 4, -pg 4 and these exclusions "
        f"{ranking.size(ranking.least).macs:.6g} is the smallest value. Lower -nf or -pg, or exclude fewer layers"
    )


@pytest.mark.parametrize(
    ("life", "flag", "measure"),
    [
        ("detectnet", "--target-latency", "time"),
        *((task, "--target-params", "parameters") for task in ("detectnet", "classification", "ssd")),
        *((task, "--target-macs", "macs") for task in ("detectnet", "classification", "ssd")),
    ],
    indirect=["life"],
)
def test_a_target_prints_the_threshold_that_reaches_it(life, capsys, flag, measure):
    network = find(life.task).network(life.model.bundle)
    ranking = ranked(network, life.model, LOOSE)
    whole = ranking.anatomy.size({})
    limit = {"parameters": whole.parameters // 2, "macs": 0.5, "time": 1000}[measure]

    assert life.prune(flag, limit, "-nf", 4, "-pg", 4, name=f"{measure}.tlt") == 0

    said = capsys.readouterr().out.splitlines()[0]
    found = find(life.task).network(read_bundle(life.root / f"{measure}.tlt", key=KEY))
    if measure == "parameters":
        assert whole.parameters / 4 < found.parameter_count <= limit
        assert said.endswith(f" keeps {found.parameter_count:,} parameters (at most {limit:,})")
    elif measure == "macs":
        left = ranking.size(ranking.smallest(lambda plan: ranking.size(plan).macs <= 0.5 * whole.macs)).macs
        share = 100 * left / whole.macs
        assert said.endswith(f" leaves {left / 1e9:.3g} GMACs an image ({share:.1f} % of {whole.macs / 1e9:.3g})")
    else:
        assert said.startswith("-pth 0 takes ")
        assert said.endswith(" ms an image in ONNX Runtime on this machine (at most 1000)")


def test_a_step_within_a_price_is_kept_and_the_one_after_it_ends_the_search(life, tmp_path):
    heard = []
    generous = prune_within(
        life.model,
        tmp_path / "all.tlt",
        key=KEY,
        settings=PruneSettings(granularity=4, min_filters=4, target=0.5),
        experiment=life.experiment,
        max_drop=100,
        listener=heard.append,
    )

    assert generous.stopped == "target"
    assert [round(step.share, 1) for step in generous.steps] == [0.8, 0.6, 0.5]
    assert generous.steps[-1].share <= 0.5
    assert len([one for one in heard if isinstance(one, PruneStepped)]) == 3
    best = generous.steps[generous.best]
    assert best == generous.steps[-1]
    written = read_bundle(tmp_path / "all.tlt", key=KEY)
    assert find(life.task).network(written).parameter_count == best.parameters
    assert best.score == pytest.approx(scored(life, tmp_path / "all.tlt"), abs=1e-6)
    assert [step["stage"] for step in written.lineage] == ["train", "prune"]
    assert len(written.lineage[-1]["steps"]) == 3

    dropped = [step.dropped for step in generous.steps]
    if dropped[0] < max(dropped[1:]):  # a price that the first step meets and a later one does not
        price = (dropped[0] + max(dropped[1:])) / 2
        exact = prune_within(
            life.model,
            tmp_path / "some.tlt",
            key=KEY,
            settings=PruneSettings(granularity=4, min_filters=4, target=0.5),
            experiment=life.experiment,
            max_drop=price,
        )
        assert exact.stopped == "drop"
        assert exact.steps[exact.best].dropped <= price < exact.steps[-1].dropped
        written = read_bundle(tmp_path / "some.tlt", key=KEY)
        assert find(life.task).network(written).parameter_count == exact.steps[exact.best].parameters


def test_steps_with_training_go_on_from_the_step_before(life, tmp_path):
    found = prune_within(
        life.model,
        tmp_path / "trained.tlt",
        key=KEY,
        settings=PruneSettings(granularity=4, min_filters=4, target_macs=0.6),
        experiment=life.experiment,
        max_drop=100,
        epochs=1,
    )

    whole = ranked(find(life.task).network(life.model.bundle), life.model, LOOSE).anatomy.size({})
    assert found.stopped == "target"
    assert found.steps[-1].macs <= 0.6 * whole.macs
    shares = [step.share for step in found.steps]
    assert shares == sorted(shares, reverse=True)
    assert found.steps[-1].score == pytest.approx(scored(life, tmp_path / "trained.tlt"), abs=1e-6)


def test_a_first_step_that_costs_too_much_writes_nothing(life, tmp_path):
    with pytest.raises(ModelError) as caught:
        prune_within(
            life.model,
            tmp_path / "none.tlt",
            key=KEY,
            settings=LOOSE,
            experiment=life.experiment,
            max_drop=-101,
        )

    assert "; nothing was written. Raise --max-drop, or train each step with --finetune N" in str(caught.value)
    assert not (tmp_path / "none.tlt").exists()


@pytest.mark.parametrize("importance", ["l1", "l2", "bn", "taylor"])
def test_every_importance_prunes(life, capsys, importance):
    name = f"{importance}.tlt"
    words = ("--importance", importance, "--target", 0.6, "-nf", 4, "-pg", 4, "-e", life.spec)

    assert life.prune(*words, name=name) == 0

    said = capsys.readouterr().out.splitlines()
    assert said[0].endswith(
        f" keeps at most 0.6 of the parameters; of --importance {importance}, which TAO does not have"
    )
    pruned = read_bundle(life.root / name, key=KEY)
    assert pruned.lineage[-1]["settings"]["importance"] == importance
    assert 0.3 < pruned.lineage[-1]["ratio"] <= 0.6


@pytest.mark.parametrize("life", ["detectnet"], indirect=True)
def test_flags_that_change_nothing_are_refused(life, capsys):
    def refused(*words):
        assert life.prune(*words) == 1
        return capsys.readouterr().err.strip().splitlines()[-1]

    assert refused("--latency") == "error: --latency belongs to --sweep; add --sweep, or leave it out"
    assert refused("--finetune", 2) == (
        "error: --finetune belongs to --sweep and to --max-drop; to retrain a pruned model, use train"
    )
    assert refused("--max-drop", 1) == (
        "error: --max-drop needs a score: give the spec with its validation images (-e SPEC)"
    )
    assert refused("--sweep", "--max-drop", 1, "-e", life.spec) == (
        "error: --sweep writes no model and --max-drop does; give one of the two"
    )
    assert refused("--sweep", "--sensitivity") == "error: prune: --sensitivity needs data; give the spec with -e SPEC"
    assert refused("--importance", "taylor") == (
        "error: prune: --importance taylor needs training data; give the spec with -e SPEC"
    )
    assert refused("--target", 0.5, "--target-macs", "1G") == (
        "error: prune: --target and --target-macs are given; give one target"
    )
    assert not (life.root / "x.tlt").exists()
