"""A headless Chromium with a profile of its own, that tells what it asked the network for and what went wrong."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service

FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars",
)  # fmt: skip
WIDE, PHONE = (1280, 900), (390, 844)


@dataclass(frozen=True)
class Browser:
    """A page in a browser."""

    driver: Chrome

    def open(self, path: Path) -> Browser:
        """Loads a file and forgets what was before."""
        self.requests()
        self.driver.get_log("browser")
        self.driver.get(path.absolute().as_uri())
        return self

    def run(self, script: str, *arguments: Any) -> Any:
        """Gives what a script returns."""
        return self.driver.execute_script(script, *arguments)

    def resize(self, size: tuple[int, int], *, is_dark: bool = False) -> None:
        """Sets the size of the page in CSS pixels, and the theme; nothing moves by itself."""
        metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size[0] < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        theme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        still = {"name": "prefers-reduced-motion", "value": "reduce"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [theme, still]})

    def errors(self) -> list[str]:
        """Gives what the console complained about."""
        return [entry["message"] for entry in self.driver.get_log("browser")]

    def requests(self) -> list[str]:
        """Gives the addresses that were asked for since the last call, without those inside the page."""
        messages = (json.loads(entry["message"])["message"] for entry in self.driver.get_log("performance"))
        asked = (
            m["params"]["request"]["url"] for m in messages if m["method"] == "Network.requestWillBeSent"
        )
        return [url for url in asked if not url.startswith(("data:", "chrome"))]


@contextlib.contextmanager
def browser() -> Iterator[Browser]:
    """Starts a browser; skips the test where there is none."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    chromedriver = shutil.which("chromedriver")
    if chromium is None or chromedriver is None:
        pytest.skip("there is no chromium with chromedriver here")
    options = ChromeOptions()
    options.binary_location = chromium
    with tempfile.TemporaryDirectory(prefix="loralab-browser-", ignore_cleanup_errors=True) as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}", f"--window-size={WIDE[0]},{WIDE[1]}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"performance": "ALL", "browser": "ALL"})
        driver = Chrome(options=options, service=Service(chromedriver))
        try:
            yield Browser(driver)
        finally:
            driver.quit()
