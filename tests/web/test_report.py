"""A report in a real Chromium: hostile names stay text, nothing is loaded, and it fits a phone."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("selenium", reason="selenium is not installed; pip install 'taolite[dev]' brings it")

from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By

from taolite.stages.reporting import write_comparison, write_report

from .conftest import make_jpeg
from .test_page import CHROMIUM, DRIVER, FLAGS

pytestmark = [
    pytest.mark.sockets,  # chromedriver's
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no Chromium here: apt-get install chromium chromium-driver"),
]

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
            "jpeg": base64.b64encode(make_jpeg()).decode(),
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


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, "--hide-scrollbars"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    made = Chrome(options=options, service=ChromeService(DRIVER))
    yield made
    made.quit()


def opened(browser: Chrome, path: Path, *, width: int = 1280, scheme: str = "light") -> Chrome:
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get_log("browser")  # of the page before
    browser.get(path.as_uri())
    return browser


SCRIPTED = (
    "return [...document.querySelectorAll('*')].flatMap(e => [...e.attributes]).filter(a => /^on/i.test(a.name)).length"
)
LOADED = "return performance.getEntriesByType('resource').map(e => e.name).filter(n => !n.startsWith('data:'))"


def test_hostile_names_are_text_and_nothing_runs_or_is_loaded(browser: Chrome, tmp_path: Path):
    run = write_run(tmp_path / "<img src=x onerror=alert(1)>")

    page = opened(browser, write_report(run, tmp_path / "r.html"))

    assert page.title == "Report: <img src=x onerror=alert(1)>"
    assert page.get_log("browser") == []  # nothing that the page's policy had to refuse
    assert page.execute_script(SCRIPTED) == 0
    assert page.execute_script(LOADED) == []
    for element in ("script", "link", "iframe", "object", "form", "base", "b > img"):
        assert page.find_elements(By.CSS_SELECTOR, element) == [], element
    images = page.find_elements(By.CSS_SELECTOR, "image")
    assert [one.get_attribute("href")[:23] for one in images] == ["data:image/jpeg;base64,"] * len(NAMES)
    titles = page.execute_script("return [...document.querySelectorAll('#classes td:first-child bdi')]"
                                 ".map(e => e.textContent)")  # fmt: skip
    assert titles == SHOWN
    captions = page.execute_script("return [...document.querySelectorAll('figcaption bdi')].map(e => e.textContent)")
    assert captions == [name.rpartition("/")[2] for name in SHOWN]


def test_hostile_names_are_text_in_a_comparison(browser: Chrome, tmp_path: Path):
    first, second = write_run(tmp_path / "a" / NAMES[3]), write_run(tmp_path / "<script>document.title=1</script>")

    page = opened(browser, write_comparison([first, second], tmp_path / "c.html"))

    assert page.title == f"Comparison: {NAMES[3]}, script>"  # the name has a slash, and a folder's name has none
    assert page.get_log("browser") == []
    assert page.execute_script(SCRIPTED) == 0
    assert page.find_elements(By.CSS_SELECTOR, "script") == []


@pytest.mark.parametrize("width", [360, 1280])
def test_a_report_fits_its_screen_in_light_and_in_dark(browser: Chrome, tmp_path: Path, width: int):
    path = write_report(write_run(tmp_path / "run"), tmp_path / "r.html")
    ground = "return getComputedStyle(document.documentElement).backgroundColor"

    colours = set()
    for scheme in ("light", "dark"):
        page = opened(browser, path, width=width, scheme=scheme)
        colours.add(page.execute_script(ground))
        assert page.execute_script("return document.documentElement.scrollWidth") <= width

    assert colours == {"rgb(255, 255, 255)", "rgb(20, 24, 29)"}


def test_the_policy_refuses_what_is_not_of_the_report(browser: Chrome, tmp_path: Path):
    path = write_report(write_run(tmp_path / "run"), tmp_path / "r.html")
    path.write_text(path.read_text().replace("</body>", "<script>document.title='hit'</script></body>"))

    page = opened(browser, path)

    assert page.title == "Report: run"
    assert ["Content Security Policy" in entry["message"] for entry in page.get_log("browser")] == [True]
