"""A page in a real Chromium, as a user sees it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable

import pytest
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

__all__ = ["NEEDS_CHROMIUM", "Browser", "open_chromium"]

os.environ.update(SE_OFFLINE="true", SE_AVOID_STATS="true")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")
NEEDS_CHROMIUM = [
    pytest.mark.sockets,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="no Chromium here: apt-get install chromium chromium-driver"),
]
FLAGS = (
    *("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--no-first-run"),
    *("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream", "--window-size=1280,900"),
)
_PATIENCE_S = 20


def open_chromium() -> Chrome:
    """A browser without a screen."""
    options = ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in FLAGS:
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return Chrome(options=options, service=ChromeService(DRIVER))


class Browser:
    """The page at an address."""

    def __init__(self, driver: Chrome, address: str) -> None:
        self.driver = driver
        driver.get_log("browser")  # of the page before
        driver.get(address)

    def find(self, name: str):
        return self.driver.find_element(By.ID, name)

    def all(self, selector: str):
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def press(self, *keys: str) -> None:
        for key in keys:
            self.driver.find_element(By.TAG_NAME, "body").send_keys(key)

    def until(self, what: Callable[[], object], reason: str = "", *, patience_s: float = _PATIENCE_S) -> None:
        stale = [StaleElementReferenceException]
        waits = WebDriverWait(self.driver, patience_s, poll_frequency=0.05, ignored_exceptions=stale)
        waits.until(lambda _: what(), reason)

    @property
    def complaints(self) -> list[str]:
        """What the browser's console says: errors of the scripts, and what the page may not load."""
        return [entry["message"] for entry in self.driver.get_log("browser")]
