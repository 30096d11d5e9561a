"""The board in a real Chromium: what a user sees of runs that are finished, that are broken, and that are training."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("selenium", reason="selenium is not installed; pip install 'taolite[dev]' brings it")
pytest.importorskip("uvicorn")

from PIL import Image
from selenium.webdriver.common.keys import Keys

from taolite.workspace.finds import Finds, Looked, Thing
from tests.stages.conftest import tiny, write_spec  # noqa: F401  (tiny is a fixture)

from .browser import NEEDS_CHROMIUM, Browser
from .workspaces import make_run

pytestmark = NEEDS_CHROMIUM
HOSTILE = '<img src=x onerror="document.title=1">'


class Page(Browser):
    """The board as a user sees it."""

    def press(self, *keys: str) -> None:
        """Press keys where the focus is."""
        for key in keys:
            self.driver.switch_to.active_element.send_keys(key)

    def go(self, place: str) -> None:
        self.driver.execute_script("location.hash = arguments[0]", place)

    def names(self) -> list[str]:
        return [one.text for one in self.all("#runs tbody .col-name > :first-child")]

    def listed(self, *names: str) -> Page:
        self.until(lambda: self.names() == list(names), f"{names} are not listed; the page has {self.names()}")
        return self

    def row(self, name: str):
        return next(row for row in self.all("#runs tbody tr") if name in row.text)

    def opened(self, name: str, tab: str = "") -> Page:
        """The page of a run, by a click on its name."""
        self.until(lambda: name in self.names())
        next(link for link in self.all("#runs .col-name a") if link.text == name).click()
        self.until(lambda: self.find("run-name").text == name)
        if tab:
            self.find(f"tab-{tab}").click()
        return self

    def texts(self, selector: str) -> list[str]:
        return [one.text for one in self.all(selector)]

    def sums(self) -> list[str]:
        return [text.replace("\n", " ") for text in self.texts("#sums .sum")]

    def slide(self, value: float) -> None:
        script = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input'));"
        script += "arguments[0].dispatchEvent(new Event('change'))"
        self.driver.execute_script(script, self.find("threshold"), value)


@pytest.fixture
def start(driver, launch) -> Callable[[Path], Page]:
    """start(root): `taolite board ROOT` on a free port, and its page in the browser."""
    return lambda root: Page(driver, launch("board", root, "--no-browser"))


def picture(path: Path) -> Path:
    Image.fromarray(np.full((60, 100, 3), 120, np.uint8)).save(path)
    return path


CAT, DOG, ELSEWHERE = (10.0, 10.0, 40.0, 50.0), (60.0, 10.0, 90.0, 50.0), (41.0, 1.0, 59.0, 9.0)


def some_finds(root: Path) -> Finds:
    """Two pictures. The first has a cat that is found at 0.9 and a dog at 0.3, and a wrong find at 0.6; of the second,
    whose file is gone, a difficult cat is found and a dog is taken for a cat."""
    first = Looked(
        str(picture(root / "first.png")),
        (60, 100),
        (Thing(0, CAT), Thing(1, DOG)),
        (Thing(0, CAT, 0.9), Thing(0, ELSEWHERE, 0.6), Thing(1, DOG, 0.3)),
    )
    hard = (Thing(0, CAT, difficult=True), Thing(1, DOG))
    second = Looked(str(root / "gone.png"), (60, 100), hard, (Thing(0, CAT, 0.8), Thing(0, DOG, 0.7)))
    return Finds(("cat", "dog"), 2, (first, second))


def test_runs_are_listed_filtered_and_sorted_with_the_keyboard(tmp_path: Path, start):
    make_run(tmp_path / "plates" / "a", scores=(0.2, 0.9))
    make_run(tmp_path / "plates" / "b", scores=(0.2, 0.4))
    make_run(tmp_path / "pets", task="classification", end="FAILURE", message="no space left")
    (make_run(tmp_path / "torn") / "manifest.json").write_text("{")
    page = start(tmp_path)
    page.listed("pets", "plates/a", "plates/b", "torn")
    assert page.find("count").text == "4 runs"
    assert [cell.text for cell in page.row("plates/a").find_elements("css selector", "td")] == [
        *("", "plates/a", "detectnet", "finished", "2 / 2", "0.9000 mAP", "2026-12-01 09:30", "2 min", ""),
    ]
    assert "no space left" in page.row("pets").text
    assert "not a manifest" in page.row("torn").text

    page.press("/", "plates")
    page.listed("plates/a", "plates/b")
    assert page.find("count").text == "2 of 4 runs"
    page.find("search").send_keys(Keys.ESCAPE)
    next(head for head in page.all("#runs thead button") if head.text.startswith("Score")).click()
    page.listed("plates/a", "pets", "plates/b", "torn")
    page.find("only-state").find_element("css selector", "option[value=failed]").click()
    page.listed("pets")
    page.find("only-state").find_element("css selector", "option[value='']").click()
    page.find("only-task").find_element("css selector", "option[value=detectnet]").click()
    page.listed("plates/a", "plates/b")

    page.find("search").send_keys(Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    page.press(Keys.ARROW_DOWN, Keys.ENTER)
    page.until(lambda: page.find("run-name").text == "plates/b")
    assert page.complaints == []


def test_the_page_of_a_run_shows_curves_scores_and_files(tmp_path: Path, start):
    folder = make_run(tmp_path / "a", scores=(0.25, 0.5, 0.75), seed=42, versions={"python": "3.11.7"})
    (folder / "plots").mkdir()
    picture(folder / "plots" / "f1.png")
    page = start(tmp_path).opened("a")

    page.until(lambda: page.texts(".chart h2") == ["COST", "SCORE", "LEARNING RATE"] or len(page.all(".chart")) == 4)
    page.until(lambda: len(page.all(".chart:nth-child(2) circle")) >= 9)  # the metric and two classes, three times
    chart = page.all(".chart:nth-child(1) svg")[0]
    chart.send_keys(Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    page.until(lambda: page.texts(".chart:nth-child(1) .tip div") == ["epoch 2", "training\n0.5", "validation\n1"])
    assert [row.split() for row in page.texts("#classes tbody tr")] == [
        ["cat", "3", "0.7500", "0.500", "0.800", "0.600", "0.700"],
        ["dog", "3", "0.7500", "0.500", "0.800", "0.600", "0.700"],
    ]
    assert page.texts("#confusion thead th")[1:] == ["cat", "dog", "background"]
    page.find("tab-plots").click()
    page.until(lambda: page.driver.execute_script("return document.querySelector('.plots img')?.naturalWidth") == 100)
    page.find("tab-spec").click()
    page.until(lambda: page.find("spec-text").text.startswith("random_seed: 42"))
    page.find("tab-files").click()
    page.until(lambda: "3.11.7" in page.find("tab").text)
    assert page.texts("#status tr")[0].endswith("SUCCESS training job complete.")
    assert page.complaints == []


def test_a_run_that_failed_shows_its_message(tmp_path: Path, start):
    make_run(tmp_path / "a", end="FAILURE", message="labels.txt: no such file")

    page = start(tmp_path).opened("a")

    page.until(lambda: page.find("why").text == "labels.txt: no such file")


def test_the_slider_shows_finds_of_a_score_and_colours_them_without_the_server(tmp_path: Path, start):
    make_run(tmp_path / "runs" / "a", finds=some_finds(tmp_path))
    page = start(tmp_path / "runs").opened("a", "predictions")
    # the best threshold of both classes is 0.5: the dog of the first picture is missed, that of the second a wrong cat
    page.until(lambda: page.sums() == ["1 right", "2 wrong", "2 missed"])
    page.driver.execute_script("window.fetch = () => Promise.reject(new TypeError('gone'))")

    page.slide(0.25)
    page.until(lambda: page.sums() == ["2 right", "2 wrong", "1 missed"])
    shapes = "return [...document.querySelectorAll('[data-index=\"0\"] .shape')].map((one) => one.textContent)"
    assert page.driver.execute_script(shapes) == [
        "right: cat 0.90cat 0.90",
        "right: dog 0.30dog 0.30",
        "wrong: cat 0.60cat 0.60",
    ]
    page.slide(0.85)
    page.until(lambda: page.sums() == ["1 right", "0 wrong", "2 missed"])
    page.find("use-best").click()
    page.until(lambda: page.sums() == ["1 right", "2 wrong", "2 missed"])
    page.find("finds-only").find_element("css selector", "option[value=wrong]").click()
    page.until(lambda: len(page.all(".picture")) == 2)
    next(chip for chip in page.all(".chips button") if chip.text == "cat").click()
    page.until(lambda: page.sums() == ["0 right", "0 wrong", "2 missed"])
    page.until(lambda: page.texts("#pictures .empty") == ["No picture has that at this threshold."])


def test_a_picture_opens_large_and_one_that_is_gone_says_so(tmp_path: Path, start):
    make_run(tmp_path / "runs" / "a", finds=some_finds(tmp_path))
    page = start(tmp_path / "runs").opened("a", "predictions")
    page.until(lambda: page.texts(".gone") == ["This picture is not there any more, or cannot be read."])
    wide = "return document.querySelector('[data-index=\"0\"] img')?.naturalWidth"
    page.until(lambda: page.driver.execute_script(wide) == 100)

    page.all(".picture .open")[0].click()
    page.until(lambda: page.texts("dialog b") == ["first.png"])
    page.press(Keys.ARROW_RIGHT)
    page.until(lambda: page.texts("dialog b") == ["gone.png"])
    page.press(Keys.ARROW_LEFT)
    page.until(lambda: page.texts("dialog b") == ["first.png"])
    page.press(Keys.ESCAPE)
    page.until(lambda: not page.all("dialog[open]"))


def test_a_classifier_shows_its_answers(tmp_path: Path, start):
    path = picture(tmp_path / "1.png")
    right = Looked(str(path), (60, 100), (Thing(0),), (Thing(0, None, 0.75), Thing(1, None, 0.25)))
    wrong = Looked(str(path), (60, 100), (Thing(1),), (Thing(0, None, 0.6), Thing(1, None, 0.4)))
    folder = make_run(tmp_path / "runs" / "a", finds=Finds(("cat", "dog"), 2, (right, wrong)))
    (folder / "scores.json").unlink()

    page = start(tmp_path / "runs").opened("a", "predictions")

    page.until(lambda: page.sums() == ["1 right", "1 wrong", "1 missed"])
    assert page.texts(".picture .answer") == ["cat\n0.75", "dog\n0.25", "cat\n0.60", "dog\n0.40"]
    page.slide(0.7)
    page.until(lambda: page.sums() == ["1 right", "0 wrong", "1 missed"])


def test_a_run_without_finds_says_how_to_get_them(tmp_path: Path, start):
    make_run(tmp_path / "a")

    page = start(tmp_path).opened("a", "predictions")

    page.until(lambda: "taolite detectnet evaluate -e" in page.find("tab").text)


def test_two_runs_are_compared(tmp_path: Path, start):
    make_run(tmp_path / "a", batch=4)
    make_run(tmp_path / "b", batch=8, scores=(0.25, 0.5))
    page = start(tmp_path).listed("a", "b")
    assert not page.find("compare").is_enabled()

    for box in page.all("#runs .pick"):
        box.click()
    page.until(lambda: page.find("compare").text == "Compare 2 runs")
    page.press("c")

    page.until(lambda: len(page.all("#summary tbody tr")) == 2)
    assert page.texts("#spec-differences tbody tr") == ["training_config.batch_size_per_gpu 4 8"]
    assert page.texts("#class-scores tbody tr") == ["cat 0.7500 0.5000 −0.2500", "dog 0.7500 0.5000 −0.2500"]
    page.until(lambda: page.texts(".chart:nth-child(3) .legend button") == ["a", "b"])
    assert page.complaints == []


def test_lineage_is_drawn_and_leads_to_the_run(tmp_path: Path, start):
    pruned = {"small.tlt": {"weights_sha256": "b" * 64, "parameters": 10}}
    make_run(tmp_path / "first", weights_sha256="a" * 64, pruned=pruned)
    make_run(tmp_path / "second", parent="b" * 64, exports={"m.etlt": {}})
    make_run(tmp_path / "other", data="e" * 64)
    page = start(tmp_path)
    page.find("go-lineage").click()

    page.until(lambda: len(page.all(".node")) == 7)
    assert len(page.all(".edge")) == 6
    page.find("search").send_keys("m.etlt")
    page.until(lambda: len(page.all(".node")) == 5)
    left = {one.get_attribute("data-node").split(":")[-1]: one.rect["x"] for one in page.all(".node")}
    first, second = (page.driver.execute_script(FIND, name) for name in ("first", "second"))
    assert left[first] < left["small.tlt"] < left[second] < left["m.etlt"]
    page.all("a.node")[-1].click()
    page.until(lambda: page.find("run-name").text in ("first", "second"))


FIND = (
    "return [...document.querySelectorAll('a.node')].find((one) => one.textContent.includes(arguments[0])).dataset.node"
)


def test_names_messages_and_specs_are_text_and_never_markup(tmp_path: Path, start):
    root = tmp_path / "runs"
    box = (10.0, 10.0, 40.0, 50.0)
    looked = Looked(str(tmp_path / HOSTILE.replace("/", "")), (60, 100), (Thing(0, box),), (Thing(0, box, 0.9),))
    shared = {"classes": (HOSTILE,), "finds": Finds((HOSTILE,), 1, (looked,)), "versions": {HOSTILE: HOSTILE}}
    make_run(root / HOSTILE, **shared, exports={HOSTILE: {"precision": HOSTILE}}, pruned={HOSTILE: {}})
    make_run(root / "b", **shared, task=HOSTILE)
    failed = make_run(root / "failed", end="FAILURE", message=HOSTILE, batch=HOSTILE)  # type: ignore[arg-type]
    (failed / "plots").mkdir()
    picture(failed / "plots" / f"{HOSTILE}.png")
    page = start(root)
    page.listed(HOSTILE, "b", "failed")
    ids = [row.get_attribute("data-id") for row in page.all("#runs tbody tr")]

    shown = {f"#/run/{one}/{tab}": "#tab *" for one in ids for tab in ("", "predictions", "plots", "spec", "files")}
    for place, part in {**shown, f"#/compare/{','.join(ids)}": "#summary tr", "#/lineage": ".node"}.items():
        page.go(place)
        page.until(lambda part=part: len(page.all(part)) > 1 or page.all(".picture, #spec-text"), place)
        assert page.all("img[src=x]") == []
        assert page.driver.title != "1"
    page.go(f"#/run/{ids[0]}/predictions")
    page.until(lambda: page.texts(".picture .name") == [HOSTILE])
    assert not [said for said in page.complaints if "404" not in said]  # the picture is not there


def test_a_wrong_token_shows_nothing(tmp_path: Path, driver, launch):
    make_run(tmp_path / "secret-run")
    address = launch("board", tmp_path, "--no-browser")

    page = Page(driver, address.partition("token=")[0] + "token=wrong")

    assert page.all("h1")[0].text == "This address is not complete"
    assert "secret-run" not in driver.page_source
    answer = "const done = arguments[0]; fetch('/api/runs').then((answer) => done(answer.status))"
    assert driver.execute_async_script(answer) == 403


def test_a_server_that_is_gone_is_said_and_what_is_known_stays(tmp_path: Path, start):
    make_run(tmp_path / "a")
    page = start(tmp_path).listed("a")

    page.driver.execute_script("window.fetch = () => Promise.reject(new TypeError('gone'))")

    said = "taolite does not answer. See whether it still runs in the terminal; this page shows what was last known."
    page.until(lambda: page.find("message").text == said)
    assert page.names() == ["a"]


def test_a_training_is_followed_while_the_page_is_open(tiny: Path, tmp_path: Path, start):  # noqa: F811
    spec, results = write_spec(tiny, "board.txt", epochs=500), tmp_path / "runs" / "live"
    results.parent.mkdir()
    page = start(results.parent)
    page.until(lambda: "no runs in this folder yet" in page.find("empty").text)
    words = ["detectnet", "train", "-e", spec, "-r", results, "-k", "key", "-n", "m"]
    training = subprocess.Popen(
        [sys.executable, "-m", "taolite", *map(str, words)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        page.until(lambda: page.names() == ["live"], "the run does not appear", patience_s=120)
        bar = "return document.querySelector('#runs progress')?.value ?? 0"
        page.until(lambda: page.driver.execute_script(bar) >= 1, "no epoch is shown", patience_s=120)
        before = page.driver.execute_script(bar)
        page.until(lambda: page.driver.execute_script(bar) > before, "the bar does not move", patience_s=120)
        assert "left" in page.row("live").text
        assert page.row("live").find_element("css selector", ".badge").text == "running"

        page.opened("live")
        points = "return document.querySelector('.chart .curve')?.getAttribute('d').split('L').length ?? 0"
        page.until(lambda: page.driver.execute_script(points) >= 2, patience_s=120)
        count = page.driver.execute_script(points)
        page.until(lambda: page.driver.execute_script(points) > count, "the curve does not grow", patience_s=120)
        page.until(lambda: "mAP" in page.all(".facts")[0].text, "no validation is shown", patience_s=120)
    finally:
        training.send_signal(signal.SIGTERM)
        training.communicate(timeout=120)
    page.until(lambda: page.all(".run-head .badge")[0].text == "stopped", patience_s=60)
    assert json.loads((results / "status.json").read_text().splitlines()[-1])["stopped"] is True
    assert page.complaints == []
