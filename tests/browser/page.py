"""The page as tests see it: what can be clicked, typed and read."""

import base64
from pathlib import Path

from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webdriver import WebDriver
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.wait import WebDriverWait

_DROP = """
const [text, name, type] = arguments, files = new DataTransfer();
files.items.add(new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], name, {type}));
document.body.dispatchEvent(new DragEvent("drop", {bubbles: true, cancelable: true, dataTransfer: files}));
"""
_PASTE = _DROP.replace('DragEvent("drop"', 'ClipboardEvent("paste"').replace("dataTransfer:", "clipboardData:")
_FETCHING = "network"
"""The console notes every 4xx; that is no complaint of a script."""


class Page:
    """One tab."""

    def __init__(self, driver: WebDriver, address: str, downloads: Path) -> None:
        self.driver, self.address, self._downloads = driver, address, downloads
        behaviour = {"behavior": "allow", "downloadPath": str(downloads)}
        driver.execute_cdp_cmd("Browser.setDownloadBehavior", behaviour)

    def open(self, url: str | None = None) -> None:
        self.driver.get(url or f"{self.address}/")
        if url is None:
            self.until(lambda: self.text("limits"))

    def until(self, condition, seconds: float = 20):
        return WebDriverWait(self.driver, seconds, poll_frequency=0.02).until(lambda _: condition())

    def __getitem__(self, identity: str) -> WebElement:
        return self.driver.find_element(By.ID, identity)

    def all(self, selector: str) -> list[WebElement]:
        return self.driver.find_elements(By.CSS_SELECTOR, selector)

    def text(self, identity: str) -> str:
        """What is written there; with a plain x for a multiplication sign."""
        return self[identity].text.replace("\N{MULTIPLICATION SIGN}", "x")

    def run(self, script: str, *arguments):
        return self.driver.execute_script(script, *arguments)

    def choose(self, path: Path) -> None:
        """By the file dialogue; until it is shown."""
        self["file"].send_keys(str(path))
        self.until(lambda: self["go"].is_enabled() and path.name in self.text("status"))

    def drop(self, data: bytes, name: str, kind: str) -> None:
        self.run(_DROP, base64.b64encode(data).decode(), name, kind)

    def paste(self, data: bytes, name: str, kind: str) -> None:
        self.run(_PASTE, base64.b64encode(data).decode(), name, kind)

    def pick(self, name: str, value: str) -> None:
        """A radio button, by its label, as a mouse would."""
        self.run("arguments[0].click()", self.all(f'input[name="{name}"][value="{value}"]')[0])

    def set(self, identity: str, value: object) -> None:
        """A value of a control, as if it were dragged or typed there."""
        script = "arguments[0].value = arguments[1]; arguments[0].dispatchEvent(new Event('input', {bubbles: true}))"
        self.run(script, self[identity], str(value))

    def go(self) -> None:
        self["go"].click()

    def made(self) -> bytes:
        """Press the button, wait, and take what Download saves."""
        self.go()
        self.until(lambda: self["outcome"].is_displayed() or self["trouble"].is_displayed())
        assert not self["trouble"].is_displayed(), self.text("trouble")
        self.run("arguments[0].scrollIntoView({block: 'center'})", self["download"])  # not under the fixed button
        self["download"].click()
        path = self._downloads / self["download"].get_attribute("download")
        self.until(path.exists)
        data = path.read_bytes()
        path.unlink()
        return data

    def trouble(self) -> str:
        """The error that is shown, once one is."""
        self.until(self["trouble"].is_displayed)
        return self.text("trouble-detail")

    def complaints(self) -> list[str]:
        """What scripts and the content policy wrote to the console since the last time."""
        entries = self.driver.get_log("browser")
        return [entry["message"] for entry in entries if entry["source"] != _FETCHING and entry["level"] != "INFO"]

    def close_other_tabs(self) -> None:
        first, *others = self.driver.window_handles
        for handle in others:
            self.driver.switch_to.window(handle)
            self.driver.close()
        self.driver.switch_to.window(first)
