"""Make the images of docs/parameters.md: the effect of each parameter on the photographs, by a running service."""

import io
import os
import signal
import subprocess
import sys

import httpx
import numpy as np
from demo import ROOT, wait_for_address
from pictures import CHECKPOINTS, CROP, IMAGES, read, stacked, strip
from PIL import Image

from trainer.data import reduce

QUARTERS = (0, 0.25, 0.5, 0.75, 1)
CELL_PX = (300, 200)
TELEPHONE_PIXELS = 12_000_000
WINDOW_PX = 400


def main() -> None:
    """Write one sheet for each parameter."""
    environment = {**os.environ, "IMPASTO_PORT": "0", "IMPASTO_CHECKPOINTS": str(CHECKPOINTS)}
    command = [sys.executable, "-u", "-m", "service"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as service:
        try:
            with httpx.Client(base_url=wait_for_address(service), timeout=600, trust_env=False) as client:
                sheets = {make.__name__: make(client) for make in (strength, mix, color, stroke, detail)}
        finally:
            service.send_signal(signal.SIGTERM)
    for name, sheet in sheets.items():
        sheet.save(IMAGES / f"parameter_{name}.jpg", quality=86, optimize=True)


def strength(client: httpx.Client) -> Image.Image:
    """Return styles at growing strength."""
    rows = []
    for name, style in (("coffee", "starry_night"), ("astronaut", "mosaic"), ("rocket", "the_scream")):
        answers = [ask(client, small(name), "stylize", style=style, strength=share) for share in QUARTERS]
        rows.append(strip(f"{style}: strength 0, 0.25, 0.5, 0.75, 1", answers))
    return stacked(rows)


def mix(client: httpx.Client) -> Image.Image:
    """Return mixes of two styles."""
    rows = []
    for other in ("wave", "starry_night"):
        styles = [f"mosaic:{1 - share},{other}:{share}" for share in QUARTERS]
        answers = [ask(client, small("coffee"), "stylize", style=style) for style in styles]
        rows.append(strip(f"from mosaic to {other}: 0, 25, 50, 75, 100 %", answers))
    return stacked(rows)


def color(client: httpx.Client) -> Image.Image:
    """Return photographs, styles, and styles in the colours of the photographs."""
    styles = ("mosaic", "starry_night", "the_scream", "wave")
    rows = []
    for keeps in (False, True):
        for name in ("coffee", "rocket"):
            answers = [ask(client, small(name), "stylize", style=style, preserve_color=keeps) for style in styles]
            rows.append(strip(f"preserve_color={str(keeps).lower()}", [small(name), *answers]))
    return stacked([rows[0], rows[2], rows[1], rows[3]])


def stroke(client: httpx.Client) -> Image.Image:
    """Return a 12-megapixel image as a whole, and a crop of it at full size."""
    photograph = read("coffee")
    times = (TELEPHONE_PIXELS / (photograph.width * photograph.height)) ** 0.5
    large = photograph.resize((round(photograph.width * times), round(photograph.height * times)))
    rows = []
    for asked in ("off", "auto", "8"):
        answer = ask(client, large, "stylize", style="mosaic", stroke=asked)
        corner = round(answer.width * 0.42), round(answer.height * 0.38)
        window = answer.crop((*corner, corner[0] + round(WINDOW_PX * 1.5), corner[1] + WINDOW_PX))
        whole = answer.resize(window.size, Image.Resampling.LANCZOS)
        rows.append(strip(f"12 megapixels, stroke={asked}: the whole, and a window at full size", [whole, window]))
    return stacked(rows)


def detail(client: httpx.Client) -> Image.Image:
    """Return a crop reduced by 4 and enlarged again with growing detail."""
    photograph, box = CROP
    truth = read(photograph).crop(box)
    low = reduce(truth, 4)
    answers = [ask(client, low, "upscale", factor=4, detail=share) for share in (0, 0.5, 0.75, 1)]
    shown = [image.resize((432, 288), Image.Resampling.LANCZOS) for image in [*answers, truth]]
    first = strip("factor=4: detail 0, 0.5, 0.75", shown[:3])
    return stacked([first, strip("detail 1, and the original", shown[3:])])


def ask(client: httpx.Client, image: Image.Image, endpoint: str, **parameters: object) -> Image.Image:
    """Send one request and return the output image. Raises for an error response."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    response = client.post(f"/{endpoint}", params={**parameters, "format": "png"}, content=buffer.getvalue())
    response.raise_for_status()
    return Image.open(io.BytesIO(response.content)).convert("RGB")


def small(name: str) -> Image.Image:
    """Return a photograph, cropped and reduced to a cell."""
    image = read(name)
    width, height = CELL_PX
    scale = max(width / image.width, height / image.height)
    image = image.resize((round(image.width * scale), round(image.height * scale)), Image.Resampling.LANCZOS)
    left, top = (image.width - width) // 2, (image.height - height) // 4
    return Image.fromarray(np.array(image.crop((left, top, left + width, top + height))))


if __name__ == "__main__":
    main()
