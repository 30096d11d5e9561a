"""`train --seeds N`: the runs are those of the seeds, one after the other, and the summary is their spread."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from taolite import spec as specs
from taolite.artifacts.bundle import read_bundle, weights_hash
from taolite.artifacts.keys import Key
from taolite.cli.main import main, parser_for
from taolite.cli.render import seeds_block
from taolite.errors import TaoliteError, UsageError
from taolite.events import SeedBegun
from taolite.scorecard import AP, Metric, ScoreCard
from taolite.stages.evaluate import Evaluation
from taolite.stages.training.seeds import SeedRun, SeedsReport, Spread, each_seed
from taolite.stages.training.train import Best, TrainReport
from taolite.tasks.classification.jetson import Settings
from taolite.tasks.classification.jetson import spec_of as classification_spec
from taolite.tasks.classification.task import TASK as CLASSIFICATION
from taolite.tasks.ssd.jetson import spec_of as ssd_spec
from taolite.tasks.ssd.spec import SsdSpec
from taolite.tasks.ssd.task import TASK as SSD

from .classes import CLASSES, draw_classes
from .conftest import write_spec

KEY = "tlt_encode"
TAO_SSD = """
random_seed: 7
ssd_config { aspect_ratios_global: "[1.0]" min_scale: 0.2 max_scale: 0.9 variances: "[0.1, 0.1, 0.2, 0.2]"
  arch: "resnet" nlayers: 10 }
training_config { batch_size_per_gpu: 4 num_epochs: 2 regularizer { }
  learning_rate { soft_start_annealing_schedule {
    min_learning_rate: 1e-4 max_learning_rate: 1e-3 soft_start: 0.3 annealing: 0.7 } } }
eval_config { validation_period_during_training: 2 batch_size: 4 matching_iou_threshold: 0.5 }
nms_config { confidence_threshold: 0.01 clustering_iou_threshold: 0.6 top_k: 20 }
augmentation_config { output_width: 96 output_height: 64 output_channel: 3 }
dataset_config { data_sources { tfrecords_path: "records" } target_class_mapping { key: "plate" value: "plate" }
  validation_data_sources { image_directory_path: "images" label_directory_path: "labels" } }
