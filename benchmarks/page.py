"""Time of the page in Chromium with a photograph of 12 megapixels: previews, thumbnails, and its longest tasks.

    .venv/bin/python benchmarks/page.py                   (needs `chromium` and `chromedriver`)

Starts the service with its bundled checkpoints, and measures in the page: from the choice of the file, or of a style,
until the picture is decoded. A long task keeps the main thread for 50 ms and more. Write the section of docs/results.md
with `benchmarks/document.py`.
"""

import argparse
import io
import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from engine import Row, table
from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from scripts.page import browser  # noqa: E402
from trainer.evaluation.results import this_machine  # noqa: E402

PHOTOGRAPH = ROOT / "docs" / "images" / "photographs" / "astronaut.jpg"
SIZE = (4000, 3000)
PREVIEW_S, THUMBNAILS_S, TASK_MS = 0.5, 3.0, 100
_WATCH = """
window.seen = {tasks: [], shifts: 0};
new PerformanceObserver((list) => list.getEntries().forEach((each) => seen.tasks.push(each.duration)))
    .observe({type: "longtask", buffered: true});
new PerformanceObserver((list) => list.getEntries().forEach((each) => {
    if (!each.hadRecentInput) seen.shifts += each.value;
})).observe({type: "layout-shift", buffered: true});
addEventListener("change", (event) => { if (event.target.id === "file") seen.chosen = performance.now(); }, true);
"""
_UNTIL = """
const [what, since, done] = arguments, began = since ?? performance.now();
const shown = document.getElementById("after").src;
const tiles = () => [...document.querySelectorAll("#gallery img")];
const ready = {
    first: () => document.getElementById("after-tag").textContent.startsWith("Preview"),
    next: () => document.getElementById("after").src !== shown,
    tiles: () => tiles().every((each) => each.src.startsWith("blob:")),
}[what];
if (what === "next") document.querySelector("#gallery input:not(:checked):not([data-seen])").click();
const look = async () => {
    if (!ready()) return setTimeout(look, 5);
    await Promise.all((what === "tiles" ? tiles() : [document.getElementById("after")]).map((each) => each.decode()));
    for (const each of document.querySelectorAll("#gallery input:checked")) each.dataset.seen = "";
    done(performance.now() - began);
};
look();
"""
Report = dict[str, Any]


def main() -> None:
    """Measure `--repeats` times, each with a fresh page of a service that is warm."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, default=ROOT / "out" / "page.json")
    options = parser.parse_args()
    environment = {**os.environ, "IMPASTO_PORT": "0", "IMPASTO_LOG_LEVEL": "error", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-u", "-m", "service"]
    service = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        assert service.stdout is not None
        listening = re.search(r"listens on (\S+)", service.stdout.readline())
        assert listening is not None, "the service did not start"
        with tempfile.TemporaryDirectory() as folder:
            photograph = Path(folder) / "photograph.jpg"
            photograph.write_bytes(large_photograph())
            driver = browser(f"{folder}/profile")
            try:
                driver.set_script_timeout(120)
                driver.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": _WATCH})
                runs = [visit(driver, listening[1], photograph) for _ in range(options.repeats + 1)][1:]
            finally:
                driver.quit()
    finally:
        service.terminate()
        service.wait()
    report = {"machine": this_machine().model_dump(), "runs": runs}
    options.json.parent.mkdir(parents=True, exist_ok=True)
    options.json.write_text(json.dumps(report, indent=1))
    print(document(report))


def large_photograph() -> bytes:
    """Return a JPEG of SIZE with the noise of a camera."""
    with Image.open(PHOTOGRAPH) as image:
        pixels = np.asarray(image.convert("RGB").resize(SIZE, Image.Resampling.BICUBIC)).astype(np.int16)
    noise = np.random.default_rng(0).normal(0, 3, (*pixels.shape[:2], 1))
    file = io.BytesIO()
    Image.fromarray((pixels + noise).clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=90)
    return file.getvalue()


def visit(driver: webdriver.Chrome, address: str, photograph: Path) -> dict[str, float]:
    """Open the page, choose the photograph and three styles; return milliseconds."""
    driver.get("about:blank")
    driver.get(address)
    driver.execute_async_script("const done = arguments[0]; setTimeout(done, 1500)")  # the thumbnails of the first view
    loading = driver.execute_script("return seen.tasks.splice(0)")
    driver.find_element(By.ID, "file").send_keys(str(photograph))
    chosen = driver.execute_script("return seen.chosen")
    first = driver.execute_async_script(_UNTIL, "first", chosen)
    tiles = driver.execute_async_script(_UNTIL, "tiles", chosen)
    styles = [driver.execute_async_script(_UNTIL, "next", None) for _ in range(3)]
    tasks = driver.execute_script("return seen.tasks")
    return {
        "first preview": first,
        "all thumbnails": tiles,
        "preview of another style": median(styles),
        "longest task while loading": max(loading, default=0.0),
        "longest task after that": max(tasks, default=0.0),
        "layout shift": driver.execute_script("return seen.shifts"),
    }


def document(found: Report) -> str:
    """Return the section of docs/results.md."""
    machine = found["machine"]
    middle = {name: median(run[name] for run in found["runs"]) for name in found["runs"][0]}
    most = {name: max(run[name] for run in found["runs"]) for name in found["runs"][0]}
    rows: list[Row] = [
        {"": "first preview, s", "median": middle["first preview"] / 1000, "largest": most["first preview"] / 1000},
        {
            "": f"preview of another style, s (target {PREVIEW_S:g})",
            "median": middle["preview of another style"] / 1000,
            "largest": most["preview of another style"] / 1000,
        },
        {
            "": f"thumbnails of all styles, s (target {THUMBNAILS_S:g})",
            "median": middle["all thumbnails"] / 1000,
            "largest": most["all thumbnails"] / 1000,
        },
        *(
            {"": f"{name}, ms (target {TASK_MS})", "median": middle[name], "largest": most[name]}
            for name in ("longest task while loading", "longest task after that")
        ),
        {"": "cumulative layout shift", "median": middle["layout shift"], "largest": most["layout shift"]},
    ]
    return "\n".join(
        [
            "## The page",
            "",
            (
                f"`python benchmarks/page.py`, {machine['date']}: {machine['processor']}, {machine['threads']} threads "
                f"for the service and for Chromium. {SIZE[0]} x {SIZE[1]} pixels, {len(found['runs'])} visits. "
                "Tasks shorter than 50 ms are not seen and count as 0."
            ),
            "",
            table(rows),
        ]
    )


if __name__ == "__main__":
    main()
