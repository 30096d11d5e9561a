"""The page in a real Chromium, whose fake camera shows a clock: what a user does, and what the disk holds then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("selenium", reason="selenium is not installed; pip install 'taolite[dev]' brings it")
pytest.importorskip("uvicorn")

import numpy as np
from PIL import Image
from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from taolite import formats
from taolite.formats.check import check
from taolite.formats.folders import read_folders
from taolite.formats.voc_sets import read_voc_set

from .browser import NEEDS_CHROMIUM, Browser

pytestmark = NEEDS_CHROMIUM
VECTORS = Path(__file__).parents[1] / "vectors" / "0.1.0"
HOSTILE = '<img src=x onerror="document.title=1">'


class Page(Browser):
    """The page as a user sees it."""

    def ready(self) -> Page:
        self.until(lambda: self.find("take").is_enabled(), "the camera does not show")
        return self

    def saved(self, text: str) -> None:
        self.until(lambda: text in self.find("last").text, f"{text} was not saved; the page says: {self.message}")

    @property
    def message(self) -> str:
        return self.find("message").text

    def drag(self, x1: float, y1: float, x2: float, y2: float) -> None:
        """From one place of the picture to another, in fractions of its size."""
        view = self.find("boxes")
        width, height = view.rect["width"], view.rect["height"]
        places = [(round((x - 0.5) * width), round((y - 0.5) * height)) for x, y in ((x1, y1), (x2, y2))]
        act = ActionChains(self.driver, duration=50)
        act.move_to_element_with_offset(view, *places[0]).click_and_hold()
        act.move_to_element_with_offset(view, *places[1]).release().perform()


@pytest.fixture
def start(driver, launch) -> Callable[..., Page]:
    """start(*words): `taolite WORDS` on a free port, and its page in the browser."""
    return lambda *words: Page(driver, launch(*words))


def files(root: Path, pattern: str) -> list[Path]:
    return sorted(root.glob(pattern))


def test_a_class_list_is_made_and_pictures_are_taken_with_keys(tmp_path: Path, start):
    root = tmp_path / "pets"
    page = start("capture", root, "--quality", "50")
    assert "token" not in page.driver.current_url
    page.find("new-list").send_keys("dog\ncat\n")
    page.find("make-list").click()
    page.ready()

    for keys, folder in (
        ("1 ", "train/cat"),
        ("2 ", "train/dog"),
        ("v1 ", "val/cat"),
        ("2 ", "val/dog"),
        ("t ", "train/dog"),
    ):
        before = len(files(root, f"{folder}/*.jpg"))
        page.press(*keys)
        page.until(lambda: len(files(root, f"{folder}/*.jpg")) == before + 1)  # noqa: B023
        page.ready()

    page.until(
        lambda: (
            [td.text for td in page.driver.find_elements(By.CSS_SELECTOR, "#foot td")]
            == ["all pictures", "3", "2", "0"]
        )
    )
    assert (root / "labels.txt").read_text() == "cat\ndog\n"
    assert len(read_folders(root / "train", classes=["cat", "dog"])) == 3
    assert check(root).problems == ()
    with Image.open(files(root, "train/cat/*.jpg")[0]) as picture:
        assert picture.size == (1280, 720)
        assert picture.quantization[0][0] == 16  # of the standard table at quality 50
    assert page.complaints == []


def test_undo_removes_the_last_picture_also_after_a_reload(tmp_path: Path, start):
    (tmp_path / "labels.txt").write_text("cat\n")
    page = start("capture", tmp_path).ready()
    page.press(" ")
    page.saved("train/cat/")
    page.driver.refresh()
    page.ready()
    page.saved("train/cat/")

    page.press("z")

    page.saved("Nothing saved yet")
    assert files(tmp_path, "train/cat/*") == []
    assert not page.find("undo").is_enabled()


def test_boxes_are_drawn_on_a_frozen_picture_and_land_where_they_were_drawn(tmp_path: Path, start):
    (tmp_path / "labels.txt").write_text("apple\npear\n\n")
    page = start("capture", tmp_path, "--format", "voc").ready()

    page.press(" ")
    page.until(lambda: page.find("boxes").is_displayed())
    page.drag(0.25, 0.25, 0.75, 0.5)
    page.press(Keys.ESCAPE, "2")
    page.drag(0.8, 0.6, 1.2, 0.9)
    page.drag(0.05, 0.05, 0.06, 0.051)  # a click, and no box
    page.press("s")
    page.saved("JPEGImages/")

    (sample,) = formats.read(tmp_path, "voc", split="train")
    assert [label.name for label in sample.labels] == ["apple", "pear"]
    scale = 1280 / page.find("view").rect["width"]
    for label, box in zip(sample.labels, [(320, 180, 960, 360), (1024, 432, 1280, 648)], strict=True):
        assert all(abs(a - b) <= 1.5 * scale for a, b in zip(label.box, box, strict=True)), label
    assert page.complaints == []


def test_a_box_is_moved_resized_renamed_deleted_and_taken_back(tmp_path: Path, start):
    (tmp_path / "labels.txt").write_text("a\nb\n")
    page = start("capture", tmp_path, "--format", "labelme").ready()
    page.press(" ")
    page.until(lambda: page.find("boxes").is_displayed())
    page.drag(0.2, 0.2, 0.4, 0.4)

    page.drag(0.3, 0.3, 0.4, 0.4)  # move it by a tenth
    page.drag(0.5, 0.5, 0.7, 0.8)  # its lower right corner
    page.press("2")
    page.press(Keys.ESCAPE)
    page.drag(0.05, 0.8, 0.2, 0.95)
    page.press(Keys.DELETE)
    page.drag(0.05, 0.8, 0.2, 0.95)
    page.press("z")  # the second box only
    page.press("s")
    page.saved("train/")

    (sample,) = formats.read(tmp_path, "labelme")
    (label,) = sample.labels
    assert label.name == "b"
    scale = 1280 / page.find("view").rect["width"]
    assert all(abs(a - b) <= 2.5 * scale for a, b in zip(label.box, (384, 216, 896, 576), strict=True)), label


def test_a_data_set_that_was_collected_is_trained_on(tmp_path: Path, start):
    (tmp_path / "labels.txt").write_text("apple\n")
    page = start("capture", tmp_path, "--format", "voc").ready()

    for key in "tve":
        page.press(key, " ")
        page.until(lambda: page.find("boxes").is_displayed())
        page.drag(0.3, 0.3, 0.6, 0.6)
        count = len(files(tmp_path, "Annotations/*.xml"))
        page.press(" ")
        page.until(lambda: len(files(tmp_path, "Annotations/*.xml")) == count + 1)  # noqa: B023
        page.ready()

    parts = {name: read_voc_set(tmp_path, split=name) for name in ("train", "test")}
    assert {name: len(part.samples) for name, part in parts.items()} == {"train": 2, "test": 1}
    report = check(tmp_path)
    assert (report.format, report.images, report.labels, report.problems) == ("voc", 3, 3, ())


def test_the_pictures_of_a_folder_are_labelled_one_after_the_other(tmp_path: Path, start):
    for name in ("a", "b"):
        Image.new("RGB", (400, 300), "navy").save(tmp_path / f"{name}.png")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    page = start("annotate", tmp_path, "--page")
    page.find("new-list").send_keys("ship")
    page.find("make-list").click()
    page.until(lambda: page.find("where").text == "1 of 3: a.png, no labels yet")
    page.ready()

    page.drag(0.1, 0.1, 0.5, 0.5)
    page.press(Keys.ARROW_RIGHT)
    page.until(lambda: page.find("where").text == "2 of 3: b.png, no labels yet")
    page.press(Keys.ARROW_RIGHT)
    page.until(lambda: "broken.jpg: not a readable image" in page.message)
    page.press(Keys.ARROW_LEFT)
    page.until(lambda: page.find("where").text == "2 of 3: b.png, no labels yet")
    page.drag(0.2, 0.2, 0.9, 0.9)
    page.press("s")
    page.until(lambda: (tmp_path / "b.json").exists())

    found = {sample.image.name: sample.labels[0] for sample in formats.read(tmp_path, "labelme")}
    page.until(lambda: page.find("where").text == "2 of 3: b.png" and page.find("boxes").is_displayed())
    page.drag(0.02, 0.1, 0.1, 0.18)
    assert page.find("discard").is_displayed()
    page.press(Keys.ESCAPE, Keys.ESCAPE)  # nothing is chosen; the new box is discarded
    page.until(lambda: page.find("where").text == "2 of 3: b.png")
    assert not page.find("discard").is_displayed()

    assert {name: label.name for name, label in found.items()} == {"a.png": "ship", "b.png": "ship"}
    assert all(abs(a - b) <= 1.5 for a, b in zip(found["a.png"].box, (40, 30, 200, 150), strict=True))


def test_names_of_classes_and_files_are_text_and_never_markup(tmp_path: Path, start):
    name = HOSTILE.replace("/", "")
    Image.new("RGB", (60, 40)).save(tmp_path / f"{name}.png")
    (tmp_path / "labels.txt").write_text(f"{name}\n")

    page = start("annotate", tmp_path, "--page")
    page.ready()
    page.drag(0.2, 0.2, 0.9, 0.9)
    page.press("s")
    page.until(lambda: (tmp_path / f"{name}.json").exists())

    assert name in page.find("rows").text
    assert page.driver.find_elements(By.CSS_SELECTOR, "img[src=x]") == []
    assert page.driver.title != "1"
    assert page.complaints == []


def test_the_server_s_video_is_shown_and_frozen(tmp_path: Path, start):
    for value in range(3):
        Image.new("RGB", (200, 100), (80 * value, 60, 60)).save(tmp_path / f"{value}.png")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "labels.txt").write_text("cat\n")
    page = start("capture", tmp_path / "set", "--input", tmp_path).ready()

    page.press(" ")
    page.saved("train/cat/")
    with Image.open(files(tmp_path / "set", "train/cat/*.jpg")[0]) as picture:
        assert picture.size == (200, 100)
    page.until(lambda: "it has ended after 3 frames" in page.find("wait-text").text)
    page.find("again").click()
    page.ready()


def test_a_model_draws_the_first_boxes(tmp_path: Path, start):
    pixels = np.random.default_rng(5).integers(0, 90, (64, 96, 3)).astype(np.uint8)
    pixels[20:44, 10:42] = 230
    (tmp_path / "in").mkdir()
    Image.fromarray(pixels).save(tmp_path / "in" / "plate.png")
    words = ["--input", tmp_path / "in", "--model", VECTORS / "detectnet" / "model.etlt", "-k", "tlt_encode"]
    page = start("capture", tmp_path / "set", *words, "--threshold", "0").ready()

    page.press(" ")
    page.until(lambda: page.message.startswith("The model proposes "))
    count = len(page.driver.find_elements(By.CSS_SELECTOR, "#boxes .box"))
    page.press("s")
    page.saved("JPEGImages/")

    (sample,) = formats.read(tmp_path / "set", "voc")
    assert {label.name for label in sample.labels} == {"plate"}
    assert len(sample.labels) == count > 0


def test_a_missing_camera_of_the_server_is_said_and_pictures_can_be_labelled(tmp_path: Path, start):
    (tmp_path / "JPEGImages").mkdir()
    Image.new("RGB", (60, 40)).save(tmp_path / "JPEGImages" / "a.png")
    (tmp_path / "labels.txt").write_text("cat\n")
    page = start("capture", tmp_path, "--input", "/dev/video97")

    page.until(lambda: "/dev/video97" in page.find("wait-text").text)
    assert page.find("again").is_displayed()
    page.find("tab-pictures").click()
    page.until(lambda: "JPEGImages/a.png, no labels yet" in page.find("where").text)
    page.ready()


def test_a_folder_that_refuses_is_said_and_the_boxes_stay(tmp_path: Path, start):
    (tmp_path / "labels.txt").write_text("cat\n")
    page = start("capture", tmp_path, "--format", "voc").ready()
    page.press(" ")
    page.until(lambda: page.find("boxes").is_displayed())
    page.drag(0.2, 0.2, 0.6, 0.6)
    (tmp_path / "JPEGImages").write_text("a file in the way")

    page.press("s")
    page.until(lambda: "a file is where a folder should be" in page.message)
    (tmp_path / "JPEGImages").unlink()
    page.press("s")
    page.saved("JPEGImages/")

    assert len(formats.read(tmp_path, "voc")[0].labels) == 1


def test_a_server_that_is_gone_is_said_and_the_boxes_stay(tmp_path: Path, start, driver):
    (tmp_path / "labels.txt").write_text("cat\n")
    page = start("capture", tmp_path, "--format", "voc").ready()
    page.press(" ")
    page.until(lambda: page.find("boxes").is_displayed())
    page.drag(0.2, 0.2, 0.6, 0.6)
    driver.execute_script("window.fetch = () => Promise.reject(new TypeError('gone'))")

    page.press("s")

    page.until(lambda: page.message.startswith("taolite does not answer."))
    assert len(driver.find_elements(By.CSS_SELECTOR, "#boxes .box")) == 1
    driver.execute_script("window.onbeforeunload = null")


def test_a_wrong_token_is_told_on_a_page(tmp_path: Path, start):
    page = start("capture", tmp_path)
    address = page.driver.current_url

    page.driver.delete_all_cookies()
    page.driver.get(f"{address}?token=wrong")

    assert page.driver.find_element(By.TAG_NAME, "h1").text == "This address is not complete"


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_the_page_fits_a_screen_and_a_phone(tmp_path: Path, start, driver, width: int, height: int):
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 800}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        (tmp_path / "labels.txt").write_text("cat\na class with a very long name that goes on and on for ever\n")
        page = start("capture", tmp_path).ready()

        assert driver.execute_script("return document.documentElement.scrollWidth") <= width
        area = page.find("take").rect
        assert area["y"] + area["height"] <= height
        assert page.find("video").is_displayed()
        page.driver.find_element(By.CSS_SELECTOR, "#settings summary").click()
        assert (
            driver.execute_script("const e = document.querySelector('.scroll'); return e.scrollWidth - e.clientWidth")
            == 0
        )
    finally:
        driver.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
