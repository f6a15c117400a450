"""Draw the style image of the `engraving` style, flat colours under an engraved key plate, and write it to `OUT.png`.

The ink lines are evenly spaced streamlines (Jobard and Lefer 1997) along the contours of a relief of soft hills; the
light on it sets how wide they swell. Nothing is read and nothing is random: the picture is ours to give away.
"""

import sys

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageOps
from scipy.ndimage import gaussian_filter1d

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Line = NDArray[np.complex128]  # points x + iy in pixels, so that a direction is a factor and a quarter turn is i

SIDE_PX = 768
MARGIN_PX = 36  # lines end beyond the edge of the picture, not at it
OVERSAMPLING, CROSSING_DEGREES = 4, 62.0
SPACING_PX, LEAST_SPACING_PX, STEP_PX, TAPER_PX = 10.5, 7.1, 1.5, 24.0
CREAM, VERMILION, OCHRE, TEAL, INDIGO = (250, 238, 212), (226, 74, 44), (238, 174, 62), (52, 154, 148), (26, 24, 70)
# The hills, a column each, in fractions of the side: centre, radius, and height, which is negative for a hollow.
HILL_X = (0.30, 0.76, 0.86, 0.20, 0.56, 0.02)
HILL_Y = (0.30, 0.60, 0.10, 0.86, 0.98, 0.52)
HILL_RADIUS = (0.15, 0.16, 0.14, 0.17, 0.12, 0.13)
HILL_HEIGHT = (0.26, -0.26, 0.18, 0.20, -0.12, -0.14)


def main() -> None:
    """Draw the image and write it to the path on the command line."""
    y, x = np.mgrid[-MARGIN_PX : SIDE_PX + MARGIN_PX, -MARGIN_PX : SIDE_PX + MARGIN_PX] / SIDE_PX
    down, right = (np.gradient(relief(x, y), 1 / SIDE_PX, axis=axis) for axis in (0, 1))
    dark = darkness(x, y, down, right)
    along = np.exp(1j * np.arctan2(-right, down))  # the contour: the gradient turned by a quarter
    plate = Image.new("L", (len(x) * OVERSAMPLING,) * 2, 0)
    engrave(plate, along, np.clip(dark, 0.14, 0.84), np.ones(x.shape, bool))
    shadow = np.clip(1.1 * (dark - 0.46), 0.11, 0.3)
    engrave(plate, along * np.exp(1j * np.radians(CROSSING_DEGREES)), shadow, shadow > 0.11)
    ink = np.asarray(plate.resize(x.shape, Image.Resampling.BOX), dtype=np.float64)[..., None] / 255
    printed = colours(x, y) * (1 - ink) + np.array(INDIGO) * ink
    ImageOps.crop(Image.fromarray(np.round(printed).astype(np.uint8)), MARGIN_PX).save(sys.argv[1], optimize=True)


def relief(x: Array, y: Array) -> Array:
    """Return the height (in sides) at `x`, `y` (sides from the upper left): a slope, two swells and the hills."""
    height = 0.55 * y - 0.22 * x + 0.035 * np.sin(7.5 * x + 2.5 * y) + 0.02 * np.sin(13 * y - 6 * x + 1)
    for centre_x, centre_y, radius, peak in zip(HILL_X, HILL_Y, HILL_RADIUS, HILL_HEIGHT, strict=True):
        height += peak * np.exp(-((x - centre_x) ** 2 + (y - centre_y) ** 2) / (2 * radius**2))
    return np.asarray(height)


def darkness(x: Array, y: Array, down: Array, right: Array) -> Array:
    """Return the share of paper to cover with ink, about 0 to 1: more where the relief faces away from the light."""
    light = (0.62 * right + 0.5 * down + 0.6) / np.sqrt(1 + down**2 + right**2)
    cloud = np.sin(5 * x + 4 * y + 0.6) * np.sin(6 * y - 3 * x)
    return np.asarray(0.44 + 0.53 * np.tanh(2.1 * (0.38 - light) + 0.42 * cloud))


