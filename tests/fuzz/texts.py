"""Specs, labels, lists of classes, and the JSON files of a workspace, mutated by bytes, words and values."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

from .mutators import changed_bytes, changed_json, changed_words
from .target import Reader

__all__ = ["finds", "label_set", "manifest", "mounts", "report", "sidecar", "spec", "text"]

SPECS = Path(__file__).parents[2] / "specs"
Mutate = Callable[[bytes, Random], bytes]


def changed_text(data: bytes, rng: Random) -> bytes:
    """Words twice as often as bytes."""
    return (changed_bytes if rng.randrange(3) == 0 else changed_words)(data, rng)


def reader(path: Path, seeds: tuple[bytes, ...], read: Callable[[], object], change: Mutate = changed_text) -> Reader:
    """A target whose mutations are written to `path`, and read from there."""

    def write_and_read(data: bytes) -> object:
        path.write_bytes(data)
        return read()

    return Reader(lambda rng: change(rng.choice(seeds), rng), write_and_read, seeds, str(path))


def spec(folder: Path) -> Reader:
    """Every spec of this repository: told apart and read; every fourth one that can be read is laid out, changed in a
    field and written again, and bound to its task as training does it."""
    from taolite import spec as specs
    from taolite.cli.own.spec import model_of
    from taolite.spec import Kind
    from taolite.spec.files import read_text
    from taolite.spec.flat import flatten
    from taolite.spec.layout import laid_out
    from taolite.tasks.registry import find

    path = folder / "spec.txt"
    for name in ("train/cat/a.png", "train/dog/b.png", "val/cat/c.png", "val/dog/d.png"):
        draw(folder / name, (9, 9))
    numbers = iter(range(1 << 62))
    tasks = {Kind.DETECTNET: "detectnet", Kind.CLASSIFICATION: "classification", Kind.SSD: "ssd"}
    bound = {kind: find(name) for kind, name in tasks.items()}

    def read() -> object:
        kind = specs.identify(path)
        reading = specs.read(path, model_of(kind, path))
        if next(numbers) % 4:
            return reading
        text = specs.dumps(reading.model, defaults=True)
        assert specs.loads(text, type(reading.model)) == reading.model, "it does not come back from its own text"
        original = read_text(path)
        written = laid_out(original)
        assert laid_out(written) == written, "the layout of its own layout is another"
        assert specs.loads(written, type(reading.model)) == reading.model, "its layout reads otherwise"
        setting = specs.parse_setting(f"{next(iter(flatten(reading.model)), 'random_seed')}=7")
        changed, then = specs.edited(original, type(reading.model), settings=[setting])
        assert specs.loads(changed, type(reading.model)) == then.model, "a changed text reads otherwise"
        if kind in bound:
            bound[kind].read(path, resolve=lambda name: folder / Path(name).name)
        return reading

    seeds = tuple(file.read_bytes() for file in sorted(SPECS.rglob("*.txt")))
    made = reader(path, seeds, read)
    return Reader(made.mutate, made.read, seeds, str(folder))


def draw(path: Path, hw: tuple[int, int]) -> None:
    import numpy as np
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(hw[0]).integers(0, 256, (*hw, 3), dtype=np.uint8)).save(path)


FILES = {
    "labelme": "house.json",
    "kitti": "label_2/house.txt",
    "voc": "Annotations/house.xml",
    "coco": "annotations.json",
    "yolo": "labels/house.txt",
}


def label_set(format: str) -> Callable[[Path], Reader]:
    """A data set in this format, one of whose label files is mutated: recognised, read strictly or not, and now and
    then checked, or converted into another format."""

    def make(folder: Path) -> Reader:
        from taolite import formats
        from taolite.formats.check import check
        from taolite.sample import Label, Sample

        draw(folder / "in/house.jpg", (60, 80))
        draw(folder / "in/sky.jpg", (20, 20))
        labels = (Label("cat", (10, 20, 30, 50)), Label("dog", (40.25, 0, 80, 33.5)))
        samples = [Sample(folder / "in/house.jpg", (60, 80), labels), Sample(folder / "in/sky.jpg", (20, 20))]
        formats.write(samples, folder / format, format)
        path, count = folder / format / FILES[format], iter(range(1 << 62))
        whole = path.read_bytes()

        def read() -> object:
            number = next(count)
            found = formats.read(folder / format, format if number % 2 else None, strict=number % 3 > 0)
            if number % 16 == 0:
                [str(problem).encode() for problem in check(folder / format, format).problems]
            if number % 16 == 1:
                to = formats.FORMATS[number // 16 % len(formats.FORMATS)]
                formats.write(found, folder / f"out {number}", to)
            return found

        def change(data: bytes, rng: Random) -> bytes:
            return changed_json(data, rng) if data[:1] == b"{" else changed_text(data, rng)

        made = reader(path, (whole,), read, change)
        return Reader(made.mutate, made.read, made.seeds, str(folder))

    return make


def _texts() -> dict[str, tuple[str, bytes, Callable[[Path], object], Mutate]]:
    """File, content, reader and mutator of each small text file."""
    from taolite import formats
    from taolite.formats.folders import check_labels, read_classmap
    from taolite.formats.openimages import read_openimages_classes
    from taolite.formats.part import read_labels
    from taolite.formats.split import read_list
    from taolite.formats.tags import read_nuswide
    from taolite.formats.voc_sets import read_voc_set
    from taolite.formats.yolo_names import read_yolo_names
    from taolite.quant.cache import parse_cache
    from taolite.stages.exporting.ranges import tensor_scales
    from taolite.stages.inference.labelled import _imagenet_labels, read_colours
    from taolite.workspace.status import MetricsFile

    xml = (
        b'<?xml version="1.0" encoding="gb2312"?><annotation><filename>a</filename><object><name>cat</name><bndbox>'
        b"<xmin>1</xmin><ymin>2</ymin><xmax>3</xmax><ymax>4</ymax></bndbox></object></annotation>"
    )
    csv = (
        b"ImageID,Source,LabelName,Confidence,XMin,XMax,YMin,YMax,IsOccluded,ClassName\n"
        b'a,x,/m/1,1,0.1,0.5,0.2,0.6,0,Apple\n"b",x,/m/1,1,0,1,0,1,1,Pear\n'
    )
    yaml = b"path: .\nnc: 2\nnames:\n  0: cat\n  1: 'hot dog'\nkpt_shape: [2, 3]\n"
    cvat = b"<annotations><version>1.1</version><image id='0'/></annotations>"
    order = ["cat", "hot dog"]

    def cache(path: Path) -> object:
        return parse_cache(path.read_bytes().decode("utf-8", "replace"), where=str(path))

    return {
        "yolo names": ("data.yaml", yaml, lambda path: read_yolo_names(path.parent), changed_text),
        "split list": ("train.txt", b"a.jpg\nb -1\nc  1\n\n./x/d.png\n", read_list, changed_text),
        "csv split list": ("train.csv", b'filename,width\na.jpg,5\n"b.jpg",6\n', read_list, changed_text),
        "labels.txt": ("labels.txt", b"cat\nhot dog\n\nBACKGROUND\n", read_labels, changed_text),
        "class order": ("labels.txt", b"cat\nhot_dog\n", lambda path: check_labels(path, order), changed_text),
        "imagenet labels": ("labels.txt", b"n01440764 tench\ncat\n\n", _imagenet_labels, changed_text),
        "colours": ("colors.txt", b"0 0 0 0\n1 255 3\n4 5 6 7\n", lambda path: read_colours(path, order), changed_text),
        "classmap": ("classmap.json", b'{"cat": 0, "dog": 1}', read_classmap, changed_json),
        "open images": ("sub-train-annotations-bbox.csv", csv, lambda path: read_openimages_classes(path.parent),
                        changed_text),
        "cvat": ("annotations.xml", cvat, lambda path: formats.read(path.parent), changed_text),
        "voc set": ("Annotations/a.xml", xml, lambda path: read_voc_set(path.parents[1]), changed_text),
        "nuswide tags": ("classification_labels/classification_test.csv", b"row,cat,dog\n0,1,0\n1,0,-1\n",
                         lambda path: read_nuswide(path.parents[1], split="test"), changed_text),
        "int8 cache": ("calib.bin", b"TRT-8601-EntropyCalibration2\ninput_1: 3c010a14\na: b: 3f800000\n", cache,
                       changed_text),
        "tensor scales": ("calib.json", b'{"tensor_scales": {"input_1": 1.5, "a": 2}}', tensor_scales, changed_json),
        "metrics": ("metrics.jsonl", b'{"epoch": 1, "loss": 0.5}\n{"epoch": 2, "loss": null, "map": {"cat": 1}}\n',
                    lambda path: MetricsFile(path).read(), changed_text),
    }  # fmt: skip


def text(name: str) -> Callable[[Path], Reader]:
    """One of the small text files."""

    def make(folder: Path) -> Reader:
        file, whole, read, change = _texts()[name]
        draw(folder / "JPEGImages/a.jpg", (9, 9))
        (folder / "ImageList").mkdir()
        (folder / "ImageList/TestImagelist.txt").write_text("a\\0001_1.jpg\na\\0002_2.jpg\n")
        path = folder / file
        path.parent.mkdir(exist_ok=True)
        made = reader(path, (whole,), lambda: read(path), change)
        return Reader(made.mutate, made.read, made.seeds, str(folder))

    return make


TEXTS = (
    *("yolo names", "split list", "csv split list", "labels.txt", "class order", "imagenet labels", "colours"),
    *("classmap", "open images", "cvat", "voc set", "nuswide tags", "int8 cache", "tensor scales", "metrics"),
)


def mounts(folder: Path) -> Reader:
    """`~/.tao_mounts.json`."""
    from taolite.workspace.mounts import Mounts

    root = "/workspace/tao-experiments"
    row = {"source": "~/tao", "destination": root}
    envs = [{"variable": "A", "value": "b"}, {"variable": "C", "value": "${A}"}]
    seed = json.dumps({"Mounts": [row, {"source": "$A", "destination": "/x"}], "Envs": envs, "DockerOptions": {}})
    for name in ("tao", "b"):
        (folder / name).mkdir()
    environ = {"HOME": str(folder)}

    def read() -> object:
        found = Mounts.load(start=folder, environ=environ)
        for path in (f"{root}/x", "$A/$C", "relative"):
            found.explain(path)
        return found.resolve(f"{root}/x"), found.resolve("/x/y"), found.in_container(folder / "tao/x")

    return reader(folder / ".tao_mounts.json", (seed.encode(),), read, changed_json)


def sidecar(folder: Path) -> Reader:
    """The JSON beside an engine."""
    from taolite.artifacts.sidecar import Sidecar, check_engine, write_engine
    from taolite.preprocessing import Preprocessing

    engine = folder / "m.engine"
    made = Sidecar("a" * 64, "tensorrt_rtx", "1.7.1", "fp16", (1, 4, 8), ("cat", "犬"), Preprocessing((384, 1248)),
                   gpus=("8.6", "8.9"), meta={"decoding": {"stride": 16}})  # fmt: skip
    path = write_engine(engine, b"vtrt engine", made)

    def read() -> object:
        return check_engine(engine, onnx_sha256="a" * 64, backend_version="1.7.1", gpu="8.9")

    one = reader(path, (path.read_bytes(),), read, changed_json)
    return Reader(one.mutate, one.read, one.seeds, str(engine))


def _hostile() -> Any:
    """tests/report/hostile.py, which is no module of the process that reads mutations."""
    path = Path(__file__).resolve().parents[1] / "report" / "hostile.py"
    found = importlib.util.spec_from_file_location("hostile", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def report(folder: Path) -> Reader:
    """The JSON files of a run folder that a report is made from: every file holds the mutation of one of them."""
    from taolite.stages.reporting import write_comparison, write_report

    run = _hostile().write_run(folder / "run")
    names = ("scores.json", "curves.json", "pictures.json", "labels.json", "sweep.json", "metrics.jsonl")
    seeds = tuple((run / name).read_bytes() for name in (*names[:-1], "manifest.json"))
    whole = (run / "manifest.json").read_bytes()

    def read(data: bytes) -> object:
        for name in names:
            (run / name).write_bytes(data)
        (run / "manifest.json").write_bytes(data if b'"versions"' in data else whole)
        write_comparison([run, run], folder / "c.html")
        return write_report(run, folder / "r.html")

    return Reader(lambda rng: changed_json(rng.choice(seeds), rng), read, seeds, str(run))


def manifest(folder: Path) -> Reader:
    """The manifest of a run folder that is opened again."""
    from taolite.workspace.run import RunFolder, RunIdentity

    run = RunIdentity("detectnet", "random_seed: 42\n", ("cat", "dog"), "b" * 64)
    with RunFolder.open(folder, run) as opened:
        opened.record(batch_size=4, metrics={"map": 0.9})
    path = folder / "manifest.json"

    def read() -> Any:
        with RunFolder.open(folder, run) as opened:
            return opened.recorded("batch_size", int), opened.recorded("metrics", dict)

    made = reader(path, (path.read_bytes(),), read, changed_json)
    return Reader(made.mutate, made.read, made.seeds, str(folder))


def finds(folder: Path) -> Reader:
    """What a validation found, which the board shows."""
    from taolite.workspace.finds import Finds, Looked, Thing, read_finds, write_finds

    box, path = (1.0, 2.0, 30.0, 40.5), folder / "finds.json"
    looked = Looked(
        "/data/1.png", (64, 96), (Thing(0, box, difficult=True),), (Thing(1, box, 0.9), Thing(0, None, 0.1))
    )
    write_finds(path, Finds(("cat", "dog"), 2, (looked, Looked("2.png", (4, 5), (), ()))))
    return reader(path, (path.read_bytes(),), lambda: read_finds(path), changed_json)
