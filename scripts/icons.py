"""Draw service/http/web/icon-192.png and icon-512.png, the icons of the installed page: icon.svg on paper."""

from pathlib import Path

from PIL import Image, ImageDraw

WEB = Path(__file__).resolve().parent.parent / "service" / "http" / "web"
SIZES = (192, 512)
PAPER, INK = "#f6f4ef", "#161616"
_STROKES = (
    ((5, 9), (12, 5), (19, 12), (27, 7)),
    ((5, 18), (13, 14), (17, 21), (25, 17)),
    ((5, 27), (11, 23), (14, 29), (19, 26)),
)
"""Cubic Bezier curves in the 32 units of icon.svg."""
_WIDTH, _UNITS, _SHARE, _STEPS, _OVERSAMPLING = 6, 32, 0.62, 400, 4
"""_SHARE: of the icon's side that the strokes take, so that a round mask cuts none of them."""


def main() -> None:
    """Write both icons."""
    for size in SIZES:
        icon(size).save(WEB / f"icon-{size}.png", optimize=True)


def icon(size: int) -> Image.Image:
    """Return an opaque icon of size x size pixels."""
    side = size * _OVERSAMPLING
    image = Image.new("RGB", (side, side), PAPER)
    draw = ImageDraw.Draw(image)
    unit = side * _SHARE / _UNITS
    edge, radius = side * (1 - _SHARE) / 2, unit * _WIDTH / 2
    for points in _STROKES:
        for step in range(_STEPS + 1):
            x, y = (edge + unit * part for part in _bezier(points, step / _STEPS))
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=INK)
    return image.resize((size, size), Image.Resampling.LANCZOS).quantize(16)


def _bezier(points: tuple[tuple[int, int], ...], at: float) -> tuple[float, float]:
    weights = ((1 - at) ** 3, 3 * at * (1 - at) ** 2, 3 * at**2 * (1 - at), at**3)
    x, y = (sum(w * point[axis] for w, point in zip(weights, points, strict=True)) for axis in (0, 1))
    return x, y


if __name__ == "__main__":
    main()
