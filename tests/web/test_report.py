"""A report in a real Chromium: hostile names stay text, nothing is loaded, and it fits a phone."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("selenium", reason="selenium is not installed; pip install 'taolite[dev]' brings it")

from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from taolite.stages.reporting import write_comparison, write_report

from ..report.hostile import NAMES, SHOWN, write_run
from .browser import NEEDS_CHROMIUM

pytestmark = NEEDS_CHROMIUM


def opened(driver: Chrome, path: Path, *, width: int = 1280, scheme: str = "light") -> Chrome:
    driver.execute_cdp_cmd(
        "Emulation.setEmulatedMedia", {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
    )
    size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
    driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    driver.get_log("browser")  # of the page before
    driver.get(path.as_uri())
    return driver


SCRIPTED = (
    "return [...document.querySelectorAll('*')].flatMap(e => [...e.attributes]).filter(a => /^on/i.test(a.name)).length"
)
LOADED = "return performance.getEntriesByType('resource').map(e => e.name).filter(n => !n.startsWith('data:'))"


def test_hostile_names_are_text_and_nothing_runs_or_is_loaded(driver: Chrome, tmp_path: Path):
    run = write_run(tmp_path / "<img src=x onerror=alert(1)>")

    page = opened(driver, write_report(run, tmp_path / "r.html"))

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


def test_hostile_names_are_text_in_a_comparison(driver: Chrome, tmp_path: Path):
    first, second = write_run(tmp_path / "a" / NAMES[3]), write_run(tmp_path / "<script>document.title=1</script>")

    page = opened(driver, write_comparison([first, second], tmp_path / "c.html"))

    assert page.title == f"Comparison: {NAMES[3]}, script>"  # the name has a slash, and a folder's name has none
    assert page.get_log("browser") == []
    assert page.execute_script(SCRIPTED) == 0
    assert page.find_elements(By.CSS_SELECTOR, "script") == []


@pytest.mark.parametrize("width", [360, 1280])
def test_a_report_fits_its_screen_in_light_and_in_dark(driver: Chrome, tmp_path: Path, width: int):
    path = write_report(write_run(tmp_path / "run"), tmp_path / "r.html")
    ground = "return getComputedStyle(document.documentElement).backgroundColor"

    colours = set()
    for scheme in ("light", "dark"):
        page = opened(driver, path, width=width, scheme=scheme)
        colours.add(page.execute_script(ground))
        assert page.execute_script("return document.documentElement.scrollWidth") <= width

    assert colours == {"rgb(255, 255, 255)", "rgb(20, 24, 29)"}


def test_the_policy_refuses_what_is_not_of_the_report(driver: Chrome, tmp_path: Path):
    path = write_report(write_run(tmp_path / "run"), tmp_path / "r.html")
    path.write_text(path.read_text().replace("</body>", "<script>document.title='hit'</script></body>"))

    page = opened(driver, path)

    assert page.title == "Report: run"
    assert ["Content Security Policy" in entry["message"] for entry in page.get_log("browser")] == [True]
