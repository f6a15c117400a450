"""Make the screenshots of the page in docs/images/, with photographs restyled in headless Chromium.

Needs `chromium` and `chromedriver` (Debian: apt-get install chromium chromium-driver).
"""

import io
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

ROOT = Path(__file__).resolve().parent.parent
IMAGES = ROOT / "docs" / "images"
PHOTOGRAPHS = [IMAGES / "photographs" / f"{name}.jpg" for name in ("coffee", "chelsea", "rocket", "astronaut")]
VIEWS = {"page": (1280, 860, "light", PHOTOGRAPHS), "page_phone": (390, 844, "dark", PHOTOGRAPHS[:1])}
_QUALITY = 82


def main() -> None:
    """Write docs/images/page.jpg and page_phone.jpg."""
    service = subprocess.Popen(
        [sys.executable, "-u", "-m", "service"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
        env={"IMPASTO_PORT": "0", "IMPASTO_LOG_LEVEL": "error"},
    )
    try:
        assert service.stdout is not None
        listening = re.search(r"listens on (\S+)", service.stdout.readline())
        assert listening is not None, "the service did not start"
        for name, view in VIEWS.items():
            image = Image.open(io.BytesIO(picture_of(listening[1], *view))).convert("RGB")
            image.save(IMAGES / f"{name}.jpg", quality=_QUALITY, optimize=True)
    finally:
        service.terminate()
        service.wait()


def picture_of(address: str, width: int, height: int, scheme: str, photographs: list[Path]) -> bytes:
    """Return a PNG of the page with restyled photographs."""
    with tempfile.TemporaryDirectory() as profile:
        driver = browser(profile)
        try:
            metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
            media = {"features": [{"name": "prefers-color-scheme", "value": scheme}]}
            driver.execute_cdp_cmd("Emulation.setEmulatedMedia", media)
            driver.get(address)
            driver.find_element(By.ID, "file").send_keys("\n".join(map(str, photographs)))
            go = driver.find_element(By.ID, "go")
            WebDriverWait(driver, 30).until(lambda _: go.is_enabled())
            go.click()
            WebDriverWait(driver, 60).until(lambda _: driver.find_element(By.ID, "status").text.startswith("Done"))
            WebDriverWait(driver, 60).until(lambda _: driver.find_element(By.ID, "outcome").is_displayed())
            driver.execute_script("document.activeElement.blur(); scrollTo(0, 0)")
            tiles = "[...document.querySelectorAll('#gallery img')].every((image) => image.src.startsWith('blob:'))"
            loaded = f"return {tiles} && [...document.images].every((image) => image.complete || !image.offsetParent)"
            WebDriverWait(driver, 120).until(lambda _: driver.execute_script(loaded))
            return bytes(driver.get_screenshot_as_png())
        finally:
            driver.quit()


def browser(profile: str) -> webdriver.Chrome:
    """Return Chromium options: headless, also for root."""
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium") or ""
    flags = "headless=new no-sandbox disable-gpu disable-quic no-first-run disable-background-networking"
    for flag in (
        *flags.split(),
        "disable-component-update",
        "disable-sync",
        "hide-scrollbars",
        f"user-data-dir={profile}",
    ):
        options.add_argument(f"--{flag}")
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))


if __name__ == "__main__":
    main()