"""


def detectnet(*words: object) -> int:
    return main(["detectnet", *map(str, words), "-k", KEY])


def weights_of(folder: Path, name: str = "plate") -> str:
    return weights_hash(read_bundle(folder / "weights" / f"{name}.tlt", key=Key(KEY)).tensors)


def report(value: float, best: float, folder: Path) -> TrainReport:
    card = ScoreCard(Metric(AP, value, {"cat": value}), {"VOC": Metric(AP, value / 2, {})}, {"cat": 50}, 40)
    return TrainReport(folder / "m.tlt", Evaluation(card, 0.1, 0.1), Best(folder / "b.tlt", 1, best), 2, 1.0, 10)


def test_the_spread_is_mean_sample_deviation_and_range():
    spread = Spread.of([0.90, 0.92, 0.97])

    mean = 2.79 / 3
    deviation = math.sqrt(((0.90 - mean) ** 2 + (0.92 - mean) ** 2 + (0.97 - mean) ** 2) / 2)
    assert spread == Spread(pytest.approx(mean), pytest.approx(deviation), 0.90, 0.97)  # type: ignore[arg-type]
    assert Spread.of([0.5]) == Spread(0.5, None, 0.5, 0.5)


def test_each_seed_has_its_folder_and_the_summary_grows_with_every_run(tmp_path: Path):
    values, heard, summaries = {42: 0.90, 43: 0.92, 44: 0.97}, [], []

    def run(seed: int, folder: Path) -> TrainReport:
        summaries.append((tmp_path / "seeds.json").exists() and json.loads((tmp_path / "seeds.json").read_text()))
        return report(values[seed], values[seed] + 0.01, folder)

    made = each_seed(42, 3, tmp_path, run, listener=heard.append)

    assert heard == [SeedBegun(42 + k, 1 + k, 3, tmp_path / f"seed-{42 + k}") for k in range(3)]
    assert [len(one["runs"]) if one else 0 for one in summaries] == [0, 1, 2]
    summary = json.loads((tmp_path / "seeds.json").read_text())
    assert [one["scores"]["mAP"] for one in summary["runs"]] == [0.90, 0.92, 0.97]
    assert summary["spread"]["best mAP"]["most"] == pytest.approx(0.98)
    assert (summary["images"], summary["objects"]) == (40, 50)
    assert (made.spread["mAP"].least, made.spread["VOC mAP"].most) == (0.90, pytest.approx(0.485))
    each_seed(1, 1, tmp_path / "quiet", lambda seed, folder: report(0.5, 0.5, folder), writes=False)
    assert not (tmp_path / "quiet").exists()


def test_the_block_has_a_row_for_each_run_and_says_what_one_object_is_worth():
    runs = tuple(SeedRun(seed, Path(f"/r/seed-{seed}"), {"mAP": v}) for seed, v in ((42, 0.90), (43, 0.92), (44, 0.97)))

    assert seeds_block(SeedsReport(runs, 40, 44, Path("/r/seeds.json"))).splitlines() == [
        "+--------------------+----------------+",
        "|        seed        |   mAP (in %)   |",
        "+--------------------+----------------+",
        "|         42         |     90.00      |",
        "|         43         |     92.00      |",
        "|         44         |     97.00      |",
        "|        mean        |     93.00      |",
        "| standard deviation |      3.61      |",
        "|       range        | 90.00 to 97.00 |",
        "+--------------------+----------------+",
        "44 objects in 40 pictures: one object more or less is 2.3 points of recall",
        "summary: /r/seeds.json",
    ]
    one = seeds_block(SeedsReport(runs[:1], 40, 0, Path("/r/seeds.json")))
    assert "deviation" not in one
    assert "range" not in one


@pytest.mark.usefixtures("one_thread")
def test_the_runs_are_those_of_specs_with_these_seeds_and_a_second_command_goes_on(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    spec, results = write_spec(tiny, "seeds.txt", epochs=1), tmp_path / "runs"
    words = ("train", "-e", spec, "-n", "plate", "--precision", "fp32")

    assert detectnet(*words, "-r", results, "--seeds", 1) == 0
    first = (results / "seed-7/weights/plate.tlt").stat().st_mtime_ns, weights_of(results / "seed-7")
    assert detectnet(*words, "-r", results, "--seeds", 2, "--resume") == 0
    said = capsys.readouterr()

    alone = tiny / "alone.txt"
    alone.write_text(spec.read_text().replace("random_seed: 7", "random_seed: 8"))
    assert detectnet("train", "-e", alone, "-n", "plate", "--precision", "fp32", "-r", tmp_path / "alone") == 0
    assert weights_of(results / "seed-8") == weights_of(tmp_path / "alone") != first[1]
    assert weights_of(results / "seed-7") == first[1]
    summary = json.loads((results / "seeds.json").read_text())
    assert [one["seed"] for one in summary["runs"]] == [7, 8]
    assert "random_seed: 8" in (results / "seed-8/experiment_spec.txt").read_text()
    assert f"seed 8 (run 2 of 2): {results}/seed-8" in said.err
    assert said.out.splitlines()[-1] == f"summary: {results}/seeds.json"


def test_less_than_one_seed_and_resuming_nothing_are_errors(tiny: Path, tmp_path: Path, capsys):
    spec = write_spec(tiny, "none.txt", epochs=1)

    assert detectnet("train", "-e", spec, "-r", tmp_path / "r", "--seeds", 0) == 1
    assert "error: --seeds 0: needs to be 1 or more" in capsys.readouterr().err
    assert detectnet("train", "-e", spec, "-r", tmp_path / "r", "--seeds", 2, "--resume") == 1
    assert f"error: --resume: {tmp_path}/r/seed-7 holds no run to go on with" in capsys.readouterr().err


def test_an_experiment_with_another_seed_is_that_of_its_spec_with_that_seed(tmp_path: Path):
    draw_classes(tmp_path)
    tao = specs.loads(TAO_SSD, SsdSpec)
    made = ssd_spec({"datasets": (str(tmp_path),), "random_seed": 3})
    settings = Settings(dataset=tmp_path, arch="squeezenet1_1", pretrained="", seed=3)
    theirs = [classification_spec(settings), classification_spec(Settings(**{**vars(settings), "seed": 9}))]

    pairs = [
        (SSD.read(tao).model, SSD.read(specs.loads(TAO_SSD.replace("seed: 7", "seed: 9"), SsdSpec)).model),
        (
            SSD.read(made, classes=("cat",)).model,
            SSD.read(ssd_spec({"datasets": (str(tmp_path),), "random_seed": 9}), classes=("cat",)).model,
        ),
        *((CLASSIFICATION.read(theirs[0]).model, CLASSIFICATION.read(theirs[1]).model),),
    ]

    for experiment, wanted in pairs:
        seeded = experiment.seeded(9)
        assert (seeded.text, seeded.recipe.seed, seeded.classes) == (wanted.text, 9, wanted.classes)
        assert experiment.recipe.seed != 9
        assert type(seeded) is type(experiment)


@pytest.mark.usefixtures("one_thread")
def test_train_py_trains_several_seeds(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    draw_classes(tmp_path / "data")
    small = ("--no-pretrained", "-a", "squeezenet1_1", "--resolution=32", "--batch=4", "-j", "1", "--epochs=1")

    code = main(
        ["jetson", "train.py", f"--model-dir={tmp_path}/m", *small, "--seeds=2", "--seed=5", str(tmp_path / "data")]
    )

    assert code == 0
    assert len(CLASSES) > 1
    assert {path.name for path in (tmp_path / "m").iterdir()} == {"seed-5", "seed-6", "seeds.json"}
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == f"summary: {tmp_path}/m/seeds.json"
    assert f"=> seed 6: {tmp_path}/m/seed-6" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--resume=last",), "--seeds with --resume: repeat the command without --resume, and each run continues"),
        (("--gpus=2",), "--seeds with several processes: train one seed at a time with --seed"),
        (("--evaluate",), "--seeds with --evaluate: score one run at a time; --model-dir is its folder, .../seed-42"),
    ],
)
def test_flags_that_do_not_go_with_several_seeds_are_refused(words: tuple[str, ...], message: str, tmp_path: Path):
    options = parser_for("jetson").parse_args(["jetson", "train.py", "--seeds=2", *words, str(tmp_path)])

    with pytest.raises(UsageError) as caught:
        options.run(options)

    assert isinstance(caught.value, TaoliteError)
    assert str(caught.value) == message