def colours(x: Array, y: Array) -> Array:
    """Return the flat colours under the ink (... x 3, 0 to 255): sky, band, shore and sun with wavy borders."""
    wave = 0.03 * np.sin(11 * x + 3 * y) + 0.014 * np.sin(23 * x - 9 * y + 2)
    around = np.arctan2(y - 0.32, x - 0.31)
    sun = 0.225 + 0.012 * np.sin(3 * around + 1) + 0.009 * np.sin(8 * around) - np.hypot(x - 0.31, y - 0.32)
    shore = y + 0.42 * x - 1.06 + 0.09 * np.sin(4.2 * x + 0.8) + wave
    band = 0.092 - np.abs(y + 0.34 * x - 0.80 + 0.10 * np.sin(5 * x + 2.2) + wave)
    sky = x - 0.6 * y - 0.71 + 0.05 * np.sin(9 * y + 1) + 0.5 * wave
    flat = np.broadcast_to(np.array(CREAM, dtype=np.float64), (*x.shape, 3))
    for inside, colour in ((sky, TEAL), (band, OCHRE), (shore, TEAL), (sun, VERMILION)):
        cover = np.clip(inside * SIDE_PX / 1.5 + 0.5, 0, 1)[..., None]
        flat = flat * (1 - cover) + np.array(colour) * cover
    return np.asarray(flat)


def engrave(plate: Image.Image, field: Line, dark: Array, where: Mask) -> None:
    """Cut lines along `field` (unit vectors, H x W) into `plate`, `dark` (H x W, 0 to 1) times SPACING_PX wide."""
    for line in streamlines(field, where):
        closed = line[0] == line[-1]
        smooth = gaussian_filter1d(line, 3, mode="wrap" if closed else "nearest")
        smooth[-1] = smooth[0] if closed else smooth[-1]
        to_end_px = np.minimum(np.arange(len(line)), np.arange(len(line))[::-1]) * STEP_PX
        taper = 1.0 if closed else np.sqrt(np.clip(to_end_px / TAPER_PX, 0, 1))
        half = dark[at(smooth)] * SPACING_PX / 2 * taper * normals(smooth)
        outline = np.concatenate([smooth + half, (smooth - half)[::-1]]) * OVERSAMPLING
        ImageDraw.Draw(plate).polygon(outline.view(np.float64).tolist(), fill=255)


def streamlines(field: Line, where: Mask) -> list[Line]:
    """Return lines along `field` (unit vectors, H x W), SPACING_PX apart, that fill `where` short of the edge."""
    edge = round(1.5 * SPACING_PX)
    taken = ~np.pad(where[edge:-edge, edge:-edge], edge)  # within two thirds of the spacing: no line may go on here
    crowded = taken.copy()  # within the spacing: no line may start here
    lines: list[Line] = []
    grid = np.arange(edge, len(field) - edge, 3 * SPACING_PX)[::-1]
    seeds = [complex(x, y) for y in grid for x in grid]
    while seeds:
        seed = seeds.pop()
        if crowded[at(seed)]:
            continue
        line = trace(field, taken, [seed])
        if len(line) == 1 or line[0] != line[-1]:
            line = trace(-field, taken, line[::-1])
        if len(line) * STEP_PX < 3 * SPACING_PX:
            continue
        lines.append(np.array(line))
        stamp(taken, line, LEAST_SPACING_PX)
        stamp(crowded, line, 0.97 * SPACING_PX)
        offset = SPACING_PX * normals(lines[-1])
        seeds += [*(lines[-1] - offset)[::4].tolist(), *(lines[-1] + offset)[::4].tolist()]
    return lines


def trace(field: Line, taken: Mask, line: list[complex]) -> list[complex]:
    """Extend `line` from its last point along `field` (unit vectors, H x W), until it meets `taken` or itself."""
    recent = round(2 * SPACING_PX / STEP_PX)
    while True:
        halfway = line[-1] + STEP_PX / 2 * field[at(line[-1])]
        point = complex(line[-1] + STEP_PX * field[at(halfway)])
        if taken[at(point)]:
            return line
        if len(line) > recent:
            distance = np.abs(np.array(line[:-recent]) - point)
            if distance[0] < 0.3 * SPACING_PX:
                return [*line, line[0]]
            if distance[0] > SPACING_PX and distance.min() < LEAST_SPACING_PX:
                return line
        line.append(point)


def normals(line: Line) -> Line:
    """Return unit vectors across `line`."""
    return np.asarray(1j * np.exp(1j * np.angle(np.gradient(line))))


def at(point: complex | Line) -> tuple[NDArray[np.int_], NDArray[np.int_]]:
    """Return row and column of the pixel at each point."""
    pixel = np.round(np.asarray(point, dtype=np.complex128))
    return pixel.imag.astype(int), pixel.real.astype(int)


def stamp(mask: Mask, line: list[complex], radius_px: float) -> None:
    """Add to `mask` all pixels within `radius_px` of `line`."""
    picture = Image.fromarray(mask)
    for point in line:
        ImageDraw.Draw(picture).circle((point.real, point.imag), radius_px, fill=1)
    mask |= np.asarray(picture)


if __name__ == "__main__":
    main()
