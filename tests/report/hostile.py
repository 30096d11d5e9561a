"""The folder of a run in which every text that comes from outside is hostile to a page."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
from PIL import Image

NAMES = (
    "<img src=x onerror=\"document.title='hit'\">",
    '"><script>document.title="hit"</script>',
    "</script></style></svg></title><script>document.title='hit'</script>",
    "' onload='document.title=1' x='",
    "two\nlines\tand a tab",
    "\u202egnp.tac\u2066",
    "🦝 raccoon 犬 & <b>",
    "javascript:document.title=1",
    "a" * 120,
)
SHOWN = [name.replace("\u202e", "\\u202e").replace("\u2066", "\\u2066") for name in NAMES]


def write_run(folder: Path, *, score: float = 0.5) -> Path:
    """The folder of a run in which every text that comes from outside is hostile."""
    folder.mkdir(parents=True)
    count = len(NAMES)
    bad = NAMES[2]
    per_class = dict.fromkeys(NAMES, score)
    rows = [
        {"epoch": epoch, "loss": 1 / epoch, "learning_rate": 0.1, "validation_cost": 1.0, "mAP": score, "AP": per_class}
        for epoch in (1, 2, 3)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = [{"status": "STARTED", "message": bad}, {"status": "FAILURE", "message": bad, "epoch": 3, "max_epoch": 9}]
    (folder / "status.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
    manifest = {
        "run": {"task": "detectnet", "classes": NAMES, "spec": f"a: {bad}", "data_hash": bad, "parent": bad},
        "name": "x",
        "metric": "mAP",
        "metrics": {"mAP": score, "AP": per_class},
        "versions": {bad: bad},
        "hardware": {"processor": bad},
        "exports": {bad: {"precision": bad, "onnx_sha256": bad, "drop": 5.0, "trained": 0.9, "exported": 0.8}},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    confusion = [[3 if i == k else 1 for k in range(count + 1)] for i in range(count + 1)]
    point = {"threshold": 0.5, "precision": 0.5, "recall": 0.5, "f1": 0.5}
    worst = [{"image": f"/data/{name}", "right": 0, "finds": 9, "objects": 1} for name in NAMES]
    card = {
        "main": {"per_class": per_class},
        "beside": {bad: {"value": 0.5, "words": {"short": bad}}},
        "confusion": confusion,
        "images": 3,
        "best": dict.fromkeys(NAMES, point),
        "by_size": {bad: 0.5},
    }
    (folder / "scores.json").write_text(json.dumps({"card": card, "worst": worst}))
    box = [10.0, 10.0, 60.0, 60.0]
    pictures = [
        {
            "image": f"/data/{name}",
            "hw": [120, 160],
            "right": 0,
            "finds": 1,
            "objects": 1,
            "why": "worst",
            "labelled": [{"name": name, "box": box, "score": 1.0, "seen": False}],
            "found": [{"name": name, "box": box, "score": 0.5, "right": False}],
            "jpeg": base64.b64encode(_jpeg()).decode(),
        }
        for name in NAMES
    ]
    pictures.append({**pictures[0], "jpeg": '"><script>document.title="hit"</script>'})
    pictures.append({**pictures[0], "jpeg": base64.b64encode(b"<svg onload='document.title=1'>").decode()})
    (folder / "pictures.json").write_text(json.dumps({"pictures": pictures}))
    line = {"threshold": [0.0, 1.0], "precision": [0.5, 1.0], "recall": [1.0, 0.0]}
    (folder / "curves.json").write_text(json.dumps({"sweeps": dict.fromkeys(NAMES, line), "curves": {}}))
    split = {
        "pictures": 3,
        "objects": dict.fromkeys(NAMES, 5),
        "unused": {bad: 3},
        "left_out": {bad: 2},
        "boxed": True,
        "photos": [[160, 120, 3]],
        "photo_sizes": 1,
        "sides": {name: [1, 2, 3, 4, 5] for name in NAMES},
        "centres": [1] * 576,
        "sizes": [0] * 576,
    }
    (folder / "labels.json").write_text(json.dumps({"splits": {"train": split, "val": split}}))
    sweep = {"metric": bad, "images": 3, "unpruned": 0.9, "rows": [{"threshold": bad, "share": 0.5, "score": 0.5}]}
    (folder / "sweep.json").write_text(json.dumps(sweep))
    return folder


def _jpeg() -> bytes:
    """A picture of 160 x 120 pixels of noise."""
    pixels = np.random.default_rng(0).integers(0, 256, (120, 160, 3)).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG")
    return stream.getvalue()
